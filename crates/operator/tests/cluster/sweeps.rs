//! Rows whose resource is gone though nobody deleted them.

use jiff::{SignedDuration, Timestamp};
use kube::Resource;
use oauth::{ClientId, ClientMetadata, Incarnation};
use operator::source::cluster::Options;
use serde_json::json;
use store::{NewClient, ResourceRef};

use crate::log::LOG;
use crate::world::World;

/// A row younger than this is no orphan.
const OLD_ENOUGH: SignedDuration = SignedDuration::from_mins(15);

impl World {
    /// A client that a resource of a cluster once owned, which is nowhere now.
    async fn orphan(&self, id: &str, cluster: &str, goes: bool) -> ClientId {
        let id = ClientId::parse(format!("{}-{id}", self.namespace)).unwrap();
        let manager = ResourceRef {
            cluster: cluster.to_owned(),
            namespace: self.namespace.clone(),
            name: id.to_string(),
            uid: format!("uid-{id}"),
        };
        let new = NewClient {
            id: id.clone(),
            incarnation: Incarnation(1),
            metadata: ClientMetadata::default(),
            manager: Some(manager),
            deleted_with_manager: goes,
            spec_hash: String::new(),
            secret: None,
            handled_rotate_secret: None,
            self_registered: false,
        };
        self.store.create_client(&new).await.unwrap();
        id
    }

    /// Lets a sweep begin, and waits for its end: it looks at clients before key sets.
    async fn sweep(&self) {
        self.stop().await;
        let before = self.store.statements();
        self.start_so(self.config.clone(), Options::default()).await;
        self.until("a sweep", async || (self.store.statements() >= before + 2).then_some(())).await;
        self.rest().await;
    }
}

/// Scenario 15: a deletion waits for the database, but not for ever; what is left behind is swept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_that_waits_too_long_lets_go_and_its_row_is_swept_later() {
    let (world, proxy, blocked, credentials) = Box::pin(World::with_a_blocked_deletion()).await;
    let orders = world.oac("orders");
    let since: Timestamp = blocked.meta().deletion_timestamp.clone().unwrap().0;
    world.advance(since.duration_since(world.now()) + SignedDuration::from_mins(9));
    orders.touch().await;
    world.rest().await;
    assert!(orders.get().await.is_some(), "not before its time");
    world.advance(SignedDuration::from_mins(2));
    orders.touch().await;
    orders.gone().await;
    let told = orders.events().await;
    assert_eq!(told.last().unwrap().0, "Orphaned", "{told:?}");

    proxy.restore();
    world.until("the database is back", async || world.store.ping().await.ok()).await;
    assert!(world.row(&credentials.0).await.is_some(), "it was left behind");
    world.sweep().await;
    assert!(world.row(&credentials.0).await.is_none());
    assert!(!world.lets_in(&credentials).await);
    world.finish().await;
}

/// Scenario 60, and the guards of a sweep.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_takes_what_goes_with_a_resource_of_this_cluster_that_is_gone_and_nothing_else() {
    let world = World::new().await;
    let cluster = world.context.settings.cluster.clone();
    world.start().await;
    let mut living = Vec::new();
    for n in 0..5 {
        let client = world.ready_service(&format!("living-{n}")).await;
        living.push(world.credentials(&client).await.0);
    }
    // An operator of another instance sees to this one.
    let other = json!({"grantTypes": ["client_credentials"], "instance": "another"});
    let other = world.oac("other-instance").create(other).await;
    let gone = world.orphan("gone", &cluster, true).await;
    let kept = world.orphan("kept", &cluster, false).await;
    let elsewhere = world.orphan("elsewhere", "another-cluster", true).await;
    let theirs = world.orphan("theirs", &cluster, true).await;
    world
        .sql(format!(
            "UPDATE clients SET manager_name = 'other-instance', manager_uid = '{}', version = version + 1 \
             WHERE id = '{theirs}'",
            other.meta().uid.clone().unwrap()
        ))
        .await;
    world.sweep().await;
    assert!(world.row(&gone).await.is_some(), "it is too young");

    world.advance(OLD_ENOUGH);
    let young = world.orphan("young", &cluster, true).await;
    world.sweep().await;
    let removed = async || world.row(&gone).await.is_none().then_some(());
    world.until("the orphan is removed", removed).await;
    world.rest().await;
    for id in living.iter().chain([&kept, &elsewhere, &theirs, &young]) {
        assert!(world.row(id).await.is_some(), "{id}");
    }

    // Now something happens to many of them at once.
    let mut many = vec![young];
    for n in 0..4 {
        many.push(world.orphan(&format!("many-{n}"), &cluster, true).await);
    }
    world.advance(OLD_ENOUGH);
    world.sweep().await;
    let refused = async || LOG.text().contains("--allow-mass-deletion").then_some(());
    world.until("it asks", refused).await;
    for id in &many {
        assert!(world.row(id).await.is_some(), "{id}");
    }
    let mut world = world;
    world.stop().await;
    let mut settings = (*world.context.settings).clone();
    settings.allow_mass_deletion = true;
    world.context.settings = settings.into();
    world.sweep().await;
    for id in &many {
        let removed = async || world.row(id).await.is_none().then_some(());
        world.until("it is meant", removed).await;
    }
    for id in living.iter().chain([&kept, &elsewhere, &theirs]) {
        assert!(world.row(id).await.is_some(), "{id}");
    }
    world.finish().await;
}

/// Scenario 16, as far as it concerns the operator: the garbage collector is not its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deleted_while_no_operator_runs_is_let_go_when_one_does() {
    let world = World::new().await;
    world.start().await;
    let names = world.ready_services(50).await;
    world.stop().await;
    for name in &names {
        world.oac(name).delete().await;
    }
    // Somebody who could not wait.
    world.oac("client-0").patch(json!({"metadata": {"finalizers": null}})).await;
    world.oac("client-0").gone().await;
    world.start().await;
    for name in &names {
        world.oac(name).gone().await;
    }
    let cluster = world.context.settings.cluster.clone();
    let left = async || world.store.managed_clients(&cluster).await.unwrap();
    assert_eq!(left().await.len(), 1);
    world.advance(OLD_ENOUGH);
    world.sweep().await;
    world.until("it is swept", async || left().await.is_empty().then_some(())).await;
    world.finish().await;
}

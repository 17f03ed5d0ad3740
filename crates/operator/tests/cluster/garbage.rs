//! Beside a garbage collector and a controller that ends namespaces, as every real cluster has them.

use crd::maester::{self, OAuth2Client as MaesterClient};
use harness::{TestCluster, TestDatabase};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{DeleteParams, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use oauth::ClientSecret;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::resource::Kind;
use crate::world::{World, entry, merge};

impl World {
    /// On the cluster that has these controllers, which know of our kinds by now.
    async fn with_controllers() -> Self {
        let database = TestDatabase::postgres().await;
        let options = database.options();
        let world = Self::on_cluster(TestCluster::shared_with_controllers().await, database, options).await;
        let spec = json!({"grantTypes": ["client_credentials"], "instance": "nobody"});
        let owner = world.oac("owner").create(spec).await;
        world.create_owned("owned", &owner).await;
        world.oac("owner").delete().await;
        let collected = async || world.config_maps().get_opt("owned").await.unwrap().is_none().then_some(());
        world.until("the garbage collector is at work", collected).await;
        world
    }

    fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Something that goes with a resource.
    async fn create_owned<K>(&self, name: &str, owner: &K)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        let map = json!({"metadata": {"name": name, "ownerReferences": [reference(owner)]}});
        let map = serde_json::from_value(map).unwrap();
        self.config_maps().create(&PostParams::default(), &map).await.unwrap();
    }

    /// Waits until the garbage collector has taken what goes with `owner`, which was deleted after all that matters.
    async fn collected(&self, marker: &str) {
        let gone = async || self.config_maps().get_opt(marker).await.unwrap().is_none().then_some(());
        self.until("the garbage collector has seen the deletion", gone).await;
    }
}

fn reference<K: Resource<DynamicType = ()>>(owner: &K) -> Value {
    json!({
        "apiVersion": K::api_version(&()), "kind": K::kind(&()),
        "name": owner.name_any(), "uid": owner.meta().uid,
    })
}

fn parse<K: DeserializeOwned>(manifest: Value) -> K {
    serde_json::from_value(manifest).unwrap()
}

/// Scenario 14.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_clients_secret_is_collected_and_an_orphans_stays() {
    let world = World::with_controllers().await;
    world.start().await;
    let deleted = world.ready_service("deleted").await;
    let deleted = world.credentials(&deleted).await;
    world.ready_service("orphan").await;
    world.oac("orphan").edit(json!({"deletionPolicy": "Orphan"})).await;
    let orphan = world.oac("orphan").ready().await;
    let credentials = world.credentials(&orphan).await;
    world.create_owned("with-orphan", &orphan).await;

    world.oac("orphan").delete().await;
    world.oac("deleted").delete().await;
    for name in ["orphan", "deleted"] {
        world.oac(name).gone().await;
    }
    let collected = async || world.secret("deleted-oauth2-client").await.is_none().then_some(());
    world.until("the Secret is collected", collected).await;
    assert!(world.row(&deleted.0).await.is_none());
    world.collected("with-orphan").await;
    assert!(world.secret("orphan-oauth2-client").await.is_some());
    assert!(world.lets_in(&credentials).await);

    // The same name again need not wait for anybody.
    let again = world.ready_service("deleted").await;
    let again = world.credentials(&again).await;
    assert!(again.0 != deleted.0 && world.lets_in(&again).await);
    world.finish().await;
}

/// Scenario 16.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_is_deleted_while_no_operator_runs_ends_when_one_does() {
    let world = World::with_controllers().await;
    world.start().await;
    world.ready_services(50).await;
    let cluster = world.context.settings.cluster.clone();
    let rows = async || world.store.managed_clients(&cluster).await.unwrap().len();
    assert_eq!(rows().await, 50);
    world.stop().await;

    let namespaces = Api::<Namespace>::all(world.client.clone());
    namespaces.delete(&world.namespace, &DeleteParams::default()).await.unwrap();
    let held_up = async || {
        let conditions = namespaces.get(&world.namespace).await.unwrap().status?.conditions?;
        conditions
            .iter()
            .any(|condition| condition.type_ == "NamespaceFinalizersRemaining" && condition.status == "True")
            .then_some(())
    };
    world.until("it waits for finalizers", held_up).await;
    world.start().await;
    let ended = async || namespaces.get_opt(&world.namespace).await.unwrap().is_none().then_some(());
    world.until("it ends", ended).await;
    assert_eq!(rows().await, 0);
    world.finish().await;
}

/// Scenario 58. The client of one of two Secrets is taken over; the other one is the control.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_was_maesters_outlives_its_resource() {
    let world = World::with_controllers().await;
    let secret = ClientSecret::new("as-hydra-generated-26-char");
    let id = world.registered_by_maester("orders", &secret).await;
    let theirs = Api::<MaesterClient>::namespaced(world.client.clone(), &world.namespace);
    for name in ["orders", "control"] {
        let resource: MaesterClient = parse(json!({
            "apiVersion": maester::API_VERSION, "kind": "OAuth2Client",
            "metadata": {"name": name, "finalizers": [maester::FINALIZER]},
            "spec": {
                "grantTypes": ["client_credentials"], "scope": "read", "secretName": format!("{name}-secret"),
                "deletionPolicy": "orphan",
            },
        }));
        let resource = theirs.create(&PostParams::default(), &resource).await.unwrap();
        let owned: Secret = parse(json!({
            "metadata": {"name": format!("{name}-secret"), "ownerReferences": [reference(&resource)]},
            "stringData": {"CLIENT_ID": id.as_str(), "CLIENT_SECRET": secret.expose()},
        }));
        world.create_secret(&owned).await;
    }

    world.start().await;
    let spec = json!({
        "grantTypes": ["client_credentials"], "scopes": ["read"], "clientId": id.as_str(), "adopt": true,
        "owner": format!("orders/{}", world.namespace), "secret": {"name": "orders-secret"},
    });
    world.oac("orders").create(spec).await;
    let client = world.oac("orders").ready().await;
    let credentials = (id.clone(), secret);
    assert_eq!(world.credentials(&client).await, credentials);
    assert!(world.lets_in(&credentials).await);

    for name in ["orders", "control"] {
        theirs.delete(name, &DeleteParams::default()).await.unwrap();
        // As Maester lets go of what it is to leave alone.
        let released = merge(json!({"metadata": {"finalizers": null}}));
        theirs.patch(name, &PatchParams::default(), &released).await.unwrap();
    }
    let collected = async || world.secret("control-secret").await.is_none().then_some(());
    world.until("what was not handed over is collected", collected).await;
    let kept = world.secret("orders-secret").await.unwrap();
    assert_eq!(entry(&kept, "CLIENT_SECRET").as_deref(), Some(credentials.1.expose()));
    assert!(kept.owner_references().iter().any(|owner| Some(&owner.uid) == client.uid().as_ref()));
    assert!(world.oac("orders").get().await.unwrap().is_ready() && world.lets_in(&credentials).await);
    world.finish().await;
}

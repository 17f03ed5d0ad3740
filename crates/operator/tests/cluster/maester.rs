//! Hydra Maester's resources, looked after in Maester's place.

use std::time::Duration;

use crd::maester::{self, FINALIZER, OAuth2Client};
use crd::{ConditionStatus, Reason};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use oauth::{ClientId, ClientMetadata, ClientSecret};
use operator::plan::maester::MaesterSettings;
use operator::source::cluster::{Options, Scope};
use serde_json::{Value, json};

use crate::log::LOG;
use crate::unmanaged::{INCARNATION, register};
use crate::world::{World, entry};

impl World {
    /// Starts an operator that looks after Maester's resources of this namespace.
    async fn start_for_maester(&self) {
        self.start_for_maester_with(MaesterSettings::default()).await;
    }

    async fn start_for_maester_with(&self, settings: MaesterSettings) {
        self.start_for_maester_so(settings, Duration::from_hours(1)).await;
    }

    /// The same with a time between two comparisons of all rows.
    async fn start_for_maester_so(&self, settings: MaesterSettings, every: Duration) {
        let scope = Scope::Namespaces(vec![self.namespace.clone()]);
        let maester = Some(settings);
        let options = Options { scope, maester, resync_every: every, ..Options::default() };
        self.start_so(self.config.clone(), options).await;
    }

    fn theirs(&self) -> Api<OAuth2Client> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    async fn create_theirs(&self, name: &str, spec: Value) -> OAuth2Client {
        let mut whole = json!({
            "apiVersion": maester::API_VERSION, "kind": "OAuth2Client", "metadata": {"name": name},
            "spec": {"grantTypes": ["client_credentials"], "scope": "read", "secretName": format!("{name}-secret")},
        });
        let Value::Object(fields) = spec else { panic!("fields") };
        whole["spec"].as_object_mut().unwrap().extend(fields);
        let resource = serde_json::from_value(whole).unwrap();
        self.theirs().create(&PostParams::default(), &resource).await.unwrap()
    }

    async fn until_theirs(
        &self,
        name: &str,
        what: &str,
        holds: impl Fn(&OAuth2Client) -> bool,
    ) -> OAuth2Client {
        let look = async || self.theirs().get_opt(name).await.unwrap().filter(|resource| holds(resource));
        self.until(&format!("{name}: {what}"), look).await
    }

    async fn ready_theirs(&self, name: &str) -> OAuth2Client {
        self.until_theirs(name, "Ready", |resource| ready(resource) == Some(ConditionStatus::True)).await
    }

    async fn delete_theirs(&self, name: &str) {
        self.theirs().delete(name, &DeleteParams::default()).await.unwrap();
        let gone = async || self.theirs().get_opt(name).await.unwrap().is_none().then_some(());
        self.until(&format!("{name} is gone"), gone).await;
    }

    async fn keep_secret(&self, name: &str, entries: &Value) {
        let secret = json!({"metadata": {"name": name}, "stringData": entries});
        self.secrets()
            .create(&PostParams::default(), &serde_json::from_value(secret).unwrap())
            .await
            .unwrap();
    }

    /// What a Secret lets in.
    async fn lets_in_by(&self, secret: &str) -> bool {
        let secret = self.secret(secret).await.unwrap();
        let (id, value) = (entry(&secret, "CLIENT_ID").unwrap(), entry(&secret, "CLIENT_SECRET").unwrap());
        self.lets_in(&(ClientId::parse(id).unwrap(), ClientSecret::new(value))).await
    }

    /// An id that no other test uses.
    fn id(&self, name: &str) -> ClientId {
        ClientId::parse(format!("{}-{name}", self.namespace)).unwrap()
    }

    /// A client as an import finds it: Maester registered it for a resource of this name.
    pub async fn registered_by_maester(&self, name: &str, secret: &ClientSecret) -> ClientId {
        let (id, owner) = (self.id(name), format!("{name}/{}", self.namespace));
        register(&self.store, &id, Some(&owner), ClientMetadata::default(), secret).await;
        id
    }
}

fn ready(resource: &OAuth2Client) -> Option<ConditionStatus> {
    let status = resource.status.as_ref()?;
    let current = status.observed_generation == resource.metadata.generation;
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready")?;
    current.then_some(ready.status)
}

/// The code and the description of `reconciliationError`.
fn error(resource: &OAuth2Client) -> (String, String) {
    let error = resource.status.clone().and_then(|status| status.reconciliation_error).unwrap_or_default();
    (error.status_code.unwrap_or_default(), error.description.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_without_a_secret_gets_one_and_takes_both_along() {
    let world = World::new().await;
    world.start_for_maester().await;
    world.create_theirs("orders", json!({})).await;
    let ready = world.ready_theirs("orders").await;
    assert_eq!(ready.finalizers(), [FINALIZER]);
    assert_eq!(error(&ready), (String::new(), String::new()));
    let secret = world.secret("orders-secret").await.unwrap();
    let owner = &secret.owner_references()[0];
    assert_eq!(
        (&*owner.api_version, &*owner.kind, &*owner.name, Some(&owner.uid)),
        (maester::API_VERSION, "OAuth2Client", "orders", ready.uid().as_ref())
    );
    assert!(world.lets_in_by("orders-secret").await);
    let id = ClientId::parse(ready.status.unwrap().client_id.unwrap()).unwrap();
    let owner = world.row(&id).await.unwrap().metadata.other["owner"].clone();
    assert_eq!(owner, format!("orders/{}", world.namespace));

    // The spec is as it was written: neither defaults nor generations come of the finalizer.
    assert_eq!(ready.metadata.generation, Some(1));
    world.delete_theirs("orders").await;
    assert!(world.row(&id).await.is_none());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_that_somebody_keeps_is_used_as_it_is() {
    let world = World::new().await;
    let id = world.id("own");
    world
        .keep_secret(
            "orders-secret",
            &json!({"CLIENT_ID": id.as_str(), "CLIENT_SECRET": "chosen-by-hand-42"}),
        )
        .await;
    let before = world.secret("orders-secret").await;
    world.start_for_maester().await;
    world.create_theirs("orders", json!({"deletionPolicy": "orphan"})).await;
    let ready = world.ready_theirs("orders").await;
    assert_eq!(ready.status.unwrap().client_id.as_deref(), Some(id.as_str()));
    assert!(world.lets_in_by("orders-secret").await);
    assert_eq!(world.secret("orders-secret").await, before);
    world.delete_theirs("orders").await;
    assert!(world.row(&id).await.is_some(), "orphan keeps it");
    assert_eq!(world.secret("orders-secret").await, before);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_is_said_in_maesters_words_and_retried() {
    let world = World::new().await;
    world.keep_secret("orders-secret", &json!({"CLIENT_SECRET": "chosen-by-hand-42"})).await;
    world.start_for_maester().await;
    world.create_theirs("orders", json!({})).await;
    let failed = |resource: &OAuth2Client| ready(resource) == Some(ConditionStatus::False);
    let refused = world.until_theirs("orders", "refused", failed).await;
    let (code, description) = error(&refused);
    assert_eq!(code, "INVALID_SECRET");
    assert!(description.contains("CLIENT_ID"), "{description}");

    let id = world.id("mended");
    let entry = json!({"stringData": {"CLIENT_ID": id.as_str()}});
    let params = PatchParams::default();
    let mended: Secret =
        world.secrets().patch("orders-secret", &params, &Patch::Merge(&entry)).await.unwrap();
    assert_eq!(mended.name_any(), "orders-secret");
    // Nobody watches a Secret without our label; an edit of the resource is seen at once.
    let edit = json!({"spec": {"scope": "read write"}});
    world.theirs().patch("orders", &params, &Patch::Merge(&edit)).await.unwrap();
    world.ready_theirs("orders").await;
    assert!(world.row(&id).await.unwrap().metadata.scope.contains("write"));

    let elsewhere = json!({"hydraAdmin": {"url": "http://elsewhere.example.com", "port": 80}});
    world.create_theirs("elsewhere", elsewhere).await;
    let refused = world.until_theirs("elsewhere", "refused", failed).await;
    assert_eq!(error(&refused).0, "INVALID_HYDRA_ADDRESS");
    assert!(world.secret("elsewhere-secret").await.is_none());
    world.delete_theirs("elsewhere").await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_maester_made_is_taken_over_and_nothing_changes_for_those_who_use_it() {
    let world = World::new().await;
    let secret = ClientSecret::new("as-hydra-generated-26-char");
    let id = world.registered_by_maester("orders", &secret).await;
    let made = world.create_theirs("orders", json!({})).await;
    let owned = json!({
        "metadata": {"name": "orders-secret", "ownerReferences": [{
            "apiVersion": maester::API_VERSION, "kind": "OAuth2Client", "name": "orders", "uid": made.uid(),
        }]},
        "stringData": {"CLIENT_ID": id.as_str(), "CLIENT_SECRET": secret.expose()},
    });
    let owned: Secret = serde_json::from_value(owned).unwrap();
    world.secrets().create(&PostParams::default(), &owned).await.unwrap();
    let theirs = json!({"metadata": {"finalizers": [FINALIZER]}});
    world.theirs().patch("orders", &PatchParams::default(), &Patch::Merge(&theirs)).await.unwrap();
    let status =
        json!({"status": {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True"}]}});
    let params = PatchParams { field_manager: Some("manager".into()), ..PatchParams::default() };
    world.theirs().patch_status("orders", &params, &Patch::Merge(&status)).await.unwrap();
    let before = world.secret("orders-secret").await;

    world.start_for_maester().await;
    let known = |resource: &OAuth2Client| {
        resource.status.as_ref().is_some_and(|status| status.client_id.as_deref() == Some(id.as_str()))
    };
    world.until_theirs("orders", "taken over", known).await;
    let row = world.row(&id).await.unwrap();
    assert_eq!(row.manager.map(|manager| manager.name).as_deref(), Some("orders"));
    assert_eq!(row.incarnation, INCARNATION, "tokens live on");
    assert_eq!(world.secret("orders-secret").await, before);
    assert!(world.lets_in_by("orders-secret").await);

    // A look at everything, with a new operator, writes nothing.
    world.stop().await;
    let resting = world.theirs().get("orders").await.unwrap().resource_version();
    let statements = world.store.statements();
    world.start_for_maester().await;
    world.until("a look", async || (world.store.statements() > statements + 2).then_some(())).await;
    world.stop().await;
    assert_eq!(world.theirs().get("orders").await.unwrap().resource_version(), resting);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_maesters_resources_are_put_right_and_no_sweep_of_ours_takes_them() {
    let world = World::new().await;
    world.start_for_maester().await;
    world.create_theirs("orders", json!({})).await;
    let ready = world.ready_theirs("orders").await;
    let id = ClientId::parse(ready.status.unwrap().client_id.unwrap()).unwrap();
    let labels = operator::metrics::ResourceLabels {
        kind: "OAuth2Client.hydra.ory.sh".into(),
        ready: "True".into(),
        reason: "Synced".into(),
    };
    let resources = &world.context.metrics.resources;
    let counted = async || (resources.get_or_create(&labels).get() == 1).then_some(());
    world.until("the metrics count it", counted).await;
    world.stop().await;

    // Old enough for a sweep, which an operator begins with that does not know of Maester.
    world.advance(SignedDuration::from_mins(20));
    let statements = world.store.statements();
    world.start().await;
    world.until("a sweep", async || (world.store.statements() >= statements + 2).then_some(())).await;
    world.stop().await;
    assert!(world.row(&id).await.is_some());

    world.start_for_maester().await;
    let row = world.row(&id).await.unwrap();
    let manager = row.manager.unwrap();
    assert!(world.store.delete_client(&id, &manager).await.unwrap());
    let again = async || world.row(&id).await;
    world.until("the row is there again", again).await;
    world.until("its secret works", async || world.lets_in_by("orders-secret").await.then_some(())).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_names_no_id_that_is_somebody_elses_to_choose() {
    let world = World::new().await;
    let secret = ClientSecret::generate(world.store.entropy());
    let imported = world.registered_by_maester("imported", &secret).await;
    let own = format!("{}.orders", world.namespace);
    let squatted = format!("squatted-{}", world.namespace);
    for (name, id, value) in [
        ("imported", imported.as_str(), secret.expose()),
        ("own", &own, "a-secret-that-somebody-chose"),
        ("squatter", &squatted, "a-secret-that-somebody-chose"),
    ] {
        let secret = format!("{name}-secret");
        world.keep_secret(&secret, &json!({"CLIENT_ID": id, "CLIENT_SECRET": value})).await;
        world.create_theirs(name, json!({})).await;
    }
    let nowhere = MaesterSettings { id_namespaces: Some(Vec::new()), ..MaesterSettings::default() };
    world.start_for_maester_with(nowhere).await;
    world.ready_theirs("imported").await;
    world.ready_theirs("own").await;
    let refused = |resource: &OAuth2Client| error(resource).1.contains("has to begin with");
    let told = error(&world.until_theirs("squatter", "refused", refused).await);
    assert_eq!(told.0, "INVALID_SECRET");
    assert!(world.row(&ClientId::parse(squatted).unwrap()).await.is_none());
    world.stop().await;

    // What it has it keeps.
    world.start_for_maester().await;
    world.ready_theirs("squatter").await;
    world.finish().await;
}

/// Of two kinds of resources, one waits for what the other one leaves behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_maesters_resource_leaves_behind_is_handed_over_at_once_and_its_place_is_forgotten() {
    let world = World::new().await;
    // Often enough for a place that is not forgotten to be told of many times.
    world.start_for_maester_so(MaesterSettings::default(), Duration::from_millis(300)).await;
    world.create_theirs("former", json!({"deletionPolicy": "orphan"})).await;
    let former = world.ready_theirs("former").await;
    let id = former.status.unwrap().client_id.unwrap();
    let held = world.secret("former-secret").await.unwrap();
    let heir = world.oac("heir");
    heir.create(json!({"grantTypes": ["client_credentials"], "clientId": id, "adopt": true})).await;
    heir.stands(Reason::ClientIdConflict).await;

    world.delete_theirs("former").await;
    let client = heir.ready().await;
    assert_eq!(world.credentials(&client).await.0.as_str(), id);
    let held = (ClientId::parse(id).unwrap(), ClientSecret::new(entry(&held, "CLIENT_SECRET").unwrap()));
    assert!(world.lets_in(&held).await, "workloads go on");
    world.rest().await;
    let drifts = || {
        let lines = LOG.lines_with(&world.namespace);
        lines.lines().filter(|line| line.contains("its row was changed") && line.contains("former")).count()
    };
    let (before, statements) = (drifts(), world.store.statements());
    let compared = async || (world.store.statements() >= statements + 30).then_some(());
    world.until("ten comparisons of three kinds of rows", compared).await;
    assert_eq!(drifts(), before, "{}", LOG.lines_with(&world.namespace));
    world.finish().await;
}

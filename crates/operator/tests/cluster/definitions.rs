//! The CustomResourceDefinitions go, come back, and change, while the operator runs.

use crd::{JsonWebKeySet, OAuth2Client};
use harness::{TestCluster, TestDatabase};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource};
use serde_json::{Value, json};

use crate::log::LOG;
use crate::resource::Kind;
use crate::world::World;

impl World {
    /// Runs kubectl in the world's namespace.
    async fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        let arguments = [&["--namespace", &*self.namespace], arguments].concat();
        let output = self.cluster.kubectl(&arguments, input).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "kubectl {arguments:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Applies the definitions of both kinds, and waits until they are served.
    async fn define(&self, definitions: &[CustomResourceDefinition]) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": definitions}).to_string();
        self.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", "-"], &list).await;
        let names = ["crd/oauth2clients.keywright.dev", "crd/jsonwebkeysets.keywright.dev"];
        let wait = ["wait", "--for=condition=Established", "--timeout=60s"];
        self.kubectl(&[&wait[..], &names].concat(), "").await;
    }

    async fn serves<K>(&self) -> bool
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + serde::de::DeserializeOwned,
    {
        let api = Api::<K>::namespaced(self.client.clone(), &self.namespace);
        api.list(&ListParams::default()).await.is_ok()
    }
}

/// The definitions as a later version may have them: with another field in the spec of clients.
fn later() -> Vec<CustomResourceDefinition> {
    let mut definitions = serde_json::to_value(crd::crds()).unwrap();
    let spec = "/0/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
    definitions.pointer_mut(spec).unwrap()["futureField"] = json!({"type": "string"});
    serde_json::from_value(definitions).unwrap()
}

async fn own_world() -> World {
    let database = TestDatabase::postgres().await;
    let options = database.options();
    World::on_cluster(TestCluster::own().await, database, options).await
}

/// Scenario 43.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definitions_that_are_deleted_and_applied_again_are_looked_after_again() {
    let world = own_world().await;
    world.start().await;
    let orders = world.ready_service("orders").await;
    let orders = world.credentials(&orders).await;
    world.jwks("keys").create(json!({"algorithms": ["ES256"]})).await;
    let keys = world.jwks("keys").ready().await;

    let names = ["oauth2clients.keywright.dev", "jsonwebkeysets.keywright.dev"];
    world.kubectl(&[&["delete", "crd", "--timeout=60s"], &names[..]].concat(), "").await;
    let gone = async || {
        let served = world.serves::<OAuth2Client>().await || world.serves::<JsonWebKeySet>().await;
        (!served).then_some(())
    };
    world.until("the kinds are not served any more", gone).await;
    // A deletion of all clients is what it is; keys stay.
    world.until("its row is gone", async || world.row(&orders.0).await.is_none().then_some(())).await;
    assert!(world.store.read_key_set("keys").await.unwrap().is_some());
    let said = async || LOG.text().contains("cannot watch").then_some(());
    world.until("it says that it cannot watch", said).await;

    world.define(&crd::crds()).await;
    let again = world.ready_service("again").await;
    assert!(world.lets_in(&world.credentials(&again).await).await);
    world.jwks("keys").create(json!({"algorithms": ["ES256"]})).await;
    let kept = world.jwks("keys").ready().await;
    let active = |set: JsonWebKeySet| set.status.unwrap().active_key_id;
    assert_eq!(active(kept), active(keys), "the set goes on");
    let cluster = world.cluster;
    world.finish().await;
    cluster.stop().await;
}

/// Scenario 43.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_of_a_later_version_are_kept_and_do_not_matter() {
    let world = own_world().await;
    world.start().await;
    world.ready_service("before").await;
    world.define(&later()).await;
    let manifest = json!({
        "apiVersion": "keywright.dev/v1alpha1", "kind": "OAuth2Client", "metadata": {"name": "orders"},
        "spec": {
            "instance": world.namespace, "grantTypes": ["client_credentials"], "scopes": ["read"],
            "futureField": "told",
        },
    });
    // Until the new schema is in force, the field is refused.
    let create = ["--namespace", &*world.namespace, "create", "--validate=strict", "-f", "-"];
    let created = async || {
        let output = world.cluster.kubectl(&create, &manifest.to_string()).await;
        output.status.success().then_some(())
    };
    world.until("the field is known", created).await;
    let field = async || {
        let object = world.kubectl(&["get", "oauth2clients.keywright.dev", "orders", "-o", "json"], "").await;
        serde_json::from_str::<Value>(&object).unwrap()["spec"]["futureField"].clone()
    };
    let client = world.oac("orders").ready().await;
    assert!(world.lets_in(&world.credentials(&client).await).await);
    assert_eq!(field().await, "told", "what the operator wrote left it alone");

    // Back to the version that does not know it: it is stored all the same.
    world.define(&crd::crds()).await;
    world.until("it is not shown any more", async || field().await.is_null().then_some(())).await;
    world.oac("orders").edit(json!({"scopes": ["write"]})).await;
    let edited = world.oac("orders").ready().await;
    let id = world.credentials(&edited).await.0;
    assert_eq!(world.row(&id).await.unwrap().metadata.scope.to_string(), "write");
    assert!(world.oac("before").get().await.is_some_and(|client| client.is_ready()));
    world.oac("orders").delete().await;
    world.oac("orders").gone().await;
    let cluster = world.cluster;
    world.finish().await;
    cluster.stop().await;
}

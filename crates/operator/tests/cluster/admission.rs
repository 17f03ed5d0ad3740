//! What the API server accepts.

use crd::{JsonWebKeySet, OAuth2Client};
use kube::api::{PatchParams, PostParams};
use kube::core::Request;
use kube::{Client, Resource, ResourceExt};
use serde_json::{Value, json};

use crate::resource::{Handle, Kind};
use crate::world::{World, merge};

/// Tries to create a resource, strictly and without any effect: what the API server says, empty where it accepts.
pub async fn verdict<K: Resource<DynamicType = ()>>(
    client: &Client,
    namespace: &str,
    manifest: &Value,
) -> String {
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let path = K::url_path(&(), Some(namespace));
    let mut request = Request::new(path).create(&params, serde_json::to_vec(manifest).unwrap()).unwrap();
    *request.uri_mut() = format!("{}&fieldValidation=Strict", request.uri()).parse().unwrap();
    match client.request::<Value>(request).await {
        Ok(_) => String::new(),
        Err(kube::Error::Api(status)) => status.message,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_case_has_the_verdict_in_the_table() {
    let world = World::new().await;
    let cases: Vec<(String, String, Value, String)> =
        serde_yaml::from_str(include_str!("../../../crd/tests/cases.yaml")).unwrap();
    assert!(cases.len() > 50);
    let mut wrong = Vec::new();
    for (name, kind, spec, fragment) in cases {
        let manifest = json!({
            "apiVersion": "keywright.dev/v1alpha1", "kind": kind, "metadata": {"name": "case"}, "spec": spec,
        });
        let said = match kind.as_str() {
            "OAuth2Client" => verdict::<OAuth2Client>(&world.client, &world.namespace, &manifest).await,
            _ => verdict::<JsonWebKeySet>(&world.client, &world.namespace, &manifest).await,
        };
        if said.is_empty() != fragment.is_empty() || !said.contains(&fragment) {
            wrong.push(format!("{name}: wanted {fragment:?}, got {said:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    world.finish().await;
}

/// Asserts that an edit is refused with this text.
async fn refused<K: Kind>(resource: &Handle<'_, K>, patch: Value, fragment: &str) {
    let edit = resource.api.patch(&resource.name, &PatchParams::default(), &merge(patch.clone())).await;
    match edit {
        Err(kube::Error::Api(status)) if status.code == 422 => {
            assert!(status.message.contains(fragment), "{patch}: {}", status.message);
        }
        other => panic!("{patch} should be refused with {fragment:?}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_fixed_cannot_change() {
    let world = World::new().await;
    world.start().await;
    let client = world.ready_service("orders").await;
    let id = client.status.clone().unwrap().client_id.unwrap();
    let orders = world.oac("orders");
    refused(&orders, json!({"spec": {"instance": "b"}}), "instance is immutable").await;
    refused(&orders, json!({"spec": {"clientId": "c2"}}), "clientId cannot change once").await;
    orders.edit(json!({"clientId": id})).await;
    refused(&orders, json!({"spec": {"clientId": null}}), "clientId cannot be removed").await;
    let other = json!({"status": {"clientId": "other"}});
    let forged = orders.api.patch_status("orders", &PatchParams::default(), &merge(other)).await;
    let message = forged.unwrap_err().to_string();
    assert!(message.contains("clientId cannot change once"), "{message}");
    orders.ready().await;

    let set = world.jwks("keys");
    set.create(json!({"algorithms": ["ES256"]})).await;
    set.ready().await;
    let enc = json!({"spec": {"use": "enc", "algorithms": ["ECDH-ES"]}});
    refused(&set, enc, "use is immutable").await;
    refused(&set, json!({"spec": {"set": "other"}}), "set cannot change").await;
    set.edit(json!({"set": "keys"})).await;
    set.ready().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn defaults_are_filled_in_and_requests_are_no_edits() {
    let world = World::new().await;
    let orders = world.oac("orders");
    let created = orders.create(json!({"grantTypes": ["client_credentials"]})).await;
    let spec = serde_json::to_value(&created.spec).unwrap();
    assert_eq!(spec["tokenEndpointAuthMethod"], "client_secret_basic");
    assert_eq!(spec["deletionPolicy"], "Delete");
    let secret =
        json!({"source": "Generate", "keys": {"clientId": "CLIENT_ID", "clientSecret": "CLIENT_SECRET"}});
    assert_eq!(spec["secret"], secret);
    orders.annotate("keywright.dev/rotate-secret", "1").await;
    assert_eq!(orders.get().await.unwrap().meta().generation, created.meta().generation);
    let set = world.jwks("keys").create(json!({})).await;
    let spec = serde_json::to_value(&set.spec).unwrap();
    assert_eq!((&spec["algorithms"], &spec["deletionPolicy"]), (&json!(["RS256"]), &json!("Orphan")));
    assert_eq!(set.name_any(), "keys");
    world.finish().await;
}

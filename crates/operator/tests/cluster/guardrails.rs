//! The policy of `config/guardrails`: what a namespace may ask for.

use crd::{OAuth2Client, maester};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::PatchParams;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::admission::verdict;
use crate::resource::Handle;
use crate::world::{World, merge};

/// Installs the policy for these namespaces alone: other tests create what it forbids.
async fn install(world: &World, namespaces: &[&str]) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/guardrails");
    let written = kubectl(world, &["kustomize", folder], "").await;
    let mut documents = Vec::new();
    for document in serde_yaml::Deserializer::from_str(&written) {
        let mut document = Value::deserialize(document).unwrap();
        if document["kind"] == "ValidatingAdmissionPolicyBinding" {
            // Each test has its own.
            let name = format!("{}-{}", document["metadata"]["name"].as_str().unwrap(), namespaces[0]);
            document["metadata"]["name"] = name.into();
            let in_one_of =
                json!({"key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces});
            document["spec"]["matchResources"] =
                json!({"namespaceSelector": {"matchExpressions": [in_one_of]}});
        }
        documents.push(document.to_string());
    }
    kubectl(world, &["apply", "--filename", "-"], &documents.join("\n---\n")).await;
}

async fn kubectl(world: &World, arguments: &[&str], input: &str) -> String {
    let output = world.cluster.kubectl(arguments, input).await;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What the API server says to a client with this in its spec; empty where it accepts.
async fn asks(world: &World, namespace: &str, mut spec: Value) -> String {
    spec["grantTypes"] = json!(["client_credentials"]);
    let manifest = json!({
        "apiVersion": "keywright.dev/v1alpha1", "kind": "OAuth2Client", "metadata": {"name": "asks"}, "spec": spec,
    });
    verdict::<OAuth2Client>(&world.client, namespace, &manifest).await
}

/// The same to a client of Hydra Maester's.
async fn asks_as_maesters(world: &World, namespace: &str, mut spec: Value) -> String {
    (spec["grantTypes"], spec["secretName"]) = (json!(["client_credentials"]), json!("asks"));
    let manifest = json!({
        "apiVersion": maester::API_VERSION, "kind": "OAuth2Client", "metadata": {"name": "asks"}, "spec": spec,
    });
    verdict::<maester::OAuth2Client>(&world.client, namespace, &manifest).await
}

/// Sets labels or annotations of a namespace.
async fn mark(world: &World, namespace: &str, metadata: Value) {
    let namespaces = Api::<Namespace>::all(world.client.clone());
    let patch = merge(json!({ "metadata": metadata }));
    namespaces.patch(namespace, &PatchParams::default(), &patch).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_asks_for_no_more_than_it_is_allowed() {
    let world = World::new().await;
    let (tenant, trusted) = (&*world.namespace, &*world.cluster.namespace().await);
    let older = Handle::<OAuth2Client>::new(&world, tenant, "older");
    older.create(json!({"grantTypes": ["client_credentials"], "scopes": ["admin"]})).await;
    mark(&world, trusted, json!({"labels": {"keywright.dev/trusted": "true"}})).await;
    install(&world, &[tenant, trusted]).await;
    let enforced = async || (!asks(&world, tenant, json!({"adopt": true})).await.is_empty()).then_some(());
    world.until("the policy is enforced", enforced).await;

    let nothing_listed = asks(&world, tenant, json!({"scopes": ["openid", "orders:read"]})).await;
    assert!(nothing_listed.contains("keywright.dev/scopes does not list orders:read"), "{nothing_listed}");
    let annotations = json!({
        "keywright.dev/scopes": "orders:read orders.*",
        "keywright.dev/audiences": "https://orders.example.com urn:orders",
    });
    mark(&world, tenant, json!({ "annotations": annotations })).await;
    let listed =
        async || asks(&world, tenant, json!({"scopes": ["orders:read"]})).await.is_empty().then_some(());
    world.until("the annotations are seen", listed).await;

    let own = format!("{tenant}.orders");
    for (spec, refusal) in [
        (json!({}), ""),
        (json!({"scopes": ["openid", "offline_access", "orders:read", "orders.*"]}), ""),
        (json!({"audience": ["urn:orders", "https://orders.example.com"]}), ""),
        (json!({ "clientId": own }), ""),
        (json!({"scopes": ["orders:read", "orders:write", "*"]}), "does not list orders:write, *"),
        (json!({"audience": ["urn:orders", "urn:payments"]}), "does not list urn:payments"),
        (json!({"clientId": "orders"}), "must begin with the namespace's name and a dot"),
        (json!({"skipConsent": true}), "skipConsent is for trusted namespaces"),
        (json!({"adopt": true}), "adopt is for trusted namespaces"),
    ] {
        let said = asks(&world, tenant, spec.clone()).await;
        assert_eq!(said.is_empty(), refusal.is_empty(), "{spec}: {said}");
        assert!(said.contains(refusal), "{spec}: {said}");
        assert_eq!(asks(&world, trusted, spec.clone()).await, "", "{spec}");
    }

    // What was there before is left alone until somebody edits it.
    older.annotate("keywright.dev/rotate-secret", "1").await;
    let edit = json!({"spec": {"clientName": "renamed"}});
    let edited = older.api.patch("older", &PatchParams::default(), &merge(edit)).await;
    assert!(edited.unwrap_err().to_string().contains("does not list admin"));
    world.start().await;
    older.ready().await;
    older.delete().await;
    older.gone().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_asks_for_no_more_by_resources_of_hydra_maesters() {
    let world = World::new().await;
    let (tenant, trusted) = (&*world.namespace, &*world.cluster.namespace().await);
    let annotations = json!({
        "keywright.dev/scopes": "orders:read orders.*",
        "keywright.dev/audiences": "https://orders.example.com urn:orders",
    });
    mark(&world, tenant, json!({ "annotations": annotations })).await;
    mark(&world, trusted, json!({"labels": {"keywright.dev/trusted": "true"}})).await;
    install(&world, &[tenant, trusted]).await;
    let enforced = async || {
        let said = asks_as_maesters(&world, tenant, json!({"skipConsent": true})).await;
        (!said.is_empty()).then_some(())
    };
    world.until("the policy is enforced", enforced).await;
    for (spec, refusal) in [
        (json!({}), ""),
        (json!({"scope": "openid  orders:read", "scopeArray": ["offline_access", "orders.*"]}), ""),
        (json!({"audience": ["urn:orders", "https://orders.example.com"]}), ""),
        (json!({"scope": "orders:read orders:write"}), "does not list orders:write"),
        (json!({"scope": "openid", "scopeArray": ["*"]}), "does not list *"),
        (json!({"audience": ["urn:payments"]}), "does not list urn:payments"),
        (json!({"skipConsent": true}), "skipConsent is for trusted namespaces"),
    ] {
        let said = asks_as_maesters(&world, tenant, spec.clone()).await;
        assert_eq!(said.is_empty(), refusal.is_empty(), "{spec}: {said}");
        assert!(said.contains(refusal), "{spec}: {said}");
        assert_eq!(asks_as_maesters(&world, trusted, spec.clone()).await, "", "{spec}");
    }
    world.finish().await;
}

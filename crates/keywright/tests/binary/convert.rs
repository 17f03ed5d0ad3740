//! `keywright convert`: resources of Hydra Maester's as ours.

use std::fs;

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Process, run};

/// As `kubectl get oauth2clients.hydra.ory.sh,secrets -A -o yaml` prints them.
const CLUSTER: &str = r#"
apiVersion: v1
kind: List
items:
- apiVersion: hydra.ory.sh/v1alpha1
  kind: OAuth2Client
  metadata:
    name: orders
    namespace: shop
    uid: 5a1c
    generation: 2
    resourceVersion: "17"
    finalizers: [finalizer.ory.hydra.sh]
  spec:
    grantTypes: [client_credentials]
    scope: read write
    secretName: orders-secret
    hydraAdmin: {}
    tokenLifespans: {}
    metadata: null
    skipConsent: false
  status:
    observedGeneration: 2
- apiVersion: hydra.ory.sh/v1alpha1
  kind: OAuth2Client
  metadata: {name: broken, namespace: shop}
  spec: {grantTypes: [authorization_code], secretName: broken}
- apiVersion: v1
  kind: Secret
  metadata:
    name: orders-secret
    namespace: shop
    ownerReferences: [{apiVersion: hydra.ory.sh/v1alpha1, kind: OAuth2Client, name: orders, uid: 5a1c}]
  data: {CLIENT_ID: YzBmZmVl, CLIENT_SECRET: aHVzaC1odXNoLWh1c2g=}
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: other, namespace: shop}
"#;

fn documents(yaml: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(yaml).map(|document| Value::deserialize(document).unwrap()).collect()
}

#[tokio::test]
async fn what_a_cluster_holds_is_printed_as_ours_and_the_rest_is_explained() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("cluster.yaml");
    fs::write(&file, CLUSTER).unwrap();
    let ended = run(&["convert", file.to_str().unwrap(), "--instance", "blue"], &[]).await;

    assert_eq!(
        documents(&ended.stdout),
        [json!({
            "apiVersion": "keywright.dev/v1alpha1", "kind": "OAuth2Client",
            "metadata": {"name": "orders", "namespace": "shop"},
            "spec": {
                "instance": "blue", "adopt": true, "clientId": "c0ffee", "owner": "orders/shop",
                "grantTypes": ["client_credentials"], "scopes": ["read", "write"],
                "secret": {"name": "orders-secret"},
            },
        })],
        "{ended:?}"
    );
    assert_eq!(ended.code, Some(1));
    for said in [
        "shop/broken is not converted: ",
        "need at least one redirectUris entry",
        "1 manifests of other kinds are left out",
        "1 of 2 clients are not converted",
    ] {
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
    }
    assert!(!ended.stderr.contains("hush-hush") && !ended.stdout.contains("hush-hush"));
}

#[tokio::test]
async fn manifests_of_a_repository_come_without_their_secrets() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("orders.yaml");
    let manifest = "{apiVersion: hydra.ory.sh/v1alpha1, kind: OAuth2Client, metadata: {name: orders}, \
                    spec: {grantTypes: [client_credentials], secretName: orders-secret}}";
    fs::write(&file, manifest).unwrap();
    let ended = run(&["convert", file.to_str().unwrap()], &[("CLIENT_ID_KEY", "client_id".to_owned())]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let spec = &documents(&ended.stdout)[0]["spec"];
    assert_eq!(spec["secret"], json!({"name": "orders-secret", "keys": {"clientId": "client_id"}}));
    assert_eq!(spec.get("clientId"), None);
    assert!(ended.stderr.contains("set spec.clientId to the client_id in the Secret orders-secret"));
}

#[tokio::test]
async fn what_cannot_be_read_is_named_without_its_content() {
    let folder = TempDir::new().unwrap();
    let written = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let secret =
        "{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: b}, data: {CLIENT_ID: hush!}}";
    for (file, said) in [
        (written("secret.yaml", secret), "the Secret b/a is malformed"),
        (written("none.yaml", "kind: Pod"), "there is no OAuth2Client of hydra.ory.sh/v1alpha1"),
        (folder.path().join("absent.yaml").display().to_string(), "absent.yaml"),
    ] {
        let ended = run(&["convert", &file], &[]).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
        assert!(!ended.stderr.contains("hush!"), "{}", ended.stderr);
    }
    // Standard input, where no file is named; here it is empty.
    let ended = Process::start(&["convert"], &[]).ended(std::time::Duration::from_secs(30)).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
}

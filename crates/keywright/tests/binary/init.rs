//! `init` on a real API server.

use harness::TestCluster;
use serde_json::Value;

use crate::support::run;

async fn init(cluster: &TestCluster, namespace: &str, more: &[&str]) -> (Option<i32>, String) {
    let mut arguments = vec!["init", "--secret", "keywright", "--namespace", namespace];
    arguments.extend(more);
    let kubeconfig = cluster.kubeconfig().display().to_string();
    let ended = run(&arguments, &[("KUBECONFIG", kubeconfig)]).await;
    (ended.code, format!("{}{}", ended.stdout, ended.stderr))
}

async fn data(cluster: &TestCluster, namespace: &str) -> Value {
    let get = ["get", "secret", "keywright", "--namespace", namespace, "--output", "json"];
    let secret: Value = serde_json::from_slice(&cluster.kubectl(&get, "").await.stdout).unwrap();
    secret["data"].clone()
}

#[tokio::test]
async fn init_makes_a_secret_once_and_never_touches_one_that_is_there() {
    let cluster = TestCluster::shared().await;
    let namespace = cluster.namespace().await;
    let (code, said) = init(cluster, &namespace, &[]).await;
    assert_eq!(code, Some(0), "{said}");
    let first = data(cluster, &namespace).await;
    let value = first["secretsSystem"].as_str().unwrap();
    // 43 characters, in base64.
    assert_eq!((first.as_object().unwrap().len(), value.len()), (1, 60), "{first}");
    assert!(!said.contains(value), "{said}");

    let (code, said) = init(cluster, &namespace, &[]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("stays as it is"), "{said}");
    assert_eq!(data(cluster, &namespace).await, first);

    let (code, said) = init(cluster, &namespace, &["--key", "other"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("has no other"), "{said}");
    assert_eq!(data(cluster, &namespace).await, first);
}

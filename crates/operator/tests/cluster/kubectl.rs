//! What people see.

use serde_json::json;

use crate::world::World;

/// Runs kubectl in the world's namespace, and gives what it printed.
async fn kubectl(world: &World, arguments: &[&str]) -> String {
    let arguments = [&["--namespace", &*world.namespace], arguments].concat();
    let output = world.cluster.kubectl(&arguments, "").await;
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_waits_for_and_shows_what_matters() {
    let world = World::new().await;
    world.start().await;
    let rotation = json!({"period": "720h"});
    world
        .oac("orders")
        .create(json!({"grantTypes": ["client_credentials"], "secretRotation": rotation}))
        .await;
    let rotation = json!({"period": "168h", "publishBefore": "24h"});
    world.jwks("keys").create(json!({"algorithms": ["ES256"], "rotation": rotation})).await;
    kubectl(&world, &["wait", "--for=condition=Ready", "--timeout=20s", "oac/orders", "jwks/keys"]).await;

    let id = world.oac("orders").get().await.unwrap().status.unwrap().client_id.unwrap();
    let table = kubectl(&world, &["get", "oac"]).await;
    let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    assert_eq!(lines.next().unwrap(), ["NAME", "CLIENT", "ID", "SECRET", "READY", "REASON", "AGE"]);
    let row = lines.next().unwrap();
    assert_eq!(row[..5], ["orders", &id, "orders-oauth2-client", "True", "Synced"]);

    let kid = world.jwks("keys").get().await.unwrap().status.unwrap().active_key_id.unwrap();
    let table = kubectl(&world, &["get", "jwks"]).await;
    let row: Vec<_> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(row[..6], ["keys", "keys", &kid, "2026-03-08T12:00:00Z", "True", "Synced"]);
    let wide = kubectl(&world, &["get", "keywright", "-o", "wide"]).await;
    assert!(wide.contains("2026-03-31T12:00:00Z") && wide.contains("is registered"), "{wide}");
    assert!(!wide.contains("<invalid>"), "{wide}");
    let ours = format!("spec.instance={}", world.namespace);
    let found = kubectl(&world, &["get", "oac", "-o", "name", "--field-selector", &ours]).await;
    assert_eq!(found.trim(), "oauth2client.keywright.dev/orders");

    world.oac("orders").tells(&["Created"]).await;
    let described = kubectl(&world, &["describe", "oac", "orders"]).await;
    let events = described.split("Events:").nth(1).unwrap();
    for told in ["Created", "keywright-operator", "created client"] {
        assert!(events.contains(told), "{told}: {events}");
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_waits_for_the_edit_and_not_for_the_state_before_it() {
    let world = World::new().await;
    world.start().await;
    world.ready_service("orders").await;
    world.oac("orders").edit(json!({"scopes": ["write"]})).await;
    kubectl(&world, &["wait", "--for=condition=Ready", "--timeout=20s", "oac/orders"]).await;
    let client = world.oac("orders").get().await.unwrap();
    let id = world.credentials(&client).await.0;
    assert_eq!(world.row(&id).await.unwrap().metadata.scope.to_string(), "write");
    world.finish().await;
}

//! The end of a client.

use crd::{ConditionType, Reason};
use kube::ResourceExt;
use serde_json::json;

use crate::resource::Kind;
use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_client_takes_its_row_with_it() {
    let world = World::new().await;
    world.start().await;
    let client = world.ready_service("orders").await;
    let credentials = world.credentials(&client).await;
    world.oac("orders").delete().await;
    world.oac("orders").gone().await;
    assert!(world.row(&credentials.0).await.is_none());
    let secret = world.secret("orders-oauth2-client").await.unwrap();
    assert_eq!(secret.owner_references()[0].name, "orders", "for the garbage collector");

    // The same name again is another client, which waits for the Secret to be collected.
    let orders = world.oac("orders");
    orders.create(json!({"grantTypes": ["client_credentials"]})).await;
    orders.stands(Reason::SecretConflict).await;
    world.collect_garbage().await;
    let again = orders.ready().await;
    let renewed = world.credentials(&again).await;
    assert_ne!(renewed.0, credentials.0);
    assert!(world.lets_in(&renewed).await && !world.lets_in(&credentials).await);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orphaned_client_goes_on_without_its_resource() {
    let world = World::new().await;
    world.start().await;
    let client = world.ready_service("orders").await;
    let credentials = world.credentials(&client).await;
    let orders = world.oac("orders");
    orders.edit(json!({"deletionPolicy": "Orphan"})).await;
    let orphan = orders.ready().await;
    assert!(orphan.finalizers().is_empty());
    let secret = world.secret("orders-oauth2-client").await.unwrap();
    assert!(secret.owner_references().is_empty(), "the garbage collector must not know of the two");
    orders.delete().await;
    orders.gone().await;
    world.resync(0).await;
    assert!(world.lets_in(&credentials).await);

    // The same name again takes it up.
    let spec = json!({"grantTypes": ["client_credentials"], "deletionPolicy": "Delete", "scopes": ["read"]});
    orders.create(spec).await;
    let again = orders.ready().await;
    assert_eq!(world.credentials(&again).await, credentials);
    assert_eq!(again.finalizers(), ["keywright.dev/client"]);
    let secret = world.secret("orders-oauth2-client").await.unwrap();
    assert_eq!(secret.owner_references()[0].uid, again.uid().unwrap());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_an_orphaned_client_takes_it_over_as_soon_as_it_is_one() {
    let world = World::new().await;
    world.start().await;
    let spec = json!({"grantTypes": ["client_credentials"], "clientId": format!("{}.id", world.namespace)});
    let (former, heir) = (world.oac("former"), world.oac("heir"));
    let mut orphan = spec.clone();
    orphan["deletionPolicy"] = "Orphan".into();
    former.create(orphan).await;
    let credentials = world.credentials(&former.ready().await).await;
    let mut adopts = spec;
    adopts["adopt"] = true.into();
    heir.create(adopts).await;
    heir.stands(Reason::ClientIdConflict).await;

    // Nothing holds the resource up, so nobody reconciles its end.
    former.delete().await;
    let client = heir.ready().await;
    assert_eq!(world.credentials(&client).await.0, credentials.0);
    assert!(world.lets_in(&credentials).await, "workloads go on");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_controllers_finalizers_are_theirs() {
    let world = World::new().await;
    world.start().await;
    world.ready_service("orders").await;
    let orders = world.oac("orders");
    let theirs = ["example.com/first", "keywright.dev/client", "example.com/last"];
    orders.patch(json!({"metadata": {"finalizers": theirs}})).await;
    orders.delete().await;
    let waiting = orders.until("only theirs are left", |client| client.finalizers().len() == 2).await;
    assert_eq!(waiting.finalizers(), ["example.com/first", "example.com/last"]);
    orders.patch(json!({"metadata": {"finalizers": []}})).await;
    orders.gone().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_waits_for_the_database() {
    let (world, proxy, blocked, credentials) = Box::pin(World::with_a_blocked_deletion()).await;
    assert_eq!(blocked.finalizers(), ["keywright.dev/client"]);
    assert!(!blocked.condition(&ConditionType::Ready).unwrap().message.is_empty());

    proxy.restore();
    world.oac("orders").gone().await;
    assert!(world.row(&credentials.0).await.is_none());
    world.finish().await;
}

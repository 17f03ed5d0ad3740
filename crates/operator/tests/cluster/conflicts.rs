//! Resources that want the same.

use crd::{ConditionType, OAuth2Client, Reason};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::core::ObjectMeta;
use serde_json::json;

use crate::resource::{Handle, Kind};
use crate::world::{World, entry};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_clients_with_one_id_the_first_has_it_and_the_other_takes_over() {
    let world = World::new().await;
    world.start().await;
    let elsewhere = world.cluster.namespace().await;
    let id = format!("{}.shared", world.namespace);
    let spec = json!({"grantTypes": ["client_credentials"], "clientId": id, "instance": world.namespace});
    let first = world.oac("first");
    let second = Handle::<OAuth2Client>::new(&world, &elsewhere, "second");
    first.create(spec.clone()).await;
    let winner = first.ready().await;
    let winners = world.credentials(&winner).await;
    second.create(spec).await;
    let loser = second.stands(Reason::ClientIdConflict).await;
    let message = &loser.condition(&ConditionType::Ready).unwrap().message;
    assert!(message.contains(&format!("{}/first", world.namespace)), "{message}");
    assert_eq!(loser.status.as_ref().unwrap().client_id, None, "an id that is another's is not pinned");

    // It stays like that.
    world.resync(2).await;
    world.resync(2).await;
    assert_eq!(second.get().await.unwrap(), loser);
    assert!(first.get().await.unwrap().is_ready());
    second.tells(&["Conflict"]).await;

    first.delete().await;
    first.gone().await;
    second.ready().await;
    assert!(!world.lets_in(&winners).await, "the id is the same, the client is not");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_clients_with_one_secret_the_first_has_it_and_the_other_takes_over() {
    let world = World::new().await;
    world.start().await;
    let spec = json!({"grantTypes": ["client_credentials"], "secret": {"name": "shared"}});
    let (first, second) = (world.oac("first"), world.oac("second"));
    first.create(spec.clone()).await;
    let winner = first.ready().await;
    let credentials = world.credentials(&winner).await;
    second.create(spec).await;
    let loser = second.stands(Reason::SecretConflict).await;
    let message = &loser.condition(&ConditionType::SecretReady).unwrap().message;
    assert!(message.contains("first"), "{message}");
    world.resync(2).await;
    assert_eq!(second.get().await.unwrap(), loser);
    assert_eq!(world.credentials(&winner).await, credentials);

    first.delete().await;
    first.gone().await;
    world.collect_garbage().await;
    let second = second.ready().await;
    assert_ne!(world.credentials(&second).await.0, credentials.0);
    assert!(world.lets_in(&world.credentials(&second).await).await);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_of_somebody_else_is_left_alone() {
    let world = World::new().await;
    world.start().await;
    let foreign = Secret {
        metadata: ObjectMeta { name: Some("orders-oauth2-client".to_owned()), ..ObjectMeta::default() },
        data: Some([("CLIENT_SECRET".to_owned(), ByteString(b"theirs-and-nobody-elses".to_vec()))].into()),
        ..Secret::default()
    };
    let foreign = world.create_secret(&foreign).await;
    let orders = world.oac("orders");
    orders.create(json!({"grantTypes": ["client_credentials"]})).await;
    orders.stands(Reason::SecretConflict).await;
    world.resync(1).await;
    assert_eq!(world.secret("orders-oauth2-client").await.unwrap(), foreign);

    // Another name is a way out.
    orders.edit(json!({"secret": {"name": "orders"}})).await;
    let client = orders.ready().await;
    assert!(world.lets_in(&world.credentials(&client).await).await);
    let still = world.secret("orders-oauth2-client").await.unwrap();
    assert_eq!(entry(&still, "CLIENT_SECRET").as_deref(), Some("theirs-and-nobody-elses"));
    assert!(still.labels().is_empty() && still.owner_references().is_empty());
    world.finish().await;
}

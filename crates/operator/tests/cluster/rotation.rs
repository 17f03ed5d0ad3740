//! Rotation of client secrets.

use crd::{OAuth2Client, StatusTime};
use jiff::SignedDuration;
use oauth::{ClientId, ClientSecret};
use serde_json::json;

use crate::world::World;

const ROTATE: &str = "keywright.dev/rotate-secret";

/// Waits until the Secret holds another secret than these.
async fn rotated(
    world: &World,
    client: &OAuth2Client,
    former: &[&(ClientId, ClientSecret)],
) -> (ClientId, ClientSecret) {
    let another = async || {
        let credentials = world.credentials(client).await;
        (!former.contains(&&credentials)).then_some(credentials)
    };
    let credentials = world.until("another secret", another).await;
    world.until("a working secret", async || world.lets_in(&credentials).await.then_some(())).await;
    credentials
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_is_rotated_by_its_age_and_its_predecessor_works_for_the_overlap() {
    let world = World::new().await;
    world.start().await;
    let orders = world.oac("orders");
    let rotation = json!({"period": "720h", "overlap": "48h"});
    orders.create(json!({"grantTypes": ["client_credentials"], "secretRotation": rotation})).await;
    let client = orders.ready().await;
    let first = world.credentials(&client).await;
    let next = |client: &OAuth2Client| {
        let rotation = client.status.as_ref().and_then(|status| status.secret_rotation.clone());
        rotation.and_then(|rotation| rotation.next_rotation_time).map(StatusTime::get)
    };
    let due = world.now() + SignedDuration::from_hours(720);
    assert_eq!(next(&client), Some(due));

    world.advance(SignedDuration::from_secs(720 * 3600 - 1));
    world.resync(1).await;
    assert_eq!(world.credentials(&client).await, first, "a second too early");
    world.advance(SignedDuration::from_secs(1));
    world.resync(1).await;
    let second = rotated(&world, &client, &[&first]).await;
    assert_eq!(second.0, first.0);
    assert!(world.lets_in(&first).await);
    orders
        .until("the next one is told", |client| next(client) == Some(due + SignedDuration::from_hours(720)))
        .await;
    world.advance(SignedDuration::from_secs(48 * 3600 - 1));
    assert!(world.lets_in(&first).await);
    world.advance(SignedDuration::from_secs(1));
    assert!(!world.lets_in(&first).await && world.lets_in(&second).await);

    // However long nobody was there, it is one rotation.
    world.advance(SignedDuration::from_hours(10 * 720));
    world.resync(1).await;
    rotated(&world, &client, &[&first, &second]).await;
    world.resync(1).await;
    orders.tells(&["Created", "SecretRotated", "SecretRotated"]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_rotates_once_and_waits_for_the_overlap() {
    let world = World::new().await;
    world.start().await;
    let orders = world.oac("orders");
    // A request that stands there from the beginning is none.
    let spec = json!({"grantTypes": ["client_credentials"]});
    orders.create_with(spec, json!({ROTATE: "0"})).await;
    let client = orders.ready().await;
    let first = world.credentials(&client).await;
    world.resync(1).await;
    assert_eq!(world.credentials(&client).await, first);

    orders.annotate(ROTATE, "1").await;
    let second = rotated(&world, &client, &[&first]).await;
    let handled = |client: &OAuth2Client, value: &str| {
        let rotation = client.status.as_ref().and_then(|status| status.secret_rotation.clone());
        rotation.and_then(|rotation| rotation.last_handled_request).as_deref() == Some(value)
    };
    orders.until("it is told", |client| handled(client, "1")).await;
    orders.annotate(ROTATE, "1").await;
    world.resync(1).await;
    assert_eq!(world.credentials(&client).await, second, "the same request again is none");

    // Another one waits while the first secret still works: else a workload that holds it would be locked out.
    orders.annotate(ROTATE, "2").await;
    world.resync(1).await;
    assert_eq!(world.credentials(&client).await, second);
    assert!(world.lets_in(&first).await);
    world.advance(SignedDuration::from_hours(24));
    world.resync(1).await;
    let third = rotated(&world, &client, &[&first, &second]).await;
    assert!(world.lets_in(&second).await && !world.lets_in(&first).await && world.lets_in(&third).await);
    orders.until("it is told", |client| handled(client, "2")).await;
    orders.tells(&["Created", "SecretRotated", "SecretRotated"]).await;
    world.finish().await;
}

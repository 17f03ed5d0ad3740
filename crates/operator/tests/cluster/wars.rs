//! Others who undo what the operator does, again and again.

use std::time::{Duration, Instant};

use crd::Reason;
use jiff::SignedDuration;
use kube::ResourceExt;
use kube::api::PatchParams;
use serde_json::json;

use crate::resource::Kind;
use crate::world::{OPERATOR, World, merge};

/// How often the other one strikes.
const STRIKES: usize = 40;
/// The pause between two strikes.
const PAUSE: Duration = Duration::from_millis(150);

/// How often the operator may answer in this time: its burst, one more in each six seconds, and one in between.
fn bound(started: Instant) -> usize {
    20 + usize::try_from(started.elapsed().as_secs() / 6).unwrap() + 2
}

async fn writes(world: &World, resource: &str) -> usize {
    let writes = world.cluster.writes(&world.namespace).await;
    writes.iter().filter(|write| write.user_agent == OPERATOR && write.resource == resource).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_write_one_secret_do_not_write_without_end() {
    let world = World::new().await;
    world.start().await;
    let client = world.ready_service("orders").await;
    let workload = world.credentials(&client).await;
    let before = writes(&world, "secrets").await;
    let started = Instant::now();
    for n in 0..STRIKES {
        let value = format!("somebody-elses-value-{n}");
        let strike = merge(json!({"stringData": {"CLIENT_SECRET": value}}));
        world.secrets().patch("orders-oauth2-client", &PatchParams::default(), &strike).await.unwrap();
        tokio::time::sleep(PAUSE).await;
    }
    let answers = writes(&world, "secrets").await - before;
    assert!((1..=bound(started)).contains(&answers), "{answers} in {:?}", started.elapsed());
    assert!(world.lets_in(&workload).await, "whom the war does not concern goes on");
    // Its answers come ever more slowly, but they come.
    world.oac("orders").stands(Reason::SecretInvalid).await;
    world.advance(SignedDuration::from_hours(2));
    world.resync(1).await;
    world.oac("orders").ready().await;
    assert!(world.lets_in(&world.credentials(&client).await).await);
    world.finish().await;
}

/// A status is what the operator says; what others make of it is of no interest until there is something to say.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_that_somebody_else_keeps_writing_is_no_reason_to_write() {
    let world = World::new().await;
    world.start().await;
    world.ready_service("orders").await;
    world.rest().await;
    let orders = world.oac("orders");
    let before = writes(&world, "oauth2clients/status").await;
    for n in 0..STRIKES {
        let strike = merge(json!({"status": {"secretName": format!("another-{n}"), "conditions": []}}));
        orders.api.patch_status("orders", &PatchParams::default(), &strike).await.unwrap();
    }
    world.rest().await;
    assert_eq!(writes(&world, "oauth2clients/status").await, before);
    let struck = orders.get().await.unwrap();
    assert!(struck.conditions().is_empty(), "it was struck");
    world.resync(1).await;
    let client = orders.ready().await;
    assert_eq!(client.status.unwrap().secret_name.as_deref(), Some("orders-oauth2-client"));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finalizer_that_is_taken_away_comes_back_but_not_without_end() {
    let world = World::new().await;
    world.start().await;
    world.ready_service("orders").await;
    let orders = world.oac("orders");
    let before = writes(&world, "oauth2clients").await;
    let started = Instant::now();
    for _ in 0..STRIKES {
        orders.patch(json!({"metadata": {"finalizers": null}})).await;
        tokio::time::sleep(PAUSE).await;
    }
    let answers = writes(&world, "oauth2clients").await - before;
    assert!((1..=bound(started)).contains(&answers), "{answers} in {:?}", started.elapsed());
    let client = orders.until("it is back", |client| !client.finalizers().is_empty()).await;
    assert!(client.is_ready());
    world.finish().await;
}

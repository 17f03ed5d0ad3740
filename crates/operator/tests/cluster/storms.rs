//! An API server that is there, and refuses or forgets.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::json;

use crate::api_proxy::{ApiProxy, Weather};
use crate::world::{OPERATOR, World};

/// How many watches an operator has: of both kinds, and of Secrets by labels.
const WATCHES: usize = 5;

/// Waits until a number has grown by so much, and tells how long that took.
async fn grows_by(world: &World, what: &str, by: usize, number: impl Fn() -> usize) -> Duration {
    let (began, before) = (Instant::now(), number());
    world.until(what, async || (number() >= before + by).then_some(())).await;
    began.elapsed()
}

/// Scenario 37: watches that are closed with 410.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_that_lose_their_place_begin_anew_ever_more_slowly_and_miss_nothing() {
    let world = World::new().await;
    let (proxy, config) = ApiProxy::before(&world).await;
    world.start_with(config, false).await;
    world.ready_service("before").await;
    world.rest().await;
    assert_eq!(proxy.watches(), WATCHES);

    proxy.turn(Weather::Forgetful);
    let requests = proxy.requests();
    let rounds = 4;
    let took = grows_by(&world, "lost places", rounds * WATCHES, || proxy.forgotten()).await;
    assert!(took > Duration::from_secs(2), "without a pause: {took:?}");
    let asked = proxy.requests() - requests;
    assert!(asked <= 6 * rounds * WATCHES, "{asked} requests for {rounds} rounds");
    // What it cannot watch it learns from lists.
    world.oac("during").create(json!({"grantTypes": ["client_credentials"]})).await;
    world.oac("during").ready().await;

    proxy.turn(Weather::Fair);
    world.oac("before").edit(json!({"scopes": ["write"]})).await;
    let edited = world.oac("before").ready().await;
    let id = world.credentials(&edited).await.0;
    assert_eq!(world.row(&id).await.unwrap().metadata.scope.to_string(), "write");
    let all = async || (proxy.watches() - proxy.forgotten() >= WATCHES).then_some(());
    world.until("all watches are there again", all).await;
    world.rest().await;
    // Now they stay.
    let watches = proxy.watches();
    world.oac("during").edit(json!({"scopes": ["write"]})).await;
    world.oac("during").ready().await;
    assert_eq!(proxy.watches(), watches);
    world.finish().await;
}

/// Scenario 37: storms of 429 and 503.
async fn through_a_storm(storm: Weather, refusals: usize, at_least: Duration) {
    let world = World::new().await;
    let (proxy, config) = ApiProxy::before(&world).await;
    world.start_with(config, false).await;
    world.ready_service("before").await;
    world.rest().await;

    proxy.turn(storm);
    world.oac("before").edit(json!({"scopes": ["write"]})).await;
    world.oac("during").create(json!({"grantTypes": ["client_credentials"]})).await;
    let took = grows_by(&world, "refusals", refusals, || proxy.refused()).await;
    assert!(took > at_least, "{refusals} requests in {took:?}");
    let writes = world.cluster.writes(&world.namespace).await;
    assert!(!writes.iter().any(|write| write.user_agent == OPERATOR && write.name == "during"));

    proxy.turn(Weather::Fair);
    let during = world.oac("during").ready().await;
    assert!(world.lets_in(&world.credentials(&during).await).await);
    world.oac("during").tells(&["Created"]).await;
    let edited = world.oac("before").ready().await;
    let id = world.credentials(&edited).await.0;
    assert_eq!(world.row(&id).await.unwrap().metadata.scope.to_string(), "write");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_asks_for_patience_gets_it() {
    let storm = Weather::Storm(StatusCode::TOO_MANY_REQUESTS, Some(1));
    Box::pin(through_a_storm(storm, 4 * WATCHES, Duration::from_secs(2))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_up_to_it_is_asked_ever_more_seldom() {
    let storm = Weather::Storm(StatusCode::SERVICE_UNAVAILABLE, None);
    // Unasked, the pauses begin with milliseconds.
    Box::pin(through_a_storm(storm, 10 * WATCHES, Duration::from_secs(1))).await;
}

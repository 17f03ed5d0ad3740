//! Two servers on one PostgreSQL: what one of them changes, the other one knows.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::time::{Duration, Instant};

use common::silent_proxy::SilentProxy;
use common::{
    TestClient, TestServer, make_token_sets, open_listening, registered, registered_for_jwt, settings,
};
use harness::{TestDatabase, eventually};
use jose::SigningAlgorithm;
use store::Clock;

/// How late a server may be that hears nothing any more: two seconds, and what a busy machine adds.
const STALE_AT_MOST: Duration = Duration::from_millis(3500);

async fn two_servers(database: &TestDatabase) -> (TestServer, TestServer) {
    let a = TestServer::start(database, Clock::system()).await;
    make_token_sets(&a.store, SigningAlgorithm::Es256).await;
    (a, TestServer::start(database, Clock::system()).await)
}

/// A second server, behind a channel that can fall silent.
async fn behind_proxy(database: &TestDatabase) -> (SilentProxy, TestServer) {
    let (proxy, listen_url) = SilentProxy::to(&database.url).await;
    let store = open_listening(database, Clock::system(), listen_url).await;
    let server = TestServer::with(store, settings()).await;
    server.cached().await;
    assert!(proxy.passed() > 0, "the notifications come through the proxy");
    (proxy, server)
}

#[tokio::test]
async fn introspection_anywhere_knows_at_once_what_happened_anywhere() {
    let database = TestDatabase::postgres().await;
    let (a, b) = two_servers(&database).await;
    for metadata in [registered(), registered_for_jwt()] {
        let client = TestClient::create(&a.store, "orders", metadata.clone()).await;
        let (revoked, orphan) = (a.access_token(&client).await, b.access_token(&client).await);
        assert!(b.is_active(&revoked).await && a.is_active(&orphan).await);
        a.revoke(&client, &revoked).await;
        assert!(!b.is_active(&revoked).await, "revoked");
        assert!(b.is_active(&orphan).await);
        client.delete(&a.store).await;
        assert!(!b.is_active(&orphan).await, "deleted");
        let again = TestClient::create(&a.store, "orders", metadata).await;
        assert!(!b.is_active(&orphan).await, "made again");
        assert!(!b.is_active(&revoked).await);
        again.delete(&a.store).await;
    }
}

#[tokio::test]
async fn issuing_follows_as_soon_as_it_is_notified() {
    let database = TestDatabase::postgres().await;
    let a = TestServer::start(&database, Clock::system()).await;
    let client = TestClient::create(&a.store, "orders", registered()).await;
    // B begins to listen after that: nothing that it hears empties its cache for now.
    let b = TestServer::start(&database, Clock::system()).await;
    assert!(b.issues_to(&client).await);
    let before = b.store.statements();
    assert!(b.issues_to(&client).await);
    assert_eq!(b.store.statements(), before, "B issues from its cache");
    client.delete(&a.store).await;
    eventually("B refuses a deleted client", async || !b.issues_to(&client).await).await;
    let again = TestClient::create(&a.store, "orders", registered()).await;
    eventually("B issues to the new one", async || b.issues_to(&again).await).await;
    assert!(!b.issues_to(&client).await, "and not to the old one");
    assert!(a.is_active(&b.access_token(&again).await).await);
    assert!(b.store.is_cache_trusted(), "all this was told, not timed out");
}

#[tokio::test]
async fn issuing_stops_within_two_seconds_where_the_network_swallows_the_notifications() {
    let database = TestDatabase::postgres().await;
    let a = TestServer::start(&database, Clock::system()).await;
    let client = TestClient::create(&a.store, "orders", registered()).await;
    let (proxy, b) = behind_proxy(&database).await;
    let token = b.access_token(&client).await;
    let before = b.store.statements();
    assert!(b.issues_to(&client).await);
    assert_eq!(b.store.statements(), before, "B issues from its cache");
    proxy.fall_silent();
    client.delete(&a.store).await;
    let deleted = Instant::now();
    assert!(!b.is_active(&token).await, "introspection does not wait for any notification");
    eventually("B refuses the deleted client", async || !b.issues_to(&client).await).await;
    assert!(deleted.elapsed() < STALE_AT_MOST, "after {:?}", deleted.elapsed());
    eventually("the proxy has swallowed something", async || proxy.swallowed() > 0).await;
    assert!(!b.store.is_cache_trusted());
    let again = TestClient::create(&a.store, "orders", registered()).await;
    assert!(b.issues_to(&again).await, "without its cache B still works");
}

#[tokio::test]
async fn a_new_secret_works_everywhere_at_once_even_unheard() {
    let database = TestDatabase::postgres().await;
    let a = TestServer::start(&database, Clock::system()).await;
    let client = TestClient::create(&a.store, "orders", registered()).await;
    let (proxy, b) = behind_proxy(&database).await;
    assert!(b.issues_to(&client).await);
    proxy.fall_silent();
    let rotated = client.add_secret(&a.store).await;
    assert!(b.issues_to(&rotated).await);
    assert!(b.issues_to(&client).await, "and the old one beside it");
}

#[tokio::test]
async fn a_revoked_key_is_trusted_nowhere() {
    let database = TestDatabase::postgres().await;
    let (a, b) = two_servers(&database).await;
    let client = TestClient::create(&a.store, "orders", registered_for_jwt()).await;
    let token = b.access_token(&client).await;
    assert!(b.is_active(&token).await);
    let set = store::ACCESS_TOKEN_SET;
    let mut declared = common::declaration(set, SigningAlgorithm::Es256, store::StoredRotation::Manual);
    let row = a.store.read_key_set(set).await.unwrap().unwrap();
    declared.revoked = row.keys.iter().map(|key| key.schedule.kid.clone()).collect();
    a.store.declare_key_set(&declared).await.unwrap();
    assert!(!a.is_active(&token).await);
    eventually("B has forgotten the key", async || !b.is_active(&token).await).await;
    let next = b.access_token(&client).await;
    assert!(a.is_active(&next).await && b.is_active(&next).await);
}

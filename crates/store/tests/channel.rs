//! When the invalidation channel fails, memory is not believed.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use std::time::{Duration, Instant};

use common::proxy::Proxy;
use common::{client_id, clock, costing, create_client, named, number, read, try_open};
use harness::{TestDatabase, eventually};
use sqlx::Row;
use store::{Options, Store};

/// Beside the two seconds after which silence ends belief: this machine may be busy.
const MARGIN: Duration = Duration::from_secs(2);

async fn trusted(store: &Store) {
    eventually("the cache is trusted", async || store.is_cache_trusted()).await;
}

async fn rename(store: &Store, name: &str) {
    let row = read(store, "orders").await;
    store.update_client(&row.fence(), &named(name), row.manager.as_ref().unwrap(), "digest").await.unwrap();
}

async fn name_at(store: &Store) -> String {
    let client = store.client(&client_id("orders")).await.unwrap().unwrap();
    client.metadata.client_name.clone()
}

async fn kept(store: &Store) {
    eventually("the client is kept", async || costing(store, name_at(store)).await.1 == 0).await;
}

#[tokio::test]
async fn a_channel_that_falls_silent_is_not_believed_for_more_than_two_seconds() {
    let database = TestDatabase::postgres().await;
    let proxy = Proxy::to(&database.url).await;
    let a = database.open(clock()).await;
    let listening = Options { listen_url: Some(proxy.url.clone()), ..database.options() };
    let b = try_open(listening).await.unwrap();
    create_client(&a, "orders").await;
    trusted(&b).await;
    kept(&b).await;

    proxy.swallow();
    let silent_since = Instant::now();
    rename(&a, "second").await;
    eventually("the change is seen all the same", async || name_at(&b).await == "second").await;
    let late = silent_since.elapsed();
    assert!(late < Duration::from_secs(2) + MARGIN, "{late:?}");
    assert!(proxy.swallowed() > 0, "the channel was silent indeed");
    assert!(!b.is_cache_trusted());

    // From here on each read asks the database, however long it lasts.
    let until = Instant::now() + Duration::from_secs(3);
    let mut turn = 0;
    while Instant::now() < until {
        turn += 1;
        rename(&a, &format!("turn {turn}")).await;
        assert_eq!(costing(&b, name_at(&b)).await, (format!("turn {turn}"), 1));
    }

    // What is loaded now and changes before the channel is back must not be believed afterwards.
    rename(&a, "while it was silent").await;
    proxy.pass();
    trusted(&b).await;
    assert_eq!(name_at(&b).await, "while it was silent");
    kept(&b).await;
    rename(&a, "heard").await;
    let told = Instant::now();
    eventually("the channel tells of changes again", async || name_at(&b).await == "heard").await;
    assert!(told.elapsed() < MARGIN);
}

#[tokio::test]
async fn a_terminated_listener_comes_back_with_an_empty_memory() {
    let database = TestDatabase::postgres().await;
    let a = database.open(clock()).await;
    let named_listener = Options {
        listen_url: Some(format!("{}?application_name=listener", database.url)),
        ..database.options()
    };
    let b = try_open(named_listener).await.unwrap();
    create_client(&a, "orders").await;
    for turn in 0..3 {
        trusted(&b).await;
        kept(&b).await;
        let terminated = common::sql(
            &database,
            "SELECT CAST(COUNT(pg_terminate_backend(pid)) AS BIGINT) FROM pg_stat_activity \
             WHERE application_name = 'listener' AND datname = current_database()",
        )
        .await;
        assert_eq!(terminated[0].get::<i64, _>(0), 1);
        eventually("the loss is noticed", async || !b.is_cache_trusted()).await;
        let name = format!("turn {turn}");
        rename(&a, &name).await;
        assert_eq!(costing(&b, name_at(&b)).await, (name.clone(), 1));
        rename(&a, "unheard").await;
        trusted(&b).await;
        assert_eq!(name_at(&b).await, "unheard");
    }
    let listeners = "SELECT COUNT(*) FROM pg_stat_activity WHERE application_name = 'listener' \
                     AND datname = current_database()";
    assert_eq!(number(&database, listeners).await, 1, "none is left behind");
}

#[tokio::test]
async fn a_listener_finds_a_database_that_comes_late() {
    let database = TestDatabase::postgres().await;
    let mut proxy = Proxy::to(&database.url).await;
    proxy.cut().await;
    let listening = Options { listen_url: Some(proxy.url.clone()), ..database.options() };
    let store = try_open(listening).await.unwrap();
    create_client(&store, "orders").await;
    assert_eq!(costing(&store, name_at(&store)).await.1, 1);
    assert!(!store.is_cache_trusted());
    proxy.restore().await;
    trusted(&store).await;
    kept(&store).await;
}

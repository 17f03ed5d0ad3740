//! What servers keep in memory is what the database holds.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use std::sync::Arc;

use common::proxy::Proxy;
use common::{
    authenticates, client_id, clock, costing, create_client, databases, declaration, declare, every, named,
    new_client, read, try_open,
};
use harness::{TestDatabase, eventually};
use oauth::{Client, ClientId, ClientSecretHash};
use store::{ACCESS_TOKEN_SET, Clock, Options, Store};

/// Opens the database, and waits until it may be read from memory.
async fn open_trusting(database: &TestDatabase) -> Store {
    let store = database.open(clock()).await;
    eventually("the cache is trusted", async || store.is_cache_trusted()).await;
    store
}

async fn cached(store: &Store, id: &ClientId) -> Option<Arc<Client>> {
    store.client(id).await.unwrap()
}

async fn cached_name(store: &Store, id: &ClientId) -> Option<String> {
    cached(store, id).await.map(|client| client.metadata.client_name.clone())
}

#[tokio::test]
async fn a_client_in_memory_costs_nothing_and_a_fresh_one_a_statement() {
    for database in databases().await {
        let store = open_trusting(&database).await;
        create_client(&store, "orders").await;
        let id = client_id("orders");
        // On SQLite any write invalidates everything once more, when it is noticed in the file.
        eventually("the client is kept", async || costing(&store, cached(&store, &id)).await.1 == 0).await;
        for _ in 0..100 {
            let (client, statements) = costing(&store, cached(&store, &id)).await;
            assert_eq!((client.unwrap().id.as_str(), statements), ("orders", 0));
        }
        for _ in 0..3 {
            let (client, statements) = costing(&store, store.fresh_client(&id)).await;
            assert_eq!((client.unwrap().is_some(), statements), (true, 1));
        }
    }
}

#[tokio::test]
async fn that_there_is_no_client_is_remembered_until_there_is_one() {
    for database in databases().await {
        let [one, other] = [open_trusting(&database).await, open_trusting(&database).await];
        let absent = client_id("absent");
        for store in [&one, &other] {
            // On SQLite any write invalidates everything once more, when it is noticed in the file.
            eventually("absence is kept", async || costing(store, cached(store, &absent)).await.1 == 0).await;
            assert!(cached(store, &absent).await.is_none() && store.is_at_hand(&absent));
        }
        create_client(&one, "absent").await;
        assert!(cached(&one, &absent).await.is_some(), "whoever created it sees it at once");
        eventually("others do when they hear of it", async || cached(&other, &absent).await.is_some()).await;
    }
}

#[tokio::test]
async fn key_sets_in_memory_cost_nothing() {
    for database in databases().await {
        let store = open_trusting(&database).await;
        declare(&store, &declaration(ACCESS_TOKEN_SET, every(168, 24))).await;
        let load = async || store.keys().await.unwrap();
        eventually("the key sets are kept", async || costing(&store, load()).await.1 == 0).await;
        for _ in 0..10 {
            let (keys, statements) = costing(&store, load()).await;
            assert!(keys.signing_key(ACCESS_TOKEN_SET, None, store.clock().now()).is_some());
            assert_eq!(statements, 0);
        }
    }
}

#[tokio::test]
async fn a_store_that_does_not_listen_reads_from_the_database() {
    for database in databases().await {
        let options = Options { listen_url: None, ..database.options() };
        let store = try_open(options).await.unwrap();
        create_client(&store, "orders").await;
        for _ in 0..3 {
            let (client, statements) = costing(&store, cached(&store, &client_id("orders"))).await;
            assert_eq!((client.is_some(), statements), (true, 1));
            let (_, statements) = costing(&store, store.keys()).await;
            assert_eq!(statements, 1);
        }
        assert!(!store.is_cache_trusted());
    }
}

#[tokio::test]
async fn a_process_sees_its_own_changes_at_once() {
    for database in databases().await {
        let store = open_trusting(&database).await;
        create_client(&store, "orders").await;
        let id = client_id("orders");
        for turn in 0..50 {
            let row = read(&store, "orders").await;
            cached(&store, &id).await;
            let name = format!("turn {turn}");
            store
                .update_client(&row.fence(), &named(&name), row.manager.as_ref().unwrap(), "digest")
                .await
                .unwrap();
            assert_eq!(cached_name(&store, &id).await, Some(name));
        }
        let row = read(&store, "orders").await;
        store.delete_client(&row.id, row.manager.as_ref().unwrap()).await.unwrap();
        assert!(cached(&store, &id).await.is_none());

        let now = store.clock().now();
        let mut declared = declaration(ACCESS_TOKEN_SET, every(168, 24));
        for turn in 0..10 {
            declared.rotate_now = Some(turn.to_string());
            let after = declare(&store, &declared).await.after;
            let active =
                jose::schedule::active_key(&after.scheduled(), common::ES256, now).unwrap().kid.clone();
            let signing = store.keys().await.unwrap().signing_key(ACCESS_TOKEN_SET, None, now).unwrap();
            assert_eq!(*signing.signer.key_id(), active);
            store.clock().advance(common::minutes(1));
        }
    }
}

#[tokio::test]
async fn each_kind_of_change_is_seen_by_another_process() {
    for database in databases().await {
        let (a, b) = (open_trusting(&database).await, open_trusting(&database).await);
        let id = client_id("orders");
        let (_, first) = create_client(&a, "orders").await;
        eventually("the client is there", async || cached(&b, &id).await.is_some()).await;

        let row = read(&a, "orders").await;
        a.update_client(&row.fence(), &named("second"), row.manager.as_ref().unwrap(), "digest")
            .await
            .unwrap();
        eventually("the update is seen", async || cached_name(&b, &id).await.as_deref() == Some("second"))
            .await;

        let live = async || cached(&b, &id).await.unwrap().secrets.len();
        let (_, other) = new_client(&a, "orders");
        let hash = ClientSecretHash::of_generated(a.ring(), &row.id, row.incarnation, &other);
        a.set_pending_secret(&read(&a, "orders").await.fence(), &hash).await.unwrap();
        eventually("the pending secret is seen", async || live().await == 2).await;
        a.remove_secrets(&read(&a, "orders").await.fence()).await.unwrap();
        eventually("the removal of the secrets is seen", async || live().await == 0).await;
        assert!(!authenticates(&b, "orders", &first).await);

        a.delete_client(&row.id, row.manager.as_ref().unwrap()).await.unwrap();
        eventually("the deletion is seen", async || cached(&b, &id).await.is_none()).await;

        let sets = async || b.keys().await.unwrap().sets().len();
        assert_eq!(sets().await, 0);
        let declared = declaration(ACCESS_TOKEN_SET, every(168, 24));
        declare(&a, &declared).await;
        eventually("the key set is seen", async || sets().await == 1).await;
        a.delete_key_set(ACCESS_TOKEN_SET, &declared.manager).await.unwrap();
        eventually("the key set's deletion is seen", async || sets().await == 0).await;
    }
}

#[tokio::test]
async fn a_fresh_read_that_finds_no_client_forgets_the_one_in_memory() {
    let database = TestDatabase::postgres().await;
    let store = open_trusting(&database).await;
    let id = client_id("orders");
    create_client(&store, "orders").await;
    eventually("the client is kept", async || costing(&store, cached(&store, &id)).await.1 == 0).await;
    // Past the store and the table's triggers, so that nobody is notified.
    common::sql(&database, "ALTER TABLE clients DISABLE TRIGGER USER; DELETE FROM clients").await;
    assert!(cached(&store, &id).await.is_some(), "it is in memory still");
    assert!(store.fresh_client(&id).await.unwrap().is_none());
    assert!(cached(&store, &id).await.is_none());
}

#[tokio::test]
async fn a_load_that_a_change_overtakes_is_not_kept() {
    let database = TestDatabase::postgres().await;
    let proxy = Proxy::to(&database.url).await;
    let writer = database.open(clock()).await;
    let (id, marker) = (client_id("orders"), client_id("marker"));
    for id in ["orders", "marker"] {
        create_client(&writer, id).await;
    }
    // It listens only now: all that it hears is what follows.
    let reader = try_open(database.options_at(&proxy.url)).await.unwrap();
    eventually("the marker is kept", async || costing(&reader, cached(&reader, &marker)).await.1 == 0).await;

    // The reader's load has been answered with the old value, but the answer is still on its way.
    proxy.hold_answers(Some("orders"));
    let load = tokio::spawn({
        let (reader, id) = (reader.clone(), id.clone());
        async move { cached_name(&reader, &id).await }
    });
    eventually("the load is answered", async || proxy.held_answers() == 1).await;
    for id in ["orders", "marker"] {
        let row = read(&writer, id).await;
        writer
            .update_client(&row.fence(), &named("second"), row.manager.as_ref().unwrap(), "digest")
            .await
            .unwrap();
    }
    // The changes are heard in their order: when the marker is to be loaded anew, the client has been invalidated.
    eventually("the changes are heard", async || costing(&reader, cached(&reader, &marker)).await.1 > 0)
        .await;
    proxy.hold_answers(None);
    assert_eq!(load.await.unwrap().as_deref(), Some("first"), "the load did see the old value");
    assert!(reader.is_cache_trusted());
    assert_eq!(cached_name(&reader, &id).await.as_deref(), Some("second"));
}

/// Readers load while a writer writes; a load that keeps what it read before the write would stay wrong for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_load_beside_a_change_leaves_no_older_value_behind() {
    for database in databases().await {
        let (a, b) = (open_trusting(&database).await, open_trusting(&database).await);
        let id = client_id("orders");
        create_client(&a, "orders").await;
        // A file is asked for others' writes five times a second only.
        let waits_every = if database.url.starts_with("sqlite") { 30 } else { 1 };
        for turn in 0..=90 {
            let readers: Vec<_> = [&a, &a, &b, &b]
                .into_iter()
                .map(|store| {
                    let (store, id) = (store.clone(), id.clone());
                    tokio::spawn(async move {
                        for _ in 0..4 {
                            cached(&store, &id).await;
                        }
                    })
                })
                .collect();
            let row = read(&a, "orders").await;
            let name = format!("turn {turn}");
            a.update_client(&row.fence(), &named(&name), row.manager.as_ref().unwrap(), "digest")
                .await
                .unwrap();
            assert_eq!(cached_name(&a, &id).await.as_deref(), Some(name.as_str()), "at the writer");
            for reader in readers {
                reader.await.unwrap();
            }
            assert_eq!(
                cached_name(&a, &id).await.as_deref(),
                Some(name.as_str()),
                "at the writer, afterwards"
            );
            if turn % waits_every == 0 {
                eventually("the other process has it, from memory", async || {
                    let (name_at_b, statements) = costing(&b, cached_name(&b, &id)).await;
                    name_at_b.as_deref() == Some(name.as_str()) && statements == 0
                })
                .await;
            }
        }
    }
}

#[tokio::test]
async fn two_installations_do_not_hear_each_other() {
    // Notifications are per database: the clients of one do not disturb the memory of the other.
    let (one, other) = (TestDatabase::postgres().await, TestDatabase::postgres().await);
    let (a, b) = (open_trusting(&one).await, other.open(Clock::system()).await);
    let id = client_id("orders");
    create_client(&a, "orders").await;
    create_client(&b, "orders").await;
    eventually("the client is kept", async || costing(&a, cached(&a, &id)).await.1 == 0).await;
    let row = read(&b, "orders").await;
    b.update_client(&row.fence(), &named("second"), row.manager.as_ref().unwrap(), "digest").await.unwrap();
    assert_eq!(costing(&a, cached_name(&a, &id)).await, (Some("first".into()), 0));
}

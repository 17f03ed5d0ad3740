//! The rows that resources own, and what is noticed of them.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use std::time::Duration;

use common::{
    client_id, clock, create_client, databases, declaration, declare, disown, every, named,
    new_unmanaged_client, read, resource, sql,
};
use harness::{TestDatabase, eventually};
use oauth::{ClientSecret, ClientSecretHash};
use store::{Adoption, Changed, ManagedRow, Promotion, SecretState, Store};
use tokio::sync::broadcast::Receiver;

async fn versions(store: &Store) -> (i64, i64) {
    (read(store, "orders").await.version, store.read_key_set("invoices").await.unwrap().unwrap().version)
}

/// Keywright's own writes count the version up by one, as their fences expect, with the database's triggers in place.
#[tokio::test]
async fn each_write_of_our_own_is_one_version() {
    for database in databases().await {
        let store = database.open(clock()).await;
        create_client(&store, "orders").await;
        let before = read(&store, "orders").await;
        let secret = ClientSecret::generate(store.entropy());
        let hash = ClientSecretHash::of_generated(store.ring(), &before.id, before.incarnation, &secret);
        store.set_pending_secret(&before.fence(), &hash).await.unwrap();
        let row = read(&store, "orders").await;
        assert_eq!(row.version, before.version + 1);
        let promotion =
            Promotion { hash, previous_expires_at: store.clock().now(), handled_rotate_secret: None };
        store.promote_secret(&row.fence(), &promotion).await.unwrap();
        let row = read(&store, "orders").await;
        assert_eq!(row.version, before.version + 2);
        store.update_client(&row.fence(), &named("second"), &resource("orders"), "digest").await.unwrap();
        let row = read(&store, "orders").await;
        assert_eq!(row.version, before.version + 3);
        store.set_client_deletion(&row.fence(), true).await.unwrap();
        let row = read(&store, "orders").await;
        assert_eq!((row.version, row.deleted_with_manager), (before.version + 4, true));
        store.remove_secrets(&row.fence()).await.unwrap();
        assert_eq!(read(&store, "orders").await.version, before.version + 5);

        let turn = declare(&store, &declaration("invoices", every(720, 24))).await;
        let mut again = declaration("invoices", every(720, 24));
        again.rotate_now = Some("now".into());
        let turned = declare(&store, &again).await;
        assert_eq!(turned.after.version, turn.after.version + 1);
    }
}

async fn heard(changes: &mut Receiver<Changed>, wanted: &Changed) {
    let hear = async { while changes.recv().await.unwrap() != *wanted {} };
    tokio::time::timeout(Duration::from_secs(10), hear).await.unwrap();
}

/// What somebody does past Keywright gives the row another version, and every listener is told.
#[tokio::test]
async fn what_is_changed_by_hand_is_noticed() {
    let database = TestDatabase::postgres().await;
    let store = database.open(clock()).await;
    eventually("it listens", async || store.is_cache_trusted()).await;
    let mut changes = store.changes();
    create_client(&store, "orders").await;
    declare(&store, &declaration("invoices", every(720, 24))).await;
    heard(&mut changes, &Changed::KeySets).await;
    let orders = Changed::Client(client_id("orders"));
    for (statement, client) in [
        ("UPDATE clients SET metadata = '{}' WHERE id = 'orders'", true),
        ("UPDATE client_secrets SET expires_at = 1 WHERE client_id = 'orders'", true),
        ("DELETE FROM client_secrets WHERE client_id = 'orders'", true),
        ("UPDATE key_sets SET lifetime = lifetime + 1", false),
        ("UPDATE keys SET active_at = active_at + 1", false),
        ("DELETE FROM keys", false),
    ] {
        let before = versions(&store).await;
        sql(&database, statement.to_owned()).await;
        let after = versions(&store).await;
        assert_eq!(after.0 > before.0, client, "{statement}");
        assert_eq!(after.1 > before.1, !client, "{statement}");
        heard(&mut changes, if client { &orders } else { &Changed::KeySets }).await;
    }
    sql(&database, "DELETE FROM clients WHERE id = 'orders'".to_owned()).await;
    heard(&mut changes, &orders).await;
    sql(&database, "TRUNCATE clients, client_secrets".to_owned()).await;
    heard(&mut changes, &Changed::Everything).await;
    sql(&database, "TRUNCATE key_sets, keys".to_owned()).await;
    heard(&mut changes, &Changed::KeySets).await;
}

#[tokio::test]
async fn a_client_that_is_adopted_keeps_its_secrets_and_the_former_ones_end() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (new, first) = new_unmanaged_client(&store, "orders");
        store.create_client(&new).await.unwrap();
        let row = read(&store, "orders").await;
        let second = ClientSecret::generate(store.entropy());
        let hash = ClientSecretHash::of_generated(store.ring(), &row.id, row.incarnation, &second);
        store.rotate_secret(&row.fence(), &hash).await.unwrap();
        assert!(store.managed_clients("cluster-1").await.unwrap().is_empty());

        let row = read(&store, "orders").await;
        let adoption = Adoption {
            metadata: named("declared"),
            manager: resource("orders"),
            deleted_with_manager: true,
            spec_hash: "digest".into(),
            handled_rotate_secret: Some("standing".into()),
            former_expire_at: store.clock().now() + common::hours(24),
        };
        store.adopt_client(&row.fence(), &adoption).await.unwrap();
        assert!(store.adopt_client(&row.fence(), &adoption).await.is_err(), "it is the resource's by now");
        let adopted = read(&store, "orders").await;
        assert_eq!(adopted.manager, Some(resource("orders")));
        assert_eq!(adopted.handled_rotate_secret.as_deref(), Some("standing"));
        assert_eq!(adopted.registration_generation, row.registration_generation + 1);
        for secret in [&first, &second] {
            assert!(common::authenticates(&store, "orders", secret).await);
        }
        for secret in &adopted.secrets {
            assert_eq!(secret.expires_at.is_some(), secret.state == SecretState::Previous);
        }
        let cluster = resource("orders").cluster;
        let managed = store.managed_clients(&cluster).await.unwrap();
        assert_eq!(managed.len(), 1);
        assert_eq!((managed[0].key.as_str(), managed[0].version), ("orders", adopted.version));
        assert!(store.managed_clients("another").await.unwrap().is_empty());
        let (unmanaged, _) = new_unmanaged_client(&store, "nobodys");
        store.create_client(&unmanaged).await.unwrap();
        for (ids, found) in
            [(vec![], 0), (vec!["nobodys", "nowhere"], 0), (vec!["nobodys", "orders", "nowhere"], 1)]
        {
            let (ids, statements) = (ids.into_iter().map(client_id).collect(), store.statements());
            assert_eq!(store.managed_clients_of(&ids).await.unwrap(), managed[..found], "{ids:?}");
            assert_eq!(store.statements(), statements + 1);
        }
        declare(&store, &declaration("invoices", every(720, 24))).await;
        assert_eq!(store.managed_key_sets(&cluster).await.unwrap().len(), 1);
        disown(&database, "invoices").await;
        assert!(store.managed_key_sets(&cluster).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn a_key_set_stays_when_its_resource_says_so_and_no_other() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let mut declared = declaration("invoices", every(720, 24));
        declared.deleted_with_manager = true;
        let turn = declare(&store, &declared).await;
        let cluster = declared.manager.cluster.clone();
        let row = async || store.managed_key_sets(&cluster).await.unwrap().remove(0);

        store.keep_key_set("invoices", &resource("another")).await.unwrap();
        assert!(row().await.deleted_with_manager);
        store.keep_key_set("invoices", &declared.manager).await.unwrap();
        assert!(!row().await.deleted_with_manager);
        store.keep_key_set("invoices", &declared.manager).await.unwrap();
        assert_eq!(row().await.version, turn.after.version + 1, "once is enough");
    }
}

#[tokio::test]
async fn nobody_is_told_where_nothing_was_changed() {
    let database = TestDatabase::postgres().await;
    let store = database.open(clock()).await;
    eventually("it listens", async || store.is_cache_trusted()).await;
    declare(&store, &declaration("invoices", every(720, 24))).await;
    let mut changes = store.changes();
    create_client(&store, "before").await;
    heard(&mut changes, &Changed::Client(client_id("before"))).await;

    let (orders, another) = (client_id("before"), resource("another"));
    store.keep_key_set("invoices", &another).await.unwrap();
    assert!(!store.delete_key_set("invoices", &another).await.unwrap());
    assert!(!store.delete_client(&orders, &another).await.unwrap());
    assert!(!store.revoke_client_tokens(&client_id("nobody")).await.unwrap());
    let cluster = another.cluster;
    let stale = |row: &ManagedRow| ManagedRow { version: row.version + 1, ..row.clone() };
    let client = stale(&store.managed_clients(&cluster).await.unwrap()[0]);
    assert!(!store.delete_orphaned_client(&client).await.unwrap());
    let set = stale(&store.managed_key_sets(&cluster).await.unwrap()[0]);
    assert!(!store.delete_orphaned_key_set(&set).await.unwrap());

    create_client(&store, "after").await;
    let next = tokio::time::timeout(Duration::from_secs(30), changes.recv()).await.unwrap();
    assert_eq!(next.unwrap(), Changed::Client(client_id("after")));
}

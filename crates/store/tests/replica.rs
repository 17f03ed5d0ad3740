//! Lists are read from a replica, and nothing else is.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use std::time::Duration;

use common::grants::{TOKEN, new_consent, new_grant, new_login, rotation};
use common::proxy::Proxy;
use common::{client_id, clock, create_client, hours, number, sql, try_open};
use harness::{TestDatabase, TestPostgres, TestReplica, eventually};
use jiff::SignedDuration;
use jose::{Entropy, PrivateKey, RsaBits, SigningAlgorithm};
use oauth::trusted_issuer::TrustRequest;
use oauth::{TokenId, TrustedIssuer};
use serde_json::json;
use sqlx::{Connection, Row};
use store::{ClientFilter, Clock, Connections, Options, Store};

/// How many statements went to the database and to the replica since `before`.
fn since(store: &Store, before: (u64, u64)) -> (u64, u64) {
    (store.statements() - before.0, store.replica_statements() - before.1)
}

fn statements(store: &Store) -> (u64, u64) {
    (store.statements(), store.replica_statements())
}

/// Options for a database that have it read lists from `url`.
fn with_replica(database: &TestDatabase, url: String) -> Options {
    let replica = Connections { url, max_connections: 4, max_lifetime: None, idle_timeout: None };
    Options { replica: Some(replica), ..database.options() }
}

async fn until(store: &Store, used: bool) {
    let is_so = || async { store.is_replica_used() == Some(used) };
    eventually(if used { "the replica is used" } else { "the replica is left alone" }, is_so).await;
}

/// The ids of all clients.
async fn clients(store: &Store) -> Vec<String> {
    let page = store.list_clients("", 100, &ClientFilter::default()).await.unwrap();
    page.clients.iter().map(|client| client.id.to_string()).collect()
}

/// A server, a database of it that a store has used before, and its replica.
async fn servers() -> (TestPostgres, TestDatabase, TestReplica) {
    let postgres = TestPostgres::start("").await;
    let database = TestDatabase::on(postgres.url.clone()).await;
    database.open(clock()).await.close().await;
    let replica = postgres.replica().await;
    (postgres, database, replica)
}

/// Has the replica follow its original, or keeps it where it is.
async fn follow(replica: &TestReplica, database: &TestDatabase, follow: bool) {
    let call = if follow { "SELECT pg_wal_replay_resume()" } else { "SELECT pg_wal_replay_pause()" };
    at(&replica.url_of(&database.url), call).await;
    let asked = if follow { "not paused" } else { "paused" };
    let is_so = || async {
        let state = at(&replica.url_of(&database.url), "SELECT pg_get_wal_replay_pause_state()").await;
        state[0].get::<String, _>(0) == asked
    };
    eventually(asked, is_so).await;
}

/// Runs a statement at a URL.
async fn at(url: &str, statement: &'static str) -> Vec<sqlx::any::AnyRow> {
    sqlx::any::install_default_drivers();
    let mut connection = sqlx::AnyConnection::connect(url).await.unwrap();
    let rows = sqlx::raw_sql(statement).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    rows
}

fn trusted(store: &Store) -> TrustedIssuer {
    let key = PrivateKey::generate(SigningAlgorithm::Es256.into(), RsaBits::B2048).unwrap();
    let request: TrustRequest = serde_json::from_value(json!({
        "issuer": "https://a", "subject": "alice", "scope": ["read"], "jwk": key.public_jwk(),
        "expires_at": store.clock().now() + hours(1),
    }))
    .unwrap();
    TrustedIssuer::new(request, store.clock().now(), store.entropy()).unwrap()
}

#[tokio::test]
async fn a_replica_that_lags_behind_is_asked_for_lists_alone() {
    let (_postgres, database, replica) = servers().await;
    let store = try_open(with_replica(&database, replica.url_of(&database.url))).await.unwrap();
    until(&store, true).await;
    let (client, _) = create_client(&store, "old").await;
    eventually("the replica follows", async || clients(&store).await == ["old"]).await;
    follow(&replica, &database, false).await;

    // Whatever is decided by the database is decided by what it has now, of which the replica knows nothing.
    let before = statements(&store);
    create_client(&store, "new").await;
    assert!(store.read_client(&client_id("new")).await.unwrap().is_some());
    assert!(store.fresh_client(&client_id("new")).await.unwrap().is_some());
    assert!(store.read_key_sets().await.unwrap().is_empty());
    let grant = new_grant(&store, &client, "alice");
    store.redeem_code(&grant).await.unwrap();
    store.rotate_refresh_token(&rotation(&store, &grant, 0)).await.unwrap();
    assert!(store.grant_state(grant.id, TOKEN).await.unwrap().is_some());
    assert!(store.remember_login(&new_login(&store, &grant)).await.unwrap());
    store.remember_consent(&new_consent(&store, &grant)).await.unwrap();
    let consent = store.remembered_consent("alice", &client.id, client.incarnation).await.unwrap();
    assert_eq!(consent.unwrap().consent_request_id, grant.id);
    store.revoke_token(TOKEN, store.clock().now() + hours(1)).await.unwrap();
    assert!(store.token_state(&client.id, TOKEN).await.unwrap().unwrap().revoked);
    let of_subject = store.subject_token_state(&client.id, TokenId([3; 16]), "alice", store.clock().now());
    assert!(!of_subject.await.unwrap().unwrap().revoked);
    let issuer = trusted(&store);
    assert!(store.trust_issuer(&issuer).await.unwrap());
    assert_eq!(store.trusted_issuers_named([issuer.identity(), [0; 16]]).await.unwrap().len(), 1);
    assert_eq!(store.trusted_issuers_of("https://a", None, 10).await.unwrap().issuers.len(), 1);
    assert!(store.trusted_issuer(*issuer.id.as_bytes()).await.unwrap().is_some());
    store.ping().await.unwrap();
    assert_eq!(since(&store, before).1, 0);

    let before = statements(&store);
    assert_eq!(clients(&store).await, ["old"]);
    assert_eq!(since(&store, before), (0, 1));
    assert!(store.consent_sessions("alice", None, 10).await.unwrap().sessions.is_empty());
    assert_eq!(since(&store, before), (0, 3));
    assert!(store.list_trusted_issuers(None, 10, None).await.unwrap().issuers.is_empty());
    assert!(store.list_trusted_issuers(None, 10, Some("https://a")).await.unwrap().issuers.is_empty());
    assert_eq!(since(&store, before), (0, 5));

    follow(&replica, &database, true).await;
    eventually("the replica follows", async || {
        clients(&store).await == ["new", "old"]
            && store.consent_sessions("alice", None, 10).await.unwrap().sessions.len() == 1
            && store.list_trusted_issuers(None, 10, None).await.unwrap().issuers.len() == 1
    })
    .await;
    store.close().await;
}

#[tokio::test]
async fn a_replica_that_is_away_fails_no_list_and_is_used_when_it_is_back() {
    let (_postgres, database, replica) = servers().await;
    let store = try_open(with_replica(&database, replica.url_of(&database.url))).await.unwrap();
    until(&store, true).await;
    create_client(&store, "one").await;
    eventually("the replica follows", async || clients(&store).await == ["one"]).await;
    replica.stop();
    assert_eq!(clients(&store).await, ["one"]);
    assert_eq!(store.is_replica_used(), Some(false));
    let before = statements(&store);
    assert_eq!(clients(&store).await, ["one"]);
    assert_eq!(since(&store, before), (1, 0), "it is not asked in vain each time");
    replica.start().await;
    until(&store, true).await;
    let before = statements(&store);
    assert_eq!(clients(&store).await, ["one"]);
    assert_eq!(since(&store, before), (0, 1));
    store.close().await;
}

#[tokio::test]
async fn a_replica_that_never_answers_holds_a_list_up_for_once() {
    let database = TestDatabase::postgres().await;
    database.open(clock()).await.close().await;
    let proxy = Proxy::to(&database.url).await;
    let store = try_open(with_replica(&database, proxy.url.clone())).await.unwrap();
    until(&store, true).await;
    create_client(&store, "one").await;
    proxy.swallow();
    assert_eq!(clients(&store).await, ["one"]);
    assert_eq!(store.is_replica_used(), Some(false));
}

/// A replica that answers all but what is asked of the clients: it has replayed a lock of their table, and nothing behind
/// it.
async fn lock_clients(replica: &TestReplica, database: &TestDatabase) {
    let url = database.url.clone();
    let mut locker = sqlx::PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE clients IN ACCESS EXCLUSIVE MODE; SELECT pg_switch_wal()")
        .execute(&mut locker)
        .await
        .unwrap();
    let is_locked = || async {
        let locks = "SELECT COUNT(*) FROM pg_locks WHERE relation = CAST('clients' AS REGCLASS) \
                     AND mode = 'AccessExclusiveLock'";
        at(&replica.url_of(&database.url), locks).await[0].get::<i64, _>(0) == 1
    };
    eventually("the replica has the lock", is_locked).await;
    follow(replica, database, false).await;
    locker.close().await.unwrap();
}

/// Waits until the replica has been looked at.
async fn look(database: &TestDatabase, clock: &Clock) {
    // A look that was under way may end first.
    for _ in 0..2 {
        clock.advance(SignedDuration::from_secs(1));
        let now = clock.now().as_second();
        let beat = "SELECT began_at FROM upkeep WHERE name = 'replica'";
        eventually("a look", async || number(database, beat).await == now).await;
    }
}

#[tokio::test]
async fn a_list_that_got_no_answer_keeps_the_others_away_until_there_is_one() {
    let (_postgres, database, replica) = servers().await;
    let clock = clock();
    let options = with_replica(&database, replica.url_of(&database.url));
    let store = Store::open(options, clock.clone(), Entropy::system()).await.unwrap();
    create_client(&store, "one").await;
    until(&store, true).await;
    lock_clients(&replica, &database).await;

    assert_eq!(clients(&store).await, ["one"]);
    assert_eq!(store.is_replica_used(), Some(false));
    let works = "SELECT COUNT(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%FROM clients%' \
                 AND pid <> pg_backend_pid()";
    let works = || async { at(&replica.url_of(&database.url), works).await[0].get::<i64, _>(0) == 0 };
    eventually("the replica gave the statement up", works).await;
    look(&database, &clock).await;
    assert_eq!(store.is_replica_used(), Some(false), "what the list reads does not answer yet");
    let before = statements(&store);
    assert_eq!(clients(&store).await, ["one"]);
    assert_eq!(since(&store, before), (1, 0));

    follow(&replica, &database, true).await;
    until(&store, true).await;
    store.close().await;
}

#[tokio::test]
async fn that_there_was_no_answer_is_known_though_the_caller_did_not_wait_for_it() {
    let (_postgres, database, replica) = servers().await;
    let proxy = Proxy::to(&database.url).await;
    let options = with_replica(&database, replica.url_of(&database.url));
    let store = try_open(Options { database: database.options_at(&proxy.url).database, ..options }).await;
    let store = store.unwrap();
    until(&store, true).await;
    lock_clients(&replica, &database).await;
    // So that no look finds it out.
    proxy.swallow();
    let list = tokio::time::timeout(Duration::from_millis(100), clients(&store));
    assert!(list.await.is_err(), "the table is locked");
    until(&store, false).await;
}

#[tokio::test]
async fn a_replica_that_is_too_far_behind_is_left_alone_until_it_has_caught_up() {
    let (_postgres, database, replica) = servers().await;
    let clock = clock();
    let options = with_replica(&database, replica.url_of(&database.url));
    let store = Store::open(options, clock.clone(), Entropy::system()).await.unwrap();
    assert_eq!(store.replica_lag(), None);
    until(&store, true).await;
    assert_eq!(store.replica_lag(), Some(Duration::ZERO));

    follow(&replica, &database, false).await;
    clock.advance(SignedDuration::from_secs(30));
    eventually("the lag is seen", async || store.replica_lag() >= Some(Duration::from_secs(30))).await;
    assert_eq!(store.is_replica_used(), Some(true));
    create_client(&store, "new").await;
    clock.advance(SignedDuration::from_secs(40));
    until(&store, false).await;
    assert!(store.replica_lag() >= Some(Duration::from_secs(70)), "{:?}", store.replica_lag());
    assert_eq!(clients(&store).await, ["new"]);

    follow(&replica, &database, true).await;
    until(&store, true).await;
    eventually("it has caught up", async || store.replica_lag() < Some(Duration::from_secs(30))).await;
    eventually("its lists have, too", async || clients(&store).await == ["new"]).await;
    store.close().await;
}

#[tokio::test]
async fn what_is_no_copy_of_the_database_is_not_asked() {
    let (database, other) = (TestDatabase::postgres().await, TestDatabase::postgres().await);
    create_client(&database.open(clock()).await, "one").await;
    let store = try_open(with_replica(&database, other.url.clone())).await.unwrap();
    until(&store, false).await;
    assert_eq!(clients(&store).await, ["one"]);
    // It has the tables now, and a root key of its own.
    other.open(clock()).await.close().await;
    let store = try_open(with_replica(&database, other.url.clone())).await.unwrap();
    until(&store, false).await;
    assert_eq!(clients(&store).await, ["one"]);
    // The same database is as good as a copy, but for one that lacks what this version needs.
    let store = try_open(with_replica(&database, database.url.clone())).await.unwrap();
    until(&store, true).await;
    let last = "DELETE FROM _sqlx_migrations WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)";
    sql(&database, last).await;
    until(&store, false).await;
}

//! Databases that go away, hang, or refuse to be written.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use std::time::{Duration, Instant};

use common::proxy::Proxy;
use common::{
    client_id, clock, create_client, databases, declaration, declare, every, minutes, named, new_client,
    number, read, sql, try_open,
};
use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use harness::{TestDatabase, eventually};
use jose::Entropy;
use jose::schedule::State;
use oauth::{ClientSecret, ClientSecretHash};
use sqlx::{AnyConnection, Connection};
use store::{ACCESS_TOKEN_SET, Error, Options, Promotion, PurgeWalk, Store};

/// A connection is waited for this long, then a statement; this machine may be busy.
const BOUND: Duration = Duration::from_secs(3 + 10 + 3);

/// Opens the database through a network that can fail.
async fn behind(proxy: &Proxy, database: &TestDatabase) -> Store {
    let mut options = Options { listen_url: None, ..database.options_at(&proxy.url) };
    options.database.max_connections = 2;
    try_open(options).await.unwrap()
}

/// One call of each kind; all of them must fail in bounded time, as what passes by itself.
async fn all_are_unavailable(store: &Store) {
    let began = Instant::now();
    let id = client_id("orders");
    let (new, _) = new_client(store, "other");
    let declared = declaration(ACCESS_TOKEN_SET, every(168, 24));
    let fence = store::ClientFence { id: id.clone(), version: 1 };
    let metadata = named("x");
    let calls: Vec<BoxFuture<'_, Option<Error>>> = vec![
        store.ping().map(Result::err).boxed(),
        store.client(&id).map(Result::err).boxed(),
        store.keys().map(Result::err).boxed(),
        store.create_client(&new).map(Result::err).boxed(),
        store.update_client(&fence, &metadata, new.manager.as_ref().unwrap(), "x").map(Result::err).boxed(),
        store.delete_client(&id, new.manager.as_ref().unwrap()).map(Result::err).boxed(),
        store.declare_key_set(&declared).map(Result::err).boxed(),
        store.turn_unattended_sets().map(Result::err).boxed(),
    ];
    for (index, error) in join_all(calls).await.into_iter().enumerate() {
        assert!(matches!(error, Some(Error::Unavailable(_))), "call {index}: {error:?}");
        assert!(error.unwrap().is_transient());
    }
    assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
}

async fn comes_back(store: &Store) {
    eventually("the database is there again", async || store.ping().await.is_ok()).await;
    // All connections of the pool, and for writing.
    for _ in 0..3 {
        let (one, other) = tokio::join!(store.read_key_sets(), store.ping());
        one.unwrap();
        other.unwrap();
    }
    create_client(store, &format!("client-{}", store.statements())).await;
}

#[tokio::test]
async fn a_database_that_refuses_connections_is_unavailable_until_it_is_back() {
    let database = TestDatabase::postgres().await;
    let mut proxy = Proxy::to(&database.url).await;
    let store = behind(&proxy, &database).await;
    create_client(&store, "orders").await;
    proxy.cut().await;
    all_are_unavailable(&store).await;
    let began = Instant::now();
    let options = Options { listen_url: None, ..database.options_at(&proxy.url) };
    let opened = try_open(options).await;
    assert!(matches!(opened, Err(Error::Unavailable(_))), "{:?}", opened.err());
    assert!(began.elapsed() < BOUND);
    proxy.restore().await;
    comes_back(&store).await;
}

#[tokio::test]
async fn a_database_that_falls_silent_is_unavailable_until_it_is_back() {
    let database = TestDatabase::postgres().await;
    let proxy = Proxy::to(&database.url).await;
    let store = behind(&proxy, &database).await;
    create_client(&store, "orders").await;
    // Both connections have a statement under way when it happens.
    let busy = [(); 2].map(|()| {
        let store = store.clone();
        tokio::spawn(async move {
            loop {
                let began = Instant::now();
                if let Err(error) = store.ping().await {
                    return (error, began.elapsed());
                }
            }
        })
    });
    let sent = store.statements() + 20;
    eventually("they are busy", async || store.statements() > sent).await;
    proxy.swallow();
    for busy in busy {
        let (error, took) = busy.await.unwrap();
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
        assert!(took < BOUND, "{took:?}");
    }
    assert!(proxy.swallowed() > 0, "it was silent indeed");
    all_are_unavailable(&store).await;
    proxy.pass();
    let back = Instant::now();
    comes_back(&store).await;
    assert!(back.elapsed() < BOUND, "the lost connections do not keep their places: {:?}", back.elapsed());
}

#[tokio::test]
async fn a_database_that_may_not_be_written_is_unavailable_for_writing() {
    let database = TestDatabase::postgres().await;
    let store = try_open(Options { listen_url: None, ..database.options() }).await.unwrap();
    let (row, _) = create_client(&store, "orders").await;
    let alter = |change: &str| {
        format!("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I {change}', current_database()); END $$")
    };
    // Sessions keep what they began with: all must begin anew.
    let begin_anew = "SELECT CAST(COUNT(pg_terminate_backend(pid)) AS BIGINT) FROM pg_stat_activity \
                      WHERE datname = current_database() AND pid <> pg_backend_pid()";
    sql(&database, alter("SET default_transaction_read_only = on")).await;
    sql(&database, begin_anew).await;
    eventually("it can be read again", async || store.ping().await.is_ok()).await;

    for attempt in [
        store.update_client(&row.fence(), &named("x"), row.manager.as_ref().unwrap(), "x").await.err(),
        store.delete_client(&row.id, row.manager.as_ref().unwrap()).await.err(),
        store.declare_key_set(&declaration(ACCESS_TOKEN_SET, every(168, 24))).await.err(),
        store.purge(&mut PurgeWalk::default()).await.err(),
        try_open(database.options()).await.err(),
    ] {
        assert!(matches!(attempt, Some(Error::Unavailable(_))), "{attempt:?}");
    }
    assert_eq!(read(&store, "orders").await.version, row.version, "reading goes on");

    sql(&database, format!("BEGIN READ WRITE; {}; COMMIT", alter("RESET ALL"))).await;
    sql(&database, begin_anew).await;
    eventually("it can be written again", async || {
        store.update_client(&row.fence(), &named("x"), row.manager.as_ref().unwrap(), "x").await.is_ok()
    })
    .await;
}

/// A server that vanishes within a transaction holds its locks for as long as PostgreSQL believes in the connection.
#[tokio::test]
async fn a_transaction_whose_server_vanished_does_not_lock_others_out() {
    let database = TestDatabase::postgres().await;
    let proxy = Proxy::to(&database.url).await;
    let lost = behind(&proxy, &database).await;
    let other = try_open(Options { listen_url: None, ..database.options() }).await.unwrap();
    let (row, _) = create_client(&other, "orders").await;

    // The lost one changes the client's row, and waits for its secrets, which somebody holds.
    sqlx::any::install_default_drivers();
    let mut holder = AnyConnection::connect(&database.url).await.unwrap();
    let mut hold = holder.begin().await.unwrap();
    sqlx::query("SELECT hash FROM client_secrets FOR UPDATE").fetch_all(&mut *hold).await.unwrap();
    let hash = row.secrets[0].hash.clone();
    let promoting = tokio::spawn(async move {
        let another = ClientSecret::generate(lost.entropy());
        let another = ClientSecretHash::of_generated(lost.ring(), &row.id, row.incarnation, &another);
        let promotion = Promotion {
            hash: another,
            previous_expires_at: lost.clock().now(),
            handled_rotate_secret: Some(hash.to_string()),
        };
        lost.promote_secret(&row.fence(), &promotion).await
    });
    let waiting = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
                   AND wait_event_type = 'Lock'";
    eventually("it waits for the lock", async || number(&database, waiting).await == 1).await;
    proxy.swallow();
    hold.rollback().await.unwrap();
    let idle = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND state = 'idle in transaction'";
    eventually("its transaction is left open", async || number(&database, idle).await == 1).await;

    eventually("others can write the row again", async || {
        let row = read(&other, "orders").await;
        other.update_client(&row.fence(), &named("second"), row.manager.as_ref().unwrap(), "x").await.is_ok()
    })
    .await;
    assert!(matches!(promoting.await.unwrap(), Err(Error::Unavailable(_))));
    assert_eq!(read(&other, "orders").await.handled_rotate_secret, None, "nothing came of it");
}

/// Polls a call so many times only, then drops it: a caller that went away.
async fn cancelled_after<T>(polls: usize, call: impl Future<Output = T>) -> Option<T> {
    let gone = async {
        for _ in 0..polls {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        done = call => Some(done),
        () = gone => None,
    }
}

#[tokio::test]
async fn callers_that_go_away_leave_no_half_of_a_change_and_no_connection_behind() {
    for database in databases().await {
        let options = database.options_with(2);
        let store = try_open(options).await.unwrap();
        create_client(&store, "orders").await;
        let declared = declaration(ACCESS_TOKEN_SET, every(168, 24));
        declare(&store, &declared).await;
        let (mut went_away, mut stayed) = (0, 0);
        // They stay for longer and longer, until some see the end of it.
        for turn in 0_usize.. {
            if turn >= 300 && stayed >= 20 {
                break;
            }
            let row = read(&store, "orders").await;
            let secret = ClientSecret::generate(store.entropy());
            let hash = ClientSecretHash::of_generated(store.ring(), &row.id, row.incarnation, &secret);
            let rotation = async {
                store.set_pending_secret(&row.fence(), &hash).await?;
                let mut fence = row.fence();
                fence.version += 1;
                let promotion = Promotion {
                    hash: hash.clone(),
                    previous_expires_at: store.clock().now(),
                    handled_rotate_secret: None,
                };
                store.promote_secret(&fence, &promotion).await
            };
            match cancelled_after(turn + turn.saturating_sub(300).pow(2), rotation).await {
                // Where an earlier commit was under way still when the row was read, this one loses against it.
                None | Some(Err(Error::Raced)) => went_away += 1,
                Some(done) => {
                    done.unwrap();
                    stayed += 1;
                }
            }
            // Whatever has become of it, the row is whole: one current secret, at most one pending.
            let after = read(&store, "orders").await;
            let states: Vec<_> = after.secrets.iter().map(|secret| secret.state).collect();
            let current = states.iter().filter(|state| **state == store::SecretState::Current).count();
            assert!((current, states.len() - current) <= (1, 1) && current == 1, "turn {turn}: {states:?}");
        }
        assert!(went_away > 0, "all {stayed} stayed");
        let (one, other) = tokio::join!(store.ping(), store.read_key_sets());
        one.unwrap();
        other.unwrap();
    }
}

#[tokio::test]
async fn a_request_whose_outcome_was_lost_is_done_once() {
    let database = TestDatabase::postgres().await;
    let mut proxy = Proxy::to(&database.url).await;
    let store = behind(&proxy, &database).await;
    let mut declared = declaration(ACCESS_TOKEN_SET, every(168, 24));
    declared.policy.retain_after = 1000 * 3600;
    declare(&store, &declared).await;
    let mut lost = 0;
    for request in 1..=30 {
        store.clock().advance(minutes(1));
        declared.rotate_now = Some(request.to_string());
        // The network fails somewhere between the first statement and long after the commit.
        if cancelled_after(request * 3, store.declare_key_set(&declared)).await.is_none() {
            lost += 1;
        }
        proxy.cut().await;
        proxy.restore().await;
        eventually("it is done", async || store.declare_key_set(&declared).await.is_ok()).await;
        let set = store.read_key_set(ACCESS_TOKEN_SET).await.unwrap().unwrap();
        assert_eq!(set.handled_rotate_now, declared.rotate_now);
        assert_eq!(set.keys.len(), 1 + request, "one new key for each request");
        let now = store.clock().now();
        let active = set.keys.iter().filter(|key| key.schedule.instants.state(now) == State::Active);
        assert_eq!(active.count(), 1);
    }
    assert!(lost > 0, "no outcome was lost");
}

#[tokio::test]
async fn many_callers_share_few_connections() {
    for database in databases().await {
        let options = Options { listen_url: None, ..database.options_with(2) };
        let store = Store::open(options, clock(), Entropy::system()).await.unwrap();
        create_client(&store, "orders").await;
        let calls: Vec<_> = (0..200)
            .map(|index| {
                let store = store.clone();
                tokio::spawn(async move {
                    if index % 4 == 0 {
                        let (new, _) = new_client(&store, &format!("client-{index}"));
                        store.create_client(&new).await
                    } else {
                        store.client(&client_id("orders")).await.map(|client| assert!(client.is_some()))
                    }
                })
            })
            .collect();
        for call in calls {
            call.await.unwrap().unwrap();
        }
        assert_eq!(number(&database, "SELECT COUNT(*) FROM clients").await, 51);
    }
}

#[tokio::test]
async fn a_statement_is_one_round_trip() {
    let database = TestDatabase::postgres().await;
    let proxy = Proxy::to(&database.url).await;
    let store = behind(&proxy, &database).await;
    store.ping().await.unwrap();
    let before = proxy.sent();
    for _ in 0..50 {
        store.ping().await.unwrap();
    }
    let sent = proxy.sent() - before;
    // Once in a second, a connection is asked whether it still works.
    assert!((50..80).contains(&sent), "{sent} messages for 50 statements");
}

#[tokio::test]
async fn a_store_that_is_closed_leaves_no_connection_open() {
    let database = TestDatabase::postgres().await;
    let store = try_open(Options { listen_url: None, ..database.options() }).await.unwrap();
    let (one, other) = tokio::join!(store.ping(), store.ping());
    one.and(other).unwrap();
    tokio::time::timeout(BOUND, store.close()).await.unwrap();
    let others = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    eventually("the connections are closed", async || number(&database, others).await == 0).await;
    assert!(matches!(store.ping().await, Err(Error::Unavailable(_))));
}

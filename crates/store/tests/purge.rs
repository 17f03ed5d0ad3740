//! Forgetting what has expired: a month of it.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::grants::{TOKEN, new_device_authorization, new_grant, remember, rotation};
use common::{clock, costing, create_client, databases, hours, minutes, number, sql};
use harness::TestDatabase;
use jiff::SignedDuration;
use oauth::TokenId;
use store::{NewGrant, PurgeWalk, Redemption, RefreshOutcome, Store, StoredClient};

const TABLES: [&str; 7] = [
    "grants",
    "revocations",
    "login_sessions",
    "consents",
    "parked",
    "revoked_tokens",
    "device_authorizations",
];

async fn count(database: &TestDatabase, of: &str) -> i64 {
    number(database, format!("SELECT COUNT(*) FROM {of}")).await
}

/// Purges until nothing is left to do.
async fn purge(store: &Store, walk: &mut PurgeWalk) {
    while store.purge(walk).await.unwrap() {}
}

/// Everything that is kept, of flows that start now, each for an hour.
async fn fill(store: &Store, client: &StoredClient, subject: &str) -> NewGrant {
    let now = store.clock().now();
    let expires_at = now + hours(1);
    let grant = NewGrant { expires_at, ..new_grant(store, client, subject) };
    assert_eq!(store.redeem_code(&grant).await.unwrap(), Redemption::Redeemed);
    remember(store, &grant, expires_at, Some(expires_at)).await;
    store.park(store.entropy().bytes(), vec![1], expires_at).await.unwrap();
    store.revoke_token(TokenId(store.entropy().bytes()), expires_at).await.unwrap();
    let asked = new_device_authorization(store, expires_at);
    assert!(store.begin_device_authorization(&asked).await.unwrap());
    grant
}

#[tokio::test]
async fn each_row_is_kept_for_ten_minutes_after_it_expired_and_no_longer() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        fill(&store, &client, "alice").await;
        for (after, left) in [(minutes(60), 1), (minutes(10), 1), (SignedDuration::from_secs(1), 0)] {
            store.clock().advance(after);
            purge(&store, &mut PurgeWalk::default()).await;
            for table in TABLES.into_iter().filter(|table| *table != "revocations") {
                assert_eq!(count(&database, table).await, left, "{table}");
            }
        }
    }
}

#[tokio::test]
async fn consents_to_clients_that_are_gone_are_forgotten() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let mut clients = Vec::new();
        for id in ["stays", "goes", "returns"] {
            let (client, _) = create_client(&store, id).await;
            fill(&store, &client, "alice").await;
            clients.push(client);
        }
        sql(&database, "UPDATE consents SET expires_at = NULL").await;
        for gone in &clients[1..] {
            store.delete_client(&gone.id, gone.manager.as_ref().unwrap()).await.unwrap();
        }
        create_client(&store, "returns").await;
        store.clock().advance(hours(10_000));
        purge(&store, &mut PurgeWalk::default()).await;
        assert_eq!(count(&database, "consents").await, 1);
        assert_eq!(count(&database, "consents WHERE client_id = 'stays'").await, 1);
    }
}

/// Rows by the thousand, half of them expired.
async fn thousands(database: &TestDatabase, store: &Store) {
    let numbers = "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 4499)";
    let now = store.clock().now().as_second();
    let expires_at = format!("{now} + (i % 2) * 100000");
    // 16 digits, as many as an id has bytes.
    let blob = "CAST(CAST(1000000000000000 + i AS TEXT) AS BYTEA)";
    for fill in [
        format!(
            "INSERT INTO grants (id, client_id, incarnation, epoch, subject, started_at, created_at, generation, \
             expires_at) {numbers} SELECT {blob}, 'orders', 1, 0, 'alice', 0, 0, 0, {expires_at} FROM n"
        ),
        format!(
            "INSERT INTO consents (subject, client_id, incarnation, consent_request_id, content, granted_at, \
             expires_at) {numbers} SELECT CAST(i AS TEXT), clients.id, clients.incarnation, {blob}, {blob}, 0, \
             {expires_at} FROM n, clients"
        ),
        format!(
            "INSERT INTO parked (id, content, expires_at) {numbers} SELECT {blob}, {blob}, {expires_at} FROM n"
        ),
    ] {
        let sqlite = database.url.starts_with("sqlite");
        sql(database, if sqlite { fill.replace("AS BYTEA", "AS BLOB") } else { fill }).await;
    }
}

#[tokio::test]
async fn a_purge_goes_through_all_rows_in_bites_and_rests_before_the_next() {
    for database in databases().await {
        let store = database.open(clock()).await;
        create_client(&store, "orders").await;
        thousands(&database, &store).await;
        store.clock().advance(hours(2));
        let mut walk = PurgeWalk::default();
        let mut bites = 0;
        loop {
            let before = [count(&database, "grants").await, count(&database, "consents").await];
            let (more, statements) = costing(&store, store.purge(&mut walk)).await;
            bites += 1;
            assert!(statements <= 20, "{statements}");
            let after = [count(&database, "grants").await, count(&database, "consents").await];
            for (before, after) in before.into_iter().zip(after) {
                assert!(before - after <= 1000, "one bite");
            }
            if !more.unwrap() {
                break;
            }
        }
        assert_eq!(bites, 4, "3,500 rows");
        for table in ["grants", "consents", "parked"] {
            assert_eq!(count(&database, table).await, 1750, "{table}");
        }
        sql(&database, "UPDATE grants SET expires_at = 0").await;
        store.clock().advance(minutes(59));
        let (more, statements) = costing(&store, store.purge(&mut walk)).await;
        assert!(!more.unwrap());
        assert_eq!(statements, 16, "it looks where there is an index");
        assert_eq!(count(&database, "grants").await, 1750);
        store.clock().advance(minutes(1));
        purge(&store, &mut walk).await;
        assert_eq!(count(&database, "grants").await, 0);
    }
}

/// Grants that are refreshed every few hours.
struct Chain {
    grant: NewGrant,
    generation: i64,
}

#[tokio::test]
async fn in_a_month_the_tables_stay_bounded_and_nothing_that_is_needed_goes() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        let mut walk = PurgeWalk::default();
        let mut chains: Vec<Chain> = Vec::new();
        let mut ended: Vec<NewGrant> = Vec::new();
        let mut most = [0; TABLES.len()];
        for hour in 0..30 * 24 {
            store.clock().advance(hours(1));
            purge(&store, &mut walk).await;
            let grant = fill(&store, &client, &format!("person {}", hour % 50)).await;
            if hour % 24 == 0 {
                let grant = new_grant(&store, &client, &format!("regular {hour}"));
                store.redeem_code(&grant).await.unwrap();
                chains.push(Chain { grant, generation: 0 });
            }
            if hour % 6 == 0 {
                store.revoke_subject(&grant.subject, None).await.unwrap();
                ended.push(grant);
            }
            if hour % 5 == 0 {
                for chain in &mut chains {
                    let rotation = rotation(&store, &chain.grant, chain.generation);
                    let outcome = store.rotate_refresh_token(&rotation).await.unwrap();
                    assert!(matches!(outcome, RefreshOutcome::Rotated(_)), "hour {hour}: {outcome:?}");
                    chain.generation += 1;
                }
            }
            if hour % 72 == 71 {
                // A regular one is revoked: by its grant, or by its subject.
                let chain = chains.remove(0);
                let revoked = match hour % 144 {
                    71 => store.revoke_subject(&chain.grant.subject, None).await,
                    _ => store.revoke_grant(chain.grant.id, &client.id, chain.grant.expires_at).await,
                };
                revoked.unwrap();
                ended.push(chain.grant);
            }
            for grant in ended.iter().rev().take(3) {
                let known = store.grant_state(grant.id, TOKEN).await.unwrap();
                assert!(known.is_none_or(|state| state.revoked), "hour {hour}");
            }
            if hour % 12 == 11 {
                for (most, table) in most.iter_mut().zip(TABLES) {
                    *most = count(&database, table).await.max(*most);
                }
            }
        }
        assert_eq!(chains.len(), 20);
        for (most, (table, bound)) in most.into_iter().zip(TABLES.into_iter().zip([40, 6, 4, 4, 4, 4, 4])) {
            assert!(most <= bound, "{table}: {most}");
        }
    }
}

#[tokio::test]
async fn one_of_all_servers_walks_through_the_grants_in_an_hour() {
    for database in databases().await {
        let clock = clock();
        let (one, other) = (database.open(clock.clone()).await, database.open(clock.clone()).await);
        let (mut walk, mut others) = (PurgeWalk::shared(), PurgeWalk::shared());
        let (client, _) = create_client(&one, "orders").await;
        purge(&one, &mut walk).await;
        fill(&one, &client, "alice").await;
        clock.advance(minutes(50));
        // It looks at no grant and no consent: another server has in this hour.
        let waits = costing(&other, purge(&other, &mut others)).await.1;
        let walks = costing(&other, purge(&other, &mut PurgeWalk::default())).await.1;
        assert_eq!((waits, count(&database, "grants").await), (walks + 1 - 4, 1));
        clock.advance(minutes(65));
        // The first server is gone.
        purge(&other, &mut others).await;
        assert_eq!(count(&database, "grants").await + count(&database, "consents").await, 0);
        fill(&one, &client, "bob").await;
        clock.advance(minutes(65));
        purge(&other, &mut others).await;
        clock.advance(minutes(10));
        purge(&one, &mut walk).await;
        assert_eq!(
            count(&database, "grants").await,
            1,
            "it is back, and the other one has walked in this hour"
        );

        // A server whose clock was years ahead keeps nobody from it for long.
        sql(&database, "UPDATE upkeep SET began_at = began_at + 100000000").await;
        clock.advance(minutes(60));
        purge(&one, &mut walk).await;
        assert_eq!(count(&database, "grants").await, 0);
    }
}

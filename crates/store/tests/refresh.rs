//! Refreshing grants.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use std::time::Duration;

use common::grants::{TOKEN, new_grant, rotation, rows, state, word};
use common::{clock, costing, create_client, databases, hours, minutes, number, sql};
use harness::TestDatabase;
use jiff::SignedDuration;
use store::{NewGrant, RefreshOutcome, RefreshRotation, RefreshedGrant, Store};

/// A client with one grant, whose code was exchanged just now.
async fn granted(database: &TestDatabase) -> (Store, NewGrant) {
    let store = database.open(clock()).await;
    let (client, _) = create_client(&store, "orders").await;
    let grant = new_grant(&store, &client, "alice");
    store.redeem_code(&grant).await.unwrap();
    (store, grant)
}

/// Refreshes with one statement.
async fn rotate(store: &Store, rotation: &RefreshRotation) -> RefreshOutcome {
    let (done, statements) = costing(store, store.rotate_refresh_token(rotation)).await;
    assert_eq!(statements, 1);
    done.unwrap()
}

fn rotated(outcome: RefreshOutcome) -> RefreshedGrant {
    match outcome {
        RefreshOutcome::Rotated(grant) => grant,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_refresh_token_gives_the_next_and_the_table_does_not_grow() {
    for database in databases().await {
        let (store, grant) = granted(&database).await;
        for generation in 0..5 {
            store.clock().advance(hours(20));
            let rotation = rotation(&store, &grant, generation);
            let after = rotated(rotate(&store, &rotation).await);
            let expected = RefreshedGrant {
                client_id: grant.client_id.clone(),
                subject: grant.subject.clone(),
                session_id: grant.session_id,
                content: grant.content.clone(),
                generation: generation + 1,
                nonce: rotation.nonce,
                rotated_at: store.clock().now(),
                refresh_expires_at: rotation.expires_at,
                started_at: grant.started_at,
            };
            assert_eq!(after, expected);
            let state = state(&store, &grant).await;
            assert_eq!((state.generation, state.rotated_at), (generation + 1, Some(store.clock().now())));
            assert!(!state.revoked);
        }
        assert_eq!(rows(&database).await.len(), 1);
    }
}

#[tokio::test]
async fn a_refresh_never_shortens_what_the_grant_is_kept_for() {
    for database in databases().await {
        let (store, grant) = granted(&database).await;
        let kept = async || number(&database, "SELECT expires_at FROM grants").await;
        let longest = grant.started_at + hours(100);
        let keep = async |generation, keep_until| {
            let rotation = RefreshRotation { keep_until, ..rotation(&store, &grant, generation) };
            rotated(rotate(&store, &rotation).await);
        };
        keep(0, longest).await;
        keep(1, grant.started_at).await;
        assert_eq!(kept().await, longest.as_second());
    }
}

/// After generation 2 was rotated in with ten seconds of grace: what is presented, how many seconds later, with whose
/// nonce, and what it comes to.
const PRESENTED: [(i64, i64, u64, &str, &str); 14] = [
    (2, 0, 10, "own", "rotated"),
    (2, 3600, 0, "own", "rotated"),
    (1, 0, 10, "own", "repeated"),
    (1, 9, 10, "own", "repeated"),
    (1, 10, 10, "own", "reused"),
    (1, 0, 0, "own", "reused"),
    (1, 9, 0, "own", "reused"),
    (1, 0, 0, "the row's", "rotated"),
    (1, 3600, 10, "the row's", "rotated"),
    (0, 0, 10, "own", "reused"),
    (0, 0, 10, "the row's", "reused"),
    (0, 3600, 0, "own", "reused"),
    (3, 0, 10, "own", "refused"),
    (300, 0, 10, "own", "refused"),
];

#[tokio::test]
async fn what_is_presented_decides_and_only_reuse_revokes() {
    for database in databases().await {
        for (generation, later, grace, nonce, expected) in PRESENTED {
            let case = format!("{generation} after {later} s with {grace} s of grace and {nonce} nonce");
            let (store, grant) = granted_anew(&database).await;
            rotated(rotate(&store, &rotation(&store, &grant, 0)).await);
            let last = rotation(&store, &grant, 1);
            let current = rotated(rotate(&store, &last).await);
            store.clock().advance(SignedDuration::from_secs(later));
            let mut presented = rotation(&store, &grant, generation);
            presented.grace = Duration::from_secs(grace);
            if nonce == "the row's" {
                presented.nonce = last.nonce;
            }
            let before = rows(&database).await;
            let outcome = rotate(&store, &presented).await;
            assert_eq!(word(&outcome), expected, "{case}");
            assert_eq!(state(&store, &grant).await.revoked, expected == "reused", "{case}");
            match outcome {
                RefreshOutcome::Repeated(is) => assert_eq!(is, current, "{case}"),
                RefreshOutcome::Rotated(is) if nonce == "the row's" => assert_eq!(is, current, "{case}"),
                RefreshOutcome::Rotated(is) => assert_eq!(is.generation, 3, "{case}"),
                _ => {}
            }
            let touched = expected == "reused" || (expected == "rotated" && nonce == "own");
            assert_eq!(rows(&database).await != before, touched, "{case}");
            store.close().await;
        }
    }
}

async fn granted_anew(database: &TestDatabase) -> (Store, NewGrant) {
    let store = database.open(clock()).await;
    for table in ["grants", "revocations", "clients"] {
        sql(database, format!("DELETE FROM {table}")).await;
    }
    let (client, _) = create_client(&store, "orders").await;
    let grant = new_grant(&store, &client, "alice");
    store.redeem_code(&grant).await.unwrap();
    (store, grant)
}

#[tokio::test]
async fn a_genuine_token_of_another_history_is_reuse() {
    for database in databases().await {
        for generation in [0, 1] {
            let (store, grant) = granted_anew(&database).await;
            rotated(rotate(&store, &rotation(&store, &grant, 0)).await);
            // The database was restored, and went on in another way.
            let other = RefreshRotation {
                presented_hash: [7; 32],
                grace: Duration::from_secs(10),
                ..rotation(&store, &grant, generation)
            };
            assert_eq!(rotate(&store, &other).await, RefreshOutcome::Reused);
            assert!(state(&store, &grant).await.revoked);
            store.close().await;
        }
    }
}

/// What makes a refresh with the current token be refused.
const REFUSED: [&str; 11] = [
    "no grant",
    "no refresh token",
    "expired",
    "grant revoked",
    "subject revoked",
    "subject revoked at the client",
    "session revoked",
    "client deleted",
    "client created again",
    "epoch raised",
    "another incarnation named",
];

#[tokio::test]
async fn a_refusal_touches_nothing() {
    for database in databases().await {
        for why in REFUSED {
            let (store, grant) = granted_anew(&database).await;
            let mut presented = rotation(&store, &grant, 0);
            presented.grace = Duration::from_secs(10);
            let client = common::read(&store, "orders").await;
            match why {
                "no grant" => drop(sql(&database, "DELETE FROM grants").await),
                "no refresh token" => {
                    sql(&database, "UPDATE grants SET refresh_hash = NULL, refresh_expires_at = NULL").await;
                }
                "expired" => store.clock().advance(hours(24)),
                "grant revoked" => {
                    store.revoke_grant(grant.id, &grant.client_id, grant.expires_at).await.unwrap();
                }
                "subject revoked" => store.revoke_subject("alice", None).await.unwrap(),
                "subject revoked at the client" => {
                    store.revoke_subject("alice", Some(&grant.client_id)).await.unwrap();
                }
                "session revoked" => store.revoke_session(grant.session_id.unwrap()).await.unwrap(),
                "client deleted" => {
                    store.delete_client(&client.id, client.manager.as_ref().unwrap()).await.unwrap();
                }
                "client created again" => {
                    store.delete_client(&client.id, client.manager.as_ref().unwrap()).await.unwrap();
                    presented.incarnation = create_client(&store, "orders").await.0.incarnation;
                }
                "epoch raised" => drop(sql(&database, "UPDATE clients SET epoch = epoch + 1").await),
                _ => presented.incarnation.0 += 1,
            }
            let before = rows(&database).await;
            assert_eq!(rotate(&store, &presented).await, RefreshOutcome::Refused, "{why}");
            assert_eq!(rows(&database).await, before, "{why}");
            store.close().await;
        }
    }
}

#[tokio::test]
async fn a_revocation_before_the_flow_or_of_others_leaves_the_refresh_alone() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        store.revoke_subject("alice", None).await.unwrap();
        store.clock().advance(minutes(1));
        let grant = new_grant(&store, &client, "alice");
        store.redeem_code(&grant).await.unwrap();
        store.clock().advance(minutes(1));
        store.revoke_subject("bob", None).await.unwrap();
        store.revoke_subject("alice", Some(&common::client_id("other"))).await.unwrap();
        rotated(rotate(&store, &rotation(&store, &grant, 0)).await);
    }
}

/// 100 refreshes with one token at once, on three servers; gives the outcomes.
async fn storm(database: &TestDatabase, grace: u64) -> (Store, NewGrant, Vec<RefreshOutcome>) {
    let clock = clock();
    let stores = [
        database.open(clock.clone()).await,
        database.open(clock.clone()).await,
        database.open(clock.clone()).await,
    ];
    let (client, _) = create_client(&stores[0], "orders").await;
    let grant = new_grant(&stores[0], &client, "alice");
    stores[0].redeem_code(&grant).await.unwrap();
    let refreshes: Vec<_> = (0..100)
        .map(|index| {
            let store = stores[index % 3].clone();
            let mut rotation = rotation(&store, &grant, 0);
            rotation.grace = Duration::from_secs(grace);
            tokio::spawn(async move { store.rotate_refresh_token(&rotation).await.unwrap() })
        })
        .collect();
    let mut outcomes = Vec::new();
    for refresh in refreshes {
        outcomes.push(refresh.await.unwrap());
    }
    (stores[0].clone(), grant, outcomes)
}

fn count(outcomes: &[RefreshOutcome], of: &str) -> usize {
    outcomes.iter().filter(|outcome| word(outcome) == of).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn in_the_grace_period_a_hundred_refreshes_at_once_give_one_token() {
    for database in databases().await {
        let (store, grant, outcomes) = storm(&database, 10).await;
        assert_eq!((count(&outcomes, "rotated"), count(&outcomes, "repeated")), (1, 99));
        let grants = outcomes.iter().map(|outcome| match outcome {
            RefreshOutcome::Rotated(grant) | RefreshOutcome::Repeated(grant) => grant,
            other => panic!("{other:?}"),
        });
        let grants: Vec<_> = grants.collect();
        assert!(grants.iter().all(|grant| *grant == grants[0]), "one nonce, one time, one generation");
        assert!(!state(&store, &grant).await.revoked);
        rotated(rotate(&store, &rotation(&store, &grant, 1)).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_grace_a_second_refresh_at_once_kills_the_grant() {
    for database in databases().await {
        let (store, grant, outcomes) = storm(&database, 0).await;
        let counts = ["rotated", "reused", "refused"].map(|word| count(&outcomes, word));
        assert_eq!(counts, [1, 1, 98], "the first reuse revokes, and the others find it so");
        assert!(state(&store, &grant).await.revoked);
        assert_eq!(rotate(&store, &rotation(&store, &grant, 1)).await, RefreshOutcome::Refused);
        assert!(store.grant_state(grant.id, TOKEN).await.unwrap().unwrap().revoked);
    }
}

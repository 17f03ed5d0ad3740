//! Keys that cannot be read any more.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use common::{
    EDDSA, ES256, clock, databases, declaration, declare, disown, every, hours, minutes, number, sql,
};
use harness::TestDatabase;
use jiff::Timestamp;
use jose::schedule::State;
use jose::{KeyId, SigningAlgorithm};
use store::{ACCESS_TOKEN_SET, Declaration, Error, ID_TOKEN_SET, KeyRegistry, Store};
use tracing_subscriber::util::SubscriberInitExt;

/// What makes a key's row unreadable, or its private half alone.
const DAMAGED_ROW: [&str; 3] =
    ["algorithm = 'none'", "active_at = 9223372036854775807", "public_jwk = private_jwk"];
const DAMAGED_PRIVATE_HALF: &str = "private_jwk = public_jwk";

/// The access token set with lines of two algorithms, and the ID token set.
fn declarations() -> [Declaration; 2] {
    let mut access = declaration(ACCESS_TOKEN_SET, every(168, 24));
    access.policy.algorithms = vec![ES256, EDDSA];
    [access, declaration(ID_TOKEN_SET, every(168, 24))]
}

/// The access token set's key of an algorithm.
fn kid(keys: &KeyRegistry, wanted: SigningAlgorithm, now: Timestamp) -> KeyId {
    keys.signing_key(ACCESS_TOKEN_SET, Some(wanted), now).unwrap().signer.key_id().clone()
}

/// Damages a key, and gives a store that has not read it before.
async fn damage(database: &TestDatabase, kid: &KeyId, how: &str) -> Store {
    sql(database, format!("UPDATE keys SET {how} WHERE kid = '{kid}'")).await;
    database.open(clock()).await
}

fn is_published(keys: &KeyRegistry, kid: &KeyId, now: Timestamp) -> bool {
    keys.published(&[], now).keys.iter().any(|key| key.kid() == Some(kid))
}

#[tokio::test]
async fn a_damaged_key_takes_nothing_with_it_but_itself() {
    for how in DAMAGED_ROW.into_iter().chain([DAMAGED_PRIVATE_HALF]) {
        for database in databases().await {
            let store = database.open(clock()).await;
            for declared in declarations() {
                declare(&store, &declared).await;
            }
            let (keys, now) = (store.keys().await.unwrap(), store.clock().now());
            let damaged = kid(&keys, SigningAlgorithm::Es256, now);
            let intact = kid(&keys, SigningAlgorithm::EdDsa, now);

            let keys = damage(&database, &damaged, how).await.keys().await.unwrap();
            assert!(keys.is_complete(now), "{how}");
            let signing = keys.signing_key(ACCESS_TOKEN_SET, None, now).unwrap();
            assert_eq!(*signing.signer.key_id(), intact, "{how}");
            assert_eq!(keys.signing_algorithms(ACCESS_TOKEN_SET, now), [SigningAlgorithm::EdDsa], "{how}");
            assert!(is_published(&keys, &intact, now) && keys.verifier(&intact, now).is_some(), "{how}");
            // What a key signed whose public half is there can still be verified.
            let has_public_half = how == DAMAGED_PRIVATE_HALF;
            assert_eq!(is_published(&keys, &damaged, now), has_public_half, "{how}");
            assert_eq!(keys.verifier(&damaged, now).is_some(), has_public_half, "{how}");
        }
    }
}

#[tokio::test]
async fn a_token_set_that_is_left_without_a_signer_does_not_hold_up_the_other() {
    for how in DAMAGED_ROW.into_iter().chain([DAMAGED_PRIVATE_HALF]) {
        let [database, _] = databases().await;
        let store = database.open(clock()).await;
        for set in [ACCESS_TOKEN_SET, ID_TOKEN_SET] {
            declare(&store, &declaration(set, every(168, 24))).await;
        }
        let now = store.clock().now();
        let only = kid(&store.keys().await.unwrap(), SigningAlgorithm::Es256, now);
        let keys = damage(&database, &only, how).await.keys().await.unwrap();
        assert!(!keys.is_complete(now), "{how}");
        assert!(keys.signing_key(ACCESS_TOKEN_SET, None, now).is_none(), "{how}");
        assert!(keys.signing_key(ID_TOKEN_SET, None, now).is_some(), "{how}");
    }
}

#[tokio::test]
async fn a_turn_leaves_a_key_that_it_cannot_read_alone_until_it_is_revoked() {
    for how in DAMAGED_ROW {
        for database in databases().await {
            let store = database.open(clock()).await;
            let mut declared = declaration(ACCESS_TOKEN_SET, every(168, 24));
            declare(&store, &declared).await;
            let (keys, now) = (store.keys().await.unwrap(), store.clock().now());
            let damaged = kid(&keys, SigningAlgorithm::Es256, now);

            let store = damage(&database, &damaged, how).await;
            store.clock().advance(hours(1000));
            declared.rotate_now = Some("now".to_owned());
            declared.revoked = vec![KeyId::from("another one")];
            let refused = store.declare_key_set(&declared).await.unwrap_err();
            assert!(
                matches!(&refused, Error::UnreadableKey { set, kid } if set == ACCESS_TOKEN_SET && *kid == damaged),
                "{how}: {refused}"
            );
            assert!(
                !refused.is_transient() && refused.to_string().contains(&damaged.to_string()),
                "{refused}"
            );
            let of_damaged = format!("SELECT COUNT(private_jwk) FROM keys WHERE kid = '{damaged}'");
            assert_eq!(number(&database, &of_damaged).await, 1, "{how}");
            assert_eq!(number(&database, "SELECT COUNT(*) FROM keys").await, 1, "{how}");

            declared.revoked.push(damaged.clone());
            let turn = declare(&store, &declared).await;
            assert_eq!(turn.plan.remove, std::slice::from_ref(&damaged), "{how}");
            assert_eq!(number(&database, &of_damaged).await, 0, "{how}");
            assert!(turn.after.unreadable.is_empty() && turn.after.keys.len() == 1, "{how}");
            assert_eq!(
                turn.after.keys[0].schedule.instants.state(store.clock().now()),
                State::Active,
                "{how}"
            );
            let again = declare(&store, &declared).await;
            assert_eq!(again.after.version, turn.after.version, "{how}");
        }
    }
}

#[tokio::test]
async fn a_set_that_cannot_be_turned_does_not_hold_up_the_others() {
    for database in databases().await {
        let store = database.open(clock()).await;
        for declared in declarations() {
            declare(&store, &declared).await;
            disown(&database, &declared.set).await;
        }
        let (keys, now) = (store.keys().await.unwrap(), store.clock().now());
        let damaged = kid(&keys, SigningAlgorithm::Es256, now);
        let store = damage(&database, &damaged, DAMAGED_ROW[0]).await;
        store.clock().advance(hours(168 - 24) + minutes(1));
        let refused = store.turn_unattended_sets().await.unwrap_err();
        assert!(matches!(refused, Error::UnreadableKey { .. }), "{refused}");
        let of = |set: &str| format!("SELECT COUNT(*) FROM keys WHERE set_name = '{set}'");
        assert_eq!(number(&database, of(ACCESS_TOKEN_SET)).await, 2, "as before");
        assert_eq!(number(&database, of(ID_TOKEN_SET)).await, 2, "its next key is published");
    }
}

/// What is logged, kept.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_damaged_key_is_logged_once_by_its_name() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    subscriber.init();
    for how in [DAMAGED_ROW[0], DAMAGED_PRIVATE_HALF] {
        let [database, _] = databases().await;
        let store = database.open(clock()).await;
        declare(&store, &declaration(ACCESS_TOKEN_SET, every(168, 24))).await;
        let damaged = kid(&store.keys().await.unwrap(), SigningAlgorithm::Es256, store.clock().now());
        let store = damage(&database, &damaged, how).await;
        for _ in 0..3 {
            store.keys().await.unwrap();
            // Any change makes the next call load all sets anew.
            declare(&store, &declaration(&format!("set {}", store.statements()), every(168, 24))).await;
        }
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<&str> = text.lines().filter(|line| line.contains(&damaged.to_string())).collect();
        assert_eq!(lines.len(), 1, "{how}: {text}");
        assert!(lines[0].contains("ERROR") && lines[0].contains(ACCESS_TOKEN_SET), "{}", lines[0]);
    }
}

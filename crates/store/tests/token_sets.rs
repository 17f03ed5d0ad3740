//! Key sets that no resource declares.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::{clock, databases, declaration, declare, disown, every, hours, minutes, number, sql, try_open};
use jose::SigningAlgorithm;
use jose::schedule::State;
use store::{ACCESS_TOKEN_SET, ID_TOKEN_SET, KeySetPolicy, Options, Store};

const SET: &str = "applications";

/// How many keys of a set are in each state now: next, active, retired.
async fn keys(store: &Store, set: &str) -> [usize; 3] {
    let (set, now) = (store.read_key_set(set).await.unwrap().unwrap(), store.clock().now());
    let count = |state| set.keys.iter().filter(|key| key.schedule.instants.state(now) == state).count();
    [State::Next, State::Active, State::Retired].map(count)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_servers_make_the_token_sets_at_once() {
    for database in databases().await {
        let mut making = Vec::new();
        for _ in 0..4 {
            let store = database.open(clock()).await;
            making.push(tokio::spawn(async move {
                store.ensure_token_sets().await.unwrap();
                let keys = store.keys().await.unwrap();
                assert!(keys.is_complete(store.clock().now()));
                store
            }));
        }
        let mut store = None;
        for making in making {
            store = Some(making.await.unwrap());
        }
        let store = store.unwrap();
        for name in [ID_TOKEN_SET, ACCESS_TOKEN_SET] {
            let set = store.read_key_set(name).await.unwrap().unwrap();
            assert_eq!((set.manager, set.policy), (None, KeySetPolicy::undeclared(SigningAlgorithm::Rs256)));
            assert_eq!(keys(&store, name).await, [0, 1, 0]);
        }
        let (keys, now) = (store.keys().await.unwrap(), store.clock().now());
        assert_eq!(keys.signing_algorithms(ID_TOKEN_SET, now), [SigningAlgorithm::Rs256]);
        assert_eq!(number(&database, "SELECT COUNT(*) FROM keys").await, 2, "no loser left a key behind");

        let before = store.statements();
        store.ensure_token_sets().await.unwrap();
        assert_eq!(store.statements() - before, 2, "what exists is only looked at");

        // A resource takes over what a server made.
        let turn = declare(&store, &declaration(ACCESS_TOKEN_SET, every(168, 24))).await;
        assert!(turn.before.manager.is_none() && turn.after.manager.is_some());
    }
}

#[tokio::test]
async fn the_token_sets_are_made_for_the_configured_algorithm_and_stay_as_they_were_made() {
    for database in databases().await {
        let made_for = async |token_algorithm| {
            let store = try_open(Options { token_algorithm, ..database.options() }).await.unwrap();
            store.ensure_token_sets().await.unwrap();
            let (keys, now) = (store.keys().await.unwrap(), store.clock().now());
            [ID_TOKEN_SET, ACCESS_TOKEN_SET].map(|set| keys.signing_algorithms(set, now))
        };
        let expected = [[SigningAlgorithm::Es256], [SigningAlgorithm::Es256]];
        assert_eq!(made_for(SigningAlgorithm::Es256).await, expected);
        assert_eq!(made_for(SigningAlgorithm::EdDsa).await, expected);
    }
}

#[tokio::test]
async fn a_set_without_owner_turns_by_its_stored_policy() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let declared = declaration(SET, every(168, 24));
        declare(&store, &declared).await;
        disown(&database, SET).await;
        let first = store.read_key_set(SET).await.unwrap().unwrap();
        let turn = async || store.turn_unattended_sets().await.unwrap();

        turn().await;
        assert_eq!(keys(&store, SET).await, [0, 1, 0]);
        let quiet = store.read_key_set(SET).await.unwrap().unwrap();
        assert_eq!(quiet.version, first.version, "nothing is written where nothing is due");
        store.clock().advance(hours(144));
        turn().await;
        assert_eq!(keys(&store, SET).await, [1, 1, 0]);
        store.clock().advance(hours(24));
        assert_eq!(keys(&store, SET).await, [0, 1, 1], "by the clock alone");
        store.clock().advance(minutes(10));
        turn().await;
        assert_eq!(number(&database, "SELECT COUNT(private_jwk) FROM keys").await, 1);
        store.clock().advance(hours(2));
        turn().await;
        assert_eq!(keys(&store, SET).await, [0, 1, 0]);
        let set = store.read_key_set(SET).await.unwrap().unwrap();
        assert_eq!((set.manager, set.policy), (None, declared.policy));
    }
}

#[tokio::test]
async fn an_owned_set_is_left_to_its_operator_until_that_is_an_hour_late() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let declared = declaration(SET, every(168, 24));
        declare(&store, &declared).await;
        store.clock().advance(hours(144));
        for minute in 0..60 {
            store.turn_unattended_sets().await.unwrap();
            assert_eq!(keys(&store, SET).await, [0, 1, 0], "{minute} minutes late");
            store.clock().advance(minutes(1));
        }
        store.turn_unattended_sets().await.unwrap();
        assert_eq!(keys(&store, SET).await, [1, 1, 0]);
        let set = store.read_key_set(SET).await.unwrap().unwrap();
        assert_eq!(set.manager.as_ref(), Some(&declared.manager));
        let next = set.keys.iter().max_by_key(|key| key.schedule.instants.active_at).unwrap();
        let lead = next.schedule.instants.active_at.duration_since(store.clock().now());
        assert_eq!(lead, hours(24), "lateness does not shorten the lead");

        // The operator comes back, and has nothing to do.
        let turn = declare(&store, &declared).await;
        assert!(turn.plan.is_empty());
    }
}

#[tokio::test]
async fn a_suspended_set_is_not_turned_however_late_it_is() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let mut declared = declaration(SET, every(168, 24));
        declared.policy.suspended = true;
        declare(&store, &declared).await;
        store.clock().advance(hours(1000));
        store.turn_unattended_sets().await.unwrap();
        disown(&database, SET).await;
        store.turn_unattended_sets().await.unwrap();
        assert_eq!(keys(&store, SET).await, [0, 1, 0]);
    }
}

#[tokio::test]
async fn a_set_that_cannot_be_turned_does_not_keep_the_others_from_it() {
    for database in databases().await {
        let store = database.open(clock()).await;
        for set in ["a", "b", "c"] {
            declare(&store, &declaration(set, every(168, 24))).await;
            disown(&database, set).await;
        }
        // A time zone that this version does not know.
        let zone = r#"{"cron":{"schedule":"0 3 * * 1","timeZone":"Mars/Olympus"}}"#;
        let broken = format!(
            "UPDATE key_sets SET policy = replace(policy, '{{\"period\":604800}}', '{zone}') WHERE name = 'b'"
        );
        sql(&database, broken).await;
        store.clock().advance(hours(144));
        assert!(matches!(store.turn_unattended_sets().await, Err(store::Error::Corrupt(_))));
        for set in ["a", "c"] {
            assert_eq!(keys(&store, set).await, [1, 1, 0], "{set}");
        }
        assert_eq!(keys(&store, "b").await, [0, 1, 0]);
    }
}

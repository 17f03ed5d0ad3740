//! Key sets that are kept by hand, and those that a schedule turns on request.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::{
    EDDSA, ES256, clock, databases, declaration, declare, disown, every, minutes, number, resource,
};
use jose::schedule::{Requests, State};
use jose::{Algorithm, ImportedKey, KeyId, PrivateKey, RsaBits};
use store::{Error, KeySetEdit, KeySetEdited, Store, StoredKeySet};

const SET: &str = "applications";

fn key(algorithm: Algorithm, kid: &str) -> ImportedKey {
    ImportedKey::Pair(PrivateKey::generate(algorithm, RsaBits::B2048).unwrap().named(KeyId::from(kid)))
}

fn public_half(key: &ImportedKey) -> ImportedKey {
    ImportedKey::from_jwk(&serde_json::to_string(key.public_jwk()).unwrap()).unwrap()
}

async fn edit(store: &Store, edit: KeySetEdit<'_>) -> KeySetEdited {
    store.edit_key_set(SET, edit).await.unwrap()
}

async fn read(store: &Store) -> Option<StoredKeySet> {
    store.read_key_set(SET).await.unwrap()
}

/// The names of the set's keys, and whether their private halves open.
async fn kids(store: &Store) -> Vec<(String, bool)> {
    let Some(set) = read(store).await else { return Vec::new() };
    let private = |key| store.private_jwk(SET, key).unwrap();
    let mut kids: Vec<_> = set
        .keys
        .iter()
        .map(|key| (key.schedule.kid.to_string(), private(key).is_some_and(|jwk| jwk.contains("\"d\""))))
        .collect();
    kids.sort();
    kids
}

fn named(names: &[(&str, bool)]) -> Vec<(String, bool)> {
    names.iter().map(|(name, private)| ((*name).to_owned(), *private)).collect()
}

#[tokio::test]
async fn a_set_is_kept_by_hand_from_its_first_key_to_its_last() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let [a, b, c] = ["a", "b", "c"].map(|kid| key(ES256, kid));
        let d = public_half(&key(EDDSA, "d"));
        assert_eq!(edit(&store, KeySetEdit::Remove(a.key_id())).await, KeySetEdited::Done);
        assert_eq!(edit(&store, KeySetEdit::Clear).await, KeySetEdited::Done);
        assert!(read(&store).await.is_none(), "nothing is made by taking away");
        assert_eq!(edit(&store, KeySetEdit::Add(&a)).await, KeySetEdited::Done);
        assert_eq!(edit(&store, KeySetEdit::Add(&key(ES256, "a"))).await, KeySetEdited::Exists);
        assert_eq!(edit(&store, KeySetEdit::Put(&b)).await, KeySetEdited::Done);
        assert_eq!(edit(&store, KeySetEdit::Put(&d)).await, KeySetEdited::Done);
        assert_eq!(kids(&store).await, named(&[("a", true), ("b", true), ("d", false)]));
        let set = read(&store).await.unwrap();
        let found = set.keys.iter().find(|key| key.schedule.kid.as_str() == "a").unwrap();
        assert_eq!(&found.public, a.public_jwk());
        let other = key(EDDSA, "a");
        assert_eq!(edit(&store, KeySetEdit::Put(&other)).await, KeySetEdited::Done);
        let set = read(&store).await.unwrap();
        let found = set.keys.iter().find(|key| key.schedule.kid.as_str() == "a").unwrap();
        assert_eq!(&found.public, other.public_jwk());

        assert_eq!(edit(&store, KeySetEdit::Remove(b.key_id())).await, KeySetEdited::Done);
        assert_eq!(kids(&store).await, named(&[("a", true), ("d", false)]));
        assert_eq!(edit(&store, KeySetEdit::Replace(&[c, b])).await, KeySetEdited::Done);
        assert_eq!(kids(&store).await, named(&[("b", true), ("c", true)]));
        assert_eq!(edit(&store, KeySetEdit::Remove(&KeyId::from("b"))).await, KeySetEdited::Done);
        assert_eq!(edit(&store, KeySetEdit::Remove(&KeyId::from("c"))).await, KeySetEdited::Done);
        assert!(read(&store).await.is_none());
        assert_eq!(number(&database, "SELECT COUNT(*) FROM keys").await, 0);
    }
}

#[tokio::test]
async fn edits_at_the_same_time_are_all_done() {
    for database in databases().await {
        let (one, two) = (database.open(clock()).await, database.open(clock()).await);
        let keys = ["a", "b", "c", "d"].map(|kid| key(ES256, kid));
        let done = tokio::join!(
            one.edit_key_set(SET, KeySetEdit::Add(&keys[0])),
            two.edit_key_set(SET, KeySetEdit::Add(&keys[1])),
            one.edit_key_set(SET, KeySetEdit::Add(&keys[2])),
            two.edit_key_set(SET, KeySetEdit::Add(&keys[3])),
        );
        let done = [done.0, done.1, done.2, done.3].map(Result::unwrap);
        assert_eq!(done, [KeySetEdited::Done; 4]);
        assert_eq!(kids(&one).await.len(), 4);
    }
}

#[tokio::test]
async fn nobody_turns_what_is_kept_by_hand_and_no_hand_what_is_turned() {
    for database in databases().await {
        let store = database.open(clock()).await;
        for kid in ["a", "b"] {
            edit(&store, KeySetEdit::Add(&key(ES256, kid))).await;
        }
        let before = read(&store).await.unwrap();
        store.clock().advance(minutes(60 * 24 * 365));
        store.turn_unattended_sets().await.unwrap();
        assert_eq!(read(&store).await.unwrap().version, before.version);

        // A resource takes it over: what is there goes on until the schedule replaces it.
        let turn = declare(&store, &declaration(SET, every(168, 24))).await;
        assert!(turn.after.keys.len() >= 2);
        let signing = turn
            .after
            .keys
            .iter()
            .filter(|key| key.schedule.instants.state(store.clock().now()) == State::Active);
        assert_eq!(signing.count(), 1);
        let new = key(ES256, "new");
        for edit in [KeySetEdit::Add(&new), KeySetEdit::Replace(&[]), KeySetEdit::Clear] {
            let refused = store.edit_key_set(SET, edit).await;
            assert!(matches!(refused, Err(Error::Conflict(holder)) if *holder == resource(SET)));
        }
        disown(&database, SET).await;
        assert_eq!(edit(&store, KeySetEdit::Add(&new)).await, KeySetEdited::Turned);
        let of_server = store.edit_key_set(store::ID_TOKEN_SET, KeySetEdit::Add(&new)).await.unwrap();
        assert_eq!(of_server, KeySetEdited::Turned, "even where it is not there yet");
    }
}

#[tokio::test]
async fn a_resource_that_takes_over_a_public_key_gets_one_that_signs() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let public = public_half(&key(ES256, "public"));
        edit(&store, KeySetEdit::Add(&public)).await;
        store.clock().advance(minutes(1));
        let declared = declaration(SET, every(168, 24));
        let turn = declare(&store, &declared).await;
        let now = store.clock().now();
        let states = |set: &StoredKeySet| {
            let mut states: Vec<_> = set
                .keys
                .iter()
                .map(|key| (key.schedule.has_private_half, key.schedule.instants.state(now)))
                .collect();
            states.sort();
            states
        };
        assert_eq!(states(&turn.after), [(false, State::Retired), (true, State::Active)]);
        assert!(declare(&store, &declared).await.plan.is_empty());
    }
}

#[tokio::test]
async fn a_set_without_a_resource_is_turned_on_request() {
    for database in databases().await {
        let store = database.open(clock()).await;
        declare(&store, &declaration(SET, every(168, 24))).await;
        let rotate = Requests { rotate: true, ..Requests::default() };
        let refused = store.turn_on_request(SET, &rotate).await;
        assert!(matches!(refused, Err(Error::Conflict(_))));
        disown(&database, SET).await;
        let first = read(&store).await.unwrap().keys[0].schedule.kid.clone();
        store.clock().advance(minutes(5));
        let turn = store.turn_on_request(SET, &rotate).await.unwrap().unwrap();
        assert_eq!((turn.plan.create.len(), turn.after.keys.len()), (1, 2));
        let again = store.turn_on_request(SET, &rotate).await.unwrap().unwrap();
        assert_eq!(again.after.keys.len(), 2, "one next key is enough");

        let compromised = Requests { revoked: std::slice::from_ref(&first), ..Requests::default() };
        let turn = store.turn_on_request(SET, &compromised).await.unwrap().unwrap();
        let now = store.clock().now();
        let [only] = &turn.after.keys[..] else { panic!("{:?}", turn.after.keys) };
        assert_eq!(only.schedule.instants.state(now), State::Active, "the next key signs at once");
        assert_ne!(only.schedule.kid, first);
        assert!(store.turn_on_request("nothing", &rotate).await.unwrap().is_none());
    }
}

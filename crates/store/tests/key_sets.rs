//! Key sets as resources declare them.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::{
    EDDSA, ES256, ahead, clock, costing, create_client, databases, declaration, declare, disown, every,
    hours, minutes, new_client, number, resource,
};
use jiff::{SignedDuration, Timestamp};
use jose::KeyId;
use jose::schedule::State;
use serde_json::json;
use store::{ACCESS_TOKEN_SET, Declaration, Error, ID_TOKEN_SET, Store, StoredKeySet, StoredRotation, Turn};

const SET: &str = "applications";

/// The names of the keys in one state now.
fn kids(store: &Store, set: &StoredKeySet, state: State) -> Vec<KeyId> {
    let now = store.clock().now();
    let in_state = set.keys.iter().filter(|key| key.schedule.instants.state(now) == state);
    in_state.map(|key| key.schedule.kid.clone()).collect()
}

/// The one key in a state now.
fn only(store: &Store, set: &StoredKeySet, state: State) -> KeyId {
    let kids = kids(store, set, state);
    assert_eq!(kids.len(), 1, "{state:?}: {kids:?}");
    kids[0].clone()
}

fn active_at(set: &StoredKeySet, kid: &KeyId) -> Timestamp {
    set.keys.iter().find(|key| key.schedule.kid == *kid).unwrap().schedule.instants.active_at
}

/// Declares again, which must write nothing, for two reads.
async fn nothing_more(store: &Store, declared: &Declaration, after: &StoredKeySet) {
    let (again, statements) = costing(store, declare(store, declared)).await;
    assert_eq!((again.after.version, statements), (after.version, 2));
    assert!(again.plan.is_empty());
    assert_eq!(kids(store, &again.after, State::Active), kids(store, after, State::Active));
}

/// Declares, and once more in vain.
async fn settle(store: &Store, declared: &Declaration) -> Turn {
    let turn = declare(store, declared).await;
    nothing_more(store, declared, &turn.after).await;
    turn
}

#[tokio::test]
async fn the_first_keys_sign_at_once_and_declaring_again_writes_nothing() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let mut declared = declaration(SET, every(168, 24));
        declared.policy.algorithms = vec![ES256, EDDSA];
        let turn = settle(&store, &declared).await;
        assert_eq!((turn.before.version, turn.before.keys.len()), (0, 0));
        assert_eq!(kids(&store, &turn.after, State::Active).len(), 2);
        assert_eq!(turn.after.policy, declared.policy);
        assert_eq!(turn.after.manager.as_ref(), Some(&declared.manager));
        let read = store.read_key_set(SET).await.unwrap().unwrap();
        assert_eq!(read.version, turn.after.version);
        assert!(store.read_key_set("absent").await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_period_passes_through_all_states() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let declared = declaration(SET, every(168, 24));
        let first = only(&store, &settle(&store, &declared).await.after, State::Active);

        store.clock().advance(hours(168 - 24));
        let next = only(&store, &settle(&store, &declared).await.after, State::Next);
        store.clock().advance(hours(24) - SignedDuration::from_secs(1));
        assert_eq!(only(&store, &settle(&store, &declared).await.after, State::Active), first);
        store.clock().advance(SignedDuration::from_secs(1));
        let set = settle(&store, &declared).await.after;
        assert_eq!(
            (only(&store, &set, State::Retired), only(&store, &set, State::Active)),
            (first.clone(), next)
        );

        let has_private = format!("SELECT COUNT(private_jwk) FROM keys WHERE kid = '{first}'");
        store.clock().advance(minutes(10) - SignedDuration::from_secs(1));
        settle(&store, &declared).await;
        assert_eq!(number(&database, &has_private).await, 1);
        store.clock().advance(SignedDuration::from_secs(1));
        let set = settle(&store, &declared).await.after;
        assert_eq!(number(&database, &has_private).await, 0, "the column is null");
        assert_eq!(only(&store, &set, State::Retired), first, "its public half is still there");

        store.clock().advance(minutes(5));
        let set = settle(&store, &declared).await.after;
        assert_eq!((set.keys.len(), number(&database, "SELECT COUNT(*) FROM keys").await), (1, 1), "removed");
    }
}

#[tokio::test]
async fn a_changed_policy_is_stored_and_leaves_the_keys_alone() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let mut declared = declaration(SET, every(168, 24));
        let first = settle(&store, &declared).await.after;
        for rotation in [
            StoredRotation::Period(1000 * 3600),
            StoredRotation::Cron { schedule: "0 3 * * 1".into(), time_zone: Some("Europe/Berlin".into()) },
            StoredRotation::Manual,
        ] {
            declared.policy.rotation = rotation;
            let set = settle(&store, &declared).await.after;
            assert_eq!(set.policy, declared.policy);
            assert_eq!(only(&store, &set, State::Active), only(&store, &first, State::Active));
            assert_eq!(set.keys.len(), 1);
        }
    }
}

#[tokio::test]
async fn after_its_lead_is_shortened_a_next_key_waits_for_what_verifiers_were_told_before() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let mut shortened = declaration("shortened", every(168, 24));
        settle(&store, &shortened).await;
        let mut always_short = declaration("always short", every(168, 1));
        settle(&store, &always_short).await;
        store.clock().advance(minutes(1));
        shortened.policy = every(168, 1);
        let set = settle(&store, &shortened).await.after;
        // A copy may have been cached for an hour; clocks may be five minutes off, a key ten seconds on its way.
        let floor = minutes(65) + SignedDuration::from_secs(10);
        assert_eq!(set.lead_floor.map(|at| ahead(&store, at)), Some(floor));

        for (declared, lead) in [(&mut shortened, floor), (&mut always_short, hours(1))] {
            declared.rotate = Some("now please".into());
            let set = settle(&store, declared).await.after;
            let next = only(&store, &set, State::Next);
            assert_eq!(ahead(&store, active_at(&set, &next)), lead, "{}", declared.set);
        }

        store.clock().advance(floor);
        assert_eq!(settle(&store, &shortened).await.after.lead_floor, None, "it has passed");
        shortened.policy = every(168, 2);
        assert_eq!(settle(&store, &shortened).await.after.lead_floor, None, "a longer lead needs none");
    }
}

#[tokio::test]
async fn a_request_is_handled_once() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let mut declared = declaration(SET, every(168, 24));
        let first = only(&store, &settle(&store, &declared).await.after, State::Active);

        store.clock().advance(minutes(1));
        declared.rotate = Some("1".into());
        let set = settle(&store, &declared).await.after;
        let next = only(&store, &set, State::Next);
        assert_eq!(ahead(&store, active_at(&set, &next)), hours(24));
        assert_eq!(set.handled_rotate.as_deref(), Some("1"));
        assert_eq!(only(&store, &set, State::Active), first);

        declared.rotate_now = Some("1".into());
        let set = settle(&store, &declared).await.after;
        assert_eq!(set.handled_rotate_now.as_deref(), Some("1"));
        assert_eq!(only(&store, &set, State::Active), next, "the next key is at hand already");
        assert_eq!(only(&store, &set, State::Retired), first);

        declared.rotate_now = None;
        settle(&store, &declared).await;
        declared.rotate_now = Some("1".into());
        let set = settle(&store, &declared).await.after;
        assert_eq!(only(&store, &set, State::Active), next, "it was taken away and put back");
    }
}

#[tokio::test]
async fn two_standing_requests_do_not_turn_the_keys_in_turns() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let mut declared = declaration(SET, every(168, 24));
        settle(&store, &declared).await;
        declared.rotate = Some("a".into());
        declared.rotate_now = Some("b".into());
        settle(&store, &declared).await;
        for _ in 0..24 {
            store.clock().advance(minutes(7));
            declare(&store, &declared).await;
        }
        // One turn: the first key has retired and gone, and its successor signs.
        assert_eq!(number(&database, "SELECT COUNT(*) FROM keys WHERE retired_at IS NULL").await, 1);
        let set = store.read_key_set(SET).await.unwrap().unwrap();
        assert_eq!(set.keys.len(), 1, "{set:?}");
    }
}

#[tokio::test]
async fn requests_that_stand_at_first_sight_count_as_handled() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let mut declared = declaration(SET, every(168, 24));
        declared.rotate = Some("old".into());
        declared.rotate_now = Some("old".into());
        let set = settle(&store, &declared).await.after;
        let first = only(&store, &set, State::Active);
        assert_eq!(set.keys.len(), 1);

        // The resource is deleted, its set stays, and another with other requests is created in its place.
        declared.manager.uid = "the uid of the one that was created again".into();
        declared.rotate = Some("newer".into());
        declared.rotate_now = Some("newer".into());
        store.clock().advance(minutes(1));
        let set = settle(&store, &declared).await.after;
        assert_eq!((only(&store, &set, State::Active), set.keys.len()), (first.clone(), 1));
        assert_eq!(set.manager.as_ref(), Some(&declared.manager));

        declared.rotate_now = Some("and now".into());
        let set = settle(&store, &declared).await.after;
        assert_ne!(only(&store, &set, State::Active), first);
    }
}

#[tokio::test]
async fn a_revoked_key_leaves_at_once_and_is_replaced() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let mut declared = declaration(SET, every(168, 24));
        let first = only(&store, &settle(&store, &declared).await.after, State::Active);
        declared.revoked = vec![KeyId::from("of no key")];
        settle(&store, &declared).await;

        declared.revoked.push(first.clone());
        let set = settle(&store, &declared).await.after;
        let second = only(&store, &set, State::Active);
        assert_eq!((set.keys.len(), second == first), (1, false));

        store.clock().advance(hours(168 - 24));
        let set = settle(&store, &declared).await.after;
        let next = only(&store, &set, State::Next);
        declared.revoked.push(next.clone());
        let set = settle(&store, &declared).await.after;
        let other_next = only(&store, &set, State::Next);
        assert_ne!(other_next, next);
        assert_eq!(active_at(&set, &other_next), store.clock().now() + hours(24));

        declared.revoked.push(second);
        let set = settle(&store, &declared).await.after;
        assert_eq!(only(&store, &set, State::Active), other_next, "it was to be the next one anyway");
    }
}

#[tokio::test]
async fn a_resource_takes_over_a_set_that_nobody_owns_with_its_keys() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let mut declared = declaration(SET, every(168, 24));
        let before = settle(&store, &declared).await.after;
        disown(&database, SET).await;
        assert_eq!(store.read_key_set(SET).await.unwrap().unwrap().manager, None);

        declared.manager = resource("successor");
        declared.policy = every(168, 1);
        declared.rotate_now = Some("standing".into());
        let after = settle(&store, &declared).await.after;
        assert_eq!(after.manager, Some(resource("successor")));
        assert_eq!(only(&store, &after, State::Active), only(&store, &before, State::Active));
        assert!(after.lead_floor.is_some(), "its lead is shorter than that of the set's own policy");
        assert_eq!(after.keys.len(), 1, "the request was there already");
    }
}

#[tokio::test]
async fn a_set_of_another_resource_is_a_conflict_that_names_the_holder() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let declared = declaration(SET, every(168, 24));
        let held = settle(&store, &declared).await.after;
        let mut late = declaration(SET, every(1000, 1));
        late.rotate_now = Some("mine".into());
        for manager in [
            resource("late"),
            store::ResourceRef { namespace: "other-team".into(), ..resource(SET) },
            store::ResourceRef { cluster: "cluster-2".into(), ..resource(SET) },
        ] {
            late.manager = manager;
            let Err(Error::Conflict(holder)) = store.declare_key_set(&late).await else {
                panic!("no conflict")
            };
            assert_eq!((*holder).to_string(), "team/applications");
        }
        nothing_more(&store, &declared, &held).await;
    }
}

#[tokio::test]
async fn a_suspended_set_gets_no_new_keys_but_for_a_revoked_one() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let mut declared = declaration(SET, every(168, 24));
        declared.policy.suspended = true;
        let first = only(&store, &settle(&store, &declared).await.after, State::Active);
        store.clock().advance(hours(1000));
        declared.rotate = Some("waits".into());
        let set = settle(&store, &declared).await.after;
        assert_eq!((set.keys.len(), set.handled_rotate.as_deref()), (1, None));

        declared.revoked = vec![first.clone()];
        let set = settle(&store, &declared).await.after;
        let second = only(&store, &set, State::Active);
        assert_ne!(second, first);

        declared.policy.suspended = false;
        store.clock().advance(minutes(1));
        let set = settle(&store, &declared).await.after;
        assert_eq!(set.handled_rotate.as_deref(), Some("waits"));
        assert_eq!(only(&store, &set, State::Active), second);
        assert_eq!(kids(&store, &set, State::Next).len(), 1);
    }
}

#[tokio::test]
async fn a_retired_key_stays_longer_when_a_client_gets_a_longer_lifetime() {
    for database in databases().await {
        let store = database.open(clock()).await;
        for (set, member) in [
            (ACCESS_TOKEN_SET, "client_credentials_grant_access_token_lifespan"),
            (ID_TOKEN_SET, "authorization_code_grant_id_token_lifespan"),
        ] {
            let mut declared = declaration(set, every(168, 24));
            settle(&store, &declared).await;
            store.clock().advance(minutes(1));
            declared.rotate_now = Some("retire it".into());
            let after = settle(&store, &declared).await.after;
            let removed_at = |set: &StoredKeySet| {
                let retired = set.keys.iter().find(|key| key.schedule.instants.retired_at.is_some());
                ahead(&store, retired.unwrap().schedule.instants.removed_at.unwrap())
            };
            assert_eq!(removed_at(&after), minutes(75), "the server's lifetime is an hour");

            let (mut new, _) = new_client(&store, set);
            new.metadata = serde_json::from_value(json!({ member: "31h" })).unwrap();
            store.create_client(&new).await.unwrap();
            let after = settle(&store, &declared).await.after;
            assert_eq!(removed_at(&after), hours(31) + minutes(15));

            assert!(store.delete_client(&new.id, new.manager.as_ref().unwrap()).await.unwrap());
            let after = settle(&store, &declared).await.after;
            assert_eq!(removed_at(&after), hours(31) + minutes(15), "what was promised stays");
        }
        // Sets that sign no tokens follow their own policy only.
        create_client(&store, "other").await;
        let mut declared = declaration(SET, every(168, 24));
        declared.policy.retain_after = 100 * 3600;
        settle(&store, &declared).await;
        store.clock().advance(minutes(1));
        declared.rotate_now = Some("retire it".into());
        let after = settle(&store, &declared).await.after;
        let retired = after.keys.iter().find_map(|key| key.schedule.instants.removed_at).unwrap();
        assert_eq!(ahead(&store, retired), hours(100));
    }
}

#[tokio::test]
async fn only_its_owner_deletes_a_set_and_its_keys_go_with_it() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let declared = declaration(SET, every(168, 24));
        let old = settle(&store, &declared).await.after;
        settle(&store, &declaration("other", every(168, 24))).await;
        assert!(!store.delete_key_set(SET, &resource("other")).await.unwrap());
        assert!(store.delete_key_set(SET, &declared.manager).await.unwrap());
        assert!(!store.delete_key_set(SET, &declared.manager).await.unwrap(), "it is gone already");
        assert!(store.read_key_set(SET).await.unwrap().is_none());
        assert_eq!(number(&database, "SELECT COUNT(*) FROM keys").await, 1, "the other set's");

        let new = settle(&store, &declared).await.after;
        assert_ne!(new.version, old.version, "a writer who has read the old set must not fit the new one");
        assert_ne!(only(&store, &new, State::Active), only(&store, &old, State::Active));
    }
}

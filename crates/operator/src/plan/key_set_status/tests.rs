use crd::names;
use harness::TestDatabase;
use jiff::SignedDuration;
use serde_json::json;
use store::{Clock, ResourceRef, Store};

use super::super::key_set::declaration;
use super::*;

/// A set with ES256 keys that turns every 100 hours, published 10 hours ahead, and its resource.
struct World {
    _database: TestDatabase,
    store: Store,
    clock: Clock,
    key_set: JsonWebKeySet,
    last: Option<Turn>,
}

impl World {
    async fn new() -> Self {
        let database = TestDatabase::sqlite();
        let clock = Clock::manual("2026-03-01T12:00:00Z".parse().unwrap());
        let store = database.open(clock.clone()).await;
        let rotation = json!({"period": "100h", "publishBefore": "10h", "retainAfter": "20h"});
        let spec = serde_json::from_value(json!({"algorithms": ["ES256"], "rotation": rotation})).unwrap();
        let mut key_set = JsonWebKeySet::new("invoices", spec);
        key_set.metadata.namespace = Some("keys".into());
        key_set.metadata.generation = Some(1);
        Self { _database: database, store, clock, key_set, last: None }
    }

    fn me(&self) -> ResourceRef {
        let name = self.key_set.metadata.name.clone().unwrap();
        ResourceRef { cluster: "c".into(), namespace: "keys".into(), name, uid: "uid-1".into() }
    }

    /// Reconciles, so many hours later; gives the events in words, keys named by their order of appearance.
    async fn after(&mut self, hours: i64) -> Vec<String> {
        self.clock.advance(SignedDuration::from_hours(hours));
        let now = self.clock.now();
        let declared = declaration(&self.key_set, &self.me(), now).unwrap();
        let turn = self.store.declare_key_set(&declared).await.unwrap();
        let status = after_turn(&self.key_set, &turn, None, now);
        let events = events(&self.key_set, &turn, &status, now);
        let again = self.store.declare_key_set(&declared).await.unwrap();
        self.key_set.status = Some(status);
        self.last = Some(turn);
        let status = after_turn(&self.key_set, &again, None, now);
        assert_eq!(self.key_set.status.as_ref(), Some(&status), "what says the same is the same");
        assert_eq!(super::events(&self.key_set, &again, &status, now), [], "nothing happened since");
        events.into_iter().map(|e| format!("{}{}", e.reason, if e.warning { "!" } else { "" })).collect()
    }

    fn status(&self) -> &JsonWebKeySetStatus {
        self.key_set.status.as_ref().unwrap()
    }

    fn annotate(&mut self, name: &str, value: &str) {
        let annotations = self.key_set.metadata.annotations.get_or_insert_default();
        annotations.insert(name.into(), value.into());
    }

    fn states(&self) -> Vec<KeyState> {
        self.status().keys.iter().map(|key| key.state).collect()
    }

    fn ready(&self) -> String {
        let ready = self.status().condition(&ConditionType::Ready).unwrap();
        format!("{} {}: {}", ready.status, ready.reason, ready.message)
    }
}

#[tokio::test]
async fn a_whole_turn_is_told_once_for_each_step() {
    let mut world = World::new().await;
    for (hours, events, states) in [
        (0, &["KeyActivated"][..], &[KeyState::Active][..]),
        (89, &[], &[KeyState::Active]),
        (1, &["KeyPublished"], &[KeyState::Next, KeyState::Active]),
        (5, &[], &[KeyState::Next, KeyState::Active]),
        (5, &["KeyActivated", "KeyRetired"], &[KeyState::Active, KeyState::Retired]),
        (19, &[], &[KeyState::Active, KeyState::Retired]),
        (1, &["KeyRemoved"], &[KeyState::Active]),
    ] {
        assert_eq!(world.after(hours).await, events);
        assert_eq!(world.states(), states);
        assert_eq!(world.ready(), format!("True Synced: {} keys in set invoices", states.len()));
    }
}

#[tokio::test]
async fn the_status_names_the_set_the_active_key_and_its_turns() {
    let mut world = World::new().await;
    let start = world.clock.now();
    world.after(0).await;
    let status = world.status();
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!(status.set.as_deref(), Some("invoices"));
    assert_eq!(status.active_key_id.as_deref(), Some(&*status.keys[0].kid));
    assert_eq!(status.last_rotation_time, Some(start.into()));
    assert_eq!(status.next_rotation_time, Some((start + SignedDuration::from_hours(100)).into()));
    let first = status.keys[0].clone();
    assert_eq!((first.algorithm.as_str(), first.published_at), ("ES256", Some(start.into())));
    assert_eq!((first.retired_at, first.removed_at), (None, None));
    world.after(90).await;
    world.after(10).await;
    let status = world.status();
    assert_ne!(status.active_key_id.as_deref(), Some(&*first.kid));
    assert_eq!(status.keys[1].kid, first.kid);
    assert_eq!(status.keys[1].retired_at, Some((start + SignedDuration::from_hours(100)).into()));
    assert_eq!(status.keys[1].removed_at, Some((start + SignedDuration::from_hours(120)).into()));
}

#[tokio::test]
async fn a_key_that_verifiers_may_not_know_yet_is_a_warning() {
    let mut world = World::new().await;
    world.after(0).await;
    world.annotate(names::ROTATE_NOW, "monday");
    assert_eq!(world.after(1).await, ["KeyActivated!", "KeyRetired"]);
    assert_eq!(world.status().last_handled_rotate_now.as_deref(), Some("monday"));
    world.annotate(names::ROTATE, "tuesday");
    assert_eq!(world.after(1).await, ["KeyPublished"]);
    assert_eq!(world.status().last_handled_rotate.as_deref(), Some("tuesday"));
    world.annotate(names::ROTATE_NOW, "wednesday");
    assert_eq!(world.after(1).await, ["KeyActivated!", "KeyRetired"], "the next key did not wait");
    let active = world.status().active_key_id.clone().unwrap();
    world.key_set.spec.revoked_key_ids.push(active);
    assert_eq!(world.after(1).await, ["KeyActivated!", "KeyRevoked!"]);
}

#[tokio::test]
async fn two_standing_requests_do_not_ping_pong() {
    let mut world = World::new().await;
    world.after(0).await;
    world.annotate(names::ROTATE, "a");
    world.annotate(names::ROTATE_NOW, "b");
    world.after(1).await;
    for _ in 0..5 {
        assert_eq!(world.after(1).await, [""; 0]);
    }
    let status = world.status();
    assert_eq!(status.last_handled_rotate.as_deref(), Some("a"));
    assert_eq!(status.last_handled_rotate_now.as_deref(), Some("b"));
}

#[tokio::test]
async fn a_set_that_is_taken_over_is_taken_over_in_silence() {
    let mut world = World::new().await;
    let declared = declaration(&world.key_set, &world.me(), world.clock.now()).unwrap();
    world.store.declare_key_set(&declared).await.unwrap();
    assert_eq!(world.after(0).await, [""; 0]);
    assert_eq!(world.states(), [KeyState::Active]);
    assert_eq!(world.after(90).await, ["KeyPublished"], "what happens from then on is told");
}

#[tokio::test]
async fn keys_that_vanish_from_the_database_are_lost() {
    let mut world = World::new().await;
    world.after(0).await;
    let me = world.me();
    assert!(world.store.delete_key_set("invoices", &me).await.unwrap());
    assert_eq!(world.after(1).await, ["KeyActivated", "KeysLost!"]);
    assert_eq!(world.after(1).await, [""; 0]);
}

#[tokio::test]
async fn a_key_whose_time_was_up_while_nobody_looked_is_removed_and_not_lost() {
    let mut world = World::new().await;
    world.after(0).await;
    world.after(90).await;
    world.after(10).await;
    world.clock.advance(SignedDuration::from_hours(20));
    let declared = declaration(&world.key_set, &world.me(), world.clock.now()).unwrap();
    world.store.declare_key_set(&declared).await.unwrap();
    assert_eq!(world.after(0).await, ["KeyRemoved"]);
}

#[tokio::test]
async fn a_late_operator_says_so_once_and_then_that_all_is_well() {
    let mut world = World::new().await;
    let start = world.clock.now();
    world.after(0).await;
    assert_eq!(world.after(150).await, ["KeyPublished", "RotationOverdue!"]);
    let since = start + SignedDuration::from_hours(100);
    let message = format!("the active key should have handed over at {since}; 2 keys in set invoices");
    assert_eq!(world.ready(), format!("True RotationOverdue: {message}"));
    assert_eq!(world.after(5).await, [""; 0]);
    assert_eq!(world.after(5).await, ["KeyActivated", "KeyRetired"]);
    assert_eq!(world.ready(), "True Synced: 2 keys in set invoices");
}

#[tokio::test]
async fn a_suspended_set_says_so_and_makes_no_keys() {
    let mut world = World::new().await;
    world.after(0).await;
    world.key_set.spec.suspend = true;
    world.key_set.metadata.generation = Some(2);
    assert_eq!(world.after(200).await, [""; 0]);
    assert_eq!(world.ready(), "True Suspended: 1 keys in set invoices");
}

#[tokio::test]
async fn a_set_that_is_exported_says_so() {
    let mut world = World::new().await;
    world.key_set.spec.export = Some(serde_json::from_value(json!({"secretName": "backup"})).unwrap());
    world.after(0).await;
    assert_eq!(world.ready(), "True Synced: 1 keys in set invoices");
    let exported = world.status().condition(&ConditionType::SecretReady).unwrap();
    assert_eq!(exported.message, "Secret backup holds the set");
}

#[tokio::test]
async fn what_fails_keeps_what_is_known_of_the_keys() {
    let mut world = World::new().await;
    world.after(0).await;
    let known = world.status().clone();
    world.key_set.metadata.generation = Some(2);
    let later = world.clock.now() + SignedDuration::from_hours(1);
    for (reason, stalled) in [
        (Reason::InvalidSpec, true),
        (Reason::NamespaceNotAllowed, true),
        (Reason::SetConflict, false),
        (Reason::DatabaseUnavailable, false),
        (Reason::Terminating, false),
    ] {
        let status = failing(&world.key_set, &reason, "why", later);
        assert_eq!((&status.keys, &status.active_key_id), (&known.keys, &known.active_key_id));
        assert_eq!(status.observed_generation, Some(2));
        let ready = status.condition(&ConditionType::Ready).unwrap();
        assert_eq!((ready.status, &ready.reason, ready.message.as_str()), (False, &reason, "why"));
        assert_eq!(ready.last_transition_time.get(), later);
        assert_eq!(status.condition(&ConditionType::Stalled).is_some(), stalled, "{reason}");
        let failed = JsonWebKeySet { status: Some(status.clone()), ..world.key_set.clone() };
        assert_eq!(failing(&failed, &reason, "why", later + SignedDuration::from_hours(1)), status);
    }
}

#[tokio::test]
async fn a_failure_that_passed_leaves_no_trace() {
    let mut world = World::new().await;
    world.after(0).await;
    let before = world.status().clone();
    let invalid = failing(&world.key_set, &Reason::InvalidSpec, "why", world.clock.now());
    world.key_set.status = Some(invalid);
    assert_eq!(world.after(0).await, [""; 0]);
    assert_eq!(world.status(), &before);
    assert!(world.last.is_some_and(|turn| turn.plan.is_empty()));
}

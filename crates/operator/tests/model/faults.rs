//! An API server that fails one call, or refuses a kind of call for a while; the process lives on.

use crd::{ConditionStatus, ConditionType, Reason};
use operator::{ObjectError, Outcome};
use serde_json::json;

use crate::changes::{CREATIONS, Case, Change, DAMAGES, DELETIONS, EDITS, METHODS, REFERENCES, ROTATIONS};
use crate::memory::Fault;
use crate::world::{NAMESPACE, World, secret_name};

/// Lets each call of one reconciliation fail in turn.
async fn fail_everywhere(change: Change) {
    let world = World::new().await;
    let whole = Case::new(&world, change, "undisturbed".into()).await;
    let before = world.objects.calls();
    world.reconcile(&whole.name).await;
    let calls = world.objects.calls() - before;
    whole.check(0).await;
    for call in 1..=calls {
        let passing = ObjectError::Unavailable("connection reset".into());
        let lasting = ObjectError::Refused("quota".into());
        let before = if call % 2 == 0 { &passing } else { &lasting };
        for (what, after, error) in
            [("before", false, before), ("after", true, &passing), ("race", false, &ObjectError::Raced)]
        {
            let case = Case::new(&world, change, format!("{what}-{call}")).await;
            world.objects.fail(Fault { call, after, error: error.clone() });
            world.reconcile(&case.name).await;
            world.objects.allow_all();
            case.check(1).await;
        }
    }
}

#[tokio::test]
async fn a_call_that_fails_once_does_no_harm_to_a_client_that_changes() {
    for change in [CREATIONS, ROTATIONS, REFERENCES, DELETIONS].concat() {
        fail_everywhere(change).await;
    }
}

#[tokio::test]
async fn a_call_that_fails_once_does_no_harm_to_a_client_that_is_edited_or_damaged() {
    for change in [DAMAGES, EDITS, METHODS].concat() {
        fail_everywhere(change).await;
    }
}

#[tokio::test]
async fn a_race_that_is_lost_once_is_not_even_seen() {
    let world = World::new().await;
    world.declare("orders", json!({}));
    world.objects.fail(Fault { call: 3, after: false, error: ObjectError::Raced });
    let outcome = world.reconcile("orders").await;
    assert!(matches!(outcome, Outcome::Settled { .. }), "{outcome:?}");
    let statuses = world.objects.log().iter().filter(|write| write.starts_with("write status")).count();
    assert_eq!(statuses, 1);
}

#[tokio::test]
async fn a_status_that_meets_a_newer_version_is_no_failure_and_says_a_conflict_once() {
    let world = World::new().await;
    let reconciler = world.clients();
    for name in ["orders", "rival"] {
        world.declare(name, json!({"clientId": "orders"}));
    }
    world.ready("orders").await;
    for name in ["orders", "rival"] {
        let outdated = world.client(name).unwrap();
        world.objects.edit_client(NAMESPACE, name, |client| {
            client.metadata.labels.get_or_insert_default().insert("team".into(), "a".into());
            client.metadata.generation = client.metadata.generation.map(|generation| generation + 1);
        });
        let mut outdated = outdated;
        outdated.metadata.generation = outdated.metadata.generation.map(|generation| generation + 1);
        assert_eq!(reconciler.reconcile(&outdated).await, Outcome::Raced, "{name}");
        let outcome = reconciler.reconcile(&world.client(name).unwrap()).await;
        assert!(!matches!(outcome, Outcome::Raced | Outcome::Failed { .. }), "{name}: {outcome:?}");
    }
    assert_eq!(world.told("rival").0, Some(Reason::ClientIdConflict));
    assert_eq!(world.objects.reasons("rival"), ["Conflict"]);
}

#[tokio::test]
async fn a_secret_that_is_refused_is_told_and_written_when_it_no_longer_is() {
    let world = World::new().await;
    world.declare("orders", json!({}));
    world.objects.refuse("write secret", ObjectError::Refused("exceeded quota: secrets".into()));
    for _ in 0..3 {
        assert!(matches!(world.reconcile("orders").await, Outcome::Failed { .. }));
    }
    let status = world.client("orders").unwrap().status.unwrap();
    for type_ in [ConditionType::Ready, ConditionType::SecretReady] {
        let condition = status.condition(&type_).unwrap();
        assert_eq!((condition.status, &condition.reason), (ConditionStatus::False, &Reason::Progressing));
        assert_eq!(condition.message, "Secret orders-oauth2-client: refused: exceeded quota: secrets");
    }
    let statuses = || world.objects.log().iter().filter(|write| write.starts_with("write status")).count();
    assert_eq!(statuses(), 1, "it is said once");
    world.objects.allow_all();
    world.ready("orders").await;
    assert_eq!(statuses(), 2);
}

#[tokio::test]
async fn a_refused_rotation_leaves_the_client_with_what_it_has() {
    let world = World::new().await;
    world.declare("orders", json!({"secretRotation": {"period": "48h", "overlap": "2h"}}));
    world.ready("orders").await;
    let value = world.value("orders").unwrap();
    world.advance(48);
    world.objects.refuse("write secret", ObjectError::Refused("denied by a webhook".into()));
    let reconciler = world.clients();
    for _ in 0..5 {
        let outcome = reconciler.reconcile(&world.client("orders").unwrap()).await;
        assert!(matches!(&outcome, Outcome::Failed { error } if error.contains("webhook")), "{outcome:?}");
        assert_eq!((world.live("orders").await, world.pending("orders").await), (2, 1));
    }
    assert_eq!(world.value("orders").unwrap(), value);
    assert!(world.authenticates("orders", &value).await);
    assert_eq!(world.told("orders").0, Some(Reason::Progressing));
    world.objects.allow_all();
    world.ready("orders").await;
    assert_ne!(world.value("orders").unwrap(), value);
    assert_eq!(world.live("orders").await, 2);
}

#[tokio::test]
async fn somebody_who_undoes_each_write_is_met_a_few_times_and_told_of() {
    // A webhook that takes away an annotation whenever it is written.
    let world = World::new().await;
    world.declare("orders", json!({"secret": {"annotations": {"note": "a"}}}));
    world.objects.strip_annotations(true);
    let outcome = world.reconcile("orders").await;
    assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
    assert_eq!(
        world.told("orders"),
        (Some(Reason::Progressing), "something keeps undoing what is written".into())
    );
    assert!(world.objects.writes() <= 12, "{:?}", world.objects.log());
    world.objects.strip_annotations(false);
    world.ready("orders").await;
    assert_eq!(world.live("orders").await, 1, "the credentials were not touched");
}

#[tokio::test]
async fn a_value_that_is_changed_again_and_again_makes_few_secrets_and_no_hot_loop() {
    let world = World::new().await;
    world.declare("orders", json!({}));
    world.ready("orders").await;
    let start = world.now();
    let first = world.value("orders").unwrap();
    for minute in (0..600).step_by(4) {
        world.clock.set(start + jiff::SignedDuration::from_mins(minute));
        world.objects.edit_secret(NAMESPACE, &secret_name("orders"), |secret| {
            crate::world::set(secret, "CLIENT_SECRET", format!("somebodys-{minute}").as_bytes());
        });
        let before = world.writes().await;
        world.reconcile("orders").await;
        assert!(world.writes().await - before <= 6, "{:?}", world.objects.log());
    }
    let live = world.live("orders").await;
    assert!((3..=10).contains(&live), "{live}");
    assert!(world.authenticates("orders", &first).await, "it works until its overlap has passed");
    world.advance(16);
    world.ready("orders").await;
    let value = world.value("orders").unwrap();
    assert!(world.authenticates("orders", &value).await);
}

use crd::Condition;
use jiff::SignedDuration;
use serde_json::{Value, json};
use store::SecretState::Previous;

use super::super::secret::Unusable;
use super::*;
use crate::plan::scene::{Scene, at, hours, now, place, scene};

fn written(scene: &Scene) -> OAuth2ClientStatus {
    status(&scene.0, &scene.plan().standing).unwrap()
}

/// The conditions in words.
fn told(status: &OAuth2ClientStatus) -> Vec<String> {
    let words = |c: &Condition| format!("{}={} {}", c.type_, c.status, c.reason);
    status.conditions.iter().map(words).collect()
}

/// A condition in words, with its message.
fn in_full(condition: &Condition) -> String {
    format!("{}={} {}: {}", condition.type_, condition.status, condition.reason, condition.message)
}

fn unusable(scene: Scene) -> Scene {
    scene.edit(|scene| {
        let unusable = Unusable { reason: Reason::SecretConflict, message: "not mine".into() };
        scene.secret = super::super::secret::FoundSecret::Unusable(unusable);
        scene.matched = None;
    })
}

/// The same scene later on, with a status.
fn later(mut scene: Scene, status: OAuth2ClientStatus, hours_later: i64) -> Scene {
    scene.0.client.status = Some(status);
    scene.0.now = now() + hours(hours_later);
    scene
}

/// Who owns the scene's row.
fn owner(scene: &mut Gathered) -> &mut store::ResourceRef {
    scene.row.as_mut().unwrap().manager.as_mut().unwrap()
}

#[test]
fn each_standing_is_told_by_its_conditions() {
    let not_mine = |scene: Scene| scene.edit(|scene| owner(scene).namespace = "attic".into());
    for (scene, expected) in [
        (
            scene(json!({})).settled(),
            &["Ready=True Synced", "Synced=True Synced", "SecretReady=True Synced"][..],
        ),
        (
            unusable(scene(json!({})).settled()),
            &["Ready=False SecretConflict", "Synced=True Synced", "SecretReady=False SecretConflict"],
        ),
        (
            unusable(scene(json!({}))),
            &[
                "Ready=False SecretConflict",
                "Synced=False SecretConflict",
                "SecretReady=False SecretConflict",
            ],
        ),
        (
            not_mine(scene(json!({})).settled()),
            &["Ready=False ClientIdConflict", "Synced=False ClientIdConflict"],
        ),
        (
            scene(json!({})).settled().respec(|spec| spec.audience = vec![String::new()]),
            &["Ready=False InvalidSpec", "Synced=False InvalidSpec", "Stalled=True InvalidSpec"],
        ),
        (scene(json!({})).settled().respec(|spec| spec.suspend = true), &["Ready=Unknown Suspended"]),
    ] {
        let status = written(&scene);
        assert_eq!(told(&status), expected);
        assert_eq!(status.observed_generation, Some(3));
        assert!(status.conditions.iter().all(|condition| condition.observed_generation == Some(3)));
    }
    assert_eq!(status(&scene(json!({})).deleted().0, &Standing::Gone), None);
}

#[test]
fn what_is_kept_but_not_served_is_named() {
    let exchange = "urn:ietf:params:oauth:grant-type:token-exchange";
    let scene = scene(json!({"grantTypes": [exchange], "owner": "team-a"})).settled();
    let message = &written(&scene).conditions[0].message;
    assert_eq!(
        *message,
        format!("client generated-id is registered; kept, but not served yet: grantTypes {exchange}")
    );
}

#[test]
fn an_id_is_told_only_once_the_client_is_this_resources() {
    let mine = written(&scene(json!({})).settled());
    assert_eq!(mine.client_id.as_deref(), Some("generated-id"));
    assert_eq!(mine.secret_name.as_deref(), Some("orders-oauth2-client"));
    let conflict = scene(json!({})).settled().edit(|scene| {
        *owner(scene) = store::ResourceRef { namespace: "attic".into(), ..place("orders") };
    });
    let status = written(&conflict);
    assert_eq!((status.client_id.as_deref(), status.secret_name.as_deref()), (None, None));
    let message = "Ready=False ClientIdConflict: clientId generated-id belongs to attic/orders";
    assert_eq!(in_full(&status.conditions[0]), message);
    let lost = written(&later(conflict, mine.clone(), 1));
    assert_eq!(lost.client_id, mine.client_id, "what was told stays");

    let unmanaged = scene(json!({})).settled().edit(|scene| scene.row.as_mut().unwrap().manager = None);
    let status = written(&unmanaged);
    assert_eq!((status.client_id, status.secret_name), (None, None));
    let message = in_full(&status.conditions[0]);
    assert!(message.starts_with("Ready=False AdoptionRefused: client generated-id exists"), "{message}");
}

#[test]
fn the_rotation_is_told_in_whole_and_only_while_there_is_one() {
    let rotating = scene(json!({"secretRotation": {"period": "10h", "overlap": "2h"}})).settled();
    let rotation = written(&rotating).secret_rotation.unwrap();
    let half_an_hour_ago = now() - SignedDuration::from_mins(30);
    assert_eq!(rotation.last_rotation_time, Some(half_an_hour_ago.into()));
    assert_eq!(rotation.next_rotation_time, Some((half_an_hour_ago + hours(10)).into()));
    assert_eq!(rotation.previous_secret_expires_at, None);
    let overlapping = rotating.secret(Previous, Some(1)).secret(Previous, Some(-1));
    let told = written(&overlapping).secret_rotation.unwrap();
    assert_eq!(told.previous_secret_expires_at, Some(at(1).into()));
    let handled = scene(json!({}))
        .settled()
        .annotated("monday")
        .edit(|scene| scene.row.as_mut().unwrap().handled_rotate_secret = Some("monday".into()));
    assert_eq!(written(&handled).secret_rotation.unwrap().last_handled_request.as_deref(), Some("monday"));
    let public = json!({"tokenEndpointAuthMethod": "none", "grantTypes": ["authorization_code"]});
    assert_eq!(written(&scene(public).settled()).secret_rotation, None);
}

#[test]
fn a_status_that_says_the_same_is_the_same() {
    let rotating = json!({"secretRotation": {"period": "1m", "overlap": "0s"}});
    let public = json!({"tokenEndpointAuthMethod": "none", "grantTypes": ["authorization_code"]});
    let scenes: [fn(Value) -> Scene; 6] = [
        |spec| scene(spec).settled(),
        |spec| scene(spec).settled().annotated("monday"),
        // Overdue, and something is in the way.
        |spec| unusable(scene(spec).settled()).annotated("monday"),
        |spec| scene(spec).settled().respec(|spec| spec.suspend = true),
        |spec| scene(spec).settled().respec(|spec| spec.audience = vec![String::new()]),
        |spec| scene(spec).settled().edit(|scene| owner(scene).namespace = "attic".into()),
    ];
    for spec in [json!({}), rotating, public] {
        for scene in scenes {
            let first = written(&scene(spec.clone()));
            let second = written(&later(scene(spec.clone()), first.clone(), 1));
            assert_eq!(first, second, "{spec}");
        }
    }
}

#[test]
fn a_transition_time_is_that_of_the_last_change_of_the_status() {
    let first = written(&unusable(scene(json!({})).settled()));
    let ready = written(&later(scene(json!({})).settled(), first, 1));
    let times = |status: &OAuth2ClientStatus| -> Vec<_> {
        status.conditions.iter().map(|c| (c.type_.to_string(), c.last_transition_time.get())).collect()
    };
    let expected = [("Ready", at(1)), ("Synced", at(0)), ("SecretReady", at(1))];
    assert_eq!(times(&ready), expected.map(|(name, at)| (name.to_owned(), at)));
}

#[test]
fn what_fails_for_a_while_keeps_what_is_known() {
    let settled = scene(json!({"secretRotation": {"period": "10h"}})).settled();
    let ready = written(&settled);
    let client = later(settled, ready.clone(), 1).0.client;
    let away = failing(&client, &Reason::DatabaseUnavailable, "away", false, at(1));
    let expected = [
        "Ready=False DatabaseUnavailable: away",
        "Synced=False DatabaseUnavailable: away",
        "SecretReady=True Synced: Secret orders-oauth2-client holds working credentials",
    ];
    assert_eq!(away.conditions.iter().map(in_full).collect::<Vec<_>>(), expected);
    assert_eq!(away.client_id, ready.client_id);
    assert_eq!(away.secret_rotation, ready.secret_rotation);
    let client = crd::OAuth2Client { status: Some(away.clone()), ..client };
    assert_eq!(failing(&client, &Reason::DatabaseUnavailable, "away", false, at(2)), away);
    let refused = failing(&client, &Reason::Progressing, "refused: quota", true, at(2));
    assert_eq!(told(&refused)[2], "SecretReady=False Progressing");
    assert_eq!(refused.conditions[2].last_transition_time.get(), at(2));
    assert_eq!(refused.conditions[0].last_transition_time.get(), at(1), "it was not ready before");
}

#[test]
fn conditions_of_others_stay() {
    let mut before = written(&scene(json!({})).settled());
    let audited = Condition {
        type_: ConditionType::Other("example.com/Audited".into()),
        status: True,
        reason: Reason::Other("Done".into()),
        ..before.conditions[0].clone()
    };
    before.conditions.insert(0, audited.clone());
    let after = written(&later(scene(json!({})).settled(), before.clone(), 1));
    assert_eq!(after, before);
    let client = later(scene(json!({})).settled(), before, 1).0.client;
    assert_eq!(failing(&client, &Reason::Progressing, "", false, at(1)).conditions[0], audited);
}

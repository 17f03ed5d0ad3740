use serde_json::json;
use store::SecretState::Previous;

use super::*;
use crate::plan::scene::{Scene, at, now, scene};

fn rotating(period: &str) -> Scene {
    scene(json!({"secretRotation": {"period": period, "overlap": "1m"}})).settled()
}

fn rotated_at(scene: Scene, offset: Option<i64>) -> Scene {
    scene.edit(|scene| scene.row.as_mut().unwrap().secret_rotated_at = offset.map(at))
}

fn due_of(scene: &Scene) -> Due {
    due(&scene.0.client, scene.0.row.as_ref().unwrap(), scene.0.now)
}

fn next_due_of(scene: &Scene) -> Option<Timestamp> {
    next_due(&scene.0.client, scene.0.row.as_ref().unwrap(), scene.0.now)
}

#[test]
fn a_secret_is_due_by_its_age() {
    for (period, age, expected) in [
        ("10h", Some(-9), Due::At(at(1))),
        ("10h", Some(-10), Due::Now),
        // One rotation on return, however long it took.
        ("10h", Some(-1000), Due::Now),
        // The clock was set back.
        ("10h", Some(5), Due::At(at(15))),
        ("10h", None, Due::Never),
        ("99999999999999h", Some(-1), Due::At(Timestamp::MAX)),
    ] {
        assert_eq!(due_of(&rotated_at(rotating(period), age)), expected, "{period} {age:?}");
    }
    assert_eq!(due_of(&rotated_at(scene(json!({})).settled(), Some(-1000))), Due::Never);
}

#[test]
fn a_secret_is_due_on_request_once() {
    let asked = || scene(json!({})).settled().annotated("monday");
    assert_eq!(due_of(&asked()), Due::Now);
    let handled = |by: &str| {
        let by = by.to_owned();
        asked().edit(|scene| scene.row.as_mut().unwrap().handled_rotate_secret = Some(by))
    };
    assert_eq!(due_of(&handled("monday")), Due::Never);
    assert_eq!(due_of(&handled("sunday")), Due::Now);
    let withdrawn = scene(json!({}))
        .settled()
        .edit(|scene| scene.row.as_mut().unwrap().handled_rotate_secret = Some("monday".into()));
    assert_eq!(due_of(&withdrawn), Due::Never);
}

#[test]
fn a_rotation_waits_until_the_overlap_of_the_one_before_has_ended() {
    for (scene, expected) in [
        (rotated_at(rotating("10h"), Some(-20)), Due::At(at(2))),
        (rotated_at(rotating("10h"), Some(-5)), Due::At(at(5))),
        (scene(json!({})).settled().annotated("monday"), Due::At(at(2))),
    ] {
        assert_eq!(due_of(&scene.secret(Previous, Some(2)).secret(Previous, Some(-1))), expected);
    }
    let ended = scene(json!({})).settled().annotated("monday").secret(Previous, Some(0));
    assert_eq!(due_of(&ended), Due::Now, "it ends at the very instant");
}

#[test]
fn only_generated_secrets_are_ever_due() {
    let public = scene(json!({"tokenEndpointAuthMethod": "none", "grantTypes": ["authorization_code"]}));
    let referenced = scene(json!({"secret": {"source": "Reference", "name": "orders"}}));
    for scene in [public.with_row(), referenced.with_row()] {
        assert_eq!(due_of(&scene.annotated("monday")), Due::Never);
    }
}

#[test]
fn the_next_look_is_at_the_rotation_or_at_the_end_of_the_overlap() {
    let rotating = || rotated_at(rotating("10h"), Some(-5));
    assert_eq!(next_due_of(&rotating()), Some(at(5)));
    assert_eq!(next_due_of(&rotating().secret(Previous, Some(2))), Some(at(2)));
    assert_eq!(next_due_of(&scene(json!({})).settled()), None);
}

#[test]
fn the_former_secret_works_for_the_declared_overlap_or_a_day() {
    let until = |scene: &Scene| former_expires_at(&scene.0.client, now());
    assert_eq!(until(&scene(json!({}))), at(24));
    let overlap = |overlap| scene(json!({"secretRotation": {"period": "48h", "overlap": overlap}}));
    assert_eq!(until(&overlap("3h")), at(3));
    assert_eq!(until(&overlap("0s")), at(0));
    assert_eq!(until(&overlap("99999999999999999999h")), Timestamp::MAX);
}

#[test]
fn replacements_that_nobody_scheduled_wait_longer_each_time() {
    let with_former = |former: usize, rotated: i64| {
        let row = rotated_at(scene(json!({})).settled(), Some(rotated));
        let row = row.secret(Previous, Some(0));
        (0..former).fold(row, |scene, _| scene.secret(Previous, Some(24)))
    };
    for (former, minutes) in [(0, None), (1, None), (2, Some(5)), (3, Some(10))] {
        let expected = minutes.map(|minutes| now() + SignedDuration::from_mins(minutes));
        assert_eq!(with_former(former, 0).replaceable_at(), expected, "{former}");
    }
    assert_eq!(with_former(3, -1).replaceable_at(), None, "the pause is over");
    assert_eq!(with_former(3, 1).replaceable_at(), None, "the clock was set back");
    let unknown = with_former(3, 0).edit(|scene| scene.row.as_mut().unwrap().secret_rotated_at = None);
    assert_eq!(unknown.replaceable_at(), None);
}

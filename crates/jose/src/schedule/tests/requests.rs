//! Rotation on request, and revocation.

use super::*;

#[test]
fn rotate_publishes_the_next_key_now() {
    let mut set = Set::started(&[RS256, ES256]);
    set.policy.rotation = Rotation::Manual;
    set.plan(30.0, ROTATE);
    assert_eq!(
        set.lives(),
        ["ES256-2 0 0 40 60", "RS256-1 0 0 40 60", "ES256-4 30 40 - -", "RS256-3 30 40 - -"]
    );
    assert!(set.plan(31.0, ROTATE).is_empty(), "it is published already");
    assert!(set.plan(40.0, NOTHING).next_turn.is_none());
}

#[test]
fn rotate_counts_the_period_anew_and_keeps_to_the_cron_instants() {
    let mut set = Set::started(&[RS256]);
    set.plan(30.0, ROTATE);
    assert_eq!(set.plan(40.0, NOTHING).next_turn, Some(at(140.0)));

    let mut set = Set::cron("0 0 * * *", 10.0);
    set.plan(3.0, ROTATE);
    assert_eq!(set.plan(13.0, NOTHING).next_turn, Some(at(24.0)));
    let mut set = Set::cron("0 0 * * *", 10.0);
    set.plan(7.0, ROTATE);
    assert_eq!(set.plan(17.0, NOTHING).next_turn, Some(at(48.0)), "not a second turn within hours");
}

#[test]
fn rotate_now_lets_a_new_key_sign_at_once() {
    let mut set = Set::started(&[RS256, ES256]);
    set.plan(30.0, ROTATE_NOW);
    assert_eq!(
        set.lives(),
        ["ES256-2 0 0 30 50", "RS256-1 0 0 30 50", "ES256-4 30 30 - -", "RS256-3 30 30 - -"]
    );
}

#[test]
fn a_server_whose_clock_is_behind_signs_with_the_new_key_after_rotate_now() {
    let mut set = Set::started(&[RS256]);
    set.plan(30.0, ROTATE_NOW);
    let behind = active_key(&set.keys, RS256, at(30.0) - SignedDuration::from_mins(4));
    assert_eq!(behind.unwrap().kid.as_str(), "RS256-2");
}

#[test]
fn rotate_now_takes_the_next_key_if_there_is_one() {
    let mut set = Set::started(&[RS256]);
    set.plan(90.0, NOTHING);
    set.plan(93.0, ROTATE_NOW);
    assert_eq!(
        set.lives(),
        ["RS256-1 0 0 93 120", "RS256-2 93 93 - -"],
        "it counts as published now; the old one leaves no earlier than promised"
    );
}

#[test]
fn rotate_now_starts_a_line_that_was_only_published() {
    let mut set = Set::started(&[RS256]);
    set.policy.algorithms = vec![ES256];
    set.plan(30.0, NOTHING);
    set.plan(31.0, ROTATE_NOW);
    assert_eq!(set.lives(), ["RS256-1 0 0 31 60", "ES256-2 31 31 - -"]);
}

#[test]
fn a_suspended_set_answers_no_request() {
    for requests in [ROTATE, ROTATE_NOW] {
        let mut set = Set::started(&[RS256]);
        set.policy.suspended = true;
        assert!(set.plan(30.0, requests).is_empty());
    }
}

#[test]
fn a_revoked_active_key_leaves_at_once_and_the_next_one_signs() {
    let mut set = Set::started(&[RS256, ES256]);
    set.plan(90.0, NOTHING);
    let plan = set.revoke(93.0, &["RS256-1"]);
    assert_eq!(kids(&plan.remove), ["RS256-1"]);
    assert_eq!(set.lives(), ["ES256-2 0 0 100 120", "ES256-4 90 100 - -", "RS256-3 93 93 - -"]);
}

#[test]
fn a_revoked_active_key_without_a_next_one_is_replaced_at_once() {
    for suspended in [false, true] {
        let mut set = Set::started(&[RS256, ES256]);
        set.policy.suspended = suspended;
        set.revoke(30.0, &["RS256-1"]);
        assert_eq!(set.lives(), ["ES256-2 0 0 - -", "RS256-3 30 30 - -"], "suspended: {suspended}");
    }
}

#[test]
fn a_server_whose_clock_is_behind_signs_with_the_replacement_at_once() {
    for published in [false, true] {
        let mut set = Set::started(&[RS256]);
        set.plan(if published { 90.0 } else { 89.0 }, NOTHING);
        set.revoke(95.0, &["RS256-1"]);
        assert!(active_key(&set.keys, RS256, at(95.0 - 4.0 / 60.0)).is_some(), "published: {published}");
    }
}

#[test]
fn a_revoked_next_key_is_replaced_with_full_lead() {
    let mut set = Set::started(&[RS256]);
    set.plan(90.0, NOTHING);
    set.revoke(93.0, &["RS256-2"]);
    assert_eq!(set.lives(), ["RS256-1 0 0 103 123", "RS256-3 93 103 - -"], "the old one signs until then");
}

#[test]
fn the_replacement_of_a_revoked_next_key_does_not_hurry_the_turn() {
    let mut set = Set::started(&[RS256]);
    set.plan(90.0, NOTHING);
    set.policy.publish_before = hours(1.0);
    set.revoke(93.0, &["RS256-2"]);
    assert_eq!(set.lives(), ["RS256-1 0 0 100 120", "RS256-3 93 100 - -"]);
}

#[test]
fn a_revoked_next_key_of_a_manual_rotation_is_replaced_too() {
    let mut set = Set::started(&[RS256]);
    set.policy.rotation = Rotation::Manual;
    set.plan(30.0, ROTATE);
    set.revoke(31.0, &["RS256-2"]);
    assert_eq!(set.lives(), ["RS256-1 0 0 41 61", "RS256-3 31 41 - -"]);
}

#[test]
fn a_revoked_next_key_of_a_suspended_set_is_not_replaced() {
    let mut set = Set::started(&[RS256]);
    set.plan(90.0, NOTHING);
    set.policy.suspended = true;
    set.revoke(93.0, &["RS256-2"]);
    assert_eq!(set.lives(), ["RS256-1 0 0 - -"], "the old one does not retire without a successor");
}

#[test]
fn a_revoked_first_key_of_a_new_line_is_replaced_with_full_lead() {
    let mut set = Set::started(&[RS256]);
    set.policy.algorithms = vec![ES256];
    set.plan(30.0, NOTHING);
    set.revoke(35.0, &["ES256-2"]);
    assert_eq!(set.lives(), ["RS256-1 0 0 45 65", "ES256-3 35 45 - -"]);
}

#[test]
fn revoking_everything_leaves_one_new_key_per_declared_line() {
    let mut set = Set::started(&[RS256, ES256]);
    set.plan(90.0, NOTHING);
    let all: Vec<_> = set.keys.iter().map(|key| key.kid.to_string()).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let plan = set.revoke(95.0, &all);
    assert_eq!(plan.remove.len(), 4);
    assert_eq!(set.lives(), ["ES256-6 95 95 - -", "RS256-5 95 95 - -"]);
}

#[test]
fn a_revoked_retired_key_just_leaves() {
    let mut set = Set::started(&[RS256]);
    set.run(0.0, 105.0);
    let plan = set.revoke(105.0, &["RS256-1"]);
    assert_eq!((kids(&plan.remove), plan.create.len(), plan.update.len()), (vec!["RS256-1"], 0, 0));
}

#[test]
fn an_unknown_revoked_key_means_nothing() {
    let mut set = Set::started(&[RS256]);
    assert!(set.revoke(30.0, &["RS256-7", ""]).is_empty());
}

#[test]
fn a_revoked_key_of_an_undeclared_line_is_not_replaced() {
    let mut set = Set::started(&[RS256]);
    set.policy.algorithms = vec![ES256];
    set.plan(30.0, NOTHING);
    set.revoke(35.0, &["RS256-1"]);
    assert_eq!(set.lives(), ["ES256-2 35 35 - -"], "nothing else signs: the declared line does, at once");
}

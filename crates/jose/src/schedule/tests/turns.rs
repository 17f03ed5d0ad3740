//! Turns by schedule, lines that come and go, and time that passes.

use super::*;

#[test]
fn a_set_without_keys_starts_every_declared_line_at_once() {
    let mut set = Set::new(&[RS256, ES256]);
    let plan = set.plan(0.0, NOTHING);
    assert_eq!(set.lives(), ["ES256-2 0 0 - -", "RS256-1 0 0 - -"]);
    assert_eq!(plan.next_instant, Some(at(90.0)));
    assert_eq!(plan.next_turn, Some(at(100.0)));
}

#[test]
fn the_next_key_is_published_exactly_publish_before_ahead() {
    let mut set = Set::started(&[RS256]);
    assert!(set.plan(90.0 - 1.0 / 3600.0, NOTHING).is_empty());
    let plan = set.plan(90.0, NOTHING);
    assert_eq!(set.lives(), ["RS256-1 0 0 100 120", "RS256-2 90 100 - -"]);
    assert_eq!((plan.create.len(), plan.update.len()), (1, 1), "one change writes both");
    assert_eq!(plan.next_turn, Some(at(100.0)));
}

#[test]
fn every_change_of_a_year_is_an_instant_to_look_at() {
    let mut set = Set::new(&[RS256]);
    let sixth = 10.0 / 60.0;
    assert_eq!(
        set.run(0.0, 220.0),
        [90.0, 100.0, 100.0 + sixth, 120.0, 190.0, 200.0, 200.0 + sixth, 220.0],
        "published, turned, private half destroyed, removed, and again"
    );
    assert_eq!(set.lives(), ["RS256-3 190 200 - -"]);
}

#[test]
fn between_plans_the_clock_alone_turns_the_keys() {
    let mut set = Set::started(&[RS256]);
    set.plan(90.0, NOTHING);
    for (hour, kid) in [(0.0, "RS256-1"), (99.99, "RS256-1"), (100.0, "RS256-2"), (9999.0, "RS256-2")] {
        assert_eq!(active_key(&set.keys, RS256, at(hour)).unwrap().kid.as_str(), kid, "{hour}");
    }
    assert_eq!(active_key(&set.keys, ES256, at(99.0)), None);
}

#[test]
fn the_private_half_goes_ten_minutes_after_retirement_and_the_key_after_retain() {
    let mut set = Set::started(&[RS256]);
    set.plan(90.0, NOTHING);
    let ten_minutes_after = at(100.0) + SignedDuration::from_mins(10);
    assert!(set.plan_at(ten_minutes_after - SignedDuration::from_secs(1), NOTHING).is_empty());
    let plan = set.plan_at(ten_minutes_after, NOTHING);
    assert_eq!(kids(&plan.destroy_private), ["RS256-1"]);
    assert!(!set.keys.iter().find(|key| key.kid.as_str() == "RS256-1").unwrap().has_private_half);
    assert!(set.plan(119.9, NOTHING).is_empty());
    assert_eq!(kids(&set.plan(120.0, NOTHING).remove), ["RS256-1"]);
}

#[test]
fn a_delay_moves_the_turn_by_one_step_and_never_shortens_the_lead() {
    for (back_at, turn, overdue) in [
        (89.0, None, None),
        (90.5, Some(100.5), None),
        (99.0, Some(109.0), None),
        (100.0, Some(110.0), None),
        (101.0, Some(111.0), Some(100.0)),
        (199.0, Some(209.0), Some(100.0)),
        (1234.0, Some(1244.0), Some(100.0)),
    ] {
        let mut set = Set::started(&[RS256]);
        let plan = set.plan(back_at, NOTHING);
        assert_eq!(plan.overdue.map(hour), overdue, "back at {back_at}");
        let lives = match turn {
            None => vec!["RS256-1 0 0 - -".to_owned()],
            Some(turn) => {
                vec![format!("RS256-1 0 0 {turn} {}", turn + 20.0), format!("RS256-2 {back_at} {turn} - -")]
            }
        };
        assert_eq!(set.lives(), lives, "back at {back_at}");
        let Some(turn) = turn else { continue };
        let plan = set.plan(turn, NOTHING);
        assert_eq!(
            (plan.overdue, plan.next_turn),
            (None, Some(at(turn + 100.0))),
            "counts anew, back at {back_at}"
        );
    }
}

#[test]
fn a_turn_is_overdue_after_five_minutes_and_until_it_is_made() {
    let mut set = Set::started(&[RS256]);
    set.plan(99.0, NOTHING);
    let (soon, late) = (100.0 + 4.0 / 60.0, 100.0 + 5.0 / 60.0);
    let plan = set.plan(soon, NOTHING);
    assert_eq!((plan.overdue, plan.next_instant), (None, Some(at(late))), "look again when it is");
    assert_eq!(set.plan(late, NOTHING).overdue, Some(at(100.0)));
    assert_eq!(set.plan(108.9, NOTHING).overdue, Some(at(100.0)));
    assert_eq!(set.plan(109.0, NOTHING).overdue, None);
}

#[test]
fn cron_instants_are_the_activations() {
    let mut set = Set::cron("0 6 * * *", 10.0);
    set.run(0.0, 77.0);
    assert_eq!(
        set.lives(),
        ["RS256-3 44 54 78 98", "RS256-4 68 78 - -"],
        "the first morning was too near for a key to be published in time"
    );
    assert_eq!(set.plan(78.0, NOTHING).next_turn, Some(at(102.0)));
}

#[test]
fn a_missed_cron_instant_is_made_up_once_and_the_next_is_on_time() {
    let mut set = Set::cron("0 0 * * *", 10.0);
    for (back_at, turn, following) in [
        (15.0, 25.0, 48.0),
        (23.9, 33.9, 48.0),
        (24.5, 34.5, 48.0),
        (33.0, 43.0, 72.0),
        (500.0, 510.0, 528.0),
    ] {
        let mut late = Set { policy: set.policy.clone(), keys: set.keys.clone(), made: set.made };
        assert_eq!(late.plan(back_at, NOTHING).next_turn, Some(at(turn)), "back at {back_at}");
        assert_eq!(late.plan(turn, NOTHING).next_turn, Some(at(following)), "back at {back_at}");
    }
    assert_eq!(set.plan(14.0, NOTHING).next_turn, Some(at(24.0)));
}

#[test]
fn a_daily_schedule_with_a_daily_lead_turns_daily_in_spite_of_small_delays() {
    let mut set = Set::cron("0 0 * * *", 24.0);
    let mut turns = Vec::new();
    let mut now = 0.0;
    while now < 240.0 {
        let plan = set.plan(now, NOTHING);
        turns.extend(plan.create.iter().map(|key| hour(key.instants.active_at)));
        now = hour(plan.next_instant.unwrap()) + 3.0 / 3600.0;
    }
    assert_eq!(turns.len(), 9, "{turns:?}");
    for (day, turn) in (2..).zip(&turns) {
        assert!((0.0..0.1).contains(&(turn - f64::from(day) * 24.0)), "{turns:?}");
    }
}

#[test]
fn the_lines_of_a_set_turn_together() {
    let mut set = Set::started(&[RS256, ES256]);
    set.plan(90.0, NOTHING);
    assert_eq!(
        set.lives(),
        ["ES256-2 0 0 100 120", "RS256-1 0 0 100 120", "ES256-4 90 100 - -", "RS256-3 90 100 - -"]
    );
}

#[test]
fn a_line_declared_later_starts_at_once_and_falls_into_step_at_the_next_turn() {
    let mut set = Set::started(&[RS256]);
    set.policy.algorithms = vec![RS256, ES256];
    set.plan(30.0, NOTHING);
    assert_eq!(set.lives(), ["RS256-1 0 0 - -", "ES256-2 30 40 - -"], "signs after publish_before");
    set.run(30.0, 90.0);
    assert_eq!(
        set.lives(),
        ["RS256-1 0 0 100 120", "ES256-2 30 40 100 120", "ES256-4 90 100 - -", "RS256-3 90 100 - -"]
    );
}

#[test]
fn a_line_declared_just_before_a_turn_falls_into_step_one_turn_later() {
    for prepended in [false, true] {
        let mut set = Set::started(&[RS256]);
        set.policy.algorithms = if prepended { vec![ES256, RS256] } else { vec![RS256, ES256] };
        set.run(89.0, 130.0);
        assert_eq!(set.lives(), ["ES256-2 89 99 - -", "RS256-3 90 100 - -"]);
        set.run(130.0, 190.0);
        let turns: Vec<_> = set.keys.iter().filter_map(|key| key.instants.retired_at.map(hour)).collect();
        assert_eq!(turns, [199.0, 199.0]);
    }
}

#[test]
fn by_cron_a_line_declared_just_before_a_turn_sits_that_turn_out() {
    let mut set = Set::cron("0 0 * * 0", 24.0); // Sunday, 2026-01-04, hour 72
    set.policy.algorithms.insert(0, ES256);
    set.run(47.5, 80.0);
    assert_eq!(set.lives(), ["RS256-1 0 0 72 92", "ES256-2 47.5 71.5 - -", "RS256-3 48 72 - -"]);
    assert_eq!(set.plan(80.0, NOTHING).next_turn, Some(at(72.0 + 168.0)));
}

#[test]
fn an_undeclared_line_signs_until_a_declared_one_does() {
    let mut set = Set::started(&[RS256]);
    set.policy.algorithms = vec![ES256];
    set.plan(30.0, NOTHING);
    assert_eq!(set.lives(), ["RS256-1 0 0 40 60", "ES256-2 30 40 - -"]);
    set.run(30.0, 60.0);
    assert_eq!(set.lives(), ["ES256-2 30 40 - -"]);
}

#[test]
fn an_undeclared_line_retires_at_once_beside_a_declared_one() {
    let mut set = Set::started(&[RS256, ES256]);
    set.policy.algorithms = vec![ES256];
    set.plan(30.0, NOTHING);
    assert_eq!(set.lives(), ["ES256-2 0 0 - -", "RS256-1 0 0 30 50"]);
}

#[test]
fn the_next_key_of_an_undeclared_line_signs_only_while_nothing_declared_does() {
    let mut replaced = Set::started(&[RS256]);
    replaced.plan(90.0, NOTHING);
    replaced.policy.algorithms = vec![ES256];
    replaced.plan(95.0, NOTHING);
    assert_eq!(replaced.lives(), ["RS256-1 0 0 100 120", "RS256-2 90 100 105 125", "ES256-3 95 105 - -"]);

    let mut dropped = Set::started(&[RS256, ES256]);
    dropped.plan(90.0, NOTHING);
    dropped.policy.algorithms = vec![ES256];
    dropped.plan(95.0, NOTHING);
    assert_eq!(
        dropped.lives(),
        ["ES256-2 0 0 100 120", "RS256-1 0 0 95 120", "ES256-4 90 100 - -", "RS256-3 90 100 100 120"]
    );
    for hour in [95.0, 99.9, 100.0, 110.0] {
        assert_eq!(active_key(&dropped.keys, RS256, at(hour)), None, "{hour}");
    }
}

#[test]
fn a_line_declared_again_in_time_goes_on() {
    let mut set = Set::started(&[RS256]);
    set.policy.algorithms = vec![ES256];
    set.plan(30.0, NOTHING);
    set.policy.algorithms = vec![RS256];
    set.plan(35.0, NOTHING);
    assert_eq!(set.lives(), ["RS256-1 0 0 - -", "ES256-2 30 40 40 60"], "the other never signs");
    assert_eq!(set.plan(35.0, NOTHING).next_turn, Some(at(100.0)));
}

#[test]
fn a_line_declared_again_after_it_retired_starts_anew() {
    let mut set = Set::started(&[RS256, ES256]);
    set.policy.algorithms = vec![ES256];
    set.plan(30.0, NOTHING);
    set.policy.algorithms = vec![ES256, RS256];
    set.plan(31.0, NOTHING);
    assert_eq!(set.lives(), ["ES256-2 0 0 - -", "RS256-1 0 0 30 50", "RS256-3 31 41 - -"]);
}

#[test]
fn encryption_keys_turn_in_the_same_way() {
    let mut set = Set::started(&[ECDH]);
    set.plan(90.0, NOTHING);
    assert_eq!(set.lives(), ["ECDH-ES-1 0 0 100 120", "ECDH-ES-2 90 100 - -"]);
}

#[test]
fn a_promised_activation_outlives_any_change_of_the_schedule() {
    let cron = Rotation::Cron(Schedule::parse("0 0 * * *", None).unwrap());
    for rotation in [Rotation::Manual, Rotation::Period(hours(5000.0)), Rotation::Period(hours(12.0)), cron] {
        for publish_before in [1.0, 11.0] {
            let mut set = Set::started(&[RS256]);
            set.plan(90.0, NOTHING);
            set.policy.rotation = rotation.clone();
            set.policy.publish_before = hours(publish_before);
            assert!(set.plan(91.0, NOTHING).is_empty(), "{rotation:?}");
            assert_eq!(set.lives(), ["RS256-1 0 0 100 120", "RS256-2 90 100 - -"]);
        }
    }
}

#[test]
fn what_is_not_promised_counts_anew_when_the_schedule_changes() {
    for (rotation, turn) in [
        (Rotation::Manual, None),
        (Rotation::Period(hours(1000.0)), Some(1000.0)),
        (Rotation::Period(hours(60.0)), Some(60.0)),
        (Rotation::Period(hours(20.0)), Some(60.0)),
        (Rotation::Cron(Schedule::parse("0 12 * * *", None).unwrap()), Some(60.0)),
    ] {
        let mut set = Set::started(&[RS256]);
        set.policy.rotation = rotation;
        assert_eq!(set.plan(50.0, NOTHING).next_turn.map(hour), turn, "{:?}", set.policy.rotation);
    }
}

#[test]
fn no_key_signs_before_the_lead_floor() {
    let mut set = Set::started(&[RS256]);
    set.policy.publish_before = hours(0.5);
    set.policy.lead_floor = Some(lead_floor_after_shortening(at(99.0), hours(10.0)));
    let floor = 99.0 + 1.0 + 310.0 / 3600.0;
    assert_eq!(set.plan(99.0, NOTHING).next_turn, Some(at(floor)));
    set.plan(99.5, NOTHING);
    assert_eq!(
        set.lives(),
        [format!("RS256-1 0 0 {floor} {}", floor + 20.0), format!("RS256-2 99.5 {floor} - -")]
    );

    let mut set = Set::started(&[RS256]);
    set.policy.lead_floor = Some(at(50.0));
    set.policy.algorithms.push(ES256);
    set.plan(30.0, NOTHING);
    assert_eq!(set.lives(), ["RS256-1 0 0 - -", "ES256-2 30 50 - -"]);
    assert_eq!(set.plan(89.0, NOTHING).next_turn, Some(at(100.0)), "long past, it changes nothing");
}

#[test]
fn removal_moves_later_with_retain_and_never_earlier() {
    let mut set = Set::started(&[RS256]);
    set.plan(90.0, NOTHING);
    set.policy.retain = hours(30.0);
    set.plan(95.0, NOTHING);
    assert_eq!(set.lives(), ["RS256-1 0 0 100 130", "RS256-2 90 100 - -"]);
    set.policy.retain = hours(50.0);
    set.plan(129.0, NOTHING);
    assert_eq!(set.lives(), ["RS256-1 0 0 100 150", "RS256-2 90 100 - -"]);
    set.policy.retain = hours(1.0);
    assert!(set.plan(130.0, NOTHING).is_empty());
    set.plan(150.0, NOTHING);
    assert_eq!(set.lives(), ["RS256-2 90 100 - -"]);
}

#[test]
fn a_suspended_set_makes_no_keys_but_keeps_its_promises() {
    let mut set = Set::started(&[RS256]);
    set.policy.suspended = true;
    set.policy.algorithms.push(ES256);
    let plan = set.plan(500.0, ROTATE);
    assert!(plan.is_empty());
    assert_eq!((plan.next_turn, plan.next_instant, plan.overdue), (None, None, None));
    set.policy.suspended = false;
    set.plan(501.0, NOTHING);
    assert_eq!(
        set.lives(),
        ["RS256-1 0 0 511 531", "ES256-3 501 511 - -", "RS256-2 501 511 - -"],
        "resumed: one step"
    );
    set.policy.suspended = true;
    set.run(501.0, 9999.0);
    assert_eq!(set.lives(), ["ES256-3 501 511 - -", "RS256-2 501 511 - -"]);
}

#[test]
fn a_suspended_set_starts_no_line_but_ends_those_that_are_not_needed() {
    let mut set = Set::started(&[RS256]);
    set.policy.suspended = true;
    set.policy.algorithms = vec![ES256];
    assert!(set.plan(30.0, NOTHING).is_empty(), "nothing else could sign");

    let mut set = Set::started(&[RS256, ES256]);
    set.policy.suspended = true;
    set.policy.algorithms = vec![ES256];
    set.plan(30.0, NOTHING);
    assert_eq!(set.lives(), ["ES256-2 0 0 - -", "RS256-1 0 0 30 50"]);
}

#[test]
fn even_a_suspended_set_has_first_keys() {
    let mut set = Set::new(&[RS256]);
    set.policy.suspended = true;
    set.plan(0.0, NOTHING);
    assert_eq!(set.lives(), ["RS256-1 0 0 - -"]);
}

#[test]
fn a_server_whose_clock_is_behind_signs_with_the_first_key_at_once() {
    let set = Set::started(&[RS256]);
    assert!(active_key(&set.keys, RS256, at(-4.0 / 60.0)).is_some());
}

#[test]
fn instants_are_whole_seconds() {
    let set = Set::new(&[RS256]);
    let now = at(0.0) + SignedDuration::from_millis(1_700);
    let plan = plan(&set.policy, &set.keys, &NOTHING, now);
    assert_eq!(plan.create[0].instants.active_at, at(0.0) + SignedDuration::from_secs(1));
}

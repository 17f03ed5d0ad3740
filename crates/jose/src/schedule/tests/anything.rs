//! Whatever the history, whatever is asked for: what holds after every plan, and until the next.

use std::collections::BTreeSet;

use proptest::{collection::vec, option, prelude::*, sample::subsequence};

use super::*;

fn some_hours(range: std::ops::Range<i32>) -> impl Strategy<Value = SignedDuration> {
    range.prop_map(|tenths| hours(f64::from(tenths) / 10.0))
}

fn rotations() -> impl Strategy<Value = Rotation> {
    let cron = |expression| Rotation::Cron(Schedule::parse(expression, Some("Europe/Berlin")).unwrap());
    prop_oneof![
        Just(Rotation::Manual),
        some_hours(1..1000).prop_map(Rotation::Period),
        Just(cron("30 2 * * *")),
        Just(cron("0 */6 * * *")),
    ]
}

prop_compose! {
    fn policies()(
        algorithms in subsequence(LINES.to_vec(), 1..=3).prop_shuffle(),
        rotation in rotations(),
        publish_before in some_hours(1..300),
        retain in some_hours(3..500),
        lead_floor in option::weighted(0.2, (-100..100i32).prop_map(|hour: i32| at(hour.into()))),
        suspended in proptest::bool::weighted(0.2),
    ) -> Policy {
        Policy { algorithms, rotation, publish_before, retain, lead_floor, suspended }
    }
}

prop_compose! {
    fn stored_keys()(
        algorithm in prop::sample::select(LINES.to_vec()),
        published_at in -100..=0i32,
        active_at in -100..100i32,
        retired_at in option::of(-100..100i32),
        removed_at in option::of(-100..200i32),
        has_private_half: bool,
    ) -> ScheduledKey {
        let at = |hour: i32| at(hour.into());
        let instants = Instants {
            published_at: at(published_at),
            active_at: at(active_at),
            retired_at: retired_at.map(at),
            removed_at: removed_at.map(at),
        };
        ScheduledKey { kid: "".into(), algorithm, instants, has_private_half }
    }
}

/// What a user can do next: wait for some hours, change the policy, ask for something, revoke keys by number.
#[derive(Debug, Clone)]
struct Step {
    wait: SignedDuration,
    policy: Option<Policy>,
    rotate: bool,
    rotate_now: bool,
    revoked: Vec<prop::sample::Index>,
}

prop_compose! {
    fn steps()(
        wait in prop_oneof![4 => some_hours(0..50), 1 => some_hours(0..5000)],
        policy in option::weighted(0.3, policies()),
        rotate in proptest::bool::weighted(0.2),
        rotate_now in proptest::bool::weighted(0.1),
        revoked in prop_oneof![4 => Just(Vec::new()), 1 => vec(any::<prop::sample::Index>(), 1..3)],
    ) -> Step {
        Step { wait, policy, rotate, rotate_now, revoked }
    }
}

/// What holds from `now` until `until` while nothing is written.
fn assert_sound(set: &Set, now: Timestamp, until: Timestamp) {
    let Policy { algorithms, suspended, .. } = &set.policy;
    let changes = set.keys.iter().flat_map(|key| {
        [Some(key.instants.active_at), key.instants.retired_at, key.instants.removed_at].into_iter().flatten()
    });
    let moments: BTreeSet<_> =
        changes.filter(|change| *change > now && *change < until).chain([now]).collect();
    for moment in moments {
        let count = |algorithm, state| in_state(&set.keys, algorithm, state, moment);
        for line in LINES {
            assert!(
                count(line, State::Active) <= 1,
                "two active keys of {line} at {moment}: {:?}",
                set.lives()
            );
            assert!(count(line, State::Next) <= 1, "two next keys of {line} at {moment}: {:?}", set.lives());
            if algorithms.contains(&line) && active_key(&set.keys, line, now).is_some() {
                assert_eq!(count(line, State::Active), 1, "{line} at {moment}: {:?}", set.lives());
            }
            if algorithms.contains(&line) && !suspended {
                assert!(
                    count(line, State::Active) + count(line, State::Next) > 0,
                    "{line}: {:?}",
                    set.lives()
                );
            }
        }
        assert!(LINES.iter().any(|line| count(*line, State::Active) > 0), "nothing signs: {:?}", set.lives());
    }
}

/// What a plan may change, and what it must not.
fn assert_promises_kept(before: &[ScheduledKey], set: &Set, requests: &Requests<'_>, now: Timestamp) {
    let urgent = requests.rotate_now || !requests.revoked.is_empty();
    for old in before {
        let Some(new) = set.keys.iter().find(|key| key.kid == old.kid) else {
            let gone = old.instants.removed_at.is_some_and(|removed_at| removed_at <= now);
            assert!(gone || requests.revoked.contains(&old.kid), "{old:?} vanished at {now}");
            continue;
        };
        let (old, new) = (old.instants, new.instants);
        assert!(!requests.revoked.contains(&set.keys[0].kid));
        assert!(old.active_at == new.active_at || (urgent && new.active_at == now), "{old:?} {new:?}");
        if old.state(now) == State::Retired {
            assert_eq!(old.retired_at, new.retired_at);
        }
        if let (Some(old), Some(new)) = (old.removed_at, new.removed_at) {
            assert!(old <= new, "left at {old}, now at {new}");
        }
        if let (Some(retired_at), Some(removed_at)) = (new.retired_at, new.removed_at) {
            assert!(retired_at.duration_until(removed_at) >= set.policy.retain || removed_at <= now);
        }
    }
    for new in set.keys.iter().filter(|key| before.iter().all(|old| old.kid != key.kid)) {
        let Instants { published_at, active_at, .. } = new.instants;
        let lead = published_at.duration_until(active_at);
        let in_time = lead >= set.policy.publish_before && Some(active_at) >= set.policy.lead_floor;
        assert!(in_time || (active_at == now && (urgent || before.is_empty())), "{new:?} at {now}");
        assert_eq!(published_at, now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_history_settles_in_one_step(
        policy in policies(),
        mut keys in vec(stored_keys(), 0..7),
        (rotate, rotate_now) in any::<(bool, bool)>(),
        revoked in vec(0..7usize, 0..3),
    ) {
        for (number, key) in keys.iter_mut().enumerate() {
            key.kid = number.to_string().into();
        }
        let revoked: Vec<KeyId> = revoked.into_iter().map(|number| number.to_string().into()).collect();
        let mut set = Set { policy, keys, made: 0 };
        let plan = set.plan(0.0, Requests { rotate, rotate_now, revoked: &revoked });
        prop_assert!(plan.next_instant.is_none_or(|instant| instant > at(0.0)));
        for line in LINES {
            prop_assert!(in_state(&set.keys, line, State::Active, at(0.0)) <= 1, "{:?}", set.lives());
        }
        prop_assert!(LINES.iter().any(|line| active_key(&set.keys, *line, at(0.0)).is_some()));
        for key in &set.keys {
            let Instants { retired_at, removed_at, .. } = key.instants;
            prop_assert!(key.instants.state(at(0.0)) != State::Removed && !revoked.contains(&key.kid));
            prop_assert_eq!(retired_at.is_some(), removed_at.is_some());
        }
    }

    #[test]
    fn whatever_happens_a_line_signs_with_one_key_and_promises_are_kept(
        policy in policies(),
        steps in vec(steps(), 1..25),
    ) {
        let mut set = Set { policy, keys: Vec::new(), made: 0 };
        let mut now = at(0.0);
        for step in steps {
            if let Some(policy) = step.policy {
                set.policy = policy;
            }
            let before = set.keys.clone();
            let revoked: Vec<KeyId> = match before.len() {
                0 => Vec::new(),
                _ => step.revoked.iter().map(|index| index.get(&before).kid.clone()).collect(),
            };
            let requests = Requests { rotate: step.rotate, rotate_now: step.rotate_now, revoked: &revoked };
            let plan = set.plan_at(now, requests);
            assert_promises_kept(&before, &set, &requests, now);
            assert_sound(&set, now, now + step.wait);
            let due = plan.next_instant;
            prop_assert!(due.is_none_or(|instant| instant > now));
            // Nothing is to be done before the instant that the plan names.
            if let Some(just_before) = due.map(|due| due - SignedDuration::from_secs(1)) {
                let requests = Requests { revoked: &revoked, ..NOTHING };
                let early = super::plan(&set.policy, &set.keys, &requests, just_before);
                prop_assert!(early.is_empty() && early.next_instant == due, "{:?} {:?}", early, set.lives());
            }
            now += step.wait;
        }
    }
}

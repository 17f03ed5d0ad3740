//! A year of rotation: an operator that is often away, servers whose clocks are off, verifiers that cache.
//!
//! The operator writes the set now and then; each write holds until the next, and 10 seconds longer for a server
//! that is slow to hear of it. From the writes follows exactly when the first server signs with a key, the last
//! one publishes it, the last one signs with it and the first one drops it, so nothing is left to sampling.

use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*, sample::Index, sample::select};

use super::*;

const YEAR: f64 = 365.0 * 24.0;

/// How far servers' clocks are ahead or behind.
const CLOCKS: [SignedDuration; 3] =
    [SignedDuration::from_mins(-4), SignedDuration::ZERO, SignedDuration::from_mins(4)];
const FASTEST: SignedDuration = CLOCKS[2];
const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// What happens at some hour of the year.
#[derive(Debug, Clone)]
enum Event {
    OperatorAway(SignedDuration),
    PublishBefore(SignedDuration),
    Rotation(Rotation),
    Algorithms(Vec<Algorithm>),
    LongerTokens(SignedDuration),
    Suspend(bool),
    Rotate,
    RotateNow,
    Revoke(Index),
}

/// What the operator wrote, and what servers do by it.
#[derive(Debug, Clone)]
struct Write {
    at: Timestamp,
    /// When the last server has heard of the next write.
    ends: Timestamp,
    keys: Vec<ScheduledKey>,
    algorithms: Vec<Algorithm>,
    max_age: SignedDuration,
    token_lifetime: SignedDuration,
}

/// How servers and the caller of the schedule go about it; the controls get one thing wrong.
#[derive(Clone, Copy)]
struct Conduct {
    max_age: fn(SignedDuration) -> SignedDuration,
    lead_floor: fn(Timestamp, SignedDuration) -> Timestamp,
    retain: fn(SignedDuration) -> SignedDuration,
    expiry_cap: fn(Timestamp) -> Timestamp,
}

const RIGHT: Conduct = Conduct {
    max_age: jwks_max_age,
    lead_floor: lead_floor_after_shortening,
    retain: |token_lifetime| token_lifetime + SignedDuration::from_mins(15),
    expiry_cap: token_expiry_cap,
};

struct Year {
    set: Set,
    conduct: Conduct,
    token_lifetime: SignedDuration,
    writes: Vec<Write>,
    revoked: Vec<KeyId>,
}

impl Year {
    fn new(
        algorithms: &[Algorithm],
        rotation: Rotation,
        publish_before: SignedDuration,
        conduct: Conduct,
    ) -> Self {
        let token_lifetime = hours(1.0);
        let mut set = Set::new(algorithms);
        set.policy.rotation = rotation;
        set.policy.publish_before = publish_before;
        set.policy.retain = (conduct.retain)(token_lifetime);
        Self { set, conduct, token_lifetime, writes: Vec::new(), revoked: Vec::new() }
    }

    /// The operator works through the year: at the instants it planned, and when something happens, each time
    /// a little late, unless it is away.
    fn run(&mut self, mut events: Vec<(f64, Event)>, delay: SignedDuration) {
        events.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let mut events = events.into_iter().map(|(hour, event)| (at(hour), event)).peekable();
        let (mut now, mut away_until) = (at(0.0), at(0.0));
        while now < at(YEAR) {
            let mut requests = NOTHING;
            while let Some((_, event)) = events.next_if(|(hour, _)| *hour <= now) {
                match event {
                    Event::OperatorAway(time) => away_until = away_until.max(now + time),
                    Event::Rotate => requests.rotate = true,
                    Event::RotateNow => requests.rotate_now = true,
                    Event::Revoke(index) => self.revoked.push(index.get(&self.set.keys).kid.clone()),
                    event => self.change(event, now),
                }
            }
            let plan = self.set.plan_at(now, Requests { revoked: &self.revoked, ..requests });
            self.write(now);
            let next = plan.next_instant.into_iter().chain(events.peek().map(|(hour, _)| *hour)).min();
            now = (next.unwrap_or(at(YEAR)) + delay).max(away_until).max(now + SECOND);
        }
    }

    fn change(&mut self, event: Event, now: Timestamp) {
        let policy = &mut self.set.policy;
        match event {
            Event::PublishBefore(new) => {
                if new < policy.publish_before {
                    let floor = (self.conduct.lead_floor)(now, policy.publish_before);
                    policy.lead_floor = policy.lead_floor.max(Some(floor));
                }
                policy.publish_before = new;
            }
            Event::Rotation(rotation) => policy.rotation = rotation,
            Event::Algorithms(algorithms) => policy.algorithms = algorithms,
            Event::LongerTokens(lifetime) => {
                self.token_lifetime = self.token_lifetime.max(lifetime);
                policy.retain = (self.conduct.retain)(self.token_lifetime);
            }
            Event::Suspend(suspended) => policy.suspended = suspended,
            Event::OperatorAway(_) | Event::Rotate | Event::RotateNow | Event::Revoke(_) => {}
        }
    }

    fn write(&mut self, now: Timestamp) {
        let policy = &self.set.policy;
        let write = Write {
            at: now,
            ends: at(YEAR),
            keys: self.set.keys.clone(),
            algorithms: policy.algorithms.clone(),
            max_age: (self.conduct.max_age)(policy.publish_before),
            token_lifetime: self.token_lifetime,
        };
        if let Some(last) = self.writes.last_mut() {
            last.ends = now + PROPAGATION;
        }
        self.writes.push(write);
    }

    /// Keys that a server may sign with while a verifier may hold a set without them.
    fn unknown_keys(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut seen: Vec<&KeyId> = self.writes[0].keys.iter().map(|key| &key.kid).collect();
        let mut copies_expire = Timestamp::MIN;
        for (previous, write) in self.writes.iter().zip(&self.writes[1..]) {
            copies_expire = copies_expire.max(previous.ends + previous.max_age);
            for key in &write.keys {
                let first_signs = write.at.max(key.instants.active_at - FASTEST);
                if !seen.contains(&&key.kid) && first_signs < copies_expire {
                    faults
                        .push(format!("{} signs from {first_signs}, unknown until {copies_expire}", key.kid));
                }
                if !seen.contains(&&key.kid) {
                    seen.push(&key.kid);
                }
            }
        }
        faults
    }

    /// Tokens that are valid when the first server no longer publishes their key.
    fn tokens_that_outlive_their_keys(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut dropped_from: BTreeMap<&KeyId, Timestamp> = BTreeMap::new();
        let mut later: Option<&Write> = None;
        for write in self.writes.iter().rev() {
            let mut dropped = BTreeMap::new();
            for key in write.keys.iter().filter(|key| !self.revoked.contains(&key.kid)) {
                let Instants { retired_at, removed_at, .. } = key.instants;
                let by_clock =
                    removed_at.map(|instant| write.at.max(instant - FASTEST)).filter(|i| *i < write.ends);
                let by_write = later.map(|later| *dropped_from.get(&key.kid).unwrap_or(&later.at));
                let drop = by_clock.into_iter().chain(by_write).min().unwrap_or(Timestamp::MAX);
                for clock in CLOCKS {
                    let signs_until =
                        write.ends.min(retired_at.map_or(write.ends, |instant| instant - clock));
                    let last = signs_until - SECOND;
                    if last < write.at || last + clock < key.instants.active_at {
                        continue;
                    }
                    let expiry = last + clock + write.token_lifetime;
                    let expiry =
                        removed_at.map_or(expiry, |instant| expiry.min((self.conduct.expiry_cap)(instant)));
                    if expiry > drop {
                        faults
                            .push(format!("{} is dropped at {drop}, a token lives until {expiry}", key.kid));
                    }
                }
                dropped.insert(&key.kid, drop);
            }
            dropped_from = dropped;
            later = Some(write);
        }
        faults
    }

    /// Moments at which a server, by its own clock, has nothing to sign with, in all or in a line that signed.
    fn moments_without_active_key(&self) -> Vec<String> {
        self.count_active_keys(|write, begins, now| {
            let count = |line| in_state(&write.keys, line, State::Active, now);
            let lost = |line: &Algorithm| {
                in_state(&write.keys, *line, State::Active, begins) > 0 && count(*line) == 0
            };
            LINES.into_iter().all(|line| count(line) == 0) || write.algorithms.iter().any(lost)
        })
    }

    /// Moments at which a server, by its own clock, has two active keys of one line.
    fn moments_with_two_active_keys(&self) -> Vec<String> {
        self.count_active_keys(|write, _, now| {
            LINES.into_iter().any(|line| in_state(&write.keys, line, State::Active, now) > 1)
        })
    }

    fn count_active_keys(&self, is_fault: impl Fn(&Write, Timestamp, Timestamp) -> bool) -> Vec<String> {
        let mut faults = Vec::new();
        for (write, clock) in self.writes.iter().flat_map(|write| CLOCKS.map(|clock| (write, clock))) {
            let (begins, ends) = (write.at + clock, write.ends + clock);
            let changes = write
                .keys
                .iter()
                .flat_map(|key| [Some(key.instants.active_at), key.instants.retired_at])
                .flatten();
            for moment in changes.filter(|change| *change > begins && *change < ends).chain([begins]) {
                if is_fault(write, begins, moment) {
                    faults.push(format!("{moment} by a clock that is off by {clock:#}: {:?}", write.keys));
                }
            }
        }
        faults
    }
}

fn rotations() -> impl Strategy<Value = Rotation> {
    let cron = |expression| Rotation::Cron(Schedule::parse(expression, Some("Europe/Berlin")).unwrap());
    prop_oneof![
        3 => (48..1440i32).prop_map(|period| Rotation::Period(hours(period.into()))),
        1 => Just(cron("30 2 * * *")),
        1 => Just(cron("0 2 * * 0")),
        1 => Just(cron("0 0 1,15 * *")),
        1 => Just(Rotation::Manual),
    ]
}

fn publish_befores() -> impl Strategy<Value = SignedDuration> {
    prop_oneof![
        (311..4000i64).prop_map(SignedDuration::from_secs),
        (1..30i32).prop_map(|hour| hours(hour.into()))
    ]
}

fn algorithms() -> impl Strategy<Value = Vec<Algorithm>> {
    select(vec![vec![RS256], vec![ES256], vec![RS256, ES256], vec![ES256, RS256]])
}

fn events() -> impl Strategy<Value = (f64, Event)> {
    let event = prop_oneof![
        4 => prop_oneof![1..72i32, 72..2000i32].prop_map(|time| Event::OperatorAway(hours(time.into()))),
        2 => publish_befores().prop_map(Event::PublishBefore),
        1 => rotations().prop_map(Event::Rotation),
        2 => algorithms().prop_map(Event::Algorithms),
        1 => (1..200i32).prop_map(|lifetime| Event::LongerTokens(hours(lifetime.into()))),
        1 => any::<bool>().prop_map(Event::Suspend),
        1 => Just(Event::Rotate),
    ];
    (1.0..YEAR, event)
}

fn emergencies() -> impl Strategy<Value = (f64, Event)> {
    (1.0..YEAR, prop_oneof![Just(Event::RotateNow), any::<Index>().prop_map(Event::Revoke)])
}

const NO_FAULTS: Vec<String> = Vec::new();

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn in_a_year_no_verifier_meets_an_unknown_key_and_no_token_outlives_its_key(
        algorithms in algorithms(),
        rotation in rotations(),
        publish_before in publish_befores(),
        events in vec(events(), 0..40),
        delay in 0..60i64,
    ) {
        let mut year = Year::new(&algorithms, rotation, publish_before, RIGHT);
        year.run(events, SignedDuration::from_secs(delay));
        prop_assert_eq!(year.unknown_keys(), NO_FAULTS);
        prop_assert_eq!(year.tokens_that_outlive_their_keys(), NO_FAULTS);
        prop_assert_eq!(year.moments_without_active_key(), NO_FAULTS);
        prop_assert_eq!(year.moments_with_two_active_keys(), NO_FAULTS);
    }

    #[test]
    fn in_a_year_of_emergencies_every_server_signs_and_no_token_outlives_its_key(
        algorithms in algorithms(),
        rotation in rotations(),
        events in vec(prop_oneof![events(), emergencies()], 0..40),
    ) {
        let mut year = Year::new(&algorithms, rotation, hours(24.0), RIGHT);
        year.run(events, SECOND);
        prop_assert_eq!(year.tokens_that_outlive_their_keys(), NO_FAULTS);
        prop_assert_eq!(year.moments_without_active_key(), NO_FAULTS);
    }
}

/// A quiet year of turns every thirty days.
fn quiet_year(publish_before: f64, conduct: Conduct) -> Year {
    let mut year = Year::new(&[RS256], Rotation::Period(hours(720.0)), hours(publish_before), conduct);
    year.run(Vec::new(), SignedDuration::ZERO);
    year
}

#[test]
fn a_quiet_year_has_twelve_turns() {
    let year = quiet_year(24.0, RIGHT);
    assert_eq!(year.set.made, 13);
    assert_eq!(year.writes.len(), 1 + 12 * 4, "published, turned, private half destroyed, removed");
    assert_eq!(year.unknown_keys(), NO_FAULTS);
    assert_eq!(year.tokens_that_outlive_their_keys(), NO_FAULTS);
}

#[test]
fn with_too_long_a_max_age_there_would_be_unknown_keys() {
    let careless = Conduct { max_age: |publish_before| publish_before - PROPAGATION, ..RIGHT };
    assert_eq!(quiet_year(1.0, careless).unknown_keys().len(), 12);
}

#[test]
fn without_a_floor_a_shortened_lead_would_bring_unknown_keys() {
    let careless = Conduct { lead_floor: |changed_at, _| changed_at, ..RIGHT };
    for (conduct, faults) in [(careless, 1), (RIGHT, 0)] {
        let mut year = Year::new(&[RS256], Rotation::Manual, hours(24.0), conduct);
        let events = vec![(700.0, Event::PublishBefore(hours(0.1))), (700.0, Event::Rotate)];
        year.run(events, SignedDuration::ZERO);
        assert_eq!((year.set.made, year.unknown_keys().len()), (2, faults));
    }
}

#[test]
fn with_too_short_a_retention_tokens_would_outlive_their_keys_but_for_the_cap() {
    let uncapped = Conduct { expiry_cap: |_| Timestamp::MAX, ..RIGHT };
    let short = Conduct { retain: |token_lifetime| token_lifetime, ..RIGHT };
    let both = Conduct { retain: short.retain, ..uncapped };
    for (conduct, sound) in [(uncapped, true), (short, true), (both, false)] {
        assert_eq!(quiet_year(24.0, conduct).tokens_that_outlive_their_keys().is_empty(), sound);
    }
}

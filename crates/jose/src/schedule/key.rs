//! A key as the schedule sees it: its name, its algorithm and its instants.

use jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit};

use crate::{Algorithm, KeyId};

/// How long a retired key keeps its private half: servers whose clocks are behind still sign with it.
const PRIVATE_HALF_KEPT: SignedDuration = SignedDuration::from_mins(10);

/// When a key is published, signs, retires and goes; whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Instants {
    /// The key was written. Servers publish it as soon as they load it, whatever their clocks say.
    pub published_at: Timestamp,
    /// The key begins to sign.
    pub active_at: Timestamp,
    /// The key ceases to sign: the instant at which its successor begins. Unknown until there is one.
    pub retired_at: Option<Timestamp>,
    /// The key leaves the published set; known together with `retired_at`.
    pub removed_at: Option<Timestamp>,
}

/// What a key is for at a given time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Published, so that verifiers know it before it signs.
    Next,
    /// Signs; for a key with use `enc`, the key to encrypt to.
    Active,
    /// Published, so that what it signed can be verified.
    Retired,
    /// No longer published.
    Removed,
}

impl Instants {
    /// A key that is published at one instant and signs from another.
    pub(super) fn published(published_at: Timestamp, active_at: Timestamp) -> Self {
        Self { published_at, active_at, retired_at: None, removed_at: None }
    }

    /// What the key is for at `now`; each instant belongs to the state that it begins.
    ///
    /// A key that went straight into service, `active_at` = `published_at`, is active for whoever sees it: a
    /// server whose clock is behind must not wait, since there may be nothing else to sign with.
    pub fn state(&self, now: Timestamp) -> State {
        let passed = |instant: Option<Timestamp>| instant.is_some_and(|instant| instant <= now);
        if passed(self.removed_at) {
            State::Removed
        } else if passed(self.retired_at) {
            State::Retired
        } else if self.active_at <= now || self.active_at <= self.published_at {
            State::Active
        } else {
            State::Next
        }
    }

    /// When the private half is destroyed: ten minutes after the key retired.
    pub fn private_destroyed_at(&self) -> Option<Timestamp> {
        self.retired_at.map(|retired_at| after(retired_at, PRIVATE_HALF_KEPT))
    }
}

/// A key of a set, without its material.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduledKey {
    /// Its name in the published set.
    pub kid: KeyId,
    /// Its algorithm, hence its line.
    pub algorithm: Algorithm,
    /// When it does what.
    pub instants: Instants,
    /// Whether the private half is still stored.
    pub has_private_half: bool,
}

/// The key that a line signs with (or is encrypted to) at `now`.
///
/// By an accurate clock a line never has two active keys. A server whose clock is behind can see two for that
/// long after a rotation without lead; the newer one counts.
pub fn active_key(keys: &[ScheduledKey], algorithm: Algorithm, now: Timestamp) -> Option<&ScheduledKey> {
    keys.iter()
        .filter(|key| key.algorithm == algorithm && key.instants.state(now) == State::Active)
        .max_by_key(|key| (key.instants.active_at, key.instants.published_at))
}

/// The first whole second at least `duration` after `instant`, or the end of time.
pub(super) fn after(instant: Timestamp, duration: SignedDuration) -> Timestamp {
    let up = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Ceil);
    instant.checked_add(duration).and_then(|sum| sum.round(up)).unwrap_or(Timestamp::MAX)
}

/// The last whole second at least `duration` before `instant`, or the beginning of time.
pub(super) fn before(instant: Timestamp, duration: SignedDuration) -> Timestamp {
    instant.checked_sub(duration).map_or(Timestamp::MIN, whole_second)
}

/// The second in which `instant` lies.
pub(super) fn whole_second(instant: Timestamp) -> Timestamp {
    let down = TimestampRound::new().smallest(Unit::Second).mode(RoundMode::Floor);
    instant.round(down).unwrap_or(instant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn each_instant_begins_a_state() {
        let instants = Instants {
            published_at: at(10),
            active_at: at(20),
            retired_at: Some(at(30)),
            removed_at: Some(at(40)),
        };
        for (now, state) in [
            (0, State::Next),
            (10, State::Next),
            (19, State::Next),
            (20, State::Active),
            (29, State::Active),
            (30, State::Retired),
            (39, State::Retired),
            (40, State::Removed),
            (1_000_000, State::Removed),
        ] {
            assert_eq!(instants.state(at(now)), state, "{now}");
        }
        assert_eq!(instants.private_destroyed_at(), Some(at(630)));
    }

    #[test]
    fn a_key_without_successor_stays_active() {
        let instants = Instants::published(at(10), at(20));
        assert_eq!(instants.state(Timestamp::MAX), State::Active);
        assert_eq!(instants.private_destroyed_at(), None);
    }

    #[test]
    fn a_key_that_went_straight_into_service_is_active_for_a_clock_that_is_behind() {
        assert_eq!(Instants::published(at(300), at(300)).state(at(60)), State::Active);
    }

    #[test]
    fn sums_are_whole_seconds_and_never_too_early() {
        let half = SignedDuration::from_millis(500);
        assert_eq!(after(at(1), half), at(2));
        assert_eq!(before(at(2), half), at(1));
        assert_eq!(after(at(1), SignedDuration::MAX), Timestamp::MAX);
        assert_eq!(before(at(1), SignedDuration::MAX), Timestamp::MIN);
        assert_eq!(whole_second(Timestamp::from_millisecond(1_999).unwrap()), at(1));
    }
}

//! What the user wants: when keys turn, and what has been asked for out of turn.

use jiff::{SignedDuration, Timestamp};

use super::{
    caching::CLOCK_TOLERANCE,
    cron::Schedule,
    key::{after, before},
};
use crate::{Algorithm, KeyId};

/// How the keys of one set turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The declared lines, one per algorithm, the default first. They turn together.
    ///
    /// One that is added later starts its line at once and signs after `publish_before`; it falls into step at
    /// the next turn, which the oldest of the active keys calls for all. One that is taken away signs until the
    /// first of the declared lines does, and then retires.
    pub algorithms: Vec<Algorithm>,
    /// When the lines turn.
    pub rotation: Rotation,
    /// How long a key is published before it signs; more than zero and less than the time between two turns.
    pub publish_before: SignedDuration,
    /// How long a retired key stays published: at least the longest lifetime of what the set signs + 15 minutes.
    pub retain: SignedDuration,
    /// No new key may sign before this instant. The caller sets it when `publish_before` gets shorter, to
    /// [`lead_floor_after_shortening`](super::lead_floor_after_shortening) unless it is later already.
    pub lead_floor: Option<Timestamp>,
    /// No new keys: what is published goes its way, and the active keys go on signing. A line that is no longer
    /// declared still ends, if a declared one signs.
    ///
    /// `rotate` and `rotate_now` wait (leave them unhandled until the set is resumed). A revoked key still
    /// leaves at once, and if it was active it is still replaced, as are the first keys of an empty set made:
    /// there must always be one that signs. A revoked next key is not replaced.
    pub suspended: bool,
}

/// When the lines of a set turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// Only on request.
    Manual,
    /// When the active key has been active for so long.
    Period(SignedDuration),
    /// At given wall clock times.
    Cron(Schedule),
}

impl Rotation {
    /// When a key that became active at `active_at` is due to hand over.
    ///
    /// Wall clock times too soon for a successor to be published after `active_at` with full lead are passed
    /// over: after a rotation on request there is no second turn a few hours later. They are met all the same
    /// if only minutes are missing, so that small delays do not make a daily schedule with a daily lead skip
    /// every other day.
    pub(super) fn due(&self, active_at: Timestamp, publish_before: SignedDuration) -> Option<Timestamp> {
        match self {
            Self::Manual => None,
            Self::Period(period) => Some(after(active_at, *period)),
            Self::Cron(schedule) => {
                let earliest = before(after(active_at, publish_before), CLOCK_TOLERANCE);
                schedule.next(active_at.max(before(earliest, SignedDuration::from_secs(1))))
            }
        }
    }
}

/// What has been asked for out of turn. The caller compares requests with those it has handled, and stores
/// them as handled in the transaction that applies the plan.
#[derive(Debug, Clone, Copy, Default)]
pub struct Requests<'a> {
    /// Publish the next key now, and let it sign after `publish_before`.
    pub rotate: bool,
    /// Let the next key, published already or not, sign at once. Verifiers that cache the published set do not
    /// know it yet.
    pub rotate_now: bool,
    /// Compromised keys: they leave at once, and are replaced. Names that the set does not have mean nothing.
    pub revoked: &'a [KeyId],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cron_instant_is_due_if_a_key_can_be_published_in_time_give_or_take_five_minutes() {
        let rotation = Rotation::Cron(Schedule::parse("0 0 * * *", None).unwrap());
        for (active_at, minutes, due) in [
            ("2026-01-01T00:00:00Z", 60, "2026-01-02T00:00:00Z"),
            ("2026-01-01T00:00:00Z", 24 * 60, "2026-01-02T00:00:00Z"),
            ("2026-01-01T00:05:00Z", 24 * 60, "2026-01-02T00:00:00Z"),
            ("2026-01-01T00:05:01Z", 24 * 60, "2026-01-03T00:00:00Z"),
            ("2026-01-01T22:59:59Z", 60, "2026-01-02T00:00:00Z"),
            ("2026-01-01T23:06:00Z", 60, "2026-01-03T00:00:00Z"),
            ("2026-01-01T23:59:59Z", 2, "2026-01-02T00:00:00Z"),
            ("2026-01-02T00:00:00Z", 2, "2026-01-03T00:00:00Z"),
            ("2026-01-02T00:01:00Z", 2, "2026-01-03T00:00:00Z"),
        ] {
            let lead = SignedDuration::from_mins(minutes);
            let found = rotation.due(active_at.parse().unwrap(), lead);
            assert_eq!(found, Some(due.parse().unwrap()), "{active_at}, {minutes} min");
        }
    }
}

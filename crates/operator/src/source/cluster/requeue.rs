//! When a resource is looked at again.

use std::time::Duration;

use crd::Reason;
use jiff::Timestamp;
use jose::Entropy;

use crate::backoff;
use crate::outcome::{Outcome, RECHECK, RESYNC};

/// How long until a resource whose spec must change first is looked at again, should the watch miss that.
const UNTIL_EDITED: Duration = Duration::from_hours(1);
/// The shortest wait: what is due already is not due again at once.
const SHORTEST: Duration = Duration::from_secs(1);

/// How long after an outcome the resource is looked at again, if nothing tells of a change before; `None` for never.
/// `failures` counts those in a row, this one included.
pub(super) fn delay(outcome: &Outcome, failures: u32, now: Timestamp, entropy: &Entropy) -> Option<Duration> {
    Some(match outcome {
        // What changes, watches and the database tell.
        Outcome::Settled { again_at: None } | Outcome::Nothing => return None,
        Outcome::Settled { again_at: Some(at) } | Outcome::DeletionBlocked { again_at: at } => {
            Duration::try_from(at.duration_since(now))
                .unwrap_or_default()
                .clamp(SHORTEST, spread(RESYNC, entropy))
        }
        Outcome::Waiting { reason: Reason::InvalidSpec | Reason::Suspended } => spread(UNTIL_EDITED, entropy),
        Outcome::Waiting { .. } => spread(RECHECK, entropy),
        Outcome::Failed { .. } | Outcome::Raced => backoff::delay(failures),
        // The gate's opening comes first.
        Outcome::DatabaseAway => spread(RESYNC, entropy),
    })
}

/// A tenth more or less at random, so that what began together does not stay together.
pub(super) fn spread(around: Duration, entropy: &Entropy) -> Duration {
    let fraction = f64::from(u16::from_be_bytes(entropy.bytes())) / f64::from(u16::MAX);
    around.mul_f64(0.9 + 0.2 * fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_seconds(outcome: &Outcome, failures: u32) -> Option<u64> {
        let now = Timestamp::from_second(1_000_000).unwrap();
        delay(outcome, failures, now, &Entropy::system()).map(|delay| delay.as_secs())
    }

    #[test]
    fn what_is_due_is_awaited_but_no_longer_than_an_hour_for_clocks_are_set() {
        let settled = |second| Outcome::Settled { again_at: Some(Timestamp::from_second(second).unwrap()) };
        assert_eq!(in_seconds(&settled(1_000_090), 0), Some(90));
        assert_eq!(in_seconds(&settled(999_000), 0), Some(1));
        assert_eq!(in_seconds(&Outcome::Settled { again_at: None }, 0), None);
        for far in [settled(9_000_000), Outcome::DatabaseAway] {
            assert!((3240..=3960).contains(&in_seconds(&far, 0).unwrap()), "{far:?}");
        }
    }

    #[test]
    fn what_waits_is_rechecked_by_what_it_waits_for() {
        let waiting = |reason| in_seconds(&Outcome::Waiting { reason }, 0).unwrap();
        assert!((270..=330).contains(&waiting(Reason::SecretNotFound)));
        assert!((3240..=3960).contains(&waiting(Reason::InvalidSpec)));
        assert_eq!(in_seconds(&Outcome::Nothing, 0), None);
        let failed = in_seconds(&Outcome::Failed { error: String::new() }, 5).unwrap();
        assert!((16..=32).contains(&failed));
    }

    #[test]
    fn resyncs_do_not_coincide() {
        let delays: std::collections::HashSet<_> =
            (0..50).map(|_| in_seconds(&Outcome::DatabaseAway, 0)).collect();
        assert!(delays.len() > 20);
    }
}

//! Who leads: what is to be done about the Lease.
//!
//! A candidate believes no clock but its own monotonic one: a Lease is expired once it has stood unchanged before the
//! candidate's eyes for as long as it lasts. Its holder stops writing earlier than that, counted from before its last
//! renewal, so no two write at the same time, whatever the clocks of their machines say.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// The longest that a Lease may claim to last; somebody may have edited it.
const LONGEST: Duration = Duration::from_mins(1);
/// What a Lease without a holder lasts that was released: its last holder writes no more.
pub const RELEASED: Duration = Duration::from_secs(1);

/// How long things take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// How long a Lease lasts that is not renewed, in whole seconds.
    pub lasts: Duration,
    /// How long its holder writes without renewing it: less by what clocks may differ in their pace.
    pub valid: Duration,
    /// The pause between two renewals.
    pub renew_every: Duration,
    /// The pause between two looks of who waits.
    pub look_every: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            lasts: Duration::from_secs(15),
            valid: Duration::from_secs(10),
            renew_every: Duration::from_secs(2),
            look_every: Duration::from_millis(500),
        }
    }
}

/// One holder's claim: the same holder may have held the Lease before, or a hand may have written its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Who.
    pub holder: String,
    /// Since when, by its own clock.
    pub acquired: Timestamp,
}

/// What a Lease says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Who holds it; `None` where nobody does.
    pub claim: Option<Claim>,
    /// How long it lasts.
    pub lasts: Duration,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Write one's own claim into it.
    Claim,
    /// Renew one's own claim.
    Renew,
    /// It may still be somebody's, at least until then.
    Wait(Instant),
}

/// Decides. `record` is `None` where there is no Lease; it stands so since `unchanged_since`. `ever_led` is false where
/// nobody can have led so far. `mine` is the claim that this process wrote, or may have written.
pub fn decide(
    record: Option<&Record>,
    ever_led: bool,
    mine: Option<&Claim>,
    times: &Times,
    unchanged_since: Instant,
    now: Instant,
) -> Decision {
    let wait = match record {
        None if !ever_led => return Decision::Claim,
        // It may have been deleted just now under its holder, who then writes on until its next renewal fails.
        None => times.valid,
        Some(record) if mine.is_some() && record.claim.as_ref() == mine => return Decision::Renew,
        Some(Record { claim: None, lasts }) if *lasts <= RELEASED => return Decision::Claim,
        // A hand may have shortened it.
        Some(record) => record.lasts.clamp(times.valid, LONGEST),
    };
    let free_at = unchanged_since + wait;
    if free_at <= now { Decision::Claim } else { Decision::Wait(free_at) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(holder: &str, second: i64) -> Claim {
        Claim { holder: holder.into(), acquired: Timestamp::from_second(second).unwrap() }
    }

    fn record(claim: Option<Claim>, seconds: u64) -> Record {
        Record { claim, lasts: Duration::from_secs(seconds) }
    }

    #[test]
    fn a_lease_is_taken_when_its_holder_cannot_write_any_more() {
        let times = Times::default();
        let other = Some(claim("other", 1));
        let me = claim("me", 5);
        // What stands there, what this process wrote, and how many seconds it has to stand there.
        for (record, mine, free_after) in [
            (None, None, 10),
            (None, Some(&me), 10),
            (Some(record(other.clone(), 15)), None, 15),
            (Some(record(other.clone(), 15)), Some(&me), 15),
            (Some(record(other.clone(), 20)), None, 20),
            (Some(record(other.clone(), 1)), None, 10),
            (Some(record(other.clone(), 1_000_000)), None, 60),
            (Some(record(None, 15)), None, 15),
            (Some(record(None, 1)), None, 0),
            (Some(record(None, 1)), Some(&me), 0),
            // One's own name, which a former process in this place or a hand wrote there.
            (Some(record(Some(me.clone()), 15)), None, 15),
            (Some(record(Some(me.clone()), 15)), Some(&claim("me", 4)), 15),
        ] {
            let since = Instant::now();
            let at = |seconds: u64| since + Duration::from_secs(seconds);
            let decide = |now| decide(record.as_ref(), true, mine, &times, since, now);
            assert_eq!(decide(at(free_after)), Decision::Claim, "{record:?}");
            if let Some(before) = free_after.checked_sub(1) {
                assert_eq!(decide(at(before)), Decision::Wait(at(free_after)), "{record:?}");
            }
        }
    }

    #[test]
    fn where_nobody_ever_led_only_a_lease_that_is_there_is_waited_for() {
        let (times, since) = (Times::default(), Instant::now());
        assert_eq!(decide(None, false, None, &times, since, since), Decision::Claim);
        let other = record(Some(claim("other", 1)), 15);
        let wait = Decision::Wait(since + times.lasts);
        assert_eq!(decide(Some(&other), false, None, &times, since, since), wait);
    }

    #[test]
    fn ones_own_claim_is_renewed_however_old_it_is() {
        let (me, since) = (claim("me", 5), Instant::now());
        let mine = record(Some(me.clone()), 15);
        for seconds in [0, 14, 100] {
            let now = since + Duration::from_secs(seconds);
            assert_eq!(decide(Some(&mine), true, Some(&me), &Times::default(), since, now), Decision::Renew);
        }
    }

    #[test]
    fn a_holder_stops_before_anybody_else_begins() {
        let times = Times::default();
        assert!(times.valid < times.lasts && times.renew_every * 2 < times.valid);
    }
}

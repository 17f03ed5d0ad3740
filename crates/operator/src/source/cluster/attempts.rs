//! What is remembered of each resource from one reconciliation to the next.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crd::Reason;
use tokio::time::Instant;

use crate::outcome::Outcome;

/// How many reconciliations of one resource may follow each other at once.
const BURST: u32 = 20;
/// One more in each of these. Two controllers that undo each other's work on one object are slowed down to this.
const INTERVAL: Duration = Duration::from_secs(6);

/// The attempts at all resources of a kind; `R` names one.
#[derive(Debug)]
pub(super) struct Attempts<R>(Mutex<HashMap<R, Attempt>>);

#[derive(Debug)]
struct Attempt {
    /// Failures in a row, at this generation.
    failures: u32,
    generation: Option<i64>,
    /// When the reconciliations so far are paid off, one in each [`INTERVAL`].
    paid_until: Instant,
    /// It lost an id or a set to another resource.
    lost: bool,
    /// When it is to be looked at next, where that is known.
    due: Option<Instant>,
}

impl Attempt {
    fn new(now: Instant) -> Self {
        Self { failures: 0, generation: None, paid_until: now, lost: false, due: None }
    }
}

impl<R: Hash + Eq + Clone> Attempts<R> {
    pub(super) fn new() -> Self {
        Self(Mutex::default())
    }

    /// Notes when a resource is to be looked at, unless that is sooner already.
    pub(super) fn due(&self, resource: &R, at: Instant) {
        let mut all = self.lock();
        let attempt = all.entry(resource.clone()).or_insert_with(|| Attempt::new(Instant::now()));
        attempt.due = Some(attempt.due.map_or(at, |due| due.min(at)));
    }

    /// Notes that it is its turn.
    pub(super) fn taken(&self, resource: &R) {
        if let Some(attempt) = self.lock().get_mut(resource) {
            attempt.due = None;
        }
    }

    /// How many resources are to be looked at now, and wait for their turn.
    pub(super) fn waiting(&self, now: Instant) -> usize {
        self.lock().values().filter(|attempt| attempt.due.is_some_and(|due| due <= now)).count()
    }

    /// Lets a reconciliation begin, or says how long it has to wait.
    pub(super) fn begin(&self, resource: &R, now: Instant) -> Result<(), Duration> {
        let mut all = self.lock();
        let attempt = all.entry(resource.clone()).or_insert_with(|| Attempt::new(now));
        let earliest = attempt.paid_until.checked_sub(INTERVAL * (BURST - 1)).unwrap_or(now);
        if now < earliest {
            return Err(earliest - now);
        }
        attempt.paid_until = attempt.paid_until.max(now) + INTERVAL;
        Ok(())
    }

    /// Notes how it ended, and gives the number of failures in a row.
    pub(super) fn end(&self, resource: &R, generation: Option<i64>, outcome: &Outcome) -> u32 {
        let mut all = self.lock();
        if *outcome == Outcome::Nothing {
            all.remove(resource);
            return 0;
        }
        let Some(attempt) = all.get_mut(resource) else { return 0 };
        if attempt.generation != generation || !matches!(outcome, Outcome::Failed { .. }) {
            attempt.failures = 0;
        }
        if matches!(outcome, Outcome::Failed { .. }) {
            attempt.failures = attempt.failures.saturating_add(1);
        }
        attempt.generation = generation;
        attempt.lost =
            matches!(outcome, Outcome::Waiting { reason: Reason::ClientIdConflict | Reason::SetConflict });
        attempt.failures
    }

    /// The resources that lost against another. When one goes away, it may have been theirs.
    pub(super) fn losers(&self) -> Vec<R> {
        let all = self.lock();
        all.iter().filter(|(_, attempt)| attempt.lost).map(|(resource, _)| resource.clone()).collect()
    }

    /// Forgets a resource that is gone.
    pub(super) fn forget(&self, resource: &R) {
        self.lock().remove(resource);
    }

    /// No code that holds the lock can panic half-way through a change.
    fn lock(&self) -> MutexGuard<'_, HashMap<R, Attempt>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> Outcome {
        Outcome::Failed { error: String::new() }
    }

    #[test]
    fn failures_count_until_a_success_or_an_edit() {
        let attempts = Attempts::new();
        attempts.begin(&"a", Instant::now()).unwrap();
        let counts = [
            (1, failed(), 1),
            (1, failed(), 2),
            (2, failed(), 1),
            (2, Outcome::Settled { again_at: None }, 0),
            (2, failed(), 1),
        ];
        for (generation, outcome, count) in counts {
            assert_eq!(attempts.end(&"a", Some(generation), &outcome), count);
        }
    }

    #[test]
    fn a_resource_that_never_rests_is_slowed_down_and_no_other_one() {
        let attempts = Attempts::new();
        let mut now = Instant::now();
        let mut began = 0;
        for _ in 0..=600 {
            began += u32::from(attempts.begin(&"busy", now).is_ok());
            now += Duration::from_millis(100);
        }
        assert_eq!(began, BURST + 10);
        let wait = attempts.begin(&"busy", now).unwrap_err();
        assert!(wait <= INTERVAL, "{wait:?}");
        assert!(attempts.begin(&"busy", now + wait).is_ok());
        assert!(attempts.begin(&"other", now).is_ok());
    }

    #[test]
    fn a_resource_waits_from_when_it_is_due_until_its_turn() {
        let (attempts, now) = (Attempts::new(), Instant::now());
        let soon = now + Duration::from_secs(5);
        for (resource, at) in [("a", now), ("b", soon), ("c", soon), ("c", now), ("d", now), ("d", soon)] {
            attempts.due(&resource, at);
        }
        assert_eq!((attempts.waiting(now), attempts.waiting(soon)), (3, 4));
        attempts.taken(&"a");
        attempts.forget(&"c");
        attempts.taken(&"unknown");
        assert_eq!((attempts.waiting(now), attempts.waiting(soon)), (1, 2));
        attempts.due(&"a", now);
        assert_eq!(attempts.waiting(now), 2);
    }

    #[test]
    fn who_lost_is_known_until_it_wins_or_goes() {
        let attempts = Attempts::new();
        let lost = Outcome::Waiting { reason: Reason::ClientIdConflict };
        for resource in ["a", "b", "c"] {
            attempts.begin(&resource, Instant::now()).unwrap();
            attempts.end(&resource, None, &lost);
        }
        attempts.end(&"a", None, &Outcome::Settled { again_at: None });
        attempts.forget(&"b");
        assert_eq!(attempts.losers(), ["c"]);
        attempts.end(&"c", None, &Outcome::Nothing);
        assert!(attempts.losers().is_empty());
    }
}

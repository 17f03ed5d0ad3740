//! The one source of time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};

/// The time, in whole seconds: the process's clock plus an offset sampled from the database, so that all processes on
/// one database agree. Tests set it by hand. Clones share one clock.
#[derive(Debug, Clone)]
pub struct Clock(Source);

#[derive(Debug, Clone)]
enum Source {
    System { offset_micros: Arc<AtomicI64> },
    Manual { second: Arc<AtomicI64>, skew: i64 },
}

impl Clock {
    /// The process's own clock.
    pub fn system() -> Self {
        Self(Source::System { offset_micros: Arc::default() })
    }

    /// A clock that stands still until it is moved.
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual { second: Arc::new(AtomicI64::new(start.as_second())), skew: 0 })
    }

    /// A clock that moves with this manual one, off by `skew`: a server whose clock is wrong.
    #[must_use]
    pub fn skewed(&self, by: SignedDuration) -> Self {
        match &self.0 {
            Source::System { .. } => self.clone(),
            Source::Manual { second, skew } => {
                Self(Source::Manual { second: second.clone(), skew: skew + by.as_secs() })
            }
        }
    }

    /// The time now, in whole seconds.
    pub fn now(&self) -> Timestamp {
        let second = match &self.0 {
            Source::System { offset_micros } => {
                (process_micros() + offset_micros.load(Ordering::Relaxed)).div_euclid(1_000_000)
            }
            Source::Manual { second, skew } => second.load(Ordering::SeqCst) + skew,
        };
        Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Sets a manual clock; the system's is left alone.
    pub fn set(&self, to: Timestamp) {
        if let Source::Manual { second, .. } = &self.0 {
            second.store(to.as_second(), Ordering::SeqCst);
        }
    }

    /// Moves a manual clock forward.
    pub fn advance(&self, by: SignedDuration) {
        if let Source::Manual { second, .. } = &self.0 {
            second.fetch_add(by.as_secs(), Ordering::SeqCst);
        }
    }

    /// Takes over the database's time: `sample` is what it said between two readings of [`process_micros`].
    pub(crate) fn calibrate(&self, before: i64, sample: i64, after: i64) {
        if let Source::System { offset_micros } = &self.0 {
            // The sample was taken somewhere between the two; the middle is off by at most half the round trip.
            offset_micros.store(sample - i64::midpoint(before, after), Ordering::Relaxed);
        }
    }
}

/// Microseconds since the epoch on the process's clock.
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub(crate) fn process_micros() -> i64 {
    Timestamp::now().as_microsecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_databases_offset_is_the_middle_of_the_round_trip() {
        let clock = Clock::system();
        let before = process_micros();
        clock.calibrate(before, before + 3_600_000_000, before + 20_000);
        let ahead = clock.now().as_second() - before / 1_000_000;
        assert!((3599..=3601).contains(&ahead), "{ahead}");
    }

    #[test]
    fn skewed_clocks_move_together() {
        let clock = Clock::manual(Timestamp::from_second(1000).unwrap());
        let late = clock.skewed(SignedDuration::from_mins(-4));
        clock.advance(SignedDuration::from_secs(60));
        assert_eq!((clock.now().as_second(), late.now().as_second()), (1060, 820));
    }
}

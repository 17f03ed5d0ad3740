//! How long the tokens live that a set has signed, remembered over changes of the configuration.

use std::time::Duration;

use jiff::Timestamp;

/// The longest lifetime of what a set signs, and a longer one that was in force before: tokens that were issued under
/// it are still about, and their key must stay published as long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SignedLifetimes {
    /// The longest lifetime now.
    pub longest: Duration,
    /// A longer one from before, and when the last token issued under it ends.
    pub before: Option<(Duration, Timestamp)>,
}

impl SignedLifetimes {
    /// What is to be remembered when the longest lifetime is `current` at `now`.
    #[must_use]
    pub fn observe(self, current: Duration, now: Timestamp) -> Self {
        if current >= self.longest {
            return Self { longest: current, ..self };
        }
        let last_ends = now.saturating_add(self.longest).unwrap_or(Timestamp::MAX);
        let earlier = self.before.filter(|(_, until)| *until > now);
        let before = match earlier {
            Some((lifetime, until)) => (lifetime.max(self.longest), until.max(last_ends)),
            None => (self.longest, last_ends),
        };
        Self { longest: current, before: Some(before) }
    }

    /// The longest lifetime of any token that is about at `now`.
    pub fn effective(self, now: Timestamp) -> Duration {
        let before = self.before.filter(|(_, until)| *until > now).map(|(lifetime, _)| lifetime);
        before.unwrap_or_default().max(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(hour * 3600).unwrap()
    }

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_shortened_lifetime_counts_in_full_until_the_last_token_under_it_has_ended() {
        let day = SignedLifetimes::default().observe(24 * HOUR, at(0));
        let short = day.observe(HOUR, at(10));
        assert_eq!(short.effective(at(33)), 24 * HOUR);
        assert_eq!(short.effective(at(34)), HOUR);
        assert_eq!(short.observe(HOUR, at(40)), short, "nothing new is nothing to write");
    }

    #[test]
    fn shortened_twice_the_longest_and_the_latest_count() {
        let twice = SignedLifetimes::default()
            .observe(24 * HOUR, at(0))
            .observe(12 * HOUR, at(1))
            .observe(HOUR, at(20));
        assert_eq!(twice.before, Some((24 * HOUR, at(32))));
        assert_eq!(twice.effective(at(31)), 24 * HOUR);
    }

    #[test]
    fn a_lengthened_lifetime_counts_at_once() {
        let longer = SignedLifetimes::default().observe(HOUR, at(0)).observe(2 * HOUR, at(1));
        assert_eq!((longer.effective(at(1)), longer.before), (2 * HOUR, None));
    }
}

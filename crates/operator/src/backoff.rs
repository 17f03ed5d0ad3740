//! How long to wait after a failure.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

/// The wait after the first failure.
const FIRST: Duration = Duration::from_secs(1);
/// The longest wait.
const LONGEST: Duration = Duration::from_mins(5);

/// The wait after `failures` failures in a row: a second, doubled each time up to five minutes, with up to as much
/// again at random, so that what failed together does not return together.
pub fn delay(failures: u32) -> Duration {
    let builder = ExponentialBuilder::default()
        .with_min_delay(FIRST)
        .with_max_delay(LONGEST)
        .without_max_times()
        .with_jitter();
    let nth = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX).min(16);
    builder.build().nth(nth).unwrap_or(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_five_minutes_with_jitter() {
        for (failures, from, to) in [(1, 1, 2), (2, 2, 4), (5, 16, 32), (20, 300, 600), (u32::MAX, 300, 600)]
        {
            let delay = delay(failures);
            assert!(
                (Duration::from_secs(from)..=Duration::from_secs(to)).contains(&delay),
                "{failures}: {delay:?}"
            );
        }
    }
}

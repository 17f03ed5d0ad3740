//! How often devices ask for their tokens (RFC 8628 §3.5).

use std::time::Duration;

use jiff::Timestamp;
use oauth::{Error, ErrorCode, GrantId};

use crate::recent::Recent;

/// How many devices are watched at least. Each of them has authenticated, with a code that this server made.
const WATCHED: usize = 100_000;

/// What a device that asks too often has to wait longer from then on, in seconds (RFC 8628 §3.5).
const MORE: i64 = 5;

/// The longest that a device has to wait, in seconds.
const LONGEST: i64 = 60;

/// What a network may take away between two requests, and clocks that count whole seconds, in seconds.
const TOLERANCE: i64 = 1;

/// When each device asked last. Each server counts what it sees: behind several, a device may ask each of them once.
#[derive(Debug)]
pub(crate) struct DevicePolls(Recent<GrantId, Option<Pace>>);

#[derive(Debug, Clone, Copy)]
struct Pace {
    last: Timestamp,
    /// In seconds.
    interval: i64,
}

impl DevicePolls {
    pub(crate) fn new() -> Self {
        Self(Recent::new(WATCHED))
    }

    /// Notes that a device asks.
    ///
    /// # Errors
    /// `slow_down` where it asked too short a time ago; from then on, that time is five seconds longer.
    pub(crate) fn ask(&self, device: GrantId, interval: Duration, now: Timestamp) -> Result<(), Error> {
        let slowest = self.0.with(device, |pace| {
            let interval = i64::try_from(interval.as_secs()).unwrap_or(i64::MAX);
            let Pace { last, interval } = pace.unwrap_or(Pace { last: Timestamp::MIN, interval });
            let is_too_soon = now.as_second().saturating_sub(last.as_second()) + TOLERANCE < interval;
            let interval = if is_too_soon { (interval + MORE).min(LONGEST.max(interval)) } else { interval };
            *pace = Some(Pace { last: now, interval });
            is_too_soon.then_some(interval)
        });
        match slowest {
            None => Ok(()),
            Some(interval) => {
                let why = format!("The device asks too often: ask every {interval} seconds.");
                Err(Error::new(ErrorCode::SlowDown, why))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_asks_too_often_waits_longer_each_time() {
        let device = |byte| GrantId::from_bytes([byte; 16]);
        let cases = [
            // Second, and the interval from then on where it was too soon.
            (0, None),
            (5, None),
            (9, None),
            (11, Some(10)),
            (16, Some(15)),
            (30, None),
            (40, Some(20)),
            (60, None),
        ];
        let polls = DevicePolls::new();
        for (second, slower) in cases {
            let now = Timestamp::from_second(1_800_000_000 + second).unwrap();
            let asked = polls.ask(device(1), Duration::from_secs(5), now);
            let wanted = slower.map(|interval| format!("ask every {interval} seconds"));
            match (asked, wanted) {
                (Ok(()), None) => {}
                (Err(error), Some(wanted)) => {
                    assert_eq!(error.code, ErrorCode::SlowDown);
                    assert!(error.description.contains(&wanted), "{second}: {error}");
                }
                (got, wanted) => panic!("{second}: {got:?}, not {wanted:?}"),
            }
            assert!(polls.ask(device(2), Duration::from_secs(1), now).is_ok(), "others do not matter");
        }
    }

    #[test]
    fn nobody_waits_for_ever() {
        let polls = DevicePolls::new();
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let device = GrantId::from_bytes([1; 16]);
        for _ in 0..100 {
            let _ = polls.ask(device, Duration::from_secs(5), at(0));
        }
        assert!(polls.ask(device, Duration::from_secs(5), at(60)).is_ok());
    }
}

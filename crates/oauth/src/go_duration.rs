//! Durations in Go's notation (`1h30m`, `720h0m0s`), as Hydra's API and configuration have them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A duration that reads and writes Go's notation: one or more numbers, each with a unit of `ns`, `us`, `ms`, `s`,
/// `m` or `h`, without a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GoDuration(pub Duration);

/// Why a string is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a duration is a number with a unit of ns, us, ms, s, m or h, like 1h30m")]
pub struct InvalidDuration;

impl FromStr for GoDuration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        let mut total = Duration::ZERO;
        let mut rest = text;
        while !rest.is_empty() {
            let unit_at = rest.find(|c: char| !c.is_ascii_digit()).ok_or(InvalidDuration)?;
            let number: u64 = rest[..unit_at].parse().map_err(|_| InvalidDuration)?;
            rest = &rest[unit_at..];
            let unit_len = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            total = total.checked_add(part(number, &rest[..unit_len])?).ok_or(InvalidDuration)?;
            rest = &rest[unit_len..];
        }
        if text.is_empty() { Err(InvalidDuration) } else { Ok(Self(total)) }
    }
}

fn part(number: u64, unit: &str) -> Result<Duration, InvalidDuration> {
    let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs).ok_or(InvalidDuration);
    match unit {
        "ns" => Ok(Duration::from_nanos(number)),
        "us" => Ok(Duration::from_micros(number)),
        "ms" => Ok(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3600),
        _ => Err(InvalidDuration),
    }
}

/// Go's own form of whole seconds: `31h0m0s`, `5m0s`, `10s`; finer parts follow in the largest unit that is exact.
impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0.as_secs(), self.0.subsec_nanos());
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        match (hour, minute) {
            (0, 0) if second > 0 || nanos == 0 => write!(f, "{second}s")?,
            (0, 0) => {}
            (0, _) => write!(f, "{minute}m{second}s")?,
            _ => write!(f, "{hour}h{minute}m{second}s")?,
        }
        match nanos {
            0 => Ok(()),
            n if n % 1_000_000 == 0 => write!(f, "{}ms", n / 1_000_000),
            n if n % 1_000 == 0 => write!(f, "{}us", n / 1_000),
            n => write!(f, "{n}ns"),
        }
    }
}

impl TryFrom<String> for GoDuration {
    type Error = InvalidDuration;

    fn try_from(text: String) -> Result<Self, InvalidDuration> {
        text.parse()
    }
}

impl From<GoDuration> for String {
    fn from(duration: GoDuration) -> Self {
        duration.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn go_notation_is_read_and_written_as_go_writes_it() {
        for (text, written, seconds) in
            [("31h", "31h0m0s", 111_600), ("90s", "1m30s", 90), ("1h30m", "1h30m0s", 5_400), ("0s", "0s", 0)]
        {
            let duration: GoDuration = text.parse().unwrap();
            assert_eq!((duration.0.as_secs(), duration.to_string().as_str()), (seconds, written));
        }
        for bad in
            ["", "1", "h", "1d", "-1h", "1.5h", "1h ", "99999999999999999999h", "18446744073709551615h"]
        {
            assert_eq!(bad.parse::<GoDuration>(), Err(InvalidDuration), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(seconds in 0..10_000_000u64, nanos in 0..1_000_000_000u32) {
            let duration = GoDuration(Duration::new(seconds, nanos));
            prop_assert_eq!(duration.to_string().parse(), Ok(duration));
        }
    }
}

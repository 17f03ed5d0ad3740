//! Durations in Go's notation (`1h30m`, `720h0m0s`), as Hydra's API and configuration have them.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A duration that reads and writes Go's notation: one or more numbers, which may have decimals, each with a unit of
/// `ns`, `us` or `µs`, `ms`, `s`, `m` or `h`, without a sign. A mere `0` is one, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GoDuration(pub Duration);

/// Why a string is no duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a duration is a number with a unit of ns, us, ms, s, m or h, like 1h30m")]
pub struct InvalidDuration;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

impl FromStr for GoDuration {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        let nanos = if text == "0" { Some(0) } else { nanos(text) }.ok_or(InvalidDuration)?;
        let seconds = u64::try_from(nanos / NANOS_PER_SECOND).map_err(|_| InvalidDuration)?;
        let rest = u32::try_from(nanos % NANOS_PER_SECOND).map_err(|_| InvalidDuration)?;
        Ok(Self(Duration::new(seconds, rest)))
    }
}

fn nanos(text: &str) -> Option<u128> {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let (mut total, mut rest) = (None, text);
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c| !is_number(c))?);
        let (unit, next) = after.split_at(after.find(is_number).unwrap_or(after.len()));
        total = Some(total.unwrap_or(0u128).checked_add(part(number, unit_nanos(unit)?)?)?);
        rest = next;
    }
    total
}

fn unit_nanos(unit: &str) -> Option<u128> {
    match unit {
        "ns" => Some(1),
        // Unicode has a micro sign and a Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => Some(1_000),
        "ms" => Some(1_000_000),
        "s" => Some(NANOS_PER_SECOND),
        "m" => Some(60 * NANOS_PER_SECOND),
        "h" => Some(3_600 * NANOS_PER_SECOND),
        _ => None,
    }
}

/// One number of a unit, in nanoseconds. What is finer is cut off, as Go does.
fn part(number: &str, unit: u128) -> Option<u128> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && decimals.is_empty()) || decimals.contains('.') {
        return None;
    }
    // No unit has more than 18 that count.
    let decimals = &decimals[..decimals.len().min(18)];
    let read = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<u128>().ok() };
    let tenths = 10u128.checked_pow(u32::try_from(decimals.len()).ok()?)?;
    let fraction = read(decimals)?.checked_mul(unit)? / tenths;
    read(whole)?.checked_mul(unit)?.checked_add(fraction)
}

/// Go's own form: `31h0m0s`, `5m0s`, `1.5s`, and below a second the largest unit that fits: `1.5ms`.
impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.0.as_secs(), u64::from(self.0.subsec_nanos()));
        match (seconds, nanos) {
            (0, 0) => return f.write_str("0s"),
            (0, nanos) if nanos < 1_000 => return write!(f, "{nanos}ns"),
            (0, nanos) if nanos < 1_000_000 => return write!(f, "{}\u{b5}s", decimal(nanos, 3)),
            (0, nanos) => return write!(f, "{}ms", decimal(nanos, 6)),
            _ => {}
        }
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        match (hour, minute) {
            (0, 0) => {}
            (0, _) => write!(f, "{minute}m")?,
            _ => write!(f, "{hour}h{minute}m")?,
        }
        write!(f, "{}s", decimal(second * 1_000_000_000 + nanos, 9))
    }
}

/// A number of which the last `places` digits are decimals, without zeros at the end.
fn decimal(number: u64, places: u32) -> String {
    let unit = 10u64.pow(places);
    let (whole, fraction) = (number / unit, number % unit);
    if fraction == 0 {
        return whole.to_string();
    }
    let width = places as usize;
    format!("{whole}.{fraction:0width$}").trim_end_matches('0').to_owned()
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
        for (text, written, nanos) in [
            ("31h", "31h0m0s", 111_600_000_000_000),
            ("90s", "1m30s", 90_000_000_000),
            ("1h30m", "1h30m0s", 5_400_000_000_000),
            ("1.5h", "1h30m0s", 5_400_000_000_000),
            ("0s", "0s", 0),
            ("0", "0s", 0),
            ("1500ms", "1.5s", 1_500_000_000),
            ("1h0.25s", "1h0m0.25s", 3_600_250_000_000),
            (".5s", "500ms", 500_000_000),
            ("1.s", "1s", 1_000_000_000),
            ("1us", "1\u{b5}s", 1_000),
            ("1500\u{b5}s", "1.5ms", 1_500_000),
            ("1001\u{3bc}s", "1.001ms", 1_001_000),
            ("1.0000000009s", "1s", 1_000_000_000),
            ("0.3333333333333333333333h", "19m59.999999999s", 1_199_999_999_999),
            ("0.000000001s", "1ns", 1),
        ] {
            let duration: GoDuration = text.parse().unwrap();
            assert_eq!((duration.0.as_nanos(), duration.to_string().as_str()), (nanos, written), "{text}");
        }
        for bad in [
            "",
            "1",
            "h",
            "1d",
            "-1h",
            "+1h",
            "1,5h",
            ".s",
            "1.2.3s",
            "1h ",
            "1.5",
            "1\u{b5}",
            "99999999999999999999h",
            "18446744073709551615h",
        ] {
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

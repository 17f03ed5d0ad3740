//! Durations as people write them in manifests: Go's notation, `1h30m`.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Pattern of periods and overlaps: hours, minutes, seconds.
pub(crate) const COARSE: &str = "^([0-9]+(h|m|s))+$";
/// Pattern of token lifetimes, which may also be in milliseconds.
const FINE: &str = "^([0-9]+(h|m|s|ms))+$";

/// A duration in Go's notation, limited to whole hours, minutes, seconds and milliseconds in any
/// order (`24h`, `1h30m`, `1500ms`).
///
/// Keeps the text as it was written, so that a resource that is read and written back does not
/// change. Two values are equal when their texts are; compare [`GoDuration::get`] for the time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GoDuration {
    text: String,
    value: Duration,
}

/// A text that is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a duration such as 1h30m: numbers, each followed by h, m, s or ms")]
pub struct DurationError {
    text: String,
}

impl GoDuration {
    /// The text as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The length of time, to the millisecond. What no 64-bit count of milliseconds can hold is the
    /// largest such count: the API server accepts such a text, so it must not fail here.
    pub const fn get(&self) -> Duration {
        self.value
    }

    /// A whole number of hours.
    pub(crate) fn hours(hours: u32) -> Self {
        Self { text: format!("{hours}h"), value: Duration::from_secs(u64::from(hours) * 3600) }
    }
}

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let millis = milliseconds(text).ok_or_else(|| DurationError { text: text.to_owned() })?;
        Ok(Self { text: text.to_owned(), value: Duration::from_millis(millis) })
    }
}

/// Neither jiff's parser (units in descending order only) nor kube's (panics on large numbers)
/// reads all that the schema's pattern accepts.
fn milliseconds(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut total = 0_u64;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let scale = match unit {
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1000,
            "ms" => 1,
            _ => return None,
        };
        if number.is_empty() {
            return None;
        }
        // Only overflow can fail here: these are digits, and at least one.
        let number = number.parse::<u64>().unwrap_or(u64::MAX);
        total = total.saturating_add(number.saturating_mul(scale));
        if tail.is_empty() {
            return Some(total);
        }
        rest = tail;
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for GoDuration {
    type Error = DurationError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<GoDuration> for String {
    fn from(duration: GoDuration) -> Self {
        duration.text
    }
}

impl JsonSchema for GoDuration {
    fn schema_name() -> Cow<'static, str> {
        "GoDuration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": 32, "pattern": FINE})
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn units_add_up_in_any_order() {
        for (text, millis) in [
            ("0s", 0),
            ("24h", 86_400_000),
            ("1h30m", 5_400_000),
            ("30m1h", 5_400_000),
            ("1m1m", 120_000),
            ("1500ms", 1500),
            ("1m1ms", 60_001),
            ("007s", 7000),
            ("18446744073709551616s", u64::MAX),
            ("99999999999999999999999999999h", u64::MAX),
        ] {
            assert_eq!(text.parse::<GoDuration>().unwrap().get(), Duration::from_millis(millis), "{text}");
        }
    }

    #[test]
    fn what_is_read_is_written_back_as_it_was() {
        let duration: GoDuration = serde_json::from_value(json!("0090m")).unwrap();
        assert_eq!(json!(duration), json!("0090m"));
    }

    proptest! {
        #[test]
        fn what_the_schema_accepts_is_a_duration_and_nothing_else(text in "[0-9hmsd. -]{0,8}|([0-9]{1,9}(h|m|s|ms)){1,3}") {
            let accepted = jsonschema::is_valid(&json!({"pattern": FINE}), &json!(text));
            prop_assert_eq!(text.parse::<GoDuration>().is_ok(), accepted);
        }
    }
}

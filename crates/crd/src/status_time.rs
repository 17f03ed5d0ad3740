//! Times in the status of a resource.

use std::{borrow::Cow, fmt};

use jiff::{Timestamp, Unit};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// An instant to the second, UTC, written as RFC 3339.
///
/// Fractions are cut off when it is made. So what a controller has just decided equals what it
/// reads back, and a status is not written again for a fraction of a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Timestamp", into = "Timestamp")]
pub struct StatusTime(Timestamp);

impl StatusTime {
    /// The instant.
    pub const fn get(self) -> Timestamp {
        self.0
    }
}

impl From<Timestamp> for StatusTime {
    fn from(instant: Timestamp) -> Self {
        let whole = jiff::TimestampRound::new().smallest(Unit::Second).mode(jiff::RoundMode::Floor);
        // Rounding down cannot leave jiff's range except at its very first second.
        Self(instant.round(whole).unwrap_or(Timestamp::MIN))
    }
}

impl From<StatusTime> for Timestamp {
    fn from(time: StatusTime) -> Self {
        time.0
    }
}

impl fmt::Display for StatusTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl JsonSchema for StatusTime {
    fn schema_name() -> Cow<'static, str> {
        "StatusTime".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "format": "date-time"})
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fractions_of_a_second_are_cut_off() {
        for (instant, written) in [
            ("2026-01-02T03:04:05.999999999Z", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
            ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59Z"),
        ] {
            let decided = StatusTime::from(instant.parse::<Timestamp>().unwrap());
            assert_eq!(json!(decided), json!(written));
            assert_eq!(serde_json::from_value::<StatusTime>(json!(written)).unwrap(), decided);
        }
    }
}

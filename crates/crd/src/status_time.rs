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

//! A cron schedule in a time zone.

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{
    SignedDuration, Timestamp, Zoned,
    tz::{TimeZone, TimeZoneDatabase},
};

/// Wall clock times at which keys turn: a cron expression of five fields in an IANA time zone.
///
/// When clocks go forward, a time of day that does not exist becomes the first instant after the gap; when
/// they go back, a time of day that exists twice means the first of the two. (An expression that names several
/// hours or minutes is taken as an interval instead: it skips the gap, and runs in both hours.) The rules of
/// time zones are those that this program was built with, the same on every machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    cron: Box<Cron>,
    time_zone: TimeZone,
}

/// Why a cron schedule cannot be used; each variant is about one field of the policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// The expression does not parse.
    #[error("schedule {expression:?} is not a cron expression of five fields: {reason}")]
    InvalidExpression {
        /// As it was written.
        expression: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The expression parses, but names no date that exists.
    #[error("schedule {0:?} never comes")]
    NeverComes(String),
    /// The time zone is not in the IANA database.
    #[error("timeZone {0:?} is not an IANA time zone")]
    UnknownTimeZone(String),
    /// Two successive instants leave too little time to publish a key in between.
    #[error("schedule has {first} and {second}, which are closer than publishBefore ({publish_before:#})")]
    TooClose {
        /// The earlier instant.
        first: Zoned,
        /// The later instant.
        second: Zoned,
        /// The time that must lie between them.
        publish_before: SignedDuration,
    },
}

impl Schedule {
    /// Parses a cron expression; without a time zone it is in UTC.
    pub fn parse(expression: &str, time_zone: Option<&str>) -> Result<Self, ScheduleError> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(expression).map_err(|error| ScheduleError::InvalidExpression {
            expression: expression.to_owned(),
            reason: error.to_string(),
        })?;
        let time_zone = match time_zone {
            None => TimeZone::UTC,
            Some(name) => TimeZoneDatabase::bundled()
                .get(name)
                .map_err(|_| ScheduleError::UnknownTimeZone(name.to_owned()))?,
        };
        let schedule = Self { cron: Box::new(cron), time_zone };
        match schedule.next(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::NeverComes(expression.to_owned())),
        }
    }

    /// The first instant after `instant`.
    pub fn next(&self, instant: Timestamp) -> Option<Timestamp> {
        self.cron
            .find_next_occurrence(&instant.to_zoned(self.time_zone.clone()), false)
            .ok()
            .map(|next| next.timestamp())
    }

    /// Checks that between any two successive instants after `from` there is time for a key to be published.
    ///
    /// Looks at a thousand instants, and again at those around the next two changes of the clocks (daylight
    /// saving time), where days have 23 hours.
    pub fn check(&self, publish_before: SignedDuration, from: Timestamp) -> Result<(), ScheduleError> {
        const INSTANTS: usize = 1000;
        let day_before =
            |change: Timestamp| change.checked_sub(SignedDuration::from_hours(25)).unwrap_or(from);
        let changes = self.time_zone.following(from).take(2).map(|change| day_before(change.timestamp()));
        for start in std::iter::once(from).chain(changes) {
            let mut first = self.next(start);
            for _ in 0..INSTANTS {
                let Some((earlier, later)) = first.and_then(|first| Some((first, self.next(first)?))) else {
                    break;
                };
                if earlier.duration_until(later) < publish_before {
                    let zoned = |instant: Timestamp| instant.to_zoned(self.time_zone.clone());
                    let (first, second) = (zoned(earlier), zoned(later));
                    return Err(ScheduleError::TooClose { first, second, publish_before });
                }
                first = Some(later);
            }
        }
        Ok(())
    }
}

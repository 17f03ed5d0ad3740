//! A cron schedule in a time zone.

use std::fmt;

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
#[derive(Clone, PartialEq, Eq)]
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

// The parsed expression lists every bit of every field: thousands of lines.
impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({} {})", self.cron.pattern, self.time_zone.iana_name().unwrap_or("UTC"))
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin(expression: &str) -> Schedule {
        Schedule::parse(expression, Some("Europe/Berlin")).unwrap()
    }

    fn instants(schedule: &Schedule, from: &str, count: usize) -> Vec<String> {
        let from: Zoned = format!("{from}[Europe/Berlin]").parse().unwrap();
        let instants = std::iter::successors(schedule.next(from.timestamp()), |last| schedule.next(*last));
        let show = |instant: Timestamp| {
            instant.to_zoned(schedule.time_zone.clone()).strftime("%d %H:%M %Z").to_string()
        };
        instants.take(count).map(show).collect()
    }

    #[test]
    fn a_time_lost_in_spring_becomes_the_first_instant_after_the_gap() {
        for (expression, expected) in [
            ("30 1 * * *", ["28 01:30 CET", "29 01:30 CET", "30 01:30 CEST"]),
            ("0 2 * * *", ["28 02:00 CET", "29 03:00 CEST", "30 02:00 CEST"]),
            ("30 2 * * *", ["28 02:30 CET", "29 03:00 CEST", "30 02:30 CEST"]),
            ("0 3 * * *", ["28 03:00 CET", "29 03:00 CEST", "30 03:00 CEST"]),
            ("0 */12 * * *", ["28 12:00 CET", "29 00:00 CET", "29 12:00 CEST"]),
            ("0 2,3 * * 7", ["29 03:00 CEST", "05 02:00 CEST", "05 03:00 CEST"]),
        ] {
            assert_eq!(instants(&berlin(expression), "2026-03-28T00:30", 3), expected, "{expression}");
        }
    }

    #[test]
    fn a_time_doubled_in_autumn_comes_once() {
        for (expression, expected) in [
            ("30 1 * * *", ["24 01:30 CEST", "25 01:30 CEST", "26 01:30 CET"]),
            ("0 2 * * *", ["24 02:00 CEST", "25 02:00 CEST", "26 02:00 CET"]),
            ("30 2 * * *", ["24 02:30 CEST", "25 02:30 CEST", "26 02:30 CET"]),
            ("0 3 * * *", ["24 03:00 CEST", "25 03:00 CET", "26 03:00 CET"]),
        ] {
            assert_eq!(instants(&berlin(expression), "2026-10-24T00:30", 3), expected, "{expression}");
        }
        assert_eq!(
            instants(&berlin("0,30 2 * * 7"), "2026-10-24T12:00", 4),
            ["25 02:00 CEST", "25 02:30 CEST", "25 02:00 CET", "25 02:30 CET"],
            "an interval runs in both hours, each instant once"
        );
    }

    #[test]
    fn every_instant_is_found_from_any_moment_before_it() {
        for expression in ["0 2 * * *", "30 2 * * *", "0,30 2 * * *", "0 */2 * * *"] {
            let schedule = berlin(expression);
            for from in ["2026-03-28T00:00:00Z", "2026-10-24T00:00:00Z"] {
                let mut now: Timestamp = from.parse().unwrap();
                let mut expected = schedule.next(now).unwrap();
                for _ in 0..(48 * 6) {
                    let next = schedule.next(now).unwrap();
                    assert!(now < next);
                    assert_eq!(next, expected, "{expression} from {now}");
                    now += SignedDuration::from_mins(10);
                    if now >= expected {
                        expected = schedule.next(expected).unwrap();
                    }
                }
            }
        }
    }

    #[test]
    fn without_a_time_zone_a_schedule_is_in_utc() {
        let schedule = Schedule::parse("0 3 * * 1", None).unwrap();
        let next = schedule.next("2026-03-28T00:00:00Z".parse().unwrap());
        assert_eq!(next, Some("2026-03-30T03:00:00Z".parse().unwrap()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (expression, time_zone, message) in [
            ("61 * * * *", None, "\"61 * * * *\" is not a cron expression of five fields: Component error"),
            ("0 3 * * X", None, "illegal character 'X' in part 'X'"),
            ("0 3 * *", None, "must have 5 fields"),
            ("0 0 3 * * *", None, "must have 5 fields"),
            ("", None, "schedule \"\" is not a cron expression"),
            ("0 0 30 2 *", None, "schedule \"0 0 30 2 *\" never comes"),
            ("0 3 * * *", Some("Europe/Atlantis"), "timeZone \"Europe/Atlantis\" is not an IANA time zone"),
            ("0 3 * * *", Some(""), "timeZone \"\" is not"),
            ("0 3 * * *", Some("../etc/passwd"), "is not an IANA time zone"),
        ] {
            let error = Schedule::parse(expression, time_zone).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn instants_closer_than_publish_before_are_named() {
        let from = "2026-01-01T00:00:00Z".parse().unwrap();
        for (schedule, hours, error) in [
            (berlin("0 3 * * 1"), 24, None),
            (berlin("0 3 * * *"), 23, None),
            (
                berlin("0 3 * * *"),
                24,
                Some("2026-03-28T03:00:00+01:00[Europe/Berlin] and 2026-03-29T03:00:00+02:00[Europe/Berlin]"),
            ),
            (berlin("0 */2 * * *"), 1, None),
            (
                berlin("0 */2 * * *"),
                2,
                Some("2026-10-25T02:00:00+02:00[Europe/Berlin] and 2026-10-25T02:00:00+01:00[Europe/Berlin]"),
            ),
            (berlin("0 3 * * 1,2"), 30, Some("2026-01-05T03:00:00+01:00[Europe/Berlin] and 2026-01-06")),
            (berlin("0 0 29 2 *"), 24 * 365, None),
            (Schedule::parse("0 3 * * *", None).unwrap(), 24, None),
            (Schedule::parse("0 3 * * *", None).unwrap(), 25, Some("2026-01-01T03:00:00+00:00[UTC]")),
            (Schedule::parse("0 0 1,31 * *", None).unwrap(), 25, Some("2026-01-31")),
        ] {
            let result = schedule.check(SignedDuration::from_hours(hours), from);
            match (result, error) {
                (Ok(()), None) => {}
                (Err(found), Some(expected)) => {
                    let found = found.to_string();
                    assert!(found.contains(expected) && found.ends_with(&format!("({hours}h)")), "{found}");
                }
                (result, _) => panic!("{schedule:?} with {hours} h: {result:?}"),
            }
        }
    }
}

//! Schedules of key sets: each instant comes after the one before, whatever the expression and the time zone.
#![no_main]

use arbitrary::Arbitrary;
use jiff::{SignedDuration, Timestamp};
use jose::schedule::Schedule;
use libfuzzer_sys::fuzz_target;

const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Asia/Tehran",
    "America/Nuuk",
];

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    text: &'a str,
    fields: Option<[Field; 5]>,
    zone: Result<u8, &'a str>,
    /// Within the years that a set may see.
    from: u32,
    publish_before: u32,
}

/// A field of an expression, more often right than wrong.
#[derive(Arbitrary, Debug)]
enum Field {
    Any,
    One(u8),
    Range(u8, u8),
    Step(u8, u8),
    Two(u8, u8),
    Special(u8, u8),
}

fn write(field: &Field, place: usize) -> String {
    let (first, last) = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)][place];
    let fit = |value: u8| first + value % (last - first + 2);
    match *field {
        Field::Any => "*".to_owned(),
        Field::One(a) => fit(a).to_string(),
        Field::Range(a, b) => format!("{}-{}", fit(a), fit(b)),
        Field::Step(a, b) => {
            format!("{}/{}", if a < 128 { "*".to_owned() } else { fit(a).to_string() }, fit(b))
        }
        Field::Two(a, b) => format!("{},{}", fit(a), fit(b)),
        Field::Special(a, b) => {
            format!("{}{}", fit(a), ["L", "W", "#1", "#5", "L", "?", "+"][usize::from(b) % 7])
        }
    }
}

fuzz_target!(|input: Input<'_>| {
    let expression = match &input.fields {
        Some(fields) => {
            fields.iter().enumerate().map(|(i, field)| write(field, i)).collect::<Vec<_>>().join(" ")
        }
        None => input.text.to_owned(),
    };
    let zone = match input.zone {
        Ok(index) => ZONES[usize::from(index) % ZONES.len()],
        Err(name) => name,
    };
    let schedule = match Schedule::parse(&expression, Some(zone)) {
        Ok(schedule) => schedule,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let from = Timestamp::from_second(input.from.into()).expect("within the centuries");
    let mut instant = from;
    for _ in 0..20 {
        let Some(next) = schedule.next(instant) else { break };
        assert!(instant < next, "{schedule:?}: {next} after {instant}");
        // An instant just before it leads to the same one.
        let before = next - SignedDuration::from_secs(1);
        if before > instant {
            assert_eq!(schedule.next(before), Some(next), "{schedule:?} from {before}, not {instant}");
        }
        instant = next;
    }
    let _ = schedule.check(SignedDuration::from_secs(input.publish_before.into()), from);
});

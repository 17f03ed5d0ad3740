//! Values of Hydra's rows.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use oauth::{Audience, Scope, ScopeSet};
use serde_json::Value;

use super::source::Row;

/// A text; empty where it is absent.
pub(super) fn text<'a>(row: &'a Row, column: &str) -> &'a str {
    row.get(column).and_then(Value::as_str).unwrap_or_default()
}

/// An instant, which a row has without a time zone; `None` where it is absent or none.
pub(super) fn instant(row: &Row, column: &str) -> Option<Timestamp> {
    let text = text(row, column);
    let utc = |civil: DateTime| civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    text.parse().ok().or_else(|| text.parse().ok().and_then(utc))
}

/// The texts of a list: an array, or one text with `|` between them.
pub(super) fn list(row: &Row, column: &str) -> Vec<String> {
    match row.get(column) {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(text)) => {
            text.split('|').filter(|item| !item.is_empty()).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

/// The scopes of a list.
///
/// # Errors
/// Naming the column.
pub(super) fn scopes(row: &Row, column: &str) -> Result<ScopeSet, String> {
    let scopes = list(row, column).into_iter().map(Scope::parse);
    scopes.collect::<Result<_, _>>().map_err(|error| format!("{column}: {error}"))
}

/// The audience of a list.
///
/// # Errors
/// Naming the column.
pub(super) fn audience(row: &Row, column: &str) -> Result<Vec<Audience>, String> {
    let audience = list(row, column).into_iter().map(Audience::parse);
    audience.collect::<Result<_, _>>().map_err(|error| format!("{column}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn instants_without_a_zone_are_utc() {
        let Value::Object(row) = json!({
            "micros": "2026-11-22T22:02:35.185377", "whole": "2026-11-22T22:02:35",
            "zoned": "2026-11-22T23:02:35+01:00", "null": null, "none": "yesterday",
        }) else {
            unreachable!()
        };
        let at = |column| instant(&row, column).map(|at| at.to_string());
        assert_eq!(at("micros").as_deref(), Some("2026-11-22T22:02:35.185377Z"));
        assert_eq!(at("whole").as_deref(), Some("2026-11-22T22:02:35Z"));
        assert_eq!(at("zoned").as_deref(), Some("2026-11-22T22:02:35Z"));
        assert_eq!((at("null"), at("none"), at("absent")), (None, None, None));
    }

    #[test]
    fn lists_come_as_arrays_or_with_bars() {
        let Value::Object(row) = json!({"array": ["a", "b"], "bars": "a|b", "empty": "", "bad": "a b|c"})
        else {
            unreachable!()
        };
        assert_eq!(list(&row, "array"), ["a", "b"]);
        assert_eq!(list(&row, "bars"), ["a", "b"]);
        assert!(list(&row, "empty").is_empty() && list(&row, "absent").is_empty());
        assert_eq!(scopes(&row, "bars").unwrap().to_string(), "a b");
        assert!(scopes(&row, "bad").unwrap_err().starts_with("bad: "));
    }
}

//! Lists in one text, as environment variables hold them.

/// The items of a list as Hydra reads one: comma-separated values (RFC 4180), so that an item in quotes may hold a
/// comma; empty ones do not count. Line breaks separate too.
pub fn items(text: &str) -> Vec<String> {
    let mut reader = csv::ReaderBuilder::new();
    let reader = reader.has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    // Text is UTF-8, and records may have any number of fields: nothing is left that could fail.
    let records = reader.into_records().flatten();
    let fields = records.flat_map(|record| record.iter().map(str::to_owned).collect::<Vec<_>>());
    fields.filter(|item| !item.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_separated_by_commas_and_line_breaks_and_may_be_quoted() {
        for (text, want) in [
            ("", &[][..]),
            ("a", &["a"]),
            (" a , b,,c\nd\n", &["a", "b", "c", "d"]),
            (r#""a","b c""#, &["a", "b c"]),
            (r#""a,b","c""d""#, &["a,b", "c\"d"]),
            (r#"a"b,c"#, &["a\"b", "c"]),
        ] {
            assert_eq!(items(text), want, "{text}");
        }
    }
}

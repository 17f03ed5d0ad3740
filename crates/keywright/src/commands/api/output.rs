//! What the commands print: tables for people, JSON and YAML for programs.

use std::fmt::Write;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cli::api::ApiArgs;
use crate::commands::print;

/// The columns of a table: their heads, and the members that they show.
pub(super) type Columns = &'static [(&'static str, &'static str)];

/// Prints one thing. `key` is the member that is printed alone where that is asked for.
pub(super) fn one(args: &ApiArgs, columns: Columns, key: &str, value: &Value) -> Result<()> {
    if args.quiet {
        return print(&format!("{}\n", cell(value, key)));
    }
    formatted(&args.format, value, || {
        let width = columns.iter().map(|(head, _)| head.len()).max().unwrap_or(0);
        columns.iter().fold(String::new(), |mut text, (head, member)| {
            // Writing to a String cannot fail; so below.
            let _ = writeln!(text, "{head:width$}  {}", cell(value, member));
            text
        })
    })
}

/// Prints several things; `document` is what programs get.
pub(super) fn several(
    args: &ApiArgs,
    columns: Columns,
    key: &str,
    (items, document): (&[Value], &Value),
) -> Result<()> {
    if args.quiet {
        let cells: Vec<String> = items.iter().map(|item| cell(item, key) + "\n").collect();
        return print(&cells.concat());
    }
    formatted(&args.format, document, || table(columns, items))
}

/// Prints a document in one of the formats.
pub(super) fn formatted(format: &str, value: &Value, table: impl FnOnce() -> String) -> Result<()> {
    let text = match format {
        "table" | "" => table(),
        "json" => format!("{value}\n"),
        "json-pretty" => format!("{value:#}\n"),
        "yaml" => serde_yaml::to_string(value)?,
        format => match format.split_once('=') {
            Some(("jsonpointer", pointer)) => {
                let found =
                    value.pointer(pointer).with_context(|| format!("there is nothing at {pointer}"))?;
                found.as_str().map_or_else(|| format!("{found}\n"), |text| format!("{text}\n"))
            }
            Some(("jsonpath", _)) => bail!("--format jsonpath is not served; use jsonpointer=/a/b"),
            _ => bail!("--format must be table, json, json-pretty, yaml or jsonpointer=/a/b"),
        },
    };
    print(&text)
}

/// A table of several things.
pub(super) fn table(columns: Columns, items: &[Value]) -> String {
    let heads = columns.iter().map(|(head, _)| (*head).to_owned()).collect();
    let row = |item: &Value| columns.iter().map(|(_, member)| cell(item, member)).collect();
    let rows: Vec<Vec<String>> = std::iter::once(heads).chain(items.iter().map(row)).collect();
    let width = |index: usize| rows.iter().map(|row| row[index].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    rows.iter().fold(String::new(), |mut text, row| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        let _ = writeln!(text, "{}", cells.join("  ").trim_end());
        text
    })
}

fn cell(value: &Value, member: &str) -> String {
    match &value[member] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

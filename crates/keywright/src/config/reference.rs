//! The table of served keys in `docs/configuration.md`, written from the schema.

use std::fmt::Write;
use std::{env, fs};

use serde_json::Value;

use super::schema::{Key, Schema, Service};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
const BEGIN: &str = "<!-- keys: begin -->\n";
const END: &str = "<!-- keys: end -->\n";

/// The table in Markdown.
fn table() -> String {
    let schema = Schema::new();
    let mut table = String::from("| Key | Variable | Value | Default | Meaning |\n|---|---|---|---|---|\n");
    for leaf in schema.leaves().iter().filter(|leaf| leaf.node.service() == Service::Served) {
        let (key, value) = (&leaf.name, leaf.node.expectation());
        let meaning = leaf.node.text("description").unwrap_or_default();
        writeln!(table, "| `{key}` | {} | {value} | {} | {meaning} |", variables(leaf), default(leaf))
            .unwrap();
    }
    table
}

fn variables(leaf: &Key<'_>) -> String {
    let name = leaf.variable();
    if leaf.node.is_secret() { format!("`{name}`, `{name}_FILE`") } else { format!("`{name}`") }
}

fn default(leaf: &Key<'_>) -> String {
    match leaf.node.get("default") {
        None => String::new(),
        Some(Value::String(text)) => format!("`{text}`"),
        Some(Value::Array(items)) if items.is_empty() => "none".to_owned(),
        Some(Value::Array(items)) => items
            .iter()
            .filter_map(Value::as_str)
            .map(|item| format!("`{item}`"))
            .collect::<Vec<_>>()
            .join(", "),
        Some(value) => format!("`{value}`"),
    }
}

#[test]
fn config_docs_hold_the_schemas_table() {
    let document = fs::read_to_string(DOCUMENT).unwrap();
    let (before, rest) = document.split_once(BEGIN).expect("the table's first mark");
    let (_, after) = rest.split_once(END).expect("the table's last mark");
    let current = format!("{before}{BEGIN}{}{END}{after}", table());
    if env::var_os("UPDATE_DOCS").is_some() {
        fs::write(DOCUMENT, current).unwrap();
    } else {
        assert!(
            document == current,
            "docs/configuration.md is old: UPDATE_DOCS=1 cargo test -p keywright config_docs"
        );
    }
}

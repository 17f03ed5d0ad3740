//! Configurations: any is read or refused without a panic, and no message holds a secret.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use keywright::config::{Sources, load};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Where the files are written.
static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.expect("a folder")
});

/// The variables of the documentation's table, but for those that name files.
static VARIABLES: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let words = include_str!("../../docs/configuration.md").split('`');
    let is_variable = |word: &&str| {
        word.len() > 2 && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    words.filter(is_variable).filter(|word| !word.ends_with("_FILE")).collect()
});

const CANARY: &str = "canary-3f1c9a";

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    files: Vec<(u8, &'a str)>,
    variables: Vec<(u8, &'a str)>,
    /// What goes with the canary, in the variables that are secrets.
    secrets: [Option<&'a str>; 5],
    flags: bool,
}

fuzz_target!(|input: Input<'_>| {
    let mut files = Vec::new();
    for (index, (kind, text)) in input.files.iter().take(3).enumerate() {
        let ending = ["yaml", "json", "toml", "yml"][usize::from(*kind) % 4];
        let path = FOLDER.path().join(format!("{index}.{ending}"));
        std::fs::write(&path, text).expect("a file");
        files.push(path);
    }
    let named = |(index, text): &(u8, &str)| {
        (VARIABLES[usize::from(*index) % VARIABLES.len()].to_owned(), (*text).to_owned())
    };
    let mut environment: Vec<(String, String)> = input.variables.iter().map(named).collect();
    let templates = [
        ("DSN", "postgres://user:C@host/db"),
        ("DSN", "C"),
        ("SECRETS_SYSTEM", "C"),
        ("DB_LISTEN_DSN", "postgres://C@host/db"),
        ("DB_REPLICA_DSN", "postgres://C@host/db"),
    ];
    for ((name, template), text) in templates.iter().zip(&input.secrets) {
        if let Some(text) = text {
            environment.push(((*name).to_owned(), template.replace('C', &format!("{CANARY}{text}"))));
        }
    }
    let flags = if input.flags { json!({"dev": true}) } else { Value::Object(serde_json::Map::new()) };
    let said = match load(Sources { files, flags, environment }) {
        Ok(loaded) => {
            let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
            format!("{:?} {}", loaded.config, warnings.join("\n"))
        }
        Err(error) => format!("{error} {error:?}"),
    };
    let in_a_file = input.files.iter().any(|(_, text)| text.contains(CANARY));
    let in_a_variable = input.variables.iter().any(|(_, text)| text.contains(CANARY));
    assert!(in_a_file || in_a_variable || !said.contains(CANARY), "{said}");
});

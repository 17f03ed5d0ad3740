//! `keywright migrate sql`.

use std::fmt::Write;

use anyhow::{Result, bail};
use serde_json::{Map, Value};
use store::Store;

use super::print;
use crate::cli::{MigrateArgs, MigrateDatabase};
use crate::config::LogFormat;
use crate::{telemetry, wiring};

/// What `migrate sql` is to do.
#[derive(Debug, PartialEq, Eq)]
enum Action {
    Up,
    Status,
}

pub(super) async fn run(args: MigrateArgs) -> Result<()> {
    let MigrateDatabase::Sql(sql) = args.database;
    let (action, dsn) = parse(&sql.words)?;
    // Hydra's order: a DSN on the command line wins over everything.
    let environment = std::env::vars().filter(|(name, _)| dsn.is_none() || !name.starts_with("DSN"));
    let environment = environment
        .filter(|(name, _)| dsn.is_none() || !matches!(name.as_str(), "DB_LISTEN_DSN" | "DB_REPLICA_DSN"));
    let mut flags = Map::new();
    if let Some(dsn) = &dsn {
        flags.insert("dsn".to_owned(), Value::from(dsn.as_str()));
    }
    let mut loaded = wiring::configuration(&args.config.and(sql.config), flags, environment)?;
    telemetry::start(loaded.config.log, LogFormat::Text);
    let secrets = !loaded.config.secrets.system.is_empty();
    let database = wiring::database(&mut loaded.config)?;
    match action {
        Action::Status => {
            let mut text = String::new();
            for migration in store::status(&database.options).await? {
                let state = if migration.applied { "applied" } else { "pending" };
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{:04}  {state:8} {}", migration.version, migration.name);
            }
            print(&text)
        }
        Action::Up if secrets => {
            // Opening migrates, and makes the root key where there is none.
            let entropy = jose::Entropy::system();
            let store = Store::open(database.options, store::Clock::system(), entropy).await?;
            store.close().await;
            print("The database is up to date.\n")
        }
        Action::Up => {
            store::migrate(&database.options).await?;
            print(
                "The database is up to date. No system secret is configured, so no root key was made: the first \
                 process that has one makes it.\n",
            )
        }
    }
}

fn parse(words: &[String]) -> Result<(Action, Option<String>)> {
    let (action, rest) = match words.first().map(String::as_str) {
        Some("up") => (Action::Up, &words[1..]),
        Some("status") => (Action::Status, &words[1..]),
        Some("down") => bail!("migrations only go up; restore a backup to go back"),
        _ => (Action::Up, words),
    };
    match rest {
        [] => Ok((action, None)),
        [dsn] => Ok((action, Some(dsn.clone()))),
        // Not repeated: it may be a DSN with its password.
        _ => bail!("give one DSN, after up or status"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_an_action_and_a_dsn() {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let cases = [
            ("", (Action::Up, None)),
            ("up", (Action::Up, None)),
            ("status memory", (Action::Status, Some("memory".to_owned()))),
            ("memory", (Action::Up, Some("memory".to_owned()))),
        ];
        for (text, want) in cases {
            assert_eq!(parse(&words(text)).unwrap(), want, "{text}");
        }
        assert!(parse(&words("down")).is_err());
        assert!(parse(&words("memory up")).is_err());
    }
}

//! `keywright janitor`.

use anyhow::{Result, bail};
use jose::Entropy;
use serde_json::{Map, Value};
use store::{Clock, PurgeWalk, Store};

use super::print;
use crate::cli::JanitorArgs;
use crate::config::LogFormat;
use crate::{telemetry, wiring};

pub(super) async fn run(args: JanitorArgs) -> Result<()> {
    let given = args.dsn.is_some();
    let environment = std::env::vars().filter(|(name, _)| !given || !name.starts_with("DSN"));
    let mut flags = Map::new();
    flags.extend(args.dsn.map(|dsn| ("dsn".to_owned(), Value::from(dsn))));
    let mut loaded = wiring::configuration(&args.config, flags, environment)?;
    telemetry::start(loaded.config.log, LogFormat::Text);
    if loaded.config.secrets.system.is_empty() {
        bail!("secrets.system is missing: the database is opened with it");
    }
    let mut database = wiring::database(&mut loaded.config)?;
    database.options.listen_url = None;
    let store = Store::open(database.options, Clock::system(), Entropy::system()).await?;
    let mut walk = PurgeWalk::default();
    while store.purge(&mut walk).await? {}
    store.close().await;
    print("What has expired is removed. A running server does this by itself every five minutes.\n")
}

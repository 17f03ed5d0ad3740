//! `keywright keys reseal`.

use anyhow::{Context, Result, bail};
use jose::Entropy;

use super::print;
use crate::cli::{ConfigArgs, KeysCommand};
use crate::config::LogFormat;
use crate::{telemetry, wiring};

pub(super) async fn run(command: KeysCommand) -> Result<()> {
    match command {
        KeysCommand::Reseal(args) => reseal(&args).await,
    }
}

async fn reseal(args: &ConfigArgs) -> Result<()> {
    let mut loaded = wiring::configuration(args, serde_json::Map::new(), std::env::vars())?;
    telemetry::start(loaded.config.log, LogFormat::Text);
    if loaded.config.secrets.system.is_empty() {
        bail!("secrets.system is missing: give the new secret first, and the former ones behind it");
    }
    let database = wiring::database(&mut loaded.config)?;
    store::migrate(&database.options).await?;
    let done = store::reseal(&database.options, &Entropy::system()).await;
    let done =
        done.context("the root key cannot be wrapped anew; secrets.system must also hold the former secret")?;
    print(match (done.wrapped, done.current) {
        (0, 0) => "There is no root key yet: the first process that serves makes it.\n",
        (0, _) => "The first of secrets.system has wrapped the root key already.\n",
        _ => {
            "The root key is wrapped by the first of secrets.system. The others can be taken out of the list, once \
             every process has been restarted with the first.\n"
        }
    })
}

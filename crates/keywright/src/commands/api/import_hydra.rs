//! `keywright import hydra`.

use std::path::Path;

use anyhow::{Context, Result, bail};
use jose::{Entropy, HydraSecret};
use serde_json::{Map, json};
use store::{Clock, HydraDatabase, HydraImport, ImportReport, Options, Readiness, Store};
use zeroize::Zeroizing;

use super::output::{self, Columns};
use crate::cli::api::ImportHydraArgs;
use crate::config::{Config, Dsn, LogFormat, list};
use crate::{telemetry, wiring};

/// The entries of Hydra's `secrets.system`, as Hydra itself reads them from `SECRETS_SYSTEM`.
const VARIABLE: &str = "HYDRA_SECRETS_SYSTEM";

const COUNTS: Columns = &[
    ("", "kind"),
    ("FOUND", "found"),
    ("TAKEN OVER", "taken_over"),
    ("HERE ALREADY", "here_already"),
    ("ENDED", "ended"),
    ("LEFT OUT", "left_out"),
];

const PROBLEMS: Columns = &[("", "kind"), ("NAME", "name"), ("PROBLEM", "problem")];

pub(super) async fn run(args: ImportHydraArgs) -> Result<()> {
    let from = hydra_url(&args.from).context("--from")?;
    let secrets = secrets(&args)?;
    let mut loaded = wiring::configuration(&args.config, Map::new(), std::env::vars())?;
    telemetry::start(loaded.config.log, LogFormat::Text);
    if loaded.config.secrets.system.is_empty() {
        bail!("secrets.system is missing: the database is opened with it");
    }
    if loaded.config.dsn == Dsn::Memory {
        bail!("dsn is memory: what is taken over would end with this command");
    }
    let registration_tokens = loaded.config.oidc.dynamic_client_registration;
    let entropy = Entropy::system();
    let mut hydra = HydraDatabase::open(&from).await?;
    let is_there = is_there(&loaded.config);
    let mut database = wiring::database(&mut loaded.config)?;
    database.options.listen_url = None;
    let store = open(&database.options, &entropy, args.dry_run, is_there).await?;
    let import =
        HydraImport { store: store.as_ref(), secrets: &secrets, registration_tokens, dry_run: args.dry_run };
    let now = store.as_ref().map_or_else(Clock::system, |store| store.clock().clone()).now();
    let report = import.run(&mut hydra, now, &entropy).await;
    if let Some(store) = store {
        store.close().await;
    }
    print(&args.format, &report?)
}

/// The database to write to. A dry run makes none that is not there, and migrates none.
async fn open(options: &Options, entropy: &Entropy, dry_run: bool, is_there: bool) -> Result<Option<Store>> {
    if dry_run {
        match if is_there { store::readiness(options).await? } else { Readiness::Empty } {
            Readiness::Empty => return Ok(None),
            Readiness::Behind => bail!(
                "the database lacks migrations of this version, so that a dry run cannot say what is there already: run \
                 keywright migrate sql up first"
            ),
            Readiness::Ready => {}
        }
    }
    let store = Store::open(options.clone(), Clock::system(), entropy.clone()).await;
    Ok(Some(store.context("the database cannot be used")?))
}

/// False where opening the database would make its file.
fn is_there(config: &Config) -> bool {
    match &config.dsn {
        Dsn::Sqlite(path) => path.exists(),
        _ => true,
    }
}

/// Hydra's DSN for the driver. Errors never repeat it.
fn hydra_url(dsn: &str) -> Result<Zeroizing<String>> {
    match dsn.parse()? {
        Dsn::Postgres(dsn) => Ok(Zeroizing::new(dsn.url().to_owned())),
        _ => bail!("only a Hydra on PostgreSQL can be taken over: postgres://user:password@host:5432/hydra"),
    }
}

fn secrets(args: &ImportHydraArgs) -> Result<Vec<HydraSecret>> {
    let mut secrets = Vec::new();
    for file in &args.secret_files {
        secrets.push(HydraSecret::new(&read(file)?));
    }
    if secrets.is_empty() {
        let given = Zeroizing::new(std::env::var(VARIABLE).unwrap_or_default());
        secrets
            .extend(list::items(&given).into_iter().map(Zeroizing::new).map(|text| HydraSecret::new(&text)));
    }
    if secrets.is_empty() {
        bail!("Hydra's secrets.system is missing: give --hydra-system-secret-file or {VARIABLE}");
    }
    Ok(secrets)
}

/// The text of a file, without the line break at its end.
fn read(file: &Path) -> Result<Zeroizing<String>> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let text = Zeroizing::new(text);
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

fn print(format: &str, report: &ImportReport) -> Result<()> {
    let document = serde_json::to_value(report)?;
    output::formatted(format, &document, || {
        let rows = |member: &str| document[member].as_array().cloned().unwrap_or_default();
        let mut text = output::table(COUNTS, &rows("counts"));
        let problems = rows("problems");
        if !problems.is_empty() {
            text.push('\n');
            text.push_str(&output::table(PROBLEMS, &problems));
        }
        if document["dry_run"] == json!(true) {
            text.push_str("\nThis was a dry run: nothing was written.\n");
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_postgres_is_taken_over_and_pool_parameters_are_hydras_own() {
        let url =
            hydra_url("postgres://u:p@db:5432/hydra?sslmode=disable&max_conns=20&max_idle_conns=4").unwrap();
        assert_eq!(url.as_str(), "postgres://u:p@db:5432/hydra?sslmode=disable");
        for other in ["mysql://u:hush@tcp(db)/x", "sqlite:///a", "memory", "nonsense"] {
            let refused = format!("{:#}", hydra_url(other).unwrap_err());
            assert!(refused.contains("postgres://") && !refused.contains("hush"), "{refused}");
        }
    }
}

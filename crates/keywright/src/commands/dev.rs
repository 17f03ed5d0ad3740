//! `keywright dev`: server and reconcilers in one process, on a folder.

mod welcome;

use std::path::Path;
use std::sync::Arc;

use ::operator::Settings;
use ::operator::reconcile::Context as ReconcileContext;
use ::operator::source::folder::{self, DataFolder, Report};
use anyhow::{Context, Result, bail};
use jose::Entropy;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value, json};
use server::Server;
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::print;
use crate::cli::DevArgs;
use crate::config::{Config, Loaded, LogFormat};
use crate::{open_files, shutdown, telemetry, wiring};

/// Variables that would lead away from the data folder.
const IGNORED: [&str; 3] = ["DSN", "DB_LISTEN_DSN", "SECRETS_SYSTEM"];

pub(super) async fn run(args: DevArgs) -> Result<()> {
    // Absolute, so that what is printed can be pasted anywhere.
    let data = DataFolder::open(std::path::absolute(&args.data).context("the data folder")?)?;
    let loaded = configuration(&args, data.path())?;
    telemetry::start(loaded.config.log, LogFormat::Text);
    let entropy = Entropy::system();
    let mut config = wiring::prepare(loaded, &entropy)?;
    let shutdown = shutdown::on_signal()?;
    let public = wiring::bind(&config.serve.public, "serve.public").await?;
    let admin = wiring::bind(&config.serve.admin, "serve.admin").await?;
    let database = wiring::database(&mut config)?;
    let Some(store) = wiring::open(&database.options, &entropy, &shutdown).await? else { return Ok(()) };

    let mut registry = Registry::default();
    let server =
        Server::new(store.clone(), wiring::server_settings(&config), server::Metrics::new(&mut registry))?;
    let metrics = ::operator::Metrics::new(&mut registry);
    let registry = Arc::new(registry);
    let limits = open_files::listener_limits(2);
    let mut tasks = JoinSet::new();
    for (listener, router) in [(public, server.public_router()), (admin, server.admin_router(registry))] {
        let listener = TcpListener::from_std(listener)?;
        tasks.spawn(server::serve(listener, router, limits.clone(), shutdown.clone()));
    }
    let maintained = shutdown.clone();
    tasks.spawn(async move { server.maintain(false, maintained).await });
    let result = reconcile(&args, &config, data, &store, metrics, &shutdown).await;
    shutdown.cancel();
    while tasks.join_next().await.is_some() {}
    store.close().await;
    result
}

/// The configuration: as anywhere, but for what belongs to the data folder, and with defaults for this machine alone.
fn configuration(args: &DevArgs, data: &Path) -> Result<Loaded> {
    let data = data.canonicalize().context("the data folder")?;
    if data.to_string_lossy().contains(['?', '#', '%']) {
        bail!("the data folder's path must not contain ?, # or %: {}", data.display());
    }
    let base = |name: &str| name.strip_suffix("_FILE").unwrap_or(name).to_owned();
    let environment: Vec<_> =
        std::env::vars().filter(|(name, _)| !IGNORED.contains(&base(name).as_str())).collect();
    let mut flags = Map::new();
    flags.insert("dev".to_owned(), true.into());
    flags.insert("dsn".to_owned(), format!("sqlite://{}", data.join("keywright.db").display()).into());
    flags.insert("keys".to_owned(), json!({"autocreate": false}));
    flags
        .insert("serve".to_owned(), json!({"public": {"host": "127.0.0.1"}, "admin": {"host": "127.0.0.1"}}));
    let load =
        |flags: &Map<String, Value>| wiring::configuration(&args.config, flags.clone(), environment.clone());
    let named = environment.iter().any(|(name, _)| name.starts_with("URLS_SELF_ISSUER"))
        || !args.config.files.is_empty();
    if named {
        return load(&flags);
    }
    // The issuer follows the port.
    let port = load(&flags)?.config.serve.public.port;
    flags.insert("urls".to_owned(), json!({"self": {"issuer": format!("http://127.0.0.1:{port}")}}));
    load(&flags)
}

async fn reconcile(
    args: &DevArgs,
    config: &Config,
    data: DataFolder,
    store: &Store,
    metrics: ::operator::Metrics,
    shutdown: &CancellationToken,
) -> Result<()> {
    let settings = Settings {
        instance: "default".to_owned(),
        cluster: data.id()?,
        key_set_namespaces: None,
        issuer: config.urls.issuer.clone(),
    };
    let context = ReconcileContext::for_folder(store, data.clone(), settings, metrics)?;
    let (report, reports) = watch::channel(Report::default());
    let serving = folder::run(args.manifests.clone(), context, report, shutdown.clone());
    let telling = tell(config, &data, reports);
    tokio::pin!(telling);
    tokio::select! {
        done = serving => done.with_context(|| format!("the manifests in {}", args.manifests.display())),
        done = &mut telling => done,
    }
}

/// Prints how the resources stand when all have been looked at, and then what changes.
async fn tell(config: &Config, data: &DataFolder, mut reports: watch::Receiver<Report>) -> Result<()> {
    let mut told: Option<Report> = None;
    while reports.changed().await.is_ok() {
        let report = reports.borrow_and_update().clone();
        if !report.complete {
            continue;
        }
        match &told {
            None => print(&welcome::text(config, data, &report))?,
            Some(before) => changes(before, &report),
        }
        told = Some(report);
    }
    std::future::pending().await
}

fn changes(before: &Report, after: &Report) {
    for row in after.rows.iter().filter(|row| !before.rows.contains(row)) {
        tracing::info!("{} Ready={} {}: {}", row.key, row.ready, row.reason, row.message);
    }
    for row in before.rows.iter().filter(|row| !after.rows.iter().any(|r| r.key == row.key)) {
        tracing::info!("{} is gone", row.key);
    }
}

//! `keywright dev`: server and reconcilers in one process, on a folder.

mod sample_app;
mod users;
mod welcome;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use ::operator::Settings;
use ::operator::reconcile::Context as ReconcileContext;
use ::operator::source::folder::{self, DataFolder, Report};
use anyhow::{Context, Result, bail};
use jose::Entropy;
use prometheus_client::registry::Registry;
use serde_json::{Map, Value, json};
use server::{DemonstrationUsers, Endpoint, Server};
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::sample_app::SampleApp;
use self::welcome::Welcome;
use super::print;
use crate::cli::{self, DevArgs};
use crate::config::{Config, Loaded, LogFormat};
use crate::reload::{Reload, ReloadMetrics, SourceFiles};
use crate::wiring::Bound;
use crate::{open_files, shutdown, telemetry, traces, wiring};

/// Where the sample app listens by default: its manifest in the samples has this address.
const SAMPLE_APP: ([u8; 4], u16) = ([127, 0, 0, 1], 5555);

/// Variables that would lead away from the data folder.
const IGNORED: [&str; 3] = ["DSN", "DB_LISTEN_DSN", "SECRETS_SYSTEM"];

pub(super) async fn run(args: DevArgs) -> Result<()> {
    // Absolute, so that what is printed can be pasted anywhere.
    let data = DataFolder::open(std::path::absolute(&args.data).context("the data folder")?)?;
    let args = Arc::new(args);
    let (source, folder) = (Arc::clone(&args), data.path().to_owned());
    let load = move || configuration(&source, &folder);
    let files = SourceFiles::now(&args.config.files);
    let mut loaded = load()?;
    let level = telemetry::start(loaded.config.log, LogFormat::Text);
    let entropy = Entropy::system();
    wiring::prepare(&mut loaded, &entropy)?;
    let traces = traces::start(&loaded.config.tracing)?;
    let users = users::read(args.users.as_deref(), &entropy)?;
    let shutdown = shutdown::on_signal()?;
    let serve = &loaded.config.serve;
    let [public_tls, admin_tls] = wiring::certificates(serve)?;
    let public = wiring::bind(&serve.public, "serve.public", public_tls.as_ref()).await?;
    let admin = wiring::bind(&serve.admin, "serve.admin", admin_tls.as_ref()).await?;
    let sample_app = bind_sample_app(args.sample_app, &admin).await?;
    let database = wiring::database(&mut loaded.config)?;
    let Some(store) = wiring::open(&database.options, &entropy, &shutdown).await? else { return Ok(()) };

    let mut registry = Registry::default();
    let metrics = server::Metrics::new(&mut registry);
    let server = Server::new(store.clone(), server_settings(&loaded.config, &users), metrics)?;
    let metrics = ::operator::Metrics::new(&mut registry);
    let reconfigured = server.clone();
    let config = Arc::new(loaded.config);
    let reload = Reload {
        sources: files,
        started_with: loaded.restart,
        current: Arc::clone(&config),
        load: Box::new(load),
        apply: Box::new(move |config| reconfigured.reconfigure(server_settings(config, &users))),
        level,
        certificates: public_tls.into_iter().chain(admin_tls).collect(),
        metrics: ReloadMetrics::new(&mut registry),
    };
    let registry = Arc::new(registry);
    let sample_app_at = sample_app.as_ref().map(std::net::TcpListener::local_addr).transpose()?;
    let mut apis = Vec::new();
    if let Some(((listener, address), admin)) = sample_app.zip(sample_app_at).zip(admin.local_addr()?) {
        let app = SampleApp::new(address, admin, &config.urls.issuer, (data.clone(), entropy))?;
        apis.push((Endpoint::from(TcpListener::from_std(listener)?), app.router()));
    }
    apis.push((public.endpoint()?, server.public_router()));
    apis.push((admin.endpoint()?, server.admin_router(registry)));
    drop((public, admin));
    let limits = open_files::listener_limits(3);
    let mut tasks = JoinSet::new();
    for (endpoint, router) in apis {
        tasks.spawn(server::serve(endpoint, router, limits.clone(), shutdown.clone()));
    }
    tasks.spawn(reload.run(shutdown.clone()));
    let maintained = shutdown.clone();
    tasks.spawn(async move { server.maintain(false, maintained).await });
    let has_default_users = args.users.is_none() && config.urls.login.is_none();
    let welcome = Welcome { config: &config, data: &data, sample_app: sample_app_at, has_default_users };
    let result = reconcile(&args, &welcome, &store, metrics, &shutdown).await;
    shutdown.cancel();
    while tasks.join_next().await.is_some() {}
    store.close().await;
    if let Some(traces) = traces {
        traces.finish().await;
    }
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

/// The server's settings: as anywhere, with pages for the users where none are configured.
fn server_settings(config: &Config, users: &DemonstrationUsers) -> server::Settings {
    server::Settings { demonstration: Some(users.clone()), ..wiring::server_settings(config) }
}

/// Where it was not said where, and another process listens there already, there is no sample app; nor where it cannot
/// ask the admin API, which listens on a unix socket.
async fn bind_sample_app(
    asked: Option<cli::SampleApp>,
    admin: &Bound,
) -> Result<Option<std::net::TcpListener>> {
    if admin.local_addr()?.is_none() {
        return Ok(None);
    }
    let address = match asked {
        Some(cli::SampleApp::Off) => return Ok(None),
        Some(cli::SampleApp::At(address)) => address,
        None => SocketAddr::from(SAMPLE_APP),
    };
    match (TcpListener::bind(address).await.and_then(TcpListener::into_std), asked) {
        (Ok(listener), _) => Ok(Some(listener)),
        (Err(error), None) => {
            tracing::warn!(%error, "no sample app: cannot listen on {address}; --sample-app names another");
            Ok(None)
        }
        (Err(error), Some(_)) => {
            Err(error).with_context(|| format!("--sample-app: cannot listen on {address}"))
        }
    }
}

async fn reconcile(
    args: &DevArgs,
    welcome: &Welcome<'_>,
    store: &Store,
    metrics: ::operator::Metrics,
    shutdown: &CancellationToken,
) -> Result<()> {
    let settings = Settings {
        instance: "default".to_owned(),
        cluster: welcome.data.id()?,
        key_set_namespaces: None,
        issuer: welcome.config.urls.issuer.clone(),
    };
    let context = ReconcileContext::for_folder(store, welcome.data.clone(), settings, metrics)?;
    let (report, reports) = watch::channel(Report::default());
    let serving = folder::run(args.manifests.clone(), context, report, shutdown.clone());
    let telling = tell(welcome, reports);
    tokio::pin!(telling);
    tokio::select! {
        done = serving => done.with_context(|| format!("the manifests in {}", args.manifests.display())),
        done = &mut telling => done,
    }
}

/// Prints how the resources stand when all have been looked at, and then what changes.
async fn tell(welcome: &Welcome<'_>, mut reports: watch::Receiver<Report>) -> Result<()> {
    let mut told: Option<Report> = None;
    while reports.changed().await.is_ok() {
        let report = reports.borrow_and_update().clone();
        if !report.complete {
            continue;
        }
        match &told {
            None => print(&welcome.text(&report))?,
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

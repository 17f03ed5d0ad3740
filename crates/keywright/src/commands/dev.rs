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
use axum::Router;
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
use crate::certificate::Certificate;
use crate::cli::{self, DevArgs};
use crate::config::{Config, Loaded, LogFormat, Serve};
use crate::reload::{Reload, ReloadMetrics, SourceFiles};
use crate::traces::{self, Traces};
use crate::wiring::Bound;
use crate::{open_files, shutdown, telemetry, wiring};

/// Where the sample app listens by default: its manifest in the samples has this address.
const SAMPLE_APP: ([u8; 4], u16) = ([127, 0, 0, 1], 5555);

/// Variables that would lead away from the data folder.
const IGNORED: [&str; 4] = ["DSN", "DB_LISTEN_DSN", "DB_REPLICA_DSN", "SECRETS_SYSTEM"];

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
    let certificates = wiring::certificates(&loaded.config.serve)?;
    let ports = Ports::bind(&loaded.config.serve, &certificates, args.sample_app).await?;
    let mut database = wiring::database(&mut loaded.config)?;
    database.options.tracer = traces.as_ref().map(Traces::of_statements);
    let Some(store) = wiring::open(&database.options, &entropy, &shutdown).await? else { return Ok(()) };

    let mut registry = Registry::default();
    let metrics = server::Metrics::new(&mut registry);
    let settings = server_settings(&loaded.config, &users);
    let server = Server::new(store.clone(), settings, metrics, traces.as_ref().map(Traces::of_requests))?;
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
        certificates: certificates.into_iter().flatten().collect(),
        metrics: ReloadMetrics::new(&mut registry),
    };
    let sample_app_at = ports.sample_app_at()?;
    let sample_app = |at, admin| SampleApp::new(at, admin, &config.urls.issuer, (data.clone(), entropy));
    let apis = ports.apis(&server, registry, sample_app)?;
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

/// Where everything listens.
struct Ports {
    public: Bound,
    admin: Bound,
    sample_app: Option<std::net::TcpListener>,
}

impl Ports {
    async fn bind(
        serve: &Serve,
        [public, admin]: &[Option<Certificate>; 2],
        sample_app: Option<cli::SampleApp>,
    ) -> Result<Self> {
        let public = wiring::bind(&serve.public, "serve.public", public.as_ref()).await?;
        let admin = wiring::bind(&serve.admin, "serve.admin", admin.as_ref()).await?;
        let sample_app = bind_sample_app(sample_app, &admin).await?;
        Ok(Self { public, admin, sample_app })
    }

    fn sample_app_at(&self) -> Result<Option<SocketAddr>> {
        Ok(self.sample_app.as_ref().map(std::net::TcpListener::local_addr).transpose()?)
    }

    /// What is served where. The sample app is made of its address and the admin API's.
    fn apis(
        self,
        server: &Server,
        registry: Registry,
        sample_app: impl FnOnce(SocketAddr, SocketAddr) -> Result<SampleApp>,
    ) -> Result<Vec<(Endpoint, Router)>> {
        let mut apis = vec![
            (self.public.endpoint()?, server.public_router()),
            (self.admin.endpoint()?, server.admin_router(Arc::new(registry))),
        ];
        if let Some((listener, admin)) = self.sample_app.zip(self.admin.local_addr()?) {
            let app = sample_app(listener.local_addr()?, admin)?;
            apis.push((Endpoint::from(TcpListener::from_std(listener)?), app.router()));
        }
        Ok(apis)
    }
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
        clients: operator::ClientKind::Ours,
        key_set_namespaces: None,
        adoption_namespaces: None,
        finalizer_timeout: operator::settings::FINALIZER_TIMEOUT,
        allow_mass_deletion: false,
        issuer: welcome.config.urls.issuer.clone(),
        subject_types: wiring::subject_types(welcome.config),
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

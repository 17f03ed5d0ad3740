//! `keywright serve`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use jose::Entropy;
use prometheus_client::registry::Registry;
use server::Server;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::certificate::Certificate;
use crate::cli::{Api, ServeArgs};
use crate::config::{self, Config, LogFormat};
use crate::reload::{Reload, ReloadMetrics, SourceFiles};
use crate::traces::{self, Traces};
use crate::wiring::Bound;
use crate::{open_files, probes, shutdown, telemetry, wiring};

/// What is bound before the database is open.
struct Ports {
    public: Option<Bound>,
    admin: Option<Bound>,
    certificates: Vec<Certificate>,
}

pub(super) async fn run(args: ServeArgs) -> Result<()> {
    let ServeArgs { api, shutdown_delay, config: sources } = args;
    let files = SourceFiles::now(&sources.files);
    let load = move || wiring::configuration(&sources, serde_json::Map::new(), std::env::vars());
    let mut loaded = load()?;
    let level = telemetry::start(loaded.config.log, LogFormat::Json);
    let entropy = Entropy::system();
    wiring::prepare(&mut loaded, &entropy)?;
    let traces = traces::start(&loaded.config.tracing)?;
    let signalled = shutdown::on_signal()?;

    let mut ports = bind(&loaded.config.serve, api).await?;
    let mut database = wiring::database(&mut loaded.config)?;
    database.options.tracer = traces.as_ref().map(Traces::of_statements);
    // Only the admin API has lists.
    database.options.replica = wiring::replica(&loaded.config).filter(|_| api != Api::Public);
    let open = wiring::open(&database.options, &entropy, &signalled);
    let listeners = ports.public.iter().chain(&ports.admin).collect();
    let Some(store) = wiring::meanwhile(listeners, probes::starting(), open).await? else { return Ok(()) };

    let mut registry = Registry::default();
    let settings = wiring::server_settings(&loaded.config);
    let metrics = server::Metrics::new(&mut registry);
    let server = Server::new(store.clone(), settings, metrics, traces.as_ref().map(Traces::of_requests))?;
    let shutdown = delayed(signalled, shutdown_delay.get(), server.clone());
    let metrics = ReloadMetrics::new(&mut registry);
    let certificates = std::mem::take(&mut ports.certificates);
    let current = Arc::new(loaded.config);
    let mut tasks = serve(&server, ports, &current, registry, &shutdown)?;
    let reconfigured = server.clone();
    let reload = Reload {
        sources: files,
        started_with: loaded.restart,
        current: Arc::clone(&current),
        load: Box::new(load),
        apply: Box::new(move |config| reconfigured.reconfigure(wiring::server_settings(config))),
        level,
        certificates,
        metrics,
    };
    tasks.spawn(reload.run(shutdown.clone()));
    server.maintain(current.keys.autocreate, shutdown.clone()).await;
    while tasks.join_next().await.is_some() {}
    store.close().await;
    if let Some(traces) = traces {
        traces.finish().await;
    }
    Ok(())
}

/// Is cancelled `delay` after `signalled`; meanwhile the server says that it is about to stop.
fn delayed(signalled: CancellationToken, delay: Duration, server: Server) -> CancellationToken {
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    tokio::spawn(async move {
        signalled.cancelled().await;
        server.leave();
        tokio::time::sleep(delay).await;
        token.cancel();
    });
    shutdown
}

async fn bind(serve: &config::Serve, api: Api) -> Result<Ports> {
    let [public_tls, admin_tls] = wiring::certificates(serve)?;
    let public = match api {
        Api::All | Api::Public => {
            Some(wiring::bind(&serve.public, "serve.public", public_tls.as_ref()).await?)
        }
        Api::Admin => None,
    };
    let admin = match api {
        Api::All | Api::Admin => Some(wiring::bind(&serve.admin, "serve.admin", admin_tls.as_ref()).await?),
        Api::Public => None,
    };
    Ok(Ports { public, admin, certificates: public_tls.into_iter().chain(admin_tls).collect() })
}

fn serve(
    server: &Server,
    ports: Ports,
    config: &Config,
    registry: Registry,
    shutdown: &CancellationToken,
) -> Result<JoinSet<()>> {
    let limits = open_files::listener_limits(2);
    let mut tasks = JoinSet::new();
    if let Some(listener) = ports.public {
        tracing::info!(address = %config.serve.public, issuer = %config.urls.issuer, "serving the public API");
        let router = server.public_router();
        tasks.spawn(server::serve(listener.endpoint()?, router, limits.clone(), shutdown.clone()));
    }
    if let Some(listener) = ports.admin {
        tracing::info!(address = %config.serve.admin, "serving the admin API");
        let router = server.admin_router(Arc::new(registry));
        tasks.spawn(server::serve(listener.endpoint()?, router, limits, shutdown.clone()));
    }
    Ok(tasks)
}

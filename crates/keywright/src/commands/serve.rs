//! `keywright serve`.

use std::sync::Arc;

use anyhow::Result;
use jose::Entropy;
use prometheus_client::registry::Registry;
use server::Server;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::cli::{Api, ServeArgs};
use crate::config::LogFormat;
use crate::{open_files, probes, shutdown, telemetry, wiring};

pub(super) async fn run(args: ServeArgs) -> Result<()> {
    let loaded = wiring::configuration(&args.config, serde_json::Map::new(), std::env::vars())?;
    telemetry::start(loaded.config.log, LogFormat::Json);
    let entropy = Entropy::system();
    let mut config = wiring::prepare(loaded, &entropy)?;
    let shutdown = shutdown::on_signal()?;

    let public = match args.api {
        Api::All | Api::Public => Some(wiring::bind(&config.serve.public, "serve.public").await?),
        Api::Admin => None,
    };
    let admin = match args.api {
        Api::All | Api::Admin => Some(wiring::bind(&config.serve.admin, "serve.admin").await?),
        Api::Public => None,
    };
    let database = wiring::database(&mut config)?;
    let open = wiring::open(&database.options, &entropy, &shutdown);
    let listeners = public.iter().chain(&admin).collect();
    let Some(store) = wiring::meanwhile(listeners, probes::starting(), open).await? else { return Ok(()) };

    let mut registry = Registry::default();
    let server =
        Server::new(store.clone(), wiring::server_settings(&config), server::Metrics::new(&mut registry))?;
    let registry = Arc::new(registry);
    let limits = open_files::listener_limits(2);
    let mut tasks = JoinSet::new();
    if let Some(listener) = public {
        tracing::info!(address = %config.serve.public, issuer = %config.urls.issuer, "serving the public API");
        let listener = TcpListener::from_std(listener)?;
        let router = server.public_router();
        tasks.spawn(server::serve(listener, router, limits.clone(), shutdown.clone()));
    }
    if let Some(listener) = admin {
        tracing::info!(address = %config.serve.admin, "serving the admin API");
        let listener = TcpListener::from_std(listener)?;
        let router = server.admin_router(registry.clone());
        tasks.spawn(server::serve(listener, router, limits.clone(), shutdown.clone()));
    }
    server.maintain(config.keys.autocreate, shutdown.clone()).await;
    while tasks.join_next().await.is_some() {}
    store.close().await;
    Ok(())
}

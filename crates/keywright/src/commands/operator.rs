//! `keywright operator`.

use std::sync::Arc;

use ::operator::database_gate::DatabaseGate;
use ::operator::reconcile::Context as ReconcileContext;
use ::operator::source::cluster::{self, ClusterObjects};
use ::operator::{Metrics, Settings};
use anyhow::{Context, Result};
use jose::Entropy;
use prometheus_client::registry::Registry;
use server::ListenerLimits;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::cli::OperatorArgs;
use crate::config::LogFormat;
use crate::{probes, shutdown, telemetry, wiring};

/// Where a pod finds its namespace.
const SERVICE_ACCOUNT_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

pub(super) async fn run(args: OperatorArgs) -> Result<()> {
    let loaded = wiring::configuration(&args.config, serde_json::Map::new(), std::env::vars())?;
    telemetry::start(loaded.config.log, LogFormat::Json);
    let entropy = Entropy::system();
    let mut config = wiring::prepare(loaded, &entropy)?;
    let shutdown = shutdown::on_signal()?;

    let listener = wiring::bind(&config.serve.operator, "serve.operator").await?;
    let mut database = wiring::database(&mut config)?;
    // Reconcilers read each time; they have no cache to keep true.
    database.options.listen_url = None;
    let open = wiring::open(&database.options, &entropy, &shutdown);
    let Some(store) = wiring::meanwhile(vec![&listener], probes::starting(), open).await? else {
        return Ok(());
    };
    let client = kube::Client::try_default().await.context("no cluster to work on")?;
    let cluster_uid = cluster::cluster_uid(&client).await.context("the cluster does not answer")?;

    let mut registry = Registry::default();
    let context = ReconcileContext {
        store: store.clone(),
        objects: Arc::new(ClusterObjects::new(client.clone())),
        settings: Arc::new(settings(&args, &config, cluster_uid)),
        gate: DatabaseGate::new(),
        metrics: Metrics::new(&mut registry),
    };
    let (ready, is_ready) = watch::channel(false);
    let router = probes::operator(is_ready, Arc::new(registry));
    let serving = tokio::spawn(server::serve(
        TcpListener::from_std(listener)?,
        router,
        ListenerLimits::default(),
        shutdown.clone(),
    ));
    tracing::info!(instance = args.instance, address = %config.serve.operator, "reconciling");
    // Where the server does not make the token sets, the operator does, as declared or by default.
    let makes_sets = !config.keys.autocreate;
    let result = cluster::run(client, context, makes_sets, ready, shutdown.clone()).await;
    shutdown.cancel();
    serving.await?;
    store.close().await;
    Ok(result?)
}

fn settings(args: &OperatorArgs, config: &crate::config::Config, cluster: String) -> Settings {
    let own = args.namespace.clone().unwrap_or_else(own_namespace);
    let mut namespaces = args.key_set_namespaces.clone();
    namespaces.push(own);
    Settings {
        instance: args.instance.clone(),
        cluster,
        key_set_namespaces: Some(namespaces),
        issuer: config.urls.issuer.clone(),
    }
}

fn own_namespace() -> String {
    let of_pod = std::env::var("POD_NAMESPACE").ok();
    let of_account = || std::fs::read_to_string(SERVICE_ACCOUNT_NAMESPACE).ok();
    let namespace = of_pod.or_else(of_account).map(|text| text.trim().to_owned());
    namespace.filter(|name| !name.is_empty()).unwrap_or_else(|| "keywright".to_owned())
}

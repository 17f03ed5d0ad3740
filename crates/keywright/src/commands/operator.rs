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
use tokio::sync::watch;

use crate::cli::OperatorArgs;
use crate::config::LogFormat;
use crate::reload::{Reload, ReloadMetrics, SourceFiles};
use crate::{probes, shutdown, telemetry, wiring};

/// Where a pod finds its namespace.
const SERVICE_ACCOUNT_NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

pub(super) async fn run(args: OperatorArgs) -> Result<()> {
    let source = args.config.clone();
    let load = move || wiring::configuration(&source, serde_json::Map::new(), std::env::vars());
    let files = SourceFiles::now(&args.config.files);
    let mut loaded = load()?;
    let level = telemetry::start(loaded.config.log, LogFormat::Json);
    let entropy = Entropy::system();
    wiring::prepare(&mut loaded, &entropy)?;
    let shutdown = shutdown::on_signal()?;

    let listener = wiring::bind(&loaded.config.serve.operator, "serve.operator", None).await?;
    let mut database = wiring::database(&mut loaded.config)?;
    // Reconcilers read each time; they have no cache to keep true.
    database.options.listen_url = None;
    let open = wiring::open(&database.options, &entropy, &shutdown);
    let Some(store) = wiring::meanwhile(vec![&listener], probes::starting(), open).await? else {
        return Ok(());
    };
    let client = kube::Client::try_default().await.context("no cluster to work on")?;
    let cluster_uid = cluster::cluster_uid(&client).await.context("the cluster does not answer")?;

    let config = Arc::new(loaded.config);
    let mut registry = Registry::default();
    let context = ReconcileContext {
        store: store.clone(),
        objects: Arc::new(ClusterObjects::new(client.clone())),
        settings: Arc::new(settings(&args, &config, cluster_uid)),
        gate: DatabaseGate::new(),
        metrics: Metrics::new(&mut registry),
    };
    let lifetimes = store.clone();
    let reload = Reload {
        sources: files,
        started_with: loaded.restart,
        current: Arc::clone(&config),
        load: Box::new(load),
        apply: Box::new(move |config| lifetimes.set_lifetimes(wiring::lifetimes(config))),
        level,
        certificates: Vec::new(),
        metrics: ReloadMetrics::new(&mut registry),
    };
    let reloading = tokio::spawn(reload.run(shutdown.clone()));
    let (ready, is_ready) = watch::channel(false);
    let router = probes::operator(is_ready, Arc::new(registry));
    let serving = tokio::spawn(server::serve(
        listener.endpoint()?,
        router,
        ListenerLimits::default(),
        shutdown.clone(),
    ));
    drop(listener);
    tracing::info!(instance = args.instance, address = %config.serve.operator, "reconciling");
    // Where the server does not make the token sets, the operator does, as declared or by default.
    let makes_sets = !config.keys.autocreate;
    let result = cluster::run(client, context, makes_sets, ready, shutdown.clone()).await;
    shutdown.cancel();
    serving.await?;
    reloading.await?;
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

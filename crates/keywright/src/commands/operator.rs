//! `keywright operator`.

use std::sync::Arc;

use ::operator::plan::lease::Times;
use ::operator::plan::maester::MaesterSettings;
use ::operator::reconcile::Context as ReconcileContext;
use ::operator::source::cluster::{self, ClusterObjects, Election, Scope};
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
    let database = wiring::database(&mut loaded.config)?;
    let open = wiring::open(&database.options, &entropy, &shutdown);
    let Some(store) = wiring::meanwhile(vec![&listener], probes::starting(), open).await? else {
        return Ok(());
    };
    let client = kube::Client::try_default().await.context("no cluster to work on")?;
    let cluster_uid = cluster::cluster_uid(&client).await.context("the cluster does not answer")?;

    let config = Arc::new(loaded.config);
    let mut registry = Registry::default();
    let objects = Arc::new(ClusterObjects::new(client.clone()));
    let settings = settings(&args, &config, cluster_uid);
    let context = ReconcileContext::new(store.clone(), objects, settings, Metrics::new(&mut registry));
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
    let options = options(&args, &config, &entropy);
    let result = Box::pin(cluster::run(client, context, options, ready, shutdown.clone())).await;
    shutdown.cancel();
    serving.await?;
    reloading.await?;
    store.close().await;
    Ok(result?)
}

fn settings(args: &OperatorArgs, config: &crate::config::Config, cluster: String) -> Settings {
    let and_own = |namespaces: &[String]| Some([namespaces, &[own_namespace(args)]].concat());
    Settings {
        instance: args.instance.clone(),
        cluster,
        clients: operator::ClientKind::Ours,
        key_set_namespaces: and_own(&args.key_set_namespaces),
        adoption_namespaces: and_own(&args.adoption_namespaces),
        finalizer_timeout: args.finalizer_timeout.get(),
        allow_mass_deletion: args.allow_mass_deletion,
        issuer: config.urls.issuer.clone(),
        subject_types: wiring::subject_types(config),
    }
}

fn options(args: &OperatorArgs, config: &crate::config::Config, entropy: &Entropy) -> cluster::Options {
    let scope = match &args.namespace_selector {
        Some(labels) => Scope::Selector { labels: labels.clone(), own: own_namespace(args) },
        None if args.watch_namespaces.is_empty() => Scope::All,
        None => Scope::Namespaces(args.watch_namespaces.clone()),
    };
    let election = Election {
        namespace: own_namespace(args),
        lease: format!("keywright-{}", args.instance),
        identity: identity(entropy),
        times: Times::default(),
    };
    let maester = args.compat_maester.then(|| MaesterSettings {
        keys: (&args.maester_keys).into(),
        admin_urls: args.compat_maester_admin_urls.clone(),
        id_namespaces: args.compat_maester_id_namespaces.clone(),
    });
    // Where the server does not make the token sets, the operator does, as declared or by default.
    cluster::Options {
        autocreate: !config.keys.autocreate,
        election: Some(election),
        scope,
        maester,
        ..cluster::Options::default()
    }
}

/// What tells this process from all others: the pod's name and uid. Without a uid that is told, a random one is as good.
fn identity(entropy: &Entropy) -> String {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let name =
        variable("POD_NAME").or_else(|| variable("HOSTNAME")).unwrap_or_else(|| "keywright".to_owned());
    let uid = variable("POD_UID").unwrap_or_else(|| format!("{:016x}", u64::from_be_bytes(entropy.bytes())));
    format!("{name}_{uid}")
}

fn own_namespace(args: &OperatorArgs) -> String {
    if let Some(namespace) = &args.namespace {
        return namespace.clone();
    }
    let of_pod = std::env::var("POD_NAMESPACE").ok();
    let of_account = || std::fs::read_to_string(SERVICE_ACCOUNT_NAMESPACE).ok();
    let namespace = of_pod.or_else(of_account).map(|text| text.trim().to_owned());
    namespace.filter(|name| !name.is_empty()).unwrap_or_else(|| "keywright".to_owned())
}

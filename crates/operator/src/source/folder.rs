//! A folder of manifests in place of a cluster, for `keywright dev`.
//!
//! ```text
//!  DIR/*.yaml ──▶ manifests ──▶ registry ──▶ reconcilers ──▶ DATA/secrets/<namespace>/<name>.yaml
//!   (watched)     (checked by      │                          DATA/resources/<namespace>/<kind>/<name>.yaml
//!                  the CRDs)       └── uid, generation, status, finalizers: what an API server would keep
//! ```
//!
//! The reconcilers are the cluster's. What an API server does beside storing is done here: defaults and rules of the
//! schema, uids and generations, deletion that waits for finalizers, and the removal of a Secret with its owner.

mod data;
mod manifests;
mod objects;
mod registry;
mod report;
mod watch;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crd::Resource;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use data::DataFolder;
pub use objects::FolderObjects;
pub use registry::Key;
pub use report::{Report, Row};

use crate::backoff;
use crate::outcome::{Outcome, RECHECK, RESYNC};
use crate::reconcile::{ClientReconciler, Context, KeySetReconciler};
use crate::source::make_undeclared_token_sets;
use manifests::Manifests;
use watch::Watch;

/// Why the folder cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A folder or file cannot be read, written or watched.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Others than this process's user can get at the data folder, which holds secrets in the clear.
    #[error(
        "{path}: others can get at this folder (mode {mode:o}), and it is to hold secrets: chmod 700 {path}, or name \
         a folder that does not exist yet",
        path = path.display()
    )]
    NotPrivate {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The data folder belongs to another user, who can read and replace whatever is in it.
    #[error(
        "{path}: this folder belongs to another user ({owner}; this process is {user}), and it is to hold secrets: \
         name a folder of your own, or one that does not exist yet",
        path = path.display()
    )]
    NotOwned {
        /// Which.
        path: PathBuf,
        /// Whose it is, by number.
        owner: u32,
        /// Whose the process is, by number.
        user: u32,
    },
    /// The folder cannot be watched.
    #[error("the folder cannot be watched: {0}")]
    Watch(#[from] notify::Error),
    /// The database failed at the start.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// Serves a folder until `shutdown`. `report` tells how each resource stands, each time when nothing is under way.
///
/// # Errors
/// [`FolderError`] where the folders cannot be read or watched at the start; later faults are logged and retried.
pub async fn run(
    manifests: PathBuf,
    context: Context<FolderObjects>,
    report: tokio::sync::watch::Sender<Report>,
    shutdown: CancellationToken,
) -> Result<(), FolderError> {
    let data = context.objects.data();
    let watch = Watch::new(&manifests, data)?;
    let manifests = Manifests::new(&manifests, data);
    let mut folder = Folder::new(manifests, context, report);
    folder.rescan();
    folder.all_due();
    folder.make_undeclared_token_sets().await?;
    folder.serve(watch, shutdown).await;
    Ok(())
}

/// The state of the loop.
struct Folder {
    manifests: Manifests,
    context: Context<FolderObjects>,
    clients: Arc<ClientReconciler<FolderObjects>>,
    key_sets: Arc<KeySetReconciler<FolderObjects>>,
    report: tokio::sync::watch::Sender<Report>,
    /// When each resource is looked at again.
    due: HashMap<Key, Instant>,
    failures: HashMap<Key, u32>,
    running: HashSet<Key>,
    tasks: JoinSet<(Key, Outcome)>,
}

impl Folder {
    fn new(
        manifests: Manifests,
        context: Context<FolderObjects>,
        report: tokio::sync::watch::Sender<Report>,
    ) -> Self {
        Self {
            manifests,
            clients: Arc::new(ClientReconciler::new(context.clone())),
            key_sets: Arc::new(KeySetReconciler::new(context.clone())),
            context,
            report,
            due: HashMap::new(),
            failures: HashMap::new(),
            running: HashSet::new(),
            tasks: JoinSet::new(),
        }
    }

    async fn serve(&mut self, mut watch: Watch, shutdown: CancellationToken) {
        let gate = self.context.gate.clone();
        let store = self.context.store.clone();
        let mut gate_changes = gate.subscribe();
        let probe = gate.probe(&store);
        tokio::pin!(probe);
        loop {
            self.start_due();
            if self.running.is_empty() {
                self.tell();
            }
            let next = self.next_due();
            tokio::select! {
                () = shutdown.cancelled() => break,
                Some(done) = self.tasks.join_next() => self.finish(done),
                changed = watch.changed() => {
                    if changed.manifests {
                        self.rescan();
                    }
                    if changed.secrets {
                        self.all_due();
                    }
                }
                Ok(()) = gate_changes.changed() => if gate.is_open() { self.all_due() },
                () = &mut probe => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
        // What is under way is finished: a half-done plan would only be done again at the next start.
        while self.tasks.join_next().await.is_some() {}
    }

    /// Reads the manifests, and makes due what changed.
    fn rescan(&mut self) {
        let objects = self.context.objects.clone();
        let snapshot = self.manifests.read(&objects.registry().known());
        // A Secret among the manifests may be what any client waits for.
        if objects.set_referenced(snapshot.secrets) {
            self.all_due();
        }
        for key in objects.registry().apply(&snapshot.resources, objects.data()) {
            self.due.insert(key.clone(), Instant::now());
            self.failures.remove(&key);
        }
    }

    fn all_due(&mut self) {
        for key in self.context.objects.registry().keys() {
            self.due.insert(key, Instant::now());
        }
    }

    /// When to look next. What is due while it still runs is started when it ends.
    fn next_due(&self) -> Instant {
        let waiting = self.due.iter().filter(|(key, _)| !self.running.contains(*key));
        waiting.map(|(_, at)| *at).min().unwrap_or_else(|| Instant::now() + RESYNC)
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        let due: Vec<Key> =
            self.due.iter().filter(|(_, at)| **at <= now).map(|(key, _)| key.clone()).collect();
        for key in due.into_iter().filter(|key| !self.running.contains(key)).collect::<Vec<_>>() {
            self.due.remove(&key);
            let Some(resource) = self.context.objects.registry().get(&key) else { continue };
            self.running.insert(key.clone());
            let (clients, key_sets) = (self.clients.clone(), self.key_sets.clone());
            self.tasks.spawn(async move {
                let outcome = match &resource {
                    Resource::OAuth2Client(client) => clients.reconcile(client).await,
                    Resource::JsonWebKeySet(key_set) => key_sets.reconcile(key_set).await,
                };
                (key, outcome)
            });
        }
    }

    fn finish(&mut self, done: Result<(Key, Outcome), tokio::task::JoinError>) {
        let (key, outcome) = match done {
            Ok(done) => done,
            Err(error) => {
                // The task is gone with its key: look at everything again.
                tracing::error!(%error, "a reconciliation ended abnormally");
                self.running.clear();
                return self.all_due();
            }
        };
        self.running.remove(&key);
        let objects = self.context.objects.clone();
        if objects.registry().collect_garbage(&key, objects.data()) {
            self.failures.remove(&key);
            self.due.remove(&key);
            // A manifest of the same name may be back already, and an id that was taken is free again.
            self.rescan();
            return self.all_due();
        }
        let delay = self.delay(&key, &outcome);
        // What became due while it ran stays due.
        self.due.entry(key).or_insert_with(|| Instant::now() + delay);
    }

    fn delay(&mut self, key: &Key, outcome: &Outcome) -> Duration {
        if let Outcome::Failed { error } = outcome {
            let failures = self.failures.entry(key.clone()).or_default();
            *failures += 1;
            tracing::warn!(%key, error, "will be tried again");
            return backoff::delay(*failures);
        }
        self.failures.remove(key);
        let now = self.context.store.clock().now();
        match outcome {
            Outcome::Settled { again_at: Some(at) } | Outcome::DeletionBlocked { again_at: at } => {
                Duration::try_from(at.duration_since(now))
                    .unwrap_or_default()
                    .clamp(Duration::from_secs(1), RESYNC)
            }
            Outcome::Waiting { .. } => RECHECK,
            Outcome::Raced => Duration::from_secs(1),
            _ => RESYNC,
        }
    }

    async fn make_undeclared_token_sets(&self) -> Result<(), FolderError> {
        let resources = self.context.objects.registry().resources();
        let declared = resources.iter().filter_map(|resource| match resource {
            Resource::JsonWebKeySet(set) if set.spec.instance == self.context.settings.instance => {
                Some(set.set_name())
            }
            _ => None,
        });
        Ok(make_undeclared_token_sets(&self.context.store, &declared.collect::<Vec<_>>()).await?)
    }

    fn tell(&self) {
        let report = Report::new(&self.context.objects.registry().resources(), self.manifests.problems());
        self.report.send_if_modified(|told| {
            let changed = *told != report;
            *told = report;
            changed
        });
    }
}

impl Context<FolderObjects> {
    /// A context for a folder.
    pub fn for_folder(
        store: &store::Store,
        data: DataFolder,
        settings: crate::Settings,
        metrics: crate::Metrics,
    ) -> Result<Self, FolderError> {
        let objects = FolderObjects::open(data, store.clock().clone())?;
        Ok(Self::new(store.clone(), Arc::new(objects), settings, metrics))
    }
}

//! What every request needs.

use std::sync::{Arc, RwLock};

use jiff::Timestamp;
use store::Store;
use tokio::sync::Semaphore;

use crate::documents::Documents;
use crate::form::BODIES_UNDER_WAY;
use crate::verified_secrets::VerifiedSecrets;
use crate::work_pool::WorkPool;
use crate::{Metrics, Settings};

/// How many signatures may wait for each worker: some 100 ms of work, the slowest kind of key assumed.
const SIGNATURES_WAITING: usize = 64;

/// How many slow hashes may wait for each worker: some 300 ms of work.
const HASHES_WAITING: usize = 16;

/// How many statements may be under way for callers that have proven nothing: fewer than there are connections, so that
/// guessing ids and secrets leaves some to everybody else.
const UNPROVEN_READS: usize = 8;

/// The server: the database, the settings, and the pools for slow work. Clones are one server.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    store: Store,
    settings: Settings,
    metrics: Metrics,
    signatures: WorkPool,
    hashes: WorkPool,
    bodies: Semaphore,
    unproven_reads: Semaphore,
    verified_secrets: VerifiedSecrets,
    documents: RwLock<Option<Arc<Documents>>>,
}

impl Server {
    /// Puts a server together. Nothing is started: run the routers with [`serve`](crate::serve) and keep
    /// [`Self::maintain`] going beside them.
    pub fn new(store: Store, settings: Settings, metrics: Metrics) -> Self {
        let signatures = WorkPool::new(SIGNATURES_WAITING, metrics.pool("signatures"));
        let hashes = WorkPool::new(HASHES_WAITING, metrics.pool("hashes"));
        let verified_secrets = VerifiedSecrets::new(store.entropy());
        Self(Arc::new(Inner {
            store,
            settings,
            metrics,
            signatures,
            hashes,
            bodies: Semaphore::new(BODIES_UNDER_WAY),
            unproven_reads: Semaphore::new(UNPROVEN_READS),
            verified_secrets,
            documents: RwLock::default(),
        }))
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// The pool for signatures that take longer than the reactor can wait.
    pub(crate) fn signatures(&self) -> &WorkPool {
        &self.0.signatures
    }

    /// The pool for slow hashes. Apart from the signatures: guessing secrets does not hold up tokens.
    pub(crate) fn hashes(&self) -> &WorkPool {
        &self.0.hashes
    }

    /// Places for bodies that are being read.
    pub(crate) fn bodies(&self) -> &Semaphore {
        &self.0.bodies
    }

    /// Places for statements on behalf of callers that have proven nothing yet.
    pub(crate) fn unproven_reads(&self) -> &Semaphore {
        &self.0.unproven_reads
    }

    pub(crate) fn verified_secrets(&self) -> &VerifiedSecrets {
        &self.0.verified_secrets
    }

    /// Where the documents that were rendered last are kept.
    pub(crate) fn rendered(&self) -> &RwLock<Option<Arc<Documents>>> {
        &self.0.documents
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.store.clock().now()
    }
}

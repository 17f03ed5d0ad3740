//! The reconcilers: gather, plan, apply, until nothing is left; then the status.

mod client;
mod key_set;

pub use client::ClientReconciler;
pub use key_set::KeySetReconciler;

use std::sync::Arc;

use store::Store;

use crate::database_gate::DatabaseGate;
use crate::metrics::Metrics;
use crate::settings::Settings;

/// What both reconcilers work with.
pub struct Context<O> {
    /// The database.
    pub store: Store,
    /// Where resources and Secrets live.
    pub objects: Arc<O>,
    /// What the process is told about its place.
    pub settings: Arc<Settings>,
    /// Closed while the database is away.
    pub gate: DatabaseGate,
    /// The metrics.
    pub metrics: Metrics,
}

// Derived, it would ask the objects to be cloneable too.
impl<O> Clone for Context<O> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            objects: self.objects.clone(),
            settings: self.settings.clone(),
            gate: self.gate.clone(),
            metrics: self.metrics.clone(),
        }
    }
}

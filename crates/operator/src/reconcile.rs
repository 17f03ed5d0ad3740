//! The reconcilers: gather, plan, apply, until nothing is left; then the status.

mod client;
mod export;
mod key_set;

pub use client::ClientReconciler;
pub use key_set::KeySetReconciler;

use std::sync::Arc;

use crd::Reason;
use jiff::{SignedDuration, Timestamp};
use kube::Resource;
use store::Store;

use crate::applied::Applied;
use crate::apply::Failure;
use crate::database_gate::DatabaseGate;
use crate::events::{Event, EventReason};
use crate::metrics::Metrics;
use crate::objects::{ObjectError, Objects, ResourceView};
use crate::outcome::Outcome;
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
    /// The clients' rows as they were when all was as declared.
    pub applied_clients: Applied,
    /// The key sets' rows, likewise.
    pub applied_key_sets: Applied,
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
            applied_clients: self.applied_clients.clone(),
            applied_key_sets: self.applied_key_sets.clone(),
        }
    }
}

/// What a status says while a reconciliation fails.
struct Trouble {
    reason: Reason,
    message: String,
}

impl<O> Context<O> {
    /// What a failure comes to, and what the status is to say of it: nothing where it passes by itself or cannot be
    /// said. An answer that the database owes closes the gate.
    fn trouble(&self, failure: &Failure) -> (Option<Trouble>, Outcome) {
        let failed = Outcome::Failed { error: failure.to_string() };
        match failure {
            Failure::GateClosed => (Some(Trouble::database_away()), Outcome::DatabaseAway),
            Failure::UnderWay => (None, failed),
            _ if failure.is_race() => (None, failed),
            Failure::Store(error) if error.is_transient() => {
                tracing::warn!(%error, "the database does not answer");
                self.gate.close();
                self.metrics.db_errors.inc();
                (Some(Trouble::database_away()), Outcome::DatabaseAway)
            }
            Failure::Object(ObjectError::Unavailable(_))
            | Failure::SecretWrite { error: ObjectError::Unavailable(_), .. } => (None, failed),
            _ => (Some(Trouble { reason: Reason::Progressing, message: failure.to_string() }), failed),
        }
    }
}

impl<O: Objects> Context<O> {
    /// Until when the deletion of a resource waits for the database; `None` for one that is not being deleted.
    fn blocked_until<K: Resource>(&self, resource: &K) -> Option<Timestamp> {
        let since = resource.meta().deletion_timestamp.as_ref()?.0;
        let timeout =
            SignedDuration::try_from(self.settings.finalizer_timeout).unwrap_or(SignedDuration::MAX);
        Some(since.saturating_add(timeout).unwrap_or(Timestamp::MAX))
    }

    /// Lets a resource go whose row could not be deleted in good time: a namespace must not wait for the database for
    /// ever. The row is found by a later sweep.
    async fn let_go(&self, resource: ResourceView<'_>, finalizer: &'static str) -> Outcome {
        let note = "the database does not answer: the resource goes, and what it declared is deleted later";
        self.objects.publish(resource, Event::new(EventReason::Orphaned, note)).await;
        match self.objects.remove_finalizer(resource, finalizer).await {
            Ok(_) => Outcome::Nothing,
            Err(error) => Outcome::Failed { error: error.to_string() },
        }
    }
}

impl Trouble {
    /// The same words for as long as it lasts, whatever the database said: the status is written once.
    fn database_away() -> Self {
        Self {
            reason: Reason::DatabaseUnavailable,
            message: "the database does not answer; what is declared is applied when it does".to_owned(),
        }
    }
}

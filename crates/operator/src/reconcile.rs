//! The reconcilers: gather, plan, apply, until nothing is left; then the status.

mod client;
mod export;
mod key_set;

pub use client::ClientReconciler;
pub use key_set::KeySetReconciler;

use std::sync::Arc;

use crd::Reason;
use jiff::{SignedDuration, Timestamp};
use store::Store;

use crate::applied::{Applied, Place};
use crate::apply::Failure;
use crate::database_gate::DatabaseGate;
use crate::events::{Event, EventReason};
use crate::metrics::Metrics;
use crate::objects::{ObjectError, Objects, ResourceView};
use crate::outcome::Outcome;
use crate::settings::Settings;
use crate::told::Told;

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

impl<O> Context<O> {
    /// A context of which nothing is known yet: the gate is open, and no row is remembered.
    pub fn new(store: Store, objects: Arc<O>, settings: Settings, metrics: Metrics) -> Self {
        Self {
            store,
            objects,
            settings: Arc::new(settings),
            gate: DatabaseGate::new(),
            metrics,
            applied_clients: Applied::default(),
            applied_key_sets: Applied::default(),
        }
    }
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
            _ if failure.is_race() => (None, Outcome::Raced),
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

/// A resource whose reconciliation failed, as far as its deletion is concerned.
struct Failing<'a> {
    resource: ResourceView<'a>,
    finalizer: &'static str,
    /// True where what it declared goes with it: then its deletion waits for the database.
    waits: bool,
    /// What its `Ready` says so far.
    ready: Option<&'a Reason>,
}

impl<O: Objects> Context<O> {
    /// Tells of what the status is about to say; false where that was told already, and the status could not be written.
    async fn tell(&self, told: &Told, resource: ResourceView<'_>, event: Event) -> bool {
        let is_news = told.is_news(resource.meta().into(), &event);
        if is_news {
            self.objects.publish(resource, event).await;
        }
        is_news
    }

    /// What a failure comes to, and what the status is to say of it. A deletion that waits for the database is told of,
    /// and waits no longer than it may.
    async fn fail(&self, told: &Told, failure: &Failure, of: Failing<'_>) -> (Option<Trouble>, Outcome) {
        let (trouble, mut outcome) = self.trouble(failure);
        let Some(trouble) = trouble else { return (None, outcome) };
        let Some(since) = &of.resource.meta().deletion_timestamp else { return (Some(trouble), outcome) };
        // What stays must be told so first: else a sweep would take it.
        if outcome == Outcome::DatabaseAway && of.waits {
            let blocked = self.blocked_until(since.0);
            if self.store.clock().now() >= blocked {
                return (None, self.let_go(of.resource, of.finalizer).await);
            }
            outcome = Outcome::DeletionBlocked { again_at: blocked };
        }
        if of.ready != Some(&Reason::Terminating) {
            let event = Event::new(EventReason::DeletionBlocked, &*trouble.message);
            self.tell(told, of.resource, event).await;
        }
        (Some(Trouble { reason: Reason::Terminating, ..trouble }), outcome)
    }

    /// Until when a deletion that began at this time waits for the database.
    fn blocked_until(&self, since: Timestamp) -> Timestamp {
        let timeout =
            SignedDuration::try_from(self.settings.finalizer_timeout).unwrap_or(SignedDuration::MAX);
        since.saturating_add(timeout).unwrap_or(Timestamp::MAX)
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

/// What comes of it that a failure could not be said in the status.
fn unsaid(outcome: Outcome, written: Result<(), ObjectError>, resource: ResourceView<'_>) -> Outcome {
    match written {
        Ok(()) => outcome,
        Err(ObjectError::Raced) => Outcome::Raced,
        Err(error) => {
            let Place { namespace, name } = resource.meta().into();
            tracing::warn!(namespace, name, %error, "the status could not be written");
            outcome
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

//! One reconciliation from the queue, and when the next one is due.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use jose::Entropy;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Client, Resource};
use store::Clock;
use tokio::time::Instant;

use super::again::Again;
use super::answer::answer;
use super::attempts::Attempts;
use super::kind::Kind;
use super::requeue;
use super::scope::Selected;
use super::watches::Watched;
use crate::database_gate::DatabaseGate;
use crate::leadership::Leadership;
use crate::outcome::Outcome;

/// How a resource of kind `K` is reconciled.
pub(super) type Reconcile<K> = Box<dyn Fn(K) -> BoxFuture<'static, Outcome> + Send + Sync>;

/// Works off the queue of a kind.
pub(super) struct Worker<K: Kind> {
    pub(super) client: Client,
    pub(super) reconcile: Reconcile<K>,
    pub(super) gate: DatabaseGate,
    pub(super) leadership: Leadership,
    /// Where only some namespaces of those that are watched are looked after.
    pub(super) selected: Option<Selected>,
    pub(super) clock: Clock,
    pub(super) entropy: Entropy,
    pub(super) attempts: Arc<Attempts<ObjectRef<Watched<K>>>>,
    /// Into the queue, for those that lost against a resource that is gone now.
    pub(super) again: Again<K>,
}

impl<K: Kind> Worker<K> {
    /// Reconciles one resource where this process leads, and says when it is to be looked at again. A term that ends
    /// ends the work where it is; the next one begins with a look at everything.
    pub(super) async fn work(&self, watched: &Watched<K>) -> Action {
        let resource = ObjectRef::from_obj(watched);
        self.attempts.taken(&resource);
        let namespace = watched.meta().namespace.as_deref().unwrap_or_default();
        if self.selected.as_ref().is_some_and(|selected| !selected.contains(namespace)) {
            return Action::await_change();
        }
        match self.leadership.during(self.lead(&resource, watched)).await.flatten() {
            Some(delay) => {
                self.attempts.due(&resource, Instant::now() + delay);
                Action::requeue(delay)
            }
            None => Action::await_change(),
        }
    }

    /// Reconciles one resource, and says how long until it is to be looked at again.
    async fn lead(&self, resource: &ObjectRef<Watched<K>>, watched: &Watched<K>) -> Option<Duration> {
        if let Err(wait) = self.attempts.begin(resource, Instant::now()) {
            tracing::debug!(%resource, ?wait, "changes all the time; slowed down");
            return Some(wait);
        }
        let outcome = self.outcome(watched).await;
        let failures = self.attempts.end(resource, watched.meta().generation, &outcome);
        let delay = requeue::delay(&outcome, failures, self.clock.now(), &self.entropy);
        match (&outcome, delay) {
            (Outcome::Failed { error }, Some(delay)) => {
                tracing::warn!(%resource, error, failures, ?delay, "failed; trying again");
            }
            (Outcome::Nothing, _) => {
                for loser in self.attempts.losers() {
                    self.again.look_at(loser);
                }
            }
            _ => {}
        }
        delay
    }

    async fn outcome(&self, watched: &Watched<K>) -> Outcome {
        let resource = match self.live(watched).await {
            Ok(resource) => resource,
            Err(outcome) => return outcome,
        };
        let work = AssertUnwindSafe((self.reconcile)(resource)).catch_unwind();
        // What it panicked over was printed where it happened.
        work.await
            .unwrap_or_else(|_| Outcome::Failed { error: "a defect ended the reconciliation".to_owned() })
    }

    /// The resource as it is now: what the watch brought may be older than what we wrote ourselves, and acting on
    /// that would tell events twice. While the database is away all that comes of it is a status, so the API server
    /// is not asked.
    async fn live(&self, watched: &Watched<K>) -> Result<K, Outcome> {
        let known = watched.0.as_ref().map_err(|invalid| {
            tracing::error!(name = invalid.metadata.name, error = invalid.error, "cannot be read");
            Outcome::Waiting { reason: crd::Reason::InvalidSpec }
        })?;
        if !self.gate.is_open() {
            return Ok(known.clone());
        }
        let meta = known.meta();
        let namespace = meta.namespace.as_deref().unwrap_or_default();
        let api = Api::<K>::namespaced(self.client.clone(), namespace);
        match answer(api.get_opt(meta.name.as_deref().unwrap_or_default())).await {
            Ok(Some(live)) => Ok(live),
            Ok(None) => Err(Outcome::Nothing),
            Err(error) => Err(Outcome::Failed { error: error.to_string() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use crd::OAuth2Client;
    use kube::Config;
    use kube::core::DeserializeGuard;
    use serde_json::json;

    use super::*;

    /// A worker that needs no API server: while the database is away, none is asked.
    fn worker(reconcile: Reconcile<OAuth2Client>) -> Worker<OAuth2Client> {
        let gate = DatabaseGate::new();
        gate.close();
        Worker {
            client: Client::try_from(Config::new("http://127.0.0.1:1".parse().unwrap())).unwrap(),
            reconcile,
            gate,
            leadership: Leadership::sole(),
            selected: None,
            clock: Clock::system(),
            entropy: Entropy::system(),
            attempts: Arc::new(Attempts::new()),
            again: Again::new(),
        }
    }

    fn client() -> Watched<OAuth2Client> {
        let manifest = json!({
            "apiVersion": "keywright.dev/v1alpha1", "kind": "OAuth2Client",
            "metadata": {"name": "a", "namespace": "n", "generation": 1}, "spec": {},
        });
        serde_json::from_value(manifest).unwrap()
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_of_one_resource_and_is_tried_again() {
        let calls = Arc::new(AtomicU32::new(0));
        let counted = calls.clone();
        let worker = worker(Box::new(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            async { panic!("a defect") }.boxed()
        }));
        let first = worker.work(&client()).await;
        let second = worker.work(&client()).await;
        assert_ne!(first, Action::await_change());
        assert_ne!(first, second, "it is tried again ever more slowly");
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_resource_that_cannot_be_read_is_not_reconciled() {
        let worker = worker(Box::new(|_| async { panic!("not to be called") }.boxed()));
        let odd = json!({"metadata": {"name": "a", "namespace": "n"}, "spec": {"grantTypes": 7}});
        let odd: DeserializeGuard<OAuth2Client> = serde_json::from_value(odd).unwrap();
        assert!(odd.0.is_err());
        assert!(matches!(worker.outcome(&odd).await, Outcome::Waiting { .. }));
    }
}

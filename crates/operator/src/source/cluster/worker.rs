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

use super::answer::answer;
use super::attempts::Attempts;
use super::kind::Kind;
use super::requeue;
use super::scope::Selected;
use super::watches::Watched;
use crate::applied::Place;
use crate::database_gate::DatabaseGate;
use crate::leadership::Leadership;
use crate::outcome::Outcome;

/// How often a resource is looked at anew at once, where another writer was first.
const RACES: usize = 3;

/// How resources of kind `K` are reconciled.
pub(super) struct Reconcile<K> {
    /// Reconciles one.
    pub(super) one: Box<dyn Fn(K) -> BoxFuture<'static, Outcome> + Send + Sync>,
    /// Forgets one that is gone.
    pub(super) forget: Box<dyn Fn(&Place) + Send + Sync>,
}

/// Has the resources looked at that lost against another one.
pub(super) type Losers = Arc<dyn Fn() + Send + Sync>;

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
    /// Those who may have lost against a resource of this kind.
    pub(super) losers: Vec<Losers>,
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
            (Outcome::Nothing, _) => self.gone(resource),
            _ => {}
        }
        delay
    }

    /// A resource is gone, or what it declared is: its place is forgotten, and what it had may be another's now.
    pub(super) fn gone(&self, resource: &ObjectRef<Watched<K>>) {
        self.attempts.forget(resource);
        let namespace = resource.namespace.clone().unwrap_or_default();
        (self.reconcile.forget)(&Place { namespace, name: resource.name.clone() });
        for look_at_them in &self.losers {
            look_at_them();
        }
    }

    async fn outcome(&self, watched: &Watched<K>) -> Outcome {
        for races in 0..=RACES {
            let resource = match self.live(watched, races > 0).await {
                Ok(resource) => resource,
                Err(outcome) => return outcome,
            };
            let work = AssertUnwindSafe((self.reconcile.one)(resource)).catch_unwind();
            // What it panicked over was printed where it happened.
            let outcome = work.await.unwrap_or_else(|_| Outcome::Failed {
                error: "a defect ended the reconciliation".to_owned(),
            });
            if outcome != Outcome::Raced {
                return outcome;
            }
        }
        Outcome::Failed { error: "it changes faster than it can be reconciled".to_owned() }
    }

    /// The resource as it is now: what the watch brought may be older than what we wrote ourselves, and acting on
    /// that would tell events twice. While the database is away all that comes of it is a status, so the API server
    /// is not asked, unless it has just said that what is known is `outdated`.
    async fn live(&self, watched: &Watched<K>, outdated: bool) -> Result<K, Outcome> {
        let known = watched.0.as_ref().map_err(|invalid| {
            tracing::error!(name = invalid.metadata.name, error = invalid.error, "cannot be read");
            Outcome::Waiting { reason: crd::Reason::InvalidSpec }
        })?;
        if !self.gate.is_open() && !outdated {
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
    use kube::core::DeserializeGuard;
    use serde_json::json;

    use super::*;

    /// An API server that always has the client, each time in a newer version; and how often it was asked.
    fn api_server() -> (Client, Arc<AtomicU32>) {
        let asked = Arc::new(AtomicU32::new(0));
        let counted = asked.clone();
        let answer = move |_: http::Request<kube::client::Body>| {
            let mut client = serde_json::to_value(client().0.unwrap()).unwrap();
            let version = counted.fetch_add(1, Ordering::SeqCst) + 1;
            client["metadata"]["resourceVersion"] = version.to_string().into();
            let body = kube::client::Body::from(client.to_string().into_bytes());
            std::future::ready(Ok::<_, std::convert::Infallible>(http::Response::new(body)))
        };
        (Client::new(tower::service_fn(answer), "default"), asked)
    }

    fn worker(
        client: Client,
        one: impl Fn(OAuth2Client) -> BoxFuture<'static, Outcome> + Send + Sync + 'static,
    ) -> Worker<OAuth2Client> {
        // While the database is away, the API server is not asked.
        let gate = DatabaseGate::new();
        gate.close();
        Worker {
            client,
            reconcile: Reconcile { one: Box::new(one), forget: Box::new(|_| ()) },
            gate,
            leadership: Leadership::sole(),
            selected: None,
            clock: Clock::system(),
            entropy: Entropy::system(),
            attempts: Arc::new(Attempts::new()),
            losers: Vec::new(),
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
        let worker = worker(api_server().0, move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            async { panic!("a defect") }.boxed()
        });
        let first = worker.work(&client()).await;
        let second = worker.work(&client()).await;
        assert_ne!(first, Action::await_change());
        assert_ne!(first, second, "it is tried again ever more slowly");
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_resource_that_cannot_be_read_is_not_reconciled() {
        let worker = worker(api_server().0, |_| async { panic!("not to be called") }.boxed());
        let odd = json!({"metadata": {"name": "a", "namespace": "n"}, "spec": {"grantTypes": 7}});
        let odd: DeserializeGuard<OAuth2Client> = serde_json::from_value(odd).unwrap();
        assert!(odd.0.is_err());
        assert!(matches!(worker.outcome(&odd).await, Outcome::Waiting { .. }));
    }

    #[tokio::test]
    async fn what_was_outdated_is_read_and_reconciled_again_at_once_a_few_times() {
        for (races, settles) in [(0, true), (1, true), (RACES, true), (RACES + 1, false)] {
            let (client_api, asked) = api_server();
            let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
            let versions = seen.clone();
            let worker = worker(client_api, move |client| {
                let mut versions = versions.lock().unwrap();
                versions.push(client.metadata.resource_version.unwrap_or_default());
                let raced = versions.len() <= races;
                async move { if raced { Outcome::Raced } else { Outcome::Settled { again_at: None } } }
                    .boxed()
            });
            let action = worker.work(&client()).await;
            assert_eq!(action == Action::await_change(), settles, "{races}");
            // The first look is at what the watch brought, each other one at what is newer.
            let looks = (races + 1).min(RACES + 1);
            let expected: Vec<_> =
                (0..looks).map(|look| if look == 0 { String::new() } else { look.to_string() }).collect();
            assert_eq!(*seen.lock().unwrap(), expected, "{races}");
            assert_eq!(asked.load(Ordering::SeqCst), u32::try_from(looks - 1).unwrap());
        }
    }

    #[tokio::test]
    async fn when_a_resource_is_gone_its_place_is_forgotten_and_who_lost_is_looked_at() {
        let mut worker = worker(api_server().0, |_| async { Outcome::Nothing }.boxed());
        let (forgotten, looks) = (Arc::new(std::sync::Mutex::new(Vec::new())), Arc::new(AtomicU32::new(0)));
        let (noted, counted) = (forgotten.clone(), looks.clone());
        worker.reconcile.forget = Box::new(move |place| noted.lock().unwrap().push(place.clone()));
        worker.losers = vec![Arc::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        })];
        worker.work(&client()).await;
        worker.gone(&ObjectRef::new("b").within("n"));
        let names: Vec<_> = forgotten.lock().unwrap().iter().map(|place| place.name.clone()).collect();
        assert_eq!((names, looks.load(Ordering::SeqCst)), (vec!["a".to_owned(), "b".to_owned()], 2));
    }
}

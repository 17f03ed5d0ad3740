//! What runs in an operator: the queues of each kind, what fills them, and who works them off.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crd::{JsonWebKeySet, OAuth2Client, maester, names};
use futures::channel::mpsc;
use futures::future::{BoxFuture, join_all};
use futures::{FutureExt, Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::controller::{self, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::{Client, ResourceExt};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Options;
use super::again::Again;
use super::attempts::Attempts;
use super::election::{Candidate, Election};
use super::kind::Kind;
use super::objects::ClusterObjects;
use super::of_maester::{self, MaesterReconciler};
use super::rows::Side;
use super::scope::{Scope, Selected};
use super::watches::{self, Watched};
use super::worker::{Losers, Reconcile, Worker};
use crate::backoff;
use crate::database_gate::DatabaseGate;
use crate::leadership::Leadership;
use crate::reconcile::{ClientReconciler, Context, KeySetReconciler};
use crate::source::make_undeclared_token_sets;

/// How many resources of one kind are reconciled at once.
const CONCURRENCY: u16 = 8;
/// How long a change waits for others of the same resource.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// What all parts of an operator work with.
pub(super) struct Operator {
    pub(super) client: Client,
    pub(super) context: Context<ClusterObjects>,
    pub(super) leadership: Leadership,
    selected: Option<Selected>,
}

/// Each is true while a watch of Secrets fails.
pub(super) type Blind = Vec<Arc<AtomicBool>>;

/// Those of the known resources that a Secret concerns.
type Whose<K> = fn(&Store<Watched<K>>, &PartialObjectMeta<Secret>) -> Vec<ObjectRef<Watched<K>>>;

/// The queues of a kind, one for each watch.
pub(super) struct Queues<K: Kind> {
    known: Vec<Store<Watched<K>>>,
    controllers: Vec<Controller<Watched<K>>>,
    again: Again<K>,
    attempts: Arc<Attempts<ObjectRef<Watched<K>>>>,
}

pub(super) fn reconcile_clients(context: &Context<ClusterObjects>) -> Reconcile<OAuth2Client> {
    let reconciler = Arc::new(ClientReconciler::new(context.clone()));
    let forgets = reconciler.clone();
    Reconcile {
        one: Box::new(move |client| {
            let reconciler = reconciler.clone();
            async move { Box::pin(reconciler.reconcile(&client)).await }.boxed()
        }),
        forget: Box::new(move |place| forgets.forget(place)),
    }
}

pub(super) fn reconcile_key_sets(context: &Context<ClusterObjects>) -> Reconcile<JsonWebKeySet> {
    let reconciler = Arc::new(KeySetReconciler::new(context.clone()));
    let forgets = reconciler.clone();
    Reconcile {
        one: Box::new(move |key_set| {
            let reconciler = reconciler.clone();
            async move { Box::pin(reconciler.reconcile(&key_set)).await }.boxed()
        }),
        forget: Box::new(move |place| forgets.forget(place)),
    }
}

pub(super) fn reconcile_maester(reconciler: Arc<MaesterReconciler>) -> Reconcile<maester::OAuth2Client> {
    let forgets = reconciler.clone();
    Reconcile {
        one: Box::new(move |client| {
            let reconciler = reconciler.clone();
            async move { Box::pin(reconciler.reconcile(&client)).await }.boxed()
        }),
        forget: Box::new(move |place| forgets.forget(place)),
    }
}

impl Operator {
    pub(super) fn new(client: Client, context: Context<ClusterObjects>, options: &Options) -> Self {
        let leadership = if options.election.is_some() { Leadership::standby() } else { Leadership::sole() };
        let selected = options.scope.selected(&client);
        Self { client, context, leadership, selected }
    }

    /// Stands for election, in a task of its own, which no other work holds up. The token ends that.
    pub(super) fn stand_for(
        &self,
        election: Option<Election>,
    ) -> (CancellationToken, Option<AbortOnDropHandle<()>>) {
        let over = CancellationToken::new();
        let candidate = election.map(|election| {
            let candidate = Candidate::new(&self.client, election, self.leadership.clone(), &self.context);
            AbortOnDropHandle::new(tokio::spawn(candidate.run(over.clone())))
        });
        if candidate.is_none() {
            self.context.metrics.leader.set(1);
        }
        (over, candidate)
    }

    /// The clients, each also when its Secret changed, whether we wrote it or read it.
    pub(super) fn clients(&self, scope: &Scope, blind: &mut Blind) -> Queues<OAuth2Client> {
        let labels = [names::MANAGED, names::SECRET_OPT_IN];
        let queues = self.queues(scope, Some(&self.context.settings.instance));
        self.with_secrets(queues, scope, &labels, watches::clients_of, blind)
    }

    /// The key sets, each also when the Secret changed into which it is exported.
    pub(super) fn key_sets(&self, scope: &Scope, blind: &mut Blind) -> Queues<JsonWebKeySet> {
        let queues = self.queues(scope, Some(&self.context.settings.instance));
        self.with_secrets(queues, scope, &[names::MANAGED], watches::key_sets_of, blind)
    }

    /// Hydra Maester's resources, which are of no instance, each also when its Secret changed that we wrote.
    pub(super) fn maester_clients(&self, scope: &Scope, blind: &mut Blind) -> Queues<maester::OAuth2Client> {
        self.with_secrets(self.queues(scope, None), scope, &[names::MANAGED], of_maester::clients_of, blind)
    }

    /// The resources of a kind, of one instance where the kind has instances, and the queues of those that changed.
    fn queues<K: Kind>(&self, scope: &Scope, instance: Option<&str>) -> Queues<K> {
        let attempts = Arc::new(Attempts::new());
        let mut all = Queues { known: Vec::new(), controllers: Vec::new(), again: Again::new(), attempts };
        for namespace in scope.namespaces() {
            let (known, writer) = reflector::store();
            let again = all.again.queue(namespace.clone());
            // Whoever is not there any more is found not to be, when it is its turn.
            let gone = all.again.clone();
            let gone = move |resource| gone.look_at(resource);
            let attempts = all.attempts.clone();
            let changes = watches::resources::<K>(&self.client, namespace.as_deref(), instance, writer, gone)
                .inspect_ok(move |changed| attempts.due(&ObjectRef::from_obj(changed), Instant::now()));
            let attempts = all.attempts.clone();
            let again = again.inspect(move |again| attempts.due(again, Instant::now()));
            let on_all = all_due(&known, &all.attempts);
            let config = controller::Config::default().debounce(DEBOUNCE).concurrency(CONCURRENCY);
            let mut queue = Controller::for_stream(changes, known.clone())
                .with_config(config)
                .reconcile_all_on(openings(&self.context.gate).inspect(on_all.clone()))
                .reconcile_all_on(self.leadership.terms().inspect(on_all.clone()))
                .reconcile_on(again);
            if let Some(selected) = &self.selected {
                queue = queue.reconcile_all_on(selected.beginnings().inspect(on_all));
            }
            all.known.push(known);
            all.controllers.push(queue);
        }
        all
    }

    /// Adds to the queues the resources whose Secrets changed, by labels.
    fn with_secrets<K: Kind>(
        &self,
        mut queues: Queues<K>,
        scope: &Scope,
        labels: &[&str],
        whose: Whose<K>,
        blind: &mut Blind,
    ) -> Queues<K> {
        let places = queues.known.iter().zip(scope.namespaces());
        let attempts = &queues.attempts;
        let add = |(mut queue, (known, namespace)): (_, (&Store<_>, Option<String>))| {
            for label in labels {
                let (relisted, lists) = mpsc::unbounded();
                let tell = move || {
                    // Nobody listens only when the queue is gone, and this with it.
                    let _ = relisted.unbounded_send(());
                };
                let fails = Arc::new(AtomicBool::new(false));
                blind.push(fails.clone());
                let secrets =
                    watches::labelled_secrets(&self.client, namespace.as_deref(), label, fails, tell);
                let on_all = all_due(known, attempts);
                let (known, attempts) = (known.clone(), attempts.clone());
                let concerned = move |secret: PartialObjectMeta<Secret>| {
                    let concerned = whose(&known, &secret);
                    for resource in &concerned {
                        attempts.due(resource, Instant::now());
                    }
                    concerned
                };
                queue = Controller::watches_stream(queue, secrets, concerned)
                    .reconcile_all_on(lists.inspect(on_all));
            }
            queue
        };
        let controllers = std::mem::take(&mut queues.controllers).into_iter().zip(places).map(add).collect();
        queues.controllers = controllers;
        queues
    }

    /// Works off the queues of a kind until `shutdown`. `losers` are those who may have lost against one of the kind.
    pub(super) async fn work_off<K: Kind>(
        &self,
        queues: Queues<K>,
        reconcile: Reconcile<K>,
        losers: Vec<Losers>,
        shutdown: &CancellationToken,
    ) {
        let worker = Arc::new(Worker {
            client: self.client.clone(),
            reconcile,
            gate: self.context.gate.clone(),
            leadership: self.leadership.clone(),
            selected: self.selected.clone(),
            clock: self.context.store.clock().clone(),
            entropy: self.context.store.entropy().clone(),
            attempts: queues.attempts,
            losers,
        });
        let work =
            queues.controllers.into_iter().map(|queue| work_off(queue, worker.clone(), shutdown.clone()));
        join_all(work.collect::<Vec<_>>()).await;
    }

    /// Makes the server's key sets that no resource declares, trying until that is done.
    pub(super) async fn make_token_sets(&self, key_sets: &[Store<Watched<JsonWebKeySet>>]) {
        let context = &self.context;
        let honoured =
            |set: &JsonWebKeySet| context.settings.honours_key_sets_of(&set.namespace().unwrap_or_default());
        let mut failures = 0;
        let mut terms = Box::pin(self.leadership.terms());
        loop {
            context.gate.opened().await;
            let known: Vec<_> = key_sets.iter().flat_map(Store::state).collect();
            let readable = known.iter().filter_map(|set| set.0.as_ref().ok());
            let declared: Vec<String> =
                readable.filter(|set| honoured(set)).map(JsonWebKeySet::set_name).collect();
            match self.leadership.during(make_undeclared_token_sets(&context.store, &declared)).await {
                Some(Ok(())) => return,
                Some(Err(error)) => {
                    failures += 1;
                    tracing::warn!(%error, failures, "the server's key sets could not be made");
                    tokio::time::sleep(backoff::delay(failures)).await;
                }
                // Whoever leads does it.
                None => {
                    let _ = terms.next().await;
                }
            }
        }
    }
}

/// Works off a queue until `shutdown`.
fn work_off<K: Kind>(
    queue: Controller<Watched<K>>,
    worker: Arc<Worker<K>>,
    shutdown: CancellationToken,
) -> BoxFuture<'static, ()> {
    queue
        .graceful_shutdown_on(shutdown.cancelled_owned())
        .run(
            |watched, worker| async move { Ok::<_, Infallible>(worker.work(&watched).await) },
            |_, never, _| match *never {},
            worker.clone(),
        )
        .for_each(move |done| {
            if let Err(controller::Error::ObjectNotFound(gone)) = done {
                let gone: ObjectRef<Watched<K>> =
                    ObjectRef::new(&gone.name).within(gone.namespace.as_deref().unwrap_or_default());
                worker.gone(&gone);
            }
            std::future::ready(())
        })
        .boxed()
}

/// Notes that all known resources are to be looked at.
fn all_due<K: Kind>(
    known: &Store<Watched<K>>,
    attempts: &Arc<Attempts<ObjectRef<Watched<K>>>>,
) -> impl Fn(&()) + Clone + Send + 'static {
    let (known, attempts) = (known.clone(), attempts.clone());
    move |()| {
        let now = Instant::now();
        for resource in known.state() {
            attempts.due(&ObjectRef::from_obj(&*resource), now);
        }
    }
}

/// Each time that the database answers again.
fn openings(gate: &DatabaseGate) -> impl Stream<Item = ()> + Send + 'static {
    futures::stream::unfold(gate.subscribe(), |mut gate| async move {
        // The first look is not an opening.
        while gate.changed().await.is_ok() {
            if *gate.borrow_and_update() {
                return Some(((), gate));
            }
        }
        None
    })
}

impl<K: Kind> Queues<K> {
    pub(super) fn side(&self) -> Side<K> {
        Side { known: self.known.clone(), again: self.again.clone(), attempts: self.attempts.clone() }
    }
}

//! A cluster: its API server tells what changed, and keeps what the reconcilers write.
//!
//! ```text
//!  OAuth2Client: all but status ────────┐
//!  Secrets: metadata ─▶ whose? ─────────┤
//!  the database is back: all ───────────┼─▶ queue ─▶ worker ─▶ live resource ─▶ ClientReconciler ─▶ again in …
//!  a resource is gone: who lost to it ──┘  (100 ms)    └ not too often
//!  JsonWebKeySet: the same without Secrets ─────────────────────────────────▶ KeySetReconciler
//! ```

mod answer;
mod attempts;
mod finalizers;
mod kind;
mod objects;
mod requeue;
mod secrets;
mod served;
mod watches;
mod worker;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crd::{JsonWebKeySet, OAuth2Client, names};
use futures::channel::mpsc;
use futures::{FutureExt, Stream, StreamExt};
use kube::runtime::controller::{self, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use objects::ClusterObjects;

use crate::backoff;
use crate::database_gate::DatabaseGate;
use crate::reconcile::{ClientReconciler, Context, KeySetReconciler};
use crate::source::make_undeclared_token_sets;
use attempts::Attempts;
use kind::Kind;
use watches::Watched;
use worker::{Reconcile, Worker};

/// How many resources of one kind are reconciled at once.
const CONCURRENCY: u16 = 8;
/// How long a change waits for others of the same resource.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// Why a cluster cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The API server did not answer, or refused; the text says what.
    #[error("the API server: {0}")]
    Api(#[from] crate::ObjectError),
    /// The namespace `kube-system` has no uid, so this cluster cannot be told from others.
    #[error("the namespace kube-system has no uid")]
    NoUid,
    /// A controller ended by itself, which is a defect.
    #[error("a controller ended by itself")]
    Ended,
}

/// What tells this cluster from others that share the database: the uid of `kube-system`.
///
/// # Errors
/// [`ClusterError::Api`] where the namespace cannot be read.
pub async fn cluster_uid(client: &Client) -> Result<String, ClusterError> {
    served::uid_of_kube_system(client).await?.ok_or(ClusterError::NoUid)
}

/// Serves a cluster until `shutdown`, and then finishes what is under way. Dropping the future instead stops at any
/// point, which does no harm either.
///
/// `ready` becomes true once the API server serves both kinds and all resources are known; until then this waits, and
/// says for what. With `autocreate`, the server's key sets that no resource declares are made then, by default
/// policies.
///
/// # Errors
/// [`ClusterError::Ended`]; what goes wrong on the way is logged and tried again.
pub async fn run(
    client: Client,
    context: Context<ClusterObjects>,
    autocreate: bool,
    ready: watch::Sender<bool>,
    shutdown: CancellationToken,
) -> Result<(), ClusterError> {
    tokio::select! {
        () = shutdown.cancelled() => return Ok(()),
        () = served::wait_until_served(&client) => {}
    }
    let (clients, client_queue) = queue::<OAuth2Client>(&client, &context);
    let client_queue = with_secrets(client_queue, &client, &clients);
    let (key_sets, key_set_queue) = queue::<JsonWebKeySet>(&client, &context);
    let work = futures::future::join(
        work_off(client_queue, &client, &context, reconcile_clients(&context), &shutdown),
        work_off(key_set_queue, &client, &context, reconcile_key_sets(&context), &shutdown),
    );
    let begin = async {
        tokio::select! {
            // Nothing is under way before all is known, and a queue would wait for that.
            () = shutdown.cancelled() => return,
            () = all_known(&clients, &key_sets) => {}
        }
        ready.send_replace(true);
        if autocreate {
            make_token_sets(&context, &key_sets).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = work => if shutdown.is_cancelled() { Ok(()) } else { Err(ClusterError::Ended) },
        () = begin => Ok(()),
        () = context.gate.probe(&context.store) => Err(ClusterError::Ended),
    }
}

fn reconcile_clients(context: &Context<ClusterObjects>) -> Reconcile<OAuth2Client> {
    let reconciler = Arc::new(ClientReconciler::new(context.clone()));
    Box::new(move |client| {
        let reconciler = reconciler.clone();
        async move { Box::pin(reconciler.reconcile(&client)).await }.boxed()
    })
}

fn reconcile_key_sets(context: &Context<ClusterObjects>) -> Reconcile<JsonWebKeySet> {
    let reconciler = Arc::new(KeySetReconciler::new(context.clone()));
    Box::new(move |key_set| {
        let reconciler = reconciler.clone();
        async move { Box::pin(reconciler.reconcile(&key_set)).await }.boxed()
    })
}

/// Adds to the queue the clients whose Secret changed, whether we wrote it or read it.
fn with_secrets(
    mut queue: Controller<Watched<OAuth2Client>>,
    client: &Client,
    clients: &Store<Watched<OAuth2Client>>,
) -> Controller<Watched<OAuth2Client>> {
    for label in [names::MANAGED, names::SECRET_OPT_IN] {
        let (relisted, lists) = mpsc::unbounded();
        let tell = move || {
            // Nobody listens only when the queue is gone, and this with it.
            let _ = relisted.unbounded_send(());
        };
        let (secrets, known) = (watches::labelled_secrets(client, label, tell), clients.clone());
        queue = queue
            .watches_stream(secrets, move |secret| watches::clients_of(&known, &secret))
            .reconcile_all_on(lists);
    }
    queue
}

/// The resources of a kind, and the queue of those that changed.
fn queue<K: Kind>(
    client: &Client,
    context: &Context<ClusterObjects>,
) -> (Store<Watched<K>>, Controller<Watched<K>>) {
    let (known, writer) = reflector::store();
    let changes = watches::resources::<K>(client, &context.settings.instance, writer);
    let config = controller::Config::default().debounce(DEBOUNCE).concurrency(CONCURRENCY);
    let queue = Controller::for_stream(changes, known.clone())
        .with_config(config)
        .reconcile_all_on(openings(&context.gate));
    (known, queue)
}

/// Works off a queue until `shutdown`.
async fn work_off<K: Kind>(
    queue: Controller<Watched<K>>,
    client: &Client,
    context: &Context<ClusterObjects>,
    reconcile: Reconcile<K>,
    shutdown: &CancellationToken,
) {
    let (again, losers) = mpsc::unbounded();
    let worker = Arc::new(Worker {
        client: client.clone(),
        reconcile,
        gate: context.gate.clone(),
        clock: context.store.clock().clone(),
        entropy: context.store.entropy().clone(),
        attempts: Attempts::new(),
        again,
    });
    queue
        .reconcile_on(losers)
        .graceful_shutdown_on(shutdown.clone().cancelled_owned())
        .run(
            |watched, worker| async move { Ok::<_, Infallible>(worker.work(&watched).await) },
            |_, never, _| match *never {},
            worker.clone(),
        )
        .for_each(|done| {
            if let Err(controller::Error::ObjectNotFound(gone)) = done {
                let gone: ObjectRef<Watched<K>> =
                    ObjectRef::new(&gone.name).within(gone.namespace.as_deref().unwrap_or_default());
                worker.attempts.forget(&gone);
            }
            std::future::ready(())
        })
        .await;
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

async fn all_known(clients: &Store<Watched<OAuth2Client>>, key_sets: &Store<Watched<JsonWebKeySet>>) {
    // A writer lives in its queue, as long as `run` does.
    let _ = tokio::join!(clients.wait_until_ready(), key_sets.wait_until_ready());
}

/// Makes the server's key sets that no resource declares, trying until that is done.
async fn make_token_sets(context: &Context<ClusterObjects>, key_sets: &Store<Watched<JsonWebKeySet>>) {
    let honoured =
        |set: &&JsonWebKeySet| context.settings.honours_key_sets_of(&set.namespace().unwrap_or_default());
    let mut failures = 0;
    loop {
        let _ = context.gate.subscribe().wait_for(|open| *open).await;
        let known = key_sets.state();
        let readable = known.iter().filter_map(|set| set.0.as_ref().ok());
        let declared: Vec<String> = readable.filter(honoured).map(JsonWebKeySet::set_name).collect();
        let Err(error) = make_undeclared_token_sets(&context.store, &declared).await else { return };
        failures += 1;
        tracing::warn!(%error, failures, "the server's key sets could not be made");
        tokio::time::sleep(backoff::delay(failures)).await;
    }
}

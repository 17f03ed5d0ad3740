//! A cluster: its API server tells what changed, and keeps what the reconcilers write.
//!
//! ```text
//!  OAuth2Client: all but status ────────┐
//!  Secrets: metadata ─▶ whose? ─────────┤
//!  the database is back: all ───────────┼─▶ queue ─▶ worker ─▶ live resource ─▶ ClientReconciler ─▶ again in …
//!  a resource is gone: who lost to it ──┘  (100 ms)    └ as the leader alone, and not too often
//!  JsonWebKeySet: the same without Secrets ─────────────────────────────────▶ KeySetReconciler
//! ```
//!
//! Of several operators of an instance one leads ([`Election`]). The others watch as it does, so that they know all when
//! it is their turn, and drop what their queues bring: a term begins with a look at everything.

mod again;
mod answer;
mod attempts;
mod census;
mod election;
mod finalizers;
mod history;
mod kind;
mod objects;
mod of_maester;
mod queues;
mod requeue;
mod rows;
mod scope;
mod secrets;
mod served;
mod watches;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use election::Election;
pub use objects::ClusterObjects;
pub use scope::Scope;

use crate::outcome::RESYNC;
use crate::plan::maester::MaesterSettings;
use crate::reconcile::Context;
use of_maester::MaesterReconciler;
use queues::{Blind, Operator, reconcile_clients, reconcile_key_sets, reconcile_maester};
use rows::Rows;

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

/// How a cluster is served.
#[derive(Debug, Clone)]
pub struct Options {
    /// Makes the server's key sets that no resource declares, by default policies, once all resources are known.
    pub autocreate: bool,
    /// How the leader is elected; `None` where there is no other operator of the instance.
    pub election: Option<Election>,
    /// Where resources are looked after.
    pub scope: Scope,
    /// How Hydra Maester's resources are looked after as well; `None` leaves them alone.
    pub maester: Option<MaesterSettings>,
    /// The time between two comparisons of all rows of the database.
    pub resync_every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { autocreate: false, election: None, scope: Scope::All, maester: None, resync_every: RESYNC }
    }
}

/// How serving ended.
enum End {
    /// As it was asked to.
    Shutdown,
    /// The API server is at an older state than before: what is known of it is not true any more.
    WentBack,
}

/// Serves a cluster until `shutdown`, and then finishes what is under way. Dropping the future instead stops at any
/// point, which does no harm either.
///
/// `ready` becomes true once the API server serves both kinds and all resources are known, whether this operator leads
/// or not; until then this waits, and says for what.
///
/// # Errors
/// [`ClusterError::Ended`]; what goes wrong on the way is logged and tried again.
pub async fn run(
    client: Client,
    context: Context<ClusterObjects>,
    options: Options,
    ready: watch::Sender<bool>,
    shutdown: CancellationToken,
) -> Result<(), ClusterError> {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = served::wait_until_served(&client, &options.scope, options.maester.is_some()) => {}
        }
        match Box::pin(serve(client.clone(), context.clone(), &options, &ready, &shutdown)).await? {
            End::Shutdown => return Ok(()),
            End::WentBack => {}
        }
    }
}

/// Serves a cluster for as long as what its watches told is true.
async fn serve(
    client: Client,
    context: Context<ClusterObjects>,
    options: &Options,
    ready: &watch::Sender<bool>,
    shutdown: &CancellationToken,
) -> Result<End, ClusterError> {
    let operator = Operator::new(client, context, options);
    let mut blind = Blind::new();
    let clients = operator.clients(&options.scope, &mut blind);
    let key_sets = operator.key_sets(&options.scope, &mut blind);
    let maester = options.maester.clone().map(|settings| {
        let reconciler = Arc::new(MaesterReconciler::new(&operator.context, settings));
        (reconciler, operator.maester_clients(&options.scope, &mut blind))
    });
    let rows = Rows {
        client: operator.client.clone(),
        context: operator.context.clone(),
        leadership: operator.leadership.clone(),
        scope: options.scope.clone(),
        every: options.resync_every,
        blind,
        clients: clients.side(),
        key_sets: key_sets.side(),
        maester: maester.as_ref().map(|(reconciler, queues)| (reconciler.clone(), queues.side())),
    };
    // A client that a resource of either kind leaves behind may be one of the other kind's.
    let mut lost_clients = vec![rows.clients.losers()];
    lost_clients.extend(rows.maester.iter().map(|(_, side)| side.losers()));
    let lost_sets = vec![rows.key_sets.losers()];
    let work = futures::future::join3(
        operator.work_off(clients, reconcile_clients(&operator.context), lost_clients.clone(), shutdown),
        operator.work_off(key_sets, reconcile_key_sets(&operator.context), lost_sets, shutdown),
        async {
            match maester {
                Some((reconciler, queues)) => {
                    let reconcile = reconcile_maester(reconciler);
                    operator.work_off(queues, reconcile, lost_clients, shutdown).await;
                }
                None => shutdown.cancelled().await,
            }
        },
    );
    let begin = async {
        tokio::select! {
            // Nothing is under way before all is known, and a queue would wait for that.
            () = shutdown.cancelled() => return,
            () = rows.all_known() => {}
        }
        ready.send_replace(true);
        let make_sets = async {
            if options.autocreate {
                operator.make_token_sets(&rows.key_sets.known).await;
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            // What is under way ends before this does.
            () = shutdown.cancelled() => std::future::pending().await,
            () = make_sets => {}
            () = rows.look_after() => {}
            () = rows.count() => {}
        }
    };
    let (over, candidate) = operator.stand_for(options.election.clone());
    let ended = || if shutdown.is_cancelled() { Ok(End::Shutdown) } else { Err(ClusterError::Ended) };
    let end = tokio::select! {
        _ = work => ended(),
        () = begin => ended(),
        () = operator.context.gate.probe(&operator.context.store) => Err(ClusterError::Ended),
        () = history::went_back(&operator.client, &options.scope) => Ok(End::WentBack),
    };
    // Only now that nothing is under way any more.
    over.cancel();
    if let Some(candidate) = candidate {
        // It ended by itself, or by a defect of which it was told where it happened.
        let _ = candidate.await;
    }
    end
}

//! What every request needs.

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::thread::available_parallelism;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::extract::FromRef;
use jiff::Timestamp;
use oauth::{Client, ClientId};
use store::Store;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use crate::device_polls::DevicePolls;
use crate::documents::Documents;
use crate::error::Failure;
use crate::fair_shares::FairShares;
use crate::form::BODIES_UNDER_WAY;
use crate::outbound::{Outbound, OutboundError};
use crate::remote_keys::RemoteKeys;
use crate::unproven_rows::UnprovenRows;
use crate::user_code_attempts::UserCodeAttempts;
use crate::verified_secrets::VerifiedSecrets;
use crate::work_pool::WorkPool;
use crate::{Metrics, RequestTracer, Settings};

/// How many signatures may wait for each worker: some 100 ms of work, the slowest kind of key assumed.
const SIGNATURES_WAITING: usize = 64;

/// How many slow hashes may wait for each worker: some 300 ms of work.
const HASHES_WAITING: usize = 16;

/// How many keys may wait to be made: each takes seconds.
const KEYS_WAITING: usize = 4;

/// How many slow hashes of one client may wait or be under way: one, and one for an instance of it that starts beside.
const HASHES_OF_ONE_CLIENT: usize = 2;

/// How many statements may be under way for callers that have proven nothing: fewer than there are connections, so that
/// guessing ids and secrets leaves some to everybody else.
const UNPROVEN_READS: usize = 8;

/// How many clients that are not in memory may be looked for at once.
const CLIENT_READS: usize = 4;

/// How long a request waits for a place among these.
const CLIENT_READ_WAIT: Duration = Duration::from_secs(1);

/// The server: the database, the settings, and the pools for slow work. Clones are one server.
///
/// A value holds the settings as they were when it was made. Each request gets one of its own, so that it sees the same
/// settings from its beginning to its end, whatever [`Self::reconfigure`] does meanwhile.
#[derive(Clone)]
pub struct Server {
    shared: Arc<Shared>,
    settings: Arc<Settings>,
    places: Arc<Places>,
}

/// Places that each router has for itself: whatever anonymous callers take on the public port, resource servers and
/// login apps find theirs on the admin port.
struct Places {
    bodies: Semaphore,
    unproven_reads: Semaphore,
    client_reads: Semaphore,
}

struct Shared {
    store: Store,
    settings: ArcSwap<Settings>,
    metrics: Metrics,
    tracer: Option<RequestTracer>,
    outbound: Arc<Outbound>,
    remote_keys: RemoteKeys,
    signatures: WorkPool,
    hashes: WorkPool,
    hash_shares: FairShares,
    key_making: WorkPool,
    verified_secrets: VerifiedSecrets,
    is_leaving: AtomicBool,
    logout_queue: Notify,
    device_polls: DevicePolls,
    user_code_attempts: UserCodeAttempts,
    parked_values: UnprovenRows,
    device_requests: UnprovenRows,
    documents: RwLock<Option<Arc<Documents>>>,
}

impl Server {
    /// Puts a server together. Nothing is started: run the routers with [`serve`](crate::serve) and keep
    /// [`Self::maintain`] going beside them. Without a `tracer` no spans are made.
    ///
    /// # Errors
    /// [`OutboundError::Unusable`].
    pub fn new(
        store: Store,
        settings: Settings,
        metrics: Metrics,
        tracer: Option<RequestTracer>,
    ) -> Result<Self, OutboundError> {
        let outbound = Arc::new(Outbound::new(settings.outbound.clone(), tracer.clone())?);
        let cores = available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        let signatures = WorkPool::new(cores, SIGNATURES_WAITING, metrics.pool("signatures"));
        let hashes = WorkPool::new(hash_workers(cores), HASHES_WAITING, metrics.pool("hashes"));
        let key_making = WorkPool::new(NonZero::<usize>::MIN, KEYS_WAITING, metrics.pool("keys"));
        let verified_secrets = VerifiedSecrets::new(store.entropy());
        let settings = Arc::new(settings);
        let shared = Shared {
            store,
            settings: ArcSwap::new(Arc::clone(&settings)),
            metrics,
            tracer,
            outbound,
            remote_keys: RemoteKeys::new(),
            signatures,
            hashes,
            hash_shares: FairShares::new(HASHES_OF_ONE_CLIENT),
            key_making,
            verified_secrets,
            is_leaving: AtomicBool::new(false),
            logout_queue: Notify::new(),
            device_polls: DevicePolls::new(),
            user_code_attempts: UserCodeAttempts::new(),
            parked_values: UnprovenRows::new(),
            device_requests: UnprovenRows::new(),
            documents: RwLock::default(),
        };
        Ok(Self { shared: Arc::new(shared), settings, places: Arc::new(Places::new()) })
    }

    /// Puts other settings in force, for all requests that begin from now on.
    pub fn reconfigure(&self, settings: Settings) {
        self.store().set_lifetimes(settings.lifetimes);
        self.shared.settings.store(Arc::new(settings));
    }

    /// From now on it says that it is not ready, and goes on serving: whoever sends requests here has time to send them
    /// elsewhere before the listeners close.
    pub fn leave(&self) {
        self.shared.is_leaving.store(true, Ordering::Relaxed);
    }

    /// Whether it is about to stop.
    pub(crate) fn is_leaving(&self) -> bool {
        self.shared.is_leaving.load(Ordering::Relaxed)
    }

    /// The same server with the settings that are in force now.
    pub(crate) fn current(&self) -> Self {
        Self { settings: self.shared.settings.load_full(), ..self.clone() }
    }

    /// The same server with places of its own, for one router.
    pub(crate) fn of_a_router(&self) -> Self {
        Self { places: Arc::new(Places::new()), ..self.clone() }
    }

    /// A client that a caller names who has proven nothing. Where it is not in memory, the look-up waits for a place: so
    /// whoever makes ids up leaves the connections to others, and of many that ask for one client at once the first few
    /// read it.
    ///
    /// # Errors
    /// [`Failure::Busy`] where too many wait, [`Failure::Store`].
    pub(crate) async fn named_client(&self, id: &ClientId) -> Result<Option<Arc<Client>>, Failure> {
        if self.store().is_at_hand(id) {
            return Ok(self.store().client(id).await?);
        }
        let place = timeout(CLIENT_READ_WAIT, self.places.client_reads.acquire()).await;
        let _place = place.map_err(|_| Failure::Busy)?;
        Ok(self.store().client(id).await?)
    }

    pub(crate) fn store(&self) -> &Store {
        &self.shared.store
    }

    /// The settings of this value; see [`Self`].
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn shared_settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// What makes the spans of requests, where traces are sent.
    pub(crate) fn tracer(&self) -> Option<&RequestTracer> {
        self.shared.tracer.as_ref()
    }

    /// The client for requests that the server makes itself.
    pub(crate) fn outbound(&self) -> &Arc<Outbound> {
        &self.shared.outbound
    }

    /// The keys that clients publish themselves.
    pub(crate) fn remote_keys(&self) -> &RemoteKeys {
        &self.shared.remote_keys
    }

    /// The pool for signatures that take longer than the reactor can wait.
    pub(crate) fn signatures(&self) -> &WorkPool {
        &self.shared.signatures
    }

    /// The pool for slow hashes. Apart from the signatures: guessing secrets does not hold up tokens.
    pub(crate) fn hashes(&self) -> &WorkPool {
        &self.shared.hashes
    }

    /// What each client may take of the pool for slow hashes.
    pub(crate) fn hash_shares(&self) -> &FairShares {
        &self.shared.hash_shares
    }

    /// The pool in which the admin API has keys made, one at a time.
    pub(crate) fn key_making(&self) -> &WorkPool {
        &self.shared.key_making
    }

    /// The router's places for bodies that are being read.
    pub(crate) fn bodies(&self) -> &Semaphore {
        &self.places.bodies
    }

    /// The router's places for statements on behalf of callers that have proven nothing yet.
    pub(crate) fn unproven_reads(&self) -> &Semaphore {
        &self.places.unproven_reads
    }

    pub(crate) fn verified_secrets(&self) -> &VerifiedSecrets {
        &self.shared.verified_secrets
    }

    /// Wakes whoever tells clients of logouts.
    pub(crate) fn logout_queue(&self) -> &Notify {
        &self.shared.logout_queue
    }

    /// How often devices ask.
    pub(crate) fn device_polls(&self) -> &DevicePolls {
        &self.shared.device_polls
    }

    /// The wrong user codes.
    pub(crate) fn user_code_attempts(&self) -> &UserCodeAttempts {
        &self.shared.user_code_attempts
    }

    /// The values that callers of the public API had parked.
    pub(crate) fn parked_values(&self) -> &UnprovenRows {
        &self.shared.parked_values
    }

    /// What devices of public clients asked for.
    pub(crate) fn device_requests(&self) -> &UnprovenRows {
        &self.shared.device_requests
    }

    /// Where the documents that were rendered last are kept.
    pub(crate) fn rendered(&self) -> &RwLock<Option<Arc<Documents>>> {
        &self.shared.documents
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.shared.store.clock().now()
    }
}

impl Places {
    fn new() -> Self {
        Self {
            bodies: Semaphore::new(BODIES_UNDER_WAY),
            unproven_reads: Semaphore::new(UNPROVEN_READS),
            client_reads: Semaphore::new(CLIENT_READS),
        }
    }
}

/// The state of the routers. From it each request takes a [`Server`] with the settings of its moment.
#[derive(Clone)]
pub(crate) struct Live(pub(crate) Server);

impl FromRef<Live> for Server {
    fn from_ref(live: &Live) -> Self {
        live.0.current()
    }
}

/// Half of the cores: whoever makes the server hash, by guessing, leaves the other half to those who guess nothing.
fn hash_workers(cores: NonZero<usize>) -> NonZero<usize> {
    NonZero::new(cores.get() / 2).unwrap_or(NonZero::<usize>::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_hashes_never_take_all_of_several_cores() {
        for (cores, workers) in [(1, 1), (2, 1), (3, 1), (4, 2), (9, 4), (64, 32)] {
            assert_eq!(hash_workers(NonZero::new(cores).unwrap()).get(), workers, "{cores} cores");
        }
    }
}

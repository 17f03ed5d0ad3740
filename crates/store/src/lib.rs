//! The database of Keywright, PostgreSQL or SQLite. All SQL is in this crate.
//!
//! ```text
//!  Store ─┬─ clients, client_secrets     what is registered, fenced by a version
//!         ├─ managed                     the rows that resources own, to see which changed or lost theirs
//!         ├─ key_sets, keys ── turn      the schedule's plans, written by compare-and-set
//!         ├─ key_set_edit                sets that are kept by hand
//!         ├─ key_set_restore             sets that come back from a backup
//!         ├─ grants ─ redeem, refresh    one row for what a person granted a client
//!         ├─ revocations                 what ends all grants of a subject or a session
//!         ├─ login_sessions, consents    what need not be asked again
//!         ├─ consent_sessions            what a subject granted, to look at and to end
//!         ├─ logouts                     the ends of logins, and who is told of them
//!         ├─ device_authorizations       what devices ask for, until somebody has decided
//!         ├─ parked                      what is too long for a URL
//!         ├─ revoked_tokens              single tokens that died early
//!         ├─ used_assertions             what was signed to be good once
//!         ├─ trusted_issuers             who may vouch for subjects
//!         ├─ hydra ─▶ imported           what is taken over from an Ory Hydra's database, once
//!         ├─ purge                       forgetting all that, when it has expired
//!         ├─ coalesce                    statements that wait together go together
//!         ├─ replica                     lists are read from a copy of the database, where there is one
//!         ├─ at_hand                     connections that are used again without a word
//!         ├─ root_keys                   one root key, wrapped by the system secret
//!         ├─ caches ◀── invalidation     what servers keep in memory, and until when they may believe it
//!         └─ clock                       the process's clock with the database's offset
//! ```
//!
//! Statements are the same text for both databases; no statement asks the database for the time. Each one is counted
//! ([`Store::statements`]), so that tests can say exactly what a request costs.

mod at_hand;
mod cache;
mod caches;
mod client_list;
mod client_secrets;
mod clients;
mod clock;
mod coalesce;
mod consent_sessions;
mod consents;
mod database;
mod device_authorizations;
mod error;
mod grants;
mod hydra;
mod imported;
mod invalidation;
mod key_registry;
mod key_set_edit;
mod key_set_policy;
mod key_set_restore;
mod key_sets;
mod loan;
mod login_sessions;
mod logouts;
mod managed;
mod migrate;
mod parked;
mod purge;
mod redeem;
mod refresh;
mod replica;
mod resource_ref;
mod revocations;
mod revoked_tokens;
mod root_keys;
mod signed_lifetimes;
mod traces;
mod trusted_issuers;
mod turn;
mod used_assertions;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jose::{Entropy, KeyRing, SigningAlgorithm, SystemSecret};
use oauth::Lifetimes;
use opentelemetry::global::BoxedTracer;
use sqlx::{Any, Transaction};
use tokio::sync::broadcast;
use tokio_util::task::AbortOnDropHandle;

use crate::caches::Caches;
use crate::coalesce::Coalescer;
use crate::database::{Database, bounded};
use crate::invalidation::Change;
use crate::replica::Replica;

pub use client_list::{ClientFilter, ClientPage, ListedClient};
pub use client_secrets::{Promotion, SecretState, StoredSecret};
pub use clients::{ClientFence, NewClient, SecretChange, StoredClient};
pub use clock::Clock;
pub use consent_sessions::{ConsentSession, ConsentSessionPage, LiveGrant};
pub use consents::{NewConsent, StoredConsent};
pub use database::Dialect;
pub use device_authorizations::{DeviceDecision, NewDeviceAuthorization, StoredDeviceRequest};
pub use error::Error;
pub use grants::GrantState;
pub use hydra::{HydraDatabase, HydraImport, ImportCount, ImportProblem, ImportReport};
pub use invalidation::Changed;
pub use key_registry::{ACCESS_TOKEN_SET, ID_TOKEN_SET, KeyRegistry, SigningKey, is_token_set};
pub use key_set_edit::{KeySetEdit, KeySetEdited};
pub use key_set_policy::{KeySetPolicy, StoredRotation};
pub use key_set_restore::RestoredKey;
pub use key_sets::{StoredKey, StoredKeySet};
pub use login_sessions::{NewLogin, StoredSession};
pub use logouts::{DueLogout, LogoutNotice, LogoutRecipient, TOLD_FOR};
pub use managed::{Adoption, ManagedRow};
pub use migrate::{MigrationStatus, Readiness, migrate, readiness, status};
pub use purge::PurgeWalk;
pub use redeem::{NewGrant, NewRefresh, Redemption};
pub use refresh::{RefreshOutcome, RefreshRotation, RefreshedGrant};
pub use resource_ref::ResourceRef;
pub use revocations::MAX_FLOW_AGE;
pub use root_keys::{Resealed, reseal};
pub use signed_lifetimes::SignedLifetimes;
pub use trusted_issuers::TrustedIssuerPage;
pub use turn::{Declaration, Turn};

/// How often the database's time is sampled.
const CALIBRATE_EVERY: Duration = Duration::from_mins(1);

/// Where the database is, and what opens it.
#[derive(Clone)]
pub struct Options {
    /// The database itself.
    pub database: Connections,
    /// The URL for the invalidation channel, past any pooler; `None` for a process that never reads from a cache.
    pub listen_url: Option<String>,
    /// The system secrets; the first one is current.
    pub secrets: Arc<[SystemSecret]>,
    /// The server's token lifetimes: retired keys stay published for longer than the longest.
    pub lifetimes: Lifetimes,
    /// What the keys of a token set sign with that is made without being declared.
    pub token_algorithm: SigningAlgorithm,
    /// What makes spans of the statements that somebody waits for who has a span; `None` for none.
    pub tracer: Option<Arc<BoxedTracer>>,
    /// A copy of the database that follows it, from which lists are read.
    pub replica: Option<Connections>,
}

/// A database's URL, and its pool of connections.
#[derive(Clone)]
pub struct Connections {
    /// `postgres://…`, or `sqlite://PATH`.
    pub url: String,
    /// The most connections that the pool opens.
    pub max_connections: u32,
    /// A connection is replaced at this age; `None` leaves it to the pool.
    pub max_lifetime: Option<Duration>,
    /// An idle connection is closed after this time; `None` leaves it to the pool.
    pub idle_timeout: Option<Duration>,
}

impl Options {
    /// The pool of the database itself.
    fn pool(&self) -> Result<Database, Error> {
        Database::new(&self.database, self.tracer.clone())
    }
}

/// The calls that share statements, by kind.
struct Lines {
    exchanges: Coalescer<redeem::Exchange>,
    refreshes: Coalescer<refresh::Refresh>,
    grant_states: Coalescer<grants::GrantQuestion>,
    token_states: Coalescer<revoked_tokens::TokenQuestion>,
    consents: Coalescer<consents::ConsentQuestion>,
    new_consents: Coalescer<NewConsent>,
    new_logins: Coalescer<login_sessions::Remembering>,
}

impl Lines {
    fn new(database: &Database) -> Self {
        Self {
            exchanges: Coalescer::new(database.clone()),
            refreshes: Coalescer::new(database.clone()),
            grant_states: Coalescer::new(database.clone()),
            token_states: Coalescer::new(database.clone()),
            consents: Coalescer::new(database.clone()),
            new_consents: Coalescer::new(database.clone()),
            new_logins: Coalescer::new(database.clone()),
        }
    }
}

/// The database. Clones share one pool, one set of caches and one clock.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    database: Database,
    replica: Option<Arc<Replica>>,
    ring: KeyRing,
    lines: Lines,
    caches: Arc<Caches>,
    changes: broadcast::Sender<Changed>,
    clock: Clock,
    entropy: Entropy,
    lifetimes: RwLock<Lifetimes>,
    token_algorithm: SigningAlgorithm,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Store {
    /// Opens the database: applies what migrations are missing, makes the root key where there is none, and begins to
    /// listen for changes.
    ///
    /// # Errors
    /// [`Error::Unavailable`] while the database is away, [`Error::WrongSystemSecret`], [`Error::Corrupt`] where it
    /// does not fit this version's migrations.
    pub async fn open(options: Options, clock: Clock, entropy: Entropy) -> Result<Self, Error> {
        let database = options.pool()?;
        migrate::apply(&database, &options.database.url).await?;
        database.calibrate(&clock).await?;
        let ring = root_keys::load(&database, &options.secrets, &entropy, &clock).await?;
        let caches = Arc::new(Caches::new());
        let (changes, _) = broadcast::channel(invalidation::BACKLOG);
        let mut tasks =
            vec![AbortOnDropHandle::new(tokio::spawn(calibrate(database.clone(), clock.clone())))];
        if let Some(url) = options.listen_url {
            let told = invalidation::run(url, caches.clone(), changes.clone());
            tasks.push(AbortOnDropHandle::new(tokio::spawn(told)));
        }
        let replica =
            options.replica.map(|replica| Database::replica(&replica, options.tracer.clone())).transpose()?;
        let replica = replica.map(|replica| Arc::new(Replica::new(replica)));
        if let Some(replica) = &replica {
            let watch = replica.clone().watch(database.clone(), clock.clone());
            tasks.push(AbortOnDropHandle::new(tokio::spawn(watch)));
        }
        let lines = Lines::new(&database);
        let (lifetimes, token_algorithm) = (RwLock::new(options.lifetimes), options.token_algorithm);
        Ok(Self(Arc::new(Inner {
            database,
            replica,
            lines,
            ring,
            caches,
            changes,
            clock,
            entropy,
            lifetimes,
            token_algorithm,
            _tasks: tasks,
        })))
    }

    /// The keys that everything of this installation is sealed and authenticated with.
    pub fn ring(&self) -> &KeyRing {
        &self.0.ring
    }

    /// The clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// The source of randomness.
    pub fn entropy(&self) -> &Entropy {
        &self.0.entropy
    }

    /// How many statements were sent so far, but for those to a replica ([`Self::replica_statements`]); see the crate's
    /// documentation.
    pub fn statements(&self) -> u64 {
        self.0.database.statements()
    }

    /// Tells what changes in the tables of clients and key sets, whoever changes it, where this store listens
    /// ([`Options::listen_url`]). Who lags behind, or hears [`Changed::Everything`], has missed something.
    pub fn changes(&self) -> broadcast::Receiver<Changed> {
        self.0.changes.subscribe()
    }

    /// Asks the database for an answer.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where it gives none.
    pub async fn ping(&self) -> Result<(), Error> {
        self.db().fetch_optional(self.db().query("SELECT 1")).await?;
        Ok(())
    }

    /// Closes the pool, when all statements under way are done.
    pub async fn close(&self) {
        self.close_replica().await;
        self.db().close().await;
    }

    pub(crate) fn db(&self) -> &Database {
        &self.0.database
    }

    pub(crate) fn replica(&self) -> Option<&Arc<Replica>> {
        self.0.replica.as_ref()
    }

    fn lines(&self) -> &Lines {
        &self.0.lines
    }

    pub(crate) fn caches(&self) -> &Caches {
        &self.0.caches
    }

    /// The version of a new row. It is random, so that a fence taken before a deletion does not fit what is created
    /// under the same name afterwards; half of the range is left to count up.
    pub(crate) fn first_version(&self) -> i64 {
        (i64::from_be_bytes(self.entropy().bytes()) & (i64::MAX >> 1)) + 1
    }

    pub(crate) fn token_algorithm(&self) -> SigningAlgorithm {
        self.0.token_algorithm
    }

    pub(crate) fn lifetimes(&self) -> Lifetimes {
        *self.0.lifetimes.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Other token lifetimes are in force from now on; see [`Options::lifetimes`].
    pub fn set_lifetimes(&self, lifetimes: Lifetimes) {
        *self.0.lifetimes.write().unwrap_or_else(PoisonError::into_inner) = lifetimes;
    }

    /// Commits where `rows` were changed, and tells every process; nobody is told of nothing. False where there were none.
    pub(crate) async fn commit_changed(
        &self,
        tx: Transaction<'_, Any>,
        rows: u64,
        change: Change,
    ) -> Result<bool, Error> {
        if rows > 0 {
            self.commit(tx, change).await?;
        } else {
            // On PostgreSQL, triggers tell of statements, also of those that changed no row.
            bounded(tx.rollback()).await?;
        }
        Ok(rows > 0)
    }

    /// Commits, and tells every process what changed: others by a notification inside the transaction, this one at
    /// once.
    pub(crate) async fn commit(&self, mut tx: Transaction<'_, Any>, change: Change) -> Result<(), Error> {
        if self.db().dialect() == Dialect::Postgres {
            let notify = self.db().query("SELECT pg_notify($1, $2)");
            let notify = notify.bind(invalidation::CHANNEL).bind(change.payload());
            bounded(notify.execute(&mut *tx)).await?;
        }
        bounded(tx.commit()).await?;
        self.caches().apply(Some(&change));
        Ok(())
    }
}

async fn calibrate(database: Database, clock: Clock) {
    loop {
        tokio::time::sleep(CALIBRATE_EVERY).await;
        if let Err(error) = database.calibrate(&clock).await {
            tracing::debug!(%error, "the database's time could not be sampled");
        }
    }
}

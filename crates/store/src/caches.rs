//! The caches of a server: clients by id, and all key sets together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use oauth::{Client, ClientId};

use crate::cache::{Cache, Trust};
use crate::invalidation::Change;
use crate::{Error, KeyRegistry, Store};

/// How many clients are kept. One with a handful of secrets and URLs takes a few kilobytes.
const CLIENTS: usize = 20_000;

/// How many ids are kept of which there is no client.
const UNKNOWN: usize = 4_096;

/// For how long it is believed at most that there is no such client.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);

/// What is kept, and whether it may be believed.
pub(crate) struct Caches {
    clients: Cache<ClientId, Arc<Client>>,
    /// Ids of which there was no client, and when that was.
    unknown: Cache<ClientId, Instant>,
    keys: Cache<(), Arc<KeyRegistry>>,
    /// What was loaded last, believed or not: the next load takes over the keys that it has parsed.
    last_keys: Mutex<Option<Arc<KeyRegistry>>>,
    pub(crate) trust: Trust,
}

impl Caches {
    pub(crate) fn new() -> Self {
        Self {
            clients: Cache::new(CLIENTS),
            unknown: Cache::new(UNKNOWN),
            keys: Cache::new(1),
            last_keys: Mutex::default(),
            trust: Trust::none(),
        }
    }

    /// Forgets what a change concerns; `None` concerns everything.
    pub(crate) fn apply(&self, change: Option<&Change>) {
        match change {
            Some(Change::Client(id)) => {
                self.clients.invalidate(id);
                self.unknown.invalidate(id);
            }
            Some(Change::KeySets) => self.keys.clear(),
            None => self.clear(),
        }
    }

    fn last_keys(&self) -> MutexGuard<'_, Option<Arc<KeyRegistry>>> {
        // One assignment: never half done.
        self.last_keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn clear(&self) {
        self.clients.clear();
        self.unknown.clear();
        self.keys.clear();
    }
}

impl Store {
    /// A client, from memory where it may be believed, else from the database (one statement). That there is none is
    /// remembered too, for a few seconds.
    ///
    /// # Guarantees
    /// A change that was committed, a creation among them, is seen at once while the invalidation channel works, and
    /// within two seconds when it silently fails.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn client(&self, id: &ClientId) -> Result<Option<Arc<Client>>, Error> {
        match self.cached_client(id) {
            Some(client) => Ok(Some(client)),
            None if self.is_unknown(id) => Ok(None),
            None => self.fresh_client(id).await,
        }
    }

    /// True where [`Self::client`] needs no statement.
    pub fn is_at_hand(&self, id: &ClientId) -> bool {
        self.cached_client(id).is_some() || self.is_unknown(id)
    }

    fn is_unknown(&self, id: &ClientId) -> bool {
        let caches = self.caches();
        caches.trust.is_current() && caches.unknown.get(id).is_some_and(|since| since.elapsed() < UNKNOWN_FOR)
    }

    /// A client that is in memory and may be believed. No statement.
    pub fn cached_client(&self, id: &ClientId) -> Option<Arc<Client>> {
        let caches = self.caches();
        caches.trust.is_current().then(|| caches.clients.get(id)).flatten()
    }

    /// A client as the database has it now. One statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn fresh_client(&self, id: &ClientId) -> Result<Option<Arc<Client>>, Error> {
        let caches = self.caches();
        let (load, load_of_none) = (caches.clients.begin_load(), caches.unknown.begin_load());
        let Some(row) = self.read_client(id).await? else {
            caches.clients.forget(id);
            caches.unknown.finish_load(load_of_none, id.clone(), Instant::now());
            return Ok(None);
        };
        let client = Arc::new(row.to_client());
        caches.clients.finish_load(load, id.clone(), client.clone());
        Ok(Some(client))
    }

    /// All key sets with their keys decrypted and parsed, from memory where it may be believed.
    ///
    /// # Errors
    /// [`Error::Unavailable`], or [`Error::Key`] where a stored key does not open.
    pub async fn keys(&self) -> Result<Arc<KeyRegistry>, Error> {
        let caches = self.caches();
        if caches.trust.is_current()
            && let Some(keys) = caches.keys.get(&())
        {
            return Ok(keys);
        }
        let load = caches.keys.begin_load();
        let earlier = caches.last_keys().clone();
        let keys = Arc::new(KeyRegistry::load(self, earlier.as_deref()).await?);
        *caches.last_keys() = Some(keys.clone());
        caches.keys.finish_load(load, (), keys.clone());
        Ok(keys)
    }

    /// True while the invalidation channel works, so that what is cached is used.
    pub fn is_cache_trusted(&self) -> bool {
        self.caches().trust.is_current()
    }

    /// True once all is heard that anybody had changed by that time, and the caches are rid of it.
    pub fn has_heard_until(&self, time: Instant) -> bool {
        self.caches().trust.is_proven_since(time)
    }
}

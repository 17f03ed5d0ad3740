//! What servers keep in memory, and for how long they may believe it.
//!
//! Two rules make a cached value exact: a load that began before an invalidation is not kept, and nothing is believed
//! while the invalidation channel is silent (see [`Trust`]).

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long after the last proof the channel counts as alive. It bounds how late a server issues by an old view.
pub(crate) const TRUST_FOR: Duration = Duration::from_secs(2);

/// A bounded map of values that the database has.
pub(crate) struct Cache<K, V> {
    map: quick_cache::sync::Cache<K, V>,
    /// Counts invalidations. Held while a value is inserted, so that none slips in beside an invalidation.
    invalidations: Mutex<u64>,
}

/// A load under way; it remembers what had been invalidated when it began.
#[derive(Clone, Copy)]
pub(crate) struct Load(u64);

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { map: quick_cache::sync::Cache::new(capacity), invalidations: Mutex::new(0) }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        self.map.get(key)
    }

    /// To be called before the value is read from the database.
    pub(crate) fn begin_load(&self) -> Load {
        Load(*self.lock())
    }

    /// Keeps a loaded value, unless anything was invalidated since the load began.
    pub(crate) fn finish_load(&self, load: Load, key: K, value: V) {
        let invalidations = self.lock();
        if *invalidations == load.0 {
            self.map.insert(key, value);
        }
    }

    /// Drops a value that the database no longer has. Loads under way are not disturbed: whoever asks for what never
    /// was must not keep others from filling the cache, and the deletion itself invalidates.
    pub(crate) fn forget(&self, key: &K) {
        self.map.remove(key);
    }

    pub(crate) fn invalidate(&self, key: &K) {
        let mut invalidations = self.lock();
        *invalidations += 1;
        self.map.remove(key);
    }

    pub(crate) fn clear(&self) {
        let mut invalidations = self.lock();
        *invalidations += 1;
        self.map.clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, u64> {
        // A counter is never left half-changed by a panic.
        self.invalidations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Until when the cache may be believed.
///
/// The invalidation channel proves itself by echoing its own notification: what was committed before the echo was sent
/// has arrived before it did. So belief ends [`TRUST_FOR`] after the sending of the last echoed one, not its arrival.
pub(crate) struct Trust {
    start: Instant,
    until_micros: AtomicU64,
}

impl Trust {
    pub(crate) fn none() -> Self {
        Self { start: Instant::now(), until_micros: AtomicU64::new(0) }
    }

    pub(crate) fn is_current(&self) -> bool {
        micros(self.start.elapsed()) < self.until_micros.load(Ordering::SeqCst)
    }

    /// True where the channel was alive at that time or later.
    pub(crate) fn is_proven_since(&self, time: Instant) -> bool {
        self.until(time) <= self.until_micros.load(Ordering::SeqCst)
    }

    /// The channel was alive at `sent`.
    pub(crate) fn proven_at(&self, sent: Instant) {
        self.until_micros.fetch_max(self.until(sent), Ordering::SeqCst);
    }

    /// Until when the cache may be believed if the channel was alive at `sent`.
    fn until(&self, sent: Instant) -> u64 {
        micros(sent.duration_since(self.start) + TRUST_FOR)
    }

    /// The channel is lost.
    pub(crate) fn revoke(&self) {
        self.until_micros.store(0, Ordering::SeqCst);
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_that_began_before_an_invalidation_is_not_kept() {
        let cache: Cache<&str, i32> = Cache::new(8);
        let load = cache.begin_load();
        cache.invalidate(&"b");
        cache.finish_load(load, "a", 1);
        assert_eq!(
            cache.get(&"a"),
            None,
            "any invalidation counts: the load may have seen either side of it"
        );
        let load = cache.begin_load();
        cache.finish_load(load, "a", 2);
        assert_eq!(cache.get(&"a"), Some(2));
        cache.clear();
        assert_eq!(cache.get(&"a"), None);
    }

    #[test]
    fn belief_ends_two_seconds_after_the_echo_was_sent() {
        let trust = Trust::none();
        assert!(!trust.is_current());
        let sent = Instant::now();
        assert!(!trust.is_proven_since(sent));
        trust.proven_at(sent);
        assert!(trust.is_current() && trust.is_proven_since(sent));
        assert!(!trust.is_proven_since(sent + TRUST_FOR));
        trust.proven_at(sent.checked_sub(TRUST_FOR).unwrap_or(sent));
        assert!(trust.is_current(), "an older proof does not shorten a newer one");
        trust.revoke();
        assert!(!trust.is_current());
    }
}

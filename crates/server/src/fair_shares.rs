//! How much of a pool one client may take.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oauth::ClientId;

/// Counts the work of each client that is waiting or under way, so that none takes all places: whoever guesses the
/// secret of one client then holds up that client's own slow verifications, and nobody else's.
///
/// As large as the pool at most: a client without work is forgotten.
#[derive(Debug, Clone)]
pub(crate) struct FairShares {
    taken: Arc<Mutex<HashMap<ClientId, usize>>>,
    each: usize,
}

/// One piece of work of a client. It is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    shares: FairShares,
    client_id: ClientId,
}

impl FairShares {
    /// Shares of at most `each` pieces of work.
    pub(crate) fn new(each: usize) -> Self {
        Self { taken: Arc::default(), each }
    }

    /// Takes one; `None` where the client has all that it may have.
    pub(crate) fn take(&self, client_id: &ClientId) -> Option<Share> {
        let mut counts = self.counts();
        let count = counts.get(client_id).copied().unwrap_or(0);
        if count >= self.each {
            return None;
        }
        counts.insert(client_id.clone(), count + 1);
        drop(counts);
        Some(Share { shares: self.clone(), client_id: client_id.clone() })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<ClientId, usize>> {
        // Each change is one insertion or removal: never half done.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut counts = self.shares.counts();
        match counts.get_mut(&self.client_id) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(counts.remove(&self.client_id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_its_share_and_no_more_and_an_idle_one_is_forgotten() {
        let [one, other] = ["one", "other"].map(|id| ClientId::parse(id).unwrap());
        let shares = FairShares::new(2);
        let first = shares.take(&one);
        let second = shares.take(&one);
        assert!(first.is_some() && second.is_some() && shares.take(&one).is_none());
        let of_other = shares.take(&other);
        assert!(of_other.is_some());
        drop(first);
        let third = shares.take(&one);
        assert!(third.is_some() && shares.take(&one).is_none());
        drop((second, third, of_other));
        assert!(shares.counts().is_empty());
    }
}

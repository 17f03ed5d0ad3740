//! Rows that callers had written who have proven nothing: how many there may be.
//!
//! Each server counts those that it wrote itself, until they expire; with several servers the limits multiply.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::client_address::network;
use crate::error::Failure;

/// How many there may be in all.
const IN_ALL: usize = 20_000;

/// How many may come from one network.
const OF_NETWORK: usize = 1_000;

/// Counts the rows of a kind by where they come from.
#[derive(Debug)]
pub(crate) struct UnprovenRows {
    counted: Mutex<Counted>,
    in_all: usize,
    of_network: usize,
}

#[derive(Debug, Default)]
struct Counted {
    /// When each of them expires, the next one first.
    ends: BinaryHeap<Reverse<(Timestamp, Option<IpAddr>)>>,
    /// How many are being written.
    under_way: usize,
    by_network: HashMap<IpAddr, usize>,
}

/// The place of a row that is being written. It is taken until the row expires, unless it is given back: whoever goes
/// away while the row is written has it written all the same.
struct Place<'a> {
    rows: &'a UnprovenRows,
    network: Option<IpAddr>,
    /// `None` where it is given back.
    until: Option<Timestamp>,
}

impl UnprovenRows {
    pub(crate) fn new() -> Self {
        Self::of_at_most(IN_ALL, OF_NETWORK)
    }

    fn of_at_most(in_all: usize, of_network: usize) -> Self {
        Self { counted: Mutex::default(), in_all, of_network }
    }

    /// Writes a row by `write`, and counts it until it expires; not where it could not be written. Where a proxy hides
    /// the address, the limit for all is the only one.
    ///
    /// # Errors
    /// [`Failure::Busy`]: there are as many as may be. Those of `write`.
    pub(crate) async fn count<T>(
        &self,
        address: Option<IpAddr>,
        (now, expires_at): (Timestamp, Timestamp),
        write: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut place = self.place(address, (now, expires_at))?;
        let written = write.await;
        if written.is_err() {
            place.until = None;
        }
        written
    }

    fn place(
        &self,
        address: Option<IpAddr>,
        (now, expires_at): (Timestamp, Timestamp),
    ) -> Result<Place<'_>, Failure> {
        let network = address.map(network);
        let mut counted = self.counted();
        counted.forget_expired(now);
        let of_network = network.and_then(|network| counted.by_network.get(&network)).copied().unwrap_or(0);
        if counted.ends.len() + counted.under_way >= self.in_all || of_network >= self.of_network {
            return Err(Failure::Busy);
        }
        counted.under_way += 1;
        if let Some(network) = network {
            counted.by_network.insert(network, of_network + 1);
        }
        Ok(Place { rows: self, network, until: Some(expires_at) })
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        // Nothing that holds the lock panics half-way.
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut counted = self.rows.counted();
        counted.under_way -= 1;
        match self.until {
            Some(end) => counted.ends.push(Reverse((end, self.network))),
            None => counted.forget(self.network),
        }
    }
}

impl Counted {
    fn forget_expired(&mut self, now: Timestamp) {
        while let Some(Reverse((_, network))) = self.ends.peek().filter(|Reverse((end, _))| *end <= now) {
            let network = *network;
            self.ends.pop();
            self.forget(network);
        }
    }

    /// Counts one less of a network.
    fn forget(&mut self, network: Option<IpAddr>) {
        let Some(network) = network else { return };
        match self.by_network.get_mut(&network) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.by_network.remove(&network)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// How many of a hundred rows are written that expire at `end`.
    fn written(rows: &UnprovenRows, address: Option<&str>, now: i64, end: i64) -> usize {
        let address = address.map(|text| text.parse().unwrap());
        (0..100).filter(|_| rows.place(address, (at(now), at(end))).is_ok()).count()
    }

    #[test]
    fn one_network_gets_its_share_and_all_together_no_more_than_there_may_be() {
        let rows = UnprovenRows::of_at_most(50, 20);
        assert_eq!(written(&rows, Some("2001:db8:1::1"), 0, 10), 20);
        assert_eq!(written(&rows, Some("2001:db8:1:ffff::1"), 9, 10), 0, "the same network");
        assert_eq!(written(&rows, Some("192.0.2.1"), 0, 20), 20, "another one");
        assert_eq!(written(&rows, None, 0, 30), 10, "what is left");
        assert_eq!(written(&rows, Some("192.0.2.2"), 9, 30), 0);
        assert_eq!(written(&rows, Some("192.0.2.1"), 10, 30), 0, "its own have not expired");
        assert_eq!(written(&rows, Some("2001:db8:1::1"), 10, 30), 20, "these have");
        assert_eq!(written(&rows, None, 30, 40), 50);
        assert!(rows.counted.lock().unwrap().by_network.is_empty(), "what has expired is forgotten");
    }

    #[tokio::test]
    async fn what_could_not_be_written_has_no_place_and_what_nobody_waited_for_has_one() {
        let rows = UnprovenRows::of_at_most(3, 2);
        let address = Some("192.0.2.1".parse().unwrap());
        let times = (at(0), at(10));
        for _ in 0..100 {
            let refused = rows.count::<()>(address, times, async { Err(Failure::Busy) }).await;
            assert!(matches!(refused, Err(Failure::Busy)));
        }
        assert!(rows.counted().by_network.is_empty());
        let never = rows.count::<()>(address, times, std::future::pending());
        assert!(futures::poll!(Box::pin(never)).is_pending(), "its caller goes away");
        assert_eq!(rows.count(address, times, async { Ok(7) }).await.unwrap(), 7);
        assert_eq!(written(&rows, Some("192.0.2.1"), 0, 10), 0);
        assert_eq!(written(&rows, Some("192.0.2.2"), 0, 10), 1);
        assert_eq!(written(&rows, Some("192.0.2.1"), 10, 20), 2, "when they have expired");
    }
}

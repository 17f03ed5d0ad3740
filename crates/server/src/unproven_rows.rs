//! Rows that callers had written who have proven nothing: how many there may be.
//!
//! Each server counts those that it wrote itself, until they expire; with several servers the limits multiply.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

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
    by_network: HashMap<IpAddr, usize>,
}

impl UnprovenRows {
    pub(crate) fn new() -> Self {
        Self::of_at_most(IN_ALL, OF_NETWORK)
    }

    fn of_at_most(in_all: usize, of_network: usize) -> Self {
        Self { counted: Mutex::default(), in_all, of_network }
    }

    /// Counts a row that is to be written, until it expires. Where a proxy hides the address, the limit for all is the
    /// only one.
    ///
    /// # Errors
    /// [`Failure::Busy`]: there are as many as may be.
    pub(crate) fn add(
        &self,
        address: Option<IpAddr>,
        (now, expires_at): (Timestamp, Timestamp),
    ) -> Result<(), Failure> {
        let network = address.map(network);
        // Nothing in here panics half-way.
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.forget_expired(now);
        let of_network = network.and_then(|network| counted.by_network.get(&network)).copied().unwrap_or(0);
        if counted.ends.len() >= self.in_all || of_network >= self.of_network {
            return Err(Failure::Busy);
        }
        counted.ends.push(Reverse((expires_at, network)));
        if let Some(network) = network {
            counted.by_network.insert(network, of_network + 1);
        }
        Ok(())
    }
}

impl Counted {
    fn forget_expired(&mut self, now: Timestamp) {
        while let Some(Reverse((_, network))) = self.ends.peek().filter(|Reverse((end, _))| *end <= now) {
            if let Some(network) = network {
                match self.by_network.get_mut(network) {
                    Some(count) if *count > 1 => *count -= 1,
                    _ => drop(self.by_network.remove(network)),
                }
            }
            self.ends.pop();
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
        (0..100).filter(|_| rows.add(address, (at(now), at(end))).is_ok()).count()
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
}

//! One probe for all: while the database is away, nobody but the probe asks it.

use std::time::Duration;

use store::Store;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::backoff;

/// The longest pause between two probes.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long the gate has to have been open for the database to count as well.
const STEADY: Duration = Duration::from_mins(1);

/// Open while the database answers. Clones share it.
#[derive(Debug, Clone)]
pub struct DatabaseGate {
    open: watch::Sender<bool>,
}

impl DatabaseGate {
    /// An open gate.
    pub fn new() -> Self {
        Self { open: watch::Sender::new(true) }
    }

    /// True while the database answers, as far as is known.
    pub fn is_open(&self) -> bool {
        *self.open.borrow()
    }

    /// Waits until it is open.
    pub async fn opened(&self) {
        // The sender lives in `self`, so this cannot fail.
        let _ = self.open.subscribe().wait_for(|open| *open).await;
    }

    /// Somebody got no answer: from now on only the probe asks.
    pub fn close(&self) {
        self.open.send_replace(false);
    }

    /// Tells of each opening and closing.
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.open.subscribe()
    }

    /// Probes the database while the gate is closed, and opens it with the first answer. Never ends.
    ///
    /// A database that answers the probe and refuses what follows, a read-only one for instance, counts as failing
    /// too: the pauses get longer, or opening and closing would follow each other as fast as they can.
    pub async fn probe(&self, store: &Store) {
        let mut changes = self.open.subscribe();
        let mut failures = 0;
        let mut opened = None;
        loop {
            // The sender lives in `self`, so this cannot fail.
            let _ = changes.wait_for(|open| !open).await;
            failures = match opened {
                Some(at) if Instant::now().duration_since(at) < STEADY => failures + 1,
                _ => 0,
            };
            while !self.is_open() {
                if failures > 0 {
                    tokio::time::sleep(backoff::delay(failures).min(LONGEST_PAUSE)).await;
                }
                match store.ping().await {
                    Ok(()) => {
                        tracing::info!("the database answers again");
                        opened = Some(Instant::now());
                        self.open.send_replace(true);
                    }
                    Err(error) => {
                        failures += 1;
                        tracing::warn!(%error, failures, "the database does not answer");
                    }
                }
            }
        }
    }
}

impl Default for DatabaseGate {
    fn default() -> Self {
        Self::new()
    }
}

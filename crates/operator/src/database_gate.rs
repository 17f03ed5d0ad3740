//! One probe for all: while the database is away, nobody but the probe asks it.

use std::time::Duration;

use store::Store;
use tokio::sync::watch;

use crate::backoff;

/// The longest pause between two probes.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

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

    /// Somebody got no answer: from now on only the probe asks.
    pub fn close(&self) {
        self.open.send_replace(false);
    }

    /// Tells of each opening and closing.
    pub fn subscribe(&self) -> watch::Receiver<bool> {
        self.open.subscribe()
    }

    /// Probes the database while the gate is closed, and opens it with the first answer. Never ends.
    pub async fn probe(&self, store: &Store) {
        let mut changes = self.open.subscribe();
        loop {
            let mut failures = 0;
            while !self.is_open() {
                match store.ping().await {
                    Ok(()) => {
                        tracing::info!("the database answers again");
                        self.open.send_replace(true);
                    }
                    Err(error) => {
                        failures += 1;
                        tracing::warn!(%error, failures, "the database does not answer");
                        tokio::time::sleep(backoff::delay(failures).min(LONGEST_PAUSE)).await;
                    }
                }
            }
            // The sender lives in `self`, so this cannot fail.
            let _ = changes.wait_for(|open| !open).await;
        }
    }
}

impl Default for DatabaseGate {
    fn default() -> Self {
        Self::new()
    }
}

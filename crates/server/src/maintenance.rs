//! What the server does without being asked: making and turning keys, forgetting what has expired, telling clients of
//! logouts.

use std::time::Duration;

use store::PurgeWalk;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::Server;

/// How often sets are looked at that no operator turns.
const TURN_EVERY: Duration = Duration::from_mins(1);

/// How often what has expired is removed.
const PURGE_EVERY: Duration = Duration::from_mins(5);

/// How soon what failed at the start is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// The pause between two bites of a purge, which leaves the database to others.
const BETWEEN_BITES: Duration = Duration::from_millis(100);

impl Server {
    /// Works until `shutdown` is cancelled. `autocreate` makes missing token key sets first; without it they are
    /// awaited from the operator, and the server is not ready before.
    ///
    /// Any number of servers may do this on one database: each turn is a compare-and-set, each client is told by one of
    /// them, and each waits a little differently.
    pub async fn maintain(&self, autocreate: bool, shutdown: CancellationToken) {
        let work = async {
            if autocreate {
                self.make_token_sets().await;
            }
            tokio::join!(self.turn_unattended_sets(), self.purge(), self.tell_clients());
        };
        // Making and turning keys holds a lot at once; it need not lie in its callers.
        shutdown.run_until_cancelled(Box::pin(work)).await;
    }

    async fn make_token_sets(&self) {
        while let Err(error) = self.store().ensure_token_sets().await {
            tracing::warn!(%error, "the token key sets could not be made; trying again");
            sleep(self.about(RETRY_AFTER)).await;
        }
    }

    async fn turn_unattended_sets(&self) {
        loop {
            sleep(self.about(TURN_EVERY)).await;
            if let Err(error) = self.store().turn_unattended_sets().await {
                tracing::warn!(%error, "key sets could not be turned; trying again");
            }
        }
    }

    async fn purge(&self) {
        let mut walk = PurgeWalk::shared();
        loop {
            sleep(self.about(PURGE_EVERY)).await;
            loop {
                match self.store().purge(&mut walk).await {
                    Ok(true) => sleep(BETWEEN_BITES).await,
                    Ok(false) => break,
                    Err(error) => {
                        tracing::warn!(%error, "what has expired could not be removed; trying again");
                        break;
                    }
                }
            }
        }
    }

    /// A pause of about this length, up to a tenth shorter or longer: servers that start together do not stay so.
    pub(crate) fn about(&self, pause: Duration) -> Duration {
        let random = f64::from(u16::from_be_bytes(self.store().entropy().bytes())) / f64::from(u16::MAX);
        pause.mul_f64(0.9 + 0.2 * random)
    }
}

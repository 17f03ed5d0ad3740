//! Connections whose last statement ended well, at hand for the next one.
//!
//! The pool asks each connection that comes back whether it still works, which doubles the round trips of every
//! statement. So a connection with nothing left to clear up stays here, for at most [`KEPT_FOR`] after it was taken
//! from the pool; then it goes back, is asked, and is replaced when it is old. When one of them is lost, all go back.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::Any;
use sqlx::pool::PoolConnection;
use tokio::runtime::Handle;

use crate::loan::go_back;

/// For how long a connection is used without being asked whether it still works.
pub(crate) const KEPT_FOR: Duration = Duration::from_secs(1);

/// The connections at hand.
#[derive(Debug, Default)]
pub(crate) struct AtHand(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    kept: Vec<Kept>,
    /// How many callers wait for the pool: what comes back is for them.
    waiting: usize,
    /// True while a task looks after what is kept.
    is_watched: bool,
    is_closed: bool,
    /// When a connection was lost for the last time.
    lost_at: Option<Instant>,
}

/// A connection, and when it was taken from the pool.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) connection: PoolConnection<Any>,
    pub(crate) taken: Instant,
}

/// A caller that waits for the pool, while this lives.
pub(crate) struct Waiting<'a>(&'a AtHand);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.lock().waiting -= 1;
    }
}

impl AtHand {
    /// The connection that was used last; where there is none, the caller waits for the pool.
    pub(crate) fn take(&self) -> Result<Kept, Waiting<'_>> {
        let mut state = self.lock();
        if let Some(kept) = state.kept.pop() {
            return Ok(kept);
        }
        state.waiting += 1;
        Err(Waiting(self))
    }

    /// Keeps a connection, unless it has been out for long or somebody waits for it.
    pub(crate) fn give(self: &Arc<Self>, kept: Kept, runtime: &Handle) {
        let mut state = self.lock();
        if state.is_closed || state.waiting > 0 || kept.taken.elapsed() > KEPT_FOR {
            drop(state);
            return go_back(kept.connection, runtime);
        }
        state.kept.push(kept);
        if !std::mem::replace(&mut state.is_watched, true) {
            runtime.spawn(watch(Arc::clone(self)));
        }
    }

    /// A connection was lost: everything goes back to the pool, which asks whether it works.
    pub(crate) fn lose(&self, runtime: &Handle) {
        self.lock().lost_at = Some(Instant::now());
        self.give_back(runtime);
    }

    /// Whether a connection was lost in this time: one that lay in the pool for so long may be lost as well.
    pub(crate) fn was_loss_within(&self, time: Duration) -> bool {
        self.lock().lost_at.is_some_and(|lost_at| lost_at.elapsed() <= time)
    }

    /// Gives everything back to the pool, which asks each connection whether it works.
    fn give_back(&self, runtime: &Handle) {
        let kept = std::mem::take(&mut self.lock().kept);
        for kept in kept {
            go_back(kept.connection, runtime);
        }
    }

    /// Gives everything back to the pool, and keeps nothing from now on.
    pub(crate) fn close(&self, runtime: &Handle) {
        self.lock().is_closed = true;
        self.give_back(runtime);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock panics.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives what lies idle back to the pool, until nothing is left.
async fn watch(at_hand: Arc<AtHand>) {
    let runtime = Handle::current();
    loop {
        tokio::time::sleep(KEPT_FOR).await;
        let idle = {
            let mut state = at_hand.lock();
            state.is_watched = !state.kept.is_empty();
            std::mem::take(&mut state.kept)
        };
        if idle.is_empty() {
            return;
        }
        for kept in idle {
            go_back(kept.connection, &runtime);
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // Without a runtime, the pool cannot take a connection back; closed, it needs none.
        if Handle::try_current().is_err() {
            self.kept.drain(..).for_each(|kept| drop(kept.connection.leak()));
        }
    }
}

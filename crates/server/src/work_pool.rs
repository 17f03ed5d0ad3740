//! Bounded pools for work that takes longer than the reactor can wait: RSA signatures and slow hashes.

use std::num::NonZero;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Failure;
use crate::metrics::PoolMetrics;

/// A number of workers, and a bounded number of places to wait in. What finds no place is refused: load that cannot be
/// carried is shed early, instead of growing a queue that nobody waits for any more.
pub(crate) struct WorkPool {
    /// A permit for each piece of work that is waiting or under way.
    places: Arc<Semaphore>,
    /// A permit for each that is under way.
    workers: Arc<Semaphore>,
    parallelism: usize,
    capacity: usize,
    metrics: PoolMetrics,
}

/// A place in the queue; dropped, it is free again.
pub(crate) struct Place(OwnedSemaphorePermit);

impl WorkPool {
    /// A pool with so many workers, and `waiting` places for each of them.
    pub(crate) fn new(parallelism: NonZero<usize>, waiting: usize, metrics: PoolMetrics) -> Self {
        let parallelism = parallelism.get();
        let capacity = parallelism + parallelism * waiting;
        let (places, workers) = (Arc::new(Semaphore::new(capacity)), Arc::new(Semaphore::new(parallelism)));
        Self { places, workers, parallelism, capacity, metrics }
    }

    /// Takes a place in the queue, for work that must not be refused once something is used up for it.
    ///
    /// # Errors
    /// [`Failure::Busy`] where the queue is full.
    pub(crate) fn reserve(&self) -> Result<Place, Failure> {
        Arc::clone(&self.places).try_acquire_owned().map(Place).map_err(|_| self.refuse())
    }

    /// Does `work` on a thread of its own, when its turn has come. A caller that goes away while it waits leaves the
    /// queue.
    ///
    /// # Errors
    /// [`Failure::Busy`] where the queue is full.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        self.run_in(self.reserve()?, work).await
    }

    /// Does `work` in a place that was reserved.
    ///
    /// # Errors
    /// [`Failure::Defect`] where it panics.
    pub(crate) async fn run_in<T: Send + 'static>(
        &self,
        place: Place,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let queued = Instant::now();
        let Ok(worker) = Arc::clone(&self.workers).acquire_owned().await else {
            return Err(Failure::Busy);
        };
        let wait = self.metrics.wait.clone();
        // The permits go with the work: it goes on without its caller, and keeps its worker until it is done.
        let done = tokio::task::spawn_blocking(move || {
            let _held = (place.0, worker);
            wait.observe(queued.elapsed().as_secs_f64());
            work()
        });
        done.await.map_err(|_| Failure::Defect("work on a pool panicked".to_owned()))
    }

    /// Counts work that is refused.
    pub(crate) fn refuse(&self) -> Failure {
        self.metrics.rejected.inc();
        Failure::Busy
    }

    /// Brings the gauge of waiting work up to date.
    pub(crate) fn measure(&self) {
        let present = self.capacity - self.places.available_permits();
        let waiting = present.saturating_sub(self.parallelism);
        self.metrics.depth.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn work_beyond_the_queue_is_refused_and_what_was_queued_is_done() {
        let metrics = PoolMetrics::default();
        let pool = Arc::new(WorkPool::new(NonZero::<usize>::MIN, 1, metrics.clone()));
        let (release, gate) = mpsc::channel::<()>();
        let first = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.run(move || gate.recv().is_ok()).await }
        });
        let second = tokio::spawn({
            let pool = Arc::clone(&pool);
            async move { pool.run(|| 2).await }
        });
        while pool.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        pool.measure();
        assert_eq!(metrics.depth.get(), 1);
        assert!(matches!(pool.run(|| 3).await, Err(Failure::Busy)));
        assert_eq!(metrics.rejected.get(), 1);
        release.send(()).unwrap();
        assert!(first.await.unwrap().unwrap());
        assert_eq!(second.await.unwrap().unwrap(), 2);
        pool.measure();
        assert_eq!(metrics.depth.get(), 0);
    }

    #[tokio::test]
    async fn a_panic_fails_its_own_caller_and_gives_the_worker_back() {
        let pool = WorkPool::new(NonZero::<usize>::MIN, 0, PoolMetrics::default());
        let panicked = pool.run(|| panic!("expected by this test")).await;
        assert!(matches!(panicked, Err::<(), _>(Failure::Defect(_))));
        assert_eq!(pool.run(|| 1).await.unwrap(), 1);
    }
}

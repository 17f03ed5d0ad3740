//! Running reconcilers step by step: to stop them anywhere, as a crash does, and to let two of them take turns.

use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

/// How long one of two waits for the other before that one goes on, should it hold what the first one needs.
const PATIENCE: Duration = Duration::from_millis(20);

/// Lets a future go one step; `None` where it is not done.
pub async fn step<T>(mut future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Option<T> {
    let mut went = false;
    std::future::poll_fn(|context| {
        if went {
            return Poll::Ready(None);
        }
        went = true;
        // What is pending wakes this, and so hands back before the next step.
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// Runs a future until `dies` says that it is dead, and drops it then. `None` where that was before its end.
pub async fn until<T>(future: impl Future<Output = T>, mut dies: impl AsyncFnMut() -> bool) -> Option<T> {
    let mut future = pin!(future);
    loop {
        if dies().await {
            return None;
        }
        if let Some(done) = step(future.as_mut()).await {
            return Some(done);
        }
    }
}

/// Runs two futures to their ends; `first` says each time whether the first one is the next to go.
pub async fn interleaved<A, B>(
    a: impl Future<Output = A>,
    b: impl Future<Output = B>,
    mut first: impl FnMut() -> bool,
) -> (A, B) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut done_a, mut done_b) = (None, None);
    loop {
        match (first(), done_a.is_some(), done_b.is_some()) {
            (_, true, true) => break,
            (true, false, _) | (false, false, true) => done_a = patiently(step(a.as_mut())).await,
            _ => done_b = patiently(step(b.as_mut())).await,
        }
    }
    (done_a.unwrap(), done_b.unwrap())
}

async fn patiently<T>(step: impl Future<Output = Option<T>>) -> Option<T> {
    tokio::time::timeout(PATIENCE, step).await.ok().flatten()
}

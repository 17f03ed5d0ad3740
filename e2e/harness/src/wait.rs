//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// Asks again and again until `condition` holds, for at most half a minute.
///
/// # Panics
/// Where it does not hold by then, naming `what`.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition().await {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

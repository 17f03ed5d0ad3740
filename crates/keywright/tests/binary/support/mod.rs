//! What the tests share.

pub mod browser;
pub mod collector;
pub mod dev;
pub mod late_proxy;
pub mod logins;
pub mod ports;
pub mod process;
pub mod server;

use std::time::{Duration, Instant};

pub use browser::Browser;
pub use collector::Collector;
pub use dev::Dev;
pub use harness::eventually;
pub use late_proxy::LateProxy;
pub use ports::free_port;
pub use process::{Process, run};
pub use server::Server;

/// How soon a change of a file must take effect.
pub const AT_ONCE: Duration = Duration::from_secs(if cfg!(debug_assertions) { 2 } else { 1 });

/// Waits until `condition` holds.
///
/// # Panics
/// Where that takes longer than [`AT_ONCE`].
pub async fn at_once<F: Future<Output = bool>>(what: &str, condition: impl FnMut() -> F) {
    let begin = Instant::now();
    eventually(what, condition).await;
    let took = begin.elapsed();
    assert!(took < AT_ONCE, "{what}: only after {took:?}");
}

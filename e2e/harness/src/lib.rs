//! What the tests of several crates share: databases to test on, and ways to wait.

pub mod database;
pub mod wait;

pub use database::TestDatabase;
pub use wait::eventually;

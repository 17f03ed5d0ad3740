//! What the tests of several crates share: databases to test on, one of an Ory Hydra, an API server, and ways to wait.

pub mod cluster;
pub mod database;
pub mod hydra;
pub mod postgres;
pub mod wait;

pub use cluster::TestCluster;
pub use database::TestDatabase;
pub use hydra::TestHydra;
pub use postgres::{TestPostgres, TestReplica};
pub use wait::eventually;

//! The operator on a real API server: each test has a namespace, an instance and a database of its own.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "helpers of tests are not seen as tests"
)]

mod log;
mod proxy;
mod resource;
mod webhook;
mod world;

mod admission;
mod api_server_away;
mod clients;
mod conflicts;
mod database_away;
mod deletion;
mod drift;
mod exports;
mod guardrails;
mod idle;
mod interrupted;
mod key_sets;
mod kubectl;
mod leases;
mod maester;
mod objects;
mod refusals;
mod restored;
mod rights;
mod rotation;
mod scopes;
mod secrets;
mod sweeps;
mod wars;

//! The operator on a real API server: each test has a namespace, an instance and a database of its own.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "helpers of tests are not seen as tests"
)]

mod api_proxy;
mod log;
mod proxy;
mod resource;
mod unmanaged;
mod webhook;
mod world;

mod absences;
mod admission;
mod adoption;
mod api_server_away;
mod clients;
mod conflicts;
mod database_away;
mod database_faults;
mod definitions;
mod deletion;
mod drift;
mod exports;
mod folder;
mod garbage;
mod guardrails;
mod idle;
mod interrupted;
mod key_sets;
mod kubectl;
mod leases;
mod maester;
mod many;
mod objects;
mod refusals;
mod restarted;
mod restored;
mod rights;
mod rotation;
mod scopes;
mod secrets;
mod storms;
mod sweeps;
mod wars;

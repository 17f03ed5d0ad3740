//! The parts of the `keywright` binary: command line, configuration, wiring. What the product does is in the crates
//! below it.
//!
//! ```text
//!  cli ─▶ commands ─▶ config ─▶ wiring ─▶ store, server, operator
//! ```

mod certificate;
pub mod cli;
pub mod commands;
pub mod config;
mod file_watch;
mod open_files;
mod probes;
mod reload;
mod shutdown;
mod socket_owner;
mod telemetry;
mod traces;
mod wiring;

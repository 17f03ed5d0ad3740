//! The parts of the `keywright` binary: command line, configuration, wiring. What the product does is in the crates
//! below it.
//!
//! ```text
//!  cli ─▶ commands ─▶ config ─▶ wiring ─▶ store, server, operator
//! ```

pub mod cli;
pub mod commands;
pub mod config;
mod open_files;
mod probes;
mod shutdown;
mod telemetry;
mod wiring;

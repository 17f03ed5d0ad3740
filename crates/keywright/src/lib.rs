//! The parts of the `keywright` binary.

pub mod config;

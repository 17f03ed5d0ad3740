//! What is declared on a real API server, served: an operator and servers on one database.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

#[path = "../common/mod.rs"]
mod common;
mod operated;

mod clients;
mod imported;
mod key_sets;

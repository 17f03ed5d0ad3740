//! The commands that ask a running server.

mod clients;
mod connection;
mod output;
mod tokens;

pub(super) use clients::{create, delete, get, import, list, update};
pub(super) use tokens::{introspect, perform, revoke};

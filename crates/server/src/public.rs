//! The endpoints of the public API.

pub(crate) mod discovery;
pub(crate) mod jwks;
pub(crate) mod revoke;
pub(crate) mod token;

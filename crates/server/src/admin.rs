//! The endpoints of the admin API.

pub(crate) mod introspect;
pub(crate) mod version;

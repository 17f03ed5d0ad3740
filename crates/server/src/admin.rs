//! The endpoints of the admin API.

pub(crate) mod clients;
pub(crate) mod consent_request;
pub(crate) mod consent_sessions;
pub(crate) mod device_request;
pub(crate) mod interaction;
pub(crate) mod introspect;
pub(crate) mod keys;
pub(crate) mod login_request;
pub(crate) mod logout_request;
mod paging;
pub(crate) mod sessions;
pub(crate) mod trusted_issuers;
pub(crate) mod version;

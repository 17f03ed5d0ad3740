//! Pure decisions: what was gathered in, actions and a status out.

pub mod client;
pub mod client_id;
pub mod client_metadata;
mod client_secret;
pub mod client_status;
pub mod export;
pub mod key_set;
pub mod key_set_status;
pub mod lease;
pub mod maester;
pub mod rotation;
pub mod secret;
pub mod sweep;

#[cfg(test)]
mod scene;

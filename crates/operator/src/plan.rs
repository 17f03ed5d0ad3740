//! Pure decisions: what was gathered in, actions and a status out.

pub mod client;
pub mod client_metadata;
mod client_secret;
pub mod client_status;
pub mod key_set;
pub mod key_set_status;
pub mod rotation;
pub mod secret;

#[cfg(test)]
mod scene;

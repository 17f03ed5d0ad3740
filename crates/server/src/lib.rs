//! Keywright over HTTP: the public API, the admin API, health and metrics.
//!
//! Handlers are thin; each goes the same way:
//!
//! ```text
//!  listener ─▶ router ─▶ observe ─▶ handler: gather    form, credentials, client       form, authenticate ─▶ store
//!  (sockets,   (paths)   (id, log,           decide    allowed or refused              oauth
//!   limits)               metrics)           apply     a signature or one statement    work_pool, store
//!                                            answer    JSON in Hydra's form            answer, error
//! ```
//!
//! * [`Server`] is what requests need: the database, the settings, the pools for slow work.
//! * [`Server::public_router`] and [`Server::admin_router`] are the two APIs; [`serve`] runs one on a socket.
//! * [`Server::maintain`] turns unattended keys, forgets what has expired, and tells clients and the identity
//!   provider of logouts.
//!
//! Which status an error has is known to `error` alone; where this server differs from Ory Hydra on purpose is listed
//! in `docs/deviations.md`.

mod admin;
mod answer;
mod authenticate;
mod authorization_times;
mod backchannel_logout;
mod browser_flow;
mod browser_request;
mod browser_session;
mod client_address;
mod client_keys;
mod cookies;
mod cors;
mod demonstration_users;
mod device_polls;
mod documents;
mod error;
mod fair_shares;
mod form;
mod grant_row;
mod head_deadline;
mod health;
mod hooks;
mod id_token_hint;
mod identity_provider;
mod introspection;
mod issue;
mod json_body;
mod listener;
mod lost_answer;
mod maintenance;
mod metrics;
mod not_found;
mod observe;
#[cfg(test)]
mod openapi;
mod outbound;
mod page_urls;
mod pages;
mod presented_token;
mod public;
mod recent;
mod remote_keys;
mod request_id;
mod request_url;
mod router;
mod sealed_value;
mod sector_identifier;
mod settings;
mod state;
mod tls;
mod tls_termination;
mod traces;
mod unix_socket;
mod unproven_rows;
mod user_code_attempts;
mod user_code_entry;
mod verified_secrets;
mod work_pool;

pub use ::cookie::SameSite;
pub use authorization_times::AuthorizationTimes;
pub use cookies::CookieSettings;
pub use cors::{Cors, OriginPattern, OriginPatternError};
pub use demonstration_users::{DemonstrationUser, DemonstrationUsers, PasswordError, PasswordHash};
pub use hooks::{Hook, HookKeyPlace, Hooks, InvalidHookKey};
pub use identity_provider::{IdentityProvider, InvalidProviderHeader, ProviderHeaders};
pub use listener::{Endpoint, ListenerLimits, serve};
pub use metrics::Metrics;
pub use outbound::{OutboundError, OutboundPolicy};
pub use page_urls::PageUrls;
pub use settings::{ApiSettings, Settings};
pub use state::Server;
pub use tls::{Tls, TlsIdentity, TlsIdentityError};
pub use traces::RequestTracer;
pub use unix_socket::{SocketAccess, UnixSocket};

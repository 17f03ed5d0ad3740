//! OAuth 2.0 and OpenID Connect as pure functions and types.
//!
//! Nothing here does I/O, reads a clock or draws a random number: time and randomness come in as arguments.
//! A request takes this way through the crate:
//!
//! ```text
//!  body ─▶ Form ─▶ PresentedCredentials ─▶ Client::check_method, ClientSecretHash::verify
//!                └▶ client_credentials::decide ─▶ Issue ─▶ AccessToken::seal  (opaque)
//!                                                      └─▶ jwt_access_token::claims (JWT, signed by `jose`)
//!  token ─▶ AccessToken::open ─▶ introspect::decide / revoke::decide
//! ```
//!
//! What is decided comes back as a value or as an [`Error`] with its RFC 6749 code; which HTTP status that is, the
//! server knows.

pub mod access_token;
pub mod audience;
pub mod client;
pub mod client_credentials;
pub mod client_id;
pub mod client_secret;
pub mod credentials;
pub mod discovery;
pub mod error;
pub mod form;
pub mod go_duration;
pub mod grant_id;
pub mod grant_type;
pub mod introspect;
pub mod issuer;
pub mod jwt_access_token;
pub mod lifespan;
pub mod redirect_uri;
pub mod revoke;
pub mod scope;
pub mod session_id;

pub use access_token::{AccessToken, TokenId};
pub use audience::Audience;
pub use client::{AccessTokenStrategy, Client, ClientMetadata, Incarnation, TokenEndpointAuthMethod};
pub use client_id::ClientId;
pub use client_secret::{ClientSecret, ClientSecretHash};
pub use credentials::PresentedCredentials;
pub use error::{Error, ErrorCode};
pub use form::Form;
pub use grant_id::GrantId;
pub use grant_type::GrantType;
pub use issuer::Issuer;
pub use lifespan::{Lifespans, Lifetimes};
pub use redirect_uri::RedirectUri;
pub use scope::{Scope, ScopeSet, ScopeStrategy};
pub use session_id::SessionId;

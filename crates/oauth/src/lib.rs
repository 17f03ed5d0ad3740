//! OAuth 2.0 and OpenID Connect as pure functions and types.
//!
//! Nothing here does I/O, reads a clock or draws a random number: time and randomness come in as arguments.
//! A request takes this way through the crate:
//!
//! ```text
//!  body ─▶ Form ─▶ PresentedCredentials ─▶ Client::check_method, ClientSecretHash::verify
//!                │                          └▶ ClientAssertion::check, signed with RegisteredKeys (or those of a URL)
//!                └▶ client_credentials::decide ─▶ Issue ─▶ AccessToken::seal  (opaque)
//!                                                      └─▶ jwt_access_token::claims (JWT, signed by `jose`)
//!  token ─▶ AccessToken::open ─▶ AccessToken::meaning ─▶ introspect::answer / revoke::decide
//! ```
//!
//! An authorization flow takes this one; what stands in brackets travels through the browser, sealed:
//!
//! ```text
//!  query ─▶ AuthorizationRequest::parse ─▶ LoginChallenge::decide ─▶ [LoginChallenge]   ─▶ accept ─▶ [LoginVerifier]
//!        ─▶ login::check ─▶ consent::need                         ─▶ [ConsentChallenge] ─▶ accept ─▶ [ConsentVerifier]
//!        ─▶ Grant ─▶ [AuthorizationCode] ─▶ check ─▶ AccessToken, RefreshToken, IdToken
//! ```
//!
//! What is decided comes back as a value or as an [`Error`] with its RFC 6749 code; which HTTP status that is, the
//! server knows.

pub mod access_token;
pub mod assertion;
pub mod audience;
pub mod authorization_code;
pub mod authorization_request;
pub mod authorization_response;
pub mod claims_request;
pub mod client;
pub mod client_assertion;
pub mod client_credentials;
pub mod client_id;
pub mod client_metadata;
pub mod client_object;
pub mod client_registration;
pub mod client_secret;
pub mod consent;
pub mod credentials;
pub mod denial;
pub mod device_authorization;
pub mod discovery;
pub mod error;
pub mod flow;
pub mod form;
pub mod go_duration;
pub mod grant;
pub mod grant_id;
pub mod grant_type;
pub mod id_token;
pub mod identity_provider_session;
pub mod imported_hash;
pub mod imported_token;
pub mod introspect;
pub mod issuer;
pub mod jwt_access_token;
pub mod jwt_bearer;
pub mod lifespan;
pub mod login;
pub mod logout;
pub mod logout_token;
pub mod logout_uri;
mod null_as_default;
pub mod page_token;
pub mod pkce;
pub mod prompt;
pub mod redirect_uri;
pub mod refresh_token;
pub mod registered_keys;
pub mod registration_token;
pub mod request_object;
mod requested;
pub mod response_mode;
pub mod response_type;
pub mod revoke;
pub mod scope;
mod sealed;
pub mod session_id;
pub mod standard_claims;
pub mod subject_identifier;
pub mod token_hook;
pub mod trusted_issuer;
pub mod user_code;
pub mod wanted_user;
pub mod web_url;

pub use access_token::{AccessToken, TokenId};
pub use assertion::AssertionId;
pub use audience::Audience;
pub use client::{Client, Incarnation};
pub use client_assertion::ClientAssertion;
pub use client_id::ClientId;
pub use client_metadata::{AccessTokenStrategy, ClientMetadata, TokenEndpointAuthMethod};
pub use client_object::ClientObject;
pub use client_registration::ClientRegistration;
pub use client_secret::{ClientSecret, ClientSecretHash};
pub use credentials::{Credential, PresentedCredentials};
pub use error::{Error, ErrorCode};
pub use form::Form;
pub use grant_id::GrantId;
pub use grant_type::GrantType;
pub use identity_provider_session::IdentityProviderSessionId;
pub use imported_hash::ImportedHash;
pub use imported_token::{HydraToken, ImportedToken};
pub use issuer::Issuer;
pub use lifespan::{Lifespans, Lifetimes};
pub use logout_uri::LogoutUri;
pub use null_as_default::null_as_default;
pub use page_token::PageToken;
pub use redirect_uri::RedirectUri;
pub use registered_keys::RegisteredKeys;
pub use registration_token::RegistrationToken;
pub use response_type::ResponseType;
pub use scope::{Scope, ScopeSet, ScopeStrategy};
pub use session_id::SessionId;
pub use subject_identifier::{ClientSubjects, SubjectType, SubjectTypes};
pub use trusted_issuer::TrustedIssuer;
pub use user_code::{UserCode, UserCodeFormat};
pub use web_url::WebUrl;

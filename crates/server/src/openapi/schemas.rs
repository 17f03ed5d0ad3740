//! The types of requests and answers that have no type of their own in this crate, as they are described.
#![expect(dead_code, reason = "they are described, and never made")]
#![expect(clippy::struct_field_names, reason = "the members of Hydra's API")]

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde_json::{Map, Value};

/// An error (RFC 6749 §5.2).
#[derive(JsonSchema)]
#[schemars(rename = "errorOAuth2")]
pub(crate) struct ErrorOAuth2 {
    /// Its code, or a sentence of the admin API.
    error: String,
    /// What is wrong, and with what.
    error_description: String,
    /// Of a login or consent that took too long: the URL that begins it anew.
    redirect_to: Option<String>,
}

/// A client: as it is registered, and as it is shown (RFC 7591 §2 and Hydra's own members).
#[derive(JsonSchema)]
#[schemars(rename = "oAuth2Client")]
pub(crate) struct Client {
    client_id: Option<String>,
    client_name: Option<String>,
    /// Told once: to whoever created or rotated it.
    client_secret: Option<String>,
    redirect_uris: Option<Vec<String>>,
    grant_types: Option<Vec<String>>,
    response_types: Option<Vec<String>>,
    /// Scopes, with spaces between them.
    scope: Option<String>,
    audience: Option<Vec<String>>,
    owner: Option<String>,
    policy_uri: Option<String>,
    allowed_cors_origins: Option<Vec<String>>,
    tos_uri: Option<String>,
    client_uri: Option<String>,
    logo_uri: Option<String>,
    contacts: Option<Vec<String>>,
    /// Always 0: never.
    client_secret_expires_at: Option<i64>,
    subject_type: Option<String>,
    sector_identifier_uri: Option<String>,
    jwks_uri: Option<String>,
    jwks: Option<JsonWebKeySet>,
    token_endpoint_auth_method: Option<String>,
    token_endpoint_auth_signing_alg: Option<String>,
    request_uris: Option<Vec<String>>,
    request_object_signing_alg: Option<String>,
    userinfo_signed_response_alg: Option<String>,
    id_token_signed_response_alg: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    created_at: Option<String>,
    #[schemars(extend("format" = "date-time"))]
    updated_at: Option<String>,
    frontchannel_logout_uri: Option<String>,
    frontchannel_logout_session_required: Option<bool>,
    post_logout_redirect_uris: Option<Vec<String>>,
    backchannel_logout_uri: Option<String>,
    backchannel_logout_session_required: Option<bool>,
    /// Whatever the administrator notes.
    metadata: Option<Value>,
    /// Lets the client manage its own registration; told when it is made.
    registration_access_token: Option<String>,
    registration_client_uri: Option<String>,
    /// `opaque` or `jwt`.
    access_token_strategy: Option<String>,
    skip_consent: Option<bool>,
    skip_logout_consent: Option<bool>,
    #[schemars(flatten)]
    lifespans: Lifespans,
}

/// A client's own token lifetimes, as Go writes durations (`1h30m`).
#[derive(JsonSchema)]
#[schemars(rename = "oAuth2ClientTokenLifespans")]
pub(crate) struct Lifespans {
    authorization_code_grant_access_token_lifespan: Option<String>,
    authorization_code_grant_id_token_lifespan: Option<String>,
    authorization_code_grant_refresh_token_lifespan: Option<String>,
    client_credentials_grant_access_token_lifespan: Option<String>,
    implicit_grant_access_token_lifespan: Option<String>,
    implicit_grant_id_token_lifespan: Option<String>,
    jwt_bearer_grant_access_token_lifespan: Option<String>,
    refresh_token_grant_id_token_lifespan: Option<String>,
    refresh_token_grant_access_token_lifespan: Option<String>,
    refresh_token_grant_refresh_token_lifespan: Option<String>,
    device_authorization_grant_id_token_lifespan: Option<String>,
    device_authorization_grant_access_token_lifespan: Option<String>,
    device_authorization_grant_refresh_token_lifespan: Option<String>,
}

/// One operation of a JSON patch (RFC 6902).
#[derive(JsonSchema)]
#[schemars(rename = "jsonPatch")]
pub(crate) struct JsonPatch {
    op: String,
    path: String,
    from: Option<String>,
    value: Option<Value>,
}

/// A JWK Set (RFC 7517 §5).
#[derive(JsonSchema)]
#[schemars(rename = "jsonWebKeySet")]
pub(crate) struct JsonWebKeySet {
    keys: Option<Vec<JsonWebKey>>,
}

/// A JWK (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
#[derive(JsonSchema)]
#[schemars(rename = "jsonWebKey")]
pub(crate) struct JsonWebKey {
    kty: String,
    #[schemars(rename = "use")]
    key_use: Option<String>,
    alg: String,
    kid: String,
    n: Option<String>,
    e: Option<String>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<String>,
    p: Option<String>,
    q: Option<String>,
    dp: Option<String>,
    dq: Option<String>,
    qi: Option<String>,
}

/// A request for tokens: what the grant type needs of this.
#[derive(JsonSchema)]
#[schemars(rename = "oAuth2TokenRequest")]
pub(crate) struct TokenRequest {
    grant_type: String,
    code: Option<String>,
    redirect_uri: Option<String>,
    code_verifier: Option<String>,
    refresh_token: Option<String>,
    device_code: Option<String>,
    scope: Option<String>,
    audience: Option<String>,
    /// For the JWT bearer grant: what the issuer signed (RFC 7523 §2.1).
    assertion: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    client_assertion_type: Option<String>,
    /// What the client signed, where it authenticates by private_key_jwt (RFC 7523 §2.2).
    client_assertion: Option<String>,
}

/// An issuer that is to be trusted: for one subject, or for any.
#[derive(JsonSchema)]
#[schemars(rename = "trustOAuth2JwtGrantIssuer")]
pub(crate) struct TrustIssuer {
    issuer: String,
    subject: Option<String>,
    allow_any_subject: Option<bool>,
    scope: Option<Vec<String>>,
    /// Its public key, which has a kid.
    jwk: JsonWebKey,
    #[schemars(extend("format" = "date-time"))]
    expires_at: String,
}

/// An issuer that is trusted.
#[derive(JsonSchema)]
#[schemars(rename = "trustedOAuth2JwtGrantIssuer")]
pub(crate) struct TrustedIssuer {
    id: String,
    issuer: String,
    /// Empty where it is trusted for any.
    subject: String,
    allow_any_subject: bool,
    scope: Vec<String>,
    public_key: TrustedKey,
    #[schemars(extend("format" = "date-time"))]
    created_at: String,
    #[schemars(extend("format" = "date-time"))]
    expires_at: String,
}

/// The names of a trusted issuer's key.
#[derive(JsonSchema)]
#[schemars(rename = "trustedOAuth2JwtGrantJsonWebKey")]
pub(crate) struct TrustedKey {
    set: String,
    kid: String,
}

/// What a device asks for (RFC 8628 §3.1).
#[derive(JsonSchema)]
#[schemars(rename = "deviceAuthorizationRequest")]
pub(crate) struct DeviceAuthorizationRequest {
    scope: Option<String>,
    audience: Option<String>,
    client_id: Option<String>,
    client_secret: Option<String>,
    client_assertion_type: Option<String>,
    /// What the client signed, where it authenticates by private_key_jwt (RFC 7523 §2.2).
    client_assertion: Option<String>,
}

/// A device's codes (RFC 8628 §3.2).
#[derive(JsonSchema)]
#[schemars(rename = "deviceAuthorization")]
pub(crate) struct DeviceAuthorization {
    device_code: String,
    /// In seconds.
    expires_in: i64,
    /// In seconds: how often the device may ask for tokens.
    interval: i64,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: String,
}

/// A user code, from the page of this server.
#[derive(JsonSchema)]
#[schemars(rename = "userCodeForm")]
pub(crate) struct UserCodeForm {
    device_challenge: String,
    user_code: String,
}

/// Tokens (RFC 6749 §5.1).
#[derive(JsonSchema)]
#[schemars(rename = "oAuth2TokenExchange")]
pub(crate) struct TokenAnswer {
    access_token: String,
    /// In seconds.
    expires_in: i64,
    id_token: Option<String>,
    refresh_token: Option<String>,
    scope: String,
    token_type: String,
}

/// A token, in a form.
#[derive(JsonSchema)]
#[schemars(rename = "tokenForm")]
pub(crate) struct TokenForm {
    token: String,
    /// At introspection: the scopes that the token must have.
    scope: Option<String>,
    /// At revocation, where the client does not authenticate by HTTP Basic.
    client_id: Option<String>,
    client_secret: Option<String>,
}

/// What a token means (RFC 7662 §2.2).
#[derive(JsonSchema)]
#[schemars(rename = "introspectedOAuth2Token")]
pub(crate) struct Introspection {
    active: bool,
    aud: Option<Vec<String>>,
    client_id: Option<String>,
    exp: Option<i64>,
    ext: Option<Map<String, Value>>,
    iat: Option<i64>,
    iss: Option<String>,
    nbf: Option<i64>,
    scope: Option<String>,
    sub: Option<String>,
    token_type: Option<String>,
    token_use: Option<String>,
}

/// What the login app says of a user.
#[derive(JsonSchema)]
#[schemars(rename = "acceptOAuth2LoginRequest")]
pub(crate) struct AcceptLogin {
    subject: String,
    remember: Option<bool>,
    /// In seconds; 0 means as long as the server's configuration says.
    remember_for: Option<i64>,
    extend_session_lifespan: Option<bool>,
    acr: Option<String>,
    amr: Option<Vec<String>>,
    /// For the consent app.
    context: Option<Value>,
    force_subject_identifier: Option<String>,
    identity_provider_session_id: Option<String>,
}

/// What the consent app says of a request.
#[derive(JsonSchema)]
#[schemars(rename = "acceptOAuth2ConsentRequest")]
pub(crate) struct AcceptConsent {
    grant_scope: Option<Vec<String>>,
    grant_access_token_audience: Option<Vec<String>>,
    session: Option<ConsentClaims>,
    remember: Option<bool>,
    /// In seconds; 0 means for ever.
    remember_for: Option<i64>,
    context: Option<Value>,
}

/// The claims that the consent app adds.
#[derive(JsonSchema)]
#[schemars(rename = "acceptOAuth2ConsentRequestSession")]
pub(crate) struct ConsentClaims {
    access_token: Option<Value>,
    id_token: Option<Value>,
}

/// The error that the client is told.
#[derive(JsonSchema)]
#[schemars(rename = "rejectOAuth2Request")]
pub(crate) struct Reject {
    error: Option<String>,
    error_description: Option<String>,
    error_hint: Option<String>,
    error_debug: Option<String>,
    status_code: Option<i64>,
}

/// The user code whose device is refused, and the error that the user is told.
#[derive(JsonSchema)]
#[schemars(rename = "rejectUserCodeRequest")]
pub(crate) struct RejectUserCode {
    user_code: String,
    #[schemars(flatten)]
    rejection: Reject,
}

/// What this server does (OpenID Connect Discovery §3, RFC 8414 §2). More members are there where they say something.
#[derive(JsonSchema)]
#[schemars(rename = "oidcConfiguration")]
pub(crate) struct DiscoveryDocument {
    issuer: String,
    authorization_endpoint: String,
    device_authorization_endpoint: Option<String>,
    token_endpoint: String,
    userinfo_endpoint: Option<String>,
    jwks_uri: String,
    registration_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    introspection_endpoint: Option<String>,
    end_session_endpoint: Option<String>,
    response_types_supported: Vec<String>,
    grant_types_supported: Option<Vec<String>>,
    subject_types_supported: Vec<String>,
    id_token_signing_alg_values_supported: Vec<String>,
    id_token_signed_response_alg: Vec<String>,
    userinfo_signed_response_alg: Vec<String>,
    scopes_supported: Option<Vec<String>>,
    claims_supported: Option<Vec<String>>,
    code_challenge_methods_supported: Option<Vec<String>>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[schemars(flatten)]
    more: BTreeMap<String, Value>,
}

/// The user's claims (OpenID Connect Core §5.3.2).
#[derive(JsonSchema)]
#[schemars(rename = "oidcUserInfo")]
pub(crate) struct UserInfo {
    sub: String,
    #[schemars(flatten)]
    claims: BTreeMap<String, Value>,
}

/// The version.
#[derive(JsonSchema)]
#[schemars(rename = "version")]
pub(crate) struct VersionAnswer {
    version: String,
}

/// How the server is.
#[derive(JsonSchema)]
#[schemars(rename = "healthStatus")]
pub(crate) struct Health {
    /// `ok`.
    status: Option<String>,
    /// What stands in the way, by the part at fault.
    errors: Option<BTreeMap<String, String>>,
}

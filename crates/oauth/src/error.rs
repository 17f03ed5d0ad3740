//! The error of every decision: an RFC 6749 code and a sentence for the developer of the client.

use std::borrow::Cow;
use std::fmt;

/// The `error` member of an error response (RFC 6749 §4.1.2.1 and §5.2, RFC 7009 §2.2.1, RFC 6750 §3.1, OpenID Connect
/// Core §3.1.2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The request lacks a parameter, repeats one, or is malformed.
    InvalidRequest,
    /// Client authentication failed.
    InvalidClient,
    /// The grant or token that was presented is invalid, expired, or another client's.
    InvalidGrant,
    /// The client may not use this grant type or response type.
    UnauthorizedClient,
    /// The user or the server refused (RFC 6749 §4.1.2.1).
    AccessDenied,
    /// The client may not ask for this response type, or nobody may.
    UnsupportedResponseType,
    /// No response can be given in this way.
    UnsupportedResponseMode,
    /// The `state` is too short to protect anything (Hydra).
    InvalidState,
    /// The `nonce` is too short to protect anything (Hydra).
    InsufficientEntropy,
    /// Nobody is logged in, and the client asked not to show a login page (OpenID Connect Core §3.1.2.6).
    LoginRequired,
    /// The user has not consented, and the client asked not to show a consent page.
    ConsentRequired,
    /// The login is of none of the authentication contexts that the client says are essential (OpenID Connect Core Error
    /// Code unmet_authentication_requirements 1.0).
    UnmetAuthenticationRequirements,
    /// Request objects are not supported.
    RequestNotSupported,
    /// Request objects by reference are not supported.
    RequestUriNotSupported,
    /// A `request_uri` is not registered, leads nowhere, or not to what it names (OpenID Connect Core §3.1.2.6).
    InvalidRequestUri,
    /// A request object is malformed, or not signed as its client's are (OpenID Connect Core §3.1.2.6).
    InvalidRequestObject,
    /// An assertion was used before (Hydra).
    JtiKnown,
    /// A document lacks a member, or has two that exclude each other (Hydra's code for trusted issuers).
    MissingRequiredParameter,
    /// Registration within an authorization request is not supported.
    RegistrationNotSupported,
    /// The request is not from the browser in which the flow began (Hydra).
    RequestForbidden,
    /// A token is missing, or not live (Hydra's code at `/userinfo`).
    RequestUnauthorized,
    /// There is no such thing (Hydra).
    NotFound,
    /// Nobody has decided about the device yet (RFC 8628 §3.5).
    AuthorizationPending,
    /// The same, and the device asks too often (RFC 8628 §3.5).
    SlowDown,
    /// The device code has expired (RFC 8628 §3.5).
    ExpiredToken,
    /// Somebody tries too often.
    TooManyRequests,
    /// The server does not know this grant type.
    UnsupportedGrantType,
    /// A scope is unknown, malformed, or not allowed for the client.
    InvalidScope,
    /// A `resource` is malformed, or not allowed for the client (RFC 8707 §2).
    InvalidTarget,
    /// The server failed.
    ServerError,
    /// The server is overloaded or its database is away; trying again later may help.
    TemporarilyUnavailable,
    /// A member of a client's document is malformed, or not allowed (RFC 7591 §3.2.2).
    InvalidClientMetadata,
    /// A redirect URI of a client's document is none (RFC 7591 §3.2.2).
    InvalidRedirectUri,
}

impl ErrorCode {
    /// The code as it goes on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::AccessDenied => "access_denied",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::UnsupportedResponseMode => "unsupported_response_mode",
            Self::InvalidState => "invalid_state",
            Self::InsufficientEntropy => "insufficient_entropy",
            Self::LoginRequired => "login_required",
            Self::ConsentRequired => "consent_required",
            Self::UnmetAuthenticationRequirements => "unmet_authentication_requirements",
            Self::RequestNotSupported => "request_not_supported",
            Self::RequestUriNotSupported => "request_uri_not_supported",
            Self::InvalidRequestUri => "invalid_request_uri",
            Self::InvalidRequestObject => "invalid_request_object",
            Self::JtiKnown => "jti_known",
            Self::MissingRequiredParameter => "missing_required_parameter",
            Self::RegistrationNotSupported => "registration_not_supported",
            Self::RequestForbidden => "request_forbidden",
            Self::RequestUnauthorized => "request_unauthorized",
            Self::NotFound => "not_found",
            Self::AuthorizationPending => "authorization_pending",
            Self::SlowDown => "slow_down",
            Self::ExpiredToken => "expired_token",
            Self::TooManyRequests => "too_many_requests",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::ServerError => "server_error",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::InvalidClientMetadata => "invalid_client_metadata",
            Self::InvalidRedirectUri => "invalid_redirect_uri",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An error response: its code, and a description that names the parameter or setting at fault.
///
/// The description never holds a secret, a token, or anything else that authenticates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {description}")]
pub struct Error {
    /// The machine-readable code.
    pub code: ErrorCode,
    /// The `error_description` (RFC 6749 §5.2): printable ASCII without `"` and `\`.
    pub description: Cow<'static, str>,
}

impl Error {
    /// An error with a description; what RFC 6749 §5.2 does not allow in one is replaced.
    pub fn new(code: ErrorCode, description: impl Into<Cow<'static, str>>) -> Self {
        Self { code, description: printable(description.into()) }
    }

    /// `invalid_request` with a description.
    pub fn invalid_request(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::InvalidRequest, description)
    }

    /// `invalid_grant` with a description.
    pub fn invalid_grant(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::InvalidGrant, description)
    }

    /// `invalid_client` with a description.
    pub fn invalid_client(description: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::InvalidClient, description)
    }
}

/// RFC 6749 §5.2 allows %x20-21 / %x23-5B / %x5D-7E; `"` becomes `'`, anything else `?`.
fn printable(text: Cow<'static, str>) -> Cow<'static, str> {
    let allowed = |c: char| matches!(c, ' '..='~') && c != '"' && c != '\\';
    if text.chars().all(allowed) {
        return text;
    }
    let replace = |c: char| match c {
        '"' => '\'',
        c if allowed(c) => c,
        _ => '?',
    };
    Cow::Owned(text.chars().map(replace).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_holds_only_what_rfc_6749_allows() {
        let error = Error::invalid_request("a \"b\" \\ ü\n");
        assert_eq!(error.description, "a 'b' ? ??");
    }
}

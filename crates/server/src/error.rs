//! Why a request fails, and how that is answered. Nothing else in this crate knows an error's status.

mod refusal;

use axum::response::Response;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use oauth::ErrorCode;
use serde::Serialize;

use crate::{Settings, answer};

pub(crate) use self::refusal::Refusal;

/// Why a request fails, by what the server does about it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The protocol refuses it.
    #[error(transparent)]
    Refused(#[from] oauth::Error),
    /// The admin API refuses it, in words of its own.
    #[error("{}", .0.description())]
    Plain(Refusal),
    /// Its body is larger than the server reads.
    #[error("the request body is larger than {} bytes", crate::form::BODY_LIMIT)]
    TooLarge,
    /// It was not there, or not answered, in time.
    #[error("the request took too long")]
    TooSlow,
    /// TLS is required, and the request did not come by it.
    #[error("the request did not come by TLS: {0}")]
    NotByTls(&'static str),
    /// More slow work waits already than can be done soon.
    #[error("too much work is waiting")]
    Busy,
    /// The token key sets are not there yet.
    #[error("no key is there to sign with")]
    NoSigningKey,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A login or consent took too long. The URL begins it anew.
    #[error("the request has expired, please try again")]
    Expired {
        /// The client's request.
        restart: String,
    },
    /// A hook that the configuration names refuses the token.
    #[error("the token hook refuses this token")]
    HookRefuses,
    /// A hook that the configuration names does not do its part.
    #[error("the hook of {setting} failed: {why}")]
    Hook {
        /// The setting that names it.
        setting: &'static str,
        /// What it did, without what it was sent or said.
        why: String,
    },
    /// The server itself failed.
    #[error("{0}")]
    Defect(String),
}

/// Whether the request used its `Authorization` header: then a 401 names the scheme to use in it (RFC 6749 §5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// It did.
    Basic,
    /// It was to hold a token (RFC 6750 §3).
    Bearer,
    /// It did not.
    None,
}

/// An error response (RFC 6749 §5.2).
#[derive(Serialize)]
struct Body<'a> {
    error: &'a str,
    error_description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect_to: Option<&'a str>,
}

impl Failure {
    /// The `error` member of the answer.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Refused(error) => error.code,
            Self::Plain(_) | Self::TooLarge | Self::TooSlow | Self::NotByTls(_) => ErrorCode::InvalidRequest,
            Self::Expired { .. } => ErrorCode::RequestUnauthorized,
            Self::HookRefuses => ErrorCode::AccessDenied,
            Self::Busy | Self::NoSigningKey => ErrorCode::TemporarilyUnavailable,
            Self::Store(error) if error.is_transient() => ErrorCode::TemporarilyUnavailable,
            Self::Store(_) | Self::Hook { .. } | Self::Defect(_) => ErrorCode::ServerError,
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Plain(refusal) => return refusal.status(),
            Self::TooLarge => return StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => return StatusCode::REQUEST_TIMEOUT,
            // As Hydra has it.
            Self::NotByTls(_) => return StatusCode::BAD_GATEWAY,
            Self::HookRefuses => return StatusCode::FORBIDDEN,
            _ => {}
        }
        match self.code() {
            ErrorCode::ServerError => StatusCode::INTERNAL_SERVER_ERROR,
            ErrorCode::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::InvalidClient | ErrorCode::RequestUnauthorized => StatusCode::UNAUTHORIZED,
            ErrorCode::RequestForbidden => StatusCode::FORBIDDEN,
            ErrorCode::NotFound => StatusCode::NOT_FOUND,
            ErrorCode::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            ErrorCode::InvalidRequest
            | ErrorCode::InvalidGrant
            // A device is told so of its user's refusal (RFC 8628 §3.5).
            | ErrorCode::AccessDenied
            | ErrorCode::UnauthorizedClient
            | ErrorCode::UnsupportedGrantType
            | ErrorCode::UnsupportedResponseType
            | ErrorCode::UnsupportedResponseMode
            | ErrorCode::InvalidState
            | ErrorCode::InsufficientEntropy
            | ErrorCode::LoginRequired
            | ErrorCode::ConsentRequired
            | ErrorCode::UnmetAuthenticationRequirements
            | ErrorCode::RequestNotSupported
            | ErrorCode::RequestUriNotSupported
            | ErrorCode::InvalidRequestUri
            | ErrorCode::InvalidRequestObject
            | ErrorCode::JtiKnown
            | ErrorCode::MissingRequiredParameter
            | ErrorCode::RegistrationNotSupported
            | ErrorCode::AuthorizationPending
            | ErrorCode::SlowDown
            | ErrorCode::ExpiredToken
            | ErrorCode::InvalidScope
            | ErrorCode::InvalidTarget
            | ErrorCode::InvalidClientMetadata
            | ErrorCode::InvalidRedirectUri => StatusCode::BAD_REQUEST,
        }
    }

    /// The status, and what the caller is told. What is the server's own fault is logged here, with its cause.
    pub(crate) fn tell(&self, settings: &Settings) -> (StatusCode, oauth::Error) {
        let code = self.code();
        match code {
            ErrorCode::ServerError => tracing::error!(cause = %self, "the request failed"),
            ErrorCode::TemporarilyUnavailable => {
                tracing::warn!(cause = %self, "the request could not be served");
            }
            _ => {}
        }
        (self.status(), self.told(code, settings.expose_internal_errors))
    }

    /// The answer, in JSON.
    pub(crate) fn answer(&self, settings: &Settings, challenge: Challenge) -> Response {
        let (status, error) = self.tell(settings);
        let restart = match self {
            Self::Expired { restart } => Some(restart.as_str()),
            _ => None,
        };
        let name = match error.code {
            // OAuth has no code for it, and Hydra has words of its own.
            ErrorCode::NotFound => "Not Found",
            code => code.as_str(),
        };
        let body = Body { error: name, error_description: &error.description, redirect_to: restart };
        let mut response = answer::oauth_json(status, answer::to_json(&body));
        let headers = response.headers_mut();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        let scheme = match challenge {
            Challenge::Basic => Some("Basic realm=\"keywright\", charset=\"UTF-8\""),
            Challenge::Bearer => Some("Bearer error=\"invalid_token\""),
            Challenge::None => None,
        };
        if let Some(scheme) = scheme.filter(|_| status == StatusCode::UNAUTHORIZED) {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(scheme));
        }
        response
    }

    /// The answer of the admin API to what is no OAuth request.
    pub(crate) fn answer_admin(&self, settings: &Settings) -> Response {
        let mut response = self.answer(settings, Challenge::None);
        if let Self::Plain(refusal) = self {
            let description = oauth::Error::invalid_request(refusal.description()).description;
            let error = refusal.sentence();
            let body = Body { error, error_description: &description, redirect_to: None };
            *response.body_mut() = answer::to_json(&body).into();
        }
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    /// What the caller is told.
    fn told(&self, code: ErrorCode, expose: bool) -> oauth::Error {
        let general = match (self, code) {
            (Self::Refused(error), _) => return error.clone(),
            (
                Self::TooLarge
                | Self::TooSlow
                | Self::NotByTls(_)
                | Self::Plain(_)
                | Self::Expired { .. }
                | Self::HookRefuses,
                _,
            ) => {
                return oauth::Error::new(code, sentence(&self.to_string()));
            }
            (_, ErrorCode::TemporarilyUnavailable) => "The server cannot serve this now; try again later.",
            _ => "The server failed; its log says why.",
        };
        if expose {
            oauth::Error::new(code, format!("{general} {}", sentence(&self.to_string())))
        } else {
            oauth::Error::new(code, general)
        }
    }
}

/// A message as a sentence: errors begin with a small letter and have no full stop.
fn sentence(message: &str) -> String {
    let mut characters = message.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters).chain(['.']).collect()
}

//! Ending sessions at the identity provider, Ory Kratos (Hydra's `urls.identity_provider`).
//!
//! A login app of Kratos' names the session there that a login was made in. When the login ends here, that session would
//! log the user in again without a question, so it is ended too.

use std::fmt;

use http::header::{InvalidHeaderName, InvalidHeaderValue};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use oauth::IdentityProviderSessionId;
use url::Url;

use crate::Server;

/// How much of an answer is read. Only its status counts.
const ANSWER_LIMIT: usize = 64 * 1024;

/// The identity provider: where its admin API is, and what it is sent to know the server by.
#[derive(Clone, PartialEq, Eq)]
pub struct IdentityProvider {
    url: Url,
    headers: ProviderHeaders,
}

/// The headers of each request to it. Their values are secrets, which are never shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProviderHeaders(HeaderMap);

/// Only the host: the rest of the address may hold a secret.
impl fmt::Debug for IdentityProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityProvider")
            .field("host", &self.host())
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// Why a header cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum InvalidProviderHeader {
    /// The name is no header's.
    #[error("a header's name")]
    Name(#[from] InvalidHeaderName),
    /// The value cannot stand in a header.
    #[error("text that a header can hold")]
    Value(#[from] InvalidHeaderValue),
}

/// What became of an attempt to end a session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SessionEnd {
    /// It has ended, or is not there.
    Ended,
    /// It cannot be ended, whatever is tried.
    Refused(StatusCode),
    /// Not yet.
    Failed(String),
}

impl ProviderHeaders {
    /// The same with one more, or with another value of one.
    ///
    /// # Errors
    /// [`InvalidProviderHeader`], which shows nothing of the value.
    pub fn with(mut self, name: &str, value: &str) -> Result<Self, InvalidProviderHeader> {
        let (name, mut value) = (HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
        value.set_sensitive(true);
        self.0.insert(name, value);
        Ok(self)
    }
}

impl IdentityProvider {
    /// The provider with its admin API below `url`, an http or https one.
    pub fn new(url: Url) -> Self {
        Self { url, headers: ProviderHeaders::default() }
    }

    /// The same with headers that each request has.
    #[must_use]
    pub fn with_headers(self, headers: ProviderHeaders) -> Self {
        Self { headers, ..self }
    }

    /// The host that is asked.
    pub(crate) fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// `{url}/admin/sessions/{id}`.
    fn session_url(&self, id: &IdentityProviderSessionId) -> Url {
        let mut url = self.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["admin", "sessions", id.as_str()]);
        }
        url
    }

    /// Asks once that the session ends.
    pub(crate) async fn end_session(&self, server: &Server, id: &IdentityProviderSessionId) -> SessionEnd {
        let asked = (&self.session_url(id), self.headers.0.clone());
        match server.outbound().delete_as_configured(asked, ANSWER_LIMIT).await {
            Ok(answer) => end_of(answer.status),
            Err(error) => SessionEnd::Failed(error.to_string()),
        }
    }
}

/// What a status says. Whoever may not ask may be let in once the configuration is right.
fn end_of(status: StatusCode) -> SessionEnd {
    match status {
        _ if status.is_success() => SessionEnd::Ended,
        StatusCode::NOT_FOUND | StatusCode::GONE => SessionEnd::Ended,
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => SessionEnd::Refused(status),
        _ => SessionEnd::Failed(format!("it answered {status}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sessions_address_is_below_the_providers_and_the_id_stays_in_its_place() {
        for (base, id, expected) in [
            ("http://kratos:4434", "a1", "http://kratos:4434/admin/sessions/a1"),
            ("http://kratos:4434/", "a1", "http://kratos:4434/admin/sessions/a1"),
            ("https://id.example.com/kratos/", "a1", "https://id.example.com/kratos/admin/sessions/a1"),
            ("http://kratos/", "../x?y#z", "http://kratos/admin/sessions/..%2Fx%3Fy%23z"),
        ] {
            let provider = IdentityProvider::new(base.parse().unwrap());
            let id = IdentityProviderSessionId::parse(id).unwrap();
            assert_eq!(provider.session_url(&id).as_str(), expected);
        }
    }

    #[test]
    fn a_session_that_is_not_there_has_ended_and_what_may_pass_is_tried_again() {
        for status in [200, 204, 404, 410] {
            assert_eq!(end_of(StatusCode::from_u16(status).unwrap()), SessionEnd::Ended, "{status}");
        }
        for status in [400, 422] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(end_of(status), SessionEnd::Refused(status));
        }
        for status in [302, 401, 403, 429, 500, 503] {
            let end = end_of(StatusCode::from_u16(status).unwrap());
            assert!(matches!(end, SessionEnd::Failed(_)), "{status}");
        }
    }

    #[test]
    fn what_a_header_holds_is_never_shown() {
        let provider = IdentityProvider::new("http://u:hush@kratos/?hush".parse().unwrap());
        let headers = ProviderHeaders::default().with("Authorization", "Bearer hush").unwrap();
        assert!(!format!("{:?}", provider.with_headers(headers.clone())).contains("hush"));
        for (name, value) in [("X Key", "hush"), ("X-Key", "hu\nsh")] {
            let error = headers.clone().with(name, value).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hu"), "{error:?}");
        }
    }
}

//! Asking hooks for the claims of tokens (Hydra's `oauth2.token_hook` and `oauth2.refresh_token_hook`).
//!
//! A hook is asked when all that the token needs is there, and before anything is used up: where it refuses or fails, the
//! same code or refresh token may be presented again. So it may be asked for a token that is never made.

use std::fmt;

use http::header::{COOKIE, InvalidHeaderName, InvalidHeaderValue};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use oauth::consent::ConsentSession;
use oauth::grant::SessionClaims;
use oauth::token_hook::{HookAnswer, HookSubject};
use oauth::{Audience, Client, Form, GrantType, ScopeSet};
use serde_json::Value;
use url::Url;

use crate::error::Failure;
use crate::outbound::{Account, OutboundBody};
use crate::{Server, answer};

/// The longest answer that is read: the claims go into tokens, or into the grant's row.
const ANSWER_LIMIT: usize = 64 * 1024;

/// A hook: where it is, and what it is sent to know the server by.
#[derive(Clone, PartialEq, Eq)]
pub struct Hook {
    url: Url,
    headers: HeaderMap,
}

/// Neither the key nor what else the address may hold.
impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hook").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

/// Where a hook's key is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookKeyPlace {
    /// In a header.
    Header,
    /// In a cookie.
    Cookie,
}

/// Why a hook's key cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum InvalidHookKey {
    /// The name is no header's.
    #[error("a header's name")]
    Name(#[from] InvalidHeaderName),
    /// The value cannot stand in a header.
    #[error("text that a header can hold")]
    Value(#[from] InvalidHeaderValue),
}

/// The hooks; `None` where none is configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hooks {
    /// `oauth2.token_hook`: asked for each token.
    pub token: Option<Hook>,
    /// `oauth2.refresh_token_hook`: asked for each refresh, before the other one.
    pub refresh: Option<Hook>,
}

impl Hook {
    /// A hook that asks for no key.
    pub fn new(url: Url) -> Self {
        Self { url, headers: HeaderMap::new() }
    }

    /// The same with a key.
    ///
    /// # Errors
    /// [`InvalidHookKey`], which shows nothing of the key.
    pub fn with_key(mut self, place: HookKeyPlace, name: &str, key: &str) -> Result<Self, InvalidHookKey> {
        let (name, mut value) = match place {
            HookKeyPlace::Header => (HeaderName::try_from(name)?, HeaderValue::try_from(key)?),
            HookKeyPlace::Cookie => (COOKIE, HeaderValue::try_from(format!("{name}={key}"))?),
        };
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(self)
    }
}

/// The claims that the token hook wants in place of `claims`; `None` where it leaves them, or there is no hook.
///
/// # Errors
/// [`Failure::HookRefuses`]; [`Failure::Hook`] where it does not answer.
pub(crate) async fn token_claims(
    server: &Server,
    subject: &HookSubject<'_>,
    claims: &SessionClaims,
) -> Result<Option<ConsentSession>, Failure> {
    match &server.settings().hooks.token {
        Some(hook) => ask(server, hook, "oauth2.token_hook", &subject.token_request(claims)).await,
        None => Ok(None),
    }
}

/// What the token hook gives a token that no user granted: claims, where it gives any. `times` are now and the end of the
/// access token.
///
/// # Errors
/// As [`token_claims`].
pub(crate) async fn own_token_claims(
    server: &Server,
    (client, form): (&Client, &Form),
    grant_type: GrantType,
    (scope, audience): (&ScopeSet, &[Audience]),
    (now, access_token_ends): (Timestamp, Timestamp),
) -> Result<Option<ConsentSession>, Failure> {
    let settings = server.settings();
    let subject = HookSubject {
        issuer: &settings.issuer,
        client_id: &client.id,
        grant_type,
        form,
        grant: None,
        scope,
        audience,
        now,
        access_token_ends,
        refresh_token_ends: None,
        jwt: &settings.jwt,
    };
    token_claims(server, &subject, &SessionClaims::default()).await
}

/// The claims that the hooks want for a refresh in place of `claims`: first the refresh hook, then the token hook. `None`
/// where both leave them.
///
/// # Errors
/// Those of [`token_claims`].
pub(crate) async fn refreshed_claims(
    server: &Server,
    subject: &HookSubject<'_>,
    claims: &SessionClaims,
) -> Result<Option<SessionClaims>, Failure> {
    let first = match &server.settings().hooks.refresh {
        Some(hook) => {
            ask(server, hook, "oauth2.refresh_token_hook", &subject.refresh_request(claims)).await?
        }
        None => None,
    };
    let first = first.map(|session| replaced(&session));
    let second = token_claims(server, subject, first.as_ref().unwrap_or(claims)).await?;
    Ok(second.map(|session| replaced(&session)).or(first))
}

/// The claims of an answer alone.
pub(crate) fn replaced(answer: &ConsentSession) -> SessionClaims {
    SessionClaims::new(&answer.access_token, &answer.id_token)
}

/// The claims of an answer beside those that it does not name.
pub(crate) fn merged(claims: &SessionClaims, answer: ConsentSession) -> SessionClaims {
    let (mut access_token, mut id_token) = (claims.access_token(), claims.id_token());
    access_token.extend(answer.access_token);
    id_token.extend(answer.id_token);
    SessionClaims::new(&access_token, &id_token)
}

async fn ask(
    server: &Server,
    hook: &Hook,
    setting: &'static str,
    told: &Value,
) -> Result<Option<ConsentSession>, Failure> {
    let failed = |why: String| Failure::Hook { setting, why };
    let body = OutboundBody { content_type: "application/json; charset=UTF-8", bytes: answer::to_json(told) };
    let message = (hook.headers.clone(), body);
    let answer = server.outbound().post(Account::Operator, &hook.url, message, ANSWER_LIMIT).await;
    let answer = answer.map_err(|error| failed(error.to_string()))?;
    match HookAnswer::parse(answer.status.as_u16(), &answer.body) {
        Ok(HookAnswer::Unchanged) => Ok(None),
        Ok(HookAnswer::Claims(session)) => Ok(Some(session)),
        Ok(HookAnswer::Denied) => Err(Failure::HookRefuses),
        Err(error) => Err(failed(error.to_string())),
    }
}

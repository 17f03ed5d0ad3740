//! The claims of a JWT access token, in Hydra's form.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::access_token::{Meaning, TokenKey};
use crate::{AccessToken, Audience, ClientId, Issuer, ScopeSet};

/// The `typ` header. Hydra's, and not RFC 9068's `at+jwt`: resource servers of Hydra's check for it.
pub const TYP: &str = "JWT";

/// Where the scopes go (Hydra's `strategies.jwt.scope_claim`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScopeClaim {
    /// An array, `scp`.
    #[default]
    List,
    /// A string, `scope` (RFC 9068 §2.2.3).
    String,
    /// Both.
    Both,
}

/// What the server's configuration says about the claims.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClaimsPolicy {
    /// Where the scopes go.
    pub scope_claim: ScopeClaim,
    /// Leave `nbf` out (`oauth2.exclude_not_before_claim`).
    pub exclude_not_before: bool,
}

/// The claims of a JWT access token.
#[derive(Debug, Serialize)]
pub struct Claims<'a> {
    aud: &'a [Audience],
    client_id: &'a ClientId,
    exp: i64,
    ext: &'a Map<String, Value>,
    iat: i64,
    iss: &'a Issuer,
    jti: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    nbf: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a ScopeSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scp: Option<Vec<&'a str>>,
    sub: &'a str,
}

/// The claims of `token`, which means `meaning` and whose sealed form is `key`.
pub fn claims<'a>(
    token: &'a AccessToken,
    meaning: &'a Meaning,
    key: &'a TokenKey,
    issuer: &'a Issuer,
    policy: ClaimsPolicy,
) -> Claims<'a> {
    let list = matches!(policy.scope_claim, ScopeClaim::List | ScopeClaim::Both);
    let string = matches!(policy.scope_claim, ScopeClaim::String | ScopeClaim::Both);
    Claims {
        aud: &meaning.audience,
        client_id: &meaning.client_id,
        exp: token.expires_at.as_second(),
        ext: &meaning.ext,
        iat: token.issued_at.as_second(),
        iss: issuer,
        jti: key.as_str(),
        nbf: (!policy.exclude_not_before).then(|| token.issued_at.as_second()),
        scope: string.then_some(&meaning.scope),
        scp: list.then(|| meaning.scope.iter().map(crate::Scope::as_str).collect()),
        // The client can read it.
        sub: meaning.pairwise_subject.as_ref().unwrap_or(&meaning.subject),
    }
}

/// True for a token in the JWS compact serialisation (RFC 7515 §7.1): three parts, where an opaque one has two.
pub fn looks_like_jwt(token: &str) -> bool {
    token.bytes().filter(|&b| b == b'.').count() == 2
}

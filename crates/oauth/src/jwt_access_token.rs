//! The claims of a JWT access token, in Hydra's form.

use std::borrow::Cow;

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
#[derive(Debug, Clone, Default)]
pub struct ClaimsPolicy {
    /// Where the scopes go.
    pub scope_claim: ScopeClaim,
    /// Leave `nbf` out (`oauth2.exclude_not_before_claim`).
    pub exclude_not_before: bool,
    /// Where that goes which the consent app or a hook added.
    pub added: AddedClaims,
}

/// The names of the server's own claims: whatever is allowed, what the consent app or a hook adds stays out of them.
const RESERVED: [&str; 10] = ["aud", "client_id", "exp", "ext", "iat", "iss", "jti", "nbf", "scp", "sub"];

/// The name of the claim with the scopes as a string. It is the server's own where [`ScopeClaim`] says so.
const SCOPE: &str = "scope";

/// Where the claims go that the consent app or a hook added. Introspection has them all as `ext`, whatever is said here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddedClaims {
    /// These go to the top level (`oauth2.allowed_top_level_claims`). The names of the server's own claims are passed
    /// over.
    pub top_level: Vec<String>,
    /// All are below `ext`, those of the top level too (`oauth2.mirror_top_level_claims`).
    pub mirror: bool,
    /// Where not all are below `ext`, those are that are not at the top level (`oauth2.preserve_ext_claims`).
    pub preserve_ext: bool,
}

impl Default for AddedClaims {
    /// All below `ext`.
    fn default() -> Self {
        Self { top_level: Vec::new(), mirror: true, preserve_ext: false }
    }
}

/// The claims below `ext`.
type Ext<'a> = Cow<'a, Map<String, Value>>;

impl ClaimsPolicy {
    fn goes_to_top_level(&self, name: &str) -> bool {
        let is_own = RESERVED.contains(&name) || (name == SCOPE && self.scope_claim != ScopeClaim::List);
        !is_own && self.added.top_level.iter().any(|allowed| allowed == name)
    }

    /// What of `added` goes to the top level, and what below `ext`, where there is to be one.
    fn places<'a>(&self, added: &'a Map<String, Value>) -> (Map<String, Value>, Option<Ext<'a>>) {
        if self.added.top_level.is_empty() && self.added.mirror {
            return (Map::new(), Some(Cow::Borrowed(added)));
        }
        let (top_level, rest): (Map<_, _>, Map<_, _>) = added
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .partition(|(name, _)| self.goes_to_top_level(name));
        let ext = if self.added.mirror {
            Some(Cow::Borrowed(added))
        } else {
            (self.added.preserve_ext && !rest.is_empty()).then_some(Cow::Owned(rest))
        };
        (top_level, ext)
    }
}

/// The claims of a JWT access token.
#[derive(Debug, Serialize)]
pub struct Claims<'a> {
    aud: &'a [Audience],
    client_id: &'a ClientId,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ext: Option<Ext<'a>>,
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
    /// None of the names above.
    #[serde(flatten)]
    top_level: Map<String, Value>,
}

/// The claims of `token`, which means `meaning` and whose sealed form is `key`.
pub fn claims<'a>(
    token: &'a AccessToken,
    meaning: &'a Meaning,
    key: &'a TokenKey,
    issuer: &'a Issuer,
    policy: &ClaimsPolicy,
) -> Claims<'a> {
    let list = matches!(policy.scope_claim, ScopeClaim::List | ScopeClaim::Both);
    let string = matches!(policy.scope_claim, ScopeClaim::String | ScopeClaim::Both);
    let (top_level, ext) = policy.places(&meaning.ext);
    Claims {
        aud: &meaning.audience,
        client_id: &meaning.client_id,
        exp: token.expires_at.as_second(),
        ext,
        iat: token.issued_at.as_second(),
        iss: issuer,
        jti: key.as_str(),
        nbf: (!policy.exclude_not_before).then(|| token.issued_at.as_second()),
        scope: string.then_some(&meaning.scope),
        scp: list.then(|| meaning.scope.iter().map(crate::Scope::as_str).collect()),
        // The client can read it.
        sub: meaning.pairwise_subject.as_ref().unwrap_or(&meaning.subject),
        top_level,
    }
}

/// True for a token in the JWS compact serialisation (RFC 7515 §7.1): three parts, where an opaque one has two.
pub fn looks_like_jwt(token: &str) -> bool {
    token.bytes().filter(|&b| b == b'.').count() == 2
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn placed(policy: &ClaimsPolicy, added: &Value) -> Value {
        let (top_level, ext) = policy.places(added.as_object().unwrap());
        let mut claims = top_level;
        if let Some(ext) = ext {
            claims.insert("ext".to_owned(), Value::Object(ext.into_owned()));
        }
        Value::Object(claims)
    }

    #[test]
    fn what_an_app_adds_goes_where_the_configuration_says() {
        let (role, both) = (json!({"role": "x"}), json!({"role": "x", "plan": 7}));
        let named = json!({"role": "x", "sub": "root", "ext": {"a": 1}, "nbf": 0});
        let cases = [
            // What is allowed, mirrored, preserved; what is added; what is in the token.
            (&[][..], true, false, &both, json!({"ext": {"role": "x", "plan": 7}})),
            (&["role"], true, false, &both, json!({"role": "x", "ext": {"role": "x", "plan": 7}})),
            (&["role"], true, true, &both, json!({"role": "x", "ext": {"role": "x", "plan": 7}})),
            (&["role"], false, false, &both, json!({"role": "x"})),
            (&["role"], false, true, &both, json!({"role": "x", "ext": {"plan": 7}})),
            (&["role"], false, true, &role, json!({"role": "x"})),
            (&["other"], false, true, &role, json!({"ext": {"role": "x"}})),
            (&["other"], false, false, &role, json!({})),
            (&[], true, false, &json!({}), json!({"ext": {}})),
            (&[], false, true, &json!({}), json!({})),
            (
                &["role", "sub", "ext", "nbf"],
                false,
                true,
                &named,
                json!({"role": "x", "ext": {"sub": "root", "ext": {"a": 1}, "nbf": 0}}),
            ),
        ];
        for (allowed, mirror, preserve_ext, added, expected) in cases {
            let top_level = allowed.iter().map(|&name| name.to_owned()).collect();
            let added_claims = AddedClaims { top_level, mirror, preserve_ext };
            let policy = ClaimsPolicy { added: added_claims, ..ClaimsPolicy::default() };
            assert_eq!(placed(&policy, added), expected, "{policy:?} {added}");
        }
    }

    #[test]
    fn no_name_of_a_claim_of_the_server_is_ever_twice_in_a_token() {
        for scope_claim in [ScopeClaim::List, ScopeClaim::String, ScopeClaim::Both] {
            let names = RESERVED.iter().chain([&SCOPE]).map(|&name| name.to_owned());
            let top_level: Vec<_> = names.collect();
            let added: Map<_, _> = top_level.iter().map(|name| (name.clone(), json!("forged"))).collect();
            let added_claims = AddedClaims { top_level, mirror: false, preserve_ext: false };
            let policy = ClaimsPolicy { scope_claim, added: added_claims, ..ClaimsPolicy::default() };
            let expected =
                if scope_claim == ScopeClaim::List { json!({"scope": "forged"}) } else { json!({}) };
            assert_eq!(placed(&policy, &Value::Object(added)), expected, "{scope_claim:?}");
        }
    }
}

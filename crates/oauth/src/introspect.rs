//! Token introspection (RFC 7662), decided.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{AccessToken, Audience, ClientId, Incarnation, Issuer, ScopeSet, ScopeStrategy};

/// What the database says about a token's client and the token itself, at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenState {
    /// The client's incarnation.
    pub incarnation: Incarnation,
    /// The client's epoch.
    pub epoch: i64,
    /// True where this one token was revoked.
    pub revoked: bool,
}

/// An introspection response, in Hydra's form.
#[derive(Debug, Serialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum Introspection {
    /// The token is live.
    Active(Box<Active>),
    /// It is not, for whatever reason (RFC 7662 §2.2).
    Inactive {
        /// Always false.
        active: bool,
    },
}

/// The members of a live token's response (RFC 7662 §2.2).
#[derive(Debug, Serialize, PartialEq, Eq)]
#[expect(missing_docs, reason = "the members of RFC 7662 §2.2 and Hydra's token_use")]
pub struct Active {
    pub active: bool,
    pub aud: Vec<Audience>,
    pub client_id: ClientId,
    pub exp: i64,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub ext: Map<String, Value>,
    pub iat: i64,
    pub iss: Issuer,
    pub nbf: i64,
    pub scope: ScopeSet,
    pub sub: ClientId,
    pub token_type: &'static str,
    pub token_use: &'static str,
}

impl Introspection {
    /// The response for a token that is not live.
    pub const INACTIVE: Self = Self::Inactive { active: false };
}

/// True where a token that opened is still live: unexpired, not revoked, and of the client that exists now.
/// `state` is `None` where the client is gone.
pub fn is_live(token: &AccessToken, state: Option<TokenState>, now: Timestamp) -> bool {
    let of_this_client =
        |s: TokenState| s.incarnation == token.incarnation && s.epoch == token.epoch && !s.revoked;
    !token.is_expired(now) && state.is_some_and(of_this_client)
}

/// Decides what introspection answers for a live token. Where the caller names scopes, all of them must be granted.
pub fn answer(
    token: AccessToken,
    issuer: &Issuer,
    required: &ScopeSet,
    strategy: ScopeStrategy,
) -> Introspection {
    if required.first_beyond(&token.scope, strategy).is_some() {
        return Introspection::INACTIVE;
    }
    Introspection::Active(Box::new(Active {
        active: true,
        aud: token.audience,
        sub: token.client_id.clone(),
        client_id: token.client_id,
        exp: token.expires_at.as_second(),
        ext: Map::new(),
        iat: token.issued_at.as_second(),
        iss: issuer.clone(),
        nbf: token.issued_at.as_second(),
        scope: token.scope,
        token_type: "Bearer",
        token_use: "access_token",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenId;

    fn token() -> AccessToken {
        AccessToken {
            id: TokenId([1; 16]),
            client_id: ClientId::parse("orders").unwrap(),
            incarnation: Incarnation(1),
            epoch: 2,
            issued_at: Timestamp::from_second(1000).unwrap(),
            expires_at: Timestamp::from_second(2000).unwrap(),
            scope: "read orders.a".parse().unwrap(),
            audience: vec![],
        }
    }

    #[test]
    fn a_token_lives_only_with_its_client_its_epoch_and_its_time() {
        let state = |incarnation, epoch, revoked| {
            Some(TokenState { incarnation: Incarnation(incarnation), epoch, revoked })
        };
        let cases = [
            (state(1, 2, false), 1999, true),
            (state(1, 2, false), 2000, false),
            (state(1, 2, true), 1500, false),
            (state(1, 3, false), 1500, false),
            (state(9, 2, false), 1500, false),
            (None, 1500, false),
        ];
        for (state, now, live) in cases {
            assert_eq!(
                is_live(&token(), state, Timestamp::from_second(now).unwrap()),
                live,
                "{state:?} {now}"
            );
        }
    }

    #[test]
    fn scopes_that_the_caller_requires_must_all_be_granted() {
        let issuer = Issuer::parse("https://id.example.com").unwrap();
        for (required, active) in [("", true), ("read", true), ("read orders.a", true), ("write", false)] {
            let got = answer(token(), &issuer, &required.parse().unwrap(), ScopeStrategy::Wildcard);
            assert_eq!(got != Introspection::INACTIVE, active, "{required}");
        }
    }

    #[test]
    fn an_inactive_answer_says_nothing_else() {
        assert_eq!(serde_json::to_string(&Introspection::INACTIVE).unwrap(), r#"{"active":false}"#);
    }
}

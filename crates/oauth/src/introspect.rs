//! Token introspection (RFC 7662), decided.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::access_token::Meaning;
use crate::grant::Grant;
use crate::refresh_token::RefreshToken;
use crate::{AccessToken, Audience, Client, ClientId, Incarnation, Issuer, ScopeSet, ScopeStrategy};

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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<i64>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub ext: Map<String, Value>,
    pub iat: i64,
    pub iss: Issuer,
    pub nbf: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub obfuscated_subject: Option<String>,
    pub scope: ScopeSet,
    pub sub: String,
    pub token_type: &'static str,
    pub token_use: &'static str,
}

impl Introspection {
    /// The response for a token that is not live.
    pub const INACTIVE: Self = Self::Inactive { active: false };

    /// What a client that has authenticated may see of it: tokens that were issued to it, and access tokens that are
    /// for it, which their audience says by its id. Anything else it learns nothing of (RFC 7662 §4).
    ///
    /// The audiences that a client is registered for do not count: they say what it may ask for, not who it is.
    #[must_use]
    pub fn seen_by(self, client: &Client) -> Self {
        match self {
            Self::Active(active) if active.concerns(client) => Self::Active(active.without_own_name()),
            _ => Self::INACTIVE,
        }
    }
}

impl Active {
    /// What a client is told of a user that it knows by a pairwise name: that name alone, as in its ID tokens.
    fn without_own_name(mut self: Box<Self>) -> Box<Self> {
        if let Some(pairwise) = self.obfuscated_subject.take() {
            self.sub = pairwise;
        }
        self
    }

    fn concerns(&self, client: &Client) -> bool {
        let is_for_it = || self.aud.iter().any(|audience| audience.as_str() == client.id.as_str());
        self.client_id == client.id || (self.token_use == "access_token" && is_for_it())
    }
}

/// What the database says about a grant, and about one token of it, at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GrantState {
    /// The client's incarnation now.
    pub incarnation: Incarnation,
    /// The client's epoch now.
    pub epoch: i64,
    /// How many times the grant has been refreshed.
    pub generation: i64,
    /// When it was refreshed last.
    pub rotated_at: Option<Timestamp>,
    /// True where the grant or the token was revoked.
    pub revoked: bool,
}

/// True where a token that opened is still live: unexpired, not revoked, and of the client that exists now.
/// `state` is `None` where the client is gone.
pub fn is_live(token: &AccessToken, state: Option<TokenState>, now: Timestamp) -> bool {
    let of_this_client =
        |s: TokenState| s.incarnation == token.incarnation && s.epoch == token.epoch && !s.revoked;
    !token.is_expired(now) && state.is_some_and(of_this_client)
}

/// True where a token of a grant's generation is still live. What a refresh replaced ends with it, or `grace` later.
/// `state` is `None` where the grant or the client is gone.
pub fn is_live_of_grant(
    token: &AccessToken,
    generation: i64,
    state: Option<GrantState>,
    grace: SignedDuration,
    now: Timestamp,
) -> bool {
    let is_current = |state: &GrantState| {
        let just_replaced = || {
            generation == state.generation - 1
                && state.rotated_at.is_some_and(|at| now.duration_since(at) < grace)
        };
        generation == state.generation || just_replaced()
    };
    let of_this_client = |s: &GrantState| s.incarnation == token.incarnation && s.epoch == token.epoch;
    !token.is_expired(now) && state.is_some_and(|s| !s.revoked && of_this_client(&s) && is_current(&s))
}

/// Decides what introspection answers for a live token. Where the caller names scopes, all of them must be granted.
pub fn answer(
    token: &AccessToken,
    meaning: Meaning,
    issuer: &Issuer,
    required: &ScopeSet,
    strategy: ScopeStrategy,
) -> Introspection {
    if required.first_beyond(&meaning.scope, strategy).is_some() {
        return Introspection::INACTIVE;
    }
    Introspection::Active(Box::new(Active {
        active: true,
        aud: meaning.audience,
        client_id: meaning.client_id,
        exp: Some(token.expires_at.as_second()),
        ext: meaning.ext,
        iat: token.issued_at.as_second(),
        iss: issuer.clone(),
        nbf: token.issued_at.as_second(),
        obfuscated_subject: meaning.pairwise_subject,
        scope: meaning.scope,
        sub: meaning.subject,
        token_type: "Bearer",
        token_use: "access_token",
    }))
}

/// What introspection answers for a live refresh token of a grant.
pub fn answer_refresh_token(
    token: &RefreshToken,
    grant: Grant,
    issuer: &Issuer,
    required: &ScopeSet,
    strategy: ScopeStrategy,
) -> Introspection {
    if required.first_beyond(&grant.scope, strategy).is_some() {
        return Introspection::INACTIVE;
    }
    Introspection::Active(Box::new(Active {
        active: true,
        aud: grant.audience,
        client_id: grant.client_id,
        exp: token.expires_at().map(Timestamp::as_second),
        ext: grant.claims.access_token(),
        iat: token.issued_at().as_second(),
        iss: issuer.clone(),
        nbf: token.issued_at().as_second(),
        obfuscated_subject: grant.pairwise_subject,
        scope: grant.scope,
        sub: grant.login.subject,
        token_type: "Bearer",
        token_use: "refresh_token",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TokenId;
    use crate::access_token::Rights;

    fn token() -> AccessToken {
        AccessToken {
            id: TokenId([1; 16]),
            incarnation: Incarnation(1),
            epoch: 2,
            issued_at: Timestamp::from_second(1000).unwrap(),
            expires_at: Timestamp::from_second(2000).unwrap(),
            rights: Rights::OfClient {
                client_id: ClientId::parse("orders").unwrap(),
                scope: "read orders.a".parse().unwrap(),
                audience: vec![],
                claims: String::new(),
            },
        }
    }

    #[test]
    fn what_a_refresh_replaced_ends_with_it_or_after_the_grace() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let state = GrantState {
            incarnation: Incarnation(1),
            epoch: 2,
            generation: 3,
            rotated_at: Some(at(1500)),
            revoked: false,
        };
        let cases = [
            (3, state, 0, 1999, true),
            (3, state, 0, 2000, false),
            (2, state, 0, 1500, false),
            (2, state, 10, 1509, true),
            (2, state, 10, 1510, false),
            (1, state, 10, 1501, false),
            (4, state, 10, 1501, false),
            (3, GrantState { revoked: true, ..state }, 0, 1501, false),
            (3, GrantState { epoch: 3, ..state }, 0, 1501, false),
            (3, GrantState { incarnation: Incarnation(2), ..state }, 0, 1501, false),
        ];
        for (generation, state, grace, now, live) in cases {
            let grace = SignedDuration::from_secs(grace);
            let got = is_live_of_grant(&token(), generation, Some(state), grace, at(now));
            assert_eq!(got, live, "{generation} {state:?} {now}");
        }
        assert!(!is_live_of_grant(&token(), 3, None, SignedDuration::ZERO, at(1500)));
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
            let meaning = token().meaning(None).unwrap();
            let got = answer(&token(), meaning, &issuer, &required.parse().unwrap(), ScopeStrategy::Wildcard);
            assert_eq!(got != Introspection::INACTIVE, active, "{required}");
        }
    }

    #[test]
    fn a_client_sees_its_own_tokens_and_those_that_are_for_it() {
        let issuer = Issuer::parse("https://id.example.com").unwrap();
        let seen = |client_id: &str, audience: &str, token_use: &'static str| {
            let audience = crate::audience::parse_list(audience).unwrap();
            let meaning = Meaning { audience, ..token().meaning(None).unwrap() };
            let Introspection::Active(active) =
                answer(&token(), meaning, &issuer, &ScopeSet::default(), ScopeStrategy::Exact)
            else {
                panic!("it is live")
            };
            let registered = serde_json::json!({"audience": ["https://api"]});
            let client = Client { id: ClientId::parse(client_id).unwrap(), ..Client::example(registered) };
            Introspection::Active(Box::new(Active { token_use, ..*active })).seen_by(&client)
                != Introspection::INACTIVE
        };
        for (client, audience, token_use, sees) in [
            ("orders", "", "access_token", true),
            ("orders", "api", "refresh_token", true),
            ("api", "api", "access_token", true),
            ("api", "other api", "access_token", true),
            ("api", "api", "refresh_token", false),
            ("api", "https://api", "access_token", false),
            ("api", "", "access_token", false),
        ] {
            assert_eq!(seen(client, audience, token_use), sees, "{client} {audience} {token_use}");
        }
    }

    #[test]
    fn an_inactive_answer_says_nothing_else() {
        assert_eq!(serde_json::to_string(&Introspection::INACTIVE).unwrap(), r#"{"active":false}"#);
    }
}

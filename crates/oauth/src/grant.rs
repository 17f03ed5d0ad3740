//! What was granted: by whom, to whom, and for what. It travels in the code, and lies sealed in the grant's row.

use jose::{Entropy, KeyRing, SealPurpose};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::claims_request::ClaimsPlacement;
use crate::login::Login;
use crate::{Audience, ClientId, GrantId, Incarnation, ScopeSet, sealed};

/// What a user granted to a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// The client.
    pub client_id: ClientId,
    /// The client's incarnation.
    pub incarnation: Incarnation,
    /// The client's epoch.
    pub epoch: i64,
    /// The user's login.
    pub login: Login,
    /// The name by which the client knows the user, where it is another than their own.
    pub pairwise_subject: Option<String>,
    /// The granted scopes.
    pub scope: ScopeSet,
    /// The granted audience.
    pub audience: Vec<Audience>,
    /// The `nonce` of the request.
    pub nonce: Option<String>,
    /// The claims that the consent app adds to tokens.
    pub claims: SessionClaims,
    /// Where those of them go that do not go everywhere.
    pub placement: ClaimsPlacement,
}

/// The claims that the consent app adds, as JSON objects; empty where it adds none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionClaims {
    access_token: String,
    id_token: String,
}

impl SessionClaims {
    /// Keeps these claims.
    pub fn new(access_token: &Map<String, Value>, id_token: &Map<String, Value>) -> Self {
        let text = |claims: &Map<String, Value>| {
            if claims.is_empty() { String::new() } else { Value::Object(claims.clone()).to_string() }
        };
        Self { access_token: text(access_token), id_token: text(id_token) }
    }

    /// What goes into access tokens and introspection, as `ext`.
    pub fn access_token(&self) -> Map<String, Value> {
        serde_json::from_str(&self.access_token).unwrap_or_default()
    }

    /// What goes into ID tokens and userinfo.
    pub fn id_token(&self) -> Map<String, Value> {
        serde_json::from_str(&self.id_token).unwrap_or_default()
    }
}

impl Grant {
    /// The grant as its row holds it.
    pub fn seal(&self, ring: &KeyRing, entropy: &Entropy) -> Vec<u8> {
        sealed::seal_bytes(ring, SealPurpose::Grant, self, entropy)
    }

    /// Opens what the row `id` holds; `None` for anything else, another row's content among it.
    pub fn open(ring: &KeyRing, id: GrantId, sealed: &[u8]) -> Option<Self> {
        sealed::open_bytes::<Self>(ring, SealPurpose::Grant, sealed).filter(|grant| grant.id == id)
    }

    /// The name by which the client knows the user: the `sub` of all that it reads.
    pub fn client_subject(&self) -> &str {
        self.pairwise_subject.as_deref().unwrap_or(&self.login.subject)
    }

    /// True where an ID token belongs to it (OpenID Connect Core §3.1.2.1).
    pub fn is_openid(&self) -> bool {
        self.scope.contains("openid")
    }

    /// True where a refresh token belongs to it (OpenID Connect Core §11; `offline` is Hydra's).
    pub fn is_offline(&self) -> bool {
        self.scope.contains("offline") || self.scope.contains("offline_access")
    }
}

#[cfg(test)]
pub(crate) fn example() -> Grant {
    use jiff::Timestamp;

    let entropy = Entropy::seeded(9);
    Grant {
        id: GrantId::new(Timestamp::from_second(1_800_000_000).unwrap(), &entropy),
        client_id: ClientId::parse("app").unwrap(),
        incarnation: Incarnation(7),
        epoch: 3,
        login: Login {
            session_id: crate::SessionId::new(&entropy),
            subject: "alice".to_owned(),
            authenticated_at: 1_800_000_010,
            acr: String::new(),
            amr: vec![],
        },
        pairwise_subject: None,
        scope: "openid offline".parse().unwrap(),
        audience: vec![],
        nonce: Some("n-0S6_WzA2Mj".to_owned()),
        claims: SessionClaims::default(),
        placement: ClaimsPlacement::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jose::RootKey;
    use serde_json::json;

    #[test]
    fn a_grant_opens_in_its_own_row_alone() {
        let ring = KeyRing::new(vec![RootKey::generate(1, &Entropy::seeded(1))]).unwrap();
        let grant = example();
        let sealed = grant.seal(&ring, &Entropy::seeded(2));
        assert_eq!(Grant::open(&ring, grant.id, &sealed), Some(grant));
        let other = GrantId::from_bytes([1; 16]);
        assert_eq!(Grant::open(&ring, other, &sealed), None);
    }

    #[test]
    fn claims_come_back_and_cost_nothing_where_there_are_none() {
        let object = |value: Value| value.as_object().unwrap().clone();
        let claims = SessionClaims::new(&object(json!({"a": {"b": [1]}})), &Map::new());
        assert_eq!(claims.access_token(), object(json!({"a": {"b": [1]}})));
        assert!(claims.id_token().is_empty());
        assert_eq!(SessionClaims::new(&Map::new(), &Map::new()), SessionClaims::default());
    }
}

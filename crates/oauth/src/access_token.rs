//! Access tokens that carry themselves: nothing that could be used as one is ever stored.
//!
//! ```text
//! ory_at_<key>.<signature>
//!         │     └ base64url(HMAC-SHA256 over key)
//!         └ base64url(seal(version (1) ‖ payload); its first byte names the root key's generation)
//! ```
//!
//! A JWT access token (RFC 9068) has the very same key as its `jti`, so that introspection and revocation work for
//! both kinds alike.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jose::{Entropy, KeyRing, MacPurpose, SealPurpose};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::grant::Grant;
use crate::{Audience, Client, ClientId, Error, GrantId, Incarnation, ScopeSet, sealed};

/// Hydra's prefix of access tokens. It is written always, and may be missing on input.
pub const PREFIX: &str = "ory_at_";

/// The largest payload of a token, in bytes: what lies above has no place in a header.
pub const MAX_PAYLOAD: usize = 8 * 1024;

/// Names one token for revocation: 16 random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TokenId(pub [u8; 16]);

/// What an access token says. Instants are whole seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// Names this token.
    pub id: TokenId,
    /// The client's incarnation when it was issued.
    pub incarnation: Incarnation,
    /// The client's epoch at that time.
    pub epoch: i64,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// What it is good for.
    pub rights: Rights,
}

/// What an access token is good for. Tokens carry it as it is: variants are added at the end, and none is changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rights {
    /// What a client was given for itself (RFC 6749 §4.4). No row says so, the token does.
    OfClient {
        /// The client.
        client_id: ClientId,
        /// The granted scopes.
        scope: ScopeSet,
        /// The granted audience.
        audience: Vec<Audience>,
        /// The claims that a hook added, as a JSON object; empty where it added none.
        claims: String,
    },
    /// What a client was given for a subject that a trusted issuer vouched for (RFC 7523 §2.1). No row says so either.
    OfSubject {
        /// The client.
        client_id: ClientId,
        /// Whom it acts for.
        subject: String,
        /// The granted scopes.
        scope: ScopeSet,
        /// The granted audience.
        audience: Vec<Audience>,
    },
    /// What a user granted. The grant's row says what.
    OfGrant {
        /// The grant.
        id: GrantId,
        /// How many times the grant had been refreshed.
        generation: i64,
        /// The scopes, where they are fewer than the grant's.
        scope: Option<ScopeSet>,
        /// The audience, where it is less than the grant's.
        audience: Option<Vec<Audience>>,
    },
}

/// What a token means to those who accept it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meaning {
    /// The client that it was issued to.
    pub client_id: ClientId,
    /// Whom the client acts for: a user, or the client itself.
    pub subject: String,
    /// The name by which the client knows the user, where it is another.
    pub pairwise_subject: Option<String>,
    /// The granted scopes.
    pub scope: ScopeSet,
    /// The granted audience.
    pub audience: Vec<Audience>,
    /// What the consent app or a hook added.
    pub ext: Map<String, Value>,
}

/// The sealed form.
#[derive(Serialize, Deserialize)]
struct Payload<'a> {
    id: TokenId,
    incarnation: Incarnation,
    epoch: i64,
    /// In seconds since 1970.
    issued_at: i64,
    /// In seconds.
    lifetime: u64,
    rights: Cow<'a, Rights>,
}

/// A token that does not open: forged, cut, of another installation, or no token at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is not one of ours")]
pub struct NotOurs;

impl AccessToken {
    /// A token for a client itself (RFC 6749 §4.4), issued now.
    pub fn for_client(
        client: &Client,
        scope: ScopeSet,
        audience: Vec<Audience>,
        (issued_at, expires_at): (Timestamp, Timestamp),
        entropy: &Entropy,
    ) -> Self {
        Self {
            id: TokenId(entropy.bytes()),
            incarnation: client.incarnation,
            epoch: client.epoch,
            issued_at,
            expires_at,
            rights: Rights::OfClient { client_id: client.id.clone(), scope, audience, claims: String::new() },
        }
    }

    /// A token for a client that acts for a subject by itself (RFC 7523 §2.1), issued now.
    pub fn for_subject(
        client: &Client,
        subject: String,
        scope: ScopeSet,
        audience: Vec<Audience>,
        times: (Timestamp, Timestamp),
        entropy: &Entropy,
    ) -> Self {
        let rights = Rights::OfSubject { client_id: client.id.clone(), subject, scope, audience };
        Self { rights, ..Self::for_client(client, ScopeSet::default(), Vec::new(), times, entropy) }
    }

    /// The same with claims, where it is a client's own: they travel in the token.
    #[must_use]
    pub fn with_claims(mut self, added: &Map<String, Value>) -> Self {
        if let Rights::OfClient { claims, .. } = &mut self.rights {
            *claims = if added.is_empty() { String::new() } else { Value::Object(added.clone()).to_string() };
        }
        self
    }

    /// A token of a grant, issued now, that is good for all of it.
    pub fn of_grant(
        grant: &Grant,
        generation: i64,
        (issued_at, expires_at): (Timestamp, Timestamp),
        entropy: &Entropy,
    ) -> Self {
        Self {
            id: TokenId(entropy.bytes()),
            incarnation: grant.incarnation,
            epoch: grant.epoch,
            issued_at,
            expires_at,
            rights: Rights::OfGrant { id: grant.id, generation, scope: None, audience: None },
        }
    }

    /// The same for a part of its grant. What is no less than the grant's, the token need not say.
    #[must_use]
    pub fn narrowed(mut self, grant: &Grant, part: (&ScopeSet, &[Audience])) -> Self {
        if let Rights::OfGrant { scope, audience, .. } = &mut self.rights {
            *scope = (*part.0 != grant.scope).then(|| part.0.clone());
            *audience = (*part.1 != grant.audience).then(|| part.1.to_vec());
        }
        self
    }

    /// Seals the token into its key: an opaque token's first half, a JWT's `jti`.
    ///
    /// # Errors
    /// `invalid_request` where scope, audience and claims are more than a token can carry.
    pub fn seal(&self, ring: &KeyRing, entropy: &Entropy) -> Result<TokenKey, Error> {
        let too_large = || {
            Error::invalid_request("Scope, audience and claims are larger than an access token can carry.")
        };
        let bytes = sealed::plaintext(&self.payload());
        if bytes.len() > MAX_PAYLOAD {
            return Err(too_large());
        }
        Ok(TokenKey(URL_SAFE_NO_PAD.encode(ring.seal(SealPurpose::AccessToken, &bytes, entropy.bytes()))))
    }

    fn payload(&self) -> Payload<'_> {
        let issued_at = self.issued_at.as_second();
        Payload {
            id: self.id,
            incarnation: self.incarnation,
            epoch: self.epoch,
            issued_at,
            lifetime: u64::try_from(self.expires_at.as_second() - issued_at).unwrap_or(0),
            rights: Cow::Borrowed(&self.rights),
        }
    }

    /// Opens an opaque token, with or without its prefix. Says nothing of expiry or revocation.
    ///
    /// # Errors
    /// [`NotOurs`] where it is not a token that this installation made.
    pub fn open(ring: &KeyRing, token: &str) -> Result<Self, NotOurs> {
        let token = token.strip_prefix(PREFIX).unwrap_or(token);
        let (key, signature) = token.split_once('.').ok_or(NotOurs)?;
        let tag = URL_SAFE_NO_PAD.decode(signature).map_err(|_| NotOurs)?;
        let sealed = URL_SAFE_NO_PAD.decode(key).map_err(|_| NotOurs)?;
        let generation = *sealed.first().ok_or(NotOurs)?;
        if !ring.verify_mac(MacPurpose::TokenSignature, &[key.as_bytes()], generation, &tag) {
            return Err(NotOurs);
        }
        Self::unseal(ring, &sealed)
    }

    /// Opens a key alone: the `jti` of a JWT whose signature has been verified.
    ///
    /// # Errors
    /// [`NotOurs`] where it is not a key that this installation made.
    pub fn open_key(ring: &KeyRing, key: &str) -> Result<Self, NotOurs> {
        Self::unseal(ring, &URL_SAFE_NO_PAD.decode(key).map_err(|_| NotOurs)?)
    }

    fn unseal(ring: &KeyRing, sealed: &[u8]) -> Result<Self, NotOurs> {
        let payload: Payload<'_> =
            sealed::open_bytes(ring, SealPurpose::AccessToken, sealed).ok_or(NotOurs)?;
        let lifetime = i64::try_from(payload.lifetime).map_err(|_| NotOurs)?;
        let expires_at = payload.issued_at.checked_add(lifetime).ok_or(NotOurs)?;
        Ok(Self {
            id: payload.id,
            incarnation: payload.incarnation,
            epoch: payload.epoch,
            issued_at: Timestamp::from_second(payload.issued_at).map_err(|_| NotOurs)?,
            expires_at: Timestamp::from_second(expires_at).map_err(|_| NotOurs)?,
            rights: payload.rights.into_owned(),
        })
    }

    /// What the token means. `grant` is the one that it names, where it names one; without it, there is no meaning.
    pub fn meaning(&self, grant: Option<&Grant>) -> Option<Meaning> {
        match (self.rights.clone(), grant) {
            (Rights::OfClient { client_id, scope, audience, claims }, _) => {
                let subject = client_id.to_string();
                let ext = serde_json::from_str(&claims).unwrap_or_default();
                Some(Meaning { client_id, subject, pairwise_subject: None, scope, audience, ext })
            }
            (Rights::OfSubject { client_id, subject, scope, audience }, _) => {
                Some(Meaning { client_id, subject, pairwise_subject: None, scope, audience, ext: Map::new() })
            }
            (Rights::OfGrant { id, scope, audience, .. }, Some(grant)) if grant.id == id => Some(Meaning {
                client_id: grant.client_id.clone(),
                subject: grant.login.subject.clone(),
                pairwise_subject: grant.pairwise_subject.clone(),
                scope: scope.unwrap_or_else(|| grant.scope.clone()),
                audience: audience.unwrap_or_else(|| grant.audience.clone()),
                ext: grant.claims.access_token(),
            }),
            (Rights::OfGrant { .. }, _) => None,
        }
    }

    /// True where the token has ended at `now`.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.expires_at
    }
}

/// A sealed token without its signature.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenKey(String);

impl TokenKey {
    /// The whole opaque token.
    pub fn sign(&self, ring: &KeyRing) -> String {
        let signature = ring.mac(MacPurpose::TokenSignature, &[self.0.as_bytes()]);
        format!("{PREFIX}{}.{}", self.0, URL_SAFE_NO_PAD.encode(signature.tag))
    }

    /// The key as the `jti` of a JWT.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests;

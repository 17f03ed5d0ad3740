//! Access tokens that carry themselves: nothing that could be used as one is ever stored.
//!
//! ```text
//! ory_at_<key>.<signature>
//!         │     └ base64url(HMAC-SHA256 over key)
//!         └ base64url(sealed payload; its first byte names the root key's generation)
//! ```
//!
//! A JWT access token (RFC 9068) has the very same key as its `jti`, so that introspection and revocation work for
//! both kinds alike.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jose::{Entropy, KeyRing, MacPurpose, SealPurpose};
use serde::{Deserialize, Serialize};

use crate::{Audience, Client, ClientId, Error, Incarnation, ScopeSet};

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
    /// The client that it was issued to.
    pub client_id: ClientId,
    /// The client's incarnation at that time.
    pub incarnation: Incarnation,
    /// The client's epoch at that time.
    pub epoch: i64,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// The granted scopes.
    pub scope: ScopeSet,
    /// The granted audience.
    pub audience: Vec<Audience>,
}

/// The sealed form. The variant is the token's kind, and the version of its layout.
#[derive(Serialize, Deserialize)]
enum Payload {
    ClientCredentials {
        id: [u8; 16],
        client_id: ClientId,
        incarnation: i64,
        epoch: i64,
        issued_at: i64,
        lifetime: u64,
        scope: ScopeSet,
        audience: Vec<Audience>,
    },
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
            client_id: client.id.clone(),
            incarnation: client.incarnation,
            epoch: client.epoch,
            issued_at,
            expires_at,
            scope,
            audience,
        }
    }

    /// Seals the token into its key: an opaque token's first half, a JWT's `jti`.
    ///
    /// # Errors
    /// `invalid_request` where scope and audience are more than a token can carry.
    pub fn seal(&self, ring: &KeyRing, entropy: &Entropy) -> Result<TokenKey, Error> {
        let payload = Payload::ClientCredentials {
            id: self.id.0,
            client_id: self.client_id.clone(),
            incarnation: self.incarnation.0,
            epoch: self.epoch,
            issued_at: self.issued_at.as_second(),
            lifetime: u64::try_from(self.expires_at.as_second() - self.issued_at.as_second()).unwrap_or(0),
            scope: self.scope.clone(),
            audience: self.audience.clone(),
        };
        let too_large =
            || Error::invalid_request("Scope and audience are larger than an access token can carry.");
        let bytes = postcard::to_stdvec(&payload).map_err(|_| too_large())?;
        if bytes.len() > MAX_PAYLOAD {
            return Err(too_large());
        }
        Ok(TokenKey(URL_SAFE_NO_PAD.encode(ring.seal(SealPurpose::AccessToken, &bytes, entropy.bytes()))))
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
        let bytes = ring.open(SealPurpose::AccessToken, sealed).map_err(|_| NotOurs)?;
        let Payload::ClientCredentials {
            id,
            client_id,
            incarnation,
            epoch,
            issued_at,
            lifetime,
            scope,
            audience,
        } = postcard::from_bytes(&bytes).map_err(|_| NotOurs)?;
        let lifetime = i64::try_from(lifetime).map_err(|_| NotOurs)?;
        let expires_at = issued_at.checked_add(lifetime).ok_or(NotOurs)?;
        Ok(Self {
            id: TokenId(id),
            client_id,
            incarnation: Incarnation(incarnation),
            epoch,
            issued_at: Timestamp::from_second(issued_at).map_err(|_| NotOurs)?,
            expires_at: Timestamp::from_second(expires_at).map_err(|_| NotOurs)?,
            scope,
            audience,
        })
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

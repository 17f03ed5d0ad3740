//! Refresh tokens (RFC 6749 §6): a chain for each grant, of which the row knows the newest link.
//!
//! ```text
//! R(0) random;  R(n+1) = HMAC(refresh chain, grant ‖ n+1 ‖ R(n) ‖ nonce)
//! ory_rt_<sealed { grant, n, R(n), … }>
//! ```
//!
//! The nonce is 16 fresh bytes that the row keeps: with the token before it, it makes the same token again, byte for
//! byte, and alone it makes nothing.

use jiff::Timestamp;
use jose::{Entropy, KeyRing, MacPurpose, SealPurpose};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::grant::Grant;
use crate::{GrantId, Incarnation, sealed};

/// Hydra's prefix of refresh tokens. It is written always, and may be missing on input.
pub const PREFIX: &str = "ory_rt_";

/// A refresh token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshToken {
    /// The grant.
    pub grant: GrantId,
    /// How many rotations came before it.
    pub generation: i64,
    /// The client's incarnation.
    pub incarnation: Incarnation,
    /// The client's epoch.
    pub epoch: i64,
    secret: [u8; 32],
    issued_at: i64,
    /// `None` where it lives until it is revoked.
    expires_at: Option<i64>,
}

impl RefreshToken {
    /// The first refresh token of a grant.
    pub fn first(grant: &Grant, now: Timestamp, expires_at: Option<Timestamp>, entropy: &Entropy) -> Self {
        Self {
            grant: grant.id,
            generation: 0,
            incarnation: grant.incarnation,
            epoch: grant.epoch,
            secret: entropy.bytes(),
            issued_at: now.as_second(),
            expires_at: expires_at.map(Timestamp::as_second),
        }
    }

    /// What stands for a refresh token that another server issued, whose signature is the secret. A `generation` below 0
    /// is that of a token that was used there already.
    pub(crate) fn taken_over(
        (grant, generation): (GrantId, i64),
        (incarnation, epoch): (Incarnation, i64),
        signature: [u8; 32],
        (issued_at, expires_at): (i64, Option<i64>),
    ) -> Self {
        Self { grant, generation, incarnation, epoch, secret: signature, issued_at, expires_at }
    }

    /// The token that takes this one's place. The same arguments make the same token.
    #[must_use]
    pub fn next(
        &self,
        ring: &KeyRing,
        nonce: [u8; 16],
        now: Timestamp,
        expires_at: Option<Timestamp>,
    ) -> Self {
        let generation = self.generation + 1;
        let parts: [&[u8]; 4] = [self.grant.as_bytes(), &generation.to_be_bytes(), &self.secret, &nonce];
        Self {
            generation,
            secret: ring.mac(MacPurpose::RefreshChain, &parts).tag,
            issued_at: now.as_second(),
            expires_at: expires_at.map(Timestamp::as_second),
            ..self.clone()
        }
    }

    /// What the row knows of it.
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret).into()
    }

    /// When it was issued.
    pub fn issued_at(&self) -> Timestamp {
        Timestamp::from_second(self.issued_at).unwrap_or(Timestamp::MIN)
    }

    /// When it ends; `None` where it lives until it is revoked.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at.map(|second| Timestamp::from_second(second).unwrap_or(Timestamp::MAX))
    }

    /// True where it has ended.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at().is_some_and(|at| now >= at)
    }

    /// The whole token. The same token is always the same text: its seal's nonce comes of what is sealed.
    pub fn seal(&self, ring: &KeyRing) -> String {
        let plaintext = sealed::plaintext(self);
        let mut nonce = [0; 24];
        nonce.copy_from_slice(&ring.mac(MacPurpose::RefreshChain, &[b"nonce", &plaintext]).tag[..24]);
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(ring.seal(SealPurpose::RefreshToken, &plaintext, nonce)))
    }

    /// Opens a token, with or without its prefix; `None` for anything else.
    pub fn open(ring: &KeyRing, token: &str) -> Option<Self> {
        sealed::open(ring, SealPurpose::RefreshToken, token.strip_prefix(PREFIX).unwrap_or(token))
    }
}

/// Without the secret.
impl std::fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RefreshToken")
            .field("grant", &self.grant)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jose::RootKey;

    fn ring(seed: u64) -> KeyRing {
        KeyRing::new(vec![RootKey::generate(1, &Entropy::seeded(seed))]).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn first() -> RefreshToken {
        let grant = crate::grant::example();
        RefreshToken::first(&grant, at(100), Some(at(200)), &Entropy::seeded(2))
    }

    #[test]
    fn the_same_rotation_makes_the_same_token_byte_for_byte() {
        let (ring, token) = (ring(1), first());
        let next = |nonce| token.next(&ring, nonce, at(150), Some(at(250)));
        assert_eq!(next([1; 16]).seal(&ring), next([1; 16]).seal(&ring));
        assert_ne!(next([1; 16]).hash(), next([2; 16]).hash());
        assert_ne!(next([1; 16]).hash(), token.hash());
        assert_eq!(next([1; 16]).generation, 1);
        let reopened = RefreshToken::open(&ring, &token.seal(&ring)).unwrap();
        assert_eq!(reopened.next(&ring, [1; 16], at(150), Some(at(250))), next([1; 16]));
    }

    #[test]
    fn a_token_opens_with_and_without_its_prefix_and_nowhere_else() {
        let token = first().seal(&ring(1));
        assert_eq!(RefreshToken::open(&ring(1), &token), Some(first()));
        assert_eq!(RefreshToken::open(&ring(1), token.strip_prefix(PREFIX).unwrap()), Some(first()));
        assert_eq!(RefreshToken::open(&ring(2), &token), None);
        assert_eq!(RefreshToken::open(&ring(1), "ory_rt_"), None);
    }

    #[test]
    fn a_token_ends_at_its_time_or_never() {
        assert!(!first().is_expired(at(199)));
        assert!(first().is_expired(at(200)));
        let endless = RefreshToken { expires_at: None, ..first() };
        assert!(!endless.is_expired(Timestamp::MAX));
    }

    #[test]
    fn debug_output_holds_no_secret() {
        assert!(!format!("{:?}", first()).contains("secret"));
    }
}

//! A system secret of Ory Hydra: what it sealed in its database, and signed as a token.

use std::fmt;

use aes_gcm::Aes256Gcm;
use aes_gcm::aead::{Aead, KeyInit};
use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512_256};
use zeroize::Zeroizing;

use crate::Error;

/// The key that Hydra makes of one value of its `secrets.system`: the secret's SHA-256.
///
/// With it Hydra seals JWKs and sessions (AES-256-GCM) and signs opaque tokens (HMAC-SHA-512/256).
#[derive(Clone)]
pub struct HydraSecret(Zeroizing<[u8; 32]>);

impl HydraSecret {
    /// How many bytes a signature has.
    pub const SIGNATURE_LEN: usize = 32;

    const NONCE_LEN: usize = 12;

    /// The key of a secret, as Hydra's configuration has it.
    pub fn new(secret: &str) -> Self {
        Self(Zeroizing::new(Sha256::digest(secret).into()))
    }

    /// The key itself, as [`Self::expose`] gave it.
    pub fn from_bytes(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// The key itself, to be sealed.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Opens what Hydra sealed: base64url, padded or not, of a nonce (12 bytes), the ciphertext and its tag.
    ///
    /// # Errors
    /// [`Error::NotOpened`] for what was sealed with another secret, or is not sealed.
    pub fn open(&self, sealed: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
        let sealed = URL_SAFE.decode(sealed).or_else(|_| URL_SAFE_NO_PAD.decode(sealed));
        let sealed = sealed.map_err(|_| Error::NotOpened)?;
        let (nonce, ciphertext) = sealed.split_at_checked(Self::NONCE_LEN).ok_or(Error::NotOpened)?;
        let nonce = nonce.try_into().map_err(|_| Error::NotOpened)?;
        let opened = Aes256Gcm::new((&*self.0).into()).decrypt(nonce, ciphertext);
        opened.map(Zeroizing::new).map_err(|_| Error::NotOpened)
    }

    /// Whether Hydra signed this random part of a token so, in constant time.
    pub fn verifies(&self, random: &[u8], signature: &[u8]) -> bool {
        // A key of any length will do for an HMAC.
        let Ok(mut mac) = <Hmac<Sha512_256> as KeyInit>::new_from_slice(&*self.0) else { return false };
        mac.update(random);
        mac.verify_slice(signature).is_ok()
    }
}

impl fmt::Debug for HydraSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HydraSecret(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with Python's `hmac` and `cryptography` from the secret below.
    const SECRET: &str = "a-secret-of-the-hydra-that-was";
    const SEALED: &str = "AAAAAAAAAAAAAAAAsYJc543isc96kvBYIIDhBjo-_fHHXx57UtN4Ow==";
    const RANDOM: &[u8] = b"thirty-two bytes of randomness!!";
    const SIGNATURE: &str = "WqwOFukd5R-oAMk0fJPmGcCZQHvBMQJFhI3w0GY1xH4";

    #[test]
    fn what_hydra_sealed_opens_with_its_secret_alone() {
        let secret = HydraSecret::new(SECRET);
        assert_eq!(secret.open(SEALED).unwrap().as_slice(), b"{\"kty\":\"EC\"}");
        assert_eq!(secret.open(SEALED.trim_end_matches('=')).unwrap().as_slice(), b"{\"kty\":\"EC\"}");
        assert_eq!(HydraSecret::from_bytes(*secret.expose()).open(SEALED), secret.open(SEALED));
        assert_eq!(HydraSecret::new("another").open(SEALED), Err(Error::NotOpened));
        let changed = SEALED.replacen('A', "B", 1);
        for wrong in ["", "AAAA", "{}", &changed] {
            assert_eq!(secret.open(wrong), Err(Error::NotOpened), "{wrong}");
        }
    }

    #[test]
    fn what_hydra_signed_verifies_with_its_secret_alone() {
        let signature = URL_SAFE_NO_PAD.decode(SIGNATURE).unwrap();
        let secret = HydraSecret::new(SECRET);
        assert_eq!(signature.len(), HydraSecret::SIGNATURE_LEN);
        assert!(secret.verifies(RANDOM, &signature));
        assert!(!secret.verifies(b"other", &signature));
        assert!(!secret.verifies(RANDOM, &signature[..16]));
        assert!(!HydraSecret::new("another").verifies(RANDOM, &signature));
    }

    #[test]
    fn it_does_not_print() {
        assert_eq!(format!("{:?}", HydraSecret::new(SECRET)), "HydraSecret(redacted)");
    }
}

//! The root key of a database, and the system secret that wraps it.

use std::fmt;

use argon2::{Argon2, Params};
use chacha20poly1305::{
    XChaCha20Poly1305,
    aead::{Aead, KeyInit, Payload},
};
use zeroize::Zeroizing;

use crate::{Entropy, Error};

/// One value of `secrets.system`: what an operator configures and no database knows.
pub struct SystemSecret(Zeroizing<String>);

impl SystemSecret {
    /// The shortest secret accepted, in characters.
    pub const MIN_CHARS: usize = 16;

    /// # Errors
    /// [`Error::WeakSecret`] if it is shorter than [`Self::MIN_CHARS`].
    pub fn new(secret: impl Into<String>) -> Result<Self, Error> {
        let secret = Zeroizing::new(secret.into());
        if secret.chars().count() < Self::MIN_CHARS {
            return Err(Error::WeakSecret);
        }
        Ok(Self(secret))
    }

    /// The key that wraps root keys. Slow and hungry on purpose (19 MiB, two passes): a system secret may
    /// have little entropy, and whoever has a copy of the database should not guess it cheaply.
    fn wrapping_key(&self, salt: &[u8; SALT]) -> Result<Zeroizing<[u8; 32]>, Error> {
        const FAILED: Error = Error::Crypto("argon2id");
        let params = Params::new(19 * 1024, 2, 1, Some(32)).map_err(|_| FAILED)?;
        let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        let mut key = Zeroizing::new([0; 32]);
        argon2.hash_password_into(self.0.as_bytes(), salt, &mut *key).map_err(|_| FAILED)?;
        Ok(key)
    }
}

impl fmt::Debug for SystemSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SystemSecret(redacted)")
    }
}

/// The key that all other keys of a database are derived from; see [`KeyRing`](crate::KeyRing).
///
/// It is random and rests only wrapped by a system secret, so that neither the database nor the secret alone
/// opens anything, and a new system secret means wrapping one small value anew.
///
/// ```text
/// wrapped = version ‖ salt (16) ‖ nonce (24) ‖ XChaCha20-Poly1305(argon2id(secret, salt), root key)
/// ```
pub struct RootKey {
    generation: u8,
    key: Zeroizing<[u8; 32]>,
}

const VERSION: u8 = 1;
const SALT: usize = 16;
const NONCE: usize = 24;

impl RootKey {
    /// A new random root key. Generations count up; the highest in a [`KeyRing`](crate::KeyRing) seals.
    pub fn generate(generation: u8, entropy: &Entropy) -> Self {
        Self { generation, key: Zeroizing::new(entropy.bytes()) }
    }

    /// The byte that names this root in everything sealed under it.
    pub fn generation(&self) -> u8 {
        self.generation
    }

    pub(crate) fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// Wraps the key for the database. Takes about 20 ms.
    ///
    /// # Errors
    /// [`Error::Crypto`] if there is no memory for argon2id.
    pub fn wrap(&self, secret: &SystemSecret, entropy: &Entropy) -> Result<Vec<u8>, Error> {
        let (salt, nonce) = (entropy.bytes::<SALT>(), entropy.bytes::<NONCE>());
        let cipher = XChaCha20Poly1305::new((&*secret.wrapping_key(&salt)?).into());
        let payload = Payload { msg: &*self.key, aad: &associated_data(self.generation) };
        let sealed =
            cipher.encrypt(&nonce.into(), payload).map_err(|_| Error::Crypto("wrapping a root key"))?;
        Ok([&[VERSION][..], &salt, &nonce, &sealed].concat())
    }

    /// Opens a wrapped key with the first secret that does, and says which: if it is not the first, the key
    /// wants to be wrapped anew. Takes about 20 ms per secret tried.
    ///
    /// # Errors
    /// [`Error::NotOpened`] if no secret opens it, or it was wrapped as another generation or damaged.
    pub fn unwrap(generation: u8, wrapped: &[u8], secrets: &[SystemSecret]) -> Result<(Self, usize), Error> {
        let Some((&VERSION, rest)) = wrapped.split_first() else { return Err(Error::NotOpened) };
        let (salt, rest) = rest.split_first_chunk::<SALT>().ok_or(Error::NotOpened)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or(Error::NotOpened)?;
        for (index, secret) in secrets.iter().enumerate() {
            let cipher = XChaCha20Poly1305::new((&*secret.wrapping_key(salt)?).into());
            let payload = Payload { msg: sealed, aad: &associated_data(generation) };
            let Ok(opened) = cipher.decrypt(nonce.into(), payload).map(Zeroizing::new) else { continue };
            let key = opened.as_slice().try_into().map_err(|_| Error::NotOpened)?;
            return Ok((Self { generation, key: Zeroizing::new(key) }, index));
        }
        Err(Error::NotOpened)
    }
}

fn associated_data(generation: u8) -> Vec<u8> {
    [b"keywright/root-key".as_slice(), &[VERSION, generation]].concat()
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootKey").field("generation", &self.generation).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

//! Private keys: made, exported, read back.

use std::{fmt, sync::Arc};

use zeroize::Zeroizing;

use crate::{
    Algorithm, Error, KeyId, PublicJwk, RsaBits, Signer, jwk::Parameters, key_pair::KeyPair, members::Members,
};

/// A private key with its algorithm and name. Wiped from memory with the last of its clones and signers.
#[derive(Clone)]
pub struct PrivateKey {
    algorithm: Algorithm,
    key_id: KeyId,
    public: PublicJwk,
    pair: Arc<KeyPair>,
}

impl PrivateKey {
    /// Makes a new key; `bits` only matters for RSA. Its name is its RFC 7638 thumbprint.
    ///
    /// Blocking, and slow for RSA: about 3 s of one core at 4096 bits, 0.2 s at 2048. Never on a reactor
    /// thread. The randomness is the cryptographic library's own; keys cannot be made reproducibly.
    ///
    /// # Errors
    /// [`Error::Crypto`] if the library fails.
    pub fn generate(algorithm: Algorithm, bits: RsaBits) -> Result<Self, Error> {
        let pair = KeyPair::generate(algorithm.key_type(), bits)?;
        let parameters = Parameters::try_from(&pair.to_members()?)?;
        Ok(Self::new(algorithm, None, parameters, pair))
    }

    /// Reads a private JWK (RFC 7517, RFC 7518 §6, RFC 8037 §2). RSA keys need all their CRT members.
    /// A key without `kid` is named by its thumbprint.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] if it is not the private JWK of a supported algorithm, if `alg` is missing or
    /// does not fit the key or its `use`, or if the private half does not belong to the public one.
    pub fn from_jwk(json: &str) -> Result<Self, Error> {
        let members: Members = serde_json::from_str(json)
            .map_err(|_| Error::InvalidKey("not a JWK of a supported algorithm"))?;
        Self::from_members(&members)
    }

    pub(crate) fn from_members(members: &Members) -> Result<Self, Error> {
        let public = PublicJwk::try_from(members)?;
        let algorithm = public.alg().ok_or(Error::InvalidKey("the JWK has no `alg`"))?;
        let pair = KeyPair::from_members(algorithm.key_type(), members)?;
        Ok(Self::new(algorithm, public.kid().cloned(), public.parameters().clone(), pair))
    }

    fn new(algorithm: Algorithm, key_id: Option<KeyId>, parameters: Parameters, pair: KeyPair) -> Self {
        let key_id = key_id.unwrap_or_else(|| parameters.thumbprint());
        let public = PublicJwk::new(algorithm, key_id.clone(), parameters);
        Self { algorithm, key_id, public, pair: Arc::new(pair) }
    }

    /// The same key under another name.
    #[must_use]
    pub fn named(self, key_id: KeyId) -> Self {
        let public = PublicJwk::new(self.algorithm, key_id.clone(), self.public.parameters().clone());
        Self { key_id, public, ..self }
    }

    /// What the key is for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The key's name.
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// The public half, with `use`, `alg` and `kid`.
    pub fn public_jwk(&self) -> &PublicJwk {
        &self.public
    }

    /// The whole key as JSON, to be sealed by [`KeyRing::seal_jwk`](crate::KeyRing::seal_jwk) before it rests
    /// anywhere. Members come in the order of [`PublicJwk`], then d, p, q, dp, dq, qi.
    ///
    /// # Errors
    /// [`Error::Crypto`] if the library does not export the key.
    pub fn to_jwk(&self) -> Result<Zeroizing<String>, Error> {
        let mut members = self.pair.to_members()?;
        members.key_use = Some(self.algorithm.key_use());
        members.alg = Some(self.algorithm);
        members.kid = Some(self.key_id.clone());
        // Room for an RSA key of 8192 bits: a buffer that grows would leave copies behind.
        let mut json = Zeroizing::new(Vec::with_capacity(8 * 1024 + self.key_id.as_str().len() * 6));
        serde_json::to_writer(&mut *json, &members).map_err(|_| Error::Crypto("writing a JWK"))?;
        String::from_utf8(std::mem::take(&mut *json))
            .map(Zeroizing::new)
            .map_err(|_| Error::Crypto("writing a JWK"))
    }

    /// The key ready to sign.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for an encryption key: those never sign.
    pub fn signer(&self) -> Result<Signer, Error> {
        match self.algorithm {
            Algorithm::Signing(algorithm) => {
                Ok(Signer::new(algorithm, self.key_id.clone(), Arc::clone(&self.pair)))
            }
            Algorithm::Encryption(_) => Err(Error::InvalidKey("an encryption key never signs")),
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey")
            .field("algorithm", &self.algorithm)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

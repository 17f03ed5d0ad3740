//! Signing tokens.

use std::{fmt, sync::Arc};

use serde::Serialize;

use crate::{Error, KeyId, SigningAlgorithm, encoding, key_pair::KeyPair};

/// A signing key, parsed once and shared by all who sign; clones share the key itself.
// Not jsonwebtoken's `encode`: it parses and checks the key again for every token, which costs an RSA key
// more than the signature itself.
#[derive(Clone)]
pub struct Signer {
    algorithm: SigningAlgorithm,
    key_id: KeyId,
    pair: Arc<KeyPair>,
}

/// A token without its signature: the header and the claims, encoded.
#[derive(Debug)]
pub struct SigningInput(String);

/// The protected header of a token (RFC 7515 §4.1).
#[derive(Serialize)]
struct Header<'a> {
    alg: SigningAlgorithm,
    kid: &'a KeyId,
    typ: &'a str,
}

impl Signer {
    pub(crate) fn new(algorithm: SigningAlgorithm, key_id: KeyId, pair: Arc<KeyPair>) -> Self {
        Self { algorithm, key_id, pair }
    }

    /// The JWS in compact form (RFC 7515 §7.1) of the claims, with the header `alg`, `kid`, `typ`.
    ///
    /// # Errors
    /// [`Error::InvalidToken`] if the claims are not a JSON object (RFC 7519 §4); [`Error::Crypto`] if the
    /// library fails.
    pub fn sign(&self, typ: &str, claims: &impl Serialize) -> Result<String, Error> {
        self.sign_input(self.signing_input(typ, claims)?)
    }

    /// The first half of [`Self::sign`], which is quick: what is to be signed (RFC 7515 §2).
    ///
    /// # Errors
    /// [`Error::InvalidToken`] if the claims are not a JSON object.
    pub fn signing_input(&self, typ: &str, claims: &impl Serialize) -> Result<SigningInput, Error> {
        const HEADER: Error = Error::InvalidToken("the header does not serialise");
        let header = Header { alg: self.algorithm, kid: &self.key_id, typ };
        let header = serde_json::to_vec(&header).map_err(|_| HEADER)?;
        let claims =
            serde_json::to_vec(claims).map_err(|_| Error::InvalidToken("the claims do not serialise"))?;
        if claims.first() != Some(&b'{') {
            return Err(Error::InvalidToken("the claims are not a JSON object"));
        }
        // The longest signature of ours, RSA with 4096 bits, takes 683 characters.
        let mut input = String::with_capacity((header.len() + claims.len()) * 4 / 3 + 700);
        encoding::encode_into(header, &mut input);
        input.push('.');
        encoding::encode_into(claims, &mut input);
        Ok(SigningInput(input))
    }

    /// The second half, which may be slow ([`Self::is_slow`]).
    ///
    /// # Errors
    /// [`Error::Crypto`] if the library fails.
    pub fn sign_input(&self, SigningInput(mut token): SigningInput) -> Result<String, Error> {
        let signature = self.pair.sign(self.algorithm, token.as_bytes())?;
        token.push('.');
        encoding::encode_into(signature, &mut token);
        Ok(token)
    }

    /// The algorithm it signs with.
    pub fn algorithm(&self) -> SigningAlgorithm {
        self.algorithm
    }

    /// The name of the key, as it appears in headers.
    pub fn key_id(&self) -> &KeyId {
        &self.key_id
    }

    /// Whether a signature takes so long (RSA: 0.3 to 2 ms) that it belongs on a blocking pool.
    pub fn is_slow(&self) -> bool {
        self.algorithm.is_rsa()
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("algorithm", &self.algorithm)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

//! Verifying tokens.

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED, ParsedPublicKey};
use jsonwebtoken::DecodingKey;
use serde_json::Value;

use crate::{
    Algorithm, Error, JwkSet, JwsHeader, KeyUse, PublicJwk, SigningAlgorithm,
    algorithm::{Curve, KeyType},
    encoding,
    jwk::Parameters,
    jws::Compact,
    key_pair::UNCOMPRESSED,
};

/// How many keys of a set are tried for a token that names none.
const MOST_TRIED: usize = 16;

/// A public key, ready to verify signatures of one algorithm.
pub struct Verifier {
    algorithm: SigningAlgorithm,
    key: Key,
}

/// jsonwebtoken has no ES512; that one goes to the library beneath it.
enum Key {
    Common(jsonwebtoken::Algorithm, DecodingKey),
    Es512(ParsedPublicKey),
}

impl Verifier {
    /// A verifier for the key's own `alg`; without one, for the only algorithm of its curve.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] if the key is for encryption, is malformed, or is an RSA key without `alg`.
    pub fn from_jwk(jwk: &PublicJwk) -> Result<Self, Error> {
        let algorithm = match (jwk.alg(), jwk.parameters().key_type()) {
            (Some(Algorithm::Signing(algorithm)), _) => algorithm,
            (Some(Algorithm::Encryption(_)), _) => {
                return Err(Error::InvalidKey("the key is for encryption"));
            }
            (None, KeyType::Rsa) => return Err(Error::InvalidKey("an RSA key needs an `alg`")),
            (None, KeyType::Ec(Curve::P256)) => SigningAlgorithm::Es256,
            (None, KeyType::Ec(Curve::P384)) => SigningAlgorithm::Es384,
            (None, KeyType::Ec(Curve::P521)) => SigningAlgorithm::Es512,
            (None, KeyType::Ed25519) => SigningAlgorithm::EdDsa,
        };
        Self::for_algorithm(jwk, algorithm)
    }

    /// A verifier for one algorithm that the caller expects, for keys of other parties that have no `alg`.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] if the key is for encryption, for another algorithm, or malformed.
    pub fn for_algorithm(jwk: &PublicJwk, algorithm: SigningAlgorithm) -> Result<Self, Error> {
        if jwk.key_use() == Some(KeyUse::Enc) {
            return Err(Error::InvalidKey("the key is for encryption"));
        }
        if jwk.alg().is_some_and(|alg| alg != Algorithm::Signing(algorithm))
            || jwk.parameters().key_type() != algorithm.key_type()
        {
            return Err(Error::InvalidKey("the key is for another algorithm"));
        }
        Ok(Self { algorithm, key: Key::new(jwk.parameters(), algorithm)? })
    }

    /// The claims of a compact JWS, always a JSON object, if this key signed it.
    ///
    /// Checks the header's `alg` against the key's, and the signature. **Not** `kid`, `typ`, nor any claim:
    /// `exp`, `nbf`, `iss` and `aud` are the caller's.
    ///
    /// # Errors
    /// [`Error::InvalidToken`] for everything else. Never panics, whatever the input.
    pub fn verify(&self, compact: &str) -> Result<Value, Error> {
        let parts = Compact::split(compact)?;
        if parts.header()?.alg != self.algorithm {
            return Err(Error::InvalidToken("signed with another algorithm than the key's"));
        }
        if !self.key.verifies(parts.message, parts.signature) {
            return Err(Error::InvalidToken("the signature does not verify"));
        }
        Ok(Value::Object(parts.claims()?))
    }

    /// The algorithm it verifies.
    pub fn algorithm(&self) -> SigningAlgorithm {
        self.algorithm
    }
}

impl JwkSet {
    /// The claims of a compact JWS, if one of these keys signed it with `algorithm`: a key that the header names, or one
    /// of the first sixteen that could have where it names none.
    ///
    /// # Errors
    /// [`Error::InvalidToken`] where none did. What else is checked, and what is not, is as with [`Verifier::verify`].
    pub fn verify(&self, compact: &str, algorithm: SigningAlgorithm) -> Result<Value, Error> {
        let header = JwsHeader::parse(compact)?;
        let named = |key: &&PublicJwk| header.kid.is_none() || key.kid() == header.kid.as_ref();
        let verifiers =
            self.keys.iter().filter(named).filter_map(|key| Verifier::for_algorithm(key, algorithm).ok());
        for verifier in verifiers.take(MOST_TRIED) {
            if let Ok(claims) = verifier.verify(compact) {
                return Ok(claims);
            }
        }
        Err(Error::InvalidToken("signed by none of the keys"))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

impl Key {
    fn new(parameters: &Parameters, algorithm: SigningAlgorithm) -> Result<Self, Error> {
        const MALFORMED: Error = Error::InvalidKey("not a public key");
        let Some(common) = common(algorithm) else {
            let Parameters::Ec { x, y, .. } = parameters else { return Err(MALFORMED) };
            let mut point = vec![UNCOMPRESSED];
            point.extend(encoding::decode(x).ok_or(MALFORMED)?);
            point.extend(encoding::decode(y).ok_or(MALFORMED)?);
            let key = ParsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point).map_err(|_| MALFORMED)?;
            return Ok(Self::Es512(key));
        };
        let key = match parameters {
            Parameters::Rsa { n, e } => DecodingKey::from_rsa_components(n, e),
            Parameters::Ec { x, y, .. } => DecodingKey::from_ec_components(x, y),
            Parameters::Ed25519 { x } => DecodingKey::from_ed_components(x),
        };
        Ok(Self::Common(common, key.map_err(|_| MALFORMED)?))
    }

    fn verifies(&self, message: &str, signature: &str) -> bool {
        match self {
            Self::Common(algorithm, key) => {
                jsonwebtoken::crypto::verify(signature, message.as_bytes(), key, *algorithm).unwrap_or(false)
            }
            Self::Es512(key) => encoding::decode(signature)
                .is_some_and(|signature| key.verify_sig(message.as_bytes(), &signature).is_ok()),
        }
    }
}

fn common(algorithm: SigningAlgorithm) -> Option<jsonwebtoken::Algorithm> {
    Some(match algorithm {
        SigningAlgorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
        SigningAlgorithm::Rs384 => jsonwebtoken::Algorithm::RS384,
        SigningAlgorithm::Rs512 => jsonwebtoken::Algorithm::RS512,
        SigningAlgorithm::Ps256 => jsonwebtoken::Algorithm::PS256,
        SigningAlgorithm::Ps384 => jsonwebtoken::Algorithm::PS384,
        SigningAlgorithm::Ps512 => jsonwebtoken::Algorithm::PS512,
        SigningAlgorithm::Es256 => jsonwebtoken::Algorithm::ES256,
        SigningAlgorithm::Es384 => jsonwebtoken::Algorithm::ES384,
        SigningAlgorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        SigningAlgorithm::Es512 => return None,
    })
}

#[cfg(test)]
mod tests;

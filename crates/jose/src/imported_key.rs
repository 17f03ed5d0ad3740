//! Keys that somebody made elsewhere and hands over as a JWK.

use serde::Deserialize;

use crate::{Algorithm, Error, KeyId, PrivateKey, PublicJwk, members::Members};

/// A key pair, or a public key alone, that came as a JWK (RFC 7517 §4) and was found sound.
#[derive(Debug, Clone)]
pub enum ImportedKey {
    /// Both halves.
    Pair(PrivateKey),
    /// The public half alone; its JWK has `alg` and `kid`.
    Public {
        /// What the key is for.
        algorithm: Algorithm,
        /// Its name.
        key_id: KeyId,
        /// The key.
        jwk: PublicJwk,
    },
}

impl ImportedKey {
    /// Reads a JWK, private or public. A key without `kid` is named by its RFC 7638 thumbprint, one without `use` gets
    /// that of its `alg`; members that this crate does not know are dropped.
    ///
    /// # Errors
    /// [`Error::InvalidKey`] for symmetric keys, for those without `alg` or with one that does not fit, and for halves
    /// that do not belong together. No error holds a value of the JWK.
    pub fn from_jwk(json: &str) -> Result<Self, Error> {
        const NO_JWK: Error = Error::InvalidKey("not a JWK of a supported algorithm");
        #[derive(Deserialize)]
        struct Kind<'a> {
            #[serde(borrow)]
            kty: std::borrow::Cow<'a, str>,
        }
        let kind: Kind<'_> = serde_json::from_str(json).map_err(|_| NO_JWK)?;
        if kind.kty == "oct" {
            return Err(Error::InvalidKey("`kty` is oct: symmetric keys are not kept"));
        }
        let members: Members = serde_json::from_str(json).map_err(|_| NO_JWK)?;
        if members.d.is_some() {
            return PrivateKey::from_jwk(json).map(Self::Pair);
        }
        let jwk = PublicJwk::try_from(&members)?;
        let algorithm = jwk.alg().ok_or(Error::InvalidKey("the JWK has no `alg`"))?;
        let key_id = jwk.kid().cloned().unwrap_or_else(|| jwk.thumbprint());
        let jwk = PublicJwk::new(algorithm, key_id.clone(), jwk.parameters().clone());
        Ok(Self::Public { algorithm, key_id, jwk })
    }

    /// What the key is for.
    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::Pair(key) => key.algorithm(),
            Self::Public { algorithm, .. } => *algorithm,
        }
    }

    /// The key's name.
    pub fn key_id(&self) -> &KeyId {
        match self {
            Self::Pair(key) => key.key_id(),
            Self::Public { key_id, .. } => key_id,
        }
    }

    /// The public half, with `use`, `alg` and `kid`.
    pub fn public_jwk(&self) -> &PublicJwk {
        match self {
            Self::Pair(key) => key.public_jwk(),
            Self::Public { jwk, .. } => jwk,
        }
    }

    /// The private half, where it is there.
    pub fn private(&self) -> Option<&PrivateKey> {
        match self {
            Self::Pair(key) => Some(key),
            Self::Public { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RsaBits, SigningAlgorithm};

    fn pair() -> PrivateKey {
        PrivateKey::generate(SigningAlgorithm::Es256.into(), RsaBits::B2048).unwrap()
    }

    #[test]
    fn both_halves_or_the_public_one_are_read_and_named() {
        let pair = pair();
        let both = ImportedKey::from_jwk(&pair.to_jwk().unwrap()).unwrap();
        assert!(both.private().is_some());
        assert_eq!((both.key_id(), both.public_jwk()), (pair.key_id(), pair.public_jwk()));
        let mut public = serde_json::to_value(pair.public_jwk()).unwrap();
        let alone = ImportedKey::from_jwk(&public.to_string()).unwrap();
        assert!(alone.private().is_none());
        assert_eq!((alone.algorithm(), alone.public_jwk()), (pair.algorithm(), pair.public_jwk()));
        for member in ["kid", "use"] {
            public.as_object_mut().unwrap().remove(member);
        }
        let bare = ImportedKey::from_jwk(&public.to_string()).unwrap();
        assert_eq!(bare.public_jwk(), pair.public_jwk(), "what it lacks follows from the rest");
    }

    #[test]
    fn what_cannot_be_kept_is_refused_without_telling_its_value() {
        let pair = pair();
        let jwk: serde_json::Value = serde_json::from_str(&pair.to_jwk().unwrap()).unwrap();
        let with = |member: &str, value: serde_json::Value| {
            let mut changed = jwk.clone();
            changed[member] = value;
            changed.to_string()
        };
        for (json, why) in [
            (r#"{"kty":"oct","k":"c2VjcmV0","alg":"HS256"}"#.to_owned(), "symmetric keys are not kept"),
            ("[]".to_owned(), "not a JWK"),
            ("{}".to_owned(), "not a JWK"),
            (with("alg", "HS256".into()), "not a JWK"),
            (with("alg", "ES384".into()), "does not fit the key"),
            (with("alg", serde_json::Value::Null), "no `alg`"),
            (with("use", "enc".into()), "does not fit `use`"),
            (with("d", 7.into()), "not a JWK"),
            (with("d", jwk["x"].clone()), "not an EC key pair"),
        ] {
            let error = ImportedKey::from_jwk(&json).unwrap_err().to_string();
            assert!(error.contains(why), "{why}: {error}");
            assert!(!error.contains("c2VjcmV0") && !error.contains(jwk["d"].as_str().unwrap()), "{error}");
        }
    }

    #[test]
    fn a_pair_can_be_given_another_name() {
        let pair = pair().named(KeyId::new("orders"));
        assert_eq!(
            (pair.key_id().as_str(), pair.public_jwk().kid()),
            ("orders", Some(&KeyId::new("orders")))
        );
        assert!(pair.to_jwk().unwrap().contains(r#""kid":"orders""#));
    }
}

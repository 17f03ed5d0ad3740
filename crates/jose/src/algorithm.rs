//! The algorithms Keywright has keys for, under their registered names (RFC 7518, RFC 8037).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Error;

/// Gives a closed list of names its text forms: `Display`, `FromStr` and serde, all through `as_str`.
macro_rules! text_forms {
    ($type:ty, $unknown:expr) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = Error;

            fn from_str(name: &str) -> Result<Self, Error> {
                Self::all().find(|known| known.as_str() == name).ok_or_else(|| $unknown(name))
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

/// A digital signature algorithm (JWS `alg`, RFC 7518 §3.1, RFC 8037 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SigningAlgorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// EdDSA, here always Ed25519.
    EdDsa,
}

impl SigningAlgorithm {
    /// Every signing algorithm.
    pub const ALL: [Self; 10] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::EdDsa,
    ];

    fn all() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter()
    }

    /// The registered name, for example `RS256`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
        }
    }

    /// Whether its keys are RSA keys: slow to make (seconds at 4096 bits) and to sign with (milliseconds).
    pub const fn is_rsa(self) -> bool {
        matches!(self.key_type(), KeyType::Rsa)
    }

    pub(crate) const fn key_type(self) -> KeyType {
        match self {
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => KeyType::Rsa,
            Self::Es256 => KeyType::Ec(Curve::P256),
            Self::Es384 => KeyType::Ec(Curve::P384),
            Self::Es512 => KeyType::Ec(Curve::P521),
            Self::EdDsa => KeyType::Ed25519,
        }
    }
}

text_forms!(SigningAlgorithm, unsupported);

/// A key management algorithm (JWE `alg`, RFC 7518 §4.1). Keys for it are generated, published and rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EncryptionAlgorithm {
    /// RSAES-OAEP with SHA-256.
    RsaOaep256,
    /// Ephemeral-static Diffie-Hellman on P-256, used directly.
    EcdhEs,
    /// The same, wrapping the content key by AES-128 key wrap.
    EcdhEsA128Kw,
    /// The same, wrapping the content key by AES-256 key wrap.
    EcdhEsA256Kw,
}

impl EncryptionAlgorithm {
    /// Every encryption algorithm.
    pub const ALL: [Self; 4] = [Self::RsaOaep256, Self::EcdhEs, Self::EcdhEsA128Kw, Self::EcdhEsA256Kw];

    fn all() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter()
    }

    /// The registered name, for example `RSA-OAEP-256`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RsaOaep256 => "RSA-OAEP-256",
            Self::EcdhEs => "ECDH-ES",
            Self::EcdhEsA128Kw => "ECDH-ES+A128KW",
            Self::EcdhEsA256Kw => "ECDH-ES+A256KW",
        }
    }

    /// Whether its keys are RSA keys.
    pub const fn is_rsa(self) -> bool {
        matches!(self.key_type(), KeyType::Rsa)
    }

    pub(crate) const fn key_type(self) -> KeyType {
        match self {
            Self::RsaOaep256 => KeyType::Rsa,
            Self::EcdhEs | Self::EcdhEsA128Kw | Self::EcdhEsA256Kw => KeyType::Ec(Curve::P256),
        }
    }
}

text_forms!(EncryptionAlgorithm, unsupported);

/// What a key is for: its JWK member `alg` (RFC 7517 §4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// The key signs.
    Signing(SigningAlgorithm),
    /// The key is encrypted to.
    Encryption(EncryptionAlgorithm),
}

impl Algorithm {
    fn all() -> impl Iterator<Item = Self> {
        SigningAlgorithm::all().map(Self::Signing).chain(EncryptionAlgorithm::all().map(Self::Encryption))
    }

    /// The registered name, for example `ES256` or `ECDH-ES`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signing(algorithm) => algorithm.as_str(),
            Self::Encryption(algorithm) => algorithm.as_str(),
        }
    }

    /// The JWK member `use` that goes with it.
    pub const fn key_use(self) -> KeyUse {
        match self {
            Self::Signing(_) => KeyUse::Sig,
            Self::Encryption(_) => KeyUse::Enc,
        }
    }

    /// Whether its keys are RSA keys.
    pub const fn is_rsa(self) -> bool {
        matches!(self.key_type(), KeyType::Rsa)
    }

    pub(crate) const fn key_type(self) -> KeyType {
        match self {
            Self::Signing(algorithm) => algorithm.key_type(),
            Self::Encryption(algorithm) => algorithm.key_type(),
        }
    }
}

text_forms!(Algorithm, unsupported);

impl From<SigningAlgorithm> for Algorithm {
    fn from(algorithm: SigningAlgorithm) -> Self {
        Self::Signing(algorithm)
    }
}

impl From<EncryptionAlgorithm> for Algorithm {
    fn from(algorithm: EncryptionAlgorithm) -> Self {
        Self::Encryption(algorithm)
    }
}

/// The JWK member `use` (RFC 7517 §4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyUse {
    /// `sig`: signatures.
    Sig,
    /// `enc`: encryption.
    Enc,
}

impl KeyUse {
    fn all() -> impl Iterator<Item = Self> {
        [Self::Sig, Self::Enc].into_iter()
    }

    /// `sig` or `enc`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sig => "sig",
            Self::Enc => "enc",
        }
    }
}

text_forms!(KeyUse, |_: &str| Error::InvalidKey("`use` is neither sig nor enc"));

/// The length of an RSA modulus.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub enum RsaBits {
    /// 2048 bits.
    B2048,
    /// 3072 bits.
    B3072,
    /// 4096 bits, the default.
    #[default]
    B4096,
}

impl TryFrom<u32> for RsaBits {
    type Error = Error;

    fn try_from(bits: u32) -> Result<Self, Error> {
        match bits {
            2048 => Ok(Self::B2048),
            3072 => Ok(Self::B3072),
            4096 => Ok(Self::B4096),
            _ => Err(Error::InvalidKey("an RSA key has 2048, 3072 or 4096 bits")),
        }
    }
}

impl From<RsaBits> for u32 {
    fn from(bits: RsaBits) -> Self {
        match bits {
            RsaBits::B2048 => 2048,
            RsaBits::B3072 => 3072,
            RsaBits::B4096 => 4096,
        }
    }
}

/// An elliptic curve of RFC 7518 §6.2.1.1 (JWK member `crv`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    fn all() -> impl Iterator<Item = Self> {
        [Self::P256, Self::P384, Self::P521].into_iter()
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    /// Bytes in a coordinate and in a private key.
    pub(crate) const fn field_len(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

text_forms!(Curve, |_: &str| Error::InvalidKey("`crv` is not a supported curve"));

/// The kind of key an algorithm works with: which `kty`, and on which curve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyType {
    Rsa,
    Ec(Curve),
    Ed25519,
}

fn unsupported(name: &str) -> Error {
    // The name comes from outside and ends up in messages and logs: no more of it than tells what it was.
    Error::UnsupportedAlgorithm(name.chars().take(32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_is_read_back_from_its_name() {
        for algorithm in Algorithm::all() {
            assert_eq!(algorithm.as_str().parse(), Ok(algorithm));
            let json = serde_json::to_string(&algorithm).unwrap();
            assert_eq!(json, format!("\"{algorithm}\""));
            assert_eq!(serde_json::from_str::<Algorithm>(&json).unwrap(), algorithm);
        }
        assert_eq!(Algorithm::all().count(), 14);
    }

    #[test]
    fn names_are_exact() {
        for name in ["none", "HS256", "rs256", "ES256K", "RSA-OAEP", "ECDH-ES+A192KW", "", "RS256 "] {
            assert_eq!(
                name.parse::<Algorithm>(),
                Err(Error::UnsupportedAlgorithm(name.to_owned())),
                "{name}"
            );
        }
        assert!("RSA-OAEP-256".parse::<SigningAlgorithm>().is_err());
        assert!("RS256".parse::<EncryptionAlgorithm>().is_err());
        assert!("SIG".parse::<KeyUse>().is_err());
    }

    #[test]
    fn a_long_unknown_name_is_cut_in_the_error() {
        let Err(Error::UnsupportedAlgorithm(name)) = "x".repeat(1000).parse::<Algorithm>() else { panic!() };
        assert_eq!(name.len(), 32);
    }

    #[test]
    fn the_use_follows_from_the_algorithm() {
        assert_eq!(Algorithm::from(SigningAlgorithm::EdDsa).key_use().to_string(), "sig");
        assert_eq!(Algorithm::from(EncryptionAlgorithm::EcdhEs).key_use().to_string(), "enc");
    }

    #[test]
    fn only_rsa_algorithms_are_rsa() {
        let rsa: Vec<_> = Algorithm::all().filter(|a| a.is_rsa()).map(Algorithm::as_str).collect();
        assert_eq!(rsa, ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "RSA-OAEP-256"]);
    }

    #[test]
    fn rsa_keys_have_one_of_three_lengths() {
        for bits in [2048, 3072, 4096] {
            assert_eq!(u32::from(RsaBits::try_from(bits).unwrap()), bits);
            assert_eq!(serde_json::to_string(&RsaBits::try_from(bits).unwrap()).unwrap(), bits.to_string());
        }
        for bits in [0, 512, 1024, 2047, 8192] {
            assert!(RsaBits::try_from(bits).is_err(), "{bits}");
        }
        assert_eq!(RsaBits::default(), RsaBits::B4096);
    }
}

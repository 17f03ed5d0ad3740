//! Algorithms of keys (RFC 7518, RFC 8037) and the size of RSA keys.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::string_enum::string_enum;

string_enum! {
    /// A signature algorithm with a public key.
    pub enum SigningAlgorithm {
        /// RSASSA-PKCS1-v1_5 with SHA-256.
        Rs256 = "RS256",
        /// RSASSA-PKCS1-v1_5 with SHA-384.
        Rs384 = "RS384",
        /// RSASSA-PKCS1-v1_5 with SHA-512.
        Rs512 = "RS512",
        /// RSASSA-PSS with SHA-256.
        Ps256 = "PS256",
        /// RSASSA-PSS with SHA-384.
        Ps384 = "PS384",
        /// RSASSA-PSS with SHA-512.
        Ps512 = "PS512",
        /// ECDSA on P-256 with SHA-256.
        Es256 = "ES256",
        /// ECDSA on P-384 with SHA-384.
        Es384 = "ES384",
        /// ECDSA on P-521 with SHA-512.
        Es512 = "ES512",
        /// Ed25519.
        EdDsa = "EdDSA",
    }
}

string_enum! {
    /// What a key of a set is made for: a signature algorithm, or key agreement or key encryption.
    pub enum KeyAlgorithm {
        /// RSASSA-PKCS1-v1_5 with SHA-256.
        Rs256 = "RS256",
        /// RSASSA-PKCS1-v1_5 with SHA-384.
        Rs384 = "RS384",
        /// RSASSA-PKCS1-v1_5 with SHA-512.
        Rs512 = "RS512",
        /// RSASSA-PSS with SHA-256.
        Ps256 = "PS256",
        /// RSASSA-PSS with SHA-384.
        Ps384 = "PS384",
        /// RSASSA-PSS with SHA-512.
        Ps512 = "PS512",
        /// ECDSA on P-256 with SHA-256.
        Es256 = "ES256",
        /// ECDSA on P-384 with SHA-384.
        Es384 = "ES384",
        /// ECDSA on P-521 with SHA-512.
        Es512 = "ES512",
        /// Ed25519.
        EdDsa = "EdDSA",
        /// RSAES-OAEP with SHA-256.
        RsaOaep256 = "RSA-OAEP-256",
        /// ECDH ephemeral-static, direct.
        EcdhEs = "ECDH-ES",
        /// ECDH ephemeral-static with AES-128 key wrap.
        EcdhEsA128Kw = "ECDH-ES+A128KW",
        /// ECDH ephemeral-static with AES-256 key wrap.
        EcdhEsA256Kw = "ECDH-ES+A256KW",
    }
}

string_enum! {
    /// What the keys of a set are for (`use`, RFC 7517 section 4.2).
    pub enum KeyUse {
        /// Signatures.
        Sig = "sig",
        /// Encryption.
        Enc = "enc",
    }
}

/// Size of an RSA modulus in bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub enum RsaBits {
    /// 2048 bits.
    B2048,
    /// 3072 bits.
    B3072,
    /// 4096 bits: the size where the spec names none.
    #[default]
    B4096,
}

impl RsaBits {
    /// The number of bits.
    pub const fn get(self) -> u16 {
        match self {
            Self::B2048 => 2048,
            Self::B3072 => 3072,
            Self::B4096 => 4096,
        }
    }
}

/// A size of RSA keys that is not offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("RSA keys have 2048, 3072 or 4096 bits, not {0}")]
pub struct RsaBitsError(u16);

impl TryFrom<u16> for RsaBits {
    type Error = RsaBitsError;

    fn try_from(bits: u16) -> Result<Self, Self::Error> {
        match bits {
            2048 => Ok(Self::B2048),
            3072 => Ok(Self::B3072),
            4096 => Ok(Self::B4096),
            other => Err(RsaBitsError(other)),
        }
    }
}

impl From<RsaBits> for u16 {
    fn from(bits: RsaBits) -> Self {
        bits.get()
    }
}

impl JsonSchema for RsaBits {
    fn schema_name() -> Cow<'static, str> {
        "RsaBits".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "format": "int32", "enum": [2048, 3072, 4096]})
    }
}

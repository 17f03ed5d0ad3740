//! Public keys as JSON (RFC 7517) and their names (RFC 7638).

use std::fmt;

use aws_lc_rs::digest;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{
    Algorithm, Error, KeyUse,
    algorithm::{Curve, KeyType},
    encoding,
    members::{self, Members},
};

/// The name of a key within its set (`kid`, RFC 7517 §4.5): any string; ours are RFC 7638 thumbprints.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl KeyId {
    /// Takes the string as it is.
    pub fn new(kid: impl Into<String>) -> Self {
        Self(kid.into())
    }

    /// The string itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for KeyId {
    fn from(kid: String) -> Self {
        Self(kid)
    }
}

impl From<&str> for KeyId {
    fn from(kid: &str) -> Self {
        Self(kid.to_owned())
    }
}

impl AsRef<str> for KeyId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A public key as JSON (RFC 7517). Written in the order kty, use, alg, kid, n, e, crv, x, y.
///
/// Reading one checks the form of its members: known `kty` and curve, base64url, full-length coordinates,
/// `alg` in accord with the key and with `use`. Unknown members and private ones are dropped.
/// Whether the numbers are a key at all shows when a [`Verifier`](crate::Verifier) meets a signature.
// Not jsonwebtoken's `Jwk`: its algorithms lack ES512 and ECDH-ES (they would become "UNKNOWN_ALGORITHM"
// when written back), and it has no private members.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "Members", into = "Members")]
pub struct PublicJwk {
    key_use: Option<KeyUse>,
    alg: Option<Algorithm>,
    kid: Option<KeyId>,
    parameters: Parameters,
}

/// The members that make up the key itself, in canonical base64url.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Parameters {
    Rsa { n: String, e: String },
    Ec { curve: Curve, x: String, y: String },
    Ed25519 { x: String },
}

impl PublicJwk {
    pub(crate) fn new(alg: Algorithm, kid: KeyId, parameters: Parameters) -> Self {
        Self { key_use: Some(alg.key_use()), alg: Some(alg), kid: Some(kid), parameters }
    }

    /// The member `use`, if it has one.
    pub fn key_use(&self) -> Option<KeyUse> {
        self.key_use
    }

    /// The member `alg`, if it has one. Keys of other parties often have none.
    pub fn alg(&self) -> Option<Algorithm> {
        self.alg
    }

    /// The member `kid`, if it has one.
    pub fn kid(&self) -> Option<&KeyId> {
        self.kid.as_ref()
    }

    /// The SHA-256 thumbprint of RFC 7638, base64url: the same for the same key, whatever its other members.
    pub fn thumbprint(&self) -> KeyId {
        self.parameters.thumbprint()
    }

    pub(crate) fn parameters(&self) -> &Parameters {
        &self.parameters
    }
}

impl Parameters {
    pub(crate) fn key_type(&self) -> KeyType {
        match self {
            Self::Rsa { .. } => KeyType::Rsa,
            Self::Ec { curve, .. } => KeyType::Ec(*curve),
            Self::Ed25519 { .. } => KeyType::Ed25519,
        }
    }

    pub(crate) fn thumbprint(&self) -> KeyId {
        // RFC 7638 §3.2: the required members in lexicographic order, without spaces. All values are
        // base64url or curve names, so none needs escaping.
        let canonical = match self {
            Self::Rsa { n, e } => format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#),
            Self::Ec { curve, x, y } => format!(r#"{{"crv":"{curve}","kty":"EC","x":"{x}","y":"{y}"}}"#),
            Self::Ed25519 { x } => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#),
        };
        KeyId(encoding::encode(digest::digest(&digest::SHA256, canonical.as_bytes())))
    }
}

impl TryFrom<&Members> for Parameters {
    type Error = Error;

    fn try_from(members: &Members) -> Result<Self, Error> {
        match members.kty.as_str() {
            "RSA" => Ok(Self::Rsa {
                n: encoding::encode(members::integer(members.n.as_ref())?),
                e: encoding::encode(members::integer(members.e.as_ref())?),
            }),
            "EC" => {
                let curve: Curve = members.crv.as_deref().unwrap_or_default().parse()?;
                Ok(Self::Ec {
                    curve,
                    x: coordinate(members.x.as_ref(), curve.field_len())?,
                    y: coordinate(members.y.as_ref(), curve.field_len())?,
                })
            }
            "OKP" if members.crv.as_deref() == Some("Ed25519") => {
                Ok(Self::Ed25519 { x: coordinate(members.x.as_ref(), 32)? })
            }
            "OKP" => Err(Error::InvalidKey("`crv` is not a supported curve")),
            _ => Err(Error::InvalidKey("`kty` is none of RSA, EC, OKP")),
        }
    }
}

/// A coordinate has the full length of the field, leading zeros included (RFC 7518 §6.2.1.2, RFC 8037 §2).
fn coordinate(member: Option<&String>, len: usize) -> Result<String, Error> {
    let bytes = members::bytes(member)?;
    if bytes.len() != len {
        return Err(Error::InvalidKey("a coordinate has the wrong length"));
    }
    Ok(encoding::encode(bytes))
}

impl TryFrom<&Members> for PublicJwk {
    type Error = Error;

    fn try_from(members: &Members) -> Result<Self, Error> {
        let parameters = Parameters::try_from(members)?;
        if let Some(alg) = members.alg {
            if alg.key_type() != parameters.key_type() {
                return Err(Error::InvalidKey("`alg` does not fit the key"));
            }
            if members.key_use.is_some_and(|key_use| key_use != alg.key_use()) {
                return Err(Error::InvalidKey("`alg` does not fit `use`"));
            }
        }
        Ok(Self { key_use: members.key_use, alg: members.alg, kid: members.kid.clone(), parameters })
    }
}

impl TryFrom<Members> for PublicJwk {
    type Error = Error;

    fn try_from(members: Members) -> Result<Self, Error> {
        Self::try_from(&members)
    }
}

impl From<PublicJwk> for Members {
    fn from(jwk: PublicJwk) -> Self {
        let mut members = Self { key_use: jwk.key_use, alg: jwk.alg, kid: jwk.kid, ..Self::default() };
        match jwk.parameters {
            Parameters::Rsa { n, e } => {
                "RSA".clone_into(&mut members.kty);
                (members.n, members.e) = (Some(n), Some(e));
            }
            Parameters::Ec { curve, x, y } => {
                "EC".clone_into(&mut members.kty);
                members.crv = Some(curve.to_string());
                (members.x, members.y) = (Some(x), Some(y));
            }
            Parameters::Ed25519 { x } => {
                "OKP".clone_into(&mut members.kty);
                members.crv = Some("Ed25519".to_owned());
                members.x = Some(x);
            }
        }
        members
    }
}

/// A JWK Set (RFC 7517 §5). Reading one skips the keys that this crate cannot use, as the RFC advises.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwkSet {
    /// The keys, in the order of the document.
    #[serde(deserialize_with = "usable_keys")]
    pub keys: Vec<PublicJwk>,
}

impl JwkSet {
    /// The first key with this `kid`.
    pub fn find(&self, kid: &KeyId) -> Option<&PublicJwk> {
        self.keys.iter().find(|key| key.kid() == Some(kid))
    }
}

fn usable_keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PublicJwk>, D::Error> {
    let keys = Vec::<serde_json::Value>::deserialize(deserializer)?;
    Ok(keys.into_iter().filter_map(|key| serde_json::from_value(key).ok()).collect())
}

#[cfg(test)]
mod tests;

//! The members of a JWK as they are written (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2), not yet understood.

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{Algorithm, Error, KeyId, KeyUse, encoding};

/// One flat list, so that members are always written in this order and a private JWK is never held
/// in the intermediate buffers that serde's `flatten` needs.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Members {
    pub(crate) kty: String,
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    pub(crate) key_use: Option<KeyUse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) alg: Option<Algorithm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kid: Option<KeyId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) n: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) e: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) crv: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) x: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) y: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) d: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) q: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dp: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) dq: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) qi: Option<Secret>,
}

/// A private member in base64url, wiped when dropped.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn encode(bytes: &[u8]) -> Self {
        Self(encoding::encode(bytes))
    }

    /// The bytes of a private member that has to be there.
    pub(crate) fn decode(member: Option<&Self>) -> Result<Zeroizing<Vec<u8>>, Error> {
        bytes(member.map(|secret| &secret.0)).map(Zeroizing::new)
    }
}

/// The bytes of a member that has to be there.
pub(crate) fn bytes(member: Option<&String>) -> Result<Vec<u8>, Error> {
    let text = member.ok_or(Error::InvalidKey("a JWK member is missing"))?;
    encoding::decode(text).ok_or(Error::InvalidKey("a JWK member is not base64url"))
}

/// The bytes of an unsigned integer without leading zeros (RFC 7518 §2, Base64urlUInt); some writers add one.
pub(crate) fn integer(member: Option<&String>) -> Result<Vec<u8>, Error> {
    let mut bytes = bytes(member)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.drain(..zeros);
    Ok(bytes)
}

//! The public keys that a client registers by value (RFC 7591 §2, `jwks`).

use jose::{JwkSet, PublicJwk};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A JWK Set of public keys (RFC 7517 §5): parsed, and as it was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub struct RegisteredKeys {
    document: Value,
    keys: JwkSet,
}

/// Why a document is no set of public keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    /// It has not the form of a set.
    #[error("{0}")]
    NoSet(&'static str),
    /// One of its keys cannot be used. The text holds nothing of the key.
    #[error("key {0}: {1}")]
    Key(usize, String),
}

impl RegisteredKeys {
    /// The keys.
    pub fn keys(&self) -> &JwkSet {
        &self.keys
    }

    /// The set as it was written, members of the keys that mean nothing here among it.
    pub fn document(&self) -> &Value {
        &self.document
    }
}

impl TryFrom<Value> for RegisteredKeys {
    type Error = InvalidKeys;

    fn try_from(document: Value) -> Result<Self, InvalidKeys> {
        let set = document.as_object().ok_or(InvalidKeys::NoSet("it is no object"))?;
        let written = set.get("keys").and_then(Value::as_array);
        let written = written.ok_or(InvalidKeys::NoSet("it has no array of keys"))?;
        let parsed = written
            .iter()
            .enumerate()
            .map(|(index, key)| public_key(key).map_err(|why| InvalidKeys::Key(index, why)));
        let keys = JwkSet { keys: parsed.collect::<Result<_, _>>()? };
        Ok(Self { document, keys })
    }
}

impl From<RegisteredKeys> for Value {
    fn from(keys: RegisteredKeys) -> Self {
        keys.document
    }
}

/// Reads the public key of another party, who must not hand over more than that.
///
/// # Errors
/// Why it is none, without any of its values.
pub(crate) fn public_key(key: &Value) -> Result<PublicJwk, String> {
    // The private and symmetric members of RFC 7518 §6; the value of one must not get into an error either.
    if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|private| key.get(private).is_some()) {
        return Err("it has a private part, which is its owner's to keep".to_owned());
    }
    serde_json::from_value(key.clone()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_set_is_written_back_as_it_came() {
        let coordinate = "A".repeat(43);
        let key = json!({"kty": "OKP", "crv": "Ed25519", "x": coordinate, "kid": "one", "x5t": "kept"});
        let document = json!({"keys": [key], "also": "kept"});
        let keys: RegisteredKeys = serde_json::from_value(document.clone()).unwrap();
        assert_eq!(keys.keys().keys.len(), 1);
        assert_eq!(serde_json::to_value(&keys).unwrap(), document);
    }
}

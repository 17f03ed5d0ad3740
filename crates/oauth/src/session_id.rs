//! The id of a login session.

use std::fmt;

use jose::Entropy;
use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

/// Names a login session: a random UUID, the `sid` of ID tokens and logout tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionId(Uuid);

impl SessionId {
    /// A new id.
    pub fn new(entropy: &Entropy) -> Self {
        Self::from_bytes(entropy.bytes())
    }

    /// The id made of these bytes, which are random or a digest.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Builder::from_random_bytes(bytes).into_uuid())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

/// The text is no session's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no UUID")]
pub struct InvalidSessionId;

impl std::str::FromStr for SessionId {
    type Err = InvalidSessionId;

    fn from_str(text: &str) -> Result<Self, InvalidSessionId> {
        Uuid::parse_str(text).map(Self).map_err(|_| InvalidSessionId)
    }
}

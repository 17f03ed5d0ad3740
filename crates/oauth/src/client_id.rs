//! The client identifier (RFC 6749 §2.2).

use std::fmt;

use serde::{Deserialize, Serialize};

/// A client identifier: 1 to 255 characters of printable ASCII without spaces.
///
/// RFC 6749 appendix A.1 would allow the space too; an id with one breaks log lines, URLs and `client_id` columns,
/// and the custom resource's schema refuses it as well.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientId(String);

/// Why a string is no client identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a client_id is 1 to 255 printable ASCII characters without spaces")]
pub struct InvalidClientId;

impl ClientId {
    /// The longest client id, in characters.
    pub const MAX_LEN: usize = 255;

    /// Parses a client id.
    ///
    /// # Errors
    /// [`InvalidClientId`] where the text is empty, too long, or holds other than printable ASCII.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidClientId> {
        let text = text.into();
        let valid = (1..=Self::MAX_LEN).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        if valid { Ok(Self(text)) } else { Err(InvalidClientId) }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for ClientId {
    type Error = InvalidClientId;

    fn try_from(text: String) -> Result<Self, InvalidClientId> {
        Self::parse(text)
    }
}

impl From<ClientId> for String {
    fn from(id: ClientId) -> Self {
        id.0
    }
}

impl AsRef<str> for ClientId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_printable_ascii_of_the_right_length_is_an_id() {
        for good in ["a", "orders-service", "../keys/x", "%2e%2e", &"x".repeat(255)] {
            assert!(ClientId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "a\n", "ü", &"x".repeat(256)] {
            assert!(ClientId::parse(bad).is_err(), "{bad}");
        }
    }
}

//! The session at the identity provider that a login was made in.

use serde::{Deserialize, Serialize};

/// The id of such a session, as the login app names it (Hydra's `identity_provider_session_id`): up to
/// [`Self::LONGEST`] visible ASCII characters. It can stand as one segment of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdentityProviderSessionId(String);

/// Text that is no such id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("empty, longer than 255 characters, of dots alone, or with others than visible ASCII characters")]
pub struct InvalidIdentityProviderSessionId;

impl IdentityProviderSessionId {
    /// The longest one, in characters.
    pub const LONGEST: usize = 255;

    /// Reads an id.
    ///
    /// # Errors
    /// [`InvalidIdentityProviderSessionId`].
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidIdentityProviderSessionId> {
        let text = text.into();
        // Of dots alone, a path leads elsewhere.
        let is_dots = text.bytes().all(|byte| byte == b'.');
        let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_dots || !is_visible || text.len() > Self::LONGEST {
            return Err(InvalidIdentityProviderSessionId);
        }
        Ok(Self(text))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for IdentityProviderSessionId {
    type Error = InvalidIdentityProviderSessionId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(text)
    }
}

impl From<IdentityProviderSessionId> for String {
    fn from(id: IdentityProviderSessionId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_visible_and_one_segment_of_a_path() {
        for right in ["7f5e1c1e-5b0a-4c33-9f0a-1d1f6d2f5a11", "a.b", "a/../b?c#d%2F"] {
            assert_eq!(IdentityProviderSessionId::parse(right).unwrap().as_str(), right);
        }
        let long = "x".repeat(256);
        for wrong in ["", ".", "..", "a b", "a\n", "a\0", "é", &long] {
            assert!(IdentityProviderSessionId::parse(wrong).is_err(), "{wrong}");
        }
    }
}

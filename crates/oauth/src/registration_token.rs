//! Registration access tokens: what lets a client manage its own registration (RFC 7592 §3).

use jose::{Entropy, KeyRing, SealPurpose};
use serde::{Deserialize, Serialize};

use crate::{ClientId, Incarnation, sealed};

/// What registration access tokens begin with.
pub const PREFIX: &str = "ory_rat_";

/// The right to read, change and delete one client's registration.
///
/// It is sealed, and nothing of it is stored: the client's row counts how many it was given, and the last one alone is
/// valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationToken {
    /// The client.
    pub client_id: ClientId,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// Which of the tokens it is that the client was given.
    pub generation: i64,
}

impl RegistrationToken {
    /// The token as text.
    pub fn seal(&self, ring: &KeyRing, entropy: &Entropy) -> String {
        format!("{PREFIX}{}", sealed::seal(ring, SealPurpose::RegistrationToken, self, entropy))
    }

    /// Opens a token; `None` for anything else. Whether it is the client's last one, the client's row says.
    pub fn open(ring: &KeyRing, text: &str) -> Option<Self> {
        sealed::open(ring, SealPurpose::RegistrationToken, text.strip_prefix(PREFIX)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jose::RootKey;

    #[test]
    fn a_token_opens_where_it_was_sealed_and_as_nothing_else() {
        let entropy = Entropy::seeded(1);
        let ring = KeyRing::new(vec![RootKey::generate(1, &entropy)]).unwrap();
        let other = KeyRing::new(vec![RootKey::generate(1, &entropy)]).unwrap();
        let client_id = ClientId::parse("orders").unwrap();
        let token = RegistrationToken { client_id, incarnation: Incarnation(7), generation: 2 };
        let text = token.seal(&ring, &entropy);
        assert_eq!(RegistrationToken::open(&ring, &text), Some(token.clone()));
        assert_ne!(token.seal(&ring, &entropy), text);
        let bare = &text[PREFIX.len()..];
        for wrong in [bare.to_owned(), format!("{text}A"), format!("ory_at_{bare}"), String::new()] {
            assert_eq!(RegistrationToken::open(&ring, &wrong), None, "{wrong}");
        }
        assert_eq!(RegistrationToken::open(&other, &text), None);
        assert!(crate::AccessToken::open(&ring, &text).is_err());
    }
}

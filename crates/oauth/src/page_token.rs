//! Where the next page of a list begins.

use jiff::{SignedDuration, Timestamp};
use jose::{Entropy, KeyRing, SealPurpose};
use serde::{Deserialize, Serialize};

use crate::sealed;

/// For how long a list can be gone on with.
const LIFETIME: SignedDuration = SignedDuration::from_hours(1);

/// A place in a list that is sorted by one key. Callers get it sealed: what the key is, and how places are told, is not
/// theirs to rely on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageToken {
    after: String,
    expires_at: i64,
}

impl PageToken {
    /// The place behind a key; the empty one is the beginning.
    pub fn after(key: impl Into<String>, now: Timestamp) -> Self {
        let expires_at = now.as_second().saturating_add(LIFETIME.as_secs());
        Self { after: key.into(), expires_at }
    }

    /// The key behind which the page begins.
    pub fn into_key(self) -> String {
        self.after
    }

    /// The token as text that a URL may hold.
    pub fn seal(&self, ring: &KeyRing, entropy: &Entropy) -> String {
        sealed::seal(ring, SealPurpose::PageToken, self, entropy)
    }

    /// Opens what [`Self::seal`] made within the last hour; `None` for anything else.
    pub fn open(ring: &KeyRing, text: &str, now: Timestamp) -> Option<Self> {
        let token: Self = sealed::open(ring, SealPurpose::PageToken, text)?;
        (now.as_second() < token.expires_at).then_some(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jose::RootKey;

    #[test]
    fn a_token_opens_for_an_hour_and_only_where_it_was_sealed() {
        let entropy = Entropy::seeded(1);
        let ring = KeyRing::new(vec![RootKey::generate(1, &entropy)]).unwrap();
        let other = KeyRing::new(vec![RootKey::generate(1, &entropy)]).unwrap();
        let now = Timestamp::from_second(1_000_000).unwrap();
        let text = PageToken::after("orders", now).seal(&ring, &entropy);
        let at = |seconds: i64| now + SignedDuration::from_secs(seconds);
        let cases = [
            (&ring, text.clone(), 0, true),
            (&ring, text.clone(), 3599, true),
            (&ring, text.clone(), 3600, false),
            (&other, text.clone(), 0, false),
            (&ring, format!("{text}A"), 0, false),
            (&ring, "orders".to_owned(), 0, false),
            (&ring, String::new(), 0, false),
        ];
        for (ring, text, seconds, opens) in cases {
            let key = PageToken::open(ring, &text, at(seconds)).map(PageToken::into_key);
            assert_eq!(key.as_deref(), opens.then_some("orders"), "{text} after {seconds} s");
        }
    }
}

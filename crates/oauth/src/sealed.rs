//! Values that travel through the browser, rest in rows or are tokens, sealed.
//!
//! ```text
//! base64url( seal( version (1) ‖ postcard(value) ) )
//! ```

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jose::{Entropy, KeyRing, SealPurpose};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The version of the layout. A value with another one is refused as if it were not ours.
const VERSION: u8 = 1;

/// Seals a value for one purpose, as text that a URL may hold.
pub(crate) fn seal(
    ring: &KeyRing,
    purpose: SealPurpose,
    value: &impl Serialize,
    entropy: &Entropy,
) -> String {
    URL_SAFE_NO_PAD.encode(seal_bytes(ring, purpose, value, entropy))
}

/// Opens what [`seal`] made for the same purpose; `None` for anything else.
pub(crate) fn open<T: DeserializeOwned>(ring: &KeyRing, purpose: SealPurpose, text: &str) -> Option<T> {
    open_bytes(ring, purpose, &URL_SAFE_NO_PAD.decode(text).ok()?)
}

/// Seals a value for one purpose, for a row of the database.
pub(crate) fn seal_bytes(
    ring: &KeyRing,
    purpose: SealPurpose,
    value: &impl Serialize,
    entropy: &Entropy,
) -> Vec<u8> {
    ring.seal(purpose, &plaintext(value), entropy.bytes())
}

/// What is sealed of a value.
#[expect(
    clippy::expect_used,
    reason = "what is sealed is made of strings, numbers and lists, written to memory"
)]
pub(crate) fn plaintext(value: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(value, vec![VERSION]).expect("plain data serialises")
}

/// Opens what [`seal_bytes`] made for the same purpose; `None` for anything else.
pub(crate) fn open_bytes<T: DeserializeOwned>(
    ring: &KeyRing,
    purpose: SealPurpose,
    sealed: &[u8],
) -> Option<T> {
    let plaintext = ring.open(purpose, sealed).ok()?;
    let (version, value) = plaintext.split_first()?;
    if *version != VERSION {
        return None;
    }
    postcard::from_bytes(value).ok()
}

/// Bytes as text that a URL or a cookie may hold.
pub(crate) fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jose::RootKey;

    #[test]
    fn a_value_of_another_version_is_refused_like_one_that_is_not_ours() {
        let ring = KeyRing::new(vec![RootKey::generate(1, &Entropy::seeded(1))]).unwrap();
        let opened = |plaintext: &[u8]| {
            let sealed = ring.seal(SealPurpose::Grant, plaintext, [0; 24]);
            open_bytes::<String>(&ring, SealPurpose::Grant, &sealed)
        };
        let plaintext = plaintext(&"value");
        assert_eq!(opened(&plaintext).as_deref(), Some("value"));
        for version in [0, 2, 255] {
            assert_eq!(opened(&[&[version], &plaintext[1..]].concat()), None, "{version}");
        }
        assert_eq!(opened(&plaintext[1..]), None);
        assert_eq!(opened(&[]), None);
    }
}

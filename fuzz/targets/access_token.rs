//! Opaque access tokens: what was sealed comes back, and nothing else opens.
#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use jiff::Timestamp;
use jose::{Entropy, KeyRing};
use libfuzzer_sys::fuzz_target;
use oauth::access_token::{PREFIX, Rights};
use oauth::{AccessToken, Audience, ClientId, Incarnation, TokenId};
use support::Edits;

static RING: LazyLock<KeyRing> = LazyLock::new(support::ring);

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    text: &'a str,
    id: [u8; 16],
    client_id: &'a str,
    incarnation: i64,
    epoch: i64,
    issued_at: i64,
    lifetime: u32,
    scope: &'a str,
    audience: Vec<&'a str>,
    edits: Edits,
}

impl Input<'_> {
    fn token(&self) -> Option<AccessToken> {
        let audience = self.audience.iter().map(|text| Audience::parse(*text));
        let expires_at = self.issued_at.checked_add(self.lifetime.into())?;
        Some(AccessToken {
            id: TokenId(self.id),
            incarnation: Incarnation(self.incarnation),
            epoch: self.epoch,
            issued_at: Timestamp::from_second(self.issued_at).ok()?,
            expires_at: Timestamp::from_second(expires_at).ok()?,
            rights: Rights::OfClient {
                client_id: ClientId::parse(self.client_id).ok()?,
                scope: self.scope.parse().ok()?,
                audience: audience.collect::<Result<_, _>>().ok()?,
                claims: String::new(),
            },
        })
    }
}

fuzz_target!(|input: Input<'_>| {
    assert!(AccessToken::open(&RING, input.text).is_err(), "nobody makes a token up");
    assert!(AccessToken::open_key(&RING, input.text).is_err());

    let Some(token) = input.token() else { return };
    let Ok(key) = token.seal(&RING, &Entropy::seeded(2)) else { return };
    let text = key.sign(&RING);
    assert_eq!(AccessToken::open(&RING, &text).as_ref(), Ok(&token));
    assert_eq!(AccessToken::open_key(&RING, key.as_str()).as_ref(), Ok(&token));

    let without_prefix = |text: &str| text.strip_prefix(PREFIX).unwrap_or(text).to_owned();
    let changed = input.edits.apply(&text);
    if without_prefix(&changed) != without_prefix(&text) {
        assert!(AccessToken::open(&RING, &changed).is_err(), "{changed} opens like {text}");
    }
    let changed = input.edits.apply(key.as_str());
    if changed != key.as_str() {
        assert!(AccessToken::open_key(&RING, &changed).is_err(), "{changed} opens like {}", key.as_str());
    }
});

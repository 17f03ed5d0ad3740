use proptest::prelude::*;

use super::*;
use crate::Entropy;

/// The same generation from the same seed is the same root key.
fn root(generation: u8, seed: u64) -> RootKey {
    RootKey::generate(generation, &Entropy::seeded(seed))
}

fn ring() -> KeyRing {
    KeyRing::new(vec![root(1, 1)]).unwrap()
}

fn kid() -> KeyId {
    KeyId::from("a-key")
}

/// Every value that differs from `sealed` in one bit.
fn flips(sealed: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..sealed.len() * 8).map(|bit| {
        let mut flipped = sealed.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    })
}

#[test]
fn a_flipped_bit_never_opens() {
    // A second generation, so that a flip in the first byte can name another key that exists.
    let ring = KeyRing::new(vec![root(1, 1), root(0, 2), root(3, 3)]).unwrap();
    let sealed = ring.seal(SealPurpose::AccessToken, b"payload", [7; 24]);
    for flipped in flips(&sealed) {
        assert_eq!(ring.open(SealPurpose::AccessToken, &flipped), Err(Error::NotOpened));
    }
    let sealed = ring.seal_jwk("set", &kid(), "{}", [7; 12]);
    for flipped in flips(&sealed) {
        assert_eq!(ring.open_jwk("set", &kid(), &flipped), Err(Error::NotOpened));
    }
    let mac = ring.mac(MacPurpose::TokenSignature, &[b"part"]);
    for flipped in flips(&mac.tag) {
        assert!(!ring.verify_mac(MacPurpose::TokenSignature, &[b"part"], mac.generation, &flipped));
    }
}

#[test]
fn what_is_cut_short_never_opens() {
    let ring = ring();
    let sealed = ring.seal(SealPurpose::AccessToken, b"payload", [7; 24]);
    let jwk = ring.seal_jwk("set", &kid(), "{}", [7; 12]);
    for len in 0..sealed.len() {
        assert_eq!(ring.open(SealPurpose::AccessToken, &sealed[..len]), Err(Error::NotOpened));
    }
    for len in 0..jwk.len() {
        assert_eq!(ring.open_jwk("set", &kid(), &jwk[..len]), Err(Error::NotOpened));
    }
}

#[test]
fn purposes_do_not_mix() {
    let ring = ring();
    for (i, purpose) in MacPurpose::ALL.into_iter().enumerate() {
        assert_eq!(purpose as usize, i, "keys are kept in the order of declaration");
        let mac = ring.mac(purpose, &[b"part"]);
        for other in MacPurpose::ALL {
            assert_eq!(ring.verify_mac(other, &[b"part"], 1, &mac.tag), other == purpose);
        }
    }
    for (i, purpose) in SealPurpose::ALL.into_iter().enumerate() {
        assert_eq!(purpose as usize, i, "keys are kept in the order of declaration");
        let sealed = ring.seal(purpose, b"payload", [7; 24]);
        for other in SealPurpose::ALL {
            assert_eq!(ring.open(other, &sealed).is_ok(), other == purpose);
        }
    }
    let jwk = ring.seal_jwk("set", &kid(), "{}", [7; 12]);
    assert!(ring.open(SealPurpose::AccessToken, &jwk).is_err());
    let token = ring.seal(SealPurpose::AccessToken, b"{}", [7; 24]);
    assert!(ring.open_jwk("set", &kid(), &token).is_err());
}

#[test]
fn every_purpose_has_a_key_of_its_own() {
    let seals = SealPurpose::ALL.map(SealPurpose::label);
    let macs = MacPurpose::ALL.map(MacPurpose::label);
    let labels = [&seals[..], &macs[..], &[JWK_AT_REST]].concat();
    let distinct: std::collections::HashSet<_> = labels.iter().collect();
    assert_eq!(distinct.len(), labels.len());
    assert!(labels.iter().all(|label| label.starts_with("keywright/")));
}

#[test]
fn a_jwk_opens_only_in_its_own_row() {
    let ring = ring();
    let sealed = ring.seal_jwk("set", &kid(), "{\"kty\":\"EC\"}", [7; 12]);
    assert_eq!(*ring.open_jwk("set", &kid(), &sealed).unwrap(), "{\"kty\":\"EC\"}");
    for (set, kid) in
        [("other", "a-key"), ("set", "b-key"), ("seta", "-key"), ("", "seta-key"), ("a-key", "set")]
    {
        assert_eq!(ring.open_jwk(set, &kid.into(), &sealed), Err(Error::NotOpened), "{set} {kid}");
    }
}

#[test]
fn the_newest_generation_seals_and_all_open() {
    let old = KeyRing::new(vec![root(1, 1)]).unwrap();
    let both = KeyRing::new(vec![root(1, 1), root(2, 2)]).unwrap();
    let new = KeyRing::new(vec![root(2, 2)]).unwrap();
    assert_eq!((old.current_generation(), both.current_generation()), (1, 2));

    let before = old.seal(SealPurpose::AccessToken, b"before", [7; 24]);
    assert_eq!(**both.open(SealPurpose::AccessToken, &before).unwrap(), *b"before");
    let after = both.seal(SealPurpose::AccessToken, b"after", [7; 24]);
    assert_eq!((before[0], after[0]), (1, 2));
    assert_eq!(**new.open(SealPurpose::AccessToken, &after).unwrap(), *b"after");
    assert_eq!(old.open(SealPurpose::AccessToken, &after), Err(Error::NotOpened));

    let jwk = old.seal_jwk("set", &kid(), "{}", [7; 12]);
    assert_eq!(*both.open_jwk("set", &kid(), &jwk).unwrap(), "{}");
    assert_eq!(new.open_jwk("set", &kid(), &jwk), Err(Error::NotOpened));

    let mac = old.mac(MacPurpose::ClientSecret, &[b"part"]);
    let verify = |ring: &KeyRing, generation| {
        ring.verify_mac(MacPurpose::ClientSecret, &[b"part"], generation, &mac.tag)
    };
    assert!(verify(&both, 1));
    assert!(!verify(&both, 2));
    assert!(!verify(&new, 1));
}

#[test]
fn two_databases_do_not_open_each_others_data() {
    let (one, other) = (KeyRing::new(vec![root(1, 1)]).unwrap(), KeyRing::new(vec![root(1, 2)]).unwrap());
    let sealed = one.seal(SealPurpose::AccessToken, b"payload", [7; 24]);
    assert_eq!(other.open(SealPurpose::AccessToken, &sealed), Err(Error::NotOpened));
}

#[test]
fn a_ring_needs_roots_of_different_generations() {
    assert!(matches!(KeyRing::new(vec![]), Err(Error::InvalidKey(_))));
    assert!(matches!(KeyRing::new(vec![root(1, 1), root(2, 2), root(1, 3)]), Err(Error::InvalidKey(_))));
}

#[test]
fn a_code_of_another_length_is_refused() {
    let ring = ring();
    let mac = ring.mac(MacPurpose::TokenSignature, &[b"part"]);
    let longer = [&mac.tag[..], &[0]].concat();
    for tag in [&[][..], &mac.tag[..16], &longer] {
        assert!(!ring.verify_mac(MacPurpose::TokenSignature, &[b"part"], 1, tag), "{} bytes", tag.len());
    }
}

/// Stored data depends on these bytes: if one changes, existing databases no longer open. Computed apart from
/// this code, from the definitions of HKDF, HMAC and AES-GCM, for the root key that seed 1 gives.
#[test]
fn the_format_stays() {
    let hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    let ring = ring();
    assert_eq!(
        hex(&ring.mac(MacPurpose::TokenSignature, &[b"a", b"bc"]).tag),
        "4d3218650cfe760ebb60b4a7d66b12d791186d7468d049fd54c93e7b1ed392d2"
    );
    assert_eq!(
        hex(&ring.mac(MacPurpose::ClientSecret, &[]).tag),
        "67dbd2dbe5edcfaeda8f0e5155c59170d67382c1922b35197597cb4dcbcb6874"
    );
    assert_eq!(
        hex(&ring.seal_jwk("set", &kid(), "{}", [7; 12])),
        "010707070707070707070707078e7b0ee5d3ef9e9c2a797ff231a3b3c62fa5"
    );
    assert_eq!(
        hex(&ring.seal(SealPurpose::AccessToken, b"payload", [7; 24])),
        "010707070707070707070707070707070707070707070707077d1ac28fa6c1533eeda032530b362edae8162f4603f516"
    );
}

#[test]
fn debug_tells_generations_and_no_keys() {
    let ring = KeyRing::new(vec![root(1, 1), root(2, 2)]).unwrap();
    assert_eq!(format!("{ring:?}"), "KeyRing[2, 1]");
    assert_eq!(format!("{:?}", ring.mac(MacPurpose::TokenSignature, &[])), "Mac { generation: 2, .. }");
}

proptest! {
    #[test]
    fn what_is_sealed_opens(plaintext: Vec<u8>, nonce: [u8; 24]) {
        let ring = ring();
        let sealed = ring.seal(SealPurpose::AccessToken, &plaintext, nonce);
        prop_assert_eq!(sealed.len(), 1 + 24 + plaintext.len() + 16);
        prop_assert_eq!(&**ring.open(SealPurpose::AccessToken, &sealed).unwrap(), &plaintext);
    }

    #[test]
    fn a_sealed_jwk_opens(set: String, kid: String, jwk: String, nonce: [u8; 12]) {
        let (ring, kid) = (ring(), KeyId::from(kid));
        let sealed = ring.seal_jwk(&set, &kid, &jwk, nonce);
        prop_assert_eq!(&*ring.open_jwk(&set, &kid, &sealed).unwrap(), &jwk);
    }

    #[test]
    fn no_two_lists_of_parts_have_the_same_code(one: Vec<Vec<u8>>, other: Vec<Vec<u8>>) {
        let ring = ring();
        let tag = |parts: &[Vec<u8>]| {
            let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            ring.mac(MacPurpose::TokenSignature, &parts).tag
        };
        prop_assert_eq!(tag(&one) == tag(&other), one == other);
        // The same bytes, split elsewhere: the likeliest collision.
        let joined = vec![one.concat()];
        prop_assert_eq!(tag(&one) == tag(&joined), one == joined);
    }

    #[test]
    fn nothing_makes_opening_panic(sealed: Vec<u8>) {
        let ring = KeyRing::new((0..=4).map(|generation| root(generation, 1)).collect()).unwrap();
        prop_assert!(ring.open(SealPurpose::AccessToken, &sealed).is_err());
        prop_assert!(ring.open_jwk("set", &kid(), &sealed).is_err());
    }
}

//! Signed tokens: what was signed verifies, and nothing else does, not even the same in other letters.
#![no_main]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use jose::{Algorithm, JwsHeader, PrivateKey, RsaBits, Signer, SigningAlgorithm, Verifier};
use libfuzzer_sys::fuzz_target;
use serde_json::json;
use support::Edits;

static KEYS: LazyLock<Vec<(Signer, Verifier)>> = LazyLock::new(|| {
    let algorithms =
        [SigningAlgorithm::EdDsa, SigningAlgorithm::Es256, SigningAlgorithm::Es512, SigningAlgorithm::Ps256];
    let pair = |algorithm| {
        let key = PrivateKey::generate(Algorithm::Signing(algorithm), RsaBits::B2048).expect("a key");
        let verifier = Verifier::from_jwk(key.public_jwk()).expect("a public key");
        (key.signer().expect("a signing key"), verifier)
    };
    algorithms.into_iter().map(pair).collect()
});

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    text: &'a str,
    key: u8,
    typ: &'a str,
    claims: BTreeMap<&'a str, Option<&'a str>>,
    edits: Edits,
}

fuzz_target!(|input: Input<'_>| {
    let _ = JwsHeader::parse(input.text);
    for (_, verifier) in &*KEYS {
        assert!(verifier.verify(input.text).is_err(), "nobody makes a signature up");
    }

    let chosen = usize::from(input.key) % KEYS.len();
    let (signer, verifier) = &KEYS[chosen];
    let token = signer.sign(input.typ, &input.claims).expect("an object is signed");
    assert_eq!(verifier.verify(&token), Ok(json!(input.claims)));
    let header = JwsHeader::parse(&token).expect("a header");
    assert_eq!((header.alg, header.kid.as_ref()), (signer.algorithm(), Some(signer.key_id())));
    for (index, (_, other)) in KEYS.iter().enumerate() {
        assert!(index == chosen || other.verify(&token).is_err());
    }

    let changed = input.edits.apply(&token);
    let _ = JwsHeader::parse(&changed);
    if changed != token {
        assert!(verifier.verify(&changed).is_err(), "{changed} verifies like {token}");
    }
});

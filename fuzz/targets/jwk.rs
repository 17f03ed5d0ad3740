//! Keys of other parties: whatever is read is written back the same, and a private key that is taken works.
#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use jose::{Algorithm, JwkSet, PrivateKey, PublicJwk, RsaBits, SigningAlgorithm, Verifier};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use support::Edits;

/// Private keys, one of each type.
static KEYS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let algorithms = [
        SigningAlgorithm::EdDsa,
        SigningAlgorithm::Es256,
        SigningAlgorithm::Es384,
        SigningAlgorithm::Es512,
        SigningAlgorithm::Rs256,
    ];
    let key = |algorithm| {
        let key = PrivateKey::generate(Algorithm::Signing(algorithm), RsaBits::B2048).expect("a key");
        serde_json::from_str(&key.to_jwk().expect("a JWK")).expect("JSON")
    };
    algorithms.into_iter().map(key).collect()
});

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    text: &'a str,
    key: u8,
    changes: Vec<Change<'a>>,
}

/// A change of one member of a key.
#[derive(Arbitrary, Debug)]
enum Change<'a> {
    Set(u8, &'a str),
    Edit(u8, Edits),
    Remove(u8),
    /// The same member of another key.
    Swap(u8, u8),
}

const MEMBERS: [&str; 15] =
    ["kty", "use", "alg", "kid", "n", "e", "crv", "x", "y", "d", "p", "q", "dp", "dq", "qi"];

fn member(index: u8) -> &'static str {
    MEMBERS[usize::from(index) % MEMBERS.len()]
}

fn public(text: &str) {
    let Ok(jwk) = serde_json::from_str::<PublicJwk>(text) else { return };
    let written = json!(jwk);
    let again: PublicJwk = serde_json::from_value(written.clone()).expect("what was written can be read");
    assert_eq!(again, jwk);
    assert_eq!(again.thumbprint(), jwk.thumbprint());
    assert!(written.get("d").is_none(), "a public key has no private half");
    let token = "eyJhbGciOiJFUzI1NiJ9.e30.AAAA";
    for algorithm in SigningAlgorithm::ALL {
        if let Ok(verifier) = Verifier::for_algorithm(&jwk, algorithm) {
            assert!(verifier.verify(token).is_err());
        }
    }
    let _ = Verifier::from_jwk(&jwk);
}

fn private(text: &str) {
    let Ok(key) = PrivateKey::from_jwk(text) else { return };
    let written = key.to_jwk().expect("a JWK");
    let again = PrivateKey::from_jwk(&written).expect("what was written can be read");
    assert_eq!(again.public_jwk(), key.public_jwk());
    if let Ok(signer) = key.signer() {
        let token = signer.sign("JWT", &json!({"sub": "x"})).expect("a token");
        let verifier = Verifier::from_jwk(key.public_jwk()).expect("the public half is a key");
        assert!(verifier.verify(&token).is_ok(), "the halves belong together: {text}");
    }
}

fuzz_target!(|input: Input<'_>| {
    public(input.text);
    private(input.text);
    if let Ok(set) = serde_json::from_str::<JwkSet>(input.text) {
        let again: JwkSet = serde_json::from_value(json!(set)).expect("what was written can be read");
        assert_eq!(again, set);
    }

    let mut jwk = KEYS[usize::from(input.key) % KEYS.len()].clone();
    for change in &input.changes {
        match change {
            Change::Set(index, value) => jwk[member(*index)] = json!(value),
            Change::Edit(index, edits) => {
                if let Some(Value::String(value)) = jwk.get_mut(member(*index)) {
                    *value = edits.apply(value);
                }
            }
            Change::Remove(index) => {
                jwk.as_object_mut().expect("an object").remove(member(*index));
            }
            Change::Swap(index, other) => {
                let other = &KEYS[usize::from(*other) % KEYS.len()];
                if let Some(value) = other.get(member(*index)) {
                    jwk[member(*index)] = value.clone();
                }
            }
        }
    }
    let text = jwk.to_string();
    public(&text);
    private(&text);
    let set: JwkSet =
        serde_json::from_value(json!({"keys": [jwk, KEYS[0]]})).expect("a set skips what it cannot use");
    assert!(!set.keys.is_empty());
});

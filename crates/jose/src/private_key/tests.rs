use serde_json::{Value, json};

use super::*;
use crate::{EncryptionAlgorithm, SigningAlgorithm, Verifier, encoding};

fn generate(algorithm: impl Into<Algorithm>) -> PrivateKey {
    PrivateKey::generate(algorithm.into(), RsaBits::B2048).unwrap()
}

fn jwk(key: &PrivateKey) -> Value {
    serde_json::from_str(&key.to_jwk().unwrap()).unwrap()
}

fn read(jwk: &Value) -> Result<PrivateKey, Error> {
    PrivateKey::from_jwk(&jwk.to_string())
}

#[test]
fn every_kind_of_key_survives_being_written_and_read() {
    let signing = SigningAlgorithm::ALL.into_iter().map(Algorithm::Signing);
    for algorithm in signing.chain(EncryptionAlgorithm::ALL.into_iter().map(Algorithm::Encryption)) {
        let key = generate(algorithm);
        let json = key.to_jwk().unwrap();
        let read = PrivateKey::from_jwk(&json).unwrap();
        assert_eq!(*read.to_jwk().unwrap(), *json, "{algorithm}");
        assert_eq!(read.public_jwk(), key.public_jwk(), "{algorithm}");
        assert_eq!((read.algorithm(), read.key_id()), (algorithm, key.key_id()));
    }
}

#[test]
fn a_key_read_back_signs_for_the_same_public_key() {
    for algorithm in [SigningAlgorithm::Ps256, SigningAlgorithm::Es384, SigningAlgorithm::EdDsa] {
        let key = generate(algorithm);
        let read = PrivateKey::from_jwk(&key.to_jwk().unwrap()).unwrap();
        let token = read.signer().unwrap().sign("JWT", &json!({"n": 1})).unwrap();
        let claims = Verifier::from_jwk(key.public_jwk()).unwrap().verify(&token);
        assert_eq!(claims, Ok(json!({"n": 1})), "{algorithm}");
    }
}

#[test]
fn the_public_half_says_what_the_key_is_for() {
    for (algorithm, key_use) in [
        (Algorithm::Signing(SigningAlgorithm::Es256), "sig"),
        (Algorithm::Encryption(EncryptionAlgorithm::EcdhEsA256Kw), "enc"),
    ] {
        let key = generate(algorithm);
        let public = serde_json::to_value(key.public_jwk()).unwrap();
        assert_eq!(public["use"], key_use);
        assert_eq!(public["alg"], algorithm.as_str());
        assert_eq!(public["crv"], "P-256");
        assert_eq!(public["kid"], key.public_jwk().thumbprint().as_str());
        assert_eq!(public.get("d"), None);
    }
}

#[test]
fn rsa_keys_have_the_length_asked_for() {
    for bits in [RsaBits::B2048, RsaBits::B3072] {
        let key = PrivateKey::generate(SigningAlgorithm::Rs256.into(), bits).unwrap();
        let n = encoding::decode(jwk(&key)["n"].as_str().unwrap()).unwrap();
        assert_eq!(n.len() * 8, u32::from(bits) as usize);
        assert_eq!(n[0] >> 7, 1);
    }
}

#[test]
fn private_rsa_members_are_those_of_rfc_7518() {
    let key = generate(EncryptionAlgorithm::RsaOaep256);
    let json = key.to_jwk().unwrap();
    let positions: Vec<_> = ["kty", "use", "alg", "kid", "n", "e", "d", "p", "q", "dp", "dq", "qi"]
        .map(|member| json.find(&format!("\"{member}\":")).unwrap_or_else(|| panic!("{member}")))
        .into();
    assert!(positions.is_sorted(), "{positions:?}");
    assert_eq!(jwk(&key).as_object().unwrap().len(), 12);
}

#[test]
fn encryption_keys_refuse_to_sign() {
    for algorithm in EncryptionAlgorithm::ALL {
        let refusal = generate(algorithm).signer().unwrap_err();
        assert_eq!(refusal, Error::InvalidKey("an encryption key never signs"), "{algorithm}");
    }
}

#[test]
fn a_foreign_name_is_kept_and_a_missing_one_is_the_thumbprint() {
    let mut jwk = jwk(&generate(SigningAlgorithm::EdDsa));
    let thumbprint = jwk["kid"].take();
    assert_eq!(read(&jwk).unwrap().key_id().as_str(), thumbprint.as_str().unwrap());
    jwk["kid"] = "public:hydra.openid.id-token".into();
    let key = read(&jwk).unwrap();
    assert_eq!(key.key_id().as_str(), "public:hydra.openid.id-token");
    assert_eq!(key.public_jwk().kid(), Some(key.key_id()));
}

#[test]
fn halves_that_do_not_belong_together_are_refused() {
    for algorithm in [SigningAlgorithm::Rs256, SigningAlgorithm::Es512, SigningAlgorithm::EdDsa] {
        let (mut one, other) = (jwk(&generate(algorithm)), jwk(&generate(algorithm)));
        one["d"] = other["d"].clone();
        assert!(matches!(read(&one), Err(Error::InvalidKey(_))), "{algorithm}");
    }
}

#[test]
fn an_rsa_key_needs_all_its_members() {
    let whole = jwk(&generate(SigningAlgorithm::Rs256));
    for member in ["n", "e", "d", "p", "q", "dp", "dq", "qi"] {
        let mut jwk = whole.clone();
        jwk[member].take();
        assert!(read(&jwk).is_err(), "without {member}");
        jwk[member] = "AQAB".into();
        assert_eq!(read(&jwk).is_ok(), member == "e", "with another {member}");
    }
}

#[test]
fn what_is_no_private_key_is_refused() {
    let whole = jwk(&generate(SigningAlgorithm::Es256));
    let without = |member: &str| {
        let mut jwk = whole.clone();
        jwk.as_object_mut().unwrap().remove(member);
        jwk
    };
    let with = |member: &str, value: &str| {
        let mut jwk = whole.clone();
        jwk[member] = value.into();
        jwk
    };
    for (what, jwk) in [
        ("a public key", without("d")),
        ("no algorithm", without("alg")),
        ("another algorithm", with("alg", "EdDSA")),
        ("a symmetric algorithm", with("alg", "HS256")),
        ("another use", with("use", "enc")),
        ("a short private number", with("d", "AQAB")),
        ("a list", json!([])),
        ("text", json!("key")),
    ] {
        assert!(matches!(read(&jwk), Err(Error::InvalidKey(_))), "{what}");
    }
    assert!(PrivateKey::from_jwk("").is_err());
}

#[test]
fn debug_does_not_tell_the_key() {
    let key = generate(SigningAlgorithm::Es256);
    let text = format!("{key:?} {:?}", key.signer().unwrap());
    assert!(text.contains(key.key_id().as_str()));
    assert!(!text.contains(jwk(&key)["d"].as_str().unwrap()));
    assert!(text.len() < 300, "{text}");
}

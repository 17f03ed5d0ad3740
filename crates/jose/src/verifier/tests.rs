use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{EncryptionAlgorithm, KeyId, PrivateKey, RsaBits};

fn generate(algorithm: impl Into<Algorithm>) -> PrivateKey {
    PrivateKey::generate(algorithm.into(), RsaBits::B2048).unwrap()
}

fn verifier(key: &PrivateKey) -> Verifier {
    Verifier::from_jwk(key.public_jwk()).unwrap()
}

fn sign(key: &PrivateKey, claims: &Value) -> String {
    key.signer().unwrap().sign("JWT", claims).unwrap()
}

fn public(jwk: &Value) -> PublicJwk {
    serde_json::from_value(jwk.clone()).unwrap()
}

fn token(header: &Value, claims: &Value) -> String {
    let part = |part: &Value| encoding::encode(part.to_string());
    format!("{}.{}.c2ln", part(header), part(claims))
}

#[test]
fn what_any_algorithm_signs_it_verifies() {
    let claims = json!({"iss": "https://issuer.example", "exp": 1, "n": [1, {"ü": null}]});
    for algorithm in SigningAlgorithm::ALL {
        let key = generate(algorithm);
        let token = sign(&key, &claims);
        assert_eq!(verifier(&key).verify(&token), Ok(claims.clone()), "{algorithm}");
        let other = verifier(&generate(algorithm));
        let refusal = other.verify(&token);
        assert_eq!(refusal, Err(Error::InvalidToken("the signature does not verify")), "{algorithm}");
    }
}

// The keys and tokens of RFC 7515 §A.3 and §A.4 and RFC 8037 §A.4.
#[test]
fn the_examples_of_the_rfcs_verify() {
    let es256 = public(&json!({"kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}));
    let claims = Verifier::from_jwk(&es256).unwrap().verify(
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    );
    assert_eq!(claims, Ok(json!({"iss": "joe", "exp": 1_300_819_380, "http://example.com/is_root": true})));

    // The payloads of these two are no claims, so it is the last check that refuses them.
    let es512 = public(&json!({"kty": "EC", "crv": "P-521",
        "x": "AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk",
        "y": "ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2"}));
    let eddsa = public(&json!({"kty": "OKP", "crv": "Ed25519",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}));
    for (key, token) in [
        (
            es512,
            "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn",
        ),
        (
            eddsa,
            "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        ),
    ] {
        let refusal = Verifier::from_jwk(&key).unwrap().verify(token);
        assert_eq!(refusal, Err(Error::InvalidToken("a part is not the JSON it should be")));
    }
}

#[test]
fn jsonwebtoken_accepts_our_tokens() {
    let claims = json!({"sub": "someone", "exp": 4_102_444_800_u64});
    for (algorithm, theirs) in [
        (SigningAlgorithm::Rs256, jsonwebtoken::Algorithm::RS256),
        (SigningAlgorithm::Es256, jsonwebtoken::Algorithm::ES256),
        (SigningAlgorithm::EdDsa, jsonwebtoken::Algorithm::EdDSA),
    ] {
        let key = generate(algorithm);
        let jwk: jsonwebtoken::jwk::Jwk =
            serde_json::from_value(serde_json::to_value(key.public_jwk()).unwrap()).unwrap();
        let decoded = jsonwebtoken::decode::<Value>(
            sign(&key, &claims),
            &DecodingKey::from_jwk(&jwk).unwrap(),
            &jsonwebtoken::Validation::new(theirs),
        );
        assert_eq!(decoded.unwrap().claims, claims, "{algorithm}");
    }
}

#[test]
fn a_token_changed_anywhere_does_not_verify() {
    for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::Es512, SigningAlgorithm::EdDsa] {
        let key = generate(algorithm);
        let (token, verifier) = (sign(&key, &json!({"sub": "a"})), verifier(&key));
        for position in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(verifier.verify(&changed).is_err(), "{algorithm} {position}");
        }
        for longer in [format!("{token}."), format!("{token}A"), format!("{token}="), format!(" {token}")] {
            assert!(verifier.verify(&longer).is_err(), "{longer}");
        }
    }
}

#[test]
fn the_algorithm_is_the_keys_not_the_tokens() {
    // One RSA key under two names: a PS256 key does not accept RS256, though its numbers could.
    let key = generate(SigningAlgorithm::Rs256);
    let mut jwk = serde_json::to_value(key.public_jwk()).unwrap();
    jwk["alg"] = "PS256".into();
    let refusal = Verifier::from_jwk(&public(&jwk)).unwrap().verify(&sign(&key, &json!({})));
    assert_eq!(refusal, Err(Error::InvalidToken("signed with another algorithm than the key's")));
    for alg in ["none", "HS256", "None", ""] {
        let forged = token(&json!({"alg": alg}), &json!({}));
        assert!(verifier(&key).verify(&forged).is_err(), "{alg}");
        assert!(JwsHeader::parse(&forged).is_err(), "{alg}");
    }
}

#[test]
fn a_key_without_algorithm_is_used_for_what_is_expected_of_it() {
    let key = generate(SigningAlgorithm::Ps384);
    let token = sign(&key, &json!({"a": 1}));
    let mut jwk = serde_json::to_value(key.public_jwk()).unwrap();
    jwk.as_object_mut().unwrap().remove("alg");
    let jwk = public(&jwk);
    assert!(Verifier::from_jwk(&jwk).is_err());
    assert!(Verifier::for_algorithm(&jwk, SigningAlgorithm::Ps384).unwrap().verify(&token).is_ok());
    assert!(Verifier::for_algorithm(&jwk, SigningAlgorithm::Rs384).unwrap().verify(&token).is_err());
    assert!(Verifier::for_algorithm(&jwk, SigningAlgorithm::Es256).is_err());
    assert!(Verifier::for_algorithm(key.public_jwk(), SigningAlgorithm::Ps256).is_err());
}

#[test]
fn a_set_verifies_by_the_key_that_is_named_or_by_any_that_could() {
    let (one, other) = (generate(SigningAlgorithm::Es256), generate(SigningAlgorithm::Es256));
    let encryption = generate(EncryptionAlgorithm::EcdhEs);
    let set =
        |keys: &[&PrivateKey]| JwkSet { keys: keys.iter().map(|key| key.public_jwk().clone()).collect() };
    let named = sign(&one, &json!({"a": 1}));
    assert!(set(&[&encryption, &other, &one]).verify(&named, SigningAlgorithm::Es256).is_ok());
    assert!(set(&[&other]).verify(&named, SigningAlgorithm::Es256).is_err());
    assert!(set(&[&one]).verify(&named, SigningAlgorithm::EdDsa).is_err());

    let anonymous = |key: &PrivateKey| {
        let mut jwk = serde_json::to_value(key.public_jwk()).unwrap();
        jwk["kid"] = "another name".into();
        public(&jwk)
    };
    let renamed = JwkSet { keys: vec![anonymous(&one)] };
    assert!(renamed.verify(&named, SigningAlgorithm::Es256).is_err(), "the name counts");
    assert_eq!(renamed.find(&KeyId::from("another name")), renamed.keys.first());
}

#[test]
fn encryption_keys_verify_nothing() {
    for algorithm in EncryptionAlgorithm::ALL {
        let key = generate(algorithm);
        assert!(Verifier::from_jwk(key.public_jwk()).is_err(), "{algorithm}");
        let mut jwk = serde_json::to_value(key.public_jwk()).unwrap();
        jwk.as_object_mut().unwrap().remove("alg");
        assert!(Verifier::from_jwk(&public(&jwk)).is_err(), "{algorithm} by use alone");
    }
}

#[test]
fn critical_extensions_are_refused() {
    for crit in [json!(["b64"]), json!([]), json!(null)] {
        let token = token(&json!({"alg": "ES256", "crit": crit, "b64": false}), &json!({}));
        let refusal = JwsHeader::parse(&token);
        assert_eq!(refusal, Err(Error::InvalidToken("the header has critical extensions")), "{crit}");
    }
}

#[test]
fn a_header_needs_no_key_id_and_no_type() {
    let header = JwsHeader::parse(&token(&json!({"alg": "ES256", "jku": "x"}), &json!({}))).unwrap();
    assert_eq!(header, JwsHeader { alg: SigningAlgorithm::Es256, kid: None, typ: None });
}

#[test]
fn a_header_that_names_its_algorithm_twice_is_refused() {
    let header = encoding::encode(r#"{"alg":"ES256","alg":"EdDSA"}"#);
    assert!(JwsHeader::parse(&format!("{header}.e30.c2ln")).is_err());
}

#[test]
fn what_has_not_three_parts_is_refused() {
    let verifier = verifier(&generate(SigningAlgorithm::Es256));
    let header = encoding::encode(r#"{"alg":"ES256"}"#);
    for text in [
        "",
        ".",
        "..",
        "a.b",
        "a.b.c.d",
        "\u{fe0f}.ü.💥",
        &header,
        &format!("{header}."),
        &format!("{header}.e30.c2ln."),
    ] {
        assert!(matches!(JwsHeader::parse(text), Err(Error::InvalidToken(_))), "{text}");
        assert!(matches!(verifier.verify(text), Err(Error::InvalidToken(_))), "{text}");
    }
    let unsigned = format!("{header}.e30.");
    assert!(JwsHeader::parse(&unsigned).is_ok());
    assert_eq!(verifier.verify(&unsigned), Err(Error::InvalidToken("the signature does not verify")));
}

/// One verifier of each kind of key.
fn verifiers() -> Vec<Verifier> {
    let keys =
        [SigningAlgorithm::Rs256, SigningAlgorithm::Es256, SigningAlgorithm::Es512, SigningAlgorithm::EdDsa];
    keys.into_iter().map(|algorithm| verifier(&generate(algorithm))).collect()
}

#[test]
fn no_text_makes_a_verifier_panic() {
    let verifiers = verifiers();
    proptest!(|(text in any::<String>(), parts in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,90}")| {
        for verifier in &verifiers {
            prop_assert!(verifier.verify(&text).is_err());
            prop_assert!(verifier.verify(&parts).is_err());
        }
    });
}

#[test]
fn no_signature_makes_a_verifier_panic() {
    let verifiers = verifiers();
    proptest!(|(claims in any::<Vec<u8>>(), signature in prop::collection::vec(any::<u8>(), 0..300))| {
        for verifier in &verifiers {
            let header = encoding::encode(json!({"alg": verifier.algorithm()}).to_string());
            let token = format!("{header}.{}.{}", encoding::encode(&claims), encoding::encode(&signature));
            let refusal = verifier.verify(&token);
            prop_assert_eq!(refusal, Err(Error::InvalidToken("the signature does not verify")));
        }
    });
}

#[test]
fn no_numbers_in_a_key_make_a_verifier_panic() {
    let jwk = |kty: &str, members: Value| {
        let mut jwk = members;
        jwk["kty"] = kty.into();
        public(&jwk)
    };
    proptest!(|(
        n in prop::collection::vec(any::<u8>(), 0..600),
        e in prop::collection::vec(any::<u8>(), 0..8),
        point in any::<([u8; 32], [u8; 32])>(),
        signature in prop::collection::vec(any::<u8>(), 0..300),
    )| {
        let (n, e) = (encoding::encode(n), encoding::encode(e));
        let (x, y) = (encoding::encode(point.0), encoding::encode(point.1));
        for key in [
            jwk("RSA", json!({"alg": "PS512", "n": n, "e": e})),
            jwk("EC", json!({"crv": "P-256", "x": x, "y": y})),
            jwk("OKP", json!({"crv": "Ed25519", "x": x})),
        ] {
            let Ok(verifier) = Verifier::from_jwk(&key) else { continue };
            let header = encoding::encode(json!({"alg": verifier.algorithm()}).to_string());
            let token = format!("{header}.e30.{}", encoding::encode(&signature));
            prop_assert!(verifier.verify(&token).is_err());
        }
    });
}

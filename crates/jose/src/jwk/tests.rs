use serde_json::{Value, json};

use super::*;
use crate::SigningAlgorithm;

/// The key of RFC 7638 §3.1.
const RFC_7638: &str = r#"{
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29"
}"#;

/// The public key of RFC 7515 §A.3.
fn p256() -> Value {
    json!({
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
    })
}

fn read(jwk: &Value) -> Result<PublicJwk, String> {
    serde_json::from_value(jwk.clone()).map_err(|error| error.to_string())
}

fn with(mut jwk: Value, member: &str, value: impl Into<Value>) -> Value {
    jwk[member] = value.into();
    jwk
}

#[test]
fn the_thumbprint_is_that_of_rfc_7638() {
    let jwk: PublicJwk = serde_json::from_str(RFC_7638).unwrap();
    assert_eq!(jwk.thumbprint().as_str(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert_eq!(jwk.kid(), Some(&KeyId::from("2011-04-29")));
}

#[test]
fn the_thumbprint_is_that_of_rfc_8037() {
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    let jwk = read(&jwk).unwrap();
    assert_eq!(jwk.thumbprint().as_str(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn the_thumbprint_does_not_depend_on_other_members() {
    let bare = read(&p256()).unwrap();
    let dressed = with(with(with(p256(), "alg", "ES256"), "use", "sig"), "kid", "mine");
    assert_eq!(read(&dressed).unwrap().thumbprint(), bare.thumbprint());
}

#[test]
fn members_are_written_in_a_stable_order() {
    let jwk = with(with(with(p256(), "kid", "k"), "use", "sig"), "alg", "ES256");
    assert_eq!(
        serde_json::to_string(&read(&jwk).unwrap()).unwrap(),
        r#"{"kty":"EC","use":"sig","alg":"ES256","kid":"k","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#
    );
    assert_eq!(
        serde_json::to_string(&read(&p256()).unwrap()).unwrap(),
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#
    );
}

#[test]
fn private_and_unknown_members_are_dropped() {
    let jwk =
        with(with(p256(), "d", "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"), "x5u", "https://example.org");
    let written = serde_json::to_value(read(&jwk).unwrap()).unwrap();
    assert_eq!(written, p256());
}

#[test]
fn a_leading_zero_of_an_rsa_modulus_is_forgiven() {
    let mut jwk: Value = serde_json::from_str(RFC_7638).unwrap();
    let strict = read(&jwk).unwrap();
    let mut n = vec![0];
    n.extend(encoding::decode(jwk["n"].as_str().unwrap()).unwrap());
    jwk["n"] = encoding::encode(n).into();
    assert_eq!(read(&jwk).unwrap(), strict);
}

#[test]
fn what_is_no_usable_public_key_is_refused() {
    let x = p256()["x"].as_str().unwrap().to_owned();
    let cases = [
        ("a symmetric key", json!({"kty": "oct", "k": "c2VjcmV0"}), "`kty` is none of"),
        ("no key type", json!({"crv": "P-256"}), "kty"),
        ("an unknown curve", with(p256(), "crv", "secp256k1"), "`crv` is not a supported curve"),
        ("no curve", with(p256(), "crv", Value::Null), "`crv` is not a supported curve"),
        ("another curve", with(p256(), "crv", "P-384"), "wrong length"),
        ("a missing coordinate", with(p256(), "y", Value::Null), "missing"),
        ("a short coordinate", with(p256(), "x", "AQAB"), "wrong length"),
        ("padded base64", with(p256(), "x", format!("{x}=")), "not base64url"),
        ("the algorithm of another curve", with(p256(), "alg", "ES384"), "`alg` does not fit the key"),
        ("the algorithm of another type", with(p256(), "alg", "RS256"), "`alg` does not fit the key"),
        ("an unknown algorithm", with(p256(), "alg", "ES256K"), "not supported"),
        ("another use", with(with(p256(), "alg", "ES256"), "use", "enc"), "`alg` does not fit `use`"),
        ("an unknown use", with(p256(), "use", "both"), "neither sig nor enc"),
        ("X25519", json!({"kty": "OKP", "crv": "X25519", "x": x}), "`crv` is not a supported curve"),
    ];
    for (what, jwk, because) in cases {
        let error = read(&jwk).expect_err(what);
        assert!(error.contains(because), "{what}: {error}");
    }
}

#[test]
fn a_set_keeps_the_keys_it_can_use() {
    let set = json!({"keys": [
        {"kty": "oct", "k": "c2VjcmV0"},
        with(with(p256(), "alg", "ES256"), "kid", "b"),
        {"kty": "RSA", "alg": "RSA1_5", "n": "AQAB", "e": "AQAB"},
        "not a key",
        with(p256(), "kid", "a"),
    ]});
    let set: JwkSet = serde_json::from_value(set).unwrap();
    let kids: Vec<_> = set.keys.iter().map(|key| key.kid().unwrap().as_str()).collect();
    assert_eq!(kids, ["b", "a"]);
    assert_eq!(set.find(&"b".into()).unwrap().alg(), Some(SigningAlgorithm::Es256.into()));
    assert_eq!(set.find(&"c".into()), None);
    assert!(serde_json::from_value::<JwkSet>(json!({})).is_err());
}

use serde_json::json;

use super::*;
use crate::{JwsHeader, PrivateKey, RsaBits};

fn key(algorithm: SigningAlgorithm) -> PrivateKey {
    PrivateKey::generate(algorithm.into(), RsaBits::B2048).unwrap()
}

#[test]
fn the_header_names_algorithm_key_and_type() {
    let key = key(SigningAlgorithm::EdDsa);
    let token = key.signer().unwrap().sign("at+jwt", &json!({"sub": "someone"})).unwrap();
    let header = encoding::decode(token.split('.').next().unwrap()).unwrap();
    let expected = format!(r#"{{"alg":"EdDSA","kid":"{}","typ":"at+jwt"}}"#, key.key_id());
    assert_eq!(String::from_utf8(header).unwrap(), expected);
    let parsed = JwsHeader::parse(&token).unwrap();
    assert_eq!(parsed.alg, SigningAlgorithm::EdDsa);
    assert_eq!(parsed.kid.as_ref(), Some(key.key_id()));
    assert_eq!(parsed.typ.as_deref(), Some("at+jwt"));
}

#[test]
fn claims_are_a_json_object() {
    let signer = key(SigningAlgorithm::Es256).signer().unwrap();
    assert!(signer.sign("JWT", &json!({})).is_ok());
    for claims in [json!("text"), json!(["list"]), json!(1), json!(null)] {
        assert!(matches!(signer.sign("JWT", &claims), Err(Error::InvalidToken(_))), "{claims}");
    }
}

#[test]
fn a_signer_is_shared_by_threads() {
    let signer = key(SigningAlgorithm::Es256).signer().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| signer.clone().sign("JWT", &json!({})).unwrap());
        }
    });
}

#[test]
fn only_rsa_is_slow() {
    for algorithm in [SigningAlgorithm::Rs256, SigningAlgorithm::Es512, SigningAlgorithm::EdDsa] {
        let signer = key(algorithm).signer().unwrap();
        assert_eq!(signer.is_slow(), algorithm == SigningAlgorithm::Rs256);
        assert_eq!(signer.algorithm(), algorithm);
    }
}

// Both are public knowledge of the JOSE RFCs: RFC 8037 §A.1 and §A.4.
#[test]
fn eddsa_signs_the_example_of_rfc_8037() {
    let jwk = r#"{"kty":"OKP","crv":"Ed25519","alg":"EdDSA",
        "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let signer = PrivateKey::from_jwk(jwk).unwrap().signer().unwrap();
    let signature = signer
        .pair
        .sign(SigningAlgorithm::EdDsa, b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc")
        .unwrap();
    assert_eq!(
        encoding::encode(signature),
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    );
}

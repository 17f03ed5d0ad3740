use super::*;
use crate::authorization_response::ReturnAddress;
use crate::grant::example;
use crate::response_mode::ResponseMode;
use crate::{ClientMetadata, ErrorCode, Incarnation, ResponseType};
use jose::RootKey;
use serde_json::json;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str =
    "code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";
const LIFETIME: Duration = Duration::from_mins(10);

fn ring() -> KeyRing {
    KeyRing::new(vec![RootKey::generate(1, &Entropy::seeded(1))]).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn client() -> Client {
    let grant = example();
    Client {
        id: grant.client_id,
        incarnation: grant.incarnation,
        epoch: grant.epoch,
        ..Client::example(json!({"grant_types": ["authorization_code"]}))
    }
}

fn code(redirect_uri: Option<&str>, challenge: &str) -> AuthorizationCode {
    let uri = |uri: &str| RedirectUri::parse(uri).unwrap();
    let request = AuthorizationRequest {
        return_address: Some(ReturnAddress {
            redirect_uri: uri("https://a/cb"),
            mode: ResponseMode::Query,
            state: None,
        }),
        sent_redirect_uri: redirect_uri.map(uri),
        response_type: ResponseType::CODE,
        scope: "openid".parse().unwrap(),
        audience: vec![],
        nonce: None,
        code_challenge: CodeChallenge::of_request(&form(challenge)).unwrap(),
        prompts: crate::prompt::Prompts::default(),
        max_age: None,
        acr_values: vec![],
        claims: crate::claims_request::ClaimsRequest::default(),
    };
    AuthorizationCode::new(example(), &request, at(1000), &Entropy::seeded(5))
}

fn form(text: &str) -> Form {
    Form::parse(text.as_bytes()).unwrap()
}

#[test]
fn a_code_comes_back_short_and_nowhere_else() {
    let code = code(Some("https://a/cb"), CHALLENGE);
    let text = code.seal(&ring(), &Entropy::seeded(6));
    assert!(text.len() + PREFIX.len() < 600, "{}", text.len());
    assert_eq!(AuthorizationCode::open(&ring(), &text), Some(code));
    assert_eq!(crate::login::LoginVerifier::open(&ring(), &text), None);
    assert_eq!(AuthorizationCode::open(&ring(), "x"), None);
}

#[test]
fn a_code_is_exchanged_by_its_client_with_its_redirect_uri_and_its_verifier() {
    let with_both = code(Some("https://a/cb"), CHALLENGE);
    let with_none = code(None, "");
    let good = format!("redirect_uri=https://a/cb&code_verifier={VERIFIER}");
    let ok = |code: &AuthorizationCode, text: &str| code.check(&client(), &form(text), LIFETIME, at(1599));
    assert_eq!(ok(&with_both, &good), Ok(()));
    assert_eq!(ok(&with_none, ""), Ok(()));
    assert_eq!(ok(&with_none, "redirect_uri=https://a/cb"), Ok(()));
    for text in [
        String::new(),
        "redirect_uri=https://a/cb".to_owned(),
        format!("code_verifier={VERIFIER}"),
        format!("redirect_uri=https://a/cb/&code_verifier={VERIFIER}"),
        format!("redirect_uri=https://a/cb&code_verifier={}", "x".repeat(43)),
    ] {
        assert_eq!(ok(&with_both, &text).unwrap_err().code, ErrorCode::InvalidGrant, "{text}");
    }
    assert_eq!(ok(&with_none, &good).unwrap_err().code, ErrorCode::InvalidGrant);
}

#[test]
fn a_code_dies_of_age_and_with_its_client() {
    let code = code(None, "");
    let check = |client: &Client, now| code.check(client, &form(""), LIFETIME, at(now)).map_err(|e| e.code);
    assert_eq!(check(&client(), 1599), Ok(()));
    assert_eq!(check(&client(), 1600), Err(ErrorCode::InvalidGrant));
    let other = crate::ClientId::parse("other").unwrap();
    assert_eq!(check(&Client { id: other, ..client() }, 1000), Err(ErrorCode::InvalidGrant));
    assert_eq!(
        check(&Client { incarnation: Incarnation(8), ..client() }, 1000),
        Err(ErrorCode::InvalidGrant)
    );
    assert_eq!(check(&Client { epoch: 4, ..client() }, 1000), Err(ErrorCode::InvalidGrant));
    let service =
        ClientMetadata { grant_types: vec![GrantType::ClientCredentials], ..ClientMetadata::default() };
    let without_grant = Client { metadata: service, ..client() };
    assert_eq!(check(&without_grant, 1000), Err(ErrorCode::UnauthorizedClient));
}

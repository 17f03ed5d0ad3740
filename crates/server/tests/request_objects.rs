//! Authorization requests whose parameters their client signed.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::browser::{
    Answer, Browser, CALLBACK, CHALLENGE, REQUEST, alice, all, application, prepared, text,
};
use common::signing::{Published, changed, jwks, key, signed};
use common::{ISSUER, TestClient, TestServer, manual_clock, settings};
use jose::{PrivateKey, SigningAlgorithm};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What most tests' client signs.
fn object() -> Value {
    json!({
        "iss": "app", "aud": ISSUER, "client_id": "app", "response_type": "code", "redirect_uri": CALLBACK,
        "scope": "openid offline orders.read", "state": "state-in-the-object", "nonce": "nonce-in-the-object",
        "code_challenge": CHALLENGE, "code_challenge_method": "S256", "max_age": 600,
    })
}

/// The parameters that stay outside.
const OUTSIDE: [(&str, &str); 2] = [("client_id", "app"), ("response_type", "code")];

async fn with(metadata: &Value) -> (TestServer, PrivateKey, TestClient) {
    let key = key(SigningAlgorithm::Es256);
    let server = TestServer::alone(manual_clock(), settings()).await;
    let metadata = changed(changed(application(), &json!({"jwks": jwks(&[&key])})), metadata);
    let client = prepared(&server, metadata).await;
    (server, key, client)
}

fn unsigned(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(&json!({"alg": "none"})), part(claims))
}

/// A request with an object beside the usual parameters outside.
fn by<'a>(name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    OUTSIDE.into_iter().chain([(name, value)]).collect()
}

fn is_login_page(answer: &Answer) -> bool {
    answer.parameter("login_challenge").is_some()
}

/// The code of the error that the user sees.
fn told(answer: &Answer) -> String {
    assert_eq!(answer.target(), "https://pages.example.com/error", "{answer:?}");
    answer.expect("error")
}

#[tokio::test]
async fn a_flow_goes_from_a_signed_request_to_its_tokens() {
    let (server, key, client) = with(&json!({"request_object_signing_alg": "ES256"})).await;
    let browser = Browser::new(&server);
    let request = signed(&key, &object());
    let start = browser.authorize(&by("request", &request)).await;
    let challenge = start.expect("login_challenge");
    assert!(challenge.len() < 600, "nothing of the signature travels: {}", challenge.len());
    let asked: Value = server.asked("login", &challenge).await.json().await.unwrap();
    assert_eq!(asked["requested_scope"], json!(["openid", "offline", "orders.read"]));
    assert!(!text(&asked, "request_url").contains("request="), "{asked}");

    let redirect = server.decide("login", "accept", &challenge, alice()).await;
    let page = browser.open(&redirect).await;
    let end = browser.consent(&page, all()).await;
    assert_eq!((end.target(), end.expect("state")), (CALLBACK.to_owned(), "state-in-the-object".to_owned()));
    let (status, tokens) = server.exchange(&client, &end.expect("code")).await;
    assert_eq!(status, 200, "{tokens}");
    let claims = text(&tokens, "id_token").split('.').nth(1).unwrap().to_owned();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(claims["nonce"], "nonce-in-the-object");
}

#[tokio::test]
async fn a_large_object_may_be_posted() {
    let (server, key, _) = with(&json!({})).await;
    let padded = changed(object(), &json!({"jti": "x".repeat(20_000)}));
    let request = signed(&key, &padded);
    let answer = Browser::new(&server).post("/oauth2/auth", &by("request", &request)).await;
    assert!(is_login_page(&answer), "{answer:?}");
}

#[tokio::test]
async fn what_was_signed_cannot_be_changed_on_the_way() {
    let (server, key, _) = with(&json!({})).await;
    let browser = Browser::new(&server);
    let request = signed(&key, &object());
    let mut both = by("request", &request);
    both.extend([
        ("state", "state-from-outside"),
        ("redirect_uri", "https://evil.example.com"),
        ("prompt", "login"),
    ]);
    let start = browser.authorize(&both).await;
    let challenge = start.expect("login_challenge");
    let asked: Value = server.asked("login", &challenge).await.json().await.unwrap();
    let url = text(&asked, "request_url");
    assert!(url.contains("state-in-the-object") && url.contains("prompt=login"), "{url}");

    // The verifier of another endpoint is none here: the object counts beside it.
    let beside = [&by("request", &request)[..], &[("device_verifier", "x")]].concat();
    let challenge_beside = browser.authorize(&beside).await.expect("login_challenge");
    let asked: Value = server.asked("login", &challenge_beside).await.json().await.unwrap();
    assert!(text(&asked, "request_url").contains("state-in-the-object"), "{asked}");

    // The browser comes back with the parameters of its flow, and with no others.
    let redirect = server.decide("login", "accept", &challenge, alice()).await;
    for other in [
        redirect.replace("state-in-the-object", "state-from-outside"),
        format!("{redirect}&request={}", signed(&key, &object())),
        format!("{redirect}&request_uri=https%3A%2F%2Fa.example"),
    ] {
        let answer = browser.open(&other).await;
        assert_eq!(answer.expect("error"), "access_denied", "{other}");
    }
    assert!(browser.open(&redirect).await.parameter("consent_challenge").is_some());
}

#[tokio::test]
async fn an_object_that_is_not_the_clients_goes_nowhere() {
    let (server, key, _) = with(&json!({"request_object_signing_alg": "ES256"})).await;
    let browser = Browser::new(&server);
    let foreign = common::signing::key(SigningAlgorithm::Es256);
    let of_other_algorithm = common::signing::key(SigningAlgorithm::EdDsa);
    for (request, error) in [
        (signed(&foreign, &object()), "invalid_request_object"),
        (signed(&of_other_algorithm, &object()), "invalid_request_object"),
        (unsigned(&object()), "invalid_request_object"),
        ("x".to_owned(), "invalid_request_object"),
        ("a.b.c.d.e".to_owned(), "request_not_supported"),
        (signed(&key, &changed(object(), &json!({"iss": "other"}))), "invalid_request_object"),
        (signed(&key, &changed(object(), &json!({"exp": 1}))), "invalid_request_object"),
        (signed(&key, &changed(object(), &json!({"redirect_uri": "https://evil"}))), "invalid_request"),
        (signed(&key, &changed(object(), &json!({"acr_values": "x".repeat(8192)}))), "invalid_request"),
    ] {
        let answer = browser.post("/oauth2/auth", &by("request", &request)).await;
        assert_eq!(told(&answer), error, "{request}");
    }
    let scope = signed(&key, &changed(object(), &json!({"scope": "admin"})));
    let answer = browser.authorize(&by("request", &scope)).await;
    assert_eq!((answer.target(), answer.expect("error")), (CALLBACK.to_owned(), "invalid_scope".to_owned()));
    assert_eq!(answer.expect("state"), "state-in-the-object");
    assert!(is_login_page(&browser.authorize(&REQUEST).await), "a request without an object is taken still");
}

#[tokio::test]
async fn an_unsigned_object_is_taken_where_the_client_is_not_registered_for_an_algorithm() {
    for (registered, taken) in
        [(json!({}), true), (json!("any"), true), (json!("none"), true), (json!("ES256"), false)]
    {
        let registered = json!({"request_object_signing_alg": registered.as_str()});
        let (server, _, _) = with(&registered).await;
        let request = unsigned(&object());
        let answer = Browser::new(&server).authorize(&by("request", &request)).await;
        assert_eq!(is_login_page(&answer), taken, "{registered}");
    }
}

#[tokio::test]
async fn an_object_is_fetched_once_in_a_flow() {
    let published = Published::new("").await;
    let metadata = json!({"request_uris": [published.url()]});
    let (server, key, _) = with(&metadata).await;
    published.publish(signed(&key, &object()));
    let browser = Browser::new(&server);
    let page = browser.log_in(&by("request_uri", &published.url()), alice()).await;
    published
        .publish(signed(&key, &changed(object(), &json!({"redirect_uri": "https://other.example.com"}))));
    let end = browser.consent(&page, all()).await;
    assert_eq!((end.target(), end.expect("state")), (CALLBACK.to_owned(), "state-in-the-object".to_owned()));
    assert_eq!(published.asked(), 1);
}

#[tokio::test]
async fn a_reference_is_registered_readable_and_keeps_to_its_digest() {
    let published = Published::new("").await;
    let (server, key, _) = with(&json!({"request_uris": [published.url()]})).await;
    let request = signed(&key, &object());
    published.publish(request.clone());
    let browser = Browser::new(&server);
    let answer = async |uri: &str| browser.authorize(&by("request_uri", uri)).await;
    let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(&request));
    assert!(is_login_page(&answer(&format!("{}#{digest}", published.url())).await));
    let asked = published.asked();
    for uri in [format!("{}?x", published.url()), "https://a.example/other".to_owned()] {
        assert_eq!(told(&answer(&uri).await), "invalid_request_uri", "{uri}");
    }
    assert_eq!(published.asked(), asked, "what is not registered is not asked for");
    assert_eq!(told(&answer(&format!("{}#other", published.url())).await), "invalid_request_uri");
    let pushed = answer("urn:ietf:params:oauth:request_uri:x").await;
    assert_eq!(told(&pushed), "request_uri_not_supported");
    published.publish(unsigned(&object()));
    assert_eq!(told(&answer(&published.url()).await), "invalid_request_uri", "unsigned, over plain http");
    published.publish("x".repeat(64 * 1024 + 1));
    assert_eq!(told(&answer(&published.url()).await), "invalid_request_uri");
    published.fail();
    assert_eq!(told(&answer(&published.url()).await), "invalid_request_uri");
    let mut both = by("request", &request);
    let url = published.url();
    both.push(("request_uri", &url));
    assert_eq!(told(&browser.authorize(&both).await), "invalid_request");
}

#[tokio::test]
async fn discovery_says_how_objects_and_assertions_are_signed() {
    let (server, _, _) = with(&json!({})).await;
    let document: Value = server.get("/.well-known/openid-configuration").await.json().await.unwrap();
    for name in
        ["request_parameter_supported", "request_uri_parameter_supported", "require_request_uri_registration"]
    {
        assert_eq!(document[name], true, "{name}");
    }
    let all = json!(SigningAlgorithm::ALL);
    for name in [
        "token_endpoint_auth_signing_alg_values_supported",
        "revocation_endpoint_auth_signing_alg_values_supported",
    ] {
        assert_eq!(document[name], all, "{name}");
    }
    let of_objects = document["request_object_signing_alg_values_supported"].as_array().unwrap();
    assert_eq!((of_objects.len(), &of_objects[0]), (11, &json!("none")));
    for name in ["token_endpoint_auth_methods_supported", "revocation_endpoint_auth_methods_supported"] {
        assert!(document[name].as_array().unwrap().contains(&json!("private_key_jwt")), "{name}");
    }
    let grants = document["grant_types_supported"].as_array().unwrap();
    assert!(grants.contains(&json!("urn:ietf:params:oauth:grant-type:jwt-bearer")));
}

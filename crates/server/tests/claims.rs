//! What a client asks for in the `claims` parameter and by `acr_values`, and the answers of the userinfo endpoint.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::browser::{
    Browser, REQUEST, alice, all, application, front_channel_application, prepared, request_with, text,
};
use common::{TestClient, TestServer, header, manual_clock, settings};
use oauth::jwt_access_token::{AddedClaims, ClaimsPolicy};
use serde_json::{Value, json};

async fn alone() -> (TestServer, TestClient) {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let client = prepared(&server, front_channel_application()).await;
    (server, client)
}

const PLACED: &str = r#"{"userinfo":{"email":{"essential":true}},"id_token":{"groups":null}}"#;

#[tokio::test]
async fn both_apps_see_what_is_asked_and_each_claim_goes_where_the_client_wants_it() {
    let (server, client) = alone().await;
    let browser = Browser::new(&server);
    let request = request_with(&[("claims", PLACED)]);
    let challenge = browser.authorize(&request).await.expect("login_challenge");
    let asked: Value = server.asked("login", &challenge).await.json().await.unwrap();
    assert_eq!(asked["oidc_context"], json!({"claims": serde_json::from_str::<Value>(PLACED).unwrap()}));
    let page = browser.open(&server.decide("login", "accept", &challenge, alice()).await).await;
    let asked_for_consent: Value =
        server.asked("consent", &page.expect("consent_challenge")).await.json().await.unwrap();
    assert_eq!(asked_for_consent["oidc_context"], asked["oidc_context"]);
    let mut consent = all();
    consent["session"]["id_token"] = json!({"email": "alice@example.com", "groups": ["a"], "name": "Alice"});
    let end = browser.consent(&page, consent).await;
    let (_, tokens) = server.exchange(&client, &end.expect("code")).await;
    let (_, refreshed) = server.refresh(&client, text(&tokens, "refresh_token")).await;
    for tokens in [&tokens, &refreshed] {
        let claims = server.verified(text(tokens, "id_token")).await;
        assert_eq!((&claims["groups"], &claims["name"]), (&json!(["a"]), &json!("Alice")));
        assert_eq!(claims.get("email"), None);
    }
    let (_, claims) = server.userinfo(text(&refreshed, "access_token")).await;
    assert_eq!((&claims["email"], &claims["name"]), (&json!("alice@example.com"), &json!("Alice")));
    assert_eq!(claims.get("groups"), None);
}

#[tokio::test]
async fn what_an_app_adds_is_at_the_top_level_of_a_jwt_where_that_is_allowed() {
    let mut settings = settings();
    let top_level = ["role", "sub"].map(str::to_owned).to_vec();
    let added = AddedClaims { top_level, mirror: false, preserve_ext: true };
    settings.jwt = ClaimsPolicy { added, ..ClaimsPolicy::default() };
    let server = TestServer::alone(manual_clock(), settings).await;
    let mut metadata = application();
    metadata["access_token_strategy"] = json!("jwt");
    let client = prepared(&server, metadata).await;
    let added = json!({"role": "admin", "sub": "root", "tenant": 7});
    let mut consent = all();
    consent["session"]["access_token"] = added.clone();
    let browser = Browser::new(&server);
    let page = browser.log_in(&REQUEST, alice()).await;
    let end = browser.consent(&page, consent).await;
    let (_, tokens) = server.exchange(&client, &end.expect("code")).await;
    let (_, refreshed) = server.refresh(&client, text(&tokens, "refresh_token")).await;
    for tokens in [&tokens, &refreshed] {
        let claims = server.verified(text(tokens, "access_token")).await;
        assert_eq!((&claims["role"], &claims["sub"]), (&json!("admin"), &json!("alice")));
        assert_eq!(claims["ext"], json!({"sub": "root", "tenant": 7}));
    }
    let state = server.introspect(&[("token", text(&refreshed, "access_token"))]).await;
    assert_eq!((&state["ext"], &state["role"]), (&added, &Value::Null), "introspection has all in one place");
}

#[tokio::test]
async fn what_is_wrong_with_the_claims_is_told_at_once() {
    let (server, _) = alone().await;
    let browser = Browser::new(&server);
    for changes in [
        &[("claims", "email")][..],
        &[("claims", r#"{"userinfo":["email"]}"#)],
        &[("claims", PLACED), ("response_type", "id_token")],
    ] {
        assert_eq!(browser.authorize(&request_with(changes)).await.expect("error"), "invalid_request");
    }
}

#[tokio::test]
async fn an_essential_acr_is_met_or_there_is_no_response() {
    let (server, client) = alone().await;
    let claims = r#"{"id_token":{"acr":{"essential":true,"values":["2","3"]}}}"#;
    let request = request_with(&[("claims", claims)]);
    let browser = Browser::new(&server);
    let weak = json!({"subject": "alice", "acr": "1", "remember": true});
    let page = browser.log_in(&REQUEST, weak.clone()).await;
    browser.consent(&page, all()).await.expect("code");

    let silent = request_with(&[("claims", claims), ("prompt", "none")]);
    assert_eq!(browser.authorize(&silent).await.expect("error"), "login_required");
    let challenge = browser.authorize(&request).await.expect("login_challenge");
    let asked: Value = server.asked("login", &challenge).await.json().await.unwrap();
    assert_eq!(asked["skip"], false, "the login that is remembered will not do");
    let end = browser.open(&server.decide("login", "accept", &challenge, weak).await).await;
    assert_eq!(end.expect("error"), "unmet_authentication_requirements");

    let page = browser.log_in(&request, json!({"subject": "alice", "acr": "3"})).await;
    let code = browser.consent(&page, all()).await.expect("code");
    let (_, tokens) = server.exchange(&client, &code).await;
    assert_eq!(server.verified(text(&tokens, "id_token")).await["acr"], "3");
}

#[tokio::test]
async fn a_response_is_about_the_user_whose_sub_was_asked_for() {
    let (server, _) = alone().await;
    let claims = r#"{"id_token":{"sub":{"value":"alice"}}}"#;
    let request = request_with(&[("claims", claims)]);
    let browser = Browser::new(&server);
    let page = browser.log_in(&request, alice()).await;
    browser.consent(&page, all()).await.expect("code");
    let end = browser.log_in(&request, json!({"subject": "bob"})).await;
    assert_eq!(end.expect("error"), "login_required");
}

#[tokio::test]
async fn who_asks_for_a_context_that_the_login_app_does_not_name_is_told_that_it_is_none() {
    let (server, client) = alone().await;
    for (acr_values, login, acr) in [
        ("1 2", json!({"subject": "alice"}), json!("0")),
        ("1 2", json!({"subject": "alice", "acr": "2"}), json!("2")),
        ("", json!({"subject": "alice"}), Value::Null),
    ] {
        let browser = Browser::new(&server);
        let page = browser.log_in(&request_with(&[("acr_values", acr_values)]), login).await;
        let code = browser.consent(&page, all()).await.expect("code");
        let (_, tokens) = server.exchange(&client, &code).await;
        assert_eq!(server.verified(text(&tokens, "id_token")).await["acr"], acr, "{acr_values}");
    }
}

#[tokio::test]
async fn userinfo_is_signed_for_clients_that_want_it() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let mut metadata = application();
    metadata["userinfo_signed_response_alg"] = json!("ES256");
    let client = prepared(&server, metadata).await;
    let tokens = server.tokens(&client).await;
    let ask =
        || server.http.get(server.public_url("/userinfo")).bearer_auth(text(&tokens, "access_token")).send();
    // Where the machine is so busy that the cache loses its trust for a moment, it costs more.
    harness::eventually("it costs one statement", async || server.costing(ask()).await.0 == 1).await;
    let response = ask().await.unwrap();
    assert_eq!((response.status().as_u16(), header(&response, "content-type")), (200, "application/jwt"));
    let signed = response.text().await.unwrap();
    let claims = server.verified(&signed).await;
    assert_eq!((&claims["sub"], &claims["aud"]), (&json!("alice"), &json!(["app"])));
    assert_eq!(claims["email"], "alice@example.com");
    assert!(claims["iat"].is_i64() && claims["jti"].is_string() && claims.get("exp").is_none());
    let hinted = request_with(&[("prompt", "none")]);
    let hinted: Vec<_> = hinted.into_iter().chain([("id_token_hint", signed.as_str())]).collect();
    let answer = Browser::new(&server).authorize(&hinted).await;
    assert_eq!(answer.expect("error"), "invalid_request", "it is no ID token");

    let discovery: Value = server.get("/.well-known/openid-configuration").await.json().await.unwrap();
    assert_eq!(discovery["userinfo_signing_alg_values_supported"], json!(["none", "ES256"]));
    assert_eq!(discovery["claims_parameter_supported"], true);
}

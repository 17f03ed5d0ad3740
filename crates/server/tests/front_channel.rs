//! The implicit and hybrid flows: tokens from the authorization endpoint.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::browser::{
    Answer, Browser, CALLBACK, alice, all, front_channel_application, prepared, request_with, text,
};
use common::{ISSUER, TestClient, TestServer, databases, manual_clock, settings};
use harness::TestDatabase;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::Clock;

async fn server_on(database: &TestDatabase) -> (TestServer, TestClient) {
    let server = TestServer::start(database, Clock::system()).await;
    let client = prepared(&server, front_channel_application()).await;
    (server, client)
}

async fn alone() -> (TestServer, TestClient) {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let client = prepared(&server, front_channel_application()).await;
    (server, client)
}

/// The response to a request for this type, with a login and a consent to all.
async fn response(browser: &Browser<'_>, response_type: &'static str) -> Answer {
    let page = browser.log_in(&request_with(&[("response_type", response_type)]), alice()).await;
    browser.consent(&page, all()).await
}

/// The left half of a SHA-256: the keys of these tests are for ES256.
fn half_hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(&Sha256::digest(text)[..16])
}

/// How many grants there are.
async fn grants(database: &TestDatabase) -> i64 {
    use sqlx::{AnyConnection, Connection};
    let mut connection = AnyConnection::connect(&database.url).await.unwrap();
    sqlx::query_scalar("SELECT COUNT(*) FROM grants").fetch_one(&mut connection).await.unwrap()
}

#[tokio::test]
async fn a_response_carries_what_its_type_names_in_the_fragment() {
    let of_token = ["access_token", "expires_in", "scope", "token_type"];
    for database in databases().await {
        let (server, _) = server_on(&database).await;
        let mut rows = 0;
        for (response_type, carried) in [
            ("token", &of_token[..]),
            ("id_token", &["id_token"]),
            ("id_token token", &["id_token", "access_token", "expires_in", "scope", "token_type"]),
            ("code id_token", &["code", "id_token"]),
            ("token code", &["code", "access_token", "expires_in", "scope", "token_type"]),
            (
                "code token id_token",
                &["code", "id_token", "access_token", "expires_in", "scope", "token_type"],
            ),
        ] {
            let end = response(&Browser::new(&server), response_type).await;
            assert_eq!((end.status.as_u16(), end.target().as_str()), (303, CALLBACK));
            assert_eq!(end.location.as_ref().unwrap().query(), None, "{response_type}");
            let mut expected = [carried, &["iss", "state"]].concat();
            expected.sort_unstable();
            assert_eq!(end.names(), expected, "{response_type}");
            rows += 1;
            assert_eq!(grants(&database).await, rows, "{response_type}");
            if let Some(token) = end.parameter("access_token") {
                assert_eq!(
                    (end.expect("token_type"), end.expect("expires_in")),
                    ("bearer".into(), "3600".into())
                );
                assert_eq!(end.expect("scope"), "openid offline orders.read");
                let state = server.introspect(&[("token", &token)]).await;
                assert_eq!((&state["active"], &state["sub"]), (&json!(true), &json!("alice")));
                assert_eq!(server.userinfo(&token).await.1["email"], "alice@example.com");
            }
            if let Some(token) = end.parameter("id_token") {
                let claims = server.verified(&token).await;
                assert_eq!((&claims["iss"], &claims["aud"]), (&json!(ISSUER), &json!(["app"])));
                assert_eq!(
                    (&claims["sub"], &claims["nonce"]),
                    (&json!("alice"), &json!("Zt2l4lWmUe0V7lJ3YbX0Hg"))
                );
                let hash = |name| end.parameter(name).map_or(Value::Null, |text| half_hash(&text).into());
                assert_eq!(claims["at_hash"], hash("access_token"), "{response_type}");
                assert_eq!(claims["c_hash"], hash("code"), "{response_type}");
            }
        }
    }
}

#[tokio::test]
async fn the_code_of_a_hybrid_response_is_exchanged_once_and_its_reuse_ends_all() {
    for database in databases().await {
        let (server, client) = server_on(&database).await;
        for response_type in ["code token", "code id_token", "code id_token token"] {
            let end = response(&Browser::new(&server), response_type).await;
            let (status, tokens) = server.exchange(&client, &end.expect("code")).await;
            assert_eq!(status, 200, "{tokens}");
            let (front, back) = (end.parameter("access_token"), text(&tokens, "access_token").to_owned());
            for token in front.iter().chain([&back]) {
                assert!(server.is_active(token).await, "{response_type}");
            }
            let claims = server.verified(text(&tokens, "id_token")).await;
            assert_eq!((&claims["sub"], claims.get("c_hash")), (&json!("alice"), None));
            let (status, refreshed) = server.refresh(&client, text(&tokens, "refresh_token")).await;
            assert_eq!(status, 200, "{refreshed}");

            assert_eq!(server.exchange(&client, &end.expect("code")).await.1["error"], "invalid_grant");
            let refreshed = text(&refreshed, "access_token").to_owned();
            for token in front.iter().chain([&back, &refreshed]) {
                assert!(!server.is_active(token).await, "{response_type}");
            }
        }
    }
}

#[tokio::test]
async fn a_second_response_to_a_flow_is_refused_and_touches_nothing() {
    for database in databases().await {
        let (server, client) = server_on(&database).await;
        let browser = Browser::new(&server);
        let page = browser.log_in(&request_with(&[("response_type", "code token")]), alice()).await;
        let challenge = page.expect("consent_challenge");
        let (first, second) = (
            server.decide("consent", "accept", &challenge, all()).await,
            server.decide("consent", "accept", &challenge, all()).await,
        );
        let (one, two) = tokio::join!(browser.open(&first), browser.open(&second));
        let (given, refused) = if one.parameter("code").is_some() { (one, two) } else { (two, one) };
        assert_eq!(refused.expect("error"), "access_denied", "{refused:?}");
        assert_eq!(refused.names(), ["error", "error_description", "iss", "state"]);
        assert!(server.is_active(&given.expect("access_token")).await);
        assert_eq!(server.exchange(&client, &given.expect("code")).await.0, 200);
        assert!(server.is_active(&given.expect("access_token")).await);
    }
}

#[tokio::test]
async fn what_is_revoked_on_the_way_stays_revoked() {
    for database in databases().await {
        let (server, client) = server_on(&database).await;
        let revoke = async || {
            let url = server.admin_url("/admin/oauth2/auth/sessions/consent?subject=alice&all=true");
            assert_eq!(server.http.delete(url).send().await.unwrap().status(), 204);
        };
        let end = response(&Browser::new(&server), "code token").await;
        let browser = Browser::new(&server);
        let page = browser.log_in(&request_with(&[("response_type", "token")]), alice()).await;
        revoke().await;
        assert!(!server.is_active(&end.expect("access_token")).await);
        assert_eq!(server.exchange(&client, &end.expect("code")).await.1["error"], "invalid_grant");
        let late = browser.consent(&page, all()).await;
        assert_eq!(late.expect("error"), "access_denied");
        assert_eq!(late.parameter("access_token"), None);
    }
}

#[tokio::test]
async fn tokens_live_as_long_as_the_client_has_it_for_the_implicit_grant() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let mut metadata = front_channel_application();
    metadata["implicit_grant_access_token_lifespan"] = json!("5m");
    metadata["implicit_grant_id_token_lifespan"] = json!("10m");
    prepared(&server, metadata).await;
    let end = response(&Browser::new(&server), "id_token token").await;
    assert_eq!(end.expect("expires_in"), "300");
    let claims = server.verified(&end.expect("id_token")).await;
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 600);
}

#[tokio::test]
async fn a_client_that_is_not_registered_for_a_response_type_does_not_get_it() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let mut metadata = front_channel_application();
    metadata["response_types"] = json!(["code", "id_token"]);
    metadata["grant_types"] = json!(["authorization_code"]);
    prepared(&server, metadata).await;
    let browser = Browser::new(&server);
    for (changes, error) in [
        (&[("response_type", "token")][..], "unsupported_response_type"),
        (&[("response_type", "code id_token")], "unsupported_response_type"),
        (&[("response_type", "id_token")], "unauthorized_client"),
        (&[("response_type", "id_token"), ("response_mode", "query")], "unsupported_response_mode"),
    ] {
        let answer = browser.authorize(&request_with(changes)).await;
        assert_eq!((answer.target().as_str(), answer.expect("error").as_str()), (CALLBACK, error));
        assert!(answer.location.unwrap().fragment().is_some(), "{changes:?}: where the client looks");
    }
}

#[tokio::test]
async fn a_nonce_is_missed_before_anybody_logs_in() {
    let (server, _) = alone().await;
    let browser = Browser::new(&server);
    for (nonce, error) in [("", "invalid_request"), ("short", "insufficient_entropy")] {
        let request = request_with(&[("response_type", "code id_token"), ("nonce", nonce)]);
        assert_eq!(browser.authorize(&request).await.expect("error"), error);
    }
    let request = request_with(&[("response_type", "code token"), ("nonce", "")]);
    browser.authorize(&request).await.expect("login_challenge");
}

#[tokio::test]
async fn without_the_scope_openid_granted_there_is_no_id_token() {
    let (server, _) = alone().await;
    let browser = Browser::new(&server);
    let page = browser.log_in(&request_with(&[("response_type", "id_token token")]), alice()).await;
    let end = browser.consent(&page, json!({"grant_scope": ["orders.read"]})).await;
    assert_eq!(end.expect("error"), "access_denied");
    assert_eq!(end.names(), ["error", "error_description", "iss", "state"]);
}

#[tokio::test]
async fn tokens_may_be_posted() {
    let (server, _) = alone().await;
    let browser = Browser::new(&server);
    let request = request_with(&[("response_type", "code id_token token"), ("response_mode", "form_post")]);
    let page = browser.log_in(&request, alice()).await;
    let end = browser.consent(&page, all()).await;
    assert_eq!(end.status, 200);
    assert!(end.body.contains(r#"<form method="post" action="https://app.example.com/cb">"#), "{}", end.body);
    for name in ["code", "id_token", "access_token", "state", "iss"] {
        assert!(end.body.contains(&format!(r#"name="{name}" value=""#)), "{name} in {}", end.body);
    }
}

#[tokio::test]
async fn a_page_of_the_client_renews_its_tokens_without_showing_anything() {
    let (server, _) = alone().await;
    let browser = Browser::new(&server);
    let silent = request_with(&[("response_type", "id_token token"), ("prompt", "none")]);
    let stranger = browser.authorize(&silent).await;
    assert_eq!(stranger.expect("error"), "login_required");
    assert!(stranger.location.unwrap().fragment().is_some());

    let login = json!({"subject": "alice", "remember": true});
    let mut consent = all();
    consent["remember"] = json!(true);
    let page = browser.log_in(&request_with(&[("response_type", "id_token token")]), login).await;
    browser.consent(&page, consent).await.expect("id_token");
    let page = browser.log_in(&silent, alice()).await;
    let end = browser.consent(&page, all()).await;
    assert!(server.is_active(&end.expect("access_token")).await);
    assert_eq!(server.verified(&end.expect("id_token")).await["sub"], "alice");
}

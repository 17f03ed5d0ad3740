//! Refreshing, and what ends a grant.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use std::time::Duration;

use common::browser::{Browser, REQUEST, alice, all, application, prepared, request_with, text};
use common::{TestClient, TestServer, databases, manual_clock, settings};
use harness::TestDatabase;
use serde_json::{Value, json};
use server::Settings;
use store::Clock;

fn with_grace(seconds: u64) -> Settings {
    let mut settings = settings();
    settings.flow.rotation_grace = Duration::from_secs(seconds);
    settings
}

async fn alone(settings: Settings, clock: Clock) -> (TestServer, TestClient) {
    let server = TestServer::alone(clock, settings).await;
    let client = prepared(&server, application()).await;
    (server, client)
}

#[tokio::test]
async fn a_refresh_replaces_what_was_there() {
    for database in databases().await {
        let server = TestServer::start(&database, Clock::system()).await;
        let client = prepared(&server, application()).await;
        let first = server.tokens(&client).await;
        let (status, second) = server.refresh(&client, text(&first, "refresh_token")).await;
        assert_eq!(status, 200, "{second}");
        assert_eq!(second["scope"], "openid offline orders.read");
        assert!(second["id_token"].is_string());
        assert!(!server.is_active(text(&first, "access_token")).await);
        assert!(server.is_active(text(&second, "access_token")).await);
        assert_eq!(server.refresh(&client, text(&second, "refresh_token")).await.0, 200);
    }
}

#[tokio::test]
async fn a_refresh_token_that_comes_back_kills_the_grant() {
    for database in databases().await {
        let server = TestServer::start(&database, Clock::system()).await;
        let client = prepared(&server, application()).await;
        let first = server.tokens(&client).await;
        let (_, second) = server.refresh(&client, text(&first, "refresh_token")).await;
        let (status, error) = server.refresh(&client, text(&first, "refresh_token")).await;
        assert_eq!((status, &error["error"]), (400, &json!("invalid_grant")));
        assert!(text(&error, "error_description").contains("refresh token was already used"));
        assert!(!server.is_active(text(&second, "access_token")).await);
        assert_eq!(server.refresh(&client, text(&second, "refresh_token")).await.0, 400);
    }
}

#[tokio::test]
async fn in_the_grace_period_everybody_gets_the_same_refresh_token() {
    let clock = manual_clock();
    let (server, client) = alone(with_grace(10), clock.clone()).await;
    let first = server.tokens(&client).await;
    let token = text(&first, "refresh_token");
    let refreshes = (0..20).map(|_| server.refresh(&client, token));
    let answers = futures::future::join_all(refreshes).await;
    let next: Vec<&str> = answers.iter().map(|(_, tokens)| text(tokens, "refresh_token")).collect();
    assert!(next.iter().all(|token| *token == next[0]), "byte for byte");
    for (status, tokens) in &answers {
        assert_eq!(*status, 200);
        assert!(server.is_active(text(tokens, "access_token")).await);
    }
    clock.advance(jiff::SignedDuration::from_secs(9));
    assert!(server.is_active(text(&first, "access_token")).await);
    clock.advance(jiff::SignedDuration::from_secs(1));
    assert!(!server.is_active(text(&first, "access_token")).await);
    assert_eq!(server.refresh(&client, next[0]).await.0, 200);
    assert_eq!(server.refresh(&client, token).await.0, 400, "an older one is reuse");
    assert!(!server.is_active(text(&answers[0].1, "access_token")).await);
}

#[tokio::test]
async fn without_offline_access_or_the_grant_type_there_is_no_refresh_token() {
    let (server, client) = alone(settings(), manual_clock()).await;
    let browser = Browser::new(&server);
    let page = browser.log_in(&REQUEST, alice()).await;
    let end = browser.consent(&page, json!({"grant_scope": ["openid"]})).await;
    let (status, tokens) = server.exchange(&client, &end.expect("code")).await;
    assert_eq!((status, &tokens["scope"]), (200, &json!("openid")));
    assert!(tokens.get("refresh_token").is_none());

    let mut metadata = application();
    metadata["grant_types"] = json!(["authorization_code"]);
    let other = TestClient::create(&server.store, "other", metadata).await;
    let code = browser.code(&request_with(&[("client_id", "other")])).await;
    let (status, tokens) = server.exchange(&other, &code).await;
    assert_eq!(status, 200);
    assert!(tokens.get("refresh_token").is_none());
}

#[tokio::test]
async fn a_refresh_may_ask_for_less_and_never_gets_more() {
    let (server, client) = alone(settings(), manual_clock()).await;
    let tokens = server.tokens(&client).await;
    let form = [
        ("grant_type", "refresh_token"),
        ("refresh_token", text(&tokens, "refresh_token")),
        ("scope", "orders.read admin"),
    ];
    let (status, narrowed) = server.token_request(&client, &form).await;
    assert_eq!((status, &narrowed["scope"]), (200, &json!("orders.read")));
    let state = server.introspect(&[("token", text(&narrowed, "access_token"))]).await;
    assert_eq!(state["scope"], "orders.read");
    let (_, whole) = server.refresh(&client, text(&narrowed, "refresh_token")).await;
    assert_eq!(whole["scope"], "openid offline orders.read", "the grant keeps what was granted");
}

#[tokio::test]
async fn an_audience_that_the_client_may_no_longer_have_is_left_out() {
    for strategy in ["opaque", "jwt"] {
        let (server, declared) = alone(settings(), manual_clock()).await;
        let mut document = application();
        document["client_id"] = json!("other");
        document["client_secret"] = json!("a secret of its own");
        document["audience"] = json!(["https://a.example.com", "https://b.example.com"]);
        document["access_token_strategy"] = json!(strategy);
        let clients = server.admin_url("/admin/clients");
        assert_eq!(server.http.post(&clients).json(&document).send().await.unwrap().status(), 201);
        let client = TestClient {
            id: oauth::ClientId::parse("other").unwrap(),
            ..declared.with_secret("a secret of its own")
        };
        let both = ["https://a.example.com/v1", "https://b.example.com"];
        let request = request_with(&[
            ("client_id", "other"),
            ("audience", "https://a.example.com/v1 https://b.example.com"),
        ]);
        let browser = Browser::new(&server);
        let page = browser.log_in(&request, alice()).await;
        let mut consent = all();
        consent["grant_access_token_audience"] = json!(both);
        let code = browser.consent(&page, consent).await.expect("code");
        let (_, mut tokens) = server.exchange(&client, &code).await;
        for (registered, left) in [
            (json!(["https://b.example.com"]), &both[1..]),
            (json!(["https://a.example.com/v2"]), &[]),
            (json!(["https://a.example.com", "https://b.example.com"]), &both[..]),
        ] {
            let patch = json!([{"op": "replace", "path": "/audience", "value": registered}]);
            let url = format!("{clients}/other");
            assert_eq!(server.http.patch(url).json(&patch).send().await.unwrap().status(), 200);
            let (status, refreshed) = server.refresh(&client, text(&tokens, "refresh_token")).await;
            assert_eq!(status, 200, "{refreshed}");
            let token = text(&refreshed, "access_token");
            assert_eq!(server.introspect(&[("token", token)]).await["aud"], json!(left), "{strategy}");
            if strategy == "jwt" {
                assert_eq!(server.verified(token).await["aud"], json!(left));
            }
            tokens = refreshed;
        }
    }
}

#[tokio::test]
async fn a_client_that_may_have_any_scope_gets_its_id_token_anew() {
    let (server, _) = alone(settings(), manual_clock()).await;
    let mut metadata = application();
    metadata["scope"] = json!("*");
    let client = TestClient::create(&server.store, "any", metadata).await;
    let code = Browser::new(&server).code(&request_with(&[("client_id", "any")])).await;
    let (_, tokens) = server.exchange(&client, &code).await;
    assert!(tokens["id_token"].is_string());
    let (status, refreshed) = server.refresh(&client, text(&tokens, "refresh_token")).await;
    assert_eq!(status, 200);
    assert!(refreshed["id_token"].is_string(), "{refreshed}");
}

#[tokio::test]
async fn a_refresh_that_is_refused_uses_nothing_up() {
    let (server, client) = alone(settings(), manual_clock()).await;
    let tokens = server.tokens(&client).await;
    let token = text(&tokens, "refresh_token");
    let too_much = "s".repeat(9000);
    for scope in ["read\"", too_much.as_str()] {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token), ("scope", scope)];
        let (status, error) = server.token_request(&client, &form).await;
        assert_eq!((status, &error["error"]), (400, &json!("invalid_scope")));
    }
    assert_eq!(server.refresh(&client, token).await.0, 200);
}

#[tokio::test]
async fn a_revoked_token_ends_its_grant() {
    for database in databases().await {
        let server = TestServer::start(&database, Clock::system()).await;
        let client = prepared(&server, application()).await;
        let other = TestClient::create(&server.store, "other", application()).await;
        for kind in ["access_token", "refresh_token"] {
            let tokens = server.tokens(&client).await;
            assert_eq!(server.revoke(&other, text(&tokens, kind)).await.status(), 200);
            assert!(server.is_active(text(&tokens, "access_token")).await, "it is not the other client's");
            server.revoke(&client, text(&tokens, kind)).await;
            assert!(!server.is_active(text(&tokens, "access_token")).await);
            assert!(!server.is_active(text(&tokens, "refresh_token")).await);
            assert_eq!(server.refresh(&client, text(&tokens, "refresh_token")).await.0, 400);
            assert_eq!(server.userinfo(text(&tokens, "access_token")).await.0, 401);
        }
    }
}

#[tokio::test]
async fn refresh_tokens_end_at_their_time() {
    let clock = manual_clock();
    let (server, client) = alone(settings(), clock.clone()).await;
    let tokens = server.tokens(&client).await;
    clock.advance(jiff::SignedDuration::from_hours(719));
    let (status, tokens) = server.refresh(&client, text(&tokens, "refresh_token")).await;
    assert_eq!(status, 200);
    clock.advance(jiff::SignedDuration::from_hours(720));
    let (status, error) = server.refresh(&client, text(&tokens, "refresh_token")).await;
    assert_eq!((status, text(&error, "error_description")), (400, "The refresh token has expired."));
}

#[tokio::test]
async fn jwt_access_tokens_of_a_grant_are_introspected_and_revoked_as_opaque_ones() {
    let (server, _) = alone(settings(), manual_clock()).await;
    let mut metadata = application();
    metadata["access_token_strategy"] = json!("jwt");
    let client = TestClient::create(&server.store, "jwt", metadata).await;
    let code = Browser::new(&server).code(&request_with(&[("client_id", "jwt")])).await;
    let (status, tokens) = server.exchange(&client, &code).await;
    assert_eq!(status, 200);
    let token = text(&tokens, "access_token");
    let payload = token.split('.').nth(1).unwrap();
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, payload).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!((&claims["sub"], &claims["client_id"]), (&json!("alice"), &json!("jwt")));
    assert_eq!(
        (&claims["ext"], &claims["scp"]),
        (&json!({"tenant": 7}), &json!(["openid", "offline", "orders.read"]))
    );
    assert!(server.is_active(token).await);
    assert_eq!(server.userinfo(token).await.1["sub"], "alice");
    server.revoke(&client, token).await;
    assert!(!server.is_active(token).await);
}

#[tokio::test]
async fn userinfo_refuses_what_is_no_users_token() {
    let (server, client) = alone(settings(), manual_clock()).await;
    let service = TestClient::create(&server.store, "service", common::registered()).await;
    let tokens = server.tokens(&client).await;
    let own = server.access_token(&service).await;
    let url = server.public_url("/userinfo");
    let dead = "The access token is invalid, expired or revoked.";
    for (token, why) in [
        (Some(own.as_str()), Some("The access token comes of no login: it tells of no user.")),
        (Some(text(&tokens, "refresh_token")), Some(dead)),
        (Some(text(&tokens, "id_token")), Some(dead)),
        (Some("nonsense"), Some(dead)),
        (None, None),
    ] {
        let request = server.http.get(&url);
        let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
        let response = request.send().await.unwrap();
        let challenge = match why {
            Some(why) => format!("Bearer error=\"invalid_token\",error_description=\"{why}\""),
            None => "Bearer realm=\"keywright\"".to_owned(),
        };
        assert_eq!(common::header(&response, "www-authenticate"), challenge, "{token:?}");
        let (status, error) = (response.status().as_u16(), response.json::<Value>().await.unwrap());
        assert_eq!((status, text(&error, "error")), (401, "request_unauthorized"), "{token:?}");
    }
}

#[tokio::test]
async fn a_row_that_was_changed_promotes_nobody() {
    let database = TestDatabase::sqlite();
    let server = TestServer::start(&database, Clock::system()).await;
    let client = prepared(&server, application()).await;
    let mine = server.tokens(&client).await;
    let browser = Browser::new(&server);
    let page = browser.log_in(&REQUEST, json!({"subject": "admin"})).await;
    let end = browser.consent(&page, all()).await;
    let (_, theirs) = server.exchange(&client, &end.expect("code")).await;
    assert!(server.is_active(text(&theirs, "access_token")).await);

    // Another subject's column, then another grant's whole content.
    for change in [
        "UPDATE grants SET subject = 'admin'",
        "UPDATE grants SET subject = 'admin', content = (SELECT content FROM grants ORDER BY id DESC LIMIT 1) \
         WHERE id = (SELECT id FROM grants ORDER BY id LIMIT 1)",
    ] {
        common::sql(&database, change).await;
        assert!(!server.is_active(text(&mine, "access_token")).await, "{change}");
        assert_eq!(server.userinfo(text(&mine, "access_token")).await.0, 401);
    }
}

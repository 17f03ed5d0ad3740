//! Ending what a user granted, and where they are logged in.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::browser::{Browser, REQUEST, alice, all, application, prepared, request_with, text};
use common::{TestClient, TestServer, databases, manual_clock, settings};
use serde_json::{Value, json};
use store::Clock;

async fn delete(server: &TestServer, path: &str) -> u16 {
    let url = server.admin_url(&format!("/admin/oauth2/auth/sessions/{path}"));
    server.http.delete(url).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn what_a_user_granted_ends_on_every_server_with_codes_in_flight() {
    for (query, others_live) in [("subject=alice&client=app", true), ("subject=alice&all=true", false)] {
        for database in databases().await {
            let one = TestServer::start(&database, Clock::system()).await;
            let two = TestServer::start(&database, Clock::system()).await;
            let client = prepared(&one, application()).await;
            let other = TestClient::create(&one.store, "other", application()).await;
            let in_flight = Browser::new(&one).code(&REQUEST).await;
            let tokens = one.tokens(&client).await;
            let code = Browser::new(&one).code(&request_with(&[("client_id", "other")])).await;
            let (_, others) = one.exchange(&other, &code).await;

            assert_eq!(delete(&one, &format!("consent?{query}")).await, 204);
            assert!(!two.is_active(text(&tokens, "access_token")).await);
            assert_eq!(two.refresh(&client, text(&tokens, "refresh_token")).await.0, 400);
            assert_eq!(two.exchange(&client, &in_flight).await.1["error"], "invalid_grant");
            assert_eq!(two.is_active(text(&others, "access_token")).await, others_live, "{query}");
        }
    }
}

#[tokio::test]
async fn what_a_client_was_given_ends_and_it_may_ask_again() {
    for database in databases().await {
        let one = TestServer::start(&database, Clock::system()).await;
        let two = TestServer::start(&database, Clock::system()).await;
        prepared(&one, application()).await;
        let mut metadata = application();
        metadata["grant_types"] = json!(["authorization_code", "refresh_token", "client_credentials"]);
        let client = TestClient::create(&one.store, "both", metadata).await;
        let request = request_with(&[("client_id", "both")]);
        let in_flight = Browser::new(&one).code(&request).await;
        let (_, tokens) = one.exchange(&client, &Browser::new(&one).code(&request).await).await;
        let own = one.access_token(&client).await;

        let url = one.admin_url("/admin/oauth2/tokens?client_id=both");
        assert_eq!(one.http.delete(url).send().await.unwrap().status(), 204);
        assert!(!two.is_active(&own).await && !two.is_active(text(&tokens, "access_token")).await);
        assert!(!two.is_active(text(&tokens, "refresh_token")).await);
        assert_eq!(one.exchange(&client, &in_flight).await.1["error"], "invalid_grant");
        assert_eq!(one.refresh(&client, text(&tokens, "refresh_token")).await.1["error"], "invalid_grant");
        assert!(one.is_active(&one.access_token(&client).await).await);
        let url = one.admin_url("/admin/oauth2/tokens?client_id=nobody");
        assert_eq!(one.http.delete(url).send().await.unwrap().status(), 204);
        let url = one.admin_url("/admin/oauth2/tokens");
        assert_eq!(one.http.delete(url).send().await.unwrap().status(), 400);
    }
}

#[tokio::test]
async fn a_consent_that_was_revoked_is_asked_for_again() {
    let clock = manual_clock();
    let server = TestServer::alone(clock.clone(), settings()).await;
    prepared(&server, application()).await;
    let browser = Browser::new(&server);
    let mut remembered = all();
    remembered["remember"] = json!(true);
    let page = browser.log_in(&REQUEST, alice()).await;
    browser.consent(&page, remembered).await.expect("code");
    let skips = async || {
        let page = browser.log_in(&REQUEST, alice()).await;
        let challenge = page.expect("consent_challenge");
        server.asked("consent", &challenge).await.json::<Value>().await.unwrap()["skip"].as_bool().unwrap()
    };
    assert!(skips().await);
    assert_eq!(delete(&server, "consent?subject=alice&client=app").await, 204);
    assert!(!skips().await);
}

#[tokio::test]
async fn a_consent_that_was_revoked_on_its_way_is_not_remembered() {
    let clock = manual_clock();
    let server = TestServer::alone(clock.clone(), settings()).await;
    prepared(&server, application()).await;
    let browser = Browser::new(&server);
    let page = browser.log_in(&REQUEST, alice()).await;
    let mut remembered = all();
    remembered["remember"] = json!(true);
    let redirect = server.decide("consent", "accept", &page.expect("consent_challenge"), remembered).await;
    clock.advance(jiff::SignedDuration::from_secs(5));
    assert_eq!(delete(&server, "consent?subject=alice&client=app").await, 204);
    clock.advance(jiff::SignedDuration::from_secs(5));
    browser.open(&redirect).await.expect("code");
    let page = browser.log_in(&REQUEST, alice()).await;
    let asked: Value = server.asked("consent", &page.expect("consent_challenge")).await.json().await.unwrap();
    assert_eq!(asked["skip"], false);
}

#[tokio::test]
async fn a_login_that_was_revoked_is_forgotten_and_its_tokens_live_on() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let client = prepared(&server, application()).await;
    for by_sid in [true, false] {
        let browser = Browser::new(&server);
        let page = browser.log_in(&REQUEST, json!({"subject": "alice", "remember": true})).await;
        let (_, tokens) = {
            let end = browser.consent(&page, all()).await;
            server.exchange(&client, &end.expect("code")).await
        };
        let asked = async || {
            let challenge = browser.authorize(&REQUEST).await.expect("login_challenge");
            server.asked("login", &challenge).await.json::<Value>().await.unwrap()
        };
        let login = asked().await;
        assert_eq!(login["skip"], true);
        let query =
            if by_sid { format!("sid={}", text(&login, "session_id")) } else { "subject=alice".to_owned() };
        assert_eq!(delete(&server, &format!("login?{query}")).await, 204);
        assert_eq!(asked().await["skip"], false);
        assert!(server.is_active(text(&tokens, "access_token")).await);
    }
}

#[tokio::test]
async fn who_is_meant_must_be_said() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    for path in [
        "consent",
        "consent?subject=alice",
        "consent?subject=alice&client=app&all=true",
        "consent?subject=alice&all=1",
        "login",
        "login?sid=nonsense",
        "login?sid=x&subject=alice",
    ] {
        assert_eq!(delete(&server, path).await, 400, "{path}");
    }
}

//! A login that ends here ends at the identity provider too.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::browser::{Browser, REQUEST, application, prepared, text, verified};
use common::receiver::Receiver;
use common::{TestClient, TestServer, at_work, databases, manual_clock, settings};
use harness::eventually;
use jiff::SignedDuration;
use serde_json::{Value, json};
use server::{IdentityProvider, ProviderHeaders, Settings};
use store::Clock;

const OUT: &str = "https://app.example.com/out";

/// Settings with a stand-in of Kratos, which asks for a key, in a private network that is closed for all else.
fn settings_with(kratos: &Receiver) -> Settings {
    let mut settings = settings();
    let provider = IdentityProvider::new(kratos.url("127.0.0.1", "/kratos/").parse().unwrap());
    settings.identity_provider =
        Some(provider.with_headers(ProviderHeaders::default().with("X-Kratos-Key", "hush").unwrap()));
    settings.outbound.public_addresses_only = true;
    settings
}

/// A client that is told by nobody.
async fn client(server: &TestServer) -> TestClient {
    let mut metadata = application();
    metadata["post_logout_redirect_uris"] = json!([OUT]);
    prepared(server, metadata).await
}

/// What Kratos' login app says of Alice.
fn alice_in(session: &str, remember: bool) -> Value {
    json!({"subject": "alice", "remember": remember, "identity_provider_session_id": session})
}

async fn end(server: &TestServer, query: &str) {
    let url = server.admin_url(&format!("/admin/oauth2/auth/sessions/login?{query}"));
    assert_eq!(server.http.delete(url).send().await.unwrap().status(), 204, "{query}");
}

async fn attempts(server: &TestServer, outcome: &str) -> f64 {
    let series = format!("keywright_identity_provider_logouts_total{{outcome=\"{outcome}\"}}");
    server.metric(&series).await.unwrap_or_default()
}

#[tokio::test]
async fn the_session_at_the_identity_provider_ends_with_the_login() {
    for database in databases().await {
        let kratos = Receiver::start().await;
        let server = TestServer::with(database.open(Clock::system()).await, settings_with(&kratos)).await;
        let client = client(&server).await;
        let _work = at_work(&server);
        // Not one of these: all logins of a subject end, and the client holds one that no browser remembers.
        let browser = Browser::new(&server);
        browser.logged_in_by(&client, alice_in("of-subject", true)).await;
        end(&server, "subject=alice").await;
        // Alice is not remembered again within the second in which she was logged out.
        let bob = |session: &str, remember: bool| {
            let mut login = alice_in(session, remember);
            login["subject"] = json!("bob");
            login
        };
        let (id_token, _) = browser.logged_in_by(&client, bob("forgotten", false)).await;
        browser.log_out(&[("id_token_hint", &id_token)]).await;
        for (count, way) in ["client", "user", "sid"].into_iter().enumerate() {
            let browser = Browser::new(&server);
            let (id_token, _) = browser.logged_in_by(&client, bob(way, true)).await;
            let hint = [("id_token_hint", id_token.as_str()), ("post_logout_redirect_uri", OUT)];
            match way {
                "client" => assert_eq!(browser.agree_to_log_out(&hint).await.target(), OUT),
                "user" => drop(browser.agree_to_log_out(&[]).await),
                _ => {
                    let claims = verified(&server, &id_token).await;
                    end(&server, &format!("sid={}", text(&claims, "sid"))).await;
                }
            }
            eventually("the session ends", async || kratos.received().len() > count).await;
        }
        let told: Vec<_> = kratos
            .received()
            .into_iter()
            .map(|asked| (asked.method, asked.path, asked.headers["x-kratos-key"].clone(), asked.body))
            .collect();
        let expected = ["client", "user", "sid"].map(|id| {
            let path = format!("/kratos/admin/sessions/{id}");
            ("DELETE".to_owned(), path, "hush".to_owned(), String::new())
        });
        assert_eq!(told, expected);
    }
}

#[tokio::test]
async fn a_provider_that_fails_is_asked_again_and_one_without_the_session_is_not() {
    let (clock, kratos) = (manual_clock(), Receiver::start().await);
    let server = TestServer::alone(clock.clone(), settings_with(&kratos)).await;
    let client = client(&server).await;
    let _work = at_work(&server);
    kratos.answer(&[(503, ""), (401, ""), (404, "")]);
    let browser = Browser::new(&server);
    browser.logged_in_by(&client, alice_in("a1", true)).await;
    browser.agree_to_log_out(&[]).await;
    for (failed, count) in [(1.0, 1), (2.0, 2)] {
        eventually("it fails", async || attempts(&server, "failed").await >= failed).await;
        assert_eq!(kratos.received().len(), count, "not before its time");
        clock.advance(SignedDuration::from_secs(20));
    }
    eventually("it is done", async || attempts(&server, "told").await >= 1.0).await;

    kratos.answer(&[(400, "")]);
    let other = Browser::new(&server);
    other
        .logged_in_by(
            &client,
            json!({"subject": "bob", "remember": true, "identity_provider_session_id": "b"}),
        )
        .await;
    other.agree_to_log_out(&[]).await;
    eventually("it refuses", async || attempts(&server, "refused").await >= 1.0).await;
    clock.advance(SignedDuration::from_hours(1));
    assert!(server.store.claim_logouts(10, &[]).await.unwrap().is_empty(), "nothing is left");
    assert_eq!(kratos.received().len(), 4);
}

#[tokio::test]
async fn a_logout_with_an_identity_provider_costs_one_read_and_one_write() {
    for database in databases().await {
        let kratos = Receiver::start().await;
        let server = TestServer::with(database.open(Clock::system()).await, settings_with(&kratos)).await;
        let client = client(&server).await;
        // Where the machine is so busy that the cache loses its trust for a moment, a step costs more.
        eventually("a logout costs what it should", async || {
            let browser = Browser::new(&server);
            browser.logged_in_by(&client, alice_in("a1", true)).await;
            let before = server.store.statements();
            browser.agree_to_log_out(&[]).await;
            server.store.statements() - before == 2
        })
        .await;
    }
}

#[tokio::test]
async fn an_id_that_is_none_is_refused_and_the_login_may_be_answered_once_more() {
    let kratos = Receiver::start().await;
    let server = TestServer::alone(manual_clock(), settings_with(&kratos)).await;
    client(&server).await;
    let challenge = Browser::new(&server).authorize(&REQUEST).await.expect("login_challenge");
    for id in ["..", "a b", &"x".repeat(256)] {
        let response = server.answer("login", "accept", &challenge, alice_in(id, true)).await;
        assert_eq!(response.status(), 400, "{id}");
        let error: Value = response.json().await.unwrap();
        assert!(text(&error, "error_description").contains("identity_provider_session_id"), "{error}");
    }
    assert_eq!(server.answer("login", "accept", &challenge, alice_in("a1", true)).await.status(), 200);
}

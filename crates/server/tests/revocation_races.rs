//! Revocations that meet an exchange or a refresh on its way, on two servers over real sockets: whoever wins, nothing
//! lives on.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::browser::{Browser, REQUEST, all, application, prepared, text};
use common::{TestClient, TestServer, databases};
use harness::eventually;
use serde_json::{Value, json};
use store::Clock;

/// What ends a grant.
const WAYS: [&str; 5] = ["subject", "subject and client", "consent", "client", "token"];

/// How often each meets an exchange, and a refresh.
const ROUNDS: usize = 10;

/// A login that has its code.
struct Flow {
    subject: String,
    consent_request: String,
    code: String,
}

async fn flow(server: &TestServer, subject: String) -> Flow {
    let browser = Browser::new(server);
    let page = browser.log_in(&REQUEST, json!({"subject": subject})).await;
    let challenge = page.expect("consent_challenge");
    let asked: Value = server.asked("consent", &challenge).await.json().await.unwrap();
    let consent_request = text(&asked, "consent_request_id").to_owned();
    Flow { subject, consent_request, code: browser.consent(&page, all()).await.expect("code") }
}

/// Ends it, after a number of other things have had their turn.
async fn revoke(server: &TestServer, client: &TestClient, flow: &Flow, way: &str, delay: usize, known: &str) {
    for _ in 0..delay {
        tokio::task::yield_now().await;
    }
    let sessions = |query: &str| format!("/admin/oauth2/auth/sessions/{query}");
    let path = match way {
        "subject" => sessions(&format!("consent?subject={}&all=true", flow.subject)),
        "subject and client" => sessions(&format!("consent?subject={}&client=app", flow.subject)),
        "consent" => sessions(&format!("consent?consent_request_id={}", flow.consent_request)),
        "client" => "/admin/oauth2/tokens?client_id=app".to_owned(),
        _ => {
            assert!(server.revoke(client, known).await.status().is_success());
            return;
        }
    };
    let status = server.http.delete(server.admin_url(&path)).send().await.unwrap().status();
    assert_eq!(status, 204, "{path}");
}

/// What a refresh or an exchange gave is dead, everywhere.
async fn is_dead(servers: [&TestServer; 2], client: &TestClient, (status, tokens): (u16, Value), what: &str) {
    if status != 200 {
        assert_eq!(status, 400, "{what}: {tokens}");
        return;
    }
    for server in servers {
        let (access, refresh) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
        assert!(!server.is_active(access).await, "{what}: the access token lives");
        assert!(!server.is_active(refresh).await, "{what}: the refresh token lives");
        assert_eq!(server.userinfo(access).await.0, 401, "{what}");
        assert_eq!(server.refresh(client, refresh).await.0, 400, "{what}");
    }
}

/// Waits until a server knows that the client begins anew: before that, what it begins is refused in the end.
async fn has_heard(server: &TestServer, client: &TestClient) {
    let heard = async || {
        let row = server.store.read_client(&client.id).await.unwrap().unwrap();
        server.store.client(&client.id).await.unwrap().unwrap().epoch == row.epoch
    };
    eventually("the server has heard of the revocation", heard).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_a_revocation_meets_on_its_way_nothing_lives_on() {
    for database in databases().await {
        let one = TestServer::start(&database, Clock::system()).await;
        let two = TestServer::start(&database, Clock::system()).await;
        let client = prepared(&one, application()).await;
        for round in 0..ROUNDS {
            for way in WAYS {
                let delay = round * round * 4;
                let what = format!("{way}, round {round}");

                // With a refresh.
                let refreshed = flow(&one, format!("refreshed-{round}-{way}").replace(' ', "-")).await;
                let (status, tokens) = one.exchange(&client, &refreshed.code).await;
                assert_eq!(status, 200, "{what}: {tokens}");
                let refresh = text(&tokens, "refresh_token");
                let (answer, ()) = tokio::join!(
                    one.refresh(&client, refresh),
                    revoke(&two, &client, &refreshed, way, delay, refresh)
                );
                is_dead([&one, &two], &client, answer, &what).await;
                is_dead([&two, &one], &client, (200, tokens), &what).await;

                has_heard(&one, &client).await;
                // With an exchange. No token is there yet that could be revoked.
                if way != "token" {
                    let exchanged = flow(&one, format!("exchanged-{round}-{way}").replace(' ', "-")).await;
                    let (answer, ()) = tokio::join!(
                        one.exchange(&client, &exchanged.code),
                        revoke(&two, &client, &exchanged, way, delay, "")
                    );
                    is_dead([&one, &two], &client, answer, &what).await;
                    is_dead([&two, &one], &client, one.exchange(&client, &exchanged.code).await, &what).await;
                }
                has_heard(&one, &client).await;
            }
        }
    }
}

//! Hooks that are asked for the claims of tokens.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::browser::{Browser, REQUEST, application, prepared, text, verified};
use common::device::{DEVICE_GRANT, Device, device_client};
use common::receiver::{Received, Receiver};
use common::{TestClient, TestServer, databases, manual_clock, registered, registered_for_jwt, settings};
use jiff::SignedDuration;
use serde_json::{Value, json};
use server::{Hook, HookKeyPlace, Hooks, Settings};
use store::Clock;

/// Settings with a token hook, and where asked with a refresh hook.
fn hooked(receiver: &Receiver, refreshes: bool) -> Settings {
    let hook = |path| Hook::new(receiver.url("127.0.0.1", path).parse().unwrap());
    let token = hook("/token").with_key(HookKeyPlace::Header, "X-Key", "hush").unwrap();
    let refresh = hook("/refresh").with_key(HookKeyPlace::Cookie, "key", "hush").unwrap();
    Settings { hooks: Hooks { token: Some(token), refresh: refreshes.then_some(refresh) }, ..settings() }
}

fn told(received: &Received) -> Value {
    serde_json::from_str(&received.body).unwrap()
}

/// An answer with these claims.
fn claims(access_token: &Value, id_token: &Value) -> String {
    json!({"session": {"access_token": access_token, "id_token": id_token}}).to_string()
}

async fn ext(server: &TestServer, tokens: &Value) -> Value {
    server.introspect(&[("token", text(tokens, "access_token"))]).await["ext"].clone()
}

#[tokio::test]
async fn a_hook_adds_and_changes_claims_in_the_code_grant_and_each_refresh() {
    for database in databases().await {
        let receiver = Receiver::start().await;
        let server = TestServer::with(database.open(Clock::system()).await, hooked(&receiver, true)).await;
        let client = prepared(&server, application()).await;
        receiver.answer(&[(
            200,
            &claims(&json!({"role": "admin"}), &json!({"email": "new@example.com", "sub": "mallory"})),
        )]);
        let tokens = server.tokens(&client).await;
        assert_eq!(
            ext(&server, &tokens).await,
            json!({"tenant": 7, "role": "admin"}),
            "beside what was granted"
        );
        let first = verified(&server, text(&tokens, "id_token")).await;
        assert_eq!((&first["email"], &first["sub"]), (&json!("new@example.com"), &json!("alice")));
        assert_eq!(server.userinfo(text(&tokens, "access_token")).await.1["email"], "new@example.com");

        // At a refresh, what the hooks say is all there is: the refresh hook first, the token hook after it.
        receiver.answer(&[
            (200, &claims(&json!({"step": 1}), &json!({"email": "one@example.com"}))),
            (200, &claims(&json!({"step": 2}), &json!({}))),
        ]);
        let (status, tokens) = server.refresh(&client, text(&tokens, "refresh_token")).await;
        assert_eq!(status, 200, "{tokens}");
        assert_eq!(ext(&server, &tokens).await, json!({"step": 2}));
        let second = verified(&server, text(&tokens, "id_token")).await;
        assert_eq!((second.get("email"), &second["sid"]), (None, &first["sid"]), "the session stays");
        receiver.answer(&[(204, "")]);
        let (status, tokens) = server.refresh(&client, text(&tokens, "refresh_token")).await;
        assert_eq!(status, 200, "{tokens}");
        assert_eq!(ext(&server, &tokens).await, json!({"step": 2}), "it is kept");

        let asked = receiver.received();
        let paths: Vec<_> = asked.iter().map(|request| request.path.as_str()).collect();
        assert_eq!(paths, ["/token", "/refresh", "/token", "/refresh", "/token"]);
        check_requests(&asked, text(&first, "sid"));
    }
}

/// What the hooks were told in a code grant and its first refresh.
fn check_requests(asked: &[Received], sid: &str) {
    let (code, refresh, token) = (told(&asked[0]), told(&asked[1]), told(&asked[2]));
    assert_eq!(asked[0].headers["content-type"], "application/json; charset=UTF-8");
    assert_eq!(
        (asked[0].headers["x-key"].as_str(), asked[1].headers["cookie"].as_str()),
        ("hush", "key=hush")
    );
    assert_eq!(code["request"]["grant_types"], json!(["authorization_code"]));
    assert_eq!(code["request"]["payload"], json!({"grant_type": ["authorization_code"]}));
    assert_eq!(code["request"]["granted_scopes"], json!(["openid", "offline", "orders.read"]));
    assert_eq!(code["session"]["extra"], json!({"tenant": 7}));
    let session = &code["session"]["id_token"];
    assert_eq!(session["subject"], "alice");
    assert_eq!(session["id_token_claims"]["ext"], json!({"email": "alice@example.com", "sid": sid}));
    assert_eq!((&refresh["subject"], &refresh["client_id"]), (&json!("alice"), &json!("app")));
    assert_eq!(refresh["requester"]["grant_types"], json!(["refresh_token"]));
    assert_eq!(refresh["session"]["extra"], json!({"tenant": 7, "role": "admin"}));
    assert_eq!(token["session"]["extra"], json!({"step": 1}), "what the first one said");
    assert!(asked.iter().all(|request| !request.body.contains("ory_")), "no token is told");
}

#[tokio::test]
async fn what_a_hook_refuses_or_fails_at_uses_nothing_up() {
    for database in databases().await {
        let receiver = Receiver::start().await;
        let server = TestServer::with(database.open(Clock::system()).await, hooked(&receiver, true)).await;
        let client = prepared(&server, application()).await;
        let code = Browser::new(&server).code(&REQUEST).await;
        let long = claims(&json!({"long": "x".repeat(70_000)}), &json!({}));
        let failures = [
            (403, "no", 403, "access_denied"),
            (500, "", 500, "server_error"),
            (200, "[", 500, "server_error"),
            (200, long.as_str(), 500, "server_error"),
        ];
        for (status, body, expected, error) in failures {
            receiver.answer(&[(status, body)]);
            let answer = server.exchange(&client, &code).await;
            assert_eq!((answer.0, text(&answer.1, "error")), (expected, error), "{status} {body:.20}");
        }
        receiver.answer(&[(204, "")]);
        let (status, tokens) = server.exchange(&client, &code).await;
        assert_eq!(status, 200, "{tokens}");
        for (status, body, expected, error) in failures {
            receiver.answer(&[(status, body)]);
            let answer = server.refresh(&client, text(&tokens, "refresh_token")).await;
            assert_eq!((answer.0, text(&answer.1, "error")), (expected, error), "{status} {body:.20}");
        }
        assert!(server.is_active(text(&tokens, "access_token")).await);
        receiver.answer(&[(204, "")]);
        assert_eq!(server.refresh(&client, text(&tokens, "refresh_token")).await.0, 200);
    }
}

#[tokio::test]
async fn a_clients_own_token_carries_the_claims_of_the_hook() {
    for database in databases().await {
        let receiver = Receiver::start().await;
        let server = TestServer::with(database.open(Clock::system()).await, hooked(&receiver, true)).await;
        prepared(&server, application()).await;
        let orders = TestClient::create(&server.store, "orders", registered()).await;
        let signed = TestClient::create(&server.store, "signed", registered_for_jwt()).await;
        receiver.answer(&[(200, &claims(&json!({"team": {"id": 7}}), &json!({"x": 1})))]);
        let tokens = server.token(&orders, &[("scope", "read")]).await;
        assert_eq!(ext(&server, &tokens).await, json!({"team": {"id": 7}}));
        let tokens = server.token(&signed, &[]).await;
        assert_eq!(verified(&server, text(&tokens, "access_token")).await["ext"], json!({"team": {"id": 7}}));
        let asked = told(&receiver.received()[0]);
        assert_eq!(
            asked["request"]["payload"],
            json!({"grant_type": ["client_credentials"], "scope": ["read"]})
        );
        assert_eq!(asked["session"]["id_token"]["subject"], "orders");
        assert_eq!(asked["session"]["client_id"], "orders");

        receiver.answer(&[(200, &claims(&json!({"long": "x".repeat(9_000)}), &json!({})))]);
        let answer = server.request_token(&orders, &[]).await;
        assert_eq!(answer.status(), 400, "more than a token can carry");
        receiver.answer(&[(403, "")]);
        assert_eq!(server.request_token(&orders, &[]).await.status(), 403);
    }
}

#[tokio::test]
async fn a_devices_tokens_carry_the_claims_of_the_hook() {
    let receiver = Receiver::start().await;
    let server = TestServer::alone(manual_clock(), hooked(&receiver, false)).await;
    let client = prepared(&server, device_client()).await;
    let device = Device::start(&server, &client).await;
    assert_eq!(device.refused().await, "authorization_pending");
    assert!(receiver.received().is_empty(), "there is no token to be made");
    device.approve(&Browser::new(&server)).await;
    server.store.clock().advance(SignedDuration::from_secs(10));
    receiver.answer(&[(500, ""), (200, &claims(&json!({"role": "admin"}), &json!({})))]);
    assert_eq!(device.poll().await.0, 500, "nothing is used up");
    server.store.clock().advance(SignedDuration::from_secs(10));
    let (status, tokens) = device.poll().await;
    assert_eq!(status, 200, "{tokens}");
    assert_eq!(ext(&server, &tokens).await, json!({"tenant": 7, "role": "admin"}));
    let asked = &receiver.received()[1];
    assert_eq!(told(asked)["request"]["grant_types"], json!([DEVICE_GRANT]));
    assert!(!asked.body.contains("ory_"), "{}", asked.body);
}

#[tokio::test]
async fn a_request_that_is_refused_anyway_is_no_matter_of_the_hook() {
    let receiver = Receiver::start().await;
    receiver.answer(&[(204, "")]);
    let server = TestServer::alone(Clock::system(), hooked(&receiver, true)).await;
    let client = prepared(&server, application()).await;
    let tokens = server.tokens(&client).await;
    let asked = receiver.received().len();
    let code = Browser::new(&server).code(&REQUEST).await;
    assert_eq!(server.exchange(&client.with_secret("wrong"), &code).await.0, 401);
    assert_eq!(server.exchange(&client, "nonsense").await.0, 400);
    assert_eq!(server.refresh(&client, "ory_rt_nonsense").await.0, 400);
    server.revoke(&client, text(&tokens, "access_token")).await;
    assert_eq!(server.refresh(&client, text(&tokens, "refresh_token")).await.0, 400);
    assert_eq!(receiver.received().len(), asked);
}

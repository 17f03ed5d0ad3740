//! Clients that authenticate by what they sign (`private_key_jwt`).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::signing::{Published, assertion_of, by_assertion, changed, jwks, key, signed};
use common::{ISSUER, TestClient, TestServer, databases, manual_clock, settings};
use jiff::SignedDuration;
use jose::{PrivateKey, SigningAlgorithm};
use serde_json::{Value, json};
use store::Clock;

const TOKEN: &str = "/oauth2/token";

/// A client `service` that authenticates with ES256.
fn registered(keys: &Value) -> Value {
    changed(
        json!({
            "grant_types": ["client_credentials"],
            "scope": "read",
            "token_endpoint_auth_method": "private_key_jwt",
            "token_endpoint_auth_signing_alg": "ES256",
        }),
        keys,
    )
}

async fn with_key(server: &TestServer) -> PrivateKey {
    let key = key(SigningAlgorithm::Es256);
    TestClient::create(&server.store, "service", registered(&json!({"jwks": jwks(&[&key])}))).await;
    server.cached().await;
    key
}

/// The status, and the error's code.
async fn outcome(server: &TestServer, assertion: &str) -> (u16, String) {
    let (status, body) = server.post_form(TOKEN, &by_assertion(assertion)).await;
    (status, body["error"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn an_assertion_is_good_once_and_costs_one_statement() {
    for database in databases().await {
        let server = TestServer::start(&database, Clock::system()).await;
        let key = with_key(&server).await;
        // Where the machine is so busy that the cache loses its trust for a moment, it costs more.
        harness::eventually("an assertion costs one statement", async || {
            let jti = uuid::Uuid::from_bytes(server.store.entropy().bytes()).to_string();
            let assertion = signed(&key, &assertion_of(&server, "service", &jti));
            let before = server.store.statements();
            assert_eq!(outcome(&server, &assertion).await, (200, String::new()));
            let cost = server.store.statements() - before;
            assert_eq!(outcome(&server, &assertion).await, (400, "jti_known".to_owned()));
            cost == 1
        })
        .await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_an_assertion_is_told_and_uses_nothing_up() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let key = with_key(&server).await;
    let now = server.store.clock().now().as_second();
    let unproven = "Client authentication failed";
    let cases = [
        (json!({"exp": null}), "no exp"),
        (json!({"exp": now}), "expired"),
        (json!({"exp": now + 86_401}), "longer than 86400 s"),
        (json!({"nbf": now + 61}), "nbf"),
        (json!({"iat": now + 61}), "iat"),
        (json!({"aud": "https://other.example.com"}), "aud"),
        (json!({"aud": null}), "aud"),
        (json!({"jti": null}), "jti"),
        (json!({"iss": "other"}), "iss and the sub"),
        (json!({"iss": "other", "sub": "other"}), unproven),
    ];
    for (change, part) in cases {
        let claims = changed(assertion_of(&server, "service", "1"), &change);
        let (status, body) = server.post_form(TOKEN, &by_assertion(&signed(&key, &claims))).await;
        assert_eq!((status, &body["error"]), (401, &json!("invalid_client")), "{change}");
        assert!(body["error_description"].as_str().unwrap().contains(part), "{change}: {body}");
    }
    for foreign in
        [common::signing::key(SigningAlgorithm::Es256), common::signing::key(SigningAlgorithm::EdDsa)]
    {
        let forged = signed(&foreign, &assertion_of(&server, "service", "1"));
        let (status, body) = server.post_form(TOKEN, &by_assertion(&forged)).await;
        assert_eq!(status, 401, "{body}");
        assert!(body["error_description"].as_str().unwrap().contains(unproven), "{body}");
    }
    let valid = signed(&key, &assertion_of(&server, "service", "1"));
    assert_eq!(outcome(&server, &valid).await.0, 200, "nobody has used up its jti");
}

#[tokio::test]
async fn every_name_of_the_server_will_do_as_audience() {
    let mut settings = settings();
    settings.discovery.token_url = Some("https://token.example.com/".to_owned());
    let server = TestServer::alone(manual_clock(), settings).await;
    let key = with_key(&server).await;
    let names = [ISSUER, "https://id.example.com/oauth2/token", "https://token.example.com/"];
    for (index, name) in names.into_iter().enumerate() {
        let claims =
            changed(assertion_of(&server, "service", &index.to_string()), &json!({"aud": ["x", name]}));
        assert_eq!(outcome(&server, &signed(&key, &claims)).await.0, 200, "{name}");
    }
}

#[tokio::test]
async fn every_algorithm_is_served_and_rs256_is_the_default() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    for algorithm in SigningAlgorithm::ALL {
        let key = key(algorithm);
        let keys = json!({"jwks": jwks(&[&key]), "token_endpoint_auth_signing_alg": algorithm});
        TestClient::create(&server.store, algorithm.as_str(), registered(&keys)).await;
        let default = format!("default-{algorithm}");
        let keys = changed(keys, &json!({"token_endpoint_auth_signing_alg": null}));
        let mut of_default = registered(&keys);
        of_default.as_object_mut().unwrap().remove("token_endpoint_auth_signing_alg");
        TestClient::create(&server.store, &default, of_default).await;
        let named = signed(&key, &assertion_of(&server, algorithm.as_str(), "1"));
        assert_eq!(outcome(&server, &named).await.0, 200, "{algorithm}");
        let by_default = signed(&key, &assertion_of(&server, &default, "1"));
        let is_default = algorithm == SigningAlgorithm::Rs256;
        assert_eq!(outcome(&server, &by_default).await.0 == 200, is_default, "{algorithm}");
    }
}

#[tokio::test]
async fn a_client_of_another_method_gets_nothing_for_an_assertion_and_the_other_way_round() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let key = key(SigningAlgorithm::Es256);
    let keys = json!({"jwks": jwks(&[&key])});
    let by_secret = changed(registered(&keys), &json!({"token_endpoint_auth_method": "client_secret_basic"}));
    TestClient::create(&server.store, "by-secret", by_secret).await;
    let assertion = signed(&key, &assertion_of(&server, "by-secret", "1"));
    assert_eq!(outcome(&server, &assertion).await, (401, "invalid_client".to_owned()));

    let client = TestClient::create(&server.store, "service", registered(&keys)).await;
    assert_eq!(server.request_token(&client, &[]).await.status(), 401);
    let alone = [("grant_type", "client_credentials"), ("client_id", "service")];
    assert_eq!(server.post_form(TOKEN, &alone).await.0, 401);
}

#[tokio::test]
async fn assertions_authenticate_revocations_too() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let key = with_key(&server).await;
    let assertion = signed(&key, &assertion_of(&server, "service", "1"));
    let (_, token) = server.post_form(TOKEN, &by_assertion(&assertion)).await;
    let token = token["access_token"].as_str().unwrap();
    assert!(server.is_active(token).await);
    let revoke = async |assertion: &str| {
        let mut form = by_assertion(assertion).to_vec();
        form[0] = ("token", token);
        server.post_form("/oauth2/revoke", &form).await.0
    };
    assert_eq!(revoke(&assertion).await, 400, "it was used");
    assert!(server.is_active(token).await);
    assert_eq!(revoke(&signed(&key, &assertion_of(&server, "service", "2"))).await, 200);
    assert!(!server.is_active(token).await);
}

#[tokio::test]
async fn keys_that_a_client_changes_count_at_once() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let (former, next) = (with_key(&server).await, key(SigningAlgorithm::Es256));
    let row = server.store.read_client(&oauth::ClientId::parse("service").unwrap()).await.unwrap().unwrap();
    let metadata = serde_json::from_value(registered(&json!({"jwks": jwks(&[&next])}))).unwrap();
    let manager = row.manager.clone().unwrap();
    server.store.update_client(&row.fence(), &metadata, &manager, "").await.unwrap();
    let by = |key, jti| signed(key, &assertion_of(&server, "service", jti));
    assert_eq!(outcome(&server, &by(&next, "1")).await.0, 200);
    assert_eq!(outcome(&server, &by(&former, "2")).await.0, 401);
}

#[tokio::test]
async fn published_keys_are_kept_asked_for_when_one_is_missing_and_used_on_while_they_are_away() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let [first, second, third] = [0; 3].map(|_| key(SigningAlgorithm::Es256));
    let published = Published::new(jwks(&[&first]).to_string()).await;
    TestClient::create(&server.store, "service", registered(&json!({"jwks_uri": published.url()}))).await;
    server.cached().await;
    let mut jti = 0;
    let mut by = |key| {
        jti += 1;
        signed(key, &assertion_of(&server, "service", &jti.to_string()))
    };
    let wait = |seconds| server.store.clock().advance(SignedDuration::from_secs(seconds));

    let at_once: Vec<_> = (0..8).map(|_| by(&first)).collect();
    let outcomes =
        futures::future::join_all(at_once.iter().map(|assertion| outcome(&server, assertion))).await;
    assert!(outcomes.iter().all(|(status, _)| *status == 200), "{outcomes:?}");
    assert_eq!(published.asked(), 1, "all of them waited for one answer");

    published.publish(jwks(&[&first, &second]).to_string());
    assert_eq!(
        outcome(&server, &by(&second)).await.0,
        200,
        "keys may turn a moment after they were asked for"
    );
    published.publish(jwks(&[&first, &second, &third]).to_string());
    assert_eq!(outcome(&server, &by(&third)).await.0, 401, "but not again and again");
    assert_eq!(published.asked(), 2);
    wait(10);
    assert_eq!(outcome(&server, &by(&third)).await.0, 200);
    assert_eq!(outcome(&server, &by(&first)).await.0, 200);
    assert_eq!(published.asked(), 3);

    published.fail();
    wait(3600);
    assert_eq!(outcome(&server, &by(&first)).await.0, 200, "old keys are better than none");
    assert_eq!(outcome(&server, &by(&second)).await.0, 200);
    assert_eq!(outcome(&server, &by(&third)).await.0, 200);
    assert_eq!(published.asked(), 5);

    published.publish(jwks(&[&second]).to_string());
    wait(10);
    assert_eq!(outcome(&server, &by(&first)).await.0, 401, "it was taken away");
    assert_eq!(outcome(&server, &by(&second)).await.0, 200);
}

#[tokio::test]
async fn without_any_answer_a_client_of_published_keys_gets_nothing() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let key = key(SigningAlgorithm::Es256);
    let published = Published::new("[]").await;
    TestClient::create(&server.store, "service", registered(&json!({"jwks_uri": published.url()}))).await;
    for (index, content) in ["[]", "{}", "nonsense"].into_iter().enumerate() {
        published.publish(content);
        server.store.clock().advance(SignedDuration::from_secs(10));
        let assertion = signed(&key, &assertion_of(&server, "service", &index.to_string()));
        assert_eq!(outcome(&server, &assertion).await, (401, "invalid_client".to_owned()), "{content}");
        assert_eq!(outcome(&server, &assertion).await.0, 401);
        assert_eq!(published.asked(), index + 2, "one came before its time: {content}");
    }
}

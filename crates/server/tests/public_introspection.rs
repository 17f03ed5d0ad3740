//! Introspection on the public port: by clients with credentials, of what concerns them.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::browser::{application, prepared, text};
use common::{TestClient, TestServer, databases, header, manual_clock, settings};
use serde_json::{Value, json};

async fn ask(server: &TestServer, client: &TestClient, token: &str) -> (u16, Value) {
    let request = server.http.post(server.public_url("/oauth2/introspect")).form(&[("token", token)]);
    let request = request.basic_auth(client.id.as_str(), Some(client.secret.expose()));
    let response = request.send().await.unwrap();
    assert_eq!(header(&response, "cache-control"), "no-store");
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_client_sees_its_own_tokens_and_those_that_are_for_it_by_one_statement() {
    for database in databases().await {
        let server = TestServer::start(&database, manual_clock()).await;
        let owner = prepared(&server, application()).await;
        let own = server.tokens(&owner).await;
        let service = json!({"grant_types": ["client_credentials"], "audience": ["orders-api"]});
        let caller = TestClient::create(&server.store, "caller", service.clone()).await;
        let api = TestClient::create(&server.store, "orders-api", service).await;
        let for_api = server.token(&caller, &[("audience", "orders-api")]).await;
        let for_nobody = server.token(&caller, &[]).await;
        let inactive = json!({"active": false});
        for (client, token, sees) in [
            (&owner, text(&own, "access_token"), true),
            (&owner, text(&own, "refresh_token"), true),
            (&caller, text(&own, "access_token"), false),
            (&caller, text(&own, "refresh_token"), false),
            (&api, text(&for_api, "access_token"), true),
            (&caller, text(&for_api, "access_token"), true),
            (&api, text(&for_nobody, "access_token"), false),
            (&owner, text(&for_api, "access_token"), false),
            (&api, "nonsense", false),
        ] {
            let told = server.introspect(&[("token", token)]).await;
            let (status, seen) = ask(&server, client, token).await;
            assert_eq!((status, &seen), (200, if sees { &told } else { &inactive }), "{}", client.id);
        }
        harness::eventually("it costs one statement", async || {
            let before = server.store.statements();
            ask(&server, &api, text(&for_api, "access_token")).await;
            server.store.statements() == before + 1
        })
        .await;
        server.revoke(&caller, text(&for_api, "access_token")).await;
        assert_eq!(ask(&server, &api, text(&for_api, "access_token")).await.1, inactive);
    }
}

#[tokio::test]
async fn who_has_no_credentials_learns_nothing() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let mut metadata = application();
    metadata["token_endpoint_auth_method"] = json!("none");
    let client = prepared(&server, application()).await;
    TestClient::create(&server.store, "public", metadata).await;
    let tokens = server.tokens(&client).await;
    let token = text(&tokens, "access_token");
    let send = async |form: &[(&str, &str)]| {
        let request = server.http.post(server.public_url("/oauth2/introspect")).form(form);
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    let secret = client.secret.expose();
    for (form, status, error) in [
        (vec![("token", token)], 401, "invalid_client"),
        (vec![("token", token), ("client_id", "app")], 401, "invalid_client"),
        (vec![("token", token), ("client_id", "public")], 401, "invalid_client"),
        (vec![("client_id", "app"), ("client_secret", secret)], 400, "invalid_request"),
    ] {
        let (got, body) = send(&form).await;
        assert_eq!((got, &body["error"]), (status, &json!(error)), "{form:?}");
    }
    let (status, body) = ask(&server, &client.with_secret("wrong"), token).await;
    assert_eq!((status, &body["error"]), (401, &json!("invalid_client")));
}

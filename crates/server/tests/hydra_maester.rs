//! The calls that Ory's Hydra Maester makes, field for field, and the answers that it expects.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::{TestClient, TestServer, databases, manual_clock, resource};
use reqwest::Method;
use serde_json::{Value, json};

async fn ask(server: &TestServer, method: Method, path: &str, body: Value) -> (u16, Value) {
    let request = server.http.request(method, server.admin_url(path)).header("accept", "application/json");
    let request = if body.is_null() { request } else { request.json(&body) };
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or(Value::Null))
}

/// What Maester always sends, whether or not the resource says anything of it.
fn document(name: &str, scope: &str) -> Value {
    json!({
        "grant_types": ["client_credentials"], "scope": scope, "owner": format!("{name}/default"),
        "metadata": null,
        "frontchannel_logout_session_required": false, "frontchannel_logout_uri": "",
        "backchannel_logout_session_required": false, "backchannel_logout_uri": "",
    })
}

fn with_credentials(mut document: Value, id: &str, secret: &str) -> Value {
    document["client_id"] = json!(id);
    document["client_secret"] = json!(secret);
    document
}

async fn gets_token(server: &TestServer, id: &str, secret: &str) -> bool {
    let client = TestClient {
        id: oauth::ClientId::parse(id).unwrap(),
        secret: oauth::ClientSecret::new(secret),
        manager: resource("none"),
    };
    let token = server.access_token(&client).await;
    server.is_active(&token).await
}

#[tokio::test]
async fn a_client_whose_secret_the_server_makes_is_registered_changed_and_deleted() {
    for database in databases().await {
        let server = TestServer::start(&database, manual_clock()).await;
        let (status, list) = ask(&server, Method::GET, "/admin/clients", Value::Null).await;
        assert_eq!((status, list), (200, json!([])));
        let (status, made) =
            ask(&server, Method::POST, "/admin/clients", document("orders", "read write")).await;
        assert_eq!(status, 201, "{made}");
        let text = |field: &str| made[field].as_str().unwrap().to_owned();
        let (id, secret) = (text("client_id"), text("client_secret"));
        assert!(gets_token(&server, &id, &secret).await);

        let path = format!("/admin/clients/{id}");
        let (status, shown) = ask(&server, Method::GET, &path, Value::Null).await;
        assert_eq!((status, &shown["owner"]), (200, &json!("orders/default")));
        let change = with_credentials(document("orders", "read admin"), &id, &secret);
        let (status, changed) = ask(&server, Method::PUT, &path, change).await;
        assert_eq!((status, &changed["scope"]), (200, &json!("read admin")));
        assert!(gets_token(&server, &id, &secret).await, "the same secret was sent along");

        let (_, list) = ask(&server, Method::GET, "/admin/clients", Value::Null).await;
        assert_eq!(list[0]["owner"], "orders/default", "by this it finds what it deletes");
        assert_eq!(ask(&server, Method::DELETE, &path, Value::Null).await.0, 204);
        assert_eq!(ask(&server, Method::DELETE, &path, Value::Null).await.0, 404);
    }
}

#[tokio::test]
async fn a_client_whose_credentials_somebody_else_chose_is_registered_with_them() {
    for database in databases().await {
        let server = TestServer::start(&database, manual_clock()).await;
        let (id, secret) = ("my-own-id", "my-own-secret-of-some-length");
        assert_eq!(ask(&server, Method::GET, "/admin/clients/my-own-id", Value::Null).await.0, 404);
        let mut wanted = with_credentials(document("own", ""), id, secret);
        wanted["client_credentials_grant_access_token_lifespan"] = json!("10m");
        wanted["token_endpoint_auth_method"] = json!("client_secret_basic");
        let (status, made) = ask(&server, Method::POST, "/admin/clients", wanted.clone()).await;
        assert_eq!((status, &made["client_id"]), (201, &json!(id)), "{made}");
        assert_eq!(made["client_credentials_grant_access_token_lifespan"], "10m0s");
        assert!(gets_token(&server, id, secret).await);
        assert_eq!(ask(&server, Method::POST, "/admin/clients", wanted).await.0, 409);
    }
}

#[tokio::test]
async fn a_client_with_keys_is_told_a_secret_that_opens_nothing() {
    for database in databases().await {
        let server = TestServer::start(&database, manual_clock()).await;
        let mut wanted = document("service", "read");
        wanted["token_endpoint_auth_method"] = json!("private_key_jwt");
        wanted["jwks_uri"] = json!("https://service.example.com/jwks.json");
        let (status, made) = ask(&server, Method::POST, "/admin/clients", wanted.clone()).await;
        let text = |member: &str| made[member].as_str().unwrap_or_else(|| panic!("{member}: {made}"));
        let (id, secret) = (text("client_id"), text("client_secret"));
        assert_eq!((status, secret.len()), (201, 26));

        let change = with_credentials(wanted.clone(), id, secret);
        let (status, changed) = ask(&server, Method::PUT, &format!("/admin/clients/{id}"), change).await;
        assert_eq!((status, changed.get("client_secret")), (200, None), "{changed}");
        let own = with_credentials(wanted, "own", "my-own-secret-of-some-length");
        assert_eq!(ask(&server, Method::POST, "/admin/clients", own).await.0, 201);
        for (id, secret) in [(id, secret), ("own", "my-own-secret-of-some-length")] {
            let form = [("grant_type", "client_credentials")];
            let request = server.http.post(server.public_url("/oauth2/token")).form(&form);
            assert_eq!(request.basic_auth(id, Some(secret)).send().await.unwrap().status(), 401);
        }
    }
}

#[tokio::test]
async fn a_public_client_has_an_id_alone() {
    for database in databases().await {
        let server = TestServer::start(&database, manual_clock()).await;
        let mut wanted = document("app", "openid");
        wanted["client_id"] = json!("app");
        wanted["grant_types"] = json!(["authorization_code"]);
        wanted["redirect_uris"] = json!(["https://app.example.com/cb"]);
        wanted["token_endpoint_auth_method"] = json!("none");
        let (status, made) = ask(&server, Method::POST, "/admin/clients", wanted).await;
        assert_eq!((status, made.get("client_secret")), (201, None), "{made}");
    }
}

//! The admin API of clients: all its requests, and what they answer.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::{TestClient, TestServer, databases, header, manual_clock, registered, settings};
use jiff::SignedDuration;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use store::{Clock, Error, SecretChange};

const CLIENTS: &str = "/admin/clients";

/// Asks, and gives the status and the body: JSON, or `null` where there is none.
async fn ask(server: &TestServer, method: Method, path: &str, body: Value) -> (u16, Value) {
    let response = send(server, method, path, body).await;
    let (status, text) = (response.status().as_u16(), response.text().await.unwrap());
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

async fn send(server: &TestServer, method: Method, path: &str, body: Value) -> Response {
    let request = server.http.request(method, server.admin_url(path));
    let request = if body.is_null() { request } else { request.json(&body) };
    request.send().await.unwrap()
}

async fn get(server: &TestServer, id: &str) -> (u16, Value) {
    ask(server, Method::GET, &format!("{CLIENTS}/{id}"), Value::Null).await
}

async fn create(server: &TestServer, document: Value) -> Value {
    let (status, client) = ask(server, Method::POST, CLIENTS, document).await;
    assert_eq!(status, 201, "{client}");
    client
}

/// The client of an answer, with the secret that it tells.
fn as_client(answer: &Value) -> TestClient {
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    TestClient {
        id: oauth::ClientId::parse(text("client_id")).unwrap(),
        secret: oauth::ClientSecret::new(text("client_secret")),
        manager: common::resource("none"),
    }
}

fn with_secret(client: &TestClient, answer: &Value) -> TestClient {
    client.with_secret(answer["client_secret"].as_str().unwrap())
}

#[tokio::test]
async fn a_client_lives_by_the_admin_api_alone() {
    for database in databases().await {
        let server = TestServer::start(&database, manual_clock()).await;
        let mut document = registered();
        document["client_name"] = json!("Orders & more");
        let response = send(&server, Method::POST, CLIENTS, document).await;
        assert_eq!(response.status(), 201);
        assert_eq!(header(&response, "content-type"), "application/json; charset=utf-8");
        let location = header(&response, "location").to_owned();
        let text = response.text().await.unwrap();
        assert!(text.contains(r#""client_name":"Orders \u0026 more","client_secret":""#), "{text}");
        assert!(text.ends_with("}\n"));
        let created: Value = serde_json::from_str(&text).unwrap();
        let id = created["client_id"].as_str().unwrap();
        assert_eq!(location, format!("/admin/clients/{id}"));
        assert!(uuid::Uuid::parse_str(id).is_ok(), "{id}");
        let client = as_client(&created);
        assert_eq!(client.secret.expose().len(), 26);
        let token = server.access_token(&client).await;
        assert!(server.is_active(&token).await);

        server.store.clock().advance(SignedDuration::from_mins(30));
        let (status, shown) = get(&server, id).await;
        assert_eq!((status, shown.get("client_secret")), (200, None));
        assert_eq!(shown["created_at"], "2026-01-05T00:00:00Z");

        let mut replacement = shown.clone();
        replacement["scope"] = json!("write");
        let path = format!("{CLIENTS}/{id}");
        let (status, replaced) = ask(&server, Method::PUT, &path, replacement).await;
        assert_eq!((status, &replaced["scope"]), (200, &json!("write")));
        assert_eq!(replaced["created_at"], "2026-01-05T00:00:00Z", "that stays");
        assert_eq!(replaced["updated_at"], "2026-01-05T00:30:00Z");
        let granted = server.token(&client, &[("scope", "write")]).await;
        assert_eq!(granted["scope"], "write", "its secret works on, with the new scopes");

        let change = json!([{"op": "replace", "path": "/client_name", "value": "Patched"}]);
        let (status, patched) = ask(&server, Method::PATCH, &path, change).await;
        assert_eq!((status, &patched["client_name"]), (200, &json!("Patched")));

        assert!(server.is_active(&token).await);
        let response = send(&server, Method::DELETE, &path, Value::Null).await;
        assert_eq!((response.status().as_u16(), response.text().await.unwrap()), (204, String::new()));
        assert!(!server.is_active(&token).await, "its tokens end with it, at once");
        assert!(!server.issues_to(&client).await);
        assert_eq!(get(&server, id).await.0, 404);
        let again = json!({"client_id": id, "client_secret": client.secret.expose(), "scope": "read",
            "grant_types": ["client_credentials"]});
        create(&server, again).await;
        assert!(server.issues_to(&client).await);
        assert!(!server.is_active(&token).await, "nor do they come back with its id");
    }
}

#[tokio::test]
async fn each_answer_has_hydras_shape() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let created = create(&server, json!({"client_id": "plain"})).await;
    for list in ["grant_types", "response_types", "contacts"] {
        assert_eq!(created[list], Value::Null, "{list}");
    }
    let (_, shown) = get(&server, "plain").await;
    for list in
        ["grant_types", "response_types", "contacts", "redirect_uris", "audience", "allowed_cors_origins"]
    {
        assert_eq!(shown[list], json!([]), "{list}");
    }
    assert_eq!((&shown["jwks"], &shown["metadata"]), (&json!({}), &json!({})));
    assert_eq!(shown["scope"], "offline_access offline openid");
    assert_eq!(shown["token_endpoint_auth_method"], "client_secret_basic");
    assert_eq!(shown["client_secret_expires_at"], 0);

    let (_, replaced) = ask(&server, Method::PUT, "/admin/clients/plain", shown.clone()).await;
    assert_eq!((&replaced["grant_types"], replaced.get("client_secret")), (&Value::Null, None));
    // The short form of the path, and a trailing slash.
    assert_eq!(ask(&server, Method::GET, "/clients/plain/", Value::Null).await, (200, shown));

    // An id of a path's own characters.
    let response = send(&server, Method::POST, CLIENTS, json!({"client_id": "../a/b?c"})).await;
    let location = header(&response, "location").to_owned();
    assert_eq!(location, "/admin/clients/..%2Fa%2Fb%3Fc");
    let raw = server.admin_url(&location);
    let found: Value = server.http.get(raw).send().await.unwrap().json().await.unwrap();
    assert_eq!(found["client_id"], "../a/b?c");
}

#[tokio::test]
async fn lifespans_are_set_as_a_whole_and_answered_in_gos_form() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let mut document = registered();
    document["client_id"] = json!("orders");
    document["implicit_grant_id_token_lifespan"] = json!("90s");
    let client = as_client(&create(&server, document).await);
    let path = "/admin/clients/orders/lifespans";
    let lifespans = json!({"client_credentials_grant_access_token_lifespan": "31h", "scope": "ignored"});
    let (status, set) = ask(&server, Method::PUT, path, lifespans).await;
    assert_eq!(status, 200);
    assert_eq!(set["client_credentials_grant_access_token_lifespan"], "31h0m0s");
    assert_eq!(set["implicit_grant_id_token_lifespan"], Value::Null, "what is not named is the server's");
    assert_eq!(set["scope"], "read orders.*");
    assert_eq!(server.token(&client, &[]).await["expires_in"], 31 * 3600);
    let (status, cleared) = ask(&server, Method::PUT, path, Value::Null).await;
    assert_eq!(status, 200);
    assert_eq!(cleared["client_credentials_grant_access_token_lifespan"], Value::Null);
    let (status, error) =
        ask(&server, Method::PUT, path, json!({"refresh_token_grant_id_token_lifespan": "8785h"})).await;
    assert_eq!((status, &error["error"]), (400, &json!("invalid_client_metadata")));
}

#[tokio::test]
async fn former_secrets_stay_valid_until_they_are_dropped() {
    for database in databases().await {
        let server = TestServer::start(&database, manual_clock()).await;
        let mut document = registered();
        document["client_id"] = json!("orders");
        let first = as_client(&create(&server, document).await);
        let path = "/admin/clients/orders/secrets/rotate";
        let (status, rotated) = ask(&server, Method::POST, path, Value::Null).await;
        assert_eq!((status, &rotated["grant_types"]), (200, &json!(["client_credentials"])));
        let second = with_secret(&first, &rotated);
        assert_ne!(first.secret.expose(), second.secret.expose());
        for client in [&first, &second] {
            assert!(server.issues_to(client).await);
        }
        let (status, dropped) = ask(&server, Method::DELETE, path, Value::Null).await;
        assert_eq!((status, dropped.get("client_secret")), (200, None));
        assert!(!server.issues_to(&first).await);
        assert!(server.issues_to(&second).await);

        // A replacement that names a secret ends all others; it is told, as Hydra tells it.
        ask(&server, Method::POST, path, Value::Null).await;
        let mut document = registered();
        document["client_secret"] = json!("chosen by somebody");
        let (status, replaced) = ask(&server, Method::PUT, "/admin/clients/orders", document).await;
        assert_eq!((status, &replaced["client_secret"]), (200, &json!("chosen by somebody")));
        assert!(!server.issues_to(&second).await);
        assert!(server.issues_to(&with_secret(&first, &replaced)).await);
        let change = json!([{"op": "add", "path": "/client_secret", "value": "another choice"}]);
        let (status, patched) = ask(&server, Method::PATCH, "/admin/clients/orders", change).await;
        assert_eq!((status, &patched["client_secret"]), (200, &json!("another choice")));
        assert!(server.issues_to(&with_secret(&first, &patched)).await);
        assert!(!server.issues_to(&with_secret(&first, &replaced)).await);
    }
}

#[tokio::test]
async fn a_client_without_a_secret_is_told_none_and_loses_the_one_it_had() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let public = json!({"client_id": "public", "token_endpoint_auth_method": "none"});
    assert_eq!(create(&server, public.clone()).await.get("client_secret"), None);
    let path = "/admin/clients/public";
    let rotate = "/admin/clients/public/secrets/rotate";
    let (status, error) = ask(&server, Method::POST, rotate, Value::Null).await;
    assert_eq!((status, &error["error"]), (400, &json!("invalid_request")));

    let confidential = json!({"grant_types": ["client_credentials"], "client_secret": "chosen by somebody"});
    let (_, replaced) = ask(&server, Method::PUT, path, confidential.clone()).await;
    let client = as_client(&replaced);
    assert!(server.issues_to(&client).await);
    ask(&server, Method::PUT, path, public).await;
    let without = json!({"grant_types": ["client_credentials"]});
    assert_eq!(ask(&server, Method::PUT, path, without).await.0, 200);
    assert!(!server.issues_to(&client).await, "the secret was removed, and does not come back");
    let (_, rotated) = ask(&server, Method::POST, rotate, Value::Null).await;
    assert!(server.issues_to(&with_secret(&client, &rotated)).await);
}

#[tokio::test]
async fn what_a_resource_declares_is_shown_and_refuses_every_change() {
    for database in databases().await {
        let server = TestServer::start(&database, manual_clock()).await;
        let client = TestClient::create(&server.store, "orders", registered()).await;
        assert_eq!(get(&server, "orders").await.1["scope"], "read orders.*");
        let token = server.access_token(&client).await;
        let before = server.store.read_client(&client.id).await.unwrap().unwrap();
        let (one, patch) = (CLIENTS.to_owned() + "/orders", json!([{"op": "remove", "path": "/audience/0"}]));
        let changes = [
            (Method::PUT, one.clone(), json!({"scope": "x"})),
            (Method::PATCH, one.clone(), patch),
            (Method::DELETE, one.clone(), Value::Null),
            (Method::PUT, one.clone() + "/lifespans", json!({})),
            (Method::POST, one.clone() + "/secrets/rotate", Value::Null),
            (Method::DELETE, one + "/secrets/rotate", Value::Null),
        ];
        for (method, path, body) in changes {
            let (status, error) = ask(&server, method.clone(), &path, body).await;
            assert_eq!(status, 409, "{method} {path}");
            let description = error["error_description"].as_str().unwrap();
            assert!(description.contains("OAuth2Client default/orders"), "{method} {path}: {description}");
        }
        let (status, error) = ask(&server, Method::POST, CLIENTS, json!({"client_id": "orders"})).await;
        assert_eq!(status, 409);
        assert!(error["error"].as_str().unwrap().contains("exists already"), "{error}");

        let after = server.store.read_client(&client.id).await.unwrap().unwrap();
        assert_eq!((after.version, &after.metadata), (before.version, &before.metadata));
        assert!(server.issues_to(&client).await && server.is_active(&token).await);
    }
}

#[tokio::test]
async fn bad_requests_are_refused_by_what_is_wrong_with_them() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    create(&server, json!({"client_id": "orders"})).await;
    let (post, put, patch) = (Method::POST, Method::PUT, Method::PATCH);
    let (one, absent) = ("/admin/clients/orders", "/admin/clients/absent");
    let large = json!({"metadata": "x".repeat(64 * 1024)});
    let operation = |path: &str| json!([{"op": "replace", "path": path, "value": "x"}]);
    let exists = "Unable to insert or update resource because a resource with that value exists already";
    let (missing, malformed) =
        ("Unable to locate the resource", "The request was malformed or contained invalid parameters");
    let cases = [
        (&post, CLIENTS, json!({"client_id": "orders"}), 409, exists, ""),
        (&post, CLIENTS, json!({"client_id": "a b"}), 400, "invalid_client_metadata", "client_id: "),
        (&post, CLIENTS, json!({"redirect_uris": ["x"]}), 400, "invalid_redirect_uri", "redirect_uris[0]: "),
        (
            &post,
            CLIENTS,
            json!({"client_secret": "short"}),
            400,
            "invalid_client_metadata",
            "client_secret: ",
        ),
        (&post, CLIENTS, json!([]), 400, "invalid_request", "The request body"),
        (&post, CLIENTS, large, 413, "invalid_request", "The request body is larger"),
        (&put, one, json!({"jwks": 1}), 400, "invalid_client_metadata", "jwks: "),
        (&put, absent, json!({}), 404, missing, ""),
        (&put, "/admin/clients/a%20b", json!({}), 404, missing, ""),
        (&patch, absent, json!([]), 404, missing, ""),
        (&patch, one, json!({}), 400, "invalid_request", "The request body"),
        (&patch, one, operation("/client_id"), 400, "invalid_request", "Operation 0: client_id"),
        (&patch, one, operation("/id"), 400, "invalid_request", "Operation 0: id"),
        (
            &patch,
            one,
            operation("/rotated_secrets/0"),
            400,
            "invalid_request",
            "Operation 0: rotated_secrets",
        ),
        (&patch, one, operation("/grant_types"), 400, "invalid_client_metadata", "grant_types: "),
        (&Method::DELETE, absent, Value::Null, 404, missing, ""),
        (&Method::GET, absent, Value::Null, 404, missing, ""),
        (&put, "/admin/clients/absent/lifespans", json!({}), 404, missing, ""),
        (&post, "/admin/clients/absent/secrets/rotate", Value::Null, 404, missing, ""),
        (
            &Method::GET,
            "/admin/clients?page_token=x",
            Value::Null,
            400,
            malformed,
            "invalid pagination token",
        ),
        (&Method::GET, "/admin/clients?page_size=-1", Value::Null, 400, malformed, "Page_size"),
    ];
    for (method, path, body, status, code, start) in cases {
        let response = send(&server, method.clone(), path, body).await;
        assert_eq!(response.status(), status, "{method} {path}");
        assert_eq!(header(&response, "content-type"), "application/json", "{method} {path}");
        let error: Value = response.json().await.unwrap();
        assert_eq!(error["error"], code, "{method} {path}");
        let description = error["error_description"].as_str().unwrap();
        assert!(
            description.to_lowercase().starts_with(&start.to_lowercase()),
            "{method} {path}: {description}"
        );
        assert_eq!(error.as_object().unwrap().len(), 2);
    }
    let (_, unchanged) = get(&server, "orders").await;
    assert_eq!(unchanged["metadata"], json!({}));
    let broken = server.http.post(server.admin_url(CLIENTS)).body("{\"a\":").send().await.unwrap();
    assert_eq!(broken.status(), 400);
}

/// The address of a `Link`, by its relation.
fn link(response: &Response, rel: &str) -> Option<String> {
    let links = header(response, "link");
    let link = links.split(",<").find(|link| link.ends_with(&format!("; rel=\"{rel}\"")))?;
    Some(link.trim_start_matches('<').split('>').next()?.to_owned())
}

/// The ids of a page, in their order.
async fn ids(response: Response) -> String {
    let clients: Vec<Value> = response.json().await.unwrap();
    clients.iter().map(|client| client["client_id"].as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn the_list_goes_on_by_its_links_for_an_hour() {
    for database in databases().await {
        let server = TestServer::start(&database, manual_clock()).await;
        let list = async |path: &str| send(&server, Method::GET, path, Value::Null).await;
        let empty = list(CLIENTS).await;
        assert_eq!(link(&empty, "next"), None);
        assert_eq!(empty.text().await.unwrap(), "[]\n");
        for (id, owner) in [("c", "a&b"), ("a", "a&b"), ("d", "x"), ("b", "a&b")] {
            create(&server, json!({"client_id": id, "owner": owner, "client_name": "same"})).await;
        }
        TestClient::create(&server.store, "e", registered()).await;

        let first = list("/clients?page_size=2").await;
        let next = link(&first, "next").unwrap();
        assert!(next.starts_with("/admin/clients?page_size=2&page_token="), "{next}");
        assert_eq!(ids(first).await, "a b");
        let second = list(&next).await;
        let (begin, next) = (link(&second, "first").unwrap(), link(&second, "next").unwrap());
        assert_eq!(ids(second).await, "c d");
        let third = list(&next).await;
        assert_eq!(link(&third, "next"), None);
        assert_eq!(ids(third).await, "e", "a resource's client is listed too");
        assert_eq!(ids(list(&begin).await).await, "a b");

        let filtered = list("/admin/clients?page_size=2&owner=a%26b&client_name=same").await;
        let rest = link(&filtered, "next").unwrap();
        assert!(
            rest.starts_with("/admin/clients?client_name=same&owner=a%26b&page_size=2&page_token="),
            "{rest}"
        );
        assert_eq!(ids(filtered).await, "a b");
        assert_eq!(ids(list(&rest).await).await, "c");
        assert_eq!(ids(list("/admin/clients?owner=nobody").await).await, "");
        for size in ["0", "501", "99999999999"] {
            let page = list(&format!("/admin/clients?page_size={size}")).await;
            let size = if size == "0" { 100 } else { 500 };
            assert!(link(&page, "first").unwrap().contains(&format!("page_size={size}&")));
            assert_eq!(ids(page).await, "a b c d e");
        }
        server.store.clock().advance(SignedDuration::from_mins(59));
        assert_eq!(list(&next).await.status(), 200);
        server.store.clock().advance(SignedDuration::from_mins(1));
        assert_eq!(list(&next).await.status(), 400);
    }
}

#[tokio::test]
async fn looking_costs_one_statement_each() {
    for database in databases().await {
        let server = TestServer::start(&database, Clock::system()).await;
        create(&server, json!({"client_id": "orders"})).await;
        for path in
            ["/admin/clients/orders", "/admin/clients", "/admin/clients?owner=x", "/admin/clients/absent"]
        {
            let before = server.store.statements();
            ask(&server, Method::GET, path, Value::Null).await;
            assert_eq!(server.store.statements() - before, 1, "{path}");
        }
    }
}

#[tokio::test]
async fn of_two_changes_at_once_neither_is_lost() {
    for database in databases().await {
        let server = TestServer::start(&database, Clock::system()).await;
        create(&server, json!({"client_id": "orders"})).await;
        let change = async |member: &str| {
            let patch = json!([{"op": "add", "path": format!("/{member}"), "value": "https://a.example"}]);
            ask(&server, Method::PATCH, "/admin/clients/orders", patch).await.0
        };
        let both = tokio::join!(change("tos_uri"), change("logo_uri"), change("policy_uri"));
        assert_eq!(both, (200, 200, 200));
        let (_, client) = get(&server, "orders").await;
        for member in ["tos_uri", "logo_uri", "policy_uri"] {
            assert_eq!(client[member], "https://a.example", "{member}");
        }
        // The version that a change was decided on is what it is written over.
        let row = server.store.read_client(&"orders".to_owned().try_into().unwrap()).await.unwrap().unwrap();
        let stale = store::ClientFence { version: row.version - 1, ..row.fence() };
        let late = server.store.replace_client(&stale, &row.metadata, &SecretChange::Keep, (1, false)).await;
        assert!(matches!(late, Err(Error::Raced)), "{late:?}");
    }
}

#[tokio::test]
async fn metrics_name_the_template_and_no_client() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    create(&server, json!({"client_id": "orders"})).await;
    get(&server, "orders").await;
    ask(&server, Method::PUT, "/admin/clients/orders/lifespans", json!({})).await;
    ask(&server, Method::POST, "/admin/clients/orders/secrets/rotate", Value::Null).await;
    for (code, method, endpoint) in [
        (201, "post", "/admin/clients"),
        (200, "get", "/admin/clients/{id}"),
        (200, "put", "/admin/clients/{id}/lifespans"),
        (200, "post", "/admin/clients/{id}/secrets/rotate"),
    ] {
        let series =
            format!("http_requests_total{{code=\"{code}\",method=\"{method}\",endpoint=\"{endpoint}\"}}");
        assert_eq!(server.metric(&series).await, Some(1.0), "{series}");
    }
}

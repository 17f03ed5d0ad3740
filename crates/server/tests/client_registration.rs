//! Clients that register themselves (RFC 7591), and manage what they registered (RFC 7592).
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::browser::text;
use common::signing::{self, Published};
use common::{TestClient, TestServer, databases, header, manual_clock, registered, resource, settings};
use jose::SigningAlgorithm;
use oauth::subject_identifier::PairwiseSalt;
use oauth::{ClientId, ClientSecret, RegistrationToken, SubjectTypes};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use server::Settings;

const REGISTER: &str = "/oauth2/register";

fn open_settings() -> Settings {
    let mut settings = settings();
    settings.dynamic_client_registration = true;
    settings.discovery.registration_url = Some("https://id.example.com/oauth2/register".to_owned());
    settings
}

async fn open_server() -> TestServer {
    TestServer::alone(manual_clock(), open_settings()).await
}

async fn send(server: &TestServer, method: Method, path: &str, token: &str, body: &Value) -> Response {
    let mut request = server.http.request(method, server.public_url(path));
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    if !body.is_null() {
        request = request.json(body);
    }
    request.send().await.unwrap()
}

/// Asks, and gives the status and the body: JSON, or `null` where there is none.
async fn ask(server: &TestServer, method: Method, path: &str, token: &str, body: Value) -> (u16, Value) {
    let response = send(server, method, path, token, &body).await;
    let (status, text) = (response.status().as_u16(), response.text().await.unwrap());
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

async fn register(server: &TestServer, document: Value) -> Value {
    let (status, client) = ask(server, Method::POST, REGISTER, "", document).await;
    assert_eq!(status, 201, "{client}");
    client
}

/// Where a client manages itself, and with what.
fn management(client: &Value) -> (String, String) {
    let uri = text(client, "registration_client_uri");
    let path = uri.strip_prefix("https://id.example.com").unwrap();
    (path.to_owned(), text(client, "registration_access_token").to_owned())
}

fn as_client(answer: &Value) -> TestClient {
    TestClient {
        id: ClientId::parse(text(answer, "client_id")).unwrap(),
        secret: ClientSecret::new(text(answer, "client_secret")),
        manager: resource("none"),
    }
}

#[tokio::test]
async fn a_client_registers_itself_and_manages_what_it_registered() {
    for database in databases().await {
        let server = TestServer::with(database.open(manual_clock()).await, open_settings()).await;
        server.cached().await;
        let mut document = registered();
        document["client_name"] = json!("Orders");
        document["client_id"] = json!("chosen");
        document["application_type"] = json!("web");
        let response = send(&server, Method::POST, REGISTER, "", &document).await;
        assert_eq!(response.status(), 201);
        assert_eq!(header(&response, "cache-control"), "no-store");
        let location = header(&response, "location").to_owned();
        let created: Value = response.json().await.unwrap();
        assert!(uuid::Uuid::parse_str(text(&created, "client_id")).is_ok(), "{created}");
        assert_eq!((&created["metadata"], &created["response_types"]), (&json!({}), &Value::Null));
        assert_eq!(location, text(&created, "registration_client_uri"));
        let client = as_client(&created);
        let access_token = server.access_token(&client).await;

        let (path, token) = management(&created);
        assert!(token.starts_with("ory_rat_"));
        let (status, shown) = ask(&server, Method::GET, &path, &token, Value::Null).await;
        assert_eq!((status, &shown["client_name"]), (200, &json!("Orders")));
        for hidden in ["client_secret", "registration_access_token", "registration_client_uri", "metadata"] {
            assert_eq!(shown.get(hidden), None, "{hidden}");
        }

        let mut replacement = shown;
        replacement["client_name"] = json!("Orders 2");
        let (status, replaced) = ask(&server, Method::PUT, &path, &token, replacement.clone()).await;
        assert_eq!((status, &replaced["client_name"]), (200, &json!("Orders 2")), "{replaced}");
        assert_eq!((replaced.get("client_secret"), &replaced["metadata"]), (None, &json!({})));
        let (same_path, next) = management(&replaced);
        assert_eq!(same_path, path);
        assert_ne!(next, token);
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let (status, error) = ask(&server, method.clone(), &path, &token, replacement.clone()).await;
            assert_eq!(
                (status, &error["error"]),
                (401, &json!("request_unauthorized")),
                "{method}: the old one died"
            );
        }
        assert!(server.issues_to(&client).await, "its secret works on");
        assert_eq!(ask(&server, Method::DELETE, &path, &next, Value::Null).await, (204, Value::Null));
        assert!(!server.is_active(&access_token).await);
        assert_eq!(
            ask(&server, Method::GET, &path, &next, Value::Null).await.0,
            401,
            "nobody learns that it is gone"
        );
    }
}

#[tokio::test]
async fn without_dynamic_registration_there_is_nothing() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let token = RegistrationToken {
        client_id: ClientId::parse("app").unwrap(),
        incarnation: oauth::Incarnation(1),
        generation: 1,
    };
    let token = token.seal(server.store.ring(), server.store.entropy());
    let path = format!("{REGISTER}/app");
    for (method, path) in
        [(Method::POST, REGISTER), (Method::GET, &path), (Method::PUT, &path), (Method::DELETE, &path)]
    {
        assert_eq!(ask(&server, method.clone(), path, &token, json!({})).await.0, 404, "{method}");
    }
    let url = server.admin_url("/admin/clients");
    let created: Value = server.http.post(url).json(&json!({})).send().await.unwrap().json().await.unwrap();
    assert_eq!(created.get("registration_access_token"), None);
}

#[tokio::test]
async fn only_the_clients_own_last_token_counts() {
    let server = open_server().await;
    let (one, two) = (register(&server, json!({})).await, register(&server, json!({})).await);
    let ((path, token), (_, others)) = (management(&one), management(&two));
    let unknown = format!("{REGISTER}/unknown");
    let client_id = ClientId::parse(text(&one, "client_id")).unwrap();
    let row = server.store.read_client(&client_id).await.unwrap().unwrap();
    let seal = |incarnation, generation| {
        let token = RegistrationToken { client_id: client_id.clone(), incarnation, generation };
        token.seal(server.store.ring(), server.store.entropy())
    };
    let earlier_creation = seal(oauth::Incarnation(row.incarnation.0 ^ 1), 1);
    let (later, before) = (seal(row.incarnation, 2), seal(row.incarnation, 0));
    let forged = format!("{token}A");
    for (path, token, statements) in [
        (&path, "", 0),
        (&path, "nonsense", 0),
        (&path, &forged, 0),
        (&path, &others, 0),
        (&unknown, &token, 0),
        (&path, &earlier_creation, 1),
        (&path, &later, 1),
        (&path, &before, 1),
    ] {
        let asked = server.store.statements();
        let response = send(&server, Method::GET, path, token, &Value::Null).await;
        assert_eq!(response.status(), 401, "{token}");
        assert_eq!(header(&response, "www-authenticate"), "Bearer error=\"invalid_token\"");
        assert_eq!(server.store.statements() - asked, statements, "{token}");
    }
    assert_eq!(ask(&server, Method::GET, &path, &seal(row.incarnation, 1), Value::Null).await.0, 200);
    assert!(!server.is_active(&token).await, "it is no access token");
}

/// What the admin API answers to a change of a client.
async fn administer(server: &TestServer, method: Method, path: &str, body: Value) -> Value {
    let request = server.http.request(method, server.admin_url(path));
    let request = if body.is_null() { request } else { request.json(&body) };
    let response = request.send().await.unwrap();
    assert!(response.status().is_success(), "{path}: {}", response.status());
    serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default()
}

#[tokio::test]
async fn an_administrator_who_changes_a_client_or_its_secret_cuts_its_registration_token_off() {
    for database in databases().await {
        let server = TestServer::with(database.open(manual_clock()).await, open_settings()).await;
        let created = register(&server, registered()).await;
        let (path, mut token) = management(&created);
        let id = text(&created, "client_id");
        let client = format!("/admin/clients/{id}");
        let rotate = format!("{client}/secrets/rotate");
        let opens = async |token: &str| ask(&server, Method::GET, &path, token, Value::Null).await.0;
        for (method, path, body) in [
            (Method::POST, &rotate, Value::Null),
            (Method::PUT, &client, registered()),
            (Method::PATCH, &client, json!([{"op": "replace", "path": "/client_name", "value": "x"}])),
        ] {
            assert_eq!(opens(&token).await, 200);
            let changed = administer(&server, method.clone(), path, body).await;
            assert_eq!(opens(&token).await, 401, "{method} {path}");
            token = management(&changed).1;
        }
        administer(&server, Method::DELETE, &rotate, Value::Null).await;
        administer(&server, Method::PUT, &format!("{client}/lifespans"), json!({})).await;
        assert_eq!(opens(&token).await, 200, "neither says anything of who may manage the client");
        administer(&server, Method::DELETE, &format!("/admin/oauth2/tokens?client_id={id}"), Value::Null)
            .await;
        assert_eq!(opens(&token).await, 401);
    }
}

#[tokio::test]
async fn a_client_that_registers_itself_makes_nobody_ask_private_addresses() {
    let mut settings = open_settings();
    settings.subject_types =
        SubjectTypes { public: true, pairwise: PairwiseSalt::new("a salt that stays".to_owned()) };
    let server = TestServer::alone(manual_clock(), settings).await;
    let published = Published::new(json!(["https://app.example.com/cb"]).to_string()).await;
    let mut pairwise = json!({
        "redirect_uris": ["https://app.example.com/cb"], "subject_type": "pairwise",
        "sector_identifier_uri": published.url(),
    });
    let (status, error) = ask(&server, Method::POST, REGISTER, "", pairwise.clone()).await;
    assert_eq!((status, text(&error, "error"), published.asked()), (400, "invalid_client_metadata", 0));
    pairwise["client_id"] = json!("pairwise");
    administer(&server, Method::POST, "/admin/clients", pairwise).await;
    assert_eq!(published.asked(), 1, "an administrator may");

    let key = signing::key(SigningAlgorithm::Es256);
    published.publish(signing::jwks(&[&key]).to_string());
    let document = json!({
        "grant_types": ["client_credentials"], "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "ES256", "jwks_uri": published.url(),
    });
    let authenticates = async |client: &Value| {
        let id = text(client, "client_id");
        let jti = uuid::Uuid::from_bytes(server.store.entropy().bytes()).to_string();
        let assertion = signing::signed(&key, &signing::assertion_of(&server, id, &jti));
        server.post_form("/oauth2/token", &signing::by_assertion(&assertion)).await.0 == 200
    };
    assert!(!authenticates(&register(&server, document.clone()).await).await);
    assert_eq!(published.asked(), 1);
    let made = administer(&server, Method::POST, "/admin/clients", document.clone()).await;
    assert!(authenticates(&made).await);

    let (path, token) = management(&made);
    let (status, same) = ask(&server, Method::PUT, &path, &token, document.clone()).await;
    assert!(status == 200 && authenticates(&same).await, "it keeps what an administrator wrote");
    let mut elsewhere = document;
    elsewhere["jwks_uri"] = json!(format!("{}/elsewhere", published.url()));
    let asked = published.asked();
    let (status, own) = ask(&server, Method::PUT, &path, &management(&same).1, elsewhere).await;
    assert!(status == 200 && !authenticates(&own).await, "it chose the address itself");
    assert_eq!(published.asked(), asked);
}

#[tokio::test]
async fn what_is_wrong_with_a_document_is_said_and_nothing_is_registered() {
    let server = open_server().await;
    for (document, code, named) in [
        (json!({"client_secret": "my own secret"}), "invalid_client_metadata", "client_secret"),
        (json!({"metadata": {"a": 1}}), "invalid_client_metadata", "metadata"),
        (json!({"access_token_strategy": "jwt"}), "invalid_client_metadata", "access_token_strategy"),
        (json!({"skip_consent": true}), "invalid_client_metadata", "skip_consent"),
        (json!({"skip_logout_consent": true}), "invalid_client_metadata", "skip_logout_consent"),
        (json!({"implicit_grant_id_token_lifespan": "1h"}), "invalid_client_metadata", "implicit_grant_id"),
        (json!({"redirect_uris": ["/cb"]}), "invalid_redirect_uri", "redirect_uris[0]"),
        (json!({"redirect_uris": "https://a/cb"}), "invalid_client_metadata", "redirect_uris"),
        (json!([]), "invalid_client_metadata", "body"),
    ] {
        let (status, error) = ask(&server, Method::POST, REGISTER, "", document).await;
        assert_eq!((status, text(&error, "error")), (400, code), "{error}");
        assert!(text(&error, "error_description").contains(named), "{named}: {error}");
    }
    let clients: Value =
        server.http.get(server.admin_url("/admin/clients")).send().await.unwrap().json().await.unwrap();
    assert_eq!(clients, json!([]));
}

#[tokio::test]
async fn a_client_repeats_its_secret_or_gets_one_and_never_chooses_it() {
    let server = open_server().await;
    let mut public = registered();
    public["token_endpoint_auth_method"] = json!("none");
    let created = register(&server, public).await;
    assert_eq!(created.get("client_secret"), None);
    let (path, mut token) = management(&created);
    let mut document = registered();
    let (status, replaced) = ask(&server, Method::PUT, &path, &token, document.clone()).await;
    assert_eq!(status, 200, "{replaced}");
    let client = as_client(&replaced);
    assert!(server.issues_to(&client).await, "it needed one, and got one");
    token = management(&replaced).1;

    document["client_secret"] = json!("one of its own");
    let (status, error) = ask(&server, Method::PUT, &path, &token, document.clone()).await;
    assert_eq!((status, text(&error, "error")), (403, "request_forbidden"));
    document["client_secret"] = json!(client.secret.expose());
    let (status, repeated) = ask(&server, Method::PUT, &path, &token, document).await;
    assert_eq!((status, repeated.get("client_secret")), (200, None), "what was refused used nothing up");
    assert!(server.issues_to(&client).await);
}

#[tokio::test]
async fn clients_of_the_admin_api_manage_themselves_and_those_of_a_resource_do_not() {
    let server = open_server().await;
    let mut document = registered();
    document["client_id"] = json!("a/b");
    document["skip_consent"] = json!(true);
    document["metadata"] = json!({"team": 1});
    let url = server.admin_url("/admin/clients");
    let created: Value = server.http.post(url).json(&document).send().await.unwrap().json().await.unwrap();
    let (path, token) = management(&created);
    assert_eq!(path, format!("{REGISTER}/a%2Fb"));
    let (status, replaced) = ask(&server, Method::PUT, &path, &token, registered()).await;
    assert_eq!((status, &replaced["skip_consent"]), (200, &json!(true)), "what the administrator set stays");

    let client = TestClient::create(&server.store, "declared", registered()).await;
    let row = server.store.read_client(&client.id).await.unwrap().unwrap();
    let token = RegistrationToken { client_id: client.id, incarnation: row.incarnation, generation: 1 };
    let token = token.seal(server.store.ring(), server.store.entropy());
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let (status, error) =
            ask(&server, method, &format!("{REGISTER}/declared"), &token, registered()).await;
        assert_eq!((status, text(&error, "error")), (403, "request_forbidden"));
    }
    let discovery: Value = server.get("/.well-known/openid-configuration").await.json().await.unwrap();
    assert_eq!(discovery["registration_endpoint"], "https://id.example.com/oauth2/register");
}

//! The token endpoint: every way to ask, and what comes back.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{TestClient, TestServer, databases, exchange, manual_clock, registered, settings};
use harness::TestDatabase;
use reqwest::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::{Value, json};
use store::Clock;

const FORM: &str = "application/x-www-form-urlencoded";
const GRANT: &str = "grant_type=client_credentials";

struct Case {
    what: &'static str,
    authorization: Option<String>,
    content_type: Option<&'static str>,
    body: Vec<u8>,
    status: u16,
    /// The error's code and a part of its description; for success, the granted scope.
    outcome: (&'static str, &'static str),
    challenge: bool,
}

/// A request with Basic credentials.
fn by_basic(
    what: &'static str,
    pair: &str,
    body: &str,
    status: u16,
    outcome: (&'static str, &'static str),
) -> Case {
    Case {
        what,
        authorization: Some(format!("Basic {}", STANDARD.encode(pair))),
        content_type: Some(FORM),
        body: body.into(),
        status,
        outcome,
        challenge: status == 401,
    }
}

/// A request whose credentials, if any, are in the form.
fn by_post(what: &'static str, body: &str, status: u16, outcome: (&'static str, &'static str)) -> Case {
    Case { authorization: None, challenge: false, ..by_basic(what, "", body, status, outcome) }
}

async fn check(server: &TestServer, case: &Case) -> String {
    let mut request = server.http.post(server.public_url("/oauth2/token")).body(case.body.clone());
    if let Some(authorization) = &case.authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    if let Some(content_type) = case.content_type {
        request = request.header(CONTENT_TYPE, content_type);
    }
    let response = request.send().await.unwrap();
    let what = case.what;
    assert_eq!(response.status(), case.status, "{what}");
    let headers = response.headers().clone();
    assert_eq!(headers[CONTENT_TYPE], "application/json;charset=UTF-8", "{what}");
    assert_eq!(headers[CACHE_CONTROL], "no-store", "{what}");
    assert_eq!(headers[PRAGMA], "no-cache", "{what}");
    assert_eq!(headers.contains_key(WWW_AUTHENTICATE), case.challenge, "{what}");
    let text = response.text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap();
    if case.status == 200 {
        assert_eq!(body["scope"], case.outcome.1, "{what}");
    } else {
        assert_eq!(body["error"], case.outcome.0, "{what}: {text}");
        assert!(body["error_description"].as_str().unwrap().contains(case.outcome.1), "{what}: {text}");
        assert_eq!(body.as_object().unwrap().len(), 2, "{what}");
    }
    text
}

fn forms(secret: &str) -> Vec<Case> {
    let pair = format!("orders:{secret}");
    let form = |what, body: &str, status, outcome| by_basic(what, &pair, body, status, outcome);
    let typed = |what, content_type, body: &[u8]| Case {
        content_type,
        body: body.into(),
        ..form(what, "", 400, ("invalid_request", "application/x-www-form-urlencoded"))
    };
    let with = |more: &str| format!("{GRANT}&{more}");
    vec![
        form("a plain request", GRANT, 200, ("", "")),
        form("a scope", &with("scope=read+orders.a"), 200, ("", "read orders.a")),
        form("an audience", &with("audience=https://api.example.com/v1"), 200, ("", "")),
        form("nothing", "", 400, ("invalid_request", "'grant_type' is missing")),
        form("an empty grant type", "grant_type=", 400, ("invalid_request", "'grant_type' is missing")),
        form("a grant of old", "grant_type=password", 400, ("unsupported_grant_type", "client_credentials")),
        form(
            "a grant to come",
            "grant_type=urn:ietf:params:oauth:grant-type:token-exchange",
            400,
            ("unsupported_grant_type", ""),
        ),
        form(
            "a grant of others",
            "grant_type=refresh_token",
            400,
            ("unauthorized_client", "'refresh_token'"),
        ),
        form("a foreign scope", &with("scope=write"), 400, ("invalid_scope", "'write'")),
        form("no scope at all", &with("scope=%22"), 400, ("invalid_scope", "printable ASCII")),
        form(
            "a foreign audience",
            &with("audience=https://x.test"),
            400,
            ("invalid_request", "https://x.test"),
        ),
        form(
            "two scopes",
            &with("scope=read&scope=read"),
            400,
            ("invalid_request", "'scope' comes more than once"),
        ),
        form("two grants", &with(GRANT), 400, ("invalid_request", "'grant_type' comes more than once")),
        form("a broken escape", &with("scope=%zz"), 400, ("invalid_request", "no two hex digits")),
        form("bytes that are no text", &with("scope=%ff"), 400, ("invalid_request", "not valid UTF-8")),
        typed("JSON", Some("application/json"), br#"{"grant_type":"client_credentials"}"#),
        typed("multipart", Some("multipart/form-data; boundary=x"), b"--x--"),
        typed("no content type", None, GRANT.as_bytes()),
        typed("nonsense for a content type", Some("form"), GRANT.as_bytes()),
        Case {
            content_type: Some("application/x-www-form-urlencoded; charset=UTF-8"),
            ..form("a content type with a charset", GRANT, 200, ("", ""))
        },
        Case {
            content_type: None,
            ..form("no body and no content type", "", 400, ("invalid_request", "'grant_type' is missing"))
        },
    ]
}

fn credentials(secret: &str) -> Vec<Case> {
    let pair = format!("orders:{secret}");
    let refused = ("invalid_client", "Client authentication failed");
    let malformed = ("invalid_client", "not valid Basic authentication");
    let post = |id: &str, secret: &str| format!("{GRANT}&client_id={id}&client_secret={secret}");
    let header = |what, value: String, outcome| Case {
        authorization: Some(value),
        ..by_basic(what, "", GRANT, 401, outcome)
    };
    vec![
        by_basic("a wrong secret", "orders:wrong-secret", GRANT, 401, refused),
        by_basic("an unknown client", "nobody:wrong-secret", GRANT, 401, refused),
        by_basic("an empty secret", "orders:", GRANT, 401, refused),
        by_basic("no colon", "orders", GRANT, 401, malformed),
        by_basic("an escape in Basic", "orders:%zz", GRANT, 401, malformed),
        header("Basic and nothing", "Basic".to_owned(), malformed),
        header("Basic that is no base64", "Basic !!!".to_owned(), malformed),
        header("another scheme", "Bearer abc".to_owned(), ("invalid_client", "names no client")),
        Case {
            authorization: Some("Bearer abc".to_owned()),
            challenge: true,
            ..by_post("another scheme, and an id", &format!("{GRANT}&client_id=orders"), 401, refused)
        },
        Case {
            authorization: Some(format!("bAsIc {}", STANDARD.encode(&pair).trim_end_matches('='))),
            ..by_basic("small letters and no padding", "", GRANT, 200, ("", ""))
        },
        by_basic("the id in the form too", &pair, &format!("{GRANT}&client_id=orders"), 200, ("", "")),
        by_basic(
            "another id in the form",
            &pair,
            &format!("{GRANT}&client_id=other"),
            400,
            ("invalid_request", "client_id differs"),
        ),
        by_basic("two methods at once", &pair, &post("orders", secret), 400, ("invalid_request", "twice")),
        by_post("no client", GRANT, 401, ("invalid_client", "names no client")),
        by_post("an id alone", &format!("{GRANT}&client_id=orders"), 401, refused),
        by_post("a wrong secret in the form", &post("orders", "wrong-secret"), 401, refused),
        by_post("an unknown client in the form", &post("nobody", "wrong-secret"), 401, refused),
        by_post(
            "the method that is not registered",
            &post("orders", secret),
            401,
            ("invalid_client", "'client_secret_basic', but the request uses 'client_secret_post'"),
        ),
        by_post(
            "an assertion of another kind",
            &format!("{GRANT}&client_assertion_type=x&client_assertion=y"),
            400,
            ("invalid_request", "client_assertion_type"),
        ),
        by_post("an id that is none", &post("a%20b", "wrong-secret"), 401, ("invalid_client", "255")),
    ]
}

#[tokio::test]
async fn each_request_gets_the_answer_that_it_deserves() {
    for database in databases().await {
        let server = TestServer::start(&database, manual_clock()).await;
        let client = TestClient::create(&server.store, "orders", registered()).await;
        let secret = client.secret.expose();
        for case in forms(secret).iter().chain(&credentials(secret)) {
            check(&server, case).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_posts_its_secret_and_one_without_the_grant_are_told_apart() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let mut by_form = registered();
    by_form["token_endpoint_auth_method"] = json!("client_secret_post");
    let poster = TestClient::create(&server.store, "poster", by_form).await;
    let form = format!("{GRANT}&client_id=poster&client_secret={}", poster.secret.expose());
    check(&server, &by_post("a registered method", &form, 200, ("", ""))).await;
    let with_token = Case {
        authorization: Some("Bearer ory_at_old".to_owned()),
        ..by_post("beside a token", &form, 200, ("", ""))
    };
    check(&server, &with_token).await;
    let mut without_grant = registered();
    without_grant["grant_types"] = json!(["authorization_code"]);
    let other = TestClient::create(&server.store, "team:app", without_grant).await;
    let pair = format!("team%3Aapp:{}", other.secret.expose());
    let refused = ("unauthorized_client", "'client_credentials'");
    check(&server, &by_basic("an id with a colon, without the grant", &pair, GRANT, 400, refused)).await;
}

#[tokio::test]
async fn an_unknown_client_and_a_wrong_secret_get_the_same_words() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    TestClient::create(&server.store, "orders", registered()).await;
    let refused = ("invalid_client", "");
    let known = check(&server, &by_basic("wrong", "orders:wrong-secret", GRANT, 401, refused)).await;
    let unknown = check(&server, &by_basic("unknown", "nobody:wrong-secret", GRANT, 401, refused)).await;
    assert_eq!(known, unknown);
    let no_secret =
        check(&server, &by_post("none", &format!("{GRANT}&client_id=orders"), 401, refused)).await;
    assert_eq!(known, no_secret);
}

#[tokio::test]
async fn an_answer_is_sorted_json_with_whole_seconds_and_a_line_feed() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let client = TestClient::create(&server.store, "orders", registered()).await;
    let text = server.request_token(&client, &[("scope", "read")]).await.text().await.unwrap();
    let shape = text.strip_prefix(r#"{"access_token":"ory_at_"#).unwrap();
    assert!(
        shape.ends_with("\",\"expires_in\":3600,\"scope\":\"read\",\"token_type\":\"bearer\"}\n"),
        "{text}"
    );
    let error = server.request_token(&client, &[("scope", "a&b<c>")]).await.text().await.unwrap();
    assert_eq!(
        error,
        "{\"error\":\"invalid_scope\",\"error_description\":\
         \"The client may not request the scope 'a\\u0026b\\u003cc\\u003e'.\"}\n"
    );
}

#[tokio::test]
async fn two_authorization_headers_are_refused() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let request = format!(
        "POST /oauth2/token HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Basic YTpi\r\n\
         Authorization: Basic YTpj\r\nContent-Type: {FORM}\r\nContent-Length: {}\r\n\r\n{GRANT}",
        GRANT.len()
    );
    let answer = exchange(server.public, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("more than one Authorization header"), "{answer}");
}

#[tokio::test]
async fn parameters_in_the_query_do_not_count() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let client = TestClient::create(&server.store, "orders", registered()).await;
    let url = server.public_url(&format!("/oauth2/token?{GRANT}"));
    let request = server.http.post(url).basic_auth("orders", Some(client.secret.expose()));
    let response = request.header(CONTENT_TYPE, FORM).send().await.unwrap();
    assert_eq!(response.status(), 400);
}

#[tokio::test]
async fn a_chosen_secret_is_hashed_once_in_five_minutes_and_a_wrong_one_each_time() {
    let clock = manual_clock();
    let server = TestServer::alone(clock.clone(), settings()).await;
    let client = TestClient::create_chosen(&server.store, "orders", registered(), "chosen-by-somebody").await;
    let hashes = async || {
        server.metric("keywright_work_pool_wait_seconds_count{pool=\"hashes\"}").await.unwrap_or(0.0)
    };
    assert!(server.issues_to(&client).await);
    assert!(server.issues_to(&client).await);
    assert!((hashes().await - 1.0).abs() < 0.1, "the second time it is remembered");
    let wrong = client.with_secret("chosen-by-nobody");
    assert!(!server.issues_to(&wrong).await);
    assert!(!server.issues_to(&wrong).await);
    assert!((hashes().await - 3.0).abs() < 0.1, "failures are not");
    clock.advance(jiff::SignedDuration::from_mins(5));
    assert!(server.issues_to(&client).await);
    assert!((hashes().await - 4.0).abs() < 0.1, "and no success for longer than five minutes");
}

#[tokio::test]
async fn an_expired_secret_is_refused_and_the_new_one_works() {
    let clock = manual_clock();
    let server = TestServer::alone(clock.clone(), settings()).await;
    let old = TestClient::create(&server.store, "orders", registered()).await;
    let new = old.add_secret(&server.store).await;
    let row = server.store.read_client(&old.id).await.unwrap().unwrap();
    let pending = row.secrets.iter().find(|secret| secret.state == store::SecretState::Pending).unwrap();
    let promotion = store::Promotion {
        hash: pending.hash.clone(),
        previous_expires_at: clock.now() + jiff::SignedDuration::from_hours(1),
        handled_rotate_secret: None,
    };
    server.store.promote_secret(&row.fence(), &promotion).await.unwrap();
    assert!(server.issues_to(&old).await && server.issues_to(&new).await);
    clock.advance(jiff::SignedDuration::from_hours(1));
    assert!(!server.issues_to(&old).await);
    assert!(server.issues_to(&new).await);
}

#[tokio::test]
async fn a_database_that_is_away_is_a_passing_failure() {
    let database = TestDatabase::sqlite();
    for exposed in [false, true] {
        let mut settings = settings();
        settings.expose_internal_errors = exposed;
        let server = TestServer::with(database.open(Clock::system()).await, settings).await;
        server.store.close().await;
        let wanted =
            ("temporarily_unavailable", if exposed { "database is unavailable" } else { "try again" });
        let case = by_basic("away", "unheard-of:wrong-secret", GRANT, 503, wanted);
        let text = check(&server, &case).await;
        assert_eq!(text.contains("database"), exposed, "{text}");
        let response = server.http.post(server.public_url("/oauth2/token")).basic_auth("a", Some("b"));
        let response = response.form(&[("grant_type", "client_credentials")]).send().await.unwrap();
        assert_eq!(response.headers()[RETRY_AFTER], "1");
    }
}

#[tokio::test]
async fn outcomes_are_counted_under_bounded_labels() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let client = TestClient::create(&server.store, "orders", registered()).await;
    server.access_token(&client).await;
    check(&server, &by_basic("", "orders:wrong-secret", GRANT, 401, ("invalid_client", ""))).await;
    for invented in ["a", "b"] {
        let form = format!("grant_type=invented-{invented}");
        check(&server, &by_basic("", "a:b", &form, 400, ("unsupported_grant_type", ""))).await;
    }
    for (grant, outcome, count) in [
        ("client_credentials", "success", 1.0),
        ("client_credentials", "invalid_client", 1.0),
        ("other", "unsupported_grant_type", 2.0),
    ] {
        let series = format!("token_endpoint_requests_total{{grant_type=\"{grant}\",outcome=\"{outcome}\"}}");
        assert_eq!(server.metric(&series).await, Some(count), "{series}");
    }
    let http = "http_requests_total{code=\"200\",method=\"post\",endpoint=\"/oauth2/token\"}";
    assert_eq!(server.metric(http).await, Some(1.0));
}

#[tokio::test]
async fn asking_for_a_client_that_there_is_not_costs_one_statement_and_it_works_once_it_is_made() {
    for database in databases().await {
        let server = TestServer::start(&database, manual_clock()).await;
        let ask = async || {
            let before = server.store.statements();
            let authorize = "GET /oauth2/auth?client_id=absent&response_type=code HTTP/1.1\r\nHost: x\r\n\
                             Connection: close\r\n\r\n";
            let answer = exchange(server.public, authorize.as_bytes()).await;
            assert!(answer.contains("error=invalid_client"), "{answer}");
            let form =
                [("grant_type", "client_credentials"), ("client_id", "absent"), ("client_secret", "x")];
            let token =
                server.http.post(server.public_url("/oauth2/token")).form(&form).send().await.unwrap();
            assert_eq!(token.status(), 401);
            server.store.statements() - before
        };
        harness::eventually("it is known that there is none", async || ask().await == 0).await;
        let client = TestClient::create(&server.store, "absent", registered()).await;
        assert!(server.issues_to(&client).await);
    }
}

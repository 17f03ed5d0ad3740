//! What other sites' pages may do.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::browser::{application, prepared, text};
use common::{TestClient, TestServer, manual_clock, registered, settings};
use http::{HeaderName, Method, StatusCode};
use reqwest::{RequestBuilder, Response};
use serde_json::json;
use server::{Cors, OriginPattern, Settings};

const LISTED: &str = "https://app.example.com";
const CLIENTS: &str = "https://spa.example.org";
const NOBODYS: &str = "https://evil.example";

fn cors() -> Cors {
    Cors {
        origins: vec![OriginPattern::parse(LISTED, false).unwrap()],
        methods: vec![Method::GET, Method::POST],
        headers: Some(vec![
            HeaderName::from_static("authorization"),
            HeaderName::from_static("content-type"),
        ]),
        exposed: vec![HeaderName::from_static("cache-control")],
        credentials: true,
        max_age: 60,
        passthrough: false,
        unbounded: false,
    }
}

fn with_cors(cors: &Cors) -> Settings {
    let mut settings = settings();
    settings.public.cors = Some(cors.clone());
    settings.admin.cors = Some(cors.clone());
    settings
}

async fn server() -> TestServer {
    TestServer::alone(manual_clock(), with_cors(&cors())).await
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

fn allowed(response: &Response) -> Option<&str> {
    header(response, "access-control-allow-origin")
}

fn preflight(server: &TestServer, url: &str, origin: &str) -> RequestBuilder {
    preflight_of("POST", server, url, origin)
}

fn preflight_of(method: &str, server: &TestServer, url: &str, origin: &str) -> RequestBuilder {
    let request = server.http.request(Method::OPTIONS, url).header("origin", origin);
    request.header("access-control-request-method", method)
}

#[tokio::test]
async fn without_it_no_answer_speaks_of_origins() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let url = server.public_url("/oauth2/token");
    let answer = preflight(&server, &url, LISTED).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!((allowed(&answer), header(&answer, "vary")), (None, None));
}

#[tokio::test]
async fn a_configured_origin_may_use_both_apis() {
    let server = server().await;
    for url in [server.public_url("/health/alive"), server.admin_url("/admin/version")] {
        let answer = server.http.get(&url).header("origin", LISTED).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(allowed(&answer), Some(LISTED));
        assert_eq!(header(&answer, "access-control-allow-credentials"), Some("true"));
        assert_eq!(header(&answer, "access-control-expose-headers"), Some("cache-control"));
        assert_eq!(header(&answer, "vary"), Some("Origin"));
        let other = server.http.get(&url).header("origin", NOBODYS).send().await.unwrap();
        assert_eq!((other.status(), allowed(&other)), (StatusCode::OK, None));
        let own = server.http.get(&url).send().await.unwrap();
        assert_eq!((allowed(&own), header(&own, "vary")), (None, Some("Origin")), "caches must know");
    }
}

#[tokio::test]
async fn where_everybody_is_allowed_nobody_is_with_credentials() {
    let any = Cors { origins: vec![OriginPattern::parse("*", false).unwrap()], ..cors() };
    let server = TestServer::alone(manual_clock(), with_cors(&any)).await;
    for url in [server.public_url("/userinfo"), server.admin_url("/admin/version")] {
        let answer = server.http.get(&url).header("origin", NOBODYS).send().await.unwrap();
        assert_eq!(allowed(&answer), Some("*"));
        assert_eq!(header(&answer, "access-control-allow-credentials"), None);
    }
}

#[tokio::test]
async fn a_preflight_request_is_answered_by_what_is_configured() {
    let server = server().await;
    let url = server.admin_url("/admin/clients");
    let asked = |headers: &str| {
        preflight(&server, &url, LISTED).header("access-control-request-headers", headers.to_owned())
    };
    let answer = asked("Content-Type, authorization").send().await.unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(allowed(&answer), Some(LISTED));
    assert_eq!(header(&answer, "access-control-allow-methods"), Some("POST"));
    assert_eq!(header(&answer, "access-control-allow-headers"), Some("Content-Type, authorization"));
    assert_eq!(header(&answer, "access-control-max-age"), Some("60"));
    assert_eq!(allowed(&asked("x-secret").send().await.unwrap()), None);
    let delete = preflight_of("DELETE", &server, &url, LISTED).send().await.unwrap();
    assert_eq!((delete.status(), allowed(&delete)), (StatusCode::NO_CONTENT, None));
    let other = preflight(&server, &url, NOBODYS).send().await.unwrap();
    assert_eq!((other.status(), allowed(&other)), (StatusCode::NO_CONTENT, None));
}

#[tokio::test]
async fn a_clients_pages_may_use_the_endpoints_that_know_the_client() {
    let server = server().await;
    let mut metadata = registered();
    metadata["allowed_cors_origins"] = json!([CLIENTS, "https://*.example.net", "https://*.com"]);
    let client = TestClient::create(&server.store, "spa", metadata).await;
    // A preflight request names no client: it is granted to all.
    let url = server.public_url("/oauth2/token");
    assert_eq!(allowed(&preflight(&server, &url, NOBODYS).send().await.unwrap()), Some(NOBODYS));

    let token = |origin: &str, secret: &str| {
        let form = [("grant_type", "client_credentials")];
        server.http.post(&url).basic_auth("spa", Some(secret)).form(&form).header("origin", origin.to_owned())
    };
    for (origin, may) in [
        (CLIENTS, true),
        ("https://pr-7.example.net", true),
        (LISTED, true),
        (NOBODYS, false),
        ("https://other.com", false),
    ] {
        let answer = token(origin, client.secret.expose()).send().await.unwrap();
        assert_eq!((answer.status(), allowed(&answer)), (StatusCode::OK, may.then_some(origin)), "{origin}");
    }
    // Its pages read why they are refused, too.
    let refused = token(CLIENTS, "wrong").send().await.unwrap();
    assert_eq!((refused.status(), allowed(&refused)), (StatusCode::UNAUTHORIZED, Some(CLIENTS)));
    let unknown = [("grant_type", "client_credentials"), ("client_id", "nobody")];
    let unknown = server.http.post(&url).form(&unknown).header("origin", CLIENTS).send().await.unwrap();
    assert_eq!(allowed(&unknown), None);

    let revoke = server.http.post(server.public_url("/oauth2/revoke")).form(&[
        ("token", "x"),
        ("client_id", "spa"),
        ("client_secret", client.secret.expose()),
    ]);
    assert_eq!(allowed(&revoke.header("origin", CLIENTS).send().await.unwrap()), Some(CLIENTS));
}

#[tokio::test]
async fn userinfo_is_for_the_pages_of_the_tokens_client() {
    let server = server().await;
    let mut metadata = application();
    metadata["allowed_cors_origins"] = json!([CLIENTS]);
    let client = prepared(&server, metadata).await;
    let tokens = server.tokens(&client).await;
    let url = server.public_url("/userinfo");
    for (origin, may) in [(CLIENTS, true), (NOBODYS, false)] {
        let ask = async || {
            let request = server.http.get(&url).bearer_auth(text(&tokens, "access_token"));
            request.header("origin", origin).send().await.unwrap()
        };
        let answer = ask().await;
        assert_eq!((answer.status(), allowed(&answer)), (StatusCode::OK, may.then_some(origin)));
        harness::eventually("one statement, as without an origin", async || {
            server.costing(ask()).await.0 == 1
        })
        .await;
    }
    let dead = server.http.get(&url).bearer_auth("x").header("origin", CLIENTS).send().await.unwrap();
    assert_eq!((dead.status(), allowed(&dead)), (StatusCode::UNAUTHORIZED, None));
}

#[tokio::test]
async fn a_clients_origins_take_no_statement_while_the_client_is_in_memory() {
    let server = server().await;
    let mut metadata = registered();
    metadata["allowed_cors_origins"] = json!([CLIENTS]);
    let client = TestClient::create(&server.store, "spa", metadata).await;
    assert!(server.issues_to(&client).await);
    for origin in [CLIENTS, NOBODYS] {
        let ask = async || {
            let request = server.http.post(server.public_url("/oauth2/token")).header("origin", origin);
            let request = request.basic_auth("spa", Some(client.secret.expose()));
            request.form(&[("grant_type", "client_credentials")]).send().await.unwrap().status()
        };
        assert_eq!(ask().await, 200);
        harness::eventually("no statement", async || server.costing(ask()).await.0 == 0).await;
    }
}

#[tokio::test]
async fn published_documents_are_everybodys_and_pages_are_nobodys() {
    let server = server().await;
    for path in ["/.well-known/openid-configuration", "/.well-known/jwks.json"] {
        let answer = server.http.get(server.public_url(path)).header("origin", NOBODYS).send().await.unwrap();
        assert_eq!(allowed(&answer), Some("*"), "{path}");
        assert_eq!(header(&answer, "access-control-allow-credentials"), None);
    }
    let stays = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    for path in ["/oauth2/auth", "/oauth2/sessions/logout", "/oauth2/fallbacks/error"] {
        let url = server.public_url(path);
        let answer = stays.get(&url).header("origin", LISTED).send().await.unwrap();
        assert_eq!(allowed(&answer), None, "{path}");
        assert_eq!(allowed(&preflight(&server, &url, LISTED).send().await.unwrap()), None, "{path}");
    }
}

#[tokio::test]
async fn settings_may_change_while_it_runs() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let url = server.public_url("/.well-known/openid-configuration");
    let issuer = async || {
        let document: serde_json::Value = server.http.get(&url).send().await.unwrap().json().await.unwrap();
        document["issuer"].clone()
    };
    common::make_token_sets(&server.store, jose::SigningAlgorithm::Es256).await;
    assert_eq!(issuer().await, common::ISSUER);
    let mut changed = with_cors(&cors());
    changed.issuer = oauth::Issuer::parse("https://new.example.com/").unwrap();
    server.server.reconfigure(changed);
    assert_eq!(issuer().await, "https://new.example.com/");
    let answer = server.http.get(&url).header("origin", LISTED).send().await.unwrap();
    assert_eq!(allowed(&answer), Some(LISTED));
}

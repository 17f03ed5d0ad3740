//! The published documents, health, and what is around every endpoint.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::{
    TestClient, TestServer, declaration, header, make_token_sets, manual_clock, registered, settings,
};
use jiff::SignedDuration;
use jose::SigningAlgorithm;
use reqwest::Method;
use reqwest::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use serde_json::{Value, json};
use store::{ACCESS_TOKEN_SET, Clock, StoredRotation};

const PRIVATE: &str = "private, no-cache, no-store, must-revalidate";

async fn server_with_keys() -> TestServer {
    let server = TestServer::alone(manual_clock(), settings()).await;
    make_token_sets(&server.store, SigningAlgorithm::Es256).await;
    server
}

#[tokio::test]
async fn discovery_names_what_is_served_and_no_more() {
    let server = server_with_keys().await;
    let openid = server.get("/.well-known/openid-configuration").await;
    assert_eq!(openid.headers()[CACHE_CONTROL], PRIVATE);
    assert_eq!(openid.headers()[CONTENT_TYPE], "application/json; charset=utf-8");
    let openid = openid.text().await.unwrap();
    let oauth = server.get("/.well-known/oauth-authorization-server").await.text().await.unwrap();
    assert_eq!(openid, oauth);
    assert!(openid.ends_with("}\n"));
    let document: Value = serde_json::from_str(&openid).unwrap();
    let methods = ["client_secret_basic", "client_secret_post", "private_key_jwt", "none"];
    let algorithms =
        ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"];
    let of_objects = [&["none"], &algorithms[..]].concat();
    assert_eq!(
        document,
        json!({
            "authorization_endpoint": "https://id.example.com/oauth2/auth",
            "authorization_response_iss_parameter_supported": true,
            "claims_parameter_supported": true,
            "claims_supported": ["sub"],
            "code_challenge_methods_supported": ["S256"],
            "backchannel_logout_session_supported": true,
            "backchannel_logout_supported": true,
            "device_authorization_endpoint": "https://id.example.com/oauth2/device/auth",
            "end_session_endpoint": "https://id.example.com/oauth2/sessions/logout",
            "frontchannel_logout_session_supported": true,
            "frontchannel_logout_supported": true,
            "grant_types_supported": [
                "authorization_code", "implicit", "refresh_token", "client_credentials",
                "urn:ietf:params:oauth:grant-type:jwt-bearer",
                "urn:ietf:params:oauth:grant-type:device_code",
            ],
            "id_token_signed_response_alg": ["ES256"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "introspection_endpoint": "https://id.example.com/oauth2/introspect",
            "introspection_endpoint_auth_methods_supported": [
                "client_secret_basic", "client_secret_post", "private_key_jwt",
            ],
            "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
            "issuer": "https://id.example.com/",
            "jwks_uri": "https://id.example.com/.well-known/jwks.json",
            "prompt_values_supported": ["none", "login", "consent", "select_account"],
            "request_object_signing_alg_values_supported": of_objects,
            "request_parameter_supported": true,
            "request_uri_parameter_supported": true,
            "require_request_uri_registration": true,
            "response_modes_supported": ["query", "fragment", "form_post"],
            "response_types_supported": [
                "code",
                "code id_token",
                "id_token",
                "id_token token",
                "token",
                "code token",
                "code id_token token"
            ],
            "revocation_endpoint": "https://id.example.com/oauth2/revoke",
            "revocation_endpoint_auth_methods_supported": methods,
            "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
            "scopes_supported": ["openid", "offline", "offline_access"],
            "subject_types_supported": ["public"],
            "token_endpoint": "https://id.example.com/oauth2/token",
            "token_endpoint_auth_methods_supported": methods,
            "token_endpoint_auth_signing_alg_values_supported": algorithms,
            "userinfo_endpoint": "https://id.example.com/userinfo",
            "userinfo_signed_response_alg": ["ES256"],
            "userinfo_signing_alg_values_supported": ["none", "ES256"],
        })
    );
}

#[tokio::test]
async fn the_key_set_can_be_cached_and_revalidated() {
    let server = server_with_keys().await;
    let first = server.get("/.well-known/jwks.json").await;
    assert_eq!(first.headers()[CACHE_CONTROL], "public, max-age=3600");
    assert_eq!(first.headers()[CONTENT_TYPE], "application/json; charset=utf-8");
    let etag = first.headers()[ETAG].clone();
    let body = first.text().await.unwrap();
    let keys: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
    assert!(!body.contains("\"d\":") && body.ends_with("}\n"), "{body}");
    let held = format!("\"other\", W/{}", etag.to_str().unwrap());
    for (held, status) in [(etag.to_str().unwrap(), 304), (&held, 304), ("*", 304), ("\"other\"", 200)] {
        let request = server.http.get(server.public_url("/.well-known/jwks.json"));
        let response = request.header(IF_NONE_MATCH, held).send().await.unwrap();
        assert_eq!(response.status(), status, "{held}");
        assert_eq!(response.headers()[ETAG], etag, "{held}");
        assert_eq!(header(&response, "cache-control"), "public, max-age=3600", "{held}");
        assert_eq!(response.text().await.unwrap().is_empty(), status == 304, "{held}");
    }
    server.store.clock().advance(SignedDuration::from_secs(1));
    assert_eq!(server.get("/.well-known/jwks.json").await.headers()[ETAG], etag, "the keys are the same");
    let mut rotated = declaration(ACCESS_TOKEN_SET, SigningAlgorithm::Es256, StoredRotation::Manual);
    rotated.rotate = Some("please".to_owned());
    server.store.declare_key_set(&rotated).await.unwrap();
    let next = server.get("/.well-known/jwks.json").await;
    assert_ne!(next.headers()[ETAG], etag);
    let keys: Value = next.json().await.unwrap();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 3, "the next key is published at once");
}

#[tokio::test]
async fn keys_that_turn_faster_than_clocks_agree_are_not_cached() {
    let server = server_with_keys().await;
    let mut hasty = declaration("hasty", SigningAlgorithm::Es256, StoredRotation::Manual);
    hasty.policy.publish_before = 10 * 60;
    server.store.declare_key_set(&hasty).await.unwrap();
    let response = server.get("/.well-known/jwks.json").await;
    assert_eq!(response.headers()[CACHE_CONTROL], "public, max-age=290");
    hasty.policy.publish_before = 310;
    server.store.declare_key_set(&hasty).await.unwrap();
    let response = server.get("/.well-known/jwks.json").await;
    assert_eq!(response.headers()[CACHE_CONTROL], "no-cache");
}

#[tokio::test]
async fn a_server_is_ready_with_a_database_and_keys() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let public = |path| server.public_url(path);
    let admin = |path| server.admin_url(path);
    let ask = async |url: String| {
        let response = server.http.get(url).send().await.unwrap();
        assert_eq!(response.headers()[CACHE_CONTROL], PRIVATE);
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let ok = (200, "{\"status\":\"ok\"}\n".to_owned());
    let hidden = |part: &str| {
        (503, format!("{{\"errors\":{{\"{part}\":\"not available; the admin port says why\"}}}}\n"))
    };
    assert_eq!(ask(public("/health/ready")).await, hidden("keys"));
    let (status, told) = ask(admin("/admin/health/ready")).await;
    assert_eq!((status, told.contains("no key to sign with")), (503, true), "{told}");
    make_token_sets(&server.store, SigningAlgorithm::Es256).await;
    for url in [public("/health/ready"), admin("/health/ready"), admin("/admin/health/ready")] {
        assert_eq!(ask(url).await, ok);
    }
    server.store.close().await;
    assert_eq!(ask(public("/health/ready")).await, hidden("database"));
    let (status, told) = ask(admin("/health/ready")).await;
    assert_eq!((status, told.contains("unavailable")), (503, true), "{told}");
    for url in [public("/health/alive"), admin("/health/alive"), admin("/admin/health/alive")] {
        assert_eq!(ask(url).await, ok, "no probe restarts a server whose database is away");
    }
}

#[tokio::test]
async fn paths_may_end_with_slashes_and_admin_ones_may_leave_their_prefix_out() {
    let server = server_with_keys().await;
    for url in [
        server.public_url("/.well-known/jwks.json/"),
        server.public_url("/health/alive//"),
        server.admin_url("/version"),
        server.admin_url("/admin/version/"),
        server.admin_url("/metrics/prometheus"),
        server.admin_url("/health/ready/?verbose"),
    ] {
        assert_eq!(server.http.get(&url).send().await.unwrap().status(), 200, "{url}");
    }
    let version = server.http.get(server.admin_url("/version")).send().await.unwrap();
    assert_eq!(version.text().await.unwrap(), "{\"version\":\"v1.2.3\"}\n");
    let options = server.http.request(Method::OPTIONS, server.public_url("/oauth2/token"));
    assert_eq!(options.send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn what_is_not_served_is_not_found_in_the_form_that_the_caller_likes() {
    let server = server_with_keys().await;
    let cases = [
        (Method::GET, server.public_url("/"), None, "text/html; charset=utf-8"),
        (Method::GET, server.public_url("/version"), Some("text/plain"), "text/plain; charset=utf-8"),
        (Method::GET, server.public_url("/oauth2/device"), None, "text/html; charset=utf-8"),
        (
            Method::GET,
            server.public_url("/oauth2/token"),
            Some("application/json"),
            "application/json; charset=utf-8",
        ),
        (Method::DELETE, server.public_url("/.well-known/jwks.json"), None, "text/html; charset=utf-8"),
        (Method::POST, server.public_url("/admin/oauth2/introspect"), None, "text/html; charset=utf-8"),
        (
            Method::GET,
            server.admin_url("/admin/keys"),
            Some("application/json"),
            "application/json; charset=utf-8",
        ),
        (Method::POST, server.admin_url("/oauth2/token"), None, "text/html; charset=utf-8"),
    ];
    for (method, url, accept, content_type) in cases {
        let mut request = server.http.request(method.clone(), &url);
        if let Some(accept) = accept {
            request = request.header(ACCEPT, accept);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 404, "{method} {url}");
        assert_eq!(response.headers()[CONTENT_TYPE], content_type, "{method} {url}");
        if content_type.starts_with("application/json") {
            let body: Value = response.json().await.unwrap();
            assert_eq!(
                (&body["error"]["code"], &body["error"]["message"]),
                (&json!(404), &json!("Not Found"))
            );
        }
    }
    let unknown = "http_requests_total{code=\"404\",method=\"get\",endpoint=\"unknown\"}";
    assert_eq!(server.metric(unknown).await, Some(4.0));
    let wrong_method = "http_requests_total{code=\"404\",method=\"get\",endpoint=\"/oauth2/token\"}";
    assert_eq!(server.metric(wrong_method).await, Some(1.0));
}

#[tokio::test]
async fn each_answer_carries_the_requests_id() {
    let server = server_with_keys().await;
    let ask = async |id: Option<&str>| {
        let mut request = server.http.get(server.public_url("/health/alive"));
        if let Some(id) = id {
            request = request.header("x-request-id", id);
        }
        request.send().await.unwrap().headers()["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(ask(Some("trace-1.2")).await, "trace-1.2");
    let made = ask(Some("no such {id}")).await;
    assert_eq!((made.len(), made == ask(None).await), (36, false), "{made}");
}

#[tokio::test]
async fn metrics_tell_of_requests_the_database_and_the_caches() {
    let server = server_with_keys().await;
    let client = TestClient::create(&server.store, "orders", registered()).await;
    server.access_token(&client).await;
    let response = server.http.get(server.admin_url("/admin/metrics/prometheus")).send().await.unwrap();
    assert!(response.headers()[CONTENT_TYPE].to_str().unwrap().starts_with("application/openmetrics-text"));
    assert!(response.text().await.unwrap().ends_with("# EOF\n"));
    assert_eq!(server.metric("keywright_cache_trusted").await, Some(1.0));
    let statements = server.metric("keywright_database_statements_total").await.unwrap();
    assert!(statements > 1.0, "{statements}");
    for series in [
        "http_response_time_seconds_count{endpoint=\"/oauth2/token\"}",
        "http_requests_duration_seconds_count{code=\"200\",method=\"post\",endpoint=\"/oauth2/token\"}",
    ] {
        assert_eq!(server.metric(series).await, Some(1.0), "{series}");
    }
    assert_eq!(server.metric("keywright_work_pool_queue_depth{pool=\"signatures\"}").await, Some(0.0));
}

#[tokio::test]
async fn missing_token_sets_are_made_where_the_server_may() {
    let server = TestServer::alone(Clock::system(), settings()).await;
    let shutdown = tokio_util::sync::CancellationToken::new();
    let working = tokio::spawn({
        let (server, shutdown) = (server.server.clone(), shutdown.clone());
        async move { server.maintain(true, shutdown).await }
    });
    // An RSA key of 4096 bits takes seconds, and sometimes many.
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(3);
    while server.get("/health/ready").await.status() != 200 {
        assert!(std::time::Instant::now() < deadline, "the server does not get ready");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    shutdown.cancel();
    working.await.unwrap();
    let keys: Value = server.get("/.well-known/jwks.json").await.json().await.unwrap();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);
}

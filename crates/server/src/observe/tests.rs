use std::future::pending;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use harness::TestDatabase;
use http::StatusCode;
use oauth::client_credentials::Policy;
use oauth::discovery::DiscoveryPolicy;
use oauth::jwt_access_token::ClaimsPolicy;
use oauth::{AccessTokenStrategy, Issuer, Lifetimes, ScopeStrategy};
use prometheus_client::registry::Registry;
use store::Clock;
use tower::ServiceExt;

use super::*;
use crate::{AuthorizationTimes, CookieSettings, Metrics, PageUrls, SameSite, Settings};

fn settings() -> Settings {
    let issuer = Issuer::parse("https://id.example.com").unwrap();
    let lifetimes = Lifetimes { access_token: Duration::ZERO, id_token: Duration::ZERO };
    Settings {
        issuer: issuer.clone(),
        public_url: issuer,
        client_credentials: Policy {
            scope_strategy: ScopeStrategy::Exact,
            default_to_registered_scope: false,
            strategy: AccessTokenStrategy::Opaque,
            lifetimes,
        },
        authorization: oauth::authorization_request::Policy::default(),
        flow: AuthorizationTimes {
            login_consent_request: Duration::from_mins(30),
            auth_code: Duration::from_mins(10),
            authentication_session: Duration::from_hours(720),
            refresh_token: Some(Duration::from_hours(720)),
            rotation_grace: Duration::ZERO,
        },
        pages: PageUrls {
            login: Some("https://pages.example.com/login".to_owned()),
            consent: Some("https://pages.example.com/consent".to_owned()),
            error: Some("https://pages.example.com/error".to_owned()),
            ..PageUrls::default()
        },
        cookies: CookieSettings {
            session: "ory_hydra_session".to_owned(),
            session_path: "/".to_owned(),
            login_csrf: "ory_hydra_login_csrf".to_owned(),
            consent_csrf: "ory_hydra_consent_csrf".to_owned(),
            domain: None,
            same_site: SameSite::Lax,
            secure: true,
        },
        jwt: ClaimsPolicy::default(),
        discovery: DiscoveryPolicy::default(),
        broadcast_keys: Vec::new(),
        expose_internal_errors: false,
        version: String::new(),
        quiet_public_health: false,
        quiet_admin_health: false,
    }
}

/// The answers of handlers that this server does not have: status, body, and whether they carry the request's id.
async fn observed(router: Router, time_limit: Duration) -> (StatusCode, String, bool) {
    let database = TestDatabase::sqlite();
    let store = database.open(Clock::system()).await;
    let server = Server::new(store, settings(), Metrics::new(&mut Registry::default()));
    let observer = Observer { server, quiet_health: false, time_limit };
    let router = router.layer(from_fn_with_state(observer, observe));
    let request = Request::builder().uri("/").header("x-request-id", "mine").body(Body::empty()).unwrap();
    let response = router.oneshot(request).await.unwrap();
    let (status, has_id) = (response.status(), response.headers()[X_REQUEST_ID] == "mine");
    let body = to_bytes(response.into_body(), 1000).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap(), has_id)
}

#[tokio::test]
async fn a_panic_is_a_server_error_and_does_not_say_what_happened() {
    let panics = get(|| async { panic!("expected by this test") as String });
    let (status, body, has_id) = observed(Router::new().route("/", panics), TIME_LIMIT).await;
    assert_eq!((status, has_id), (StatusCode::INTERNAL_SERVER_ERROR, true));
    assert!(body.contains("server_error") && !body.contains("expected by this test"), "{body}");
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_ended() {
    let hangs = get(|| async { pending::<String>().await });
    let (status, body, has_id) = observed(Router::new().route("/", hangs), Duration::from_millis(10)).await;
    assert_eq!((status, has_id), (StatusCode::REQUEST_TIMEOUT, true));
    assert!(body.contains("took too long"), "{body}");
}

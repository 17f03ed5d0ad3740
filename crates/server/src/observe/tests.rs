use std::future::pending;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use harness::TestDatabase;
use http::StatusCode;
use prometheus_client::registry::Registry;
use store::Clock;
use tower::ServiceExt;

use super::*;
use crate::{Metrics, Settings};

/// The answers of handlers that this server does not have: status, body, and whether they carry the request's id.
async fn observed(router: Router, time_limit: Duration) -> (StatusCode, String, bool) {
    let database = TestDatabase::sqlite();
    let store = database.open(Clock::system()).await;
    let metrics = Metrics::new(&mut Registry::default());
    let server = Server::new(store, Settings::of_a_test(), metrics, None).unwrap();
    let (api, reach): (fn(&Settings) -> &ApiSettings, _) = (|settings| &settings.public, |_| Reach::Nobody);
    let observer = Observer { server, api, reach, callers: Callers::Strangers, time_limit };
    let router = router.layer(from_fn_with_state(observer, observe));
    let request = Request::builder()
        .uri("/")
        .header(HOST, "x")
        .header("x-request-id", "mine")
        .body(Body::empty())
        .unwrap();
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

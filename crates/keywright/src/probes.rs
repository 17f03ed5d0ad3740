//! Health and metrics of a process that has no API of its own.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

const TEXT_FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone)]
struct Probes {
    ready: watch::Receiver<bool>,
    registry: Arc<Registry>,
}

/// `/livez`, `/readyz` and `/metrics` of an operator.
pub fn operator(ready: watch::Receiver<bool>, registry: Arc<Registry>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Probes { ready, registry })
}

/// What a server says before its database has answered for the first time: alive, not ready.
pub fn starting() -> Router {
    let not_ready = || async {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            [(header::CONTENT_TYPE, "application/json")],
            "{\"errors\":{\"database\":\"not reached yet\"}}\n",
        )
    };
    let alive = || async { ([(header::CONTENT_TYPE, "application/json")], "{\"status\":\"ok\"}\n") };
    Router::new()
        .route("/health/alive", get(alive))
        .route("/admin/health/alive", get(alive))
        .route("/livez", get(alive))
        .fallback(not_ready)
}

async fn readyz(State(probes): State<Probes>) -> impl IntoResponse {
    if *probes.ready.borrow() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the resources are not known yet")
    }
}

async fn metrics(State(probes): State<Probes>) -> impl IntoResponse {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &probes.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

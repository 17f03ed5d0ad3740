//! `GET /health/alive` and `GET /health/ready`.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use serde::Serialize;

use crate::{Server, answer};

const OK: Bytes = Bytes::from_static(b"{\"status\":\"ok\"}\n");

/// What stands in the way of serving, by the part that is at fault.
type Problems = BTreeMap<&'static str, String>;

#[derive(Serialize)]
struct NotReady {
    errors: Problems,
}

/// The process runs. Nothing is asked of the database: restarting would not bring it back.
pub(crate) async fn alive() -> Response {
    answer::json(StatusCode::OK, OK)
}

/// The server can answer requests, and goes on to; for the admin port, with the reason why not.
pub(crate) async fn ready(State(server): State<Server>) -> Response {
    respond(problems(&server).await)
}

/// The same for the public port: which part is at fault, and no more.
pub(crate) async fn ready_without_reasons(State(server): State<Server>) -> Response {
    let mut problems = problems(&server).await;
    for reason in problems.values_mut() {
        "not available; the admin port says why".clone_into(reason);
    }
    respond(problems)
}

fn respond(problems: Problems) -> Response {
    if problems.is_empty() {
        return answer::json(StatusCode::OK, OK);
    }
    let body = answer::to_json(&NotReady { errors: problems });
    answer::json(StatusCode::SERVICE_UNAVAILABLE, body)
}

async fn problems(server: &Server) -> Problems {
    if server.is_leaving() {
        return BTreeMap::from([("shutdown", "the server is about to stop".to_owned())]);
    }
    let store = server.store();
    if let Err(error) = store.ping().await {
        return BTreeMap::from([("database", error.to_string())]);
    }
    match store.keys().await {
        Ok(keys) if keys.is_complete(server.now()) => BTreeMap::new(),
        Ok(_) => BTreeMap::from([("keys", "a token key set has no key to sign with".to_owned())]),
        Err(error) => BTreeMap::from([("keys", error.to_string())]),
    }
}

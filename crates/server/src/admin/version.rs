//! `GET /admin/version`.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;

use crate::{Server, answer};

#[derive(Serialize)]
struct Version<'a> {
    version: &'a str,
}

pub(crate) async fn version(State(server): State<Server>) -> Response {
    let version = Version { version: &server.settings().version };
    answer::json(StatusCode::OK, answer::to_json(&version))
}

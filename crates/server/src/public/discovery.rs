//! `GET /.well-known/openid-configuration` (OpenID Connect Discovery §4) and
//! `GET /.well-known/oauth-authorization-server` (RFC 8414 §3): one document.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::error::Challenge;
use crate::{Server, answer};

pub(crate) async fn discovery(State(server): State<Server>) -> Response {
    match server.documents().await {
        Ok(documents) => answer::json(StatusCode::OK, documents.discovery.clone()),
        Err(failure) => failure.answer(server.settings(), Challenge::None),
    }
}

//! `POST /admin/oauth2/introspect` (RFC 7662).

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use oauth::introspect::Introspection;

use crate::error::{Challenge, Failure};
use crate::form::FormRequest;
use crate::{Server, answer, introspection};

pub(crate) async fn introspect(State(server): State<Server>, request: Request) -> Response {
    match ask(&server, request).await {
        Ok(introspection) => answer::oauth_json(StatusCode::OK, answer::to_json(&introspection)),
        Err(failure) => failure.answer(server.settings(), Challenge::None),
    }
}

async fn ask(server: &Server, request: Request) -> Result<Introspection, Failure> {
    introspection::answer(server, &FormRequest::read(server, request).await?.form).await
}

//! `GET /.well-known/jwks.json` (RFC 7517 §5).

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use headers::{HeaderMapExt, IfNoneMatch};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};

use crate::documents::KeySetDocument;
use crate::error::Challenge;
use crate::{Server, answer};

pub(crate) async fn jwks(State(server): State<Server>, headers: HeaderMap) -> Response {
    match server.documents().await {
        Ok(documents) => respond(&documents.jwks, headers.typed_get()),
        Err(failure) => failure.answer(server.settings(), Challenge::None),
    }
}

/// The document, or 304 for a caller that has it already (RFC 9110 §13.1.2).
fn respond(document: &KeySetDocument, held: Option<IfNoneMatch>) -> Response {
    let mut response = answer::json(StatusCode::OK, document.body.clone());
    if held.is_some_and(|held| !held.precondition_passes(&document.etag)) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(CONTENT_TYPE);
    }
    response.headers_mut().typed_insert(document.etag.clone());
    response.headers_mut().insert(CACHE_CONTROL, document.cache_control.clone());
    response
}

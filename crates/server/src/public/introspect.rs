//! `POST /oauth2/introspect` (RFC 7662), for clients with credentials.

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use oauth::Error;
use oauth::introspect::Introspection;

use crate::authenticate::authenticate;
use crate::error::Failure;
use crate::form::FormRequest;
use crate::{Server, answer, introspection};

pub(crate) async fn introspect(State(server): State<Server>, request: Request) -> Response {
    let challenge = FormRequest::challenge(&request);
    match ask(&server, request).await {
        Ok(introspection) => answer::oauth_json(StatusCode::OK, answer::to_json(&introspection)),
        Err(failure) => failure.answer(server.settings(), challenge),
    }
}

async fn ask(server: &Server, request: Request) -> Result<Introspection, Failure> {
    let request = FormRequest::read(server, request).await?;
    request.form.require("token")?;
    let client = authenticate(server, &request).await?;
    if client.is_public() {
        // Anybody could scan for tokens in its name (RFC 7662 §2.1).
        return Err(Error::invalid_client("Only a client with credentials may introspect tokens.").into());
    }
    Ok(introspection::answer(server, &request.form).await?.seen_by(&client))
}

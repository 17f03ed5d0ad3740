//! `POST /oauth2/revoke` (RFC 7009).

use axum::extract::{Request, State};
use axum::response::Response;
use oauth::revoke::{Revocation, decide};

use crate::authenticate::authenticate;
use crate::error::Failure;
use crate::form::FormRequest;
use crate::{Server, answer, presented_token};

pub(crate) async fn revoke(State(server): State<Server>, request: Request) -> Response {
    let challenge = FormRequest::challenge(&request);
    match apply(&server, request).await {
        // The same answer whatever the token was (RFC 7009 §2.2).
        Ok(()) => answer::oauth_empty(),
        Err(failure) => failure.answer(server.settings(), challenge),
    }
}

async fn apply(server: &Server, request: Request) -> Result<(), Failure> {
    let request = FormRequest::read(server, request).await?;
    let presented = request.form.require("token")?;
    let client = authenticate(server, &request).await?;
    let token = presented_token::open(server, presented).await?;
    match decide(&client, token, server.now()) {
        Revocation::Revoke(token) => Ok(server.store().revoke_token(token.id, token.expires_at).await?),
        Revocation::Nothing => Ok(()),
    }
}

//! `POST /oauth2/revoke` (RFC 7009).

use axum::extract::{Request, State};
use axum::response::Response;
use jiff::Timestamp;
use oauth::revoke::{Revocation, decide, decide_refresh_token};

use crate::authenticate::authenticate;
use crate::error::Failure;
use crate::form::FormRequest;
use crate::presented_token::Presented;
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
    let (store, now) = (server.store(), server.now());
    let (revocation, ends) = match presented_token::open(server, presented).await? {
        Some(Presented::AccessToken(token)) => {
            let ends = token.expires_at;
            (decide(&client, token, now), ends)
        }
        Some(Presented::RefreshToken(token)) => {
            (decide_refresh_token(&client, &token, now), token.expires_at().unwrap_or(Timestamp::MAX))
        }
        None => return Ok(()),
    };
    match revocation {
        Revocation::Token(token) => Ok(store.revoke_token(token.id, token.expires_at).await?),
        Revocation::Grant(id) => Ok(store.revoke_grant(id, &client.id, ends).await?),
        Revocation::Nothing => Ok(()),
    }
}

//! `POST /admin/oauth2/introspect` (RFC 7662).

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use oauth::access_token::MAX_PAYLOAD;
use oauth::introspect::{Introspection, is_live};
use oauth::{ScopeSet, introspect};

use crate::error::{Challenge, Failure};
use crate::form::FormRequest;
use crate::{Server, answer, presented_token};

pub(crate) async fn introspect(State(server): State<Server>, request: Request) -> Response {
    match ask(&server, request).await {
        Ok(introspection) => answer::oauth_json(StatusCode::OK, answer::to_json(&introspection)),
        Err(failure) => failure.answer(server.settings(), Challenge::None),
    }
}

/// The database is asked each time, by one statement: what any server revoked is inactive here at once.
async fn ask(server: &Server, request: Request) -> Result<Introspection, Failure> {
    let request = FormRequest::read(server, request).await?;
    let presented = request.form.require("token")?;
    let Some(required) = required_scope(request.form.get("scope").unwrap_or_default()) else {
        return Ok(Introspection::INACTIVE);
    };
    let Some(token) = presented_token::open(server, presented).await? else {
        return Ok(Introspection::INACTIVE);
    };
    if token.is_expired(server.now()) {
        return Ok(Introspection::INACTIVE);
    }
    let state = server.store().token_state(&token).await?;
    if !is_live(&token, state, server.now()) {
        return Ok(Introspection::INACTIVE);
    }
    let settings = server.settings();
    Ok(introspect::answer(token, &settings.issuer, &required, settings.scope_strategy()))
}

/// `None` for what was granted to nobody: no token carries it, or it is no scope.
fn required_scope(text: &str) -> Option<ScopeSet> {
    if text.len() > MAX_PAYLOAD { None } else { text.parse().ok() }
}

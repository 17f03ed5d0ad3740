//! `POST /admin/oauth2/introspect` (RFC 7662).

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use oauth::access_token::MAX_PAYLOAD;
use oauth::introspect::Introspection;
use oauth::{ScopeSet, introspect};

use crate::error::{Challenge, Failure};
use crate::form::FormRequest;
use crate::presented_token::Presented;
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
    let settings = server.settings();
    let strategy = settings.scope_strategy();
    match presented_token::open(server, presented).await? {
        Some(Presented::AccessToken(token)) => {
            let live = presented_token::live(server, &token).await?;
            let meaning = live.and_then(|grant| token.meaning(grant.as_ref()));
            let Some(meaning) = meaning else { return Ok(Introspection::INACTIVE) };
            Ok(introspect::answer(&token, meaning, &settings.issuer, &required, strategy))
        }
        Some(Presented::RefreshToken(token)) => {
            let live = presented_token::live_refresh_token(server, &token).await?;
            let Some(grant) = live else { return Ok(Introspection::INACTIVE) };
            Ok(introspect::answer_refresh_token(&token, grant, &settings.issuer, &required, strategy))
        }
        None => Ok(Introspection::INACTIVE),
    }
}

/// `None` for what was granted to nobody: no token carries it, or it is no scope.
fn required_scope(text: &str) -> Option<ScopeSet> {
    if text.len() > MAX_PAYLOAD { None } else { text.parse().ok() }
}

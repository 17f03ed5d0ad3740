//! Token introspection (RFC 7662), for callers that may see every token.

use oauth::access_token::MAX_PAYLOAD;
use oauth::introspect::Introspection;
use oauth::{Form, ScopeSet, introspect};

use crate::error::Failure;
use crate::presented_token::Presented;
use crate::{Server, presented_token};

/// What there is to say of the form's `token`. The database is asked each time, by one statement: what any server revoked
/// is inactive here at once.
///
/// # Errors
/// `invalid_request` without a token; [`Failure::Store`].
pub(crate) async fn answer(server: &Server, form: &Form) -> Result<Introspection, Failure> {
    let presented = form.require("token")?;
    let Some(required) = required_scope(form.get("scope").unwrap_or_default()) else {
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

//! The `id_token_hint` of requests (OpenID Connect Core §3.1.2.1, RP-Initiated Logout §2).

use jose::JwsHeader;
use serde_json::{Map, Value};

use crate::Server;
use crate::error::Failure;

/// What a request is told whose hint is no such token.
pub(crate) const NOT_OURS: &str =
    "The id_token_hint is not an ID token of this server, or its key is no longer published.";

/// The claims of an ID token that this server signed with any key that is still published; it may have expired. `None`
/// where it is no such token.
///
/// # Errors
/// [`Failure::Store`] where the keys cannot be read.
pub(crate) async fn verified(server: &Server, hint: &str) -> Result<Option<Map<String, Value>>, Failure> {
    let Some(kid) = JwsHeader::parse(hint).ok().and_then(|header| header.kid) else { return Ok(None) };
    let keys = server.store().keys().await?;
    let claims = keys.verifier(&kid, server.now()).and_then(|verifier| verifier.verify(hint).ok());
    let Some(Value::Object(claims)) = claims else { return Ok(None) };
    let issuer = server.settings().issuer.as_str();
    // Access tokens have no authentication time, and answers of the userinfo endpoint no end.
    let is_id_token = claims.contains_key("auth_time") && claims.contains_key("exp");
    let is_ours = is_id_token && claims.get("iss").and_then(Value::as_str) == Some(issuer);
    Ok(is_ours.then_some(claims))
}

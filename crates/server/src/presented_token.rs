//! Tokens that callers send: to be introspected, to be revoked, or to be served.

use jiff::SignedDuration;
use jose::JwsHeader;
use oauth::access_token::Rights;
use oauth::grant::Grant;
use oauth::imported_token::HydraTokenKind;
use oauth::introspect::{GrantState, is_live, is_live_of_grant};
use oauth::jwt_access_token::looks_like_jwt;
use oauth::refresh_token::{self, RefreshToken};
use oauth::{AccessToken, GrantId, HydraToken, TokenId};
use store::KeyRegistry;

use crate::Server;
use crate::error::Failure;

/// A token of ours.
pub(crate) enum Presented {
    /// An opaque access token, or a JWT.
    AccessToken(AccessToken),
    /// A refresh token.
    RefreshToken(RefreshToken),
}

/// Opens a token; `None` for what is no token of ours. Says nothing of expiry or revocation.
///
/// # Errors
/// [`Failure::Store`] where the keys that verify a JWT, or what was taken over, cannot be read.
pub(crate) async fn open(server: &Server, token: &str) -> Result<Option<Presented>, Failure> {
    let ring = server.store().ring();
    if looks_like_jwt(token) {
        let keys = server.store().keys().await?;
        return Ok(open_jwt(server, &keys, token).map(Presented::AccessToken));
    }
    // Without its prefix, a refresh token is told by having no signature beside it.
    if !token.starts_with(refresh_token::PREFIX)
        && token.contains('.')
        && let Ok(token) = AccessToken::open(ring, token)
    {
        return Ok(Some(Presented::AccessToken(token)));
    }
    Ok(open_refresh_token(server, token).await?.map(Presented::RefreshToken))
}

/// Opens a refresh token: one of this server, or one of the Ory Hydra whose database was taken over. No statement for one
/// of this server's own, nor for what has neither form; else one.
///
/// # Errors
/// [`Failure::Store`].
pub(crate) async fn open_refresh_token(
    server: &Server,
    token: &str,
) -> Result<Option<RefreshToken>, Failure> {
    if let Some(token) = RefreshToken::open(server.store().ring(), token) {
        return Ok(Some(token));
    }
    let Some(token) = HydraToken::parse(HydraTokenKind::Refresh, token) else { return Ok(None) };
    let row = server.store().imported_token(&token).await?;
    Ok(row.and_then(|row| token.refresh_token(&row)))
}

/// A JWT counts while its key is published, and says what the key in its `jti` says: that one is sealed.
fn open_jwt(server: &Server, keys: &KeyRegistry, token: &str) -> Option<AccessToken> {
    let kid = JwsHeader::parse(token).ok()?.kid?;
    let claims = keys.verifier(&kid, server.now())?.verify(token).ok()?;
    AccessToken::open_key(server.store().ring(), claims.get("jti")?.as_str()?).ok()
}

/// A live access token, and the grant that it is of, where it is of one; `None` where it is not live. One statement.
///
/// # Errors
/// [`Failure::Store`].
pub(crate) async fn live(server: &Server, token: &AccessToken) -> Result<Option<Option<Grant>>, Failure> {
    if token.is_expired(server.now()) {
        return Ok(None);
    }
    match &token.rights {
        Rights::OfClient { client_id, .. } => {
            let state = server.store().token_state(client_id, token.id).await?;
            Ok(is_live(token, state, server.now()).then_some(None))
        }
        Rights::OfSubject { client_id, subject, .. } => {
            let state =
                server.store().subject_token_state(client_id, token.id, subject, token.issued_at).await?;
            Ok(is_live(token, state, server.now()).then_some(None))
        }
        Rights::OfGrant { id, generation, .. } => {
            Ok(live_grant(server, token, (*id, *generation)).await?.map(Some))
        }
    }
}

/// The grant of an access token that is live; `None` where it is not. One statement.
///
/// # Errors
/// [`Failure::Store`].
pub(crate) async fn live_grant(
    server: &Server,
    token: &AccessToken,
    (id, generation): (GrantId, i64),
) -> Result<Option<Grant>, Failure> {
    let Some((state, grant)) = grant(server, id, token.id).await? else { return Ok(None) };
    let grace = server.settings().flow.rotation_grace;
    let grace = SignedDuration::try_from(grace).unwrap_or(SignedDuration::MAX);
    let is_live = is_live_of_grant(token, generation, Some(state), grace, server.now());
    Ok(grant.filter(|_| is_live))
}

/// The grant of a refresh token that is live; `None` where it is not. One statement.
///
/// # Errors
/// [`Failure::Store`].
pub(crate) async fn live_refresh_token(
    server: &Server,
    token: &RefreshToken,
) -> Result<Option<Grant>, Failure> {
    if token.is_expired(server.now()) {
        return Ok(None);
    }
    let Some((state, grant)) = grant(server, token.grant, TokenId(*token.grant.as_bytes())).await? else {
        return Ok(None);
    };
    let of_this_client = state.incarnation == token.incarnation && state.epoch == token.epoch;
    let is_live = !state.revoked && of_this_client && state.generation == token.generation;
    Ok(grant.filter(|_| is_live))
}

/// What the row of a grant says, and holds. What is sealed counts: columns that say otherwise make it nothing.
async fn grant(
    server: &Server,
    id: GrantId,
    token: TokenId,
) -> Result<Option<(GrantState, Option<Grant>)>, Failure> {
    let Some(row) = server.store().grant_state(id, token).await? else { return Ok(None) };
    let state = GrantState {
        incarnation: row.incarnation,
        epoch: row.epoch,
        generation: row.generation,
        rotated_at: row.rotated_at,
        revoked: row.revoked,
    };
    let grant = Grant::open(server.store().ring(), id, &row.content)
        .filter(|grant| grant.client_id == row.client_id && grant.login.subject == row.subject)
        .filter(|grant| row.session_id == Some(grant.login.session_id));
    Ok(Some((state, grant)))
}

//! Refreshing a grant (RFC 6749 §6).

use std::time::Duration;

use jiff::Timestamp;
use oauth::access_token::MAX_PAYLOAD;
use oauth::grant::Grant;
use oauth::lifespan::own_or;
use oauth::refresh_token::RefreshToken;
use oauth::token_hook::HookSubject;
use oauth::{AccessToken, Audience, Client, Error, ErrorCode, GrantType, Scope, ScopeSet};
use store::{RefreshOutcome, RefreshRotation, RefreshedGrant};

use super::Issued;
use crate::authenticate::authenticate;
use crate::authorization_times::after;
use crate::error::Failure;
use crate::form::FormRequest;
use crate::issue::{AccessTokenIssue, IdTokenIssue};
use crate::lost_answer::repeated_once;
use crate::presented_token::{live_refresh_token, open_refresh_token};
use crate::{Hooks, Server, hooks};

/// One statement, and a read before it where there is a hook, and for a token that was taken over. What the new tokens need
/// is prepared before it: a token that is refused is not used up.
pub(super) async fn issue(server: &Server, request: &FormRequest) -> Result<Issued, Failure> {
    let client = authenticate(server, request).await?;
    client.check_grant(GrantType::RefreshToken)?;
    let settings = server.settings();
    let token = presented(server, request, &client, server.now()).await?;
    let content = changed(server, request, &client, &token).await?;
    let now = server.now();

    let lifespans = &client.metadata.lifespans;
    let lifetimes = settings.lifetimes;
    let access_lifetime = own_or(lifespans.refresh_token_grant_access_token_lifespan, lifetimes.access_token);
    let access =
        AccessTokenIssue::prepare(server, settings.strategy_of(&client), access_lifetime, now).await?;
    let id_lifetime = own_or(lifespans.refresh_token_grant_id_token_lifespan, lifetimes.id_token);
    let asked = asked_scope(request)?;
    let strategy = settings.scope_strategy();
    let may_be_openid =
        client.metadata.scope.iter().any(|registered| strategy.allows(registered.as_str(), "openid"));
    let id = if may_be_openid {
        Some(IdTokenIssue::prepare(server, &client, id_lifetime, now).await?)
    } else {
        None
    };

    let refreshed = rotate(server, &client, (&token, content), access.expires_at, now).await?;
    let (next, grant) = followed(server, &token, &refreshed)?;
    let (scope, audience) = narrowed(server, &client, &grant, asked.as_ref());
    let times = (now, access.expires_at);
    let access_token = AccessToken::of_grant(&grant, refreshed.generation, times, server.store().entropy())
        .narrowed(&grant, (&scope, &audience));
    let access_token = access.issue(server, access_token, Some(&grant)).await?;
    let is_openid = scope.contains("openid");
    let id_token = match id.filter(|_| is_openid) {
        Some(id) => Some(id.issue(server, &grant, (Some(&access_token), None), now).await?),
        None => None,
    };
    Ok(Issued {
        access_token,
        expires_in: times.1.as_second() - now.as_second(),
        id_token,
        refresh_token: Some(next.seal(server.store().ring())),
        scope,
        token_type: "bearer",
    })
}

async fn presented(
    server: &Server,
    request: &FormRequest,
    client: &Client,
    now: Timestamp,
) -> Result<RefreshToken, Failure> {
    let refused = |why| Failure::from(Error::invalid_grant(why));
    let token = open_refresh_token(server, request.form.require("refresh_token")?).await?;
    let token = token.ok_or_else(|| refused("The refresh token is not one of this server."))?;
    if token.incarnation != client.incarnation || token.epoch != client.epoch {
        return Err(refused("The refresh token was not issued to this client, or was revoked."));
    }
    if token.is_expired(now) {
        return Err(refused("The refresh token has expired."));
    }
    Ok(token)
}

/// What was granted with the claims that the hooks want, sealed; `None` where it stays as it is. One statement where there
/// is a hook. A token that is not the current one is no matter of theirs.
async fn changed(
    server: &Server,
    request: &FormRequest,
    client: &Client,
    token: &RefreshToken,
) -> Result<Option<Vec<u8>>, Failure> {
    let (settings, now) = (server.settings(), server.now());
    if settings.hooks == Hooks::default() {
        return Ok(None);
    }
    let Some(mut grant) = live_refresh_token(server, token).await? else { return Ok(None) };
    let own = client.metadata.lifespans.refresh_token_grant_access_token_lifespan;
    let subject = HookSubject {
        issuer: &settings.issuer,
        client_id: &client.id,
        grant_type: GrantType::RefreshToken,
        form: &request.form,
        grant: Some(&grant),
        scope: &grant.scope,
        audience: &grant.audience,
        now,
        access_token_ends: after(now, own_or(own, settings.lifetimes.access_token)),
        refresh_token_ends: token.expires_at(),
        jwt: &settings.jwt,
    };
    let Some(claims) = hooks::refreshed_claims(server, &subject, &grant.claims).await? else {
        return Ok(None);
    };
    grant.claims = claims;
    Ok(Some(grant.seal(server.store().ring(), server.store().entropy())))
}

/// Puts the next token in the place of this one.
async fn rotate(
    server: &Server,
    client: &Client,
    (token, content): (&RefreshToken, Option<Vec<u8>>),
    access_ends: Timestamp,
    now: Timestamp,
) -> Result<RefreshedGrant, Failure> {
    let (store, times) = (server.store(), &server.settings().flow);
    let own = client.metadata.lifespans.refresh_token_grant_refresh_token_lifespan;
    let lifetime: Option<Duration> = own.map(|own| own.0).or(times.refresh_token);
    let expires_at = lifetime.map(|lifetime| after(now, lifetime));
    let nonce = store.entropy().bytes();
    let rotation = RefreshRotation {
        grant_id: token.grant,
        generation: token.generation,
        presented_hash: token.hash(),
        next_hash: token.next(store.ring(), nonce, now, expires_at).hash(),
        nonce,
        expires_at: expires_at.unwrap_or(Timestamp::MAX),
        keep_until: expires_at.unwrap_or(Timestamp::MAX).max(access_ends),
        grace: times.rotation_grace,
        incarnation: token.incarnation,
        epoch: token.epoch,
        content,
    };
    let outcome = repeated_once(|| store.rotate_refresh_token(&rotation)).await;
    match outcome? {
        RefreshOutcome::Rotated(grant) | RefreshOutcome::Repeated(grant) => Ok(grant),
        RefreshOutcome::Reused => Err(Error::invalid_grant(
            "The refresh token was already used. All tokens that came of it are revoked.",
        )
        .into()),
        RefreshOutcome::Refused => Err(Error::invalid_grant("The refresh token was revoked.").into()),
    }
}

/// The token that the row now knows, and what was granted.
fn followed(
    server: &Server,
    token: &RefreshToken,
    refreshed: &RefreshedGrant,
) -> Result<(RefreshToken, Grant), Failure> {
    let ring = server.store().ring();
    let ends = refreshed.refresh_expires_at;
    let expires_at = (ends.as_second() < Timestamp::MAX.as_second()).then_some(ends);
    let next = token.next(ring, refreshed.nonce, refreshed.rotated_at, expires_at);
    let grant = Grant::open(ring, token.grant, &refreshed.content)
        .filter(|grant| grant.client_id == refreshed.client_id && grant.login.subject == refreshed.subject);
    let grant =
        grant.ok_or_else(|| Failure::Defect(format!("the row of the grant {} was changed", token.grant)))?;
    Ok((next, grant))
}

/// The scopes that the request asks for, where it names some.
fn asked_scope(request: &FormRequest) -> Result<Option<ScopeSet>, Error> {
    let invalid = |why: String| Error::new(ErrorCode::InvalidScope, why);
    match request.form.get("scope") {
        Some(text) if text.len() > MAX_PAYLOAD => {
            Err(invalid("The scope is larger than an access token can carry.".to_owned()))
        }
        Some(text) => text.parse().map(Some).map_err(|error| invalid(format!("{error}."))),
        None => Ok(None),
    }
}

/// The scopes and the audience of the new access token: of what was granted, what the client may still have, and of the
/// scopes those that it asks for where it asks for less (RFC 6749 §6).
fn narrowed(
    server: &Server,
    client: &Client,
    grant: &Grant,
    asked: Option<&ScopeSet>,
) -> (ScopeSet, Vec<Audience>) {
    let strategy = server.settings().scope_strategy();
    let is_left = |scope: &&Scope| {
        client.metadata.scope.covers(scope, strategy)
            && asked.is_none_or(|asked| asked.contains(scope.as_str()))
    };
    let scope = grant.scope.iter().filter(is_left).cloned().collect();
    let registered = &client.metadata.audience;
    let may_still = |audience: &&Audience| registered.iter().any(|known| known.allows(audience));
    (scope, grant.audience.iter().filter(may_still).cloned().collect())
}

//! The exchange of an authorization code (RFC 6749 §4.1.3, OpenID Connect Core §3.1.3).

use jiff::Timestamp;
use oauth::authorization_code::{AuthorizationCode, PREFIX};
use oauth::grant::{Grant, SessionClaims};
use oauth::lifespan::own_or;
use oauth::refresh_token::RefreshToken;
use oauth::token_hook::HookSubject;
use oauth::{AccessToken, Client, Error, GrantType};
use store::Redemption;

use super::Issued;
use crate::authenticate::authenticate;
use crate::authorization_times::after;
use crate::error::Failure;
use crate::form::FormRequest;
use crate::grant_row::grant_row;
use crate::issue::{AccessTokenIssue, IdTokenIssue};
use crate::sealed_value::restore;
use crate::{Server, hooks};

/// One statement, after the hook where there is one. Everything that can fail before it does: a code that is refused is not
/// used up.
pub(super) async fn issue(server: &Server, request: &FormRequest) -> Result<Issued, Failure> {
    let client = authenticate(server, request).await?;
    let settings = server.settings();
    let (ring, entropy) = (server.store().ring(), server.store().entropy());
    let mut code = presented(server, request).await?;
    code.check(&client, &request.form, settings.flow.auth_code, server.now())?;
    code.grant.claims = claims(server, request, &client, &code.grant).await?;

    let (grant, now) = (&code.grant, server.now());
    let lifespans = &client.metadata.lifespans;
    let lifetimes = settings.lifetimes;
    let access_lifetime =
        own_or(lifespans.authorization_code_grant_access_token_lifespan, lifetimes.access_token);
    let access =
        AccessTokenIssue::prepare(server, settings.strategy_of(&client), access_lifetime, now).await?;
    let id_lifetime = own_or(lifespans.authorization_code_grant_id_token_lifespan, lifetimes.id_token);
    let id = if grant.is_openid() {
        Some(IdTokenIssue::prepare(server, &client, id_lifetime, now).await?)
    } else {
        None
    };
    let refresh = first_refresh_token(server, &client, &code, now);

    let ends = [access.expires_at, settings.flow.told_until(&client, now)];
    redeem(server, &code, refresh.as_ref(), ends).await?;
    let times = (now, access.expires_at);
    let token = AccessToken::of_grant(grant, 0, None, times, entropy);
    let access_token = access.issue(server, token, Some(grant)).await?;
    let id_token = match id {
        Some(id) => Some(id.issue(server, grant, (Some(&access_token), None), now).await?),
        None => None,
    };
    Ok(Issued {
        access_token,
        expires_in: times.1.as_second() - now.as_second(),
        id_token,
        refresh_token: refresh.map(|refresh| refresh.seal(ring)),
        scope: grant.scope.clone(),
        token_type: "bearer",
    })
}

async fn presented(server: &Server, request: &FormRequest) -> Result<AuthorizationCode, Failure> {
    let text = request.form.require("code")?;
    let sealed = restore(server, text.strip_prefix(PREFIX).unwrap_or(text)).await?;
    let code = AuthorizationCode::open(server.store().ring(), &sealed);
    code.ok_or_else(|| Error::invalid_grant("The code is not one of this server, or has expired.").into())
}

/// The claims of what comes of the code: those that the user granted, with those that the hook adds or changes.
async fn claims(
    server: &Server,
    request: &FormRequest,
    client: &Client,
    grant: &Grant,
) -> Result<SessionClaims, Failure> {
    let (settings, now) = (server.settings(), server.now());
    let own = client.metadata.lifespans.authorization_code_grant_access_token_lifespan;
    let subject = HookSubject {
        issuer: &settings.issuer,
        client_id: &client.id,
        grant_type: GrantType::AuthorizationCode,
        form: &request.form,
        grant: Some(grant),
        scope: &grant.scope,
        audience: &grant.audience,
        now,
        access_token_ends: after(now, own_or(own, settings.lifetimes.access_token)),
        refresh_token_ends: None,
        excludes_not_before: settings.jwt.exclude_not_before,
    };
    let answer = hooks::token_claims(server, &subject, &grant.claims).await?;
    Ok(answer.map_or_else(|| grant.claims.clone(), |answer| hooks::merged(&grant.claims, answer)))
}

/// The first refresh token, where the user granted offline access and the client may refresh.
fn first_refresh_token(
    server: &Server,
    client: &Client,
    code: &AuthorizationCode,
    now: Timestamp,
) -> Option<RefreshToken> {
    let may_refresh = client.metadata.allows_grant(GrantType::RefreshToken);
    if !may_refresh || !code.grant.is_offline() {
        return None;
    }
    let own = client.metadata.lifespans.authorization_code_grant_refresh_token_lifespan;
    let lifetime = own.map(|own| own.0).or(server.settings().flow.refresh_token);
    let expires_at = lifetime.map(|lifetime| after(now, lifetime));
    Some(RefreshToken::first(&code.grant, now, expires_at, server.store().entropy()))
}

/// Uses the code up. A statement whose answer was lost is repeated once: it finds its own work.
async fn redeem(
    server: &Server,
    code: &AuthorizationCode,
    refresh: Option<&RefreshToken>,
    [access_ends, told_until]: [Timestamp; 2],
) -> Result<(), Failure> {
    let store = server.store();
    let code_ends = code.expires_at(server.settings().flow.auth_code);
    let new = grant_row(server, &code.grant, code.id, refresh, [access_ends, told_until, code_ends]);
    let redeemed = match store.redeem_code(&new).await {
        Err(error) if error.is_transient() => store.redeem_code(&new).await,
        done => done,
    };
    match redeemed? {
        Redemption::Redeemed => Ok(()),
        Redemption::Reused => Err(Error::invalid_grant(
            "The authorization code has already been used. All tokens that came of it are revoked.",
        )
        .into()),
        Redemption::Refused => {
            Err(Error::invalid_grant("The authorization code has been revoked, or another one was used.")
                .into())
        }
    }
}

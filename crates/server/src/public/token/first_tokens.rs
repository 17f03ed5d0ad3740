//! The first tokens of what somebody granted: upon a code, or to a device.

use jiff::Timestamp;
use oauth::go_duration::GoDuration;
use oauth::grant::{Grant, SessionClaims};
use oauth::lifespan::own_or;
use oauth::refresh_token::RefreshToken;
use oauth::token_hook::HookSubject;
use oauth::{AccessToken, Client, GrantType};
use store::NewGrant;

use super::Issued;
use crate::authorization_times::after;
use crate::error::Failure;
use crate::form::FormRequest;
use crate::grant_row::grant_row;
use crate::issue::{AccessTokenIssue, IdTokenIssue};
use crate::{Server, hooks};

/// A client's own lifetimes for one grant type.
pub(super) struct OwnLifespans {
    pub(super) access: Option<GoDuration>,
    pub(super) id: Option<GoDuration>,
    pub(super) refresh: Option<GoDuration>,
}

/// The claims of what comes of a grant: those that the user granted, with those that the hook adds or changes. `kind` is
/// the grant type, and the client's own lifetime of its access tokens.
///
/// # Errors
/// [`Failure::HookRefuses`]; [`Failure::Hook`] where it does not answer.
pub(super) async fn claims(
    server: &Server,
    request: &FormRequest,
    client: &Client,
    grant: &Grant,
    (grant_type, own): (GrantType, Option<GoDuration>),
) -> Result<SessionClaims, Failure> {
    let (settings, now) = (server.settings(), server.now());
    let subject = HookSubject {
        issuer: &settings.issuer,
        client_id: &client.id,
        grant_type,
        form: &request.form,
        grant: Some(grant),
        scope: &grant.scope,
        audience: &grant.audience,
        now,
        access_token_ends: after(now, own_or(own, settings.lifetimes.access_token)),
        refresh_token_ends: None,
        jwt: &settings.jwt,
    };
    let answer = hooks::token_claims(server, &subject, &grant.claims).await?;
    Ok(answer.map_or_else(|| grant.claims.clone(), |answer| hooks::merged(&grant.claims, answer)))
}

/// The tokens, with all that may be missing at hand: what is used up between [`Self::prepare`] and [`Self::issue`] is
/// not used up for nothing.
pub(super) struct FirstTokens<'a> {
    grant: &'a Grant,
    access: AccessTokenIssue,
    id: Option<IdTokenIssue>,
    refresh: Option<RefreshToken>,
    now: Timestamp,
    told_until: Timestamp,
}

impl<'a> FirstTokens<'a> {
    /// # Errors
    /// [`Failure::NoSigningKey`], [`Failure::Busy`], [`Failure::Store`].
    pub(super) async fn prepare(
        server: &Server,
        client: &Client,
        grant: &'a Grant,
        own: OwnLifespans,
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let settings = server.settings();
        let lifetime = own_or(own.access, settings.lifetimes.access_token);
        let access = AccessTokenIssue::prepare(server, settings.strategy_of(client), lifetime, now).await?;
        let lifetime = own_or(own.id, settings.lifetimes.id_token);
        let id = if grant.is_openid() {
            Some(IdTokenIssue::prepare(server, client, lifetime, now).await?)
        } else {
            None
        };
        // Where the user granted offline access and the client may refresh.
        let is_refreshed = grant.is_offline() && client.metadata.allows_grant(GrantType::RefreshToken);
        let refresh = is_refreshed.then(|| {
            let lifetime = own.refresh.map(|own| own.0).or(settings.flow.refresh_token);
            let expires_at = lifetime.map(|lifetime| after(now, lifetime));
            RefreshToken::first(grant, now, expires_at, server.store().entropy())
        });
        let told_until = settings.flow.told_until(client, now);
        Ok(Self { grant, access, id, refresh, now, told_until })
    }

    /// The grant's row, which is kept until `others_end` at least: when the last of what else refers to it has ended.
    pub(super) fn row(&self, server: &Server, code_id: [u8; 16], others_end: Timestamp) -> NewGrant {
        let ends = [self.access.expires_at, self.told_until, others_end];
        grant_row(server, self.grant, code_id, self.refresh.as_ref(), ends)
    }

    /// # Errors
    /// [`Failure::Defect`].
    pub(super) async fn issue(self, server: &Server) -> Result<Issued, Failure> {
        let (grant, times) = (self.grant, (self.now, self.access.expires_at));
        let token = AccessToken::of_grant(grant, 0, times, server.store().entropy());
        let access_token = self.access.issue(server, token, Some(grant)).await?;
        let id_token = match self.id {
            Some(id) => Some(id.issue(server, grant, (Some(&access_token), None), self.now).await?),
            None => None,
        };
        Ok(Issued {
            access_token,
            expires_in: times.1.as_second() - times.0.as_second(),
            id_token,
            refresh_token: self.refresh.map(|refresh| refresh.seal(server.store().ring())),
            scope: grant.scope.clone(),
            token_type: "bearer",
        })
    }
}

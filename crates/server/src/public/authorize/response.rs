//! What an authorization response carries (RFC 6749 §4.1.2 and §4.2.2, OpenID Connect Core §3.2.2.5 and §3.3.2.5).
//!
//! ```text
//!  prepare (keys, places to sign) ─▶ record (the grant's row, where there is an access token) ─▶ parameters
//! ```

use jiff::Timestamp;
use oauth::authorization_code::{AuthorizationCode, PREFIX};
use oauth::grant::Grant;
use oauth::lifespan::own_or;
use oauth::{AccessToken, Error, ErrorCode};

use super::{Asked, Stop};
use crate::authorization_times::after;
use crate::grant_row::grant_row;
use crate::issue::{AccessTokenIssue, IdTokenIssue};
use crate::lost_answer::repeated_once;
use crate::sealed_value::shorten;

/// A response that can be given.
pub(super) struct Response {
    /// The code, which carries the grant. Its id names the response too where no code is sent.
    code: AuthorizationCode,
    access: Option<AccessTokenIssue>,
    id: Option<IdTokenIssue>,
    now: Timestamp,
}

impl Response {
    /// Looks for all that the response needs, before anything is written.
    ///
    /// # Errors
    /// `access_denied` where the response would carry an ID token and the user did not grant one; the failures of
    /// signing.
    pub(super) async fn prepare(asked: &Asked<'_>, grant: Grant) -> Result<Self, Stop> {
        let (server, client, request) = (asked.server, &asked.client, &asked.request);
        let (settings, now) = (server.settings(), server.now());
        if request.response_type.id_token && !grant.is_openid() {
            let why = "The scope openid was not granted, without which there is no ID token.";
            return Err(asked.to_client(Error::new(ErrorCode::AccessDenied, why)));
        }
        let (own, lifetimes) = (&client.metadata.lifespans, settings.lifetimes);
        let access = if request.response_type.token {
            let lifetime = own_or(own.implicit_grant_access_token_lifespan, lifetimes.access_token);
            Some(AccessTokenIssue::prepare(server, settings.strategy_of(client), lifetime, now).await?)
        } else {
            None
        };
        let id = if request.response_type.id_token {
            let lifetime = own_or(own.implicit_grant_id_token_lifespan, lifetimes.id_token);
            Some(IdTokenIssue::prepare(server, client, lifetime, now).await?)
        } else {
            None
        };
        let code = AuthorizationCode::new(grant, request, now, server.store().entropy());
        Ok(Self { code, access, id, now })
    }

    pub(super) fn grant(&self) -> &Grant {
        &self.code.grant
    }

    /// Writes the grant of which the response carries a token: an access token refers to it, a client that is told of
    /// logouts is found by it, and no other response comes of the flow, nor one after a revocation.
    ///
    /// # Errors
    /// `access_denied` where the flow had such a response before, or what was granted has been revoked.
    pub(super) async fn record(&self, asked: &Asked<'_>) -> Result<(), Stop> {
        if self.access.is_none() && self.id.is_none() {
            return Ok(());
        }
        let (server, store) = (asked.server, asked.server.store());
        let times = &server.settings().flow;
        let access_ends = self.access.as_ref().map_or(self.now, |access| access.expires_at);
        let ends =
            [access_ends, self.code.expires_at(times.auth_code), times.told_until(&asked.client, self.now)];
        let row = grant_row(server, self.grant(), self.code.id, None, ends);
        if repeated_once(|| store.issue_grant(&row)).await? {
            return Ok(());
        }
        let why = "The consent has already been used, or what it granted was revoked in the meantime.";
        Err(asked.to_client(Error::new(ErrorCode::AccessDenied, why)))
    }

    /// The members of the response, as Hydra has them: the scope goes with an access token, or with a code alone.
    pub(super) async fn parameters(self, asked: &Asked<'_>) -> Result<Vec<(&'static str, String)>, Stop> {
        let Self { code, access, id, now } = self;
        let (server, store) = (asked.server, asked.server.store());
        let mut parameters = Vec::new();
        if access.is_some() || id.is_none() {
            parameters.push(("scope", code.grant.scope.to_string()));
        }
        let code_text = if asked.request.response_type.code {
            let ends = after(now, server.settings().flow.auth_code);
            let sealed = shorten(server, code.seal(store.ring(), store.entropy()), ends).await?;
            Some(format!("{PREFIX}{sealed}"))
        } else {
            None
        };
        let access_token = match access {
            Some(access) => {
                let times = (now, access.expires_at);
                let lifetime = times.1.as_second() - now.as_second();
                parameters.push(("expires_in", lifetime.to_string()));
                parameters.push(("token_type", "bearer".to_owned()));
                let token = AccessToken::of_grant(&code.grant, 0, times, store.entropy());
                Some(access.issue(server, token, Some(&code.grant)).await?)
            }
            None => None,
        };
        if let Some(id) = id {
            let beside = (access_token.as_deref(), code_text.as_deref());
            parameters.push(("id_token", id.issue(server, &code.grant, beside, now).await?));
        }
        parameters.extend(code_text.map(|code| ("code", code)));
        parameters.extend(access_token.map(|token| ("access_token", token)));
        Ok(parameters)
    }
}

//! How long flows and what comes of them may take (`ttl`).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use oauth::{Client, GrantId};

/// How long flows and what comes of them may take.
#[derive(Debug, Clone, Copy)]
pub struct AuthorizationTimes {
    /// `ttl.login_consent_request`: from the authorization request to the consent.
    pub login_consent_request: Duration,
    /// `ttl.auth_code`.
    pub auth_code: Duration,
    /// `ttl.authentication_session`: the longest that a login is remembered.
    pub authentication_session: Duration,
    /// `ttl.refresh_token`; `None` means until it is revoked.
    pub refresh_token: Option<Duration>,
    /// `oauth2.grant.refresh_token.rotation_grace_period`: how long what a refresh replaced still works.
    pub rotation_grace: Duration,
}

impl AuthorizationTimes {
    /// When a flow has taken too long.
    pub(crate) fn ends(&self, flow: GrantId) -> Timestamp {
        after(flow.started_at(), self.login_consent_request)
    }

    /// Until when a login may last in which a client gets something now, and hence the grant must be there that names the
    /// client; `now` for one that is not told of logouts.
    pub(crate) fn told_until(&self, client: &Client, now: Timestamp) -> Timestamp {
        if client.metadata.is_told_of_logouts() { after(now, self.authentication_session) } else { now }
    }
}

/// An instant so much later.
pub(crate) fn after(now: Timestamp, lifetime: Duration) -> Timestamp {
    let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
    now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

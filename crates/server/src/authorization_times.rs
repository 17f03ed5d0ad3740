//! How long flows and what comes of them may take (`ttl`).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use oauth::flow::FlowKind;
use oauth::{Client, GrantId};

/// How long flows and what comes of them may take.
#[derive(Debug, Clone, Copy)]
pub struct AuthorizationTimes {
    /// `ttl.login_consent_request`: from the authorization request to the consent.
    pub login_consent_request: Duration,
    /// `ttl.device_user_code`: from a device's request to the consent, and to its tokens.
    pub device_user_code: Duration,
    /// `oauth2.device_authorization.token_polling_interval`: how often a device may ask for its tokens.
    pub device_polling_interval: Duration,
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
    /// How long a flow may take.
    pub(crate) fn of(&self, kind: FlowKind) -> Duration {
        match kind {
            FlowKind::Authorization => self.login_consent_request,
            FlowKind::Device => self.device_user_code,
        }
    }

    /// When a flow has taken too long.
    pub(crate) fn ends(&self, kind: FlowKind, flow: GrantId) -> Timestamp {
        after(flow.started_at(), self.of(kind))
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

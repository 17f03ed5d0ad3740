//! How long tokens live: the server's lifetimes, and a client's own where it has them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::go_duration::GoDuration;

/// The longest lifetime that a client may have of its own: keys stay published for as long as what they signed, so one
/// client's wish would keep everybody's keys for ever.
pub const LONGEST_LIFESPAN: Duration = Duration::from_hours(24 * 366);

/// The lifetime of an access or ID token: the client's own where it has one, within [`LONGEST_LIFESPAN`], else the server's.
pub fn own_or(own: Option<GoDuration>, of_server: Duration) -> Duration {
    own.map_or(of_server, |own| own.0.min(LONGEST_LIFESPAN))
}

/// The server's token lifetimes (Hydra's `ttl.*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// `ttl.access_token`.
    pub access_token: Duration,
    /// `ttl.id_token`.
    pub id_token: Duration,
}

/// A client's own lifetimes, one for each grant type and token, under Hydra's names; `None` means the server's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "each field is named for its grant and its token")]
#[serde(default)]
pub struct Lifespans {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_code_grant_access_token_lifespan: Option<GoDuration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_code_grant_id_token_lifespan: Option<GoDuration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_code_grant_refresh_token_lifespan: Option<GoDuration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_credentials_grant_access_token_lifespan: Option<GoDuration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_authorization_grant_access_token_lifespan: Option<GoDuration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_authorization_grant_id_token_lifespan: Option<GoDuration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_authorization_grant_refresh_token_lifespan: Option<GoDuration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub implicit_grant_access_token_lifespan: Option<GoDuration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub implicit_grant_id_token_lifespan: Option<GoDuration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt_bearer_grant_access_token_lifespan: Option<GoDuration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token_grant_access_token_lifespan: Option<GoDuration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token_grant_id_token_lifespan: Option<GoDuration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token_grant_refresh_token_lifespan: Option<GoDuration>,
}

impl Lifespans {
    /// True where an access or ID token would live for longer than `limit`.
    pub fn has_longer_than(&self, limit: Duration) -> bool {
        self.access_tokens().into_iter().chain(self.id_tokens()).flatten().any(|lifespan| lifespan.0 > limit)
    }

    /// Each lifetime under its name on the wire.
    pub(crate) fn members_mut(&mut self) -> [(&'static str, &mut Option<GoDuration>); 13] {
        [
            (
                "authorization_code_grant_access_token_lifespan",
                &mut self.authorization_code_grant_access_token_lifespan,
            ),
            (
                "authorization_code_grant_id_token_lifespan",
                &mut self.authorization_code_grant_id_token_lifespan,
            ),
            (
                "authorization_code_grant_refresh_token_lifespan",
                &mut self.authorization_code_grant_refresh_token_lifespan,
            ),
            (
                "client_credentials_grant_access_token_lifespan",
                &mut self.client_credentials_grant_access_token_lifespan,
            ),
            ("implicit_grant_access_token_lifespan", &mut self.implicit_grant_access_token_lifespan),
            ("implicit_grant_id_token_lifespan", &mut self.implicit_grant_id_token_lifespan),
            ("jwt_bearer_grant_access_token_lifespan", &mut self.jwt_bearer_grant_access_token_lifespan),
            ("refresh_token_grant_id_token_lifespan", &mut self.refresh_token_grant_id_token_lifespan),
            (
                "refresh_token_grant_access_token_lifespan",
                &mut self.refresh_token_grant_access_token_lifespan,
            ),
            (
                "refresh_token_grant_refresh_token_lifespan",
                &mut self.refresh_token_grant_refresh_token_lifespan,
            ),
            (
                "device_authorization_grant_id_token_lifespan",
                &mut self.device_authorization_grant_id_token_lifespan,
            ),
            (
                "device_authorization_grant_access_token_lifespan",
                &mut self.device_authorization_grant_access_token_lifespan,
            ),
            (
                "device_authorization_grant_refresh_token_lifespan",
                &mut self.device_authorization_grant_refresh_token_lifespan,
            ),
        ]
    }

    /// The longest access token that this client can get, where it has lifetimes of its own.
    pub fn longest_access_token(&self) -> Option<Duration> {
        longest(self.access_tokens())
    }

    /// The longest ID token that this client can get, where it has lifetimes of its own.
    pub fn longest_id_token(&self) -> Option<Duration> {
        longest(self.id_tokens())
    }

    fn access_tokens(&self) -> [Option<GoDuration>; 6] {
        [
            self.authorization_code_grant_access_token_lifespan,
            self.client_credentials_grant_access_token_lifespan,
            self.device_authorization_grant_access_token_lifespan,
            self.implicit_grant_access_token_lifespan,
            self.jwt_bearer_grant_access_token_lifespan,
            self.refresh_token_grant_access_token_lifespan,
        ]
    }

    fn id_tokens(&self) -> [Option<GoDuration>; 4] {
        [
            self.authorization_code_grant_id_token_lifespan,
            self.device_authorization_grant_id_token_lifespan,
            self.implicit_grant_id_token_lifespan,
            self.refresh_token_grant_id_token_lifespan,
        ]
    }
}

fn longest<const N: usize>(lifespans: [Option<GoDuration>; N]) -> Option<Duration> {
    lifespans.into_iter().flatten().map(|lifespan| lifespan.0.min(LONGEST_LIFESPAN)).max()
}

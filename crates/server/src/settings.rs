//! What the configuration says of the server.

use oauth::client_credentials::Policy;
use oauth::discovery::DiscoveryPolicy;
use oauth::jwt_access_token::ClaimsPolicy;
use oauth::{AccessTokenStrategy, Client, Issuer, ScopeStrategy, authorization_request};

use crate::authorization_times::AuthorizationTimes;
use crate::cookies::CookieSettings;
use crate::page_urls::PageUrls;

/// What the configuration says of the server. Hydra's key is named where there is one.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `urls.self.issuer`.
    pub issuer: Issuer,
    /// `urls.self.public`: the base of the endpoints' URLs.
    pub public_url: Issuer,
    /// The client credentials grant, with the server's token lifetimes.
    pub client_credentials: Policy,
    /// Authorization requests.
    pub authorization: authorization_request::Policy,
    /// How long flows and what comes of them may take.
    pub flow: AuthorizationTimes,
    /// Where people are sent.
    pub pages: PageUrls,
    /// The cookies.
    pub cookies: CookieSettings,
    /// The claims of JWT access tokens.
    pub jwt: ClaimsPolicy,
    /// `webfinger.oidc_discovery`.
    pub discovery: DiscoveryPolicy,
    /// `webfinger.jwks.broadcast_keys`: key sets that are published beside the token sets and the declared ones.
    pub broadcast_keys: Vec<String>,
    /// `oauth2.expose_internal_errors`: callers learn why the server failed.
    pub expose_internal_errors: bool,
    /// What `/admin/version` answers.
    pub version: String,
    /// `serve.public.request_log.disable_for_health`.
    pub quiet_public_health: bool,
    /// `serve.admin.request_log.disable_for_health`.
    pub quiet_admin_health: bool,
}

impl Settings {
    /// The kind of access token that a client gets.
    pub(crate) fn strategy_of(&self, client: &Client) -> AccessTokenStrategy {
        client.metadata.access_token_strategy.unwrap_or(self.client_credentials.strategy)
    }

    /// How scopes are compared, at the token endpoint and at introspection alike.
    pub(crate) fn scope_strategy(&self) -> ScopeStrategy {
        self.client_credentials.scope_strategy
    }
}

//! What the configuration says of the server.

use oauth::client_credentials::Policy;
use oauth::discovery::DiscoveryPolicy;
use oauth::jwt_access_token::ClaimsPolicy;
use oauth::{Issuer, ScopeStrategy};

/// What the configuration says of the server. Hydra's key is named where there is one.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `urls.self.issuer`.
    pub issuer: Issuer,
    /// `urls.self.public`: the base of the endpoints' URLs.
    pub public_url: Issuer,
    /// The client credentials grant, with the server's token lifetimes.
    pub client_credentials: Policy,
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
    /// How scopes are compared, at the token endpoint and at introspection alike.
    pub(crate) fn scope_strategy(&self) -> ScopeStrategy {
        self.client_credentials.scope_strategy
    }
}

#[cfg(test)]
impl Settings {
    /// Settings for tests within this crate.
    pub(crate) fn of_a_test() -> Self {
        use std::time::Duration;

        let issuer = Issuer::parse("https://id.example.com").unwrap();
        let hour = Duration::from_hours(1);
        Self {
            issuer: issuer.clone(),
            public_url: issuer,
            client_credentials: Policy {
                scope_strategy: ScopeStrategy::Exact,
                default_to_registered_scope: false,
                strategy: oauth::AccessTokenStrategy::Opaque,
                lifetimes: oauth::Lifetimes { access_token: hour, id_token: hour },
            },
            jwt: ClaimsPolicy::default(),
            discovery: DiscoveryPolicy::default(),
            broadcast_keys: Vec::new(),
            expose_internal_errors: false,
            version: String::new(),
            quiet_public_health: false,
            quiet_admin_health: false,
        }
    }
}

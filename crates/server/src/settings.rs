//! What the configuration says of the server.

use ipnet::IpNet;
use oauth::client_credentials::Policy;
use oauth::discovery::DiscoveryPolicy;
use oauth::jwt_access_token::ClaimsPolicy;
use oauth::{
    AccessTokenStrategy, Client, Issuer, Lifetimes, ScopeSet, ScopeStrategy, SubjectTypes, UserCodeFormat,
    authorization_request, jwt_bearer,
};

use crate::DemonstrationUsers;
use crate::authorization_times::AuthorizationTimes;
use crate::cookies::CookieSettings;
use crate::cors::Cors;
use crate::hooks::Hooks;
use crate::identity_provider::IdentityProvider;
use crate::outbound::OutboundPolicy;
use crate::page_urls::PageUrls;

/// What the configuration says of the server. Hydra's key is named where there is one.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `urls.self.issuer`.
    pub issuer: Issuer,
    /// `urls.self.public`: the base of the endpoints' URLs.
    pub public_url: Issuer,
    /// `ttl.access_token`, `ttl.id_token`.
    pub lifetimes: Lifetimes,
    /// `strategies.access_token`: the kind of access token for clients without one of their own.
    pub access_token_strategy: AccessTokenStrategy,
    /// The client credentials grant.
    pub client_credentials: Policy,
    /// `oauth2.grant.jwt`: the JWT bearer grant.
    pub jwt_bearer: jwt_bearer::Policy,
    /// Authorization requests.
    pub authorization: authorization_request::Policy,
    /// How long flows and what comes of them may take.
    pub flow: AuthorizationTimes,
    /// `oauth2.device_authorization.user_code`: the user codes.
    pub user_codes: UserCodeFormat,
    /// Where people are sent.
    pub pages: PageUrls,
    /// Who can log in on the built-in pages, which take the place of those that `pages` does not name. `None`, as in
    /// production, means that pages in their place say what to configure.
    pub demonstration: Option<DemonstrationUsers>,
    /// The cookies.
    pub cookies: CookieSettings,
    /// The claims of JWT access tokens.
    pub jwt: ClaimsPolicy,
    /// `webfinger.oidc_discovery`.
    pub discovery: DiscoveryPolicy,
    /// `webfinger.jwks.broadcast_keys`: key sets that are published beside the token sets and the declared ones.
    pub broadcast_keys: Vec<String>,
    /// `oidc.subject_identifiers`.
    pub subject_types: SubjectTypes,
    /// `oidc.dynamic_client_registration.enabled`: clients may register themselves.
    pub dynamic_client_registration: bool,
    /// `oidc.dynamic_client_registration.default_scope`: the scope of a client that is registered without one.
    pub default_client_scope: ScopeSet,
    /// `clients.http`: requests that the server makes itself.
    pub outbound: OutboundPolicy,
    /// `urls.identity_provider`: where sessions end that logins were made in.
    pub identity_provider: Option<IdentityProvider>,
    /// `oauth2.token_hook`, `oauth2.refresh_token_hook`.
    pub hooks: Hooks,
    /// `oauth2.expose_internal_errors`: callers learn why the server failed.
    pub expose_internal_errors: bool,
    /// What `/admin/version` answers.
    pub version: String,
    /// `serve.public`.
    pub public: ApiSettings,
    /// `serve.admin`.
    pub admin: ApiSettings,
}

/// How one of the two APIs is served.
#[derive(Debug, Clone, Default)]
pub struct ApiSettings {
    /// `request_log.disable_for_health`: health checks are not logged.
    pub quiet_health: bool,
    /// `tls.allow_termination_from`: the networks of the proxies that end TLS. Requests must come from there and have
    /// come to the proxy by https. Empty where no such proxy is in front.
    pub proxies: Vec<IpNet>,
    /// The same networks, whoever ends TLS: what a proxy in one of them says in `X-Forwarded-For` is believed.
    pub forwarders: Vec<IpNet>,
    /// `cors`: which other sites' pages may use this API; `None` for none.
    pub cors: Option<Cors>,
}

impl Settings {
    /// The kind of access token that a client gets.
    pub(crate) fn strategy_of(&self, client: &Client) -> AccessTokenStrategy {
        client.metadata.access_token_strategy.unwrap_or(self.access_token_strategy)
    }

    /// The names of this server in what clients sign for it (RFC 7523 §3): its issuer, and the token endpoint's URLs.
    pub(crate) fn audiences(&self) -> Vec<String> {
        let endpoint = |base: &Issuer| base.join(crate::router::TOKEN);
        let mut names = vec![self.issuer.as_str().to_owned()];
        names.extend(self.discovery.token_url.clone());
        names.extend([endpoint(&self.public_url), endpoint(&self.issuer)]);
        names
    }

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
            lifetimes: Lifetimes { access_token: hour, id_token: hour },
            access_token_strategy: AccessTokenStrategy::Opaque,
            client_credentials: Policy {
                scope_strategy: ScopeStrategy::Exact,
                default_to_registered_scope: false,
            },
            jwt_bearer: jwt_bearer::Policy {
                max_ttl: hour,
                jti_optional: false,
                iat_optional: false,
                omit_assertion_audience: true,
            },
            authorization: authorization_request::Policy::default(),
            flow: AuthorizationTimes {
                login_consent_request: hour,
                device_user_code: hour,
                device_polling_interval: Duration::from_secs(5),
                auth_code: hour,
                authentication_session: hour,
                refresh_token: Some(hour),
                rotation_grace: Duration::ZERO,
            },
            user_codes: UserCodeFormat::default(),
            pages: PageUrls::default(),
            demonstration: None,
            cookies: CookieSettings {
                session: "session".to_owned(),
                session_path: "/".to_owned(),
                login_csrf: "login".to_owned(),
                consent_csrf: "consent".to_owned(),
                device_csrf: "device".to_owned(),
                domain: None,
                same_site: cookie::SameSite::Lax,
                secure: true,
            },
            jwt: ClaimsPolicy::default(),
            discovery: DiscoveryPolicy::default(),
            broadcast_keys: Vec::new(),
            subject_types: SubjectTypes::default(),
            dynamic_client_registration: false,
            default_client_scope: ScopeSet::default(),
            outbound: OutboundPolicy::default(),
            identity_provider: None,
            hooks: Hooks::default(),
            expose_internal_errors: false,
            version: String::new(),
            public: ApiSettings::default(),
            admin: ApiSettings::default(),
        }
    }
}

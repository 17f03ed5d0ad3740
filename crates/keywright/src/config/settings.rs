//! The configuration in types. Its structs follow the keys: `serve.public.port` is `config.serve.public.port`.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderValue;
use jose::{SigningAlgorithm, SystemSecret};
use oauth::jwt_access_token::{AddedClaims, ScopeClaim};
use oauth::subject_identifier::PairwiseSalt;
use oauth::{AccessTokenStrategy, Issuer, ScopeSet, ScopeStrategy, SubjectType, UserCodeFormat, jwt_bearer};
use serde::Deserialize;
use server::{Hooks, IdentityProvider};
use url::Url;

use super::cors::Cors;
use super::dsn::{Dsn, PostgresDsn};
use super::tls::Tls;

/// What the process runs with.
#[derive(Debug)]
pub struct Config {
    /// `dsn`: the database.
    pub dsn: Dsn,
    /// `db.listen_dsn`: a way to the same PostgreSQL past any pooler, `dsn` where it is not set; `None` where the
    /// database is SQLite.
    pub listen_dsn: Option<PostgresDsn>,
    /// `db.replica_dsn`: a replica of the PostgreSQL, for lists.
    pub replica_dsn: Option<PostgresDsn>,
    /// `dev`: development mode.
    pub dev: bool,
    /// `log`.
    pub log: Log,
    /// `serve`.
    pub serve: Serve,
    /// `urls`.
    pub urls: Urls,
    /// `clients`.
    pub clients: Clients,
    /// `secrets`.
    pub secrets: Secrets,
    /// `keys`.
    pub keys: Keys,
    /// `ttl`.
    pub ttl: Ttl,
    /// `strategies`.
    pub strategies: Strategies,
    /// `oauth2`.
    pub oauth2: OAuth2,
    /// `oidc`.
    pub oidc: Oidc,
    /// `webfinger`.
    pub webfinger: Webfinger,
    /// `tracing`.
    pub tracing: Tracing,
    /// `feature_flags.legacy_allow_insecure_origins`: wildcards in origins may allow other people's domains.
    pub insecure_origins: bool,
}

/// `log`: the log.
#[derive(Debug, Clone, Copy)]
pub struct Log {
    /// The least important messages that are logged; Hydra's `panic` and `fatal` are `ERROR`.
    pub level: tracing::Level,
    /// The form; where it is not set the command decides.
    pub format: Option<LogFormat>,
}

/// The log's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object on each line.
    Json,
    /// JSON over several lines.
    JsonPretty,
}

/// `serve`: where the process listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serve {
    /// The public API.
    pub public: Listener,
    /// The admin API.
    pub admin: Listener,
    /// The operator's health and metrics.
    pub operator: Listener,
    /// For the APIs that have none of their own.
    pub tls: Tls,
    /// The cookies.
    pub cookies: Cookies,
}

/// `serve.cookies`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cookies {
    /// `same_site_mode`.
    pub same_site: SameSite,
    /// The domain that they are sent to.
    pub domain: Option<String>,
    /// Whether they travel only encrypted in development mode; else they always do.
    pub secure: bool,
    /// `names.login_csrf`.
    pub login_csrf: CookieName,
    /// `names.consent_csrf`.
    pub consent_csrf: CookieName,
    /// `names.device_csrf`.
    pub device_csrf: CookieName,
    /// `names.session`.
    pub session: CookieName,
    /// `paths.session`.
    pub session_path: String,
}

/// The name of a cookie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CookieName {
    /// The name.
    pub name: String,
    /// True where the configuration says so; else it is the default.
    pub is_chosen: bool,
}

/// Whether cookies come with requests from other sites.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum SameSite {
    /// Never.
    Strict,
    /// When the browser goes to this site.
    Lax,
    /// Always.
    None,
}

/// One address to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where it listens.
    pub host: Host,
    /// The TCP port; a unix socket has none.
    pub port: u16,
    /// `socket`: whose its unix socket is.
    pub socket: SocketOwner,
    /// `request_log.disable_for_health`: health checks are not logged.
    pub quiet_health: bool,
    /// `tls`; the operator's listener has none.
    pub tls: Tls,
    /// `cors`; the operator's listener has none.
    pub cors: Option<Cors>,
}

/// Where a listener is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// An IP address (IPv6 without brackets) or a host name.
    Name(String),
    /// The absolute path of a unix socket.
    Socket(PathBuf),
}

/// Whose a unix socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketOwner {
    /// `owner`: a user, by name or number; `None` for the process's own.
    pub owner: Option<String>,
    /// `group`: a group, by name or number; `None` for the process's own.
    pub group: Option<String>,
    /// `mode`: its permissions.
    pub mode: u32,
}

/// `host:port`, an IPv6 address in brackets; `unix:/path`.
impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Name(host) if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            Host::Name(host) => write!(f, "{host}:{}", self.port),
            Host::Socket(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// `tracing`: where traces go.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracing {
    /// `provider`.
    pub provider: Option<TraceProvider>,
    /// The service's name.
    pub service_name: Option<String>,
    /// The environment's name.
    pub deployment_environment: Option<String>,
    /// `providers.otlp.server_url` and `insecure`: where the collector takes traces.
    pub collector: Option<Url>,
    /// `providers.otlp.authorization_header`: what the collector knows the server by; it is not shown.
    pub authorization: Option<HeaderValue>,
    /// `providers.otlp.sampling.sampling_ratio`: the share of traces that is kept, from 0 to 1.
    pub sampling_ratio: Option<f64>,
}

/// `tracing.provider`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceProvider {
    /// `otel`: OTLP over HTTP.
    Otel,
    /// One that is not served.
    Other,
}

/// `urls`: the server's own URLs, and the pages that people are sent to.
#[derive(Debug, Clone)]
pub struct Urls {
    /// The issuer, exactly as it was written.
    pub issuer: Issuer,
    /// Base of the public URLs; the issuer where it is not set.
    pub public: Issuer,
    /// Base of the admin API's URLs.
    pub admin: Option<Url>,
    /// The login page; `None` means the one that says what to configure.
    pub login: Option<Url>,
    /// The registration page.
    pub registration: Option<Url>,
    /// The consent page.
    pub consent: Option<Url>,
    /// `device.verification`: the page for user codes.
    pub device_verification: Option<Url>,
    /// `device.success`: the page after it.
    pub device_success: Option<Url>,
    /// The error page.
    pub error: Option<Url>,
    /// The logout page.
    pub logout: Option<Url>,
    /// Where a logout ends.
    pub post_logout_redirect: Option<Url>,
    /// `identity_provider`: where sessions end that logins were made in.
    pub identity_provider: Option<IdentityProvider>,
}

/// `clients.http`: requests that the server makes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients {
    /// `disallow_private_ip_ranges`: none goes into private networks.
    pub public_addresses_only: bool,
    /// `private_ip_exception_urls`: URLs that may lead there all the same.
    pub private_exceptions: Vec<Url>,
}

/// `secrets`.
#[derive(Debug)]
pub struct Secrets {
    /// `secrets.system`: the first is current, the others still open what they sealed. May be empty until
    /// [`Config::ensure_system_secret`] has succeeded.
    pub system: Vec<SystemSecret>,
    /// The file that holds or shall hold a system secret made by the process; `None` where it must not make one.
    pub(super) own_file: Option<PathBuf>,
}

/// `keys`: our key sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keys {
    /// What the keys of a token set sign with that no resource declares.
    pub algorithm: SigningAlgorithm,
    /// Whether the server makes a missing token key set when it starts.
    pub autocreate: bool,
}

/// `ttl`: how long tokens live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttl {
    /// Access tokens.
    pub access_token: Duration,
    /// ID tokens.
    pub id_token: Duration,
    /// Refresh tokens.
    pub refresh_token: RefreshTokenLifetime,
    /// Authorization codes.
    pub auth_code: Duration,
    /// From the authorization request to the consent.
    pub login_consent_request: Duration,
    /// Login sessions.
    pub authentication_session: Duration,
    /// Device and user codes.
    pub device_user_code: Duration,
}

/// How long refresh tokens live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshTokenLifetime {
    /// For this time.
    Limited(Duration),
    /// Until they are revoked; Hydra's `-1`.
    Unlimited,
}

/// `strategies`.
#[derive(Debug, Clone, Copy)]
pub struct Strategies {
    /// How a client's scopes are compared with the requested ones.
    pub scope: ScopeStrategy,
    /// Form of access tokens.
    pub access_token: AccessTokenStrategy,
    /// JWT access tokens.
    pub jwt: JwtStrategy,
}

/// `strategies.jwt`: JWT access tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JwtStrategy {
    /// The scope's claim.
    pub scope_claim: ScopeClaim,
}

/// `oauth2`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one setting")]
pub struct OAuth2 {
    /// Errors tell callers the inner cause.
    pub expose_internal_errors: bool,
    /// JWT access tokens have no `nbf`.
    pub exclude_not_before_claim: bool,
    /// `allowed_top_level_claims`, `mirror_top_level_claims`, `preserve_ext_claims`: where in JWT access tokens that goes
    /// which apps add.
    pub added_claims: AddedClaims,
    /// `client_credentials.default_grant_allowed_scope`: a request without scope gets all scopes of the client.
    pub default_grant_allowed_scope: bool,
    /// `pkce.enforced`: every client must use PKCE.
    pub pkce_enforced: bool,
    /// `pkce.enforced_for_public_clients`: public clients must.
    pub pkce_enforced_for_public_clients: bool,
    /// `grant.refresh_token.rotation_grace_period`: how long the previous refresh token still works.
    pub rotation_grace_period: Duration,
    /// `grant.jwt`: the assertions of the JWT bearer grant.
    pub jwt_bearer: jwt_bearer::Policy,
    /// `token_hook`, `refresh_token_hook`.
    pub hooks: Hooks,
    /// `device_authorization.token_polling_interval`: how often a device may ask for its tokens; whole seconds.
    pub device_polling_interval: Duration,
    /// `device_authorization.user_code`.
    pub user_codes: UserCodeFormat,
}

/// `oidc`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oidc {
    /// `subject_identifiers.supported_types`.
    pub subject_types: Vec<SubjectType>,
    /// `subject_identifiers.pairwise.salt`; there where `subject_types` has `pairwise`.
    pub pairwise_salt: Option<PairwiseSalt>,
    /// `dynamic_client_registration.enabled`: clients may register themselves.
    pub dynamic_client_registration: bool,
    /// `dynamic_client_registration.default_scope`: the scope of a client that is registered without one.
    pub default_client_scope: ScopeSet,
}

/// `webfinger`: what is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webfinger {
    /// `jwks.broadcast_keys`: key sets in `jwks.json` beside the token sets and the declared ones.
    pub broadcast_keys: Vec<String>,
    /// `oidc_discovery`.
    pub discovery: Discovery,
}

/// `webfinger.oidc_discovery`: what the discovery document says in place of and beside the server's own values. URLs
/// are as they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// `jwks_uri`.
    pub jwks_url: Option<String>,
    /// `token_endpoint`.
    pub token_url: Option<String>,
    /// `authorization_endpoint`.
    pub auth_url: Option<String>,
    /// `device_authorization_endpoint`.
    pub device_authorization_url: Option<String>,
    /// `userinfo_endpoint`.
    pub userinfo_url: Option<String>,
    /// `registration_endpoint`.
    pub client_registration_url: Option<String>,
    /// Further `claims_supported`.
    pub supported_claims: Vec<String>,
    /// Further `scopes_supported`.
    pub supported_scope: Vec<String>,
}

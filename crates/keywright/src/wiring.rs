//! From the configuration to what the crates take.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use jose::Entropy;
use oauth::client_credentials::Policy;
use oauth::discovery::DiscoveryPolicy;
use oauth::jwt_access_token::ClaimsPolicy;
use oauth::{Issuer, Lifetimes, SubjectType, SubjectTypes, authorization_request};
use serde_json::{Map, Value};
use server::{ApiSettings, AuthorizationTimes, CookieSettings, Cors, Endpoint, PageUrls, Tls, UnixSocket};
use store::{Clock, Connections, Options, Store};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::certificate::Certificate;
use crate::cli::ConfigArgs;
use crate::config::{
    self, Config, CookieName, Dsn, Host, Listener, Loaded, Notice, PostgresDsn, RefreshTokenLifetime, Sources,
};
use crate::socket_owner;

/// How many connections a process opens to a database whose DSN does not say.
const MAX_CONNECTIONS: u32 = 16;

/// The longest pause between two attempts to reach the database at the start.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A database's options, and the folder that is removed with a database that lives only as long as the process.
pub struct Database {
    /// The options.
    pub options: Options,
    _temporary: Option<TempDir>,
}

/// Reads the configuration. `flags` are what a command sets, in the form of a file.
///
/// # Errors
/// All problems of the configuration, one on each line.
pub fn configuration(
    args: &ConfigArgs,
    mut flags: Map<String, Value>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded> {
    if args.dev {
        flags.insert("dev".to_owned(), true.into());
    }
    let sources = Sources { files: args.files.clone(), flags: Value::Object(flags), environment };
    config::load(sources).context("the configuration is not valid")
}

/// Makes sure of a system secret, and writes all notices to the log.
///
/// # Errors
/// Where there is no secret and none may be made.
pub fn prepare(loaded: &mut Loaded, entropy: &Entropy) -> Result<()> {
    loaded.warnings.iter().for_each(warn);
    loaded.config.ensure_system_secret(entropy)?.iter().for_each(warn);
    Ok(())
}

/// Writes a notice to the log.
pub fn warn(notice: &Notice) {
    tracing::warn!("{notice}");
}

/// The options of the database that a configuration names.
///
/// # Errors
/// Where a database in memory gets no folder.
pub fn database(config: &mut Config) -> Result<Database> {
    let mut temporary = None;
    let connections = match &config.dsn {
        Dsn::Postgres(dsn) => connections(dsn),
        Dsn::Sqlite(path) => sqlite(path),
        Dsn::Memory => {
            let folder = TempDir::new().context("a folder for the database in memory")?;
            let database = folder.path().join("keywright.db");
            temporary = Some(folder);
            sqlite(&database)
        }
    };
    let listen_url = config.listen_dsn.as_ref().map_or(connections.url.as_str(), PostgresDsn::url).to_owned();
    let options = Options {
        database: connections,
        listen_url: Some(listen_url),
        secrets: Arc::from(std::mem::take(&mut config.secrets.system)),
        lifetimes: lifetimes(config),
        token_algorithm: config.keys.algorithm,
        tracer: None,
        replica: None,
    };
    Ok(Database { options, _temporary: temporary })
}

/// The copy of the database from which a server reads lists, where the configuration names one.
pub fn replica(config: &Config) -> Option<Connections> {
    config.replica_dsn.as_ref().map(connections)
}

fn connections(dsn: &PostgresDsn) -> Connections {
    let pool = dsn.pool();
    Connections {
        url: dsn.url().to_owned(),
        max_connections: pool.max_connections.unwrap_or(MAX_CONNECTIONS),
        max_lifetime: pool.max_lifetime,
        idle_timeout: pool.idle_timeout,
    }
}

fn sqlite(path: &std::path::Path) -> Connections {
    Connections {
        url: format!("sqlite://{}?mode=rwc", path.display()),
        max_connections: MAX_CONNECTIONS,
        max_lifetime: None,
        idle_timeout: None,
    }
}

/// The server's token lifetimes.
pub fn lifetimes(config: &Config) -> Lifetimes {
    Lifetimes { access_token: config.ttl.access_token, id_token: config.ttl.id_token }
}

/// Opens the store, and waits for a database that does not answer yet.
///
/// # Errors
/// Where waiting cannot help. `None` after a shutdown.
pub async fn open(
    options: &Options,
    entropy: &Entropy,
    shutdown: &CancellationToken,
) -> Result<Option<Store>> {
    let mut failures = 0;
    let attempts = async {
        loop {
            match Store::open(options.clone(), Clock::system(), entropy.clone()).await {
                Err(error) if error.is_transient() => {
                    failures += 1;
                    tracing::warn!(%error, "waiting for the database");
                    tokio::time::sleep(operator::backoff::delay(failures).min(LONGEST_PAUSE)).await;
                }
                done => return done.context("the database cannot be used"),
            }
        }
    };
    shutdown.run_until_cancelled(attempts).await.transpose()
}

/// A listener that is bound, and its TLS. It is bound as long as this value or an endpoint of it is there.
pub struct Bound {
    socket: Socket,
    tls: Option<Tls>,
}

enum Socket {
    Tcp(std::net::TcpListener),
    Unix(UnixSocket),
}

impl Bound {
    /// Where it listens; `None` for a unix socket.
    ///
    /// # Errors
    /// Where the system does not say.
    pub fn local_addr(&self) -> std::io::Result<Option<std::net::SocketAddr>> {
        match &self.socket {
            Socket::Tcp(listener) => listener.local_addr().map(Some),
            Socket::Unix(_) => Ok(None),
        }
    }

    /// The same listener, to be served.
    ///
    /// # Errors
    /// Where it cannot be shared.
    pub fn endpoint(&self) -> Result<Endpoint> {
        match &self.socket {
            Socket::Tcp(listener) => {
                Ok(Endpoint::new(TcpListener::from_std(listener.try_clone()?)?, self.tls.clone()))
            }
            Socket::Unix(socket) => Ok(Endpoint::unix(socket.try_clone()?, self.tls.clone())?),
        }
    }
}

/// Does something while `router` answers on the listeners: probes get an answer from the first moment on.
///
/// # Errors
/// Where a listener cannot be shared, or what is done fails.
pub async fn meanwhile<T>(
    listeners: Vec<&Bound>,
    router: axum::Router,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let done = CancellationToken::new();
    let mut serving = tokio::task::JoinSet::new();
    for listener in listeners {
        let (farewell, grace) = (Duration::ZERO, Duration::from_secs(1));
        let limits = server::ListenerLimits { farewell, grace, ..Default::default() };
        serving.spawn(server::serve(listener.endpoint()?, router.clone(), limits, done.clone()));
    }
    let result = work.await;
    done.cancel();
    while serving.join_next().await.is_some() {}
    result
}

/// Binds a listener of the configuration. `setting` names it.
///
/// # Errors
/// Naming the setting and the address.
pub async fn bind(listener: &Listener, setting: &str, certificate: Option<&Certificate>) -> Result<Bound> {
    let cannot = || format!("{setting}: cannot listen on {listener}");
    let socket = match &listener.host {
        Host::Name(_) => {
            let bound = TcpListener::bind(listener.to_string()).await.and_then(TcpListener::into_std);
            Socket::Tcp(bound.with_context(cannot)?)
        }
        Host::Socket(path) => {
            let access =
                socket_owner::resolve(&listener.socket).with_context(|| format!("{setting}.socket"))?;
            let path = path.clone();
            // It may have to wait for another process.
            let bound = tokio::task::spawn_blocking(move || UnixSocket::bind(&path, access)).await?;
            Socket::Unix(bound.with_context(cannot)?)
        }
    };
    Ok(Bound { socket, tls: certificate.map(|certificate| certificate.tls().clone()) })
}

/// The certificates of the public and the admin API: each API's own settings where they are enabled, else those for
/// both.
///
/// # Errors
/// Naming the key at fault.
pub fn certificates(serve: &config::Serve) -> Result<[Option<Certificate>; 2]> {
    let load = |own: &Listener, key| {
        if own.tls.enabled {
            Certificate::load(&own.tls, key)
        } else {
            Certificate::load(&serve.tls, "serve.tls")
        }
    };
    Ok([load(&serve.public, "serve.public.tls")?, load(&serve.admin, "serve.admin.tls")?])
}

fn api(serve: &config::Serve, own: &Listener, unbounded: bool) -> ApiSettings {
    let tls = if own.tls.enabled { &own.tls } else { &serve.tls };
    let is_own = !tls.enabled && !own.tls.allow_termination_from.is_empty();
    let named = if is_own { &own.tls } else { tls };
    ApiSettings {
        quiet_health: own.quiet_health,
        proxies: if tls.enabled { tls.allow_termination_from.clone() } else { Vec::new() },
        forwarders: named.allow_termination_from.clone(),
        cors: own.cors.as_ref().filter(|cors| cors.enabled).map(|cors| Cors {
            origins: cors.allowed_origins.clone(),
            methods: cors.allowed_methods.clone(),
            headers: cors.allowed_headers.clone(),
            exposed: cors.exposed_headers.clone(),
            credentials: cors.allow_credentials,
            max_age: cors.max_age,
            passthrough: cors.options_passthrough,
            unbounded,
        }),
    }
}

/// The server's settings.
pub fn server_settings(config: &Config) -> server::Settings {
    let discovery = &config.webfinger.discovery;
    server::Settings {
        issuer: config.urls.issuer.clone(),
        public_url: config.urls.public.clone(),
        lifetimes: lifetimes(config),
        access_token_strategy: config.strategies.access_token,
        client_credentials: Policy {
            scope_strategy: config.strategies.scope,
            default_to_registered_scope: config.oauth2.default_grant_allowed_scope,
        },
        jwt_bearer: config.oauth2.jwt_bearer,
        authorization: authorization_request::Policy {
            scope_strategy: config.strategies.scope,
            pkce_enforced: config.oauth2.pkce_enforced,
            pkce_enforced_for_public_clients: config.oauth2.pkce_enforced_for_public_clients,
            insecure_redirects: config.dev,
        },
        flow: authorization_times(config),
        user_codes: config.oauth2.user_codes.clone(),
        pages: pages(config),
        demonstration: None,
        cookies: cookies(config),
        jwt: ClaimsPolicy {
            scope_claim: config.strategies.jwt.scope_claim,
            exclude_not_before: config.oauth2.exclude_not_before_claim,
            added: config.oauth2.added_claims.clone(),
        },
        discovery: DiscoveryPolicy {
            jwks_url: discovery.jwks_url.clone(),
            token_url: discovery.token_url.clone(),
            auth_url: discovery.auth_url.clone(),
            device_authorization_url: discovery.device_authorization_url.clone(),
            userinfo_url: discovery.userinfo_url.clone(),
            registration_url: registration_url(config),
            supported_claims: discovery.supported_claims.clone(),
            supported_scope: discovery.supported_scope.clone(),
        },
        broadcast_keys: config.webfinger.broadcast_keys.clone(),
        subject_types: subject_types(config),
        dynamic_client_registration: config.oidc.dynamic_client_registration,
        default_client_scope: config.oidc.default_client_scope.clone(),
        outbound: server::OutboundPolicy {
            public_addresses_only: config.clients.public_addresses_only,
            exceptions: config.clients.private_exceptions.clone(),
        },
        identity_provider: config.urls.identity_provider.clone(),
        hooks: config.oauth2.hooks.clone(),
        expose_internal_errors: config.oauth2.expose_internal_errors,
        version: format!("v{}", env!("CARGO_PKG_VERSION")),
        public: api(&config.serve, &config.serve.public, config.insecure_origins),
        admin: api(&config.serve, &config.serve.admin, config.insecure_origins),
    }
}

/// What discovery says of registration: the page that is configured for it, else where clients may register themselves.
fn registration_url(config: &Config) -> Option<String> {
    let own = || config.urls.public.join("oauth2/register");
    let configured = config.webfinger.discovery.client_registration_url.clone();
    configured.or_else(|| config.oidc.dynamic_client_registration.then(own))
}

fn authorization_times(config: &Config) -> AuthorizationTimes {
    AuthorizationTimes {
        login_consent_request: config.ttl.login_consent_request,
        device_user_code: config.ttl.device_user_code,
        device_polling_interval: config.oauth2.device_polling_interval,
        auth_code: config.ttl.auth_code,
        authentication_session: config.ttl.authentication_session,
        refresh_token: match config.ttl.refresh_token {
            RefreshTokenLifetime::Limited(lifetime) => Some(lifetime),
            RefreshTokenLifetime::Unlimited => None,
        },
        rotation_grace: config.oauth2.rotation_grace_period,
    }
}

/// The subject types of `oidc.subject_identifiers`. Without any type there is the public one, as with Hydra.
pub fn subject_types(config: &Config) -> SubjectTypes {
    let supported = &config.oidc.subject_types;
    let is_pairwise = supported.contains(&SubjectType::Pairwise);
    SubjectTypes {
        public: supported.contains(&SubjectType::Public) || !is_pairwise,
        pairwise: config.oidc.pairwise_salt.clone().filter(|_| is_pairwise),
    }
}

fn pages(config: &Config) -> PageUrls {
    let page = |page: &Option<Url>| page.as_ref().map(Url::to_string);
    let urls = &config.urls;
    PageUrls {
        login: page(&urls.login),
        registration: page(&urls.registration),
        consent: page(&urls.consent),
        device_verification: page(&urls.device_verification),
        device_success: page(&urls.device_success),
        error: page(&urls.error),
        logout: page(&urls.logout),
        post_logout_redirect: page(&urls.post_logout_redirect),
    }
}

/// As Hydra has them: other names in development mode, and nothing that a browser refuses on plain http. Where the
/// server has an origin to itself, names that nobody chose say so (`__Host-`, RFC 6265bis §4.1.3.2): no other host of
/// the domain can set such a cookie.
fn cookies(config: &Config) -> CookieSettings {
    let cookies = &config.serve.cookies;
    let is_alone = [&config.urls.issuer, &config.urls.public].into_iter().all(is_https_root);
    let name = |cookie: &CookieName, path: &str| {
        let may_say_so = is_alone && cookies.domain.is_none() && path == "/" && !cookie.is_chosen;
        let (prefix, suffix) =
            (if may_say_so { "__Host-" } else { "" }, if config.dev { "_dev" } else { "" });
        format!("{prefix}{}{suffix}", cookie.name)
    };
    let is_http = config.urls.issuer.as_str().starts_with("http:");
    CookieSettings {
        session: name(&cookies.session, &cookies.session_path),
        session_path: cookies.session_path.clone(),
        login_csrf: name(&cookies.login_csrf, "/"),
        consent_csrf: name(&cookies.consent_csrf, "/"),
        device_csrf: name(&cookies.device_csrf, "/"),
        domain: cookies.domain.clone(),
        same_site: match cookies.same_site {
            config::SameSite::Strict => server::SameSite::Strict,
            config::SameSite::None if !is_http => server::SameSite::None,
            config::SameSite::Lax | config::SameSite::None => server::SameSite::Lax,
        },
        secure: cookies.secure || !is_http,
    }
}

fn is_https_root(url: &Issuer) -> bool {
    Url::parse(url.as_str()).is_ok_and(|url| url.scheme() == "https" && url.path() == "/")
}

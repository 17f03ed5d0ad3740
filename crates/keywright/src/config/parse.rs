//! From checked values to [`Config`].

use std::path::PathBuf;
use std::time::Duration;

use jose::SystemSecret;
use oauth::jwt_access_token::AddedClaims;
use oauth::subject_identifier::PairwiseSalt;
use oauth::user_code::InvalidUserCodeFormat;
use oauth::{Issuer, Scope, ScopeSet, SubjectType, UserCodeFormat, jwt_bearer};
use serde_json::Value;
use server::{Hooks, IdentityProvider};
use url::Url;

use super::dsn::{self, Dsn, PostgresDsn};
use super::issuer::{self, ParsedIssuer};
use super::notice::{ConfigError, Notice, Origin};
use super::reader::{
    self, Expected, LONGEST_GRACE_PERIOD, Reader, cookie_name, counted_grace_period, flow_time, grace_period,
    hook, host, lifetime, plain, polling_interval, provider_headers, text, web_url,
};
use super::settings::{
    Clients, Config, CookieName, Cookies, Discovery, JwtStrategy, Keys, Listener, Log, OAuth2, Oidc,
    RefreshTokenLifetime, Secrets, Serve, SocketOwner, Strategies, Ttl, Urls, Webfinger,
};
use super::tls::Tls;
use super::{cors, system_secret, tls, traces};

/// Parses every key that is served.
///
/// `absent_system_secret` is the file that `SECRETS_SYSTEM_FILE` names, where there is none yet.
pub(super) fn parse(
    mut reader: Reader<'_>,
    absent_system_secret: Option<PathBuf>,
) -> Result<(Config, Vec<Notice>), ConfigError> {
    let r = &mut reader;
    let dev = r.setting("dev", plain);
    let log = Log { level: r.setting("log.level", level), format: r.optional("log.format", plain) };
    let insecure_origins =
        r.optional("feature_flags.legacy_allow_insecure_origins", plain).unwrap_or_default();
    let serve = Serve {
        public: api(r, "public", insecure_origins),
        admin: api(r, "admin", insecure_origins),
        operator: listener(r, "operator"),
        tls: tls::read(r, "serve.tls"),
        cookies: cookies(r),
    };
    let dsn = dsn(r);
    let listen_dsn = dsn.as_ref().and_then(|dsn| listen_dsn(r, dsn));
    let replica_dsn = dsn.as_ref().and_then(|dsn| beside(r, "db.replica_dsn", dsn));
    let issuer = issuer::read(r, dev, serve.public.port);
    let public = r.optional("urls.self.public", issuer::base);
    let admin = r.optional("urls.self.admin", web_url);
    let pages = pages(r, public.as_ref().or(issuer.as_ref().map(|issuer| &issuer.issuer)));
    let identity_provider = identity_provider(r);
    let clients = Clients {
        public_addresses_only: r.setting("clients.http.disallow_private_ip_ranges", plain),
        private_exceptions: r.setting("clients.http.private_ip_exception_urls", web_urls),
    };
    let secrets = secrets(r, dsn.as_ref(), issuer.as_ref(), dev, absent_system_secret);
    let keys = Keys {
        algorithm: r.setting("keys.algorithm", plain),
        autocreate: r.setting("keys.autocreate", plain),
    };
    let (ttl, strategies, oauth2, webfinger) = (ttl(r), strategies(r), oauth2(r), webfinger(r));
    let oidc = oidc(r);
    let tracing = traces::read(r);

    let Reader { mut problems, warnings, .. } = reader;
    problems.sort_by(|a, b| a.key.cmp(&b.key));
    match (dsn, issuer) {
        (Some(dsn), Some(ParsedIssuer { issuer, .. })) if problems.is_empty() => {
            let public = public.unwrap_or_else(|| issuer.clone());
            let [login, registration, consent, device_verification, device_success, rest @ ..] = pages;
            let [error, logout, post_logout_redirect] = rest;
            let urls = Urls {
                issuer,
                public,
                admin,
                login,
                registration,
                consent,
                device_verification,
                device_success,
                error,
                logout,
                post_logout_redirect,
                identity_provider,
            };
            let config = Config {
                dsn,
                listen_dsn,
                replica_dsn,
                dev,
                log,
                serve,
                urls,
                clients,
                secrets,
                keys,
                ttl,
                strategies,
                oauth2,
                oidc,
                webfinger,
                tracing,
                insecure_origins,
            };
            Ok((config, warnings))
        }
        _ => Err(ConfigError { problems }),
    }
}

fn api(r: &mut Reader<'_>, name: &str, insecure_origins: bool) -> Listener {
    let owner = |r: &mut Reader<'_>, part: &str| {
        let name: String = r.setting(&format!("serve.{name}.socket.{part}"), plain);
        Some(name).filter(|name| !name.is_empty())
    };
    Listener {
        socket: SocketOwner {
            owner: owner(r, "owner"),
            group: owner(r, "group"),
            mode: r.setting(&format!("serve.{name}.socket.mode"), plain),
        },
        tls: tls::read(r, &format!("serve.{name}.tls")),
        cors: Some(cors::read(r, &format!("serve.{name}.cors"), insecure_origins)),
        ..listener(r, name)
    }
}

fn listener(r: &mut Reader<'_>, name: &str) -> Listener {
    Listener {
        host: r.setting(&format!("serve.{name}.host"), host),
        port: r.setting(&format!("serve.{name}.port"), plain),
        quiet_health: r.setting(&format!("serve.{name}.request_log.disable_for_health"), plain),
        socket: SocketOwner { owner: None, group: None, mode: 0o755 },
        tls: Tls::default(),
        cors: None,
    }
}

fn cookies(r: &mut Reader<'_>) -> Cookies {
    let name =
        |r: &mut Reader<'_>, key| CookieName { is_chosen: r.is_set(key), name: r.setting(key, cookie_name) };
    Cookies {
        same_site: r.setting("serve.cookies.same_site_mode", plain),
        domain: r.optional("serve.cookies.domain", plain).filter(|domain: &String| !domain.is_empty()),
        secure: r.setting("serve.cookies.secure", plain),
        login_csrf: name(r, "serve.cookies.names.login_csrf"),
        consent_csrf: name(r, "serve.cookies.names.consent_csrf"),
        device_csrf: name(r, "serve.cookies.names.device_csrf"),
        session: name(r, "serve.cookies.names.session"),
        session_path: r.setting("serve.cookies.paths.session", plain),
    }
}

/// The pages that people are sent to: login, registration, consent, the entry of a user code and what comes after it,
/// error, logout, and the end of a logout. A reference is relative to the public URL.
fn pages(r: &mut Reader<'_>, public: Option<&Issuer>) -> [Option<Url>; 8] {
    const KEYS: [&str; 8] = [
        "urls.login",
        "urls.registration",
        "urls.consent",
        "urls.device.verification",
        "urls.device.success",
        "urls.error",
        "urls.logout",
        "urls.post_logout_redirect",
    ];
    let base = public.and_then(|public| Url::parse(public.as_str()).ok());
    KEYS.map(|key| {
        let text: String = r.optional(key, plain)?;
        let url = Url::options().base_url(base.as_ref()).parse(&text).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
        if url.is_none() && base.is_some() {
            let expected = "an http or https URL, or a path below the public URL";
            r.problem(key, format!("found \"{text}\", must be {expected}"));
        }
        url
    })
}

fn dsn(r: &mut Reader<'_>) -> Option<Dsn> {
    let dsn = r.optional("dsn", reader::dsn);
    if dsn.is_none() && !r.has_problem("dsn") {
        let expected = dsn::SUPPORTED;
        r.problem("dsn", format!("missing; set dsn in a file, or DSN or DSN_FILE, to {expected}"));
    }
    dsn
}

fn listen_dsn(r: &mut Reader<'_>, dsn: &Dsn) -> Option<PostgresDsn> {
    let own = beside(r, "db.listen_dsn", dsn);
    let Dsn::Postgres(dsn) = dsn else { return None };
    own.or_else(|| Some(dsn.clone()))
}

/// A further way to the PostgreSQL of `dsn`.
fn beside(r: &mut Reader<'_>, key: &str, dsn: &Dsn) -> Option<PostgresDsn> {
    match (r.optional(key, reader::dsn)?, dsn) {
        (Dsn::Postgres(own), Dsn::Postgres(_)) => return Some(own),
        (_, Dsn::Postgres(_)) => {
            r.problem(key, "must be postgres://user:password@host:port/database, as dsn is one".to_owned());
        }
        _ => r.warning(key, "has no effect, as dsn is not a PostgreSQL database".to_owned()),
    }
    None
}

/// The configured system secrets, or the file in which the process may make one: only with a loopback issuer, so that
/// replicas never make several. An issuer that is only assumed counts in development mode alone: a process that lost
/// all its settings must not go on with a secret of its own.
fn secrets(
    r: &mut Reader<'_>,
    dsn: Option<&Dsn>,
    issuer: Option<&ParsedIssuer>,
    dev: bool,
    absent_file: Option<PathBuf>,
) -> Secrets {
    const KEY: &str = "secrets.system";
    let system = r.optional(KEY, system_secrets).unwrap_or_default();
    let may_make = issuer.is_some_and(|issuer| issuer.loopback && (issuer.configured || dev));
    if let Some(path) = &absent_file
        && !(may_make && system.is_empty())
    {
        let reason = if system.is_empty() {
            "one is made only where urls.self.issuer is a loopback URL"
        } else {
            "secrets.system is set elsewhere too; set only one of them"
        };
        let origin = Some(Origin::Variable("SECRETS_SYSTEM_FILE".to_owned()));
        let message = format!("{} does not exist; must be a file with the secret ({reason})", path.display());
        r.problems.push(Notice { origin, key: KEY.to_owned(), message });
    }
    let database_file = match dsn {
        Some(Dsn::Sqlite(path)) => Some(path.as_path()),
        _ => None,
    };
    let own_file = || absent_file.unwrap_or_else(|| system_secret::default_file(database_file));
    Secrets { own_file: (may_make && system.is_empty()).then(own_file), system }
}

fn system_secrets(value: &Value) -> Result<Vec<SystemSecret>, Expected> {
    let texts: Vec<String> = plain(value)?;
    texts.into_iter().map(SystemSecret::new).collect::<Result<_, _>>().map_err(|_| Expected::AsDescribed)
}

fn ttl(r: &mut Reader<'_>) -> Ttl {
    Ttl {
        access_token: r.setting("ttl.access_token", lifetime),
        id_token: r.setting("ttl.id_token", lifetime),
        refresh_token: r.setting("ttl.refresh_token", refresh_token_lifetime),
        auth_code: r.setting("ttl.auth_code", flow_time),
        login_consent_request: r.setting("ttl.login_consent_request", flow_time),
        authentication_session: r.setting("ttl.authentication_session", lifetime),
        device_user_code: r.setting("ttl.device_user_code", flow_time),
    }
}

fn refresh_token_lifetime(value: &Value) -> Result<RefreshTokenLifetime, Expected> {
    if value.as_i64() == Some(-1) || value.as_str() == Some("-1") {
        return Ok(RefreshTokenLifetime::Unlimited);
    }
    lifetime(value).map(RefreshTokenLifetime::Limited)
}

fn web_urls(value: &Value) -> Result<Vec<Url>, Expected> {
    value.as_array().ok_or(Expected::AsDescribed)?.iter().map(web_url).collect()
}

fn scopes(value: &Value) -> Result<ScopeSet, Expected> {
    let scopes: Vec<Scope> = plain(value)?;
    Ok(scopes.into_iter().collect())
}

/// Headers without a URL are read for what is wrong with them.
fn identity_provider(r: &mut Reader<'_>) -> Option<IdentityProvider> {
    let headers = r.optional("urls.identity_provider.headers", provider_headers);
    let provider = IdentityProvider::new(r.optional("urls.identity_provider.url", web_url)?);
    Some(provider.with_headers(headers.unwrap_or_default()))
}

fn strategies(r: &mut Reader<'_>) -> Strategies {
    Strategies {
        scope: r.setting("strategies.scope", plain),
        access_token: r.setting("strategies.access_token", plain),
        jwt: JwtStrategy { scope_claim: r.setting("strategies.jwt.scope_claim", plain) },
    }
}

fn oauth2(r: &mut Reader<'_>) -> OAuth2 {
    OAuth2 {
        expose_internal_errors: r.setting("oauth2.expose_internal_errors", plain),
        exclude_not_before_claim: r.setting("oauth2.exclude_not_before_claim", plain),
        added_claims: AddedClaims {
            top_level: r.setting("oauth2.allowed_top_level_claims", plain),
            mirror: r.setting("oauth2.mirror_top_level_claims", plain),
            preserve_ext: r.setting("oauth2.preserve_ext_claims", plain),
        },
        default_grant_allowed_scope: r
            .setting("oauth2.client_credentials.default_grant_allowed_scope", plain),
        pkce_enforced: r.setting("oauth2.pkce.enforced", plain),
        pkce_enforced_for_public_clients: r.setting("oauth2.pkce.enforced_for_public_clients", plain),
        rotation_grace_period: rotation_grace_period(r),
        jwt_bearer: jwt_bearer::Policy {
            max_ttl: r.setting("oauth2.grant.jwt.max_ttl", lifetime),
            jti_optional: r.setting("oauth2.grant.jwt.jti_optional", plain),
            iat_optional: r.setting("oauth2.grant.jwt.iat_optional", plain),
            omit_assertion_audience: r.setting("oauth2.grant.jwt.omit_assertion_audience", plain),
        },
        hooks: Hooks {
            token: r.optional("oauth2.token_hook", hook),
            refresh: r.optional("oauth2.refresh_token_hook", hook),
        },
        device_polling_interval: r
            .setting("oauth2.device_authorization.token_polling_interval", polling_interval),
        user_codes: user_codes(r),
    }
}

/// With a count, Hydra takes periods up to half a year. Repeats are not counted here, so the limit without a count holds.
fn rotation_grace_period(r: &mut Reader<'_>) -> Duration {
    const PERIOD: &str = "oauth2.grant.refresh_token.rotation_grace_period";
    const COUNT: &str = "oauth2.grant.refresh_token.rotation_grace_reuse_count";
    if r.setting::<u64>(COUNT, plain) == 0 {
        return r.setting(PERIOD, grace_period);
    }
    let period = r.setting(PERIOD, counted_grace_period);
    if period > LONGEST_GRACE_PERIOD {
        r.warning(
            PERIOD,
            "5m in its place: repeats are not counted, and without a count 5m is the longest".to_owned(),
        );
    }
    period.min(LONGEST_GRACE_PERIOD)
}

fn oidc(r: &mut Reader<'_>) -> Oidc {
    const SALT: &str = "oidc.subject_identifiers.pairwise.salt";
    let subject_types: Vec<SubjectType> = r.setting("oidc.subject_identifiers.supported_types", plain);
    let pairwise_salt = r.optional(SALT, pairwise_salt);
    if subject_types.contains(&SubjectType::Pairwise) && pairwise_salt.is_none() && !r.has_problem(SALT) {
        let message = "missing; oidc.subject_identifiers.supported_types has pairwise, which needs a salt of at least 8 \
                       characters";
        r.problem(SALT, message.to_owned());
    }
    Oidc {
        subject_types,
        pairwise_salt,
        dynamic_client_registration: r.setting("oidc.dynamic_client_registration.enabled", plain),
        default_client_scope: r.setting("oidc.dynamic_client_registration.default_scope", scopes),
    }
}

fn pairwise_salt(value: &Value) -> Result<PairwiseSalt, Expected> {
    PairwiseSalt::new(plain(value)?).ok_or(Expected::AsDescribed)
}

/// A preset, of which length and characters may be changed.
fn user_codes(r: &mut Reader<'_>) -> UserCodeFormat {
    const LENGTH: &str = "oauth2.device_authorization.user_code.length";
    const CHARACTERS: &str = "oauth2.device_authorization.user_code.character_set";
    let preset: String = r.setting("oauth2.device_authorization.user_code.entropy_preset", plain);
    let (characters, length) = match preset.as_str() {
        "low" => (UserCodeFormat::DIGITS, 9),
        "medium" => (UserCodeFormat::CONSONANTS, 8),
        _ => (UserCodeFormat::UNAMBIGUOUS, 8),
    };
    let own_length: Option<usize> = r.optional(LENGTH, plain);
    let own_characters: Option<String> = r.optional(CHARACTERS, plain);
    let format =
        UserCodeFormat::new(own_characters.as_deref().unwrap_or(characters), own_length.unwrap_or(length));
    format.unwrap_or_else(|error| {
        let is_of_length = own_characters.is_none() || error == InvalidUserCodeFormat::TooLong;
        r.problem(if is_of_length { LENGTH } else { CHARACTERS }, format!("must be {error}"));
        UserCodeFormat::default()
    })
}

fn webfinger(r: &mut Reader<'_>) -> Webfinger {
    let mut url = |name: &str| r.optional(&format!("webfinger.oidc_discovery.{name}"), plain);
    let (jwks_url, token_url) = (url("jwks_url"), url("token_url"));
    let (auth_url, userinfo_url) = (url("auth_url"), url("userinfo_url"));
    let client_registration_url = url("client_registration_url");
    let device_authorization_url = url("device_authorization_url");
    Webfinger {
        broadcast_keys: r.setting("webfinger.jwks.broadcast_keys", plain),
        discovery: Discovery {
            jwks_url,
            token_url,
            auth_url,
            device_authorization_url,
            userinfo_url,
            client_registration_url,
            supported_claims: r.setting("webfinger.oidc_discovery.supported_claims", plain),
            supported_scope: r.setting("webfinger.oidc_discovery.supported_scope", plain),
        },
    }
}

fn level(value: &Value) -> Result<tracing::Level, Expected> {
    match text(value)? {
        "panic" | "fatal" => Ok(tracing::Level::ERROR),
        level => level.parse().map_err(|_| Expected::AsDescribed),
    }
}

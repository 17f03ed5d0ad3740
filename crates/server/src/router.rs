//! Which path and method leads where.

use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post, put};
use http::Uri;
use http::uri::PathAndQuery;
use prometheus_client::registry::Registry;
use tower::ServiceBuilder;

use crate::admin::{
    clients, consent_request, consent_sessions, device_request, introspect, keys, login_request,
    logout_request, sessions, trusted_issuers, version,
};
use crate::cors::Reach;
use crate::not_found::not_found;
use crate::observe::{Observer, TIME_LIMIT, observe};
use crate::public::{
    authorize, device, discovery, fallbacks, jwks, logout, register, revoke, token, userinfo,
};
use crate::state::Live;
use crate::traces::Callers;
use crate::{ApiSettings, Server, Settings, health, metrics, public};

const OPENID_CONFIGURATION: &str = "/.well-known/openid-configuration";
const AUTHORIZATION_SERVER: &str = "/.well-known/oauth-authorization-server";
const JWKS: &str = "/.well-known/jwks.json";
pub(crate) const TOKEN: &str = "/oauth2/token";
pub(crate) const AUTHORIZE: &str = "/oauth2/auth";
pub(crate) const REGISTER: &str = "/oauth2/register";
const REGISTERED: &str = "/oauth2/register/{id}";
const DEVICE_AUTHORIZE: &str = "/oauth2/device/auth";
pub(crate) const DEVICE_VERIFY: &str = "/oauth2/device/verify";
pub(crate) const FALLBACK_DEVICE: &str = "/oauth2/fallbacks/device";
pub(crate) const FALLBACK_DEVICE_DONE: &str = "/oauth2/fallbacks/device/done";
const REVOKE: &str = "/oauth2/revoke";
const USERINFO: &str = "/userinfo";
pub(crate) const FALLBACK_LOGIN: &str = "/oauth2/fallbacks/login";
pub(crate) const FALLBACK_CONSENT: &str = "/oauth2/fallbacks/consent";
pub(crate) const LOGOUT: &str = "/oauth2/sessions/logout";
pub(crate) const FALLBACK_LOGOUT: &str = "/oauth2/fallbacks/logout";
pub(crate) const FALLBACK_LOGGED_OUT: &str = "/oauth2/fallbacks/logout/callback";
pub(crate) const FALLBACK_ERROR: &str = "/oauth2/fallbacks/error";
const ALIVE: &str = "/health/alive";
const READY: &str = "/health/ready";
const PUBLIC_INTROSPECT: &str = "/oauth2/introspect";
const INTROSPECT: &str = "/admin/oauth2/introspect";
const LOGIN_REQUEST: &str = "/admin/oauth2/auth/requests/login";
const LOGIN_ACCEPT: &str = "/admin/oauth2/auth/requests/login/accept";
const LOGIN_REJECT: &str = "/admin/oauth2/auth/requests/login/reject";
const CONSENT_REQUEST: &str = "/admin/oauth2/auth/requests/consent";
const CONSENT_ACCEPT: &str = "/admin/oauth2/auth/requests/consent/accept";
const CONSENT_REJECT: &str = "/admin/oauth2/auth/requests/consent/reject";
const LOGOUT_REQUEST: &str = "/admin/oauth2/auth/requests/logout";
const LOGOUT_ACCEPT: &str = "/admin/oauth2/auth/requests/logout/accept";
const LOGOUT_REJECT: &str = "/admin/oauth2/auth/requests/logout/reject";
const DEVICE_REQUEST: &str = "/admin/oauth2/auth/requests/device";
const DEVICE_ACCEPT: &str = "/admin/oauth2/auth/requests/device/accept";
const DEVICE_REJECT: &str = "/admin/oauth2/auth/requests/device/reject";
const CONSENT_SESSIONS: &str = "/admin/oauth2/auth/sessions/consent";
const LOGIN_SESSIONS: &str = "/admin/oauth2/auth/sessions/login";
const TOKENS: &str = "/admin/oauth2/tokens";
const CLIENTS: &str = "/admin/clients";
const CLIENT: &str = "/admin/clients/{id}";
const CLIENT_LIFESPANS: &str = "/admin/clients/{id}/lifespans";
const CLIENT_SECRETS: &str = "/admin/clients/{id}/secrets/rotate";
const KEY_SET: &str = "/admin/keys/{set}";
const KEY: &str = "/admin/keys/{set}/{kid}";
const TRUSTED_ISSUERS: &str = "/admin/trust/grants/jwt-bearer/issuers";
const TRUSTED_ISSUER: &str = "/admin/trust/grants/jwt-bearer/issuers/{id}";
const VERSION: &str = "/admin/version";
const METRICS: &str = "/admin/metrics/prometheus";
const ADMIN_ALIVE: &str = "/admin/health/alive";
const ADMIN_READY: &str = "/admin/health/ready";

/// Every path that is served, for labels that live as long as the program.
pub(crate) const TEMPLATES: [&str; 50] = [
    TOKEN,
    AUTHORIZE,
    USERINFO,
    LOGIN_REQUEST,
    LOGIN_ACCEPT,
    LOGIN_REJECT,
    CONSENT_REQUEST,
    CONSENT_ACCEPT,
    CONSENT_REJECT,
    CONSENT_SESSIONS,
    LOGIN_SESSIONS,
    TOKENS,
    LOGOUT,
    LOGOUT_REQUEST,
    LOGOUT_ACCEPT,
    LOGOUT_REJECT,
    FALLBACK_LOGOUT,
    FALLBACK_LOGGED_OUT,
    FALLBACK_LOGIN,
    FALLBACK_CONSENT,
    FALLBACK_ERROR,
    DEVICE_AUTHORIZE,
    DEVICE_VERIFY,
    FALLBACK_DEVICE,
    FALLBACK_DEVICE_DONE,
    DEVICE_REQUEST,
    DEVICE_ACCEPT,
    DEVICE_REJECT,
    PUBLIC_INTROSPECT,
    INTROSPECT,
    JWKS,
    OPENID_CONFIGURATION,
    AUTHORIZATION_SERVER,
    REVOKE,
    ALIVE,
    READY,
    ADMIN_ALIVE,
    ADMIN_READY,
    METRICS,
    VERSION,
    CLIENTS,
    CLIENT,
    CLIENT_LIFESPANS,
    CLIENT_SECRETS,
    KEY_SET,
    KEY,
    REGISTER,
    REGISTERED,
    TRUSTED_ISSUERS,
    TRUSTED_ISSUER,
];

impl Server {
    /// The public API.
    pub fn public_router(&self) -> Router {
        let routes = Router::new()
            .route(OPENID_CONFIGURATION, get(discovery::discovery))
            .route(AUTHORIZATION_SERVER, get(discovery::discovery))
            .route(JWKS, get(jwks::jwks))
            .route(TOKEN, post(token::token).options(token::options))
            .route(REVOKE, post(revoke::revoke))
            .route(PUBLIC_INTROSPECT, post(public::introspect::introspect))
            .route(REGISTER, post(register::create))
            .route(REGISTERED, get(register::get).put(register::replace).delete(register::delete))
            .route(AUTHORIZE, get(authorize::authorize).post(authorize::authorize))
            .route(USERINFO, get(userinfo::userinfo).post(userinfo::userinfo))
            .route(LOGOUT, get(logout::logout).post(logout::logout))
            .route(DEVICE_AUTHORIZE, post(device::authorize))
            .route(DEVICE_VERIFY, get(device::verify).post(device::enter))
            .route(FALLBACK_DEVICE, get(fallbacks::device))
            .route(FALLBACK_DEVICE_DONE, get(fallbacks::device_done))
            .route(FALLBACK_LOGOUT, get(fallbacks::logout::show).post(fallbacks::logout::decide))
            .route(FALLBACK_LOGGED_OUT, get(fallbacks::logged_out))
            .route(FALLBACK_LOGIN, get(fallbacks::login::show).post(fallbacks::login::decide))
            .route(FALLBACK_CONSENT, get(fallbacks::consent::show).post(fallbacks::consent::decide))
            .route(FALLBACK_ERROR, get(fallbacks::error))
            .route(ALIVE, get(health::alive))
            .route(READY, get(health::ready_without_reasons));
        let api: Api = (|settings| &settings.public, public_reach, Callers::Strangers);
        self.finish(routes, api, without_trailing_slash)
    }

    /// The admin API, which authenticates nobody: its port is for the inside. `registry` is what its metrics show.
    pub fn admin_router(&self, registry: Arc<Registry>) -> Router {
        let exposed = move |State(server): State<Self>| async move { metrics::expose(&server, &registry) };
        let routes = Router::new()
            .route(INTROSPECT, post(introspect::introspect))
            .route(LOGIN_REQUEST, get(login_request::get))
            .route(LOGIN_ACCEPT, put(login_request::accept))
            .route(LOGIN_REJECT, put(login_request::reject))
            .route(CONSENT_REQUEST, get(consent_request::get))
            .route(CONSENT_ACCEPT, put(consent_request::accept))
            .route(CONSENT_REJECT, put(consent_request::reject))
            .route(DEVICE_REQUEST, get(device_request::get))
            .route(DEVICE_ACCEPT, put(device_request::accept))
            .route(DEVICE_REJECT, put(device_request::reject))
            .route(LOGOUT_REQUEST, get(logout_request::get))
            .route(LOGOUT_ACCEPT, put(logout_request::accept))
            .route(LOGOUT_REJECT, put(logout_request::reject))
            .route(CONSENT_SESSIONS, get(consent_sessions::list).delete(consent_sessions::revoke))
            .route(LOGIN_SESSIONS, delete(sessions::revoke_login))
            .route(TOKENS, delete(sessions::revoke_tokens))
            .route(CLIENTS, get(clients::list).post(clients::create))
            .route(
                CLIENT,
                get(clients::get).put(clients::replace).patch(clients::patch).delete(clients::delete),
            )
            .route(CLIENT_LIFESPANS, put(clients::set_lifespans))
            .route(CLIENT_SECRETS, post(clients::rotate_secret).delete(clients::drop_former_secrets))
            .route(
                KEY_SET,
                get(keys::get_set).post(keys::create).put(keys::replace_set).delete(keys::delete_set),
            )
            .route(KEY, get(keys::get_key).put(keys::put_key).delete(keys::delete_key))
            .route(TRUSTED_ISSUERS, get(trusted_issuers::list).post(trusted_issuers::create))
            .route(TRUSTED_ISSUER, get(trusted_issuers::get).delete(trusted_issuers::delete))
            .route(VERSION, get(version::version))
            .route(METRICS, get(exposed))
            .route(ADMIN_ALIVE, get(health::alive))
            .route(ADMIN_READY, get(health::ready));
        let api: Api = (|settings| &settings.admin, |_| Reach::Listed, Callers::Known);
        self.finish(routes, api, below_admin)
    }

    /// `rewrite` comes before the routes are tried, all else after: what is observed is the path that was found.
    fn finish(
        &self,
        routes: Router<Live>,
        (api, reach, callers): Api,
        rewrite: fn(&str) -> Option<String>,
    ) -> Router {
        let server = self.of_a_router();
        let observer = Observer { server: server.clone(), api, reach, callers, time_limit: TIME_LIMIT };
        let routes = routes
            .fallback(not_found)
            .method_not_allowed_fallback(not_found)
            .layer(from_fn_with_state(observer, observe))
            .with_state(Live(server));
        let rewritten = ServiceBuilder::new()
            .map_request(move |mut request: Request| {
                if let Some(path) = rewrite(request.uri().path()) {
                    replace_path(request.uri_mut(), &path);
                }
                request
            })
            .service(routes);
        Router::new().fallback_service(rewritten)
    }
}

/// What is particular to an API: its settings, whose pages may use an endpoint, and who calls it.
type Api = (fn(&Settings) -> &ApiSettings, fn(&'static str) -> Reach, Callers);

/// The path of a found route, as a label.
pub(crate) fn template(path: &MatchedPath) -> &'static str {
    TEMPLATES.into_iter().find(|template| *template == path.as_str()).unwrap_or("unknown")
}

/// True for the endpoints that probes ask all the time.
pub(crate) fn is_health(template: &str) -> bool {
    [ALIVE, READY, ADMIN_ALIVE, ADMIN_READY].contains(&template)
}

/// True for the endpoints that are asked from inside, past any proxy.
pub(crate) fn is_probed(template: &str) -> bool {
    is_health(template) || template == METRICS
}

/// Whose pages may use an endpoint of the public API.
fn public_reach(template: &'static str) -> Reach {
    match template {
        AUTHORIZE | LOGOUT | FALLBACK_LOGIN | FALLBACK_CONSENT | FALLBACK_LOGOUT | FALLBACK_LOGGED_OUT
        | FALLBACK_ERROR | DEVICE_VERIFY | FALLBACK_DEVICE | FALLBACK_DEVICE_DONE => Reach::Nobody,
        TOKEN | REVOKE | PUBLIC_INTROSPECT | USERINFO | DEVICE_AUTHORIZE => Reach::Clients,
        OPENID_CONFIGURATION | AUTHORIZATION_SERVER | JWKS => Reach::Everybody,
        _ => Reach::Listed,
    }
}

/// The path without slashes at its end; `None` where it has none.
fn without_trailing_slash(path: &str) -> Option<String> {
    let trimmed = path.trim_end_matches('/');
    (trimmed.len() < path.len() && !trimmed.is_empty()).then(|| trimmed.to_owned())
}

/// The path in its full form: clients of the admin API may leave `/admin` out.
fn below_admin(path: &str) -> Option<String> {
    if path.starts_with("/admin/") {
        return without_trailing_slash(path);
    }
    Some(format!("/admin{}", path.trim_end_matches('/')))
}

/// The query stays. A path that makes no URI is left as it is, and not found.
fn replace_path(uri: &mut Uri, path: &str) {
    let replaced = match uri.query() {
        Some(query) => PathAndQuery::try_from(format!("{path}?{query}")),
        None => PathAndQuery::try_from(path),
    };
    let mut parts = std::mem::take(uri).into_parts();
    if let Ok(replaced) = replaced {
        parts.path_and_query = Some(replaced);
    }
    *uri = Uri::from_parts(parts).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_brought_into_their_full_form() {
        let public = [("/", None), ("/a", None), ("/a/", Some("/a")), ("/a//", Some("/a")), ("//", None)];
        for (path, rewritten) in public {
            assert_eq!(without_trailing_slash(path).as_deref(), rewritten, "{path}");
        }
        let admin = [
            ("/admin/version", None),
            ("/admin/version/", Some("/admin/version")),
            ("/version", Some("/admin/version")),
            ("/health/ready/", Some("/admin/health/ready")),
            ("/administration", Some("/admin/administration")),
            ("/", Some("/admin")),
        ];
        for (path, rewritten) in admin {
            assert_eq!(below_admin(path).as_deref(), rewritten, "{path}");
        }
    }

    #[test]
    fn a_replaced_path_keeps_its_query() {
        let mut uri: Uri = "http://localhost:1/a/?x=%2F&y".parse().unwrap();
        replace_path(&mut uri, "/b");
        assert_eq!(uri, "http://localhost:1/b?x=%2F&y");
    }
}

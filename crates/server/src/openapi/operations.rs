//! Every operation: its id as Hydra's SDKs have it, what it takes and what it gives.

use http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::schemas::{
    AcceptConsent, AcceptLogin, Client, DeviceAuthorization, DeviceAuthorizationRequest, DiscoveryDocument,
    Health, Introspection, JsonPatch, JsonWebKey, JsonWebKeySet, Lifespans, Reject, RejectUserCode,
    TokenAnswer, TokenForm, TokenRequest, TrustIssuer, TrustedIssuer, UserCodeForm, UserInfo, VersionAnswer,
};
use crate::admin::consent_request::ConsentRequest;
use crate::admin::consent_sessions::ConsentSession;
use crate::admin::device_request::{AcceptUserCode, DeviceRequest};
use crate::admin::interaction::RedirectTo;
use crate::admin::keys::NewKey;
use crate::admin::login_request::LoginRequest;
use crate::admin::logout_request::LogoutRequest;

/// The schema of a type, in a description.
type Described = fn(&mut SchemaGenerator) -> Schema;

/// What a body holds.
#[derive(Clone, Copy)]
pub(super) enum Content {
    None,
    Json(Described),
    Form(Described),
    Text(&'static str),
}

/// An operation of the API.
pub(super) struct Operation {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) tag: &'static str,
    pub(super) summary: &'static str,
    /// The parameters of the query: those that are needed, and the others.
    pub(super) needs: &'static [&'static str],
    pub(super) query: &'static [&'static str],
    pub(super) body: Content,
    pub(super) status: u16,
    pub(super) outcome: &'static str,
    pub(super) answer: Content,
    pub(super) security: Option<&'static str>,
}

fn json<T: JsonSchema>() -> Content {
    Content::Json(SchemaGenerator::subschema_for::<T>)
}

fn form<T: JsonSchema>() -> Content {
    Content::Form(SchemaGenerator::subschema_for::<T>)
}

fn operation(method: Method, path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    Operation {
        method,
        path,
        id,
        tag: "",
        summary,
        needs: &[],
        query: &[],
        body: Content::None,
        status: 204,
        outcome: "It is done.",
        answer: Content::None,
        security: None,
    }
}

fn get(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    operation(Method::GET, path, id, summary)
}

fn post(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    operation(Method::POST, path, id, summary)
}

fn put(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    operation(Method::PUT, path, id, summary)
}

fn patch(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    operation(Method::PATCH, path, id, summary)
}

fn delete(path: &'static str, id: &'static str, summary: &'static str) -> Operation {
    operation(Method::DELETE, path, id, summary)
}

impl Operation {
    fn needs(self, needs: &'static [&'static str]) -> Self {
        Self { needs, ..self }
    }

    fn query(self, query: &'static [&'static str]) -> Self {
        Self { query, ..self }
    }

    fn takes(self, body: Content) -> Self {
        Self { body, ..self }
    }

    fn gives(self, answer: Content) -> Self {
        Self { status: 200, outcome: "What was asked for.", answer, ..self }
    }

    fn creates(self, answer: Content) -> Self {
        Self { status: 201, outcome: "What was created.", answer, ..self }
    }

    fn page(self) -> Self {
        Self { status: 200, outcome: "A page for people.", answer: Content::Text("text/html"), ..self }
    }

    fn redirects(self) -> Self {
        Self { status: 302, outcome: "The browser goes on.", ..self }
    }

    fn continues(self) -> Self {
        Self { status: 303, outcome: "The browser goes on.", ..self }
    }

    fn with(self, scheme: &'static str) -> Self {
        Self { security: Some(scheme), ..self }
    }
}

const PAGE: [&str; 2] = ["page_size", "page_token"];

/// All of them, in the order of the document.
pub(super) fn operations() -> Vec<Operation> {
    let groups = [
        ("oAuth2", oauth2()),
        ("oAuth2", requests()),
        ("oAuth2", device()),
        ("oAuth2", sessions()),
        ("oAuth2", clients()),
        ("oAuth2", trusted_issuers()),
        ("oidc", oidc()),
        ("jwk", keys()),
        ("wellknown", well_known()),
        ("metadata", metadata()),
        ("pages", pages()),
    ];
    let tagged = |(tag, group): (&'static str, Vec<Operation>)| {
        group.into_iter().map(move |operation| Operation { tag, ..operation })
    };
    groups.into_iter().flat_map(tagged).collect()
}

fn oauth2() -> Vec<Operation> {
    vec![
        get("/oauth2/auth", "oAuth2Authorize", "Begins or continues an authorization.").redirects(),
        post("/oauth2/auth", "oAuth2AuthorizeByForm", "The same, with the request in a form.").redirects(),
        post("/oauth2/token", "oauth2TokenExchange", "Gives tokens for a grant.")
            .takes(form::<TokenRequest>())
            .gives(json::<TokenAnswer>())
            .with("basic"),
        post("/oauth2/revoke", "revokeOAuth2Token", "Ends a token, and what belongs to it.")
            .takes(form::<TokenForm>())
            .gives(Content::None)
            .with("basic"),
        post("/oauth2/introspect", "introspectOAuth2TokenAsClient", "Says what a token means to a client.")
            .takes(form::<TokenForm>())
            .gives(json::<Introspection>())
            .with("basic"),
        post("/admin/oauth2/introspect", "introspectOAuth2Token", "Says what a token means now.")
            .takes(form::<TokenForm>())
            .gives(json::<Introspection>()),
        delete("/admin/oauth2/tokens", "deleteOAuth2Token", "Ends all that a client was given.")
            .needs(&["client_id"]),
    ]
}

fn requests() -> Vec<Operation> {
    const LOGIN: &[&str] = &["login_challenge"];
    const CONSENT: &[&str] = &["consent_challenge"];
    const LOGOUT: &[&str] = &["logout_challenge"];
    vec![
        get("/admin/oauth2/auth/requests/login", "getOAuth2LoginRequest", "What the login app is asked.")
            .needs(LOGIN)
            .gives(json::<LoginRequest>()),
        put(
            "/admin/oauth2/auth/requests/login/accept",
            "acceptOAuth2LoginRequest",
            "The user has logged in.",
        )
        .needs(LOGIN)
        .takes(json::<AcceptLogin>())
        .gives(json::<RedirectTo>()),
        put("/admin/oauth2/auth/requests/login/reject", "rejectOAuth2LoginRequest", "The user has not.")
            .needs(LOGIN)
            .takes(json::<Reject>())
            .gives(json::<RedirectTo>()),
        get(
            "/admin/oauth2/auth/requests/consent",
            "getOAuth2ConsentRequest",
            "What the consent app is asked.",
        )
        .needs(CONSENT)
        .gives(json::<ConsentRequest>()),
        put(
            "/admin/oauth2/auth/requests/consent/accept",
            "acceptOAuth2ConsentRequest",
            "The user has consented.",
        )
        .needs(CONSENT)
        .takes(json::<AcceptConsent>())
        .gives(json::<RedirectTo>()),
        put("/admin/oauth2/auth/requests/consent/reject", "rejectOAuth2ConsentRequest", "The user has not.")
            .needs(CONSENT)
            .takes(json::<Reject>())
            .gives(json::<RedirectTo>()),
        get("/admin/oauth2/auth/requests/logout", "getOAuth2LogoutRequest", "What the logout app is asked.")
            .needs(LOGOUT)
            .gives(json::<LogoutRequest>()),
        put("/admin/oauth2/auth/requests/logout/accept", "acceptOAuth2LogoutRequest", "The user logs out.")
            .needs(LOGOUT)
            .gives(json::<RedirectTo>()),
        put("/admin/oauth2/auth/requests/logout/reject", "rejectOAuth2LogoutRequest", "The user stays.")
            .needs(LOGOUT),
    ]
}

fn device() -> Vec<Operation> {
    const VERIFY: &str = "/oauth2/device/verify";
    const DEVICE: &[&str] = &["device_challenge"];
    vec![
        post("/oauth2/device/auth", "oAuth2DeviceFlow", "A device begins an authorization (RFC 8628).")
            .takes(form::<DeviceAuthorizationRequest>())
            .gives(json::<DeviceAuthorization>())
            .with("basic"),
        get(VERIFY, "performOAuth2DeviceVerificationFlow", "Begins or continues the user's part.")
            .query(&["user_code"])
            .redirects(),
        post(VERIFY, "enterUserCode", "Takes the user code from the page of this server.")
            .takes(form::<UserCodeForm>())
            .continues(),
        get(
            "/admin/oauth2/auth/requests/device",
            "getUserCodeRequest",
            "What the page for user codes is asked.",
        )
        .needs(DEVICE)
        .query(&["user_code"])
        .gives(json::<DeviceRequest>()),
        put(
            "/admin/oauth2/auth/requests/device/accept",
            "acceptUserCodeRequest",
            "The user has entered a code.",
        )
        .needs(DEVICE)
        .takes(json::<AcceptUserCode>())
        .gives(json::<RedirectTo>()),
        put(
            "/admin/oauth2/auth/requests/device/reject",
            "rejectUserCodeRequest",
            "The user does not want the device.",
        )
        .needs(DEVICE)
        .takes(json::<RejectUserCode>())
        .gives(json::<RedirectTo>()),
    ]
}

fn sessions() -> Vec<Operation> {
    const CONSENT: &str = "/admin/oauth2/auth/sessions/consent";
    vec![
        get(CONSENT, "listOAuth2ConsentSessions", "What a user has granted.")
            .needs(&["subject"])
            .query(&["login_session_id", PAGE[0], PAGE[1]])
            .gives(json::<Vec<ConsentSession>>()),
        delete(
            CONSENT,
            "revokeOAuth2ConsentSessions",
            "Ends one consent, or a user's to a client or to all.",
        )
        .query(&["consent_request_id", "subject", "client", "all"]),
        delete("/admin/oauth2/auth/sessions/login", "revokeOAuth2LoginSessions", "Ends logins.")
            .query(&["subject", "sid"]),
    ]
}

fn clients() -> Vec<Operation> {
    const CLIENT: &str = "/admin/clients/{id}";
    const ROTATE: &str = "/admin/clients/{id}/secrets/rotate";
    vec![
        get("/admin/clients", "listOAuth2Clients", "The clients.")
            .query(&[PAGE[0], PAGE[1], "client_name", "owner"])
            .gives(json::<Vec<Client>>()),
        post("/admin/clients", "createOAuth2Client", "Creates a client.")
            .takes(json::<Client>())
            .creates(json::<Client>()),
        get(CLIENT, "getOAuth2Client", "A client.").gives(json::<Client>()),
        put(CLIENT, "setOAuth2Client", "Replaces what is registered of a client.")
            .takes(json::<Client>())
            .gives(json::<Client>()),
        patch(CLIENT, "patchOAuth2Client", "Changes what is registered of a client (RFC 6902).")
            .takes(json::<Vec<JsonPatch>>())
            .gives(json::<Client>()),
        delete(CLIENT, "deleteOAuth2Client", "Deletes a client, and all that it was given."),
        put("/admin/clients/{id}/lifespans", "setOAuth2ClientLifespans", "Sets all lifetimes of a client.")
            .takes(json::<Lifespans>())
            .gives(json::<Client>()),
        post(ROTATE, "rotateOAuth2ClientSecret", "Makes a new secret, beside the former ones.")
            .gives(json::<Client>()),
        delete(ROTATE, "deleteRotatedOAuth2ClientSecrets", "Ends the former secrets.")
            .gives(json::<Client>()),
    ]
}

fn trusted_issuers() -> Vec<Operation> {
    const ISSUERS: &str = "/admin/trust/grants/jwt-bearer/issuers";
    const ISSUER: &str = "/admin/trust/grants/jwt-bearer/issuers/{id}";
    vec![
        get(ISSUERS, "listTrustedOAuth2JwtGrantIssuers", "Who may vouch for subjects (RFC 7523 §2.1).")
            .query(&[PAGE[0], PAGE[1], "issuer"])
            .gives(json::<Vec<TrustedIssuer>>()),
        post(ISSUERS, "trustOAuth2JwtGrantIssuer", "Trusts an issuer to vouch for subjects.")
            .takes(json::<TrustIssuer>())
            .creates(json::<TrustedIssuer>()),
        get(ISSUER, "getTrustedOAuth2JwtGrantIssuer", "An issuer that is trusted.")
            .gives(json::<TrustedIssuer>()),
        delete(ISSUER, "deleteTrustedOAuth2JwtGrantIssuer", "Trusts an issuer no longer."),
    ]
}

fn oidc() -> Vec<Operation> {
    const REGISTERED: &str = "/oauth2/register/{id}";
    vec![
        get("/userinfo", "getOidcUserInfo", "What an access token may know of its user.")
            .gives(json::<UserInfo>())
            .with("bearer"),
        post("/userinfo", "getOidcUserInfoByForm", "The same, with the token in a form.")
            .gives(json::<UserInfo>())
            .with("bearer"),
        get("/oauth2/sessions/logout", "revokeOidcSession", "Begins or continues a logout.").redirects(),
        post("/oauth2/sessions/logout", "revokeOidcSessionByForm", "The same, with the request in a form.")
            .redirects(),
        post("/oauth2/register", "createOidcDynamicClient", "A client registers itself (RFC 7591).")
            .takes(json::<Client>())
            .creates(json::<Client>()),
        get(REGISTERED, "getOidcDynamicClient", "What a client has registered (RFC 7592).")
            .gives(json::<Client>())
            .with("bearer"),
        put(REGISTERED, "setOidcDynamicClient", "A client replaces what it registered.")
            .takes(json::<Client>())
            .gives(json::<Client>())
            .with("bearer"),
        delete(REGISTERED, "deleteOidcDynamicClient", "A client deletes itself.").with("bearer"),
        get("/.well-known/openid-configuration", "discoverOidcConfiguration", "What this server does.")
            .gives(json::<DiscoveryDocument>()),
    ]
}

fn keys() -> Vec<Operation> {
    const SET: &str = "/admin/keys/{set}";
    const KEY: &str = "/admin/keys/{set}/{kid}";
    vec![
        get(SET, "getJsonWebKeySet", "The keys of a set.").gives(json::<JsonWebKeySet>()),
        post(SET, "createJsonWebKeySet", "Makes a key, or publishes a turned set's next one.")
            .takes(json::<NewKey>())
            .creates(json::<JsonWebKeySet>()),
        put(SET, "setJsonWebKeySet", "Replaces the keys of a set.")
            .takes(json::<JsonWebKeySet>())
            .gives(json::<JsonWebKeySet>()),
        delete(SET, "deleteJsonWebKeySet", "Deletes a set."),
        get(KEY, "getJsonWebKey", "A set with one of its keys.").gives(json::<JsonWebKeySet>()),
        put(KEY, "setJsonWebKey", "Stores a key.").takes(json::<JsonWebKey>()).gives(json::<JsonWebKey>()),
        delete(KEY, "deleteJsonWebKey", "Deletes a key; a turned set replaces it."),
    ]
}

fn well_known() -> Vec<Operation> {
    vec![
        get("/.well-known/jwks.json", "discoverJsonWebKeys", "The keys that verify what this server signs.")
            .gives(json::<JsonWebKeySet>()),
        get(
            "/.well-known/oauth-authorization-server",
            "discoverOAuth2Configuration",
            "RFC 8414's name for it.",
        )
        .gives(json::<DiscoveryDocument>()),
    ]
}

fn metadata() -> Vec<Operation> {
    vec![
        get("/admin/version", "getVersion", "The version.").gives(json::<VersionAnswer>()),
        get("/health/alive", "isAlive", "The process runs.").gives(json::<Health>()),
        get("/health/ready", "isReady", "The server can serve.").gives(json::<Health>()),
        get("/admin/health/alive", "isAdminAlive", "The process runs.").gives(json::<Health>()),
        get("/admin/health/ready", "isAdminReady", "The server can serve; if not, why.")
            .gives(json::<Health>()),
        get("/admin/metrics/prometheus", "getMetrics", "The metrics, as OpenMetrics.")
            .gives(Content::Text("application/openmetrics-text")),
    ]
}

fn pages() -> Vec<Operation> {
    const LOGIN: &str = "/oauth2/fallbacks/login";
    const CONSENT: &str = "/oauth2/fallbacks/consent";
    const LOGOUT: &str = "/oauth2/fallbacks/logout";
    vec![
        get(LOGIN, "fallbackLogin", "The built-in login page, or that none is configured.").page(),
        post(LOGIN, "answerFallbackLogin", "The built-in login page's form.").page(),
        get(CONSENT, "fallbackConsent", "The built-in consent page, or that none is configured.").page(),
        post(CONSENT, "answerFallbackConsent", "The built-in consent page's form.").page(),
        get("/oauth2/fallbacks/device", "fallbackDevice", "The built-in page for user codes.")
            .query(&["device_challenge", "user_code"])
            .page(),
        get("/oauth2/fallbacks/device/done", "fallbackDeviceDone", "Says that the device is let in.").page(),
        get(LOGOUT, "fallbackLogout", "The built-in logout page, or that none is configured.").page(),
        post(LOGOUT, "answerFallbackLogout", "The built-in logout page's form.").page(),
        get("/oauth2/fallbacks/logout/callback", "fallbackLoggedOut", "Says that the user is logged out.")
            .page(),
        get("/oauth2/fallbacks/error", "fallbackError", "Shows an error that no client can be told.").page(),
    ]
}

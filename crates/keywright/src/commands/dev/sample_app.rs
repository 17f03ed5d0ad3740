//! The sample application of `dev`: it logs somebody in, and shows what it was given.
//!
//! It is what the client `sample-app` of the samples declares, and takes its credentials from the Secret that this
//! gives it, each time anew: a secret that was rotated is used at once.

mod relying_party;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::operator::source::folder::DataFolder;
use anyhow::{Context, Result};
use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cookie::{Cookie, SameSite};
use crd::OAuth2Client;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, COOKIE, REFERRER_POLICY, SET_COOKIE,
};
use http::{HeaderMap, StatusCode};
use jose::Entropy;
use k8s_openapi::api::core::v1::Secret;
use oauth::Issuer;
use quick_cache::sync::Cache;
use serde_json::Value;

use self::relying_party::{CallbackAnswer, Pending, Registration, RelyingParty, Tokens};

/// The resource that declares it.
pub(super) const RESOURCE: (&str, &str) = ("default", "sample-app");

/// The cookie that names a browser's session. Cookies know no ports, so the server sees it too.
const SESSION: &str = "keywright_sample_app";

/// How many sessions are kept.
const SESSIONS: usize = 256;

/// The application. Clones are one.
#[derive(Clone)]
pub(super) struct SampleApp(Arc<Inner>);

struct Inner {
    /// Where it is, without a slash at the end.
    origin: String,
    issuer: String,
    introspection: String,
    data: DataFolder,
    entropy: Entropy,
    http: reqwest::Client,
    sessions: Cache<String, Session>,
}

/// What is known of a browser.
#[derive(Clone)]
enum Session {
    Pending(Pending),
    LoggedIn(Tokens),
}

/// What could not be done.
struct Failed(anyhow::Error);

impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

#[derive(Template)]
#[template(path = "sample_app.html")]
struct Page<'a> {
    nonce: &'a str,
    origin: &'a str,
    issuer: &'a str,
    shown: &'a Shown,
}

/// What a page shows.
enum Shown {
    Nobody,
    User { name: String, tokens: Tokens, documents: Vec<Document> },
    Failure(String),
}

/// A JSON document with what it is.
struct Document {
    title: &'static str,
    about: &'static str,
    json: String,
}

impl SampleApp {
    /// An application at `address`, for the server with this issuer and admin API.
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub(super) fn new(
        address: SocketAddr,
        admin: SocketAddr,
        issuer: &Issuer,
        (data, entropy): (DataFolder, Entropy),
    ) -> Result<Self> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy();
        let http = client.redirect(reqwest::redirect::Policy::none()).build()?;
        Ok(Self(Arc::new(Inner {
            origin: format!("http://{address}"),
            issuer: issuer.as_str().to_owned(),
            introspection: format!("http://{admin}/admin/oauth2/introspect"),
            data,
            entropy,
            http,
            sessions: Cache::new(SESSIONS),
        })))
    }

    /// Its pages.
    pub(super) fn router(self) -> Router {
        Router::new()
            .route("/", get(home))
            .route("/login", post(log_in))
            .route("/callback", get(callback))
            .route("/refresh", post(refresh))
            .route("/logout", post(log_out))
            .with_state(self)
    }

    /// Finds the server, with the credentials that the client's Secret has now.
    async fn relying_party(&self) -> Result<RelyingParty> {
        RelyingParty::discover(&self.0.http, &self.0.issuer, self.registration()?).await
    }

    fn registration(&self) -> Result<Registration> {
        let (namespace, name) = RESOURCE;
        let path = self.0.data.resource_path(namespace, "OAuth2Client", name);
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("no OAuth2Client {namespace}/{name}: see config/samples/sample-app.yaml")
        })?;
        let client: OAuth2Client = serde_yaml::from_str(&text).context("the client's resource")?;
        let path = self.0.data.secret_path(namespace, &client.secret_name());
        let text = std::fs::read_to_string(&path).context("the client has no Secret yet")?;
        let secret: Secret = serde_yaml::from_str(&text).context("the client's Secret")?;
        let entries = secret.data.unwrap_or_default();
        let entry = |key: &str| {
            let bytes = entries.get(key).with_context(|| format!("the client's Secret has no {key}"))?;
            String::from_utf8(bytes.0.clone())
                .with_context(|| format!("{key} in the client's Secret is no text"))
        };
        let home = format!("{}/", self.0.origin);
        Ok(Registration {
            id: entry(&client.spec.secret.keys.client_id)?,
            secret: entry(&client.spec.secret.keys.client_secret)?,
            redirect_uri: format!("{}/callback", self.0.origin),
            post_logout_redirect_uri: client
                .spec
                .post_logout_redirect_uris
                .into_iter()
                .find(|uri| *uri == home),
        })
    }

    /// Starts a session in place of the browser's last one.
    fn start(&self, headers: &HeaderMap, session: Session) -> Cookie<'static> {
        if let Some(id) = session_id(headers) {
            self.0.sessions.remove(&id);
        }
        let id = URL_SAFE_NO_PAD.encode(self.0.entropy.bytes::<32>());
        self.0.sessions.insert(id.clone(), session);
        let cookie = Cookie::build((SESSION, id)).path("/").http_only(true).same_site(SameSite::Lax);
        cookie.build()
    }

    fn tokens(&self, headers: &HeaderMap) -> Option<Tokens> {
        match self.0.sessions.get(&session_id(headers)?)? {
            Session::LoggedIn(tokens) => Some(tokens),
            Session::Pending(_) => None,
        }
    }

    /// Everything that the server tells of the tokens.
    async fn documents(&self, tokens: &Tokens) -> Result<Vec<Document>> {
        let userinfo = self.relying_party().await?.userinfo(tokens).await;
        let form = [("token", &tokens.access)];
        let active: Result<Value> =
            relying_party::json(self.0.http.post(&self.0.introspection).form(&form)).await;
        let document = |title, about, json: Result<Value>| {
            let json = json.unwrap_or_else(|error| Value::String(format!("{error:#}")));
            Document { title, about, json: format!("{json:#}") }
        };
        Ok(vec![
            document(
                "ID token",
                "Who logged in; its signature has been verified.",
                Ok(tokens.claims.clone()),
            ),
            document("Userinfo", "What the userinfo endpoint answers to the access token.", userinfo),
            document("Introspection", "What a resource server learns of the access token.", active),
        ])
    }

    fn page(&self, status: StatusCode, shown: &Shown) -> Response {
        let nonce = STANDARD.encode(self.0.entropy.bytes::<16>());
        let page = Page { nonce: &nonce, origin: &self.0.origin, issuer: &self.0.issuer, shown };
        let headers = [
            (CONTENT_TYPE, "text/html;charset=UTF-8".to_owned()),
            (CACHE_CONTROL, "no-store".to_owned()),
            (REFERRER_POLICY, "no-referrer".to_owned()),
            (
                CONTENT_SECURITY_POLICY,
                format!(
                    "default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; frame-ancestors 'none'"
                ),
            ),
        ];
        match page.render() {
            Ok(html) => (status, headers, html).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    }

    fn answered(&self, outcome: Result<Response, Failed>) -> Response {
        outcome.unwrap_or_else(|Failed(error)| {
            tracing::warn!("the sample app: {error:#}");
            self.page(StatusCode::BAD_GATEWAY, &Shown::Failure(format!("{error:#}")))
        })
    }
}

async fn home(State(app): State<SampleApp>, headers: HeaderMap) -> Response {
    let Some(tokens) = app.tokens(&headers) else { return app.page(StatusCode::OK, &Shown::Nobody) };
    let shown = async {
        let documents = app.documents(&tokens).await?;
        let claims = &tokens.claims;
        let name = claims["name"].as_str().or(claims["sub"].as_str()).unwrap_or_default().to_owned();
        Ok(app.page(StatusCode::OK, &Shown::User { name, tokens, documents }))
    };
    app.answered(shown.await)
}

async fn log_in(State(app): State<SampleApp>, headers: HeaderMap) -> Response {
    let begun = async {
        let (url, pending) = app.relying_party().await?.begin();
        let cookie = app.start(&headers, Session::Pending(pending)).to_string();
        Ok(([(SET_COOKIE, cookie)], Redirect::to(url.as_str())).into_response())
    };
    app.answered(begun.await)
}

async fn callback(
    State(app): State<SampleApp>,
    Query(answer): Query<CallbackAnswer>,
    headers: HeaderMap,
) -> Response {
    let finished = async {
        // Once: a code that comes back is not for a second login.
        let session = session_id(&headers).and_then(|id| app.0.sessions.remove(&id));
        let Some((_, Session::Pending(pending))) = session else {
            return Err(anyhow::anyhow!("no login has begun in this browser").into());
        };
        let tokens = app.relying_party().await?.finish(&answer, pending).await?;
        let cookie = app.start(&headers, Session::LoggedIn(tokens)).to_string();
        Ok(([(SET_COOKIE, cookie)], Redirect::to("/")).into_response())
    };
    app.answered(finished.await)
}

async fn refresh(State(app): State<SampleApp>, headers: HeaderMap) -> Response {
    let Some(tokens) = app.tokens(&headers) else { return Redirect::to("/").into_response() };
    let refreshed = async {
        let tokens = app.relying_party().await?.refresh(&tokens).await?;
        let cookie = app.start(&headers, Session::LoggedIn(tokens)).to_string();
        Ok(([(SET_COOKIE, cookie)], Redirect::to("/")).into_response())
    };
    app.answered(refreshed.await)
}

async fn log_out(State(app): State<SampleApp>, headers: HeaderMap) -> Response {
    let Some(tokens) = app.tokens(&headers) else { return Redirect::to("/").into_response() };
    let left = async {
        let url = app.relying_party().await?.logout_url(&tokens);
        if let Some(id) = session_id(&headers) {
            app.0.sessions.remove(&id);
        }
        Ok(Redirect::to(url.as_str()).into_response())
    };
    app.answered(left.await)
}

/// The session that the browser's cookie names.
fn session_id(headers: &HeaderMap) -> Option<String> {
    let texts = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = texts.flat_map(Cookie::split_parse).filter_map(Result::ok);
    cookies.find(|cookie| cookie.name() == SESSION).map(|cookie| cookie.value().to_owned())
}

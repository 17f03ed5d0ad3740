//! The authorization code grant with PKCE (RFC 6749 §4.1, RFC 7636), tried with a browser on this machine.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use askama::Template;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use oauth2::{CsrfToken, PkceCodeChallenge, PkceCodeVerifier};
use reqwest::StatusCode;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::connection::{Connection, refusal};
use super::tokens::{as_client, issued};
use crate::cli::api::{AuthorizationCodeArgs, ResponseMode};
use crate::commands::{complain, tell};

/// How long the last page may take to the browser.
const LAST_PAGE: Duration = Duration::from_secs(2);

/// A login under way: what must fit when the browser comes back.
struct Pending {
    state: String,
    verifier: PkceCodeVerifier,
}

/// What the two pages share. Clones are one.
#[derive(Clone)]
struct Flow(Arc<Inner>);

struct Inner {
    args: AuthorizationCodeArgs,
    connection: Connection,
    redirect: Url,
    pending: Mutex<Option<Pending>>,
    outcomes: mpsc::Sender<Result<Value>>,
}

#[derive(Template)]
#[template(path = "perform.html")]
struct Page<'a> {
    heading: &'a str,
    text: &'a str,
    start: Option<&'a str>,
}

/// Serves the two pages until somebody has logged in, and prints the tokens.
pub(super) async fn run(args: AuthorizationCodeArgs) -> Result<()> {
    let (no_shutdown, no_open, api) = (args.no_shutdown, args.no_open, args.flow.api.clone());
    let listener = TcpListener::bind(("127.0.0.1", args.port)).await;
    let listener = listener.with_context(|| format!("cannot listen on 127.0.0.1:{}", args.port))?;
    let home = format!("http://127.0.0.1:{}/", listener.local_addr()?.port());
    let (outcomes, mut outcome) = mpsc::channel(1);
    let flow = Flow::new(args, &home, outcomes)?;
    let done = CancellationToken::new();
    let stop = done.clone().cancelled_owned();
    let serving =
        tokio::spawn(axum::serve(listener, flow.router()).with_graceful_shutdown(stop).into_future());
    tell(&format!("Open {home} in a browser and log in. Ctrl-C stops.\n"));
    if !no_open {
        open(&home);
    }
    let result = loop {
        let outcome = outcome.recv().await.context("the pages are not served any more")?;
        let printed = outcome.and_then(|tokens| issued(&api, &tokens));
        match printed {
            Err(error) if no_shutdown => complain(&format!("{error:#}")),
            Ok(()) if no_shutdown => {}
            printed => break printed,
        }
    };
    done.cancel();
    // A browser may keep its connection.
    let _ = tokio::time::timeout(LAST_PAGE, serving).await;
    result
}

impl Flow {
    fn new(args: AuthorizationCodeArgs, home: &str, outcomes: mpsc::Sender<Result<Value>>) -> Result<Self> {
        let connection = Connection::new(&args.flow.api)?;
        let callback = || Url::parse(home)?.join("callback");
        let redirect = args.redirect.clone().map_or_else(callback, Ok)?;
        ensure!(!["/", "/start"].contains(&redirect.path()), "--redirect needs a path of its own");
        Ok(Self(Arc::new(Inner { args, connection, redirect, pending: Mutex::default(), outcomes })))
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/", get(home))
            .route("/start", get(start))
            .route(self.0.redirect.path(), get(query_callback).post(form_callback))
            .with_state(self.clone())
    }

    /// Where the browser goes to log in.
    fn begin(&self) -> Result<Url> {
        let Inner { args, connection, redirect, pending, .. } = &*self.0;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let state = args.state.clone().unwrap_or_else(|| CsrfToken::new_random().into_secret());
        let nonce = CsrfToken::new_random();
        let own = args.auth_url.clone().map_or_else(|| Url::parse(&connection.url("/oauth2/auth")), Ok);
        let mut url = own.context("the authorization endpoint")?;
        let (scope, audience, prompt) =
            (args.flow.scope.join(" "), args.flow.audience.join(" "), args.prompt.join(" "));
        let max_age = if args.max_age >= 0 { args.max_age.to_string() } else { String::new() };
        let response_mode = if args.response_mode == ResponseMode::FormPost { "form_post" } else { "" };
        let parameters = [
            ("response_type", "code"),
            ("client_id", &args.flow.client.client_id),
            ("redirect_uri", redirect.as_str()),
            ("scope", &scope),
            ("state", &state),
            ("nonce", nonce.secret()),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
            ("audience", &audience),
            ("prompt", &prompt),
            ("max_age", &max_age),
            ("response_mode", response_mode),
        ];
        url.query_pairs_mut().extend_pairs(parameters.into_iter().filter(|(_, value)| !value.is_empty()));
        *pending.lock().unwrap_or_else(PoisonError::into_inner) = Some(Pending { state, verifier });
        Ok(url)
    }

    /// The login that an answer is to.
    fn pending(&self, answer: &HashMap<String, String>) -> Option<Pending> {
        let mut pending = self.0.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.take_if(|pending| answer.get("state") == Some(&pending.state))
    }

    /// Exchanges the code that the browser brought for tokens.
    async fn finish(&self, pending: Pending, answer: &HashMap<String, String>) -> Result<Value> {
        let Inner { args, connection, redirect, .. } = &*self.0;
        if let Some(error) = answer.get("error") {
            let description = answer.get("error_description").map(|text| format!(": {text}"));
            return Err(anyhow!("the server answers {error}{}", description.unwrap_or_default()));
        }
        let code = answer.get("code").context("the answer has no code")?;
        let form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect.as_str()),
            ("code_verifier", pending.verifier.secret()),
        ];
        let request = as_client(
            connection.post(args.flow.token_url.as_ref(), "/oauth2/token"),
            &args.flow.client,
            form,
        );
        let (status, tokens) = connection.answer(request).await?;
        if status.is_success() { Ok(tokens) } else { Err(refusal(status, &tokens)) }
    }

    /// What the browser brought, as a page and as an outcome.
    async fn callback(&self, parameters: &[u8]) -> Response {
        let answer = url::form_urlencoded::parse(parameters).into_owned().collect();
        // Any page may send a browser here; that ends nothing.
        let Some(pending) = self.pending(&answer) else {
            return failure(&anyhow!("the answer is not to the login that began here"));
        };
        let outcome = self.finish(pending, &answer).await;
        let response = match &outcome {
            Ok(_) => {
                let text = "You can close this page: the tokens are where the command was started.";
                page(StatusCode::OK, &Page { heading: "You are logged in", text, start: None })
            }
            Err(error) => failure(error),
        };
        // Whoever waits for it may have got one already.
        let _ = self.0.outcomes.try_send(outcome);
        response
    }
}

async fn home(State(flow): State<Flow>) -> Response {
    let args = &flow.0.args;
    if args.skip {
        return start(State(flow)).await;
    }
    let text = format!("{} asks for {}.", args.flow.client.client_id, args.flow.scope.join(", "));
    page(StatusCode::OK, &Page { heading: "Try to log in", text: &text, start: Some("/start") })
}

async fn start(State(flow): State<Flow>) -> Response {
    match flow.begin() {
        Ok(url) => Redirect::to(url.as_str()).into_response(),
        Err(error) => failure(&error),
    }
}

async fn query_callback(State(flow): State<Flow>, RawQuery(query): RawQuery) -> Response {
    flow.callback(query.unwrap_or_default().as_bytes()).await
}

async fn form_callback(State(flow): State<Flow>, body: Bytes) -> Response {
    flow.callback(&body).await
}

fn failure(error: &anyhow::Error) -> Response {
    let text = format!("{error:#}");
    page(StatusCode::BAD_REQUEST, &Page { heading: "That did not work", text: &text, start: Some("/start") })
}

fn page(status: StatusCode, page: &Page<'_>) -> Response {
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    ];
    match page.render() {
        Ok(html) => (status, headers, html).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Opens a browser, where there is one.
fn open(url: &str) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = tokio::process::Command::new(program);
    let command = command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Where there is none, the address was told.
    let _ = command.spawn();
}

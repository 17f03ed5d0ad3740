//! `/oauth2/fallbacks/login`: the built-in login page.

use askama::Template;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use oauth::denial::Rejection;
use oauth::flow::Interaction;
use oauth::login::{AcceptLogin, LoginChallenge};

use super::client_names::ClientNames;
use super::{answered, go_on};
use crate::admin::interaction::under_way;
use crate::admin::login_request;
use crate::browser_request::BrowserRequest;
use crate::error::Failure;
use crate::{DemonstrationUsers, Server, browser_flow, pages};

/// The `acr` of a login by a password that anybody may read in a file: level 1 of ISO/IEC 29115, as OpenID Connect Core §2
/// suggests to name it. It is said whether it was asked for or not.
const PASSWORD: &str = "1";

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    nonce: &'a str,
    /// Names the form and its challenge.
    kind: &'static str,
    client: &'a ClientNames,
    entered: &'a Entered<'a>,
    challenge: &'a str,
}

/// What the form is filled in with.
#[derive(Default)]
struct Entered<'a> {
    username: &'a str,
    remember: bool,
    /// What was wrong with it.
    error: Option<&'static str>,
}

/// What the page asks: the challenge as it came, and what it holds.
struct Asked<'a> {
    text: &'a str,
    challenge: LoginChallenge,
}

/// The users who can log in here; `None` where another page is configured, or none is to be built in.
fn users(server: &Server) -> Option<&DemonstrationUsers> {
    let settings = server.settings();
    settings.demonstration.as_ref().filter(|_| settings.pages.login.is_none())
}

fn not_configured(server: &Server) -> Response {
    pages::not_configured("login", "urls.login", server.store().entropy())
}

/// `GET`: the form; whoever is logged in already goes on without it.
pub(crate) async fn show(State(server): State<Server>, request: Request) -> Response {
    let Some(users) = users(&server) else { return not_configured(&server) };
    answered(&server, shown(&server, users, request).await)
}

async fn shown(server: &Server, users: &DemonstrationUsers, request: Request) -> Result<Response, Failure> {
    let browser = BrowserRequest::read(server, request).await?;
    let asked = asked(server, &browser).await?;
    if let Some(known) =
        asked.challenge.known.as_ref().filter(|known| users.get(&known.login.subject).is_some())
    {
        let login = known.login.clone();
        let answer =
            AcceptLogin { subject: login.subject, acr: login.acr, amr: login.amr, ..AcceptLogin::default() };
        return Ok(go_on(&login_request::accept_with(server, asked.challenge, answer).await?));
    }
    let hint = asked.challenge.flow.request.get("login_hint").unwrap_or_default();
    form(server, &asked, StatusCode::OK, &Entered { username: hint, ..Entered::default() }).await
}

/// `POST`: who the user is.
pub(crate) async fn decide(State(server): State<Server>, request: Request) -> Response {
    let Some(users) = users(&server) else { return not_configured(&server) };
    answered(&server, decided(&server, users, request).await)
}

async fn decided(server: &Server, users: &DemonstrationUsers, request: Request) -> Result<Response, Failure> {
    let browser = BrowserRequest::read(server, request).await?;
    let asked = asked(server, &browser).await?;
    if browser.form.get("decision") == Some("deny") {
        let rejection = Rejection {
            error: "access_denied".to_owned(),
            error_description: "The user did not log in.".to_owned(),
            ..Rejection::default()
        };
        return Ok(go_on(&login_request::reject_with(server, &asked.challenge, rejection).await?));
    }
    let username = browser.form.get("username").unwrap_or_default();
    let remember = browser.form.get("remember").is_some();
    let refused = |error| Entered { username, remember, error: Some(error) };
    let Some(password) = browser.form.get("password").filter(|_| !username.is_empty()) else {
        let entered = refused("Enter your user name and your password.");
        return form(server, &asked, StatusCode::BAD_REQUEST, &entered).await;
    };
    if !users.log_in(server, username, password).await? {
        let entered = refused("The user name or the password is wrong.");
        return form(server, &asked, StatusCode::FORBIDDEN, &entered).await;
    }
    let answer = AcceptLogin {
        subject: username.to_owned(),
        remember,
        acr: PASSWORD.to_owned(),
        amr: vec!["pwd".to_owned()],
        ..AcceptLogin::default()
    };
    Ok(go_on(&login_request::accept_with(server, asked.challenge, answer).await?))
}

/// # Errors
/// `request_forbidden` where the flow began in another browser.
async fn asked<'a>(server: &Server, browser: &'a BrowserRequest) -> Result<Asked<'a>, Failure> {
    let text = browser.form.require("login_challenge")?;
    let challenge = login_request::open(server, text).await?;
    browser_flow::check(server, &browser.headers, Interaction::Login, challenge.flow.id)?;
    Ok(Asked { text, challenge })
}

async fn form(
    server: &Server,
    asked: &Asked<'_>,
    status: StatusCode,
    entered: &Entered<'_>,
) -> Result<Response, Failure> {
    let client = ClientNames::of(&under_way(server, &asked.challenge.flow).await?.client);
    Ok(pages::page(status, server.store().entropy(), |nonce| {
        LoginPage { nonce, kind: "login", client: &client, entered, challenge: asked.text }.render()
    }))
}

//! `/oauth2/fallbacks/logout`: the built-in page that asks whether to log out.

use askama::Template;
use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use oauth::logout::Logout;
use oauth::{Error, ErrorCode};

use super::client_names::ClientNames;
use super::{answered, go_on};
use crate::admin::logout_request;
use crate::browser_request::BrowserRequest;
use crate::error::Failure;
use crate::{Server, browser_session, pages};

#[derive(Template)]
#[template(path = "logout.html")]
struct LogoutPage<'a> {
    nonce: &'a str,
    /// Who asks; `None` where nobody but the user does.
    client: Option<&'a ClientNames>,
    subject: &'a str,
    challenge: &'a str,
}

#[derive(Template)]
#[template(path = "still_logged_in.html")]
struct StillLoggedInPage<'a> {
    nonce: &'a str,
    subject: &'a str,
}

fn is_built_in(server: &Server) -> bool {
    server.settings().demonstration.is_some() && server.settings().pages.logout.is_none()
}

fn not_configured(server: &Server) -> Response {
    pages::not_configured("logout", "urls.logout", server.store().entropy())
}

/// `GET`: the question.
pub(crate) async fn show(State(server): State<Server>, request: Request) -> Response {
    if !is_built_in(&server) {
        return not_configured(&server);
    }
    answered(&server, shown(&server, request).await)
}

async fn shown(server: &Server, request: Request) -> Result<Response, Failure> {
    let browser = BrowserRequest::read(server, request).await?;
    let (challenge, logout) = asked(server, &browser).await?;
    let client = match &logout.client_id {
        Some(id) => server.store().client(id).await?,
        None => None,
    };
    let client = client.map(|client| ClientNames::of(&client));
    Ok(pages::page(StatusCode::OK, server.store().entropy(), |nonce| {
        LogoutPage { nonce, client: client.as_ref(), subject: &logout.subject, challenge }.render()
    }))
}

/// `POST`: the answer.
pub(crate) async fn decide(State(server): State<Server>, request: Request) -> Response {
    if !is_built_in(&server) {
        return not_configured(&server);
    }
    answered(&server, decided(&server, request).await)
}

async fn decided(server: &Server, request: Request) -> Result<Response, Failure> {
    let browser = BrowserRequest::read(server, request).await?;
    let (_, logout) = asked(server, &browser).await?;
    match browser.form.require("decision")? {
        "allow" => Ok(go_on(&logout_request::accept_with(server, &logout).await?)),
        // Nothing is to be done: the challenge ends by itself.
        "deny" => {
            logout_request::rejected(server);
            Ok(pages::page(StatusCode::OK, server.store().entropy(), |nonce| {
                StillLoggedInPage { nonce, subject: &logout.subject }.render()
            }))
        }
        _ => Err(Error::invalid_request("The parameter 'decision' must be allow or deny.").into()),
    }
}

/// The challenge as it came, and what it holds.
///
/// # Errors
/// `request_forbidden` where it is about the session of another browser.
async fn asked<'a>(server: &Server, browser: &'a BrowserRequest) -> Result<(&'a str, Logout), Failure> {
    let text = browser.form.require("logout_challenge")?;
    let logout = logout_request::open(server, text).await?;
    if browser_session::named(server, &browser.headers) != Some(logout.session_id) {
        let why = "This browser is not logged in with the session that the request is about.";
        return Err(Error::new(ErrorCode::RequestForbidden, why).into());
    }
    Ok((text, logout))
}

//! The pages in place of those that the configuration does not name.
//!
//! Where the settings have users for a demonstration, these are pages to log in, consent and log out with; elsewhere
//! they say what to configure. They decide by the very functions by which the admin API does for apps. The page for user
//! codes is always there: it knows nobody.
//!
//! # Guarantees
//! A page is shown, and an answer to it taken, only in the browser in which its flow began, which the flow's cookie
//! proves. So nobody is logged in as somebody else by a form on another site: for a flow of theirs, its author knows no
//! challenge; for one of the author's own, their browser has no cookie.

pub(crate) mod client_names;
pub(crate) mod consent;
pub(crate) mod login;
pub(crate) mod logout;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use oauth::Form;

use crate::admin::interaction::RedirectTo;
use crate::error::Failure;
use crate::public::authorize;
use crate::{Server, pages};

/// The page for user codes. Its answer goes to the endpoint of the flow, which asks for the cookie.
pub(crate) async fn device(State(server): State<Server>, RawQuery(query): RawQuery) -> Response {
    let form = Form::parse(query.unwrap_or_default().as_bytes()).unwrap_or_default();
    let challenge = form.get("device_challenge").unwrap_or_default();
    let user_code = form.get("user_code").unwrap_or_default();
    pages::device(StatusCode::OK, &server, pages::DeviceForm { challenge, user_code, problem: None })
}

pub(crate) async fn device_done(State(server): State<Server>) -> Response {
    pages::device_done(server.store().entropy())
}

pub(crate) async fn logged_out(State(server): State<Server>) -> Response {
    pages::logged_out(server.settings().demonstration.is_some(), server.store().entropy())
}

/// What the query says is shown as text: who makes it up deceives nobody but themselves.
pub(crate) async fn error(State(server): State<Server>, RawQuery(query): RawQuery) -> Response {
    let form = Form::parse(query.unwrap_or_default().as_bytes()).unwrap_or_default();
    let error = form.get("error").unwrap_or("error");
    let description = form.get("error_description").unwrap_or("Nothing more is known.");
    pages::error(StatusCode::BAD_REQUEST, error, description, server.store().entropy())
}

/// The page, or the error page.
fn answered(server: &Server, outcome: Result<Response, Failure>) -> Response {
    outcome.unwrap_or_else(|failure| {
        let (status, told) = failure.tell(server.settings());
        pages::error(status, told.code.as_str(), &told.description, server.store().entropy())
    })
}

/// Sends the browser on after a decision: with GET, whatever brought it here.
fn go_on(decided: &RedirectTo) -> Response {
    authorize::redirect(StatusCode::SEE_OTHER, decided.as_str())
}

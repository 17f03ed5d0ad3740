//! The pages in place of those that the configuration does not name.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use oauth::Form;

use crate::{Server, pages};

pub(crate) async fn login(State(server): State<Server>) -> Response {
    pages::not_configured("login", "urls.login", server.store().entropy())
}

pub(crate) async fn consent(State(server): State<Server>) -> Response {
    pages::not_configured("consent", "urls.consent", server.store().entropy())
}

pub(crate) async fn logout(State(server): State<Server>) -> Response {
    pages::not_configured("logout", "urls.logout", server.store().entropy())
}

pub(crate) async fn logged_out(State(server): State<Server>) -> Response {
    pages::logged_out(server.store().entropy())
}

/// What the query says is shown as text: who makes it up deceives nobody but themselves.
pub(crate) async fn error(State(server): State<Server>, RawQuery(query): RawQuery) -> Response {
    let form = Form::parse(query.unwrap_or_default().as_bytes()).unwrap_or_default();
    let error = form.get("error").unwrap_or("error");
    let description = form.get("error_description").unwrap_or("Nothing more is known.");
    pages::error(StatusCode::BAD_REQUEST, error, description, server.store().entropy())
}

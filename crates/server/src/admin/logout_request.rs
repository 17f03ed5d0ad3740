//! `/admin/oauth2/auth/requests/logout`: what the logout app asks and answers.

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use jiff::Timestamp;
use oauth::logout::Logout;
use oauth::{Error, ErrorCode};
use serde::Serialize;
use serde_json::Value;

use super::interaction::{RedirectTo, answered, challenge, client_object, unknown};
use crate::error::{Challenge, Failure};
use crate::metrics::ChallengeKind;
use crate::sealed_value::{restore, shorten};
use crate::{Server, answer, router};

/// What the logout app is asked (Hydra's `OAuth2LogoutRequest`).
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "oAuth2LogoutRequest"))]
#[derive(Serialize)]
pub(crate) struct LogoutRequest {
    challenge: String,
    subject: String,
    sid: String,
    request_url: String,
    rp_initiated: bool,
    #[cfg_attr(test, schemars(with = "String", extend("format" = "date-time")))]
    expires_at: Timestamp,
    #[cfg_attr(test, schemars(with = "String", extend("format" = "date-time")))]
    requested_at: Timestamp,
    #[cfg_attr(test, schemars(with = "Option<crate::openapi::schemas::Client>"))]
    client: Value,
}

/// `GET`: what is asked.
pub(crate) async fn get(State(server): State<Server>, uri: Uri) -> Response {
    answered(&server, show(&server, &uri).await)
}

async fn show(server: &Server, uri: &Uri) -> Result<LogoutRequest, Failure> {
    let text = challenge(uri, "logout_challenge")?;
    let logout = open(server, &text).await?;
    let client = match &logout.client_id {
        Some(id) => server.store().client(id).await?,
        None => None,
    };
    let endpoint = server.settings().public_url.join(router::LOGOUT);
    Ok(LogoutRequest {
        challenge: text,
        sid: logout.session_id.to_string(),
        request_url: if logout.query.is_empty() { endpoint } else { format!("{endpoint}?{}", logout.query) },
        rp_initiated: logout.client_id.is_some(),
        expires_at: logout.expires_at(server.settings().flow.login_consent_request),
        requested_at: logout.requested_at(),
        client: client.map_or(Value::Null, |client| client_object(&client)),
        subject: logout.subject,
    })
}

/// `PUT …/accept`: the user wants to log out.
pub(crate) async fn accept(State(server): State<Server>, uri: Uri) -> Response {
    answered(&server, accepted(&server, &uri).await)
}

async fn accepted(server: &Server, uri: &Uri) -> Result<RedirectTo, Failure> {
    accept_with(server, &open(server, &challenge(uri, "logout_challenge")?).await?).await
}

/// Goes on with the user's agreement.
///
/// # Errors
/// [`Failure::Store`], [`Failure::Busy`].
pub(crate) async fn accept_with(server: &Server, logout: &Logout) -> Result<RedirectTo, Failure> {
    let expires_at = logout.expires_at(server.settings().flow.login_consent_request);
    let sealed = logout.seal_verifier(server.store().ring(), server.store().entropy());
    let sealed = shorten(server, sealed, expires_at).await?;
    server.metrics().challenge_accepted(ChallengeKind::Logout);
    let endpoint = server.settings().public_url.join(router::LOGOUT);
    Ok(RedirectTo::new(format!("{endpoint}?logout_verifier={sealed}")))
}

/// `PUT …/reject`: the user stays logged in. Nothing is to be done.
pub(crate) async fn reject(State(server): State<Server>, uri: Uri) -> Response {
    let opened = async { open(&server, &challenge(&uri, "logout_challenge")?).await };
    match opened.await {
        Ok(_) => {
            rejected(&server);
            answer::empty(StatusCode::NO_CONTENT)
        }
        Err(failure) => failure.answer(server.settings(), Challenge::None),
    }
}

/// Notes that the user stays logged in.
pub(crate) fn rejected(server: &Server) {
    server.metrics().challenge_rejected(ChallengeKind::Logout);
}

/// Opens a challenge, while it lasts.
///
/// # Errors
/// `not_found` where it is none, `request_unauthorized` where it has expired; [`Failure::Store`].
pub(crate) async fn open(server: &Server, challenge: &str) -> Result<Logout, Failure> {
    let sealed = restore(server, challenge).await?;
    let logout = Logout::open_challenge(server.store().ring(), &sealed).ok_or_else(unknown)?;
    if server.now() >= logout.expires_at(server.settings().flow.login_consent_request) {
        let why = "The logout request has expired, please try again.";
        return Err(Error::new(ErrorCode::RequestUnauthorized, why).into());
    }
    Ok(logout)
}

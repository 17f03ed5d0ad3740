//! `/admin/oauth2/auth/requests/login`: what the login app asks and answers.

use axum::extract::{Request, State};
use axum::response::Response;
use http::Uri;
use jiff::Timestamp;
use oauth::denial::Rejection;
use oauth::flow::Flow;
use oauth::login::{AcceptLogin, AcceptedLogin, LoginChallenge, LoginVerifier};
use oauth::{Audience, Scope};
use serde::Serialize;
use serde_json::Value;

use super::interaction::{
    self, OidcContext, RedirectTo, answered, challenge, client_object, go_on, oidc_context, under_way,
    unknown,
};
use crate::error::Failure;
use crate::metrics::ChallengeKind;
use crate::request_url::request_url;
use crate::sealed_value::restore;
use crate::{Server, json_body};

/// What the login app is asked (Hydra's `OAuth2LoginRequest`).
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "oAuth2LoginRequest"))]
#[derive(Serialize)]
pub(crate) struct LoginRequest {
    challenge: String,
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    requested_scope: Vec<Scope>,
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    requested_access_token_audience: Vec<Audience>,
    skip: bool,
    subject: String,
    oidc_context: Option<OidcContext>,
    #[cfg_attr(test, schemars(with = "crate::openapi::schemas::Client"))]
    client: Value,
    request_url: String,
    session_id: String,
    /// Until when it can be answered, which Hydra does not say.
    #[cfg_attr(test, schemars(with = "String", extend("format" = "date-time")))]
    expires_at: Timestamp,
}

/// `GET`: what is asked.
pub(crate) async fn get(State(server): State<Server>, uri: Uri) -> Response {
    answered(&server, show(&server, &uri).await)
}

async fn show(server: &Server, uri: &Uri) -> Result<LoginRequest, Failure> {
    let text = challenge(uri, "login_challenge")?;
    let asked = open(server, &text).await?;
    let under_way = under_way(server, &asked.flow).await?;
    Ok(LoginRequest {
        challenge: text,
        requested_scope: under_way.request.scope.iter().cloned().collect(),
        requested_access_token_audience: under_way.request.audience,
        skip: asked.known.is_some(),
        subject: asked.known.as_ref().map(|known| known.login.subject.clone()).unwrap_or_default(),
        oidc_context: oidc_context(server, &asked.flow).await?,
        client: client_object(&under_way.client),
        request_url: request_url(server, &asked.flow, None),
        session_id: asked.session_id.to_string(),
        expires_at: server.settings().flow.ends(asked.flow.kind, asked.flow.id),
    })
}

/// `PUT …/accept`: who logged in.
pub(crate) async fn accept(State(server): State<Server>, request: Request) -> Response {
    answered(&server, accepted(&server, request).await)
}

async fn accepted(server: &Server, request: Request) -> Result<RedirectTo, Failure> {
    let asked = open(server, &challenge(request.uri(), "login_challenge")?).await?;
    let answer = json_body::read(server, request).await?;
    accept_with(server, asked, answer).await
}

/// Goes on with an answer. The same one may be given any number of times: nothing is used up before the code is
/// exchanged.
///
/// # Errors
/// `invalid_request` naming the member; [`Failure::Expired`] where the flow has taken too long; [`Failure::Store`].
pub(crate) async fn accept_with(
    server: &Server,
    asked: LoginChallenge,
    answer: AcceptLogin,
) -> Result<RedirectTo, Failure> {
    under_way(server, &asked.flow).await?;
    let asked = asked.for_subject(&answer.subject, server.store().entropy());
    let accepted = match asked.accept(answer, server.now())? {
        AcceptedLogin::GoOn(verifier) => decided(server, &asked, &verifier).await?,
        AcceptedLogin::Restart => restart(server, asked.flow),
    };
    server.metrics().challenge_accepted(ChallengeKind::Login);
    Ok(accepted)
}

/// Begins the request anew, with a login.
pub(crate) fn restart(server: &Server, mut flow: Flow) -> RedirectTo {
    let asks_consent = flow.request.get("prompt").is_some_and(|prompt| prompt.contains("consent"));
    flow.request = flow.request.without(&["prompt"]);
    let prompt = if asks_consent { "login consent" } else { "login" };
    go_on(server, &flow, ("prompt", prompt))
}

/// `PUT …/reject`: nobody did.
pub(crate) async fn reject(State(server): State<Server>, request: Request) -> Response {
    answered(&server, rejected(&server, request).await)
}

async fn rejected(server: &Server, request: Request) -> Result<RedirectTo, Failure> {
    let asked = open(server, &challenge(request.uri(), "login_challenge")?).await?;
    let rejection = json_body::read(server, request).await?;
    reject_with(server, &asked, rejection).await
}

/// Goes back to the client with a refusal.
///
/// # Errors
/// As [`accept_with`].
pub(crate) async fn reject_with(
    server: &Server,
    asked: &LoginChallenge,
    rejection: Rejection,
) -> Result<RedirectTo, Failure> {
    under_way(server, &asked.flow).await?;
    let verifier = asked.reject(rejection.denial("login request denied")?);
    let rejected = decided(server, asked, &verifier).await?;
    server.metrics().challenge_rejected(ChallengeKind::Login);
    Ok(rejected)
}

async fn decided(
    server: &Server,
    asked: &LoginChallenge,
    verifier: &LoginVerifier,
) -> Result<RedirectTo, Failure> {
    let sealed = verifier.seal(server.store().ring(), server.store().entropy());
    interaction::decided(server, &asked.flow, ("login_verifier", sealed)).await
}

/// Opens a challenge.
///
/// # Errors
/// `not_found` where it is none; [`Failure::Store`].
pub(crate) async fn open(server: &Server, challenge: &str) -> Result<LoginChallenge, Failure> {
    let sealed = restore(server, challenge).await?;
    LoginChallenge::open(server.store().ring(), &sealed).ok_or_else(unknown)
}

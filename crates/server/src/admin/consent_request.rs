//! `/admin/oauth2/auth/requests/consent`: what the consent app asks and answers.

use axum::extract::{Request, State};
use axum::response::Response;
use http::Uri;
use jiff::Timestamp;
use oauth::consent::{AcceptConsent, ConsentChallenge, ConsentVerifier};
use oauth::denial::Rejection;
use oauth::{Audience, Scope};
use serde::Serialize;
use serde_json::Value;

use super::interaction::{
    self, OidcContext, RedirectTo, answered, challenge, client_object, oidc_context, under_way, unknown,
};
use crate::error::Failure;
use crate::metrics::ChallengeKind;
use crate::request_url::request_url;
use crate::sealed_value::restore;
use crate::{Server, json_body};

/// What the consent app is asked (Hydra's `OAuth2ConsentRequest`).
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "oAuth2ConsentRequest"))]
#[expect(clippy::struct_field_names, reason = "the members of Hydra's API")]
#[derive(Serialize)]
pub(crate) struct ConsentRequest {
    pub(super) challenge: String,
    pub(super) consent_request_id: String,
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub(super) requested_scope: Vec<Scope>,
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    pub(super) requested_access_token_audience: Vec<Audience>,
    pub(super) skip: bool,
    pub(super) subject: String,
    pub(super) oidc_context: Option<OidcContext>,
    #[cfg_attr(test, schemars(with = "crate::openapi::schemas::Client"))]
    pub(super) client: Value,
    pub(super) request_url: String,
    pub(super) login_challenge: String,
    pub(super) login_session_id: String,
    pub(super) acr: String,
    pub(super) amr: Vec<String>,
    pub(super) context: Value,
    /// Until when it can be answered, which Hydra does not say; absent where it has been.
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "date-time")))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires_at: Option<Timestamp>,
}

/// `GET`: what is asked.
pub(crate) async fn get(State(server): State<Server>, uri: Uri) -> Response {
    answered(&server, show(&server, &uri).await)
}

async fn show(server: &Server, uri: &Uri) -> Result<ConsentRequest, Failure> {
    let text = challenge(uri, "consent_challenge")?;
    let asked = open(server, &text).await?;
    let under_way = under_way(server, &asked.flow).await?;
    Ok(ConsentRequest {
        challenge: text,
        consent_request_id: asked.flow.id.to_string(),
        requested_scope: under_way.request.scope.iter().cloned().collect(),
        requested_access_token_audience: under_way.request.audience,
        skip: asked.skip,
        subject: asked.login.subject,
        oidc_context: oidc_context(server, &asked.flow).await?,
        client: client_object(&under_way.client),
        request_url: request_url(server, &asked.flow, None),
        login_challenge: asked.flow.id.to_string(),
        login_session_id: asked.login.session_id.to_string(),
        acr: asked.login.acr,
        amr: asked.login.amr,
        context: asked.context.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
        expires_at: Some(server.settings().flow.ends(asked.flow.kind, asked.flow.id)),
    })
}

/// `PUT …/accept`: what was granted.
pub(crate) async fn accept(State(server): State<Server>, request: Request) -> Response {
    answered(&server, accepted(&server, request).await)
}

async fn accepted(server: &Server, request: Request) -> Result<RedirectTo, Failure> {
    let asked = open(server, &challenge(request.uri(), "consent_challenge")?).await?;
    let answer = json_body::read(server, request).await?;
    accept_with(server, &asked, answer).await
}

/// Goes on with an answer. The same one may be given any number of times: of the codes that come of it, one is
/// exchanged.
///
/// # Errors
/// `invalid_request` naming the member; [`Failure::Expired`] where the flow has taken too long; [`Failure::Store`].
pub(crate) async fn accept_with(
    server: &Server,
    asked: &ConsentChallenge,
    answer: AcceptConsent,
) -> Result<RedirectTo, Failure> {
    let under_way = under_way(server, &asked.flow).await?;
    let verifier = asked.accept(&under_way.request, answer, server.now())?;
    let accepted = decided(server, asked, &verifier).await?;
    server.metrics().challenge_accepted(ChallengeKind::Consent);
    Ok(accepted)
}

/// `PUT …/reject`: nothing was.
pub(crate) async fn reject(State(server): State<Server>, request: Request) -> Response {
    answered(&server, rejected(&server, request).await)
}

async fn rejected(server: &Server, request: Request) -> Result<RedirectTo, Failure> {
    let asked = open(server, &challenge(request.uri(), "consent_challenge")?).await?;
    let rejection = json_body::read(server, request).await?;
    reject_with(server, &asked, rejection).await
}

/// Goes back to the client with a refusal.
///
/// # Errors
/// As [`accept_with`].
pub(crate) async fn reject_with(
    server: &Server,
    asked: &ConsentChallenge,
    rejection: Rejection,
) -> Result<RedirectTo, Failure> {
    under_way(server, &asked.flow).await?;
    let verifier = asked.reject(rejection.denial("consent request denied")?);
    let rejected = decided(server, asked, &verifier).await?;
    server.metrics().challenge_rejected(ChallengeKind::Consent);
    Ok(rejected)
}

async fn decided(
    server: &Server,
    asked: &ConsentChallenge,
    verifier: &ConsentVerifier,
) -> Result<RedirectTo, Failure> {
    let sealed = verifier.seal(server.store().ring(), server.store().entropy());
    interaction::decided(server, &asked.flow, ("consent_verifier", sealed)).await
}

/// Opens a challenge.
///
/// # Errors
/// `not_found` where it is none; [`Failure::Store`].
pub(crate) async fn open(server: &Server, challenge: &str) -> Result<ConsentChallenge, Failure> {
    let sealed = restore(server, challenge).await?;
    ConsentChallenge::open(server.store().ring(), &sealed).ok_or_else(unknown)
}

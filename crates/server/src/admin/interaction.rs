//! What login and consent requests have in common.

use std::sync::Arc;

use axum::response::Response;
use http::{StatusCode, Uri};
use oauth::authorization_request::AuthorizationRequest;
use oauth::flow::{Flow, FlowKind, is_too_old};
use oauth::{Client, ClientObject, Error, ErrorCode, Form};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::{Challenge, Failure};
use crate::request_url::request_url;
use crate::sealed_value::shorten;
use crate::{Server, answer, id_token_hint};

/// The answer to a decision (Hydra's `OAuth2RedirectTo`).
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "oAuth2RedirectTo"))]
#[derive(Debug, Serialize)]
pub(crate) struct RedirectTo {
    redirect_to: String,
}

impl RedirectTo {
    pub(super) fn new(redirect_to: String) -> Self {
        Self { redirect_to }
    }

    /// Where the browser goes.
    pub(crate) fn as_str(&self) -> &str {
        &self.redirect_to
    }
}

/// What the client told of the user and the page (Hydra's `OAuth2ConsentRequestOpenIDConnectContext`).
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "oAuth2ConsentRequestOpenIDConnectContext"))]
#[derive(Debug, Default, Serialize)]
pub(super) struct OidcContext {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    acr_values: Vec<String>,
    /// The `claims` parameter as it was sent (OpenID Connect Core §5.5), which Hydra does not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    claims: Option<Value>,
    #[serde(skip_serializing_if = "String::is_empty")]
    display: String,
    #[serde(skip_serializing_if = "Map::is_empty")]
    id_token_hint_claims: Map<String, Value>,
    #[serde(skip_serializing_if = "String::is_empty")]
    login_hint: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ui_locales: Vec<String>,
}

/// A flow that is under way, with its client and its request.
pub(crate) struct UnderWay {
    pub(crate) client: Arc<Client>,
    pub(crate) request: AuthorizationRequest,
}

/// The challenge that a request names. Hydra's `challenge` is taken too.
///
/// # Errors
/// `invalid_request` where it names none.
pub(super) fn challenge(uri: &Uri, name: &str) -> Result<String, Failure> {
    let form = Form::parse(uri.query().unwrap_or_default().as_bytes())?;
    let named = form.get(name).or_else(|| form.get("challenge"));
    let text = named.ok_or_else(|| Error::invalid_request(format!("The parameter '{name}' is missing.")))?;
    Ok(text.to_owned())
}

/// The error for a challenge that does not open, and for a key set that has no keys.
pub(super) fn unknown() -> Failure {
    Error::new(ErrorCode::NotFound, "Unable to locate the requested resource").into()
}

/// The client and the request of a flow, while it lasts.
///
/// # Errors
/// [`Failure::Expired`] where it has taken too long, `not_found` where its client is gone or no longer may ask.
pub(crate) async fn under_way(server: &Server, flow: &Flow) -> Result<UnderWay, Failure> {
    if is_too_old(flow.id, server.settings().flow.of(flow.kind), server.now()) {
        return Err(Failure::Expired { restart: request_url(server, flow, None) });
    }
    let client = server.store().client(&flow.client_id()?).await?.filter(|client| flow.is_of(client));
    let client = client.ok_or_else(unknown)?;
    let request = AuthorizationRequest::of_flow(&client, flow, server.settings().authorization);
    Ok(UnderWay { request: request.map_err(|_| unknown())?, client })
}

/// Where the browser goes on with an app's answer, sealed as this verifier.
///
/// # Errors
/// [`Failure::Store`], [`Failure::Busy`] where it is too long for a URL and cannot be parked.
pub(super) async fn decided(
    server: &Server,
    flow: &Flow,
    (verifier, sealed): (&str, String),
) -> Result<RedirectTo, Failure> {
    let sealed = shorten(server, sealed, server.settings().flow.ends(flow.kind, flow.id)).await?;
    Ok(go_on(server, flow, (verifier, &sealed)))
}

/// Where the browser goes on: the request once more, with a parameter of ours.
pub(super) fn go_on(server: &Server, flow: &Flow, more: (&str, &str)) -> RedirectTo {
    RedirectTo { redirect_to: request_url(server, flow, Some(more)) }
}

/// What the client told of the user and the page; `None` where a device asks.
///
/// # Errors
/// [`Failure::Store`] where the keys cannot be read that verify a hint.
pub(super) async fn oidc_context(server: &Server, flow: &Flow) -> Result<Option<OidcContext>, Failure> {
    if flow.kind == FlowKind::Device {
        return Ok(None);
    }
    let hint = match flow.request.get("id_token_hint") {
        Some(hint) => id_token_hint::verified(server, hint).await?,
        None => None,
    };
    let text = |name| flow.request.get(name).unwrap_or_default().to_owned();
    let list =
        |name| flow.request.get(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    Ok(Some(OidcContext {
        acr_values: list("acr_values"),
        claims: flow.request.get("claims").and_then(|claims| serde_json::from_str(claims).ok()),
        display: text("display"),
        id_token_hint_claims: hint.unwrap_or_default(),
        login_hint: text("login_hint"),
        ui_locales: list("ui_locales"),
    }))
}

/// The client, as apps may show it.
pub(crate) fn client_object(client: &Client) -> Value {
    serde_json::to_value(ClientObject::of(client)).unwrap_or_default()
}

/// The answer to a request of the admin API.
pub(super) fn answered<T: Serialize>(server: &Server, outcome: Result<T, Failure>) -> Response {
    match outcome {
        Ok(value) => answer::json(StatusCode::OK, answer::to_json(&value)),
        Err(failure) => failure.answer(server.settings(), Challenge::None),
    }
}

//! `/admin/oauth2/auth/requests/device`: what the page for user codes is asked and answers. Hydra has `accept` alone.

use axum::extract::{Request, State};
use axum::response::Response;
use http::Uri;
use jiff::Timestamp;
use oauth::denial::Rejection;
use oauth::device_authorization::DeviceChallenge;
use oauth::{Audience, Form, Scope, null_as_default};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::interaction::{RedirectTo, answered, challenge, client_object};
use crate::error::Failure;
use crate::sealed_value::restore;
use crate::{Server, json_body, router, user_code_entry};

/// What stands behind a user code. Without one, it is only said that the challenge is good.
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "deviceUserCodeRequest"))]
#[derive(Serialize)]
pub(crate) struct DeviceRequest {
    challenge: String,
    #[cfg_attr(test, schemars(with = "Option<crate::openapi::schemas::Client>"))]
    client: Value,
    #[cfg_attr(test, schemars(with = "Option<String>", extend("format" = "date-time")))]
    expires_at: Option<Timestamp>,
    request_url: String,
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    requested_access_token_audience: Vec<Audience>,
    #[cfg_attr(test, schemars(with = "Vec<String>"))]
    requested_scope: Vec<Scope>,
}

/// The user code that was entered (Hydra's `AcceptDeviceUserCodeRequest`).
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "acceptDeviceUserCodeRequest"))]
#[derive(Deserialize, Default)]
#[serde(default)]
pub(crate) struct AcceptUserCode {
    #[serde(deserialize_with = "null_as_default")]
    user_code: String,
}

/// The same for a refusal, with what the user is told.
#[derive(Deserialize, Default)]
#[serde(default)]
struct RejectUserCode {
    #[serde(deserialize_with = "null_as_default")]
    user_code: String,
    #[serde(flatten)]
    rejection: Rejection,
}

/// `GET`: what is asked.
pub(crate) async fn get(State(server): State<Server>, uri: Uri) -> Response {
    answered(&server, show(&server, &uri).await)
}

async fn show(server: &Server, uri: &Uri) -> Result<DeviceRequest, Failure> {
    let (challenge, opened) = opened(server, uri).await?;
    let request_url = server.settings().public_url.join(router::DEVICE_VERIFY);
    let form = Form::parse(uri.query().unwrap_or_default().as_bytes())?;
    let Some(typed) = form.get("user_code") else {
        return Ok(DeviceRequest {
            challenge,
            client: Value::Null,
            expires_at: None,
            request_url,
            requested_access_token_audience: Vec::new(),
            requested_scope: Vec::new(),
        });
    };
    let found = user_code_entry::look(server, &opened, typed).await?;
    Ok(DeviceRequest {
        challenge,
        client: client_object(&found.client),
        expires_at: Some(found.expires_at),
        request_url,
        requested_access_token_audience: found.request.audience,
        requested_scope: found.request.scope.iter().cloned().collect(),
    })
}

/// `PUT …/accept`: the user code that was entered.
pub(crate) async fn accept(State(server): State<Server>, request: Request) -> Response {
    answered(&server, accepted(&server, request).await)
}

async fn accepted(server: &Server, request: Request) -> Result<RedirectTo, Failure> {
    let (_, opened) = opened(server, &request.uri().clone()).await?;
    let answer: AcceptUserCode = json_body::read(server, request).await?;
    Ok(RedirectTo::new(user_code_entry::accept(server, &opened, &answer.user_code).await?))
}

/// `PUT …/reject`: the user does not want this device. It is told when it asks, the user on the error page.
pub(crate) async fn reject(State(server): State<Server>, request: Request) -> Response {
    answered(&server, rejected(&server, request).await)
}

async fn rejected(server: &Server, request: Request) -> Result<RedirectTo, Failure> {
    let (_, opened) = opened(server, &request.uri().clone()).await?;
    let answer: RejectUserCode = json_body::read(server, request).await?;
    let denial = answer.rejection.denial("access_denied")?;
    user_code_entry::reject(server, &opened, &answer.user_code).await?;
    let settings = server.settings();
    Ok(RedirectTo::new(settings.pages.error(&settings.public_url, &denial.error, &denial.description)))
}

/// The challenge as it came, and what it holds, while it lasts.
async fn opened(server: &Server, uri: &Uri) -> Result<(String, DeviceChallenge), Failure> {
    let text = challenge(uri, "device_challenge")?;
    let opened = user_code_entry::open(server, &restore(server, &text).await?)?;
    Ok((text, opened))
}

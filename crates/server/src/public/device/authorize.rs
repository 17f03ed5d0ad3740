//! `POST /oauth2/device/auth` (RFC 8628 §3.1).

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use jiff::Timestamp;
use oauth::authorization_request::AuthorizationRequest;
use oauth::device_authorization::{DeviceCode, DeviceRequest};
use oauth::{Client, Form, UserCode};
use serde::Serialize;
use store::NewDeviceAuthorization;

use crate::authenticate::authenticate;
use crate::authorization_times::after;
use crate::error::Failure;
use crate::form::FormRequest;
use crate::{Server, answer, client_address, router};

/// How many user codes are drawn until one is free. That the first one is not is a matter of years.
const DRAWS: usize = 5;

/// A successful answer (RFC 8628 §3.2).
#[derive(Serialize)]
struct Begun {
    device_code: String,
    expires_in: u64,
    interval: u64,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: String,
}

pub(crate) async fn authorize(State(server): State<Server>, request: Request) -> Response {
    let challenge = FormRequest::challenge(&request);
    match begin(&server, request).await {
        Ok(begun) => answer::oauth_json(StatusCode::OK, answer::to_json(&begun)),
        Err(failure) => failure.answer(server.settings(), challenge),
    }
}

/// One statement.
async fn begin(server: &Server, request: Request) -> Result<Begun, Failure> {
    let address = client_address::of(&request, &server.settings().public.forwarders);
    let request = FormRequest::read(server, request).await?;
    let client = authenticate(server, &request).await?;
    let settings = server.settings();
    AuthorizationRequest::of_device(&client, &request.form, settings.authorization)?;

    let expires_at = after(server.now(), settings.flow.device_user_code);
    let register = register(server, &client, &request.form, expires_at);
    let (asked, user_code) = if client.is_public() {
        server.device_requests().count(address, (server.now(), expires_at), register).await?
    } else {
        register.await?
    };
    let (ring, entropy) = (server.store().ring(), server.store().entropy());
    let verification_uri = settings.public_url.join(router::DEVICE_VERIFY);
    Ok(Begun {
        device_code: DeviceCode::new(&asked.flow, expires_at).seal(ring, entropy),
        expires_in: settings.flow.device_user_code.as_secs(),
        interval: settings.flow.device_polling_interval.as_secs(),
        verification_uri_complete: format!("{verification_uri}?user_code={user_code}"),
        user_code: user_code.to_string(),
        verification_uri,
    })
}

/// Writes the request down under a user code of its own. A public client has proven nothing: its requests leave some
/// connections to the others.
async fn register(
    server: &Server,
    client: &Client,
    form: &Form,
    expires_at: Timestamp,
) -> Result<(DeviceRequest, UserCode), Failure> {
    let (store, entropy) = (server.store(), server.store().entropy());
    let _place = if client.is_public() {
        Some(server.unproven_reads().try_acquire().map_err(|_| Failure::Busy)?)
    } else {
        None
    };
    for _ in 0..DRAWS {
        let user_code = server.settings().user_codes.generate(entropy);
        let hash = user_code.hash(store.ring());
        let asked = DeviceRequest::new(client, form, hash, server.now(), entropy);
        let new = NewDeviceAuthorization {
            id: asked.flow.id,
            user_code: hash,
            content: asked.seal(store.ring(), entropy),
            expires_at,
        };
        if store.begin_device_authorization(&new).await? {
            return Ok((asked, user_code));
        }
    }
    Err(Failure::Busy)
}

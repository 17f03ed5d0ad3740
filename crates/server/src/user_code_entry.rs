//! The entry of a user code (RFC 8628 §3.3), by the verification app or on the page of this server.

use std::sync::Arc;

use jiff::Timestamp;
use oauth::authorization_request::AuthorizationRequest;
use oauth::device_authorization::{DeviceChallenge, DeviceRequest, DeviceVerifier};
use oauth::flow::is_too_old;
use oauth::{Client, Error, ErrorCode, UserCode};
use store::StoredDeviceRequest;

use crate::Server;
use crate::error::Failure;
use crate::metrics::ChallengeKind;
use crate::request_url::request_url;

/// What stands behind a user code.
pub(crate) struct Found {
    /// Who asks.
    pub(crate) client: Arc<Client>,
    /// For what.
    pub(crate) request: AuthorizationRequest,
    /// Until when.
    pub(crate) expires_at: Timestamp,
    asked: DeviceRequest,
}

/// Opens a challenge.
///
/// # Errors
/// `not_found`, `request_unauthorized` where it is too old.
pub(crate) fn open(server: &Server, challenge: &str) -> Result<DeviceChallenge, Error> {
    let opened = DeviceChallenge::open(server.store().ring(), challenge);
    let opened =
        opened.ok_or_else(|| Error::new(ErrorCode::NotFound, "Unable to locate the requested resource"))?;
    if is_too_old(opened.id, server.settings().flow.login_consent_request, server.now()) {
        let why = "The request has expired, please try again.";
        return Err(Error::new(ErrorCode::RequestUnauthorized, why));
    }
    Ok(opened)
}

/// Uses a code up for a challenge, and gives the URL where its browser goes on. The same answer may be given again. One
/// statement.
///
/// # Errors
/// `invalid_request` where the code cannot be used, `too_many_requests`; [`Failure::Store`].
pub(crate) async fn accept(
    server: &Server,
    challenge: &DeviceChallenge,
    typed: &str,
) -> Result<String, Failure> {
    let code = read(server, typed)?;
    server.user_code_attempts().begin(challenge, server.now())?;
    let row = server.store().accept_user_code(code.hash(server.store().ring()), challenge.id).await?;
    let found = found(server, challenge, &code, row).await?;
    let verifier = DeviceVerifier { flow: found.asked.flow.reference(), challenge: challenge.id };
    server.metrics().challenge_accepted(ChallengeKind::Device);
    let sealed = verifier.seal(server.store().ring(), server.store().entropy());
    Ok(request_url(server, &found.asked.flow, Some(("device_verifier", &sealed))))
}

/// What stands behind a code that nobody has entered yet. One statement.
///
/// # Errors
/// As [`accept`].
pub(crate) async fn look(
    server: &Server,
    challenge: &DeviceChallenge,
    typed: &str,
) -> Result<Found, Failure> {
    let code = read(server, typed)?;
    server.user_code_attempts().begin(challenge, server.now())?;
    let row = server.store().device_request(code.hash(server.store().ring())).await?;
    found(server, challenge, &code, row).await
}

/// Denies what stands behind a code that nobody has entered yet. One statement.
///
/// # Errors
/// As [`accept`].
pub(crate) async fn reject(server: &Server, challenge: &DeviceChallenge, typed: &str) -> Result<(), Failure> {
    let code = read(server, typed)?;
    server.user_code_attempts().begin(challenge, server.now())?;
    if !server.store().reject_user_code(code.hash(server.store().ring())).await? {
        return Err(unusable().into());
    }
    server.user_code_attempts().forgive(challenge);
    server.metrics().challenge_rejected(ChallengeKind::Device);
    Ok(())
}

/// What cannot be a code counts as no attempt: it tells nothing of any.
fn read(server: &Server, typed: &str) -> Result<UserCode, Error> {
    let format = &server.settings().user_codes;
    format.read(typed).ok_or_else(|| {
        let length = format.length();
        Error::invalid_request(format!(
            "The user code is missing, or not one of this server: it has {length} characters."
        ))
    })
}

async fn found(
    server: &Server,
    challenge: &DeviceChallenge,
    code: &UserCode,
    row: Option<StoredDeviceRequest>,
) -> Result<Found, Failure> {
    let ring = server.store().ring();
    let Some(row) = row else { return Err(unusable().into()) };
    server.user_code_attempts().forgive(challenge);
    let asked = DeviceRequest::open(ring, row.id, code.hash(ring), &row.content);
    let asked =
        asked.ok_or_else(|| Failure::Defect(format!("the row of the device {} was changed", row.id)))?;
    let client = server.store().client(&asked.flow.client_id()?).await?;
    let client = client.filter(|client| asked.flow.is_of(client)).ok_or_else(unusable)?;
    let request =
        AuthorizationRequest::of_device(&client, &asked.flow.request, server.settings().authorization);
    Ok(Found { request: request.map_err(|_| unusable())?, client, expires_at: row.expires_at, asked })
}

fn unusable() -> Error {
    Error::invalid_request("The user code is unknown, has expired, or was entered already.")
}

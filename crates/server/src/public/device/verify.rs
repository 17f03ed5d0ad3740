//! `GET` and `POST /oauth2/device/verify`: the browser's way from the user code to the grant (RFC 8628 §3.3).

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use oauth::authorization_request::AuthorizationRequest;
use oauth::device_authorization::{DeviceChallenge, DeviceVerifier};
use oauth::flow::{FlowKind, Interaction, cookie_value};
use oauth::{Error, ErrorCode};

use crate::browser_request::BrowserRequest;
use crate::error::Failure;
use crate::public::authorize::{Asked, Stop, after_consent, after_login, client, found, redirect, start};
use crate::{Server, browser_flow, pages, user_code_entry};

/// The longest user code that goes along to the page, as it was typed.
const LONGEST_USER_CODE: usize = 100;

/// `GET`: a visit begins, or a flow goes on.
pub(crate) async fn verify(State(server): State<Server>, request: Request) -> Response {
    let answered = match BrowserRequest::read(&server, request).await {
        Ok(browser) => step(&server, &browser).await,
        Err(failure) => Err(failure.into()),
    };
    match answered {
        Ok(response) => response,
        Err(stop) => told(&server, stop).await.answer(&server),
    }
}

/// `POST`: a user code from the page of this server.
pub(crate) async fn enter(State(server): State<Server>, request: Request) -> Response {
    let answered = match BrowserRequest::read(&server, request).await {
        Ok(browser) => entered(&server, &browser).await,
        Err(failure) => Err(failure.into()),
    };
    answered.unwrap_or_else(|stop| stop.answer(&server))
}

/// Lets the device know of a refusal. One statement where there is one to know of.
async fn told(server: &Server, stop: Stop) -> Stop {
    let Stop::ToDevice(Some(flow), _) = &stop else { return stop };
    match server.store().deny_device(*flow).await {
        Ok(()) => stop,
        Err(error) => error.into(),
    }
}

async fn step(server: &Server, browser: &BrowserRequest) -> Result<Response, Stop> {
    let verifier = |name: &'static str| browser.form.get(name);
    let steps = [verifier("consent_verifier"), verifier("login_verifier"), verifier("device_verifier")];
    if steps.iter().all(Option::is_none) {
        return Ok(visit(server, browser));
    }
    let client = client(server, browser).await?;
    tracing::Span::current().record("client_id", client.id.as_str());
    let request = AuthorizationRequest::of_device(&client, &browser.form, server.settings().authorization);
    let request = request.map_err(Stop::ToUser)?;
    let subjects = server.settings().subject_types.of(&client).map_err(Stop::ToUser)?;
    let asked = Asked { server, browser, kind: FlowKind::Device, client, request, subjects };
    match steps {
        [Some(verifier), ..] => grant(&asked, verifier).await,
        [_, Some(verifier), _] => after_login::go_on(&asked, verifier).await,
        [.., verifier] => log_in(&asked, verifier.unwrap_or_default()).await,
    }
}

/// Somebody comes to enter a code. No statement.
fn visit(server: &Server, browser: &BrowserRequest) -> Response {
    let (settings, now) = (server.settings(), server.now());
    let (ring, entropy) = (server.store().ring(), server.store().entropy());
    let challenge = DeviceChallenge::new(browser.address, now, entropy);
    let user_code = browser.form.get("user_code").filter(|code| code.len() <= LONGEST_USER_CODE);
    let page =
        settings.pages.device_verification(&settings.public_url, &challenge.seal(ring, entropy), user_code);
    let mut response = found(&page);
    let value = cookie_value(ring, Interaction::Device, challenge.id);
    let lifetime = settings.flow.login_consent_request;
    let cookie = (Interaction::Device, challenge.id);
    settings.cookies.set_flow(&mut response, &browser.headers, cookie, value, (now, lifetime));
    response
}

/// A code was entered on the page of this server. One statement.
async fn entered(server: &Server, browser: &BrowserRequest) -> Result<Response, Stop> {
    if server.settings().pages.device_verification.is_some() {
        let why =
            "User codes are entered on another page here: begin again at the address that the device shows.";
        return Err(Stop::ToUser(Error::invalid_request(why)));
    }
    let text = browser.form.require("device_challenge").map_err(Stop::ToUser)?;
    let challenge = user_code_entry::open(server, text).map_err(Stop::ToUser)?;
    browser_flow::check(server, &browser.headers, Interaction::Device, challenge.id).map_err(Stop::ToUser)?;
    let typed = browser.form.get("user_code").unwrap_or_default();
    match user_code_entry::accept(server, &challenge, typed).await {
        Ok(next) => Ok(redirect(StatusCode::SEE_OTHER, &next)),
        Err(Failure::Refused(error)) if error.code == ErrorCode::InvalidRequest => {
            let form =
                pages::DeviceForm { challenge: text, user_code: typed, problem: Some(&error.description) };
            Ok(pages::device(StatusCode::BAD_REQUEST, server, form))
        }
        Err(failure) => Err(failure.into()),
    }
}

/// The code was accepted: who is there?
async fn log_in(asked: &Asked<'_>, verifier: &str) -> Result<Response, Stop> {
    let (server, settings) = (asked.server, asked.server.settings());
    let verifier = DeviceVerifier::open(server.store().ring(), verifier);
    let flow = asked.flow(verifier.as_ref().map(|verifier| &verifier.flow), Interaction::Device)?;
    let Some(DeviceVerifier { challenge, .. }) = verifier else { return Err(ended()) };
    let headers = &asked.browser.headers;
    browser_flow::check(server, headers, Interaction::Device, challenge).map_err(Stop::ToUser)?;
    let mut response = start::ask_for_login(asked, flow).await?;
    settings.cookies.end(&mut response, Interaction::Device, challenge);
    Ok(response)
}

/// What was granted waits for the device. One statement, and one where the consent is remembered.
async fn grant(asked: &Asked<'_>, verifier: &str) -> Result<Response, Stop> {
    let (store, settings) = (asked.server.store(), asked.server.settings());
    let grant = after_consent::granted(asked, verifier).await?;
    if !store.grant_device(grant.id, grant.seal(store.ring(), store.entropy())).await? {
        return Err(ended());
    }
    let mut response = found(&settings.pages.device_success(&settings.public_url, &asked.client.id));
    settings.cookies.end_flow(&mut response, grant.id);
    Ok(response)
}

fn ended() -> Stop {
    let why = "The device's request has expired, or was answered already: begin again on the device.";
    Stop::ToUser(Error::new(ErrorCode::RequestUnauthorized, why))
}

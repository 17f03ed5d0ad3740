//! `GET` and `POST /oauth2/sessions/logout` (OpenID Connect RP-Initiated Logout 1.0).

use axum::extract::{Request, State};
use axum::response::Response;
use oauth::login::Login;
use oauth::logout::{Hint, Logout, return_to};
use oauth::{Client, ClientId, Error, LogoutUri};

use crate::browser_request::BrowserRequest;
use crate::error::Failure;
use crate::public::authorize::{Stop, found};
use crate::sealed_value::{restore, shorten_for};
use crate::{Server, browser_session, id_token_hint, pages};

/// For how many seconds the browser waits for clients, as with Hydra.
const FRAMES_LIMIT: u32 = 7;

pub(crate) async fn logout(State(server): State<Server>, request: Request) -> Response {
    let answered = match BrowserRequest::read(&server, request).await {
        Ok(browser) => step(&server, &browser).await,
        Err(failure) => Err(failure.into()),
    };
    answered.unwrap_or_else(|stop| stop.answer(&server))
}

async fn step(server: &Server, browser: &BrowserRequest) -> Result<Response, Stop> {
    match browser.form.get("logout_verifier") {
        Some(verifier) => end(server, browser, verifier).await,
        None => ask(server, browser).await,
    }
}

/// What a client's request says: the hint, the client that it was issued to, and where the browser is to go.
struct Asked {
    hint: Hint,
    client: std::sync::Arc<Client>,
    return_to: Option<String>,
}

/// Asks the user, where there is a session to end. One statement where the browser has a session, or where the client
/// names one.
async fn ask(server: &Server, browser: &BrowserRequest) -> Result<Response, Stop> {
    let settings = server.settings();
    let asked = asked(server, browser).await?;
    // The `state` is for the client's own page (RP-Initiated Logout §3), so the configured one never gets it.
    let return_to = asked.as_ref().and_then(|asked| asked.return_to.clone());
    let return_to = return_to.unwrap_or_else(|| settings.pages.post_logout_redirect(&settings.public_url));
    let Some(login) = session(server, browser).await? else {
        if let Some(Asked { hint: Hint { session_id: Some(id), .. }, client, .. }) = &asked {
            // Nobody is to be asked for a login that no browser remembers. It ends where the client holds it.
            server.store().end_unremembered_login(*id, &client.id).await?;
            server.logout_queue().notify_one();
        }
        return Ok(found(&return_to));
    };
    if let Some(asked) = &asked {
        let of_this_session = asked.hint.session_id.is_none_or(|sid| sid == login.session_id);
        if !is_about(server, asked, &login)? || !of_this_session {
            // The user of the hint has no session here: there is nothing to end for them, and nobody else is logged out.
            return Ok(found(&return_to));
        }
    }
    let skip = asked.as_ref().is_some_and(|asked| asked.client.metadata.skip_logout_consent == Some(true));
    let logout = Logout {
        session_id: login.session_id,
        subject: login.subject,
        client_id: asked.as_ref().map(|asked| asked.client.id.clone()),
        return_to,
        requested_at: server.now().as_second(),
        query: browser.form.clone().without(&["logout_verifier"]).to_query(None),
    };
    if skip {
        return finish(server, &logout).await;
    }
    let (ring, entropy) = (server.store().ring(), server.store().entropy());
    let expires_at = logout.expires_at(settings.flow.login_consent_request);
    let challenge = shorten_for(server, browser, logout.seal_challenge(ring, entropy), expires_at).await?;
    Ok(found(&settings.pages.logout(&settings.public_url, &challenge)))
}

async fn asked(server: &Server, browser: &BrowserRequest) -> Result<Option<Asked>, Stop> {
    let form = &browser.form;
    let Some(text) = form.get("id_token_hint") else {
        if form.get("post_logout_redirect_uri").is_some() || form.get("state").is_some() {
            let why = "The parameter 'id_token_hint' is missing: it says which client the user comes from.";
            return Err(Stop::ToUser(Error::invalid_request(why)));
        }
        return Ok(None);
    };
    let claims = id_token_hint::verified(server, text).await?;
    let not_ours = || Stop::ToUser(Error::invalid_request(id_token_hint::NOT_OURS));
    let hint = claims.as_ref().and_then(Hint::of_claims).ok_or_else(not_ours)?;
    let id = hint.client_id(form).map_err(Stop::ToUser)?;
    let client = server.store().client(&id).await?.ok_or_else(not_ours)?;
    let return_to = return_to(&client, form).map_err(Stop::ToUser)?;
    Ok(Some(Asked { hint, client, return_to }))
}

/// True where the hint is about the user of this login, by the name that the client knows.
fn is_about(server: &Server, asked: &Asked, login: &Login) -> Result<bool, Stop> {
    let subjects = server.settings().subject_types.of(&asked.client).map_err(Stop::ToUser)?;
    let pairwise = subjects.pairwise(&login.subject, None);
    let known_as = pairwise.as_deref().unwrap_or(&login.subject);
    Ok(subjects.is_hinted(&asked.hint, known_as, login.session_id))
}

/// The login of the browser's session.
async fn session(server: &Server, browser: &BrowserRequest) -> Result<Option<Login>, Failure> {
    let Some(id) = browser_session::named(server, &browser.headers) else { return Ok(None) };
    let row = server.store().login_session(id).await?;
    Ok(row.and_then(|row| browser_session::login_of(server, id, &row)))
}

/// Ends the session that the user agreed to end. A verifier that is used again, or in another browser, ends nothing.
async fn end(server: &Server, browser: &BrowserRequest, verifier: &str) -> Result<Response, Stop> {
    let opened = Logout::open_verifier(server.store().ring(), &restore(server, verifier).await?);
    let Some(logout) = opened else {
        return Err(Stop::ToUser(Error::invalid_request("The logout_verifier is not valid.")));
    };
    let in_time = server.now() < logout.expires_at(server.settings().flow.login_consent_request);
    if in_time && browser_session::named(server, &browser.headers) == Some(logout.session_id) {
        return finish(server, &logout).await;
    }
    Ok(found(&logout.return_to))
}

/// Ends the session, and has its clients told: by the browser, by the server, or by both; and the identity provider. One
/// statement. What was granted
/// in the session lives on, as with Hydra.
async fn finish(server: &Server, logout: &Logout) -> Result<Response, Stop> {
    let told = server.store().end_login(logout.session_id).await?;
    server.logout_queue().notify_one();
    let frames = frames(server, told).await;
    let mut response = if frames.is_empty() {
        found(&logout.return_to)
    } else {
        let issuer = &server.settings().issuer;
        let loaded: Vec<_> = frames.iter().map(|uri| uri.front_channel(issuer, logout.session_id)).collect();
        let mut origins: Vec<_> = frames.iter().map(LogoutUri::origin).collect();
        origins.sort_unstable();
        origins.dedup();
        pages::logging_out(&logout.return_to, &loaded, &origins, FRAMES_LIMIT, server.store().entropy())
    };
    server.settings().cookies.end_session(&mut response);
    Ok(response)
}

/// What the browser loads to tell these clients. The session has ended: a client that cannot be read is no reason to tell
/// the user of a failure.
async fn frames(server: &Server, clients: Vec<ClientId>) -> Vec<LogoutUri> {
    let mut frames = Vec::new();
    for id in clients {
        match server.store().client(&id).await {
            Ok(client) => {
                frames.extend(client.and_then(|client| client.metadata.frontchannel_logout_uri.clone()));
            }
            Err(error) => {
                tracing::warn!(client_id = %id, %error, "the browser does not tell a client of a logout");
            }
        }
    }
    frames
}

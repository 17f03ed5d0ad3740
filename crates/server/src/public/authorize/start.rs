//! The beginning of a flow: who is logged in, and may the request go on with that?

use axum::response::Response;
use oauth::flow::{Flow, Interaction, cookie_value};
use oauth::login::{KnownLogin, LoginChallenge};

use super::{Asked, Stop, found};
use crate::browser_session;
use crate::sealed_value::shorten_for;

/// One statement where the browser has a session, none where it has not.
pub(super) async fn go_on(asked: &Asked<'_>) -> Result<Response, Stop> {
    let (server, form) = (asked.server, asked.browser.form.clone());
    ask_for_login(asked, Flow::begin(&asked.client, form, server.now(), server.store().entropy())).await
}

/// Sends the browser to the login page, for a flow that has begun. Statements as above.
pub(crate) async fn ask_for_login(asked: &Asked<'_>, flow: Flow) -> Result<Response, Stop> {
    let (server, settings, now) = (asked.server, asked.server.settings(), asked.server.now());
    let entropy = server.store().entropy();
    let session = session(asked).await?;
    let wanted = asked.wanted_user().await?;
    let challenge = LoginChallenge::decide(flow, &asked.request, session, &wanted, (now, entropy))
        .map_err(|error| asked.to_client(error))?;

    let ring = server.store().ring();
    let lifetime = settings.flow.of(asked.kind);
    let ends = settings.flow.ends(asked.kind, challenge.flow.id);
    let sealed = shorten_for(server, asked.browser, challenge.seal(ring, entropy), ends).await?;
    let (registers, schema) =
        (asked.request.prompts.registration, challenge.flow.request.get("identity_schema"));
    let page = settings.pages.login(&settings.public_url, &sealed, registers, schema);
    let mut response = found(&page);
    let value = cookie_value(ring, Interaction::Login, challenge.flow.id);
    let flow = (Interaction::Login, challenge.flow.id);
    settings.cookies.set_flow(&mut response, &asked.browser.headers, flow, value, (now, lifetime));
    Ok(response)
}

/// The login that the browser's session remembers, and whether its user has consented to this before. A request that
/// forces a login does not look.
async fn session(asked: &Asked<'_>) -> Result<Option<KnownLogin>, Stop> {
    let (server, client) = (asked.server, &asked.client);
    let id = browser_session::named(server, &asked.browser.headers);
    let Some(id) = id.filter(|_| !asked.request.prompts.forces_login()) else { return Ok(None) };
    let found = server.store().session_and_consent(id, &client.id, client.incarnation).await?;
    let Some((session, consent)) = found else { return Ok(None) };
    Ok(browser_session::login_of(server, id, &session).map(|login| {
        let has_consented = asked.is_covered_by(consent, &login.subject);
        KnownLogin { login, has_consented }
    }))
}

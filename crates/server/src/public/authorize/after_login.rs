//! After the login: is it what the request asked for, and must the user be asked for consent?

use std::time::Duration;

use axum::response::Response;
use jiff::Timestamp;
use oauth::consent::{ConsentChallenge, ConsentNeed, need};
use oauth::flow::{Flow, Interaction, cookie_value};
use oauth::login::{
    Login, LoginOutcome, LoginVerifier, SessionMemory, check, session_cookie, session_of_cookie,
};
use oauth::{Error, ErrorCode, IdentityProviderSessionId};
use store::NewLogin;

use super::{Asked, Stop, found};
use crate::authorization_times::after;
use crate::sealed_value::{restore, shorten_for};

/// At most one read, and one write where the session is remembered or forgotten.
pub(crate) async fn go_on(asked: &Asked<'_>, verifier: &str) -> Result<Response, Stop> {
    let sealed = restore(asked.server, verifier).await?;
    let verifier = LoginVerifier::open(asked.server.store().ring(), &sealed);
    let flow = asked.resume(verifier.as_ref().map(|verifier| &verifier.flow), Interaction::Login)?;
    let id = flow.id;
    let outcome = verifier.map(|verifier| verifier.outcome);
    ask_for_consent(asked, flow, outcome).await.map_err(|stop| stop.ending(id))
}

async fn ask_for_consent(
    asked: &Asked<'_>,
    flow: Flow,
    outcome: Option<LoginOutcome>,
) -> Result<Response, Stop> {
    let (server, settings, now) = (asked.server, asked.server.settings(), asked.server.now());
    let (ring, entropy) = (server.store().ring(), server.store().entropy());
    let (login, context, known, memory, forced, provider_session) = match outcome {
        Some(LoginOutcome::Accepted {
            login,
            context,
            known,
            memory,
            forced_subject,
            identity_provider_session,
        }) => (login, context, known, memory, forced_subject, identity_provider_session),
        Some(LoginOutcome::Rejected(denial)) => return Err(asked.denied(denial)),
        None => return Err(asked.to_client(Error::new(ErrorCode::AccessDenied, "The login is not valid."))),
    };
    let wanted = asked.wanted_user().await?;
    let pairwise_subject = asked.subjects.pairwise(&login.subject, forced.as_deref());
    let known_as = pairwise_subject.as_deref().unwrap_or(&login.subject);
    check(&login, known.is_some(), &asked.request, (&wanted, known_as), flow.id.started_at())
        .map_err(|error| asked.to_client(error))?;

    let skip = may_skip(asked, &login, known).await?;
    let challenge = ConsentChallenge { flow, login, context, skip, pairwise_subject };
    challenge.check_prompts(&asked.request).map_err(|error| asked.to_client(error))?;

    let id = challenge.flow.id;
    let (sealed, ends) = (challenge.seal(ring, entropy), settings.flow.ends(asked.kind, id));
    let sealed = shorten_for(server, asked.browser, sealed, ends).await?;
    let mut response = found(&settings.pages.consent(&settings.public_url, &sealed));
    let session = (memory, provider_session, id.started_at());
    apply(asked, &challenge.login, session, &mut response).await?;
    let (value, lifetime) = (cookie_value(ring, Interaction::Consent, id), settings.flow.of(asked.kind));
    let flow = (Interaction::Consent, id);
    settings.cookies.set_flow(&mut response, &asked.browser.headers, flow, value, (now, lifetime));
    Ok(response)
}

async fn may_skip(asked: &Asked<'_>, login: &Login, known: Option<bool>) -> Result<bool, Stop> {
    let (store, client) = (asked.server.store(), &asked.client);
    match need(&asked.request, client, known) {
        ConsentNeed::Ask => Ok(false),
        ConsentNeed::Skip => Ok(true),
        ConsentNeed::LookUp => {
            let row = store.remembered_consent(&login.subject, &client.id, client.incarnation).await?;
            Ok(asked.is_covered_by(row, &login.subject))
        }
    }
}

/// Remembers or forgets the session, in the database first: a cookie that names nothing is harmless, a session that no
/// cookie names is lost.
async fn apply(
    asked: &Asked<'_>,
    login: &Login,
    (memory, provider_session, started_at): (SessionMemory, Option<IdentityProviderSessionId>, Timestamp),
    response: &mut Response,
) -> Result<(), Stop> {
    let (store, settings, now) = (asked.server.store(), asked.server.settings(), asked.server.now());
    match memory {
        SessionMemory::Keep => {}
        SessionMemory::Remember(seconds) => {
            let longest = settings.flow.authentication_session;
            let asked_for = Duration::from_secs(seconds.unsigned_abs());
            let lifetime = if seconds == 0 { longest } else { asked_for.min(longest) };
            let remembered = store
                .remember_login(&NewLogin {
                    id: login.session_id,
                    subject: login.subject.clone(),
                    content: login.seal(store.ring(), store.entropy()),
                    started_at,
                    expires_at: after(now, lifetime),
                    identity_provider_session: provider_session,
                })
                .await?;
            if !remembered {
                let why = "The login was ended in the meantime: log in again.";
                return Err(asked.to_client(Error::new(ErrorCode::LoginRequired, why)));
            }
            let value = session_cookie(store.ring(), login.session_id, store.entropy());
            settings.cookies.set_session(response, value, (now, lifetime));
        }
        SessionMemory::Forget => {
            if let Some(value) = settings.cookies.session_value(&asked.browser.headers) {
                if let Some(id) = session_of_cookie(store.ring(), &value) {
                    store.forget_login(id).await?;
                }
                settings.cookies.end_session(response);
            }
        }
    }
    Ok(())
}

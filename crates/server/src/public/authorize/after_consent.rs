//! After the consent: the code.

use axum::response::Response;
use oauth::authorization_code::{AuthorizationCode, PREFIX};
use oauth::consent::{ConsentOutcome, ConsentVerifier, RememberedConsent};
use oauth::flow::{Flow, Interaction};
use oauth::grant::Grant;
use oauth::{Error, ErrorCode};
use store::{NewConsent, StoredConsent};

use super::stop::respond;
use super::{Asked, Stop};
use crate::authorization_times::after;
use crate::sealed_value::{restore, shorten};

/// No statement, or one write where the consent is remembered. The code carries the grant: it is written when the code
/// is exchanged.
pub(super) async fn go_on(asked: &Asked<'_>, verifier: &str) -> Result<Response, Stop> {
    let (server, settings, now) = (asked.server, asked.server.settings(), asked.server.now());
    let (ring, entropy) = (server.store().ring(), server.store().entropy());
    let verifier = ConsentVerifier::open(ring, &restore(server, verifier).await?);
    let flow = asked.resume(verifier.as_ref().map(|verifier| &verifier.flow), Interaction::Consent)?;
    let outcome = verifier.map(|verifier| verifier.outcome);
    let (grant, remember_for) = granted(asked, &flow, outcome)?;
    if let Some(seconds) = remember_for {
        remember(asked, &grant, seconds).await?;
    }

    let code = AuthorizationCode::new(grant, &asked.request, now, entropy);
    let scope = code.grant.scope.to_string();
    let sealed = shorten(server, code.seal(ring, entropy), after(now, settings.flow.auth_code)).await?;
    let parameters = vec![("code", format!("{PREFIX}{sealed}")), ("scope", scope)];
    let mut response = respond(server, &asked.request.return_address, parameters);
    settings.cookies.end_flow(&mut response, flow.id);
    Ok(response)
}

fn granted(
    asked: &Asked<'_>,
    flow: &Flow,
    outcome: Option<ConsentOutcome>,
) -> Result<(Grant, Option<i64>), Stop> {
    match outcome {
        Some(ConsentOutcome::Granted { login, scope, audience, claims, remember_for }) => {
            let grant = Grant {
                id: flow.id,
                client_id: asked.client.id.clone(),
                incarnation: flow.incarnation,
                epoch: flow.epoch,
                login,
                scope,
                audience,
                nonce: asked.request.nonce.clone(),
                claims,
            };
            Ok((grant, remember_for))
        }
        Some(ConsentOutcome::Rejected(denial)) => {
            Err(Stop::ToClient(Box::new(asked.request.return_address.clone()), denial))
        }
        None => Err(asked.to_client(Error::new(ErrorCode::AccessDenied, "The consent is not valid."))),
    }
}

async fn remember(asked: &Asked<'_>, grant: &Grant, seconds: i64) -> Result<(), Stop> {
    let (store, now) = (asked.server.store(), asked.server.now());
    let consent = RememberedConsent {
        subject: grant.login.subject.clone(),
        client_id: grant.client_id.clone(),
        scope: grant.scope.clone(),
        audience: grant.audience.clone(),
    };
    let stored = StoredConsent {
        client_id: grant.client_id.clone(),
        incarnation: grant.incarnation,
        consent_request_id: grant.id,
        content: consent.seal(store.ring(), store.entropy()),
        granted_at: now,
        expires_at: RememberedConsent::expires_at(seconds, now),
    };
    Ok(store.remember_consent(&NewConsent { subject: consent.subject, consent: stored }).await?)
}

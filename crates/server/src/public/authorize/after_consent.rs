//! After the consent: the response.

use axum::response::Response;
use jiff::Timestamp;
use oauth::consent::{ConsentOutcome, ConsentVerifier, RememberedConsent};
use oauth::flow::{Flow, Interaction};
use oauth::grant::Grant;
use oauth::{Error, ErrorCode};
use store::{NewConsent, StoredConsent};

use super::response;
use super::stop::respond;
use super::{Asked, Stop};
use crate::error::Failure;
use crate::sealed_value::restore;

/// The authentication context of a login that is of none of those that were asked for (OpenID Connect Core §2).
const NO_ACR: &str = "0";

/// One write where the response carries an access token, and one where the consent is remembered. A code carries the
/// grant: it is written when the code is exchanged.
pub(super) async fn go_on(asked: &Asked<'_>, verifier: &str) -> Result<Response, Stop> {
    let (server, settings) = (asked.server, asked.server.settings());
    let (grant, memory) = answered(asked, verifier).await?;
    let flow = grant.id;
    let Some(address) = &asked.request.return_address else {
        return Err(Stop::Failed(Failure::Defect("the request names no address".to_owned())));
    };
    let response = response::Response::prepare(asked, grant).await.map_err(|stop| stop.ending(flow))?;
    response.record(asked).await.map_err(|stop| stop.ending(flow))?;
    if let Some(memory) = memory {
        remember(asked, response.grant(), memory).await?;
    }

    let parameters = response.parameters(asked).await?;
    let mut response = respond(server, address, parameters);
    settings.cookies.end_flow(&mut response, flow);
    Ok(response)
}

/// What the user granted, as the consent app says. No statement, or one where it is to be remembered.
pub(crate) async fn granted(asked: &Asked<'_>, verifier: &str) -> Result<Grant, Stop> {
    let (grant, memory) = answered(asked, verifier).await?;
    if let Some(memory) = memory {
        remember(asked, &grant, memory).await?;
    }
    Ok(grant)
}

/// What the consent app answered: what was granted, and for how long it is remembered.
async fn answered(asked: &Asked<'_>, verifier: &str) -> Result<(Grant, Option<Memory>), Stop> {
    let server = asked.server;
    let verifier = ConsentVerifier::open(server.store().ring(), &restore(server, verifier).await?);
    let flow = asked.resume(verifier.as_ref().map(|verifier| &verifier.flow), Interaction::Consent)?;
    let outcome = verifier.map(|verifier| verifier.outcome);
    decided(asked, &flow, outcome).map_err(|stop| stop.ending(flow.id))
}

fn decided(
    asked: &Asked<'_>,
    flow: &Flow,
    outcome: Option<ConsentOutcome>,
) -> Result<(Grant, Option<Memory>), Stop> {
    match outcome {
        Some(ConsentOutcome::Granted {
            mut login,
            pairwise_subject,
            scope,
            audience,
            claims,
            decided_at,
            remember_for,
        }) => {
            // As with Hydra, who asked for a context and did not get one is told so.
            if login.acr.is_empty() && !asked.request.acr_values.is_empty() {
                NO_ACR.clone_into(&mut login.acr);
            }
            let grant = Grant {
                id: flow.id,
                client_id: asked.client.id.clone(),
                incarnation: flow.incarnation,
                epoch: flow.epoch,
                login,
                pairwise_subject,
                scope,
                audience,
                nonce: asked.request.nonce.clone(),
                placement: asked.request.claims.placement(),
                claims,
            };
            Ok((grant, remember_for.map(|seconds| Memory { seconds, decided_at })))
        }
        Some(ConsentOutcome::Rejected(denial)) => Err(asked.denied(denial)),
        None => Err(asked.to_client(Error::new(ErrorCode::AccessDenied, "The consent is not valid."))),
    }
}

/// For how long a consent is remembered, 0 meaning for ever, and when it was given.
struct Memory {
    seconds: i64,
    decided_at: i64,
}

async fn remember(asked: &Asked<'_>, grant: &Grant, memory: Memory) -> Result<(), Stop> {
    let store = asked.server.store();
    let granted_at = Timestamp::from_second(memory.decided_at).unwrap_or(Timestamp::MIN);
    let expires_at = RememberedConsent::expires_at(memory.seconds, granted_at);
    let consent = RememberedConsent {
        subject: grant.login.subject.clone(),
        client_id: grant.client_id.clone(),
        scope: grant.scope.clone(),
        audience: grant.audience.clone(),
        incarnation: grant.incarnation,
        session_id: grant.login.session_id,
        expires_at: expires_at.map(Timestamp::as_second),
    };
    let stored = StoredConsent {
        client_id: grant.client_id.clone(),
        incarnation: grant.incarnation,
        consent_request_id: grant.id,
        content: consent.seal(store.ring(), store.entropy()),
        granted_at,
        expires_at,
    };
    let new = NewConsent { subject: consent.subject, started_at: grant.id.started_at(), consent: stored };
    Ok(store.remember_consent(&new).await?)
}

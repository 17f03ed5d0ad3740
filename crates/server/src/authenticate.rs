//! Client authentication (RFC 6749 §2.3.1, RFC 7523 §2.2).

pub(crate) mod assertion;

use std::sync::Arc;

use jiff::Timestamp;
use oauth::client::SecretCheck;
use oauth::{
    Client, ClientId, ClientSecret, ClientSecretHash, Credential, Error, PresentedCredentials,
    TokenEndpointAuthMethod,
};

use crate::Server;
use crate::error::Failure;
use crate::form::FormRequest;

/// The client that a request proves to come from.
///
/// # Guarantees
/// Who cannot prove a secret learns nothing: an unknown client, a wrong secret and a missing one are refused with the
/// same words. That a client is registered for another method, it is told once its secret has proven right.
///
/// An assertion is used up when everything about it is right, by one write.
///
/// # Errors
/// `invalid_client`, `invalid_request` or `jti_known`; [`Failure::Busy`] where too many slow hashes wait, of all clients
/// or of this one; [`Failure::Store`].
pub(crate) async fn authenticate(server: &Server, request: &FormRequest) -> Result<Arc<Client>, Failure> {
    let presented = PresentedCredentials::from_request(request.authorization()?, &request.form)?;
    let (id, method) = (&presented.client_id, presented.credential.method());
    match &presented.credential {
        Credential::Assertion(assertion) => assertion::authenticate(server, assertion).await,
        Credential::Basic(secret) | Credential::Post(secret) => by_secret(server, id, secret, method).await,
        Credential::None => {
            let known = known(server, id).await?;
            // A public client has nothing to prove (RFC 6749 §2.1).
            if known.is_public() { Ok(known) } else { Err(refused()) }
        }
    }
}

async fn known(server: &Server, id: &ClientId) -> Result<Arc<Client>, Failure> {
    let known = server.named_client(id).await?.ok_or_else(refused)?;
    tracing::Span::current().record("client_id", known.id.as_str());
    Ok(known)
}

async fn by_secret(
    server: &Server,
    id: &ClientId,
    secret: &ClientSecret,
    method: TokenEndpointAuthMethod,
) -> Result<Arc<Client>, Failure> {
    let (known, now) = (known(server, id).await?, server.now());
    let client = if proves(server, &known, secret, now).await? {
        known
    } else {
        // What is cached may be older than a rotation: the new secret gets a second chance.
        let place = server.unproven_reads().try_acquire().map_err(|_| Failure::Busy)?;
        let fresh = server.store().fresh_client(id).await?.ok_or_else(refused)?;
        drop(place);
        if same_secrets(&known, &fresh) || !proves(server, &fresh, secret, now).await? {
            return Err(refused());
        }
        fresh
    };
    client.check_method(method)?;
    Ok(client)
}

fn refused() -> Failure {
    Error::invalid_client(
        "Client authentication failed: the client is unknown, or its secret is missing, wrong or expired.",
    )
    .into()
}

async fn proves(
    server: &Server,
    client: &Arc<Client>,
    secret: &ClientSecret,
    now: Timestamp,
) -> Result<bool, Failure> {
    match client.check_secret(server.store().ring(), secret, now) {
        SecretCheck::Match => Ok(true),
        SecretCheck::Mismatch => Ok(false),
        SecretCheck::Slow(hashes) => matches_slow_hash(server, client, &hashes, secret, now).await,
    }
}

async fn matches_slow_hash(
    server: &Server,
    client: &Arc<Client>,
    hashes: &[&ClientSecretHash],
    secret: &ClientSecret,
    now: Timestamp,
) -> Result<bool, Failure> {
    let verified = server.verified_secrets();
    let proofs: Vec<_> = hashes.iter().map(|hash| verified.proof(client, hash, secret)).collect();
    if proofs.iter().flatten().any(|proof| verified.is_known(*proof, now)) {
        return Ok(true);
    }
    for (&hash, proof) in hashes.iter().zip(proofs) {
        let (store, client, secret, hash) =
            (server.store().clone(), Arc::clone(client), secret.clone(), hash.clone());
        let Some(share) = server.hash_shares().take(&client.id) else { return Err(server.hashes().refuse()) };
        let verify = move || {
            // It goes with the work, which goes on without its caller.
            let _held = share;
            hash.verify(store.ring(), &client.id, client.incarnation, &secret)
        };
        if server.hashes().run(verify).await? {
            if let Some(proof) = proof {
                verified.remember(proof, now);
            }
            return Ok(true);
        }
    }
    Ok(false)
}

/// True where comparing with `fresh` would only repeat the comparison with `known`.
fn same_secrets(known: &Client, fresh: &Client) -> bool {
    known.incarnation == fresh.incarnation
        && known.secrets.len() == fresh.secrets.len()
        && known.secrets.iter().zip(&fresh.secrets).all(|(known, fresh)| {
            known.expires_at == fresh.expires_at && known.hash.to_string() == fresh.hash.to_string()
        })
}

#[cfg(test)]
mod tests;

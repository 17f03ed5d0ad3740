//! Client authentication by what the client signed (`private_key_jwt`; RFC 7523 §2.2 and §3).

use std::sync::Arc;

use oauth::assertion::SingleUse;
use oauth::{Client, ClientAssertion, Error, ErrorCode, TokenEndpointAuthMethod};

use crate::Server;
use crate::client_keys::verified;
use crate::error::Failure;

/// The client whose key signed an assertion, which is used up.
///
/// What it says of itself is checked first, then who signed it; it is used up last. So nobody but the client uses up one
/// of its `jti`s, and nothing is written or fetched for what cannot be valid.
pub(super) async fn authenticate(
    server: &Server,
    assertion: &ClientAssertion,
) -> Result<Arc<Client>, Failure> {
    let used = assertion.check(&server.settings().audiences(), server.now())?;
    let id = assertion.client_id();
    let known = server.named_client(id).await?.ok_or_else(refused)?;
    tracing::Span::current().record("client_id", known.id.as_str());
    let client = if is_signed(server, &known, assertion).await {
        known
    } else {
        // What is cached may be older than a change of the client's keys: the new ones get a second chance.
        let place = server.unproven_reads().try_acquire().map_err(|_| Failure::Busy)?;
        let fresh = server.store().fresh_client(id).await?.ok_or_else(refused)?;
        drop(place);
        if known.metadata == fresh.metadata || !is_signed(server, &fresh, assertion).await {
            return Err(refused());
        }
        fresh
    };
    use_up(server, used).await?;
    Ok(client)
}

/// Uses up an assertion whose signature has been verified. One statement.
///
/// # Errors
/// `jti_known` where it was used before; [`Failure::Store`].
pub(crate) async fn use_up(server: &Server, used: SingleUse) -> Result<(), Failure> {
    if server.store().use_assertion(used).await? {
        return Ok(());
    }
    Err(Error::new(ErrorCode::JtiKnown, "The assertion was used before: its jti must be new each time.")
        .into())
}

async fn is_signed(server: &Server, client: &Client, assertion: &ClientAssertion) -> bool {
    let metadata = &client.metadata;
    metadata.token_endpoint_auth_method == TokenEndpointAuthMethod::PrivateKeyJwt
        && verified(server, client, assertion.compact(), metadata.assertion_algorithm()).await.is_some()
}

/// The same words whatever is wrong: who cannot prove to be the client learns nothing of it.
fn refused() -> Failure {
    Error::invalid_client(
        "Client authentication failed: the client is unknown, or not registered for private_key_jwt, or the \
         client_assertion is not signed with its token_endpoint_auth_signing_alg (RS256 if none is registered) and a \
         key of its jwks or jwks_uri.",
    )
    .into()
}

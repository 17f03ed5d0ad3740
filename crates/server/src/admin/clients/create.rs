//! Creating a client.

use http::HeaderValue;
use jose::Entropy;
use oauth::{ClientId, ClientRegistration, ClientSecret, Incarnation, TokenEndpointAuthMethod};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use store::{Error, NewClient};
use uuid::Builder;

use super::edit::{Edited, hash_chosen, hash_generated, retried};
use super::find;
use crate::error::{Failure, Refusal};
use crate::outbound::Account;
use crate::{Server, sector_identifier};

/// What needs no escape in a segment of a path (RFC 3986 §2.3).
pub(crate) const UNRESERVED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Creates the client, with a secret of its own where it needs one and nobody chose it. One with keys is told a secret,
/// too, which opens nothing: Hydra Maester has no Secret for a client without.
///
/// # Errors
/// [`Refusal::Exists`] where the id is taken, by whomever; `invalid_client_metadata` of [`sector_identifier::check`].
pub(super) async fn create(server: &Server, registration: &ClientRegistration) -> Result<Edited, Failure> {
    sector_identifier::check(server, Account::Operator, &registration.metadata).await?;
    let mut created = create_checked(server, Account::Operator, registration).await?;
    if created.row.metadata.token_endpoint_auth_method == TokenEndpointAuthMethod::PrivateKeyJwt {
        created.secret = Some(ClientSecret::generate(server.store().entropy()));
    }
    Ok(created)
}

/// The same for a client whose sector has been looked at.
pub(crate) async fn create_checked(
    server: &Server,
    account: Account,
    registration: &ClientRegistration,
) -> Result<Edited, Failure> {
    let entropy = server.store().entropy();
    let id = registration.id.clone().map_or_else(|| random_id(entropy), Ok)?;
    let incarnation = Incarnation(i64::from_be_bytes(entropy.bytes()));
    let needs_secret = registration.metadata.token_endpoint_auth_method.has_secret();
    let (secret, hash) = match registration.secret.clone() {
        Some(chosen) => {
            let hash = hash_chosen(server, &id, incarnation, chosen.clone()).await?;
            (Some(chosen), Some(hash))
        }
        None if needs_secret => {
            let (secret, hash) = hash_generated(server, &id, incarnation);
            (Some(secret), Some(hash))
        }
        None => (None, None),
    };
    let new = NewClient {
        id,
        incarnation,
        metadata: registration.metadata.clone(),
        manager: None,
        deleted_with_manager: false,
        spec_hash: String::new(),
        secret: hash,
        handled_rotate_secret: None,
        self_registered: account == Account::SelfRegistered,
    };
    match retried(|| server.store().create_client(&new)).await {
        Ok(()) => Ok(Edited { row: find(server, new.id.as_str()).await?, secret }),
        Err(Error::Conflict(_) | Error::Unmanaged) => Err(Failure::Plain(Refusal::Exists)),
        Err(error) => Err(error.into()),
    }
}

fn random_id(entropy: &Entropy) -> Result<ClientId, Failure> {
    let id = Builder::from_random_bytes(entropy.bytes()).into_uuid();
    ClientId::parse(id.to_string()).map_err(|error| Failure::Defect(error.to_string()))
}

/// Where a client is found.
pub(super) fn location(id: &ClientId) -> Result<HeaderValue, Failure> {
    let path = format!("/admin/clients/{}", utf8_percent_encode(id.as_str(), UNRESERVED));
    HeaderValue::try_from(path).map_err(|error| Failure::Defect(error.to_string()))
}

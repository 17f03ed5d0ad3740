//! Changing a client that no resource owns.

use oauth::{
    ClientId, ClientMetadata, ClientRegistration, ClientSecret, ClientSecretHash, Incarnation, Lifespans,
};
use store::{Error, SecretChange, StoredClient};

use super::{find, owned};
use crate::error::Failure;
use crate::outbound::Account;
use crate::{Server, sector_identifier};

/// How often a change is decided anew after another one came first.
const ATTEMPTS: usize = 5;

/// What becomes of a client.
pub(crate) enum Edit {
    /// This is registered, and its secret, if there is one, takes the place of all others. The registration access token
    /// ends, as whoever holds it could undo the change.
    Register(Box<ClientRegistration>),
    /// The same by the client itself, which gets a new registration access token; and a secret, if it needs one and has
    /// none.
    RegisterItself(Box<ClientRegistration>),
    /// Its own lifetimes are these.
    SetLifespans(Lifespans),
    /// A new secret is made, and the registration access token ends.
    RotateSecret,
    /// All secrets but the current one end.
    DropFormerSecrets,
}

/// A client after its change.
pub(crate) struct Edited {
    /// Its row.
    pub(crate) row: StoredClient,
    /// A secret that is to be told.
    pub(crate) secret: Option<ClientSecret>,
}

/// Reads a client, decides, and writes; as a whole, whoever else writes at the same time.
///
/// # Errors
/// [`Refusal`](crate::error::Refusal) where it is not there, or a resource owns it; what `decide` refuses;
/// [`Failure::Store`].
pub(crate) async fn edit(
    server: &Server,
    id: &str,
    decide: impl Fn(&StoredClient) -> Result<Edit, Failure>,
) -> Result<Edited, Failure> {
    for _ in 0..ATTEMPTS {
        let row = find(server, id).await?;
        if let Some(resource) = row.manager {
            return Err(owned(Box::new(resource)));
        }
        let edit = decide(&row)?;
        match apply(server, &row, edit).await {
            Ok(secret) => return Ok(Edited { row: find(server, id).await?, secret }),
            Err(Failure::Store(Error::Raced)) => {}
            Err(failure) => return Err(failure),
        }
    }
    Err(Error::Raced.into())
}

/// Gives the secret that is to be told.
async fn apply(server: &Server, row: &StoredClient, edit: Edit) -> Result<Option<ClientSecret>, Failure> {
    let (store, fence) = (server.store(), row.fence());
    match edit {
        Edit::Register(registration) => {
            let ClientRegistration { metadata, secret, .. } = *registration;
            check_sector(server, account(row.self_registered), &row.metadata, &metadata).await?;
            let change = match &secret {
                Some(chosen) => {
                    let hash = hash_chosen(server, &row.id, row.incarnation, chosen.clone()).await?;
                    SecretChange::Replace(hash)
                }
                None if metadata.token_endpoint_auth_method.has_secret() => SecretChange::Keep,
                None => SecretChange::Remove,
            };
            let generation = row.registration_generation.saturating_add(1);
            store.replace_client(&fence, &metadata, &change, (generation, row.self_registered)).await?;
            Ok(secret)
        }
        Edit::RegisterItself(registration) => {
            // The addresses of an administrator are asked as before, until the client names others.
            let names_others = !registration.metadata.asks_same_uris(&row.metadata);
            let self_registered = row.self_registered || names_others;
            check_sector(server, account(self_registered), &row.metadata, &registration.metadata).await?;
            let needs_secret = registration.metadata.token_endpoint_auth_method.has_secret();
            let (secret, change) = match needs_secret {
                true if row.secrets.is_empty() => {
                    let (secret, hash) = hash_generated(server, &row.id, row.incarnation);
                    (Some(secret), SecretChange::Replace(hash))
                }
                true => (None, SecretChange::Keep),
                false => (None, SecretChange::Remove),
            };
            let generation = row.registration_generation.saturating_add(1);
            let registered = (generation, self_registered);
            store.replace_client(&fence, &registration.metadata, &change, registered).await?;
            Ok(secret)
        }
        Edit::SetLifespans(lifespans) => {
            let metadata = ClientMetadata { lifespans, ..row.metadata.clone() };
            let registered = (row.registration_generation, row.self_registered);
            store.replace_client(&fence, &metadata, &SecretChange::Keep, registered).await?;
            Ok(None)
        }
        Edit::RotateSecret => {
            let (secret, hash) = hash_generated(server, &row.id, row.incarnation);
            store.rotate_secret(&fence, &hash).await?;
            Ok(Some(secret))
        }
        Edit::DropFormerSecrets => {
            store.drop_former_secrets(&fence).await?;
            Ok(None)
        }
    }
}

/// What stays as it is was checked when it was registered.
async fn check_sector(
    server: &Server,
    account: Account,
    former: &ClientMetadata,
    new: &ClientMetadata,
) -> Result<(), Failure> {
    let deciding = |metadata: &ClientMetadata| {
        (metadata.subject_type, metadata.sector_identifier_uri.clone(), metadata.redirect_uris.clone())
    };
    if deciding(former) == deciding(new) {
        return Ok(());
    }
    sector_identifier::check(server, account, new).await
}

fn account(self_registered: bool) -> Account {
    if self_registered { Account::SelfRegistered } else { Account::Operator }
}

/// Does something again while others come first.
pub(crate) async fn retried<T, F>(attempt: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    for _ in 1..ATTEMPTS {
        match attempt().await {
            Err(Error::Raced) => {}
            done => return done,
        }
    }
    attempt().await
}

/// Hashes a secret that somebody chose, off the reactor.
pub(super) async fn hash_chosen(
    server: &Server,
    id: &ClientId,
    incarnation: Incarnation,
    secret: ClientSecret,
) -> Result<ClientSecretHash, Failure> {
    let (store, id) = (server.store().clone(), id.clone());
    let hash = move || ClientSecretHash::of_chosen(store.ring(), &id, incarnation, &secret, store.entropy());
    server.hashes().run(hash).await?.map_err(|error| Failure::Defect(error.to_string()))
}

/// Makes a secret, which needs no slow hash.
pub(super) fn hash_generated(
    server: &Server,
    id: &ClientId,
    incarnation: Incarnation,
) -> (ClientSecret, ClientSecretHash) {
    let store = server.store();
    let secret = ClientSecret::generate(store.entropy());
    let hash = ClientSecretHash::of_generated(store.ring(), id, incarnation, &secret);
    (secret, hash)
}

//! Clients that no resource owns.

use oauth::{ClientId, ClientMetadata, ClientSecret, ClientSecretHash, Incarnation};
use store::{NewClient, Store};

/// The incarnation of each of them.
pub const INCARNATION: Incarnation = Incarnation(7);

/// Registers a client as the admin API or an import does; `owner` is whose it says it is.
pub async fn register(
    store: &Store,
    id: &ClientId,
    owner: Option<&str>,
    mut metadata: ClientMetadata,
    secret: &ClientSecret,
) {
    metadata.other.extend(owner.map(|owner| ("owner".to_owned(), owner.into())));
    let new = NewClient {
        id: id.clone(),
        incarnation: INCARNATION,
        metadata,
        manager: None,
        deleted_with_manager: false,
        spec_hash: String::new(),
        secret: Some(ClientSecretHash::of_generated(store.ring(), id, INCARNATION, secret)),
        handled_rotate_secret: None,
        self_registered: false,
    };
    store.create_client(&new).await.unwrap();
}

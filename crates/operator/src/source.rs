//! Where resources come from: a cluster's API server, or a folder of manifests.

pub mod cluster;
pub mod folder;

use store::{ACCESS_TOKEN_SET, Error, ID_TOKEN_SET, Store};

/// Makes the token sets that no resource declares, once all resources are known: the server needs both to be ready.
///
/// # Errors
/// [`Error::Unavailable`].
pub(crate) async fn make_undeclared_token_sets(store: &Store, declared: &[String]) -> Result<(), Error> {
    for set in [ID_TOKEN_SET, ACCESS_TOKEN_SET] {
        if !declared.iter().any(|name| name == set) {
            store.ensure_token_set(set).await?;
        }
    }
    Ok(())
}

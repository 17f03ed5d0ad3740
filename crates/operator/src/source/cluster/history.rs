//! Whether the API server's history goes on.
//!
//! Versions of objects only grow, until somebody puts an older snapshot of the API server's storage back. A watch that
//! goes on from a version that does not exist yet again is told of nothing below it, neither of what the snapshot
//! brought back nor of what happens next, and no error says so.

use std::time::Duration;

use crd::OAuth2Client;
use kube::Client;
use kube::api::ListParams;

use super::answer::answer;
use super::scope::Scope;
use super::watches;

/// The pause between two looks.
const EVERY: Duration = Duration::from_secs(10);

/// Waits until the API server is at an older version than it was before. Looks of which one fails are no reason.
///
/// # Caveats
/// Where so much is written within one pause that the versions have caught up by then, this does not notice. Who restores
/// a snapshot by the book moves the versions on (`etcdutl snapshot restore --bump-revision --mark-compacted`), and then
/// every watch begins anew by itself.
pub(super) async fn went_back(client: &Client, scope: &Scope) {
    // All namespaces have one storage.
    let namespace = scope.namespaces().into_iter().next().flatten();
    let api = watches::api::<OAuth2Client>(client, namespace.as_deref());
    let one = ListParams::default().limit(1);
    let mut newest = 0;
    loop {
        let listed = answer(api.list_metadata(&one)).await.ok();
        let version = listed.and_then(|list| list.metadata.resource_version?.parse::<u64>().ok());
        if let Some(version) = version {
            if version < newest {
                tracing::warn!(newest, version, "the API server went back to an older state; beginning anew");
                return;
            }
            newest = version;
        }
        tokio::time::sleep(EVERY).await;
    }
}

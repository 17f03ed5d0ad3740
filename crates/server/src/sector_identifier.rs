//! What a client is registered as for pairwise subjects (OpenID Connect Dynamic Client Registration §5).

use oauth::{ClientMetadata, Error, ErrorCode};
use url::Url;

use crate::Server;
use crate::error::Failure;
use crate::outbound::Account;

/// The longest list of redirect URIs that is read, in bytes.
const LONGEST_LIST: usize = 256 * 1024;

/// Checks what is to be registered. Where the client names a `sector_identifier_uri`, the list that lies there is
/// fetched: whoever shares a sector's names of users is on the list of that sector.
///
/// # Errors
/// `invalid_client_metadata` naming the member.
pub(crate) async fn check(
    server: &Server,
    account: Account,
    metadata: &ClientMetadata,
) -> Result<(), Failure> {
    server.settings().subject_types.check(metadata)?;
    let Some(uri) = &metadata.sector_identifier_uri else { return Ok(()) };
    // Why not is for the log: whoever registers would learn what lies at other addresses than the client's.
    let listed = fetch(server, account, uri).await.map_err(|why| {
        tracing::info!(%why, "the redirect URIs of a sector cannot be read");
        refused("no JSON array of redirect URIs can be got there")
    })?;
    match metadata.redirect_uris.iter().find(|uri| !listed.iter().any(|listed| listed == uri.as_str())) {
        None => Ok(()),
        Some(missing) => Err(refused(&format!("the list that lies there does not have '{missing}'")).into()),
    }
}

async fn fetch(server: &Server, account: Account, uri: &str) -> Result<Vec<String>, String> {
    let url = Url::parse(uri).map_err(|error| error.to_string())?;
    let fetched = server.outbound().get(account, &url, LONGEST_LIST).await;
    let answer = fetched.map_err(|error| error.to_string())?;
    if !answer.status.is_success() {
        return Err(format!("the answer has the status {}", answer.status.as_u16()));
    }
    serde_json::from_slice(&answer.body).map_err(|error| format!("no JSON array of URIs lies there: {error}"))
}

fn refused(why: &str) -> Error {
    Error::new(ErrorCode::InvalidClientMetadata, format!("sector_identifier_uri: {why}."))
}

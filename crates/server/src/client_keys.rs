//! What a client signed: verified with the keys that it registered, or publishes where it registered.

use jose::{JwkSet, JwsHeader, SigningAlgorithm};
use oauth::Client;
use serde_json::{Map, Value};

use crate::Server;
use crate::outbound::Account;

/// The claims of a JWS, where a key of the client signed it with this algorithm. Asks at most one address, at most once
/// in ten seconds.
pub(crate) async fn verified(
    server: &Server,
    client: &Client,
    compact: &str,
    algorithm: SigningAlgorithm,
) -> Option<Map<String, Value>> {
    let header = JwsHeader::parse(compact).ok().filter(|header| header.alg == algorithm)?;
    let verify = |keys: &JwkSet| match keys.verify(compact, algorithm) {
        Ok(Value::Object(claims)) => Some(claims),
        _ => None,
    };
    if let Some(registered) = &client.metadata.jwks {
        return verify(registered.keys());
    }
    let url = client.metadata.jwks_uri.as_ref()?.url();
    let whence = (Account::of(client), url);
    let keys = server.remote_keys().get(server.outbound(), whence, header.kid.as_ref(), server.now()).await?;
    verify(&keys)
}

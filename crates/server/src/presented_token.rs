//! Tokens that callers send to be introspected or revoked.

use jose::JwsHeader;
use oauth::AccessToken;
use oauth::jwt_access_token::looks_like_jwt;
use store::KeyRegistry;

use crate::Server;
use crate::error::Failure;

/// Opens an opaque token or a JWT; `None` for what is no token of ours. Says nothing of expiry or revocation.
///
/// # Errors
/// [`Failure::Store`] where the keys that verify a JWT cannot be read.
pub(crate) async fn open(server: &Server, token: &str) -> Result<Option<AccessToken>, Failure> {
    if looks_like_jwt(token) {
        let keys = server.store().keys().await?;
        return Ok(open_jwt(server, &keys, token));
    }
    Ok(AccessToken::open(server.store().ring(), token).ok())
}

/// A JWT counts while its key is published, and says what the key in its `jti` says: that one is sealed.
fn open_jwt(server: &Server, keys: &KeyRegistry, token: &str) -> Option<AccessToken> {
    let kid = JwsHeader::parse(token).ok()?.kid?;
    let claims = keys.verifier(&kid, server.now())?.verify(token).ok()?;
    AccessToken::open_key(server.store().ring(), claims.get("jti")?.as_str()?).ok()
}

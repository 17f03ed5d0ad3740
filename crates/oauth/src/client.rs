//! The client: what the server keeps of it beside what is registered.

use jiff::Timestamp;
use jose::KeyRing;
use serde::{Deserialize, Serialize};

use crate::{
    ClientId, ClientMetadata, ClientSecret, ClientSecretHash, Error, ErrorCode, GrantType,
    TokenEndpointAuthMethod,
};

/// Tells a client from one that had the same id before it was deleted: 64 random bits, new at each creation, named by
/// every token and every secret's hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Incarnation(pub i64);

/// One of a client's live secrets.
#[derive(Debug, Clone)]
pub struct LiveSecret {
    /// The stored hash.
    pub hash: ClientSecretHash,
    /// When it stops working; `None` for the current secret.
    pub expires_at: Option<Timestamp>,
}

/// A client as the server uses it.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its identifier.
    pub id: ClientId,
    /// Which creation of this id it is.
    pub incarnation: Incarnation,
    /// Counts "revoke all tokens of this client".
    pub epoch: i64,
    /// True where a resource declares it.
    pub declared: bool,
    /// True where it registered itself, or names addresses that it chose itself.
    pub self_registered: bool,
    /// What is registered of it.
    pub metadata: ClientMetadata,
    /// When it was created.
    pub created_at: Timestamp,
    /// When anything of it was last changed.
    pub updated_at: Timestamp,
    /// Its live secrets: the current one, and those that overlap after a rotation.
    pub secrets: Vec<LiveSecret>,
}

/// The outcome of comparing a presented secret with a client's live ones.
#[derive(Debug)]
pub enum SecretCheck<'a> {
    /// One of them matches.
    Match,
    /// None matches, and none is left to try.
    Mismatch,
    /// None of the fast ones matches; these slow hashes remain, to be tried off the reactor.
    Slow(Vec<&'a ClientSecretHash>),
}

impl Client {
    /// True for a client that has no credential (RFC 6749 §2.1).
    pub fn is_public(&self) -> bool {
        self.metadata.token_endpoint_auth_method == TokenEndpointAuthMethod::None
    }

    /// Checks that the client authenticates as it is registered to.
    ///
    /// # Errors
    /// `invalid_client` naming both methods.
    pub fn check_method(&self, presented: TokenEndpointAuthMethod) -> Result<(), Error> {
        let registered = self.metadata.token_endpoint_auth_method;
        if presented == registered {
            return Ok(());
        }
        Err(Error::invalid_client(format!(
            "The client is registered for the authentication method '{registered}', but the request uses \
             '{presented}'."
        )))
    }

    /// Checks that the client is registered for a grant type.
    ///
    /// # Errors
    /// `unauthorized_client` naming the grant type.
    pub fn check_grant(&self, grant: GrantType) -> Result<(), Error> {
        if self.metadata.allows_grant(grant) {
            return Ok(());
        }
        Err(Error::new(
            ErrorCode::UnauthorizedClient,
            format!("The client is not registered for the grant type '{grant}'."),
        ))
    }

    /// Compares a presented secret with the live ones: the fast hashes here, the slow ones left to the caller.
    pub fn check_secret(&self, ring: &KeyRing, presented: &ClientSecret, now: Timestamp) -> SecretCheck<'_> {
        let live = || self.secrets.iter().filter(|s| s.expires_at.is_none_or(|at| now < at)).map(|s| &s.hash);
        let matches = |hash: &&ClientSecretHash| hash.verify(ring, &self.id, self.incarnation, presented);
        if live().filter(|hash| !hash.is_slow()).any(|hash| matches(&hash)) {
            return SecretCheck::Match;
        }
        let slow: Vec<_> = live().filter(|hash| hash.is_slow()).collect();
        if slow.is_empty() { SecretCheck::Mismatch } else { SecretCheck::Slow(slow) }
    }
}

#[cfg(test)]
impl Client {
    /// A declared client `app` of which this is registered.
    pub(crate) fn example(metadata: serde_json::Value) -> Self {
        Self {
            id: ClientId::parse("app").unwrap(),
            incarnation: Incarnation(1),
            epoch: 0,
            declared: true,
            self_registered: false,
            metadata: serde_json::from_value(metadata).unwrap(),
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            secrets: vec![],
        }
    }
}

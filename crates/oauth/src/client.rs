//! The client: what is registered of it (RFC 7591 §2), and what the server keeps beside that.

use std::fmt;

use jiff::Timestamp;
use jose::{KeyRing, SigningAlgorithm};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Audience, ClientId, ClientSecret, ClientSecretHash, Error, ErrorCode, GrantType, Lifespans, RedirectUri,
    ResponseType, ScopeSet,
};

/// How a client authenticates at the token endpoint (RFC 7591 §2, OpenID Connect Core §9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenEndpointAuthMethod {
    /// HTTP Basic with the secret.
    #[default]
    ClientSecretBasic,
    /// `client_id` and `client_secret` in the form.
    ClientSecretPost,
    /// A signed assertion (RFC 7523 §2.2).
    PrivateKeyJwt,
    /// A public client: it has no credential.
    None,
}

impl TokenEndpointAuthMethod {
    /// The methods by which this server authenticates clients today.
    pub const SERVED: [Self; 3] = [Self::ClientSecretBasic, Self::ClientSecretPost, Self::None];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::None => "none",
        }
    }

    /// True for the methods that use a client secret.
    pub fn has_secret(self) -> bool {
        matches!(self, Self::ClientSecretBasic | Self::ClientSecretPost)
    }
}

impl fmt::Display for TokenEndpointAuthMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether access tokens are opaque or JWTs (Hydra's `strategies.access_token`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessTokenStrategy {
    /// A sealed value that only this server reads.
    #[default]
    Opaque,
    /// A signed JWT that resource servers verify by themselves.
    Jwt,
}

/// What is registered of a client, under RFC 7591's and Hydra's names.
///
/// The members that this server acts on are fields. All others are kept as they came in `other`, so that a client
/// can be declared whole before each of its flows is served.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientMetadata {
    /// The name that people see.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub client_name: String,
    /// Where authorization responses may go.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redirect_uris: Vec<RedirectUri>,
    /// The grant types that the client may use.
    pub grant_types: Vec<GrantType>,
    /// The response types that it may ask for; none means `code` (RFC 7591 §2).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response_types: Vec<ResponseType>,
    /// The scopes that it may ask for.
    pub scope: ScopeSet,
    /// The audiences that it may ask for.
    pub audience: Vec<Audience>,
    /// How it authenticates.
    pub token_endpoint_auth_method: TokenEndpointAuthMethod,
    /// The algorithm that signs its ID tokens; `None` means the key set's first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token_signed_response_alg: Option<SigningAlgorithm>,
    /// Its users are not asked for their consent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skip_consent: bool,
    /// Its own kind of access token; `None` means the server's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_token_strategy: Option<AccessTokenStrategy>,
    /// Its own token lifetimes.
    #[serde(flatten)]
    pub lifespans: Lifespans,
    /// Registered members that no served flow reads yet.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

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
    /// What is registered of it.
    pub metadata: ClientMetadata,
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
        if self.metadata.grant_types.contains(&grant) {
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
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_of_flows_to_come_survive_a_round_trip() {
        let registered = json!({
            "grant_types": ["client_credentials"],
            "scope": "read write",
            "audience": ["https://api.example.com"],
            "token_endpoint_auth_method": "client_secret_post",
            "client_credentials_grant_access_token_lifespan": "31h",
            "redirect_uris": ["https://app.example.com/cb"],
            "metadata": {"team": {"id": 1}},
        });
        let metadata: ClientMetadata = serde_json::from_value(registered).unwrap();
        assert_eq!(metadata.lifespans.longest_access_token().unwrap().as_secs(), 31 * 3600);
        let written = serde_json::to_value(&metadata).unwrap();
        assert_eq!(written["redirect_uris"], json!(["https://app.example.com/cb"]));
        assert_eq!(written["metadata"], json!({"team": {"id": 1}}));
        assert_eq!(written["client_credentials_grant_access_token_lifespan"], "31h0m0s");
        assert_eq!(serde_json::from_value::<ClientMetadata>(written).unwrap(), metadata);
    }
}

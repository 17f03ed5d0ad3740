//! What is registered of a client (RFC 7591 §2).

use std::fmt;

use jose::SigningAlgorithm;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::request_object::RequestObjectAlgorithm;
use crate::{
    Audience, GrantType, Lifespans, LogoutUri, RedirectUri, RegisteredKeys, ResponseType, ScopeSet,
    SubjectType, WebUrl,
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
    pub const SERVED: [Self; 4] =
        [Self::ClientSecretBasic, Self::ClientSecretPost, Self::PrivateKeyJwt, Self::None];

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
    /// The grant types that the client may use; none means `authorization_code`, see [`Self::allows_grant`].
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
    /// The algorithm of the assertions by which it authenticates, see [`Self::assertion_algorithm`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_signing_alg: Option<SigningAlgorithm>,
    /// Its own public keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks: Option<RegisteredKeys>,
    /// Where it publishes them instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<WebUrl>,
    /// Where its request objects may lie.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub request_uris: Vec<WebUrl>,
    /// How its request objects are signed; `None` means in any way, or not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_object_signing_alg: Option<RequestObjectAlgorithm>,
    /// The algorithm that signs its ID tokens; `None` means the key set's first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token_signed_response_alg: Option<SigningAlgorithm>,
    /// The algorithm that signs what the userinfo endpoint answers to it; `None` means plain JSON.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "algorithm_or_none")]
    pub userinfo_signed_response_alg: Option<SigningAlgorithm>,
    /// Whether it knows its users by names of their own.
    #[serde(skip_serializing_if = "is_public")]
    pub subject_type: SubjectType,
    /// What it shares its pairwise names with: the address of a list of redirect URIs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sector_identifier_uri: Option<String>,
    /// The origins whose pages may use the endpoints that it asks as this client; a `*` may stand for one label of a
    /// host, as in `https://*.example.com`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_cors_origins: Vec<String>,
    /// Its users are not asked for their consent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub skip_consent: bool,
    /// Where its users may go after a logout.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub post_logout_redirect_uris: Vec<RedirectUri>,
    /// Its users are not asked whether they want to log out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_logout_consent: Option<bool>,
    /// What the browser loads at a logout (OpenID Connect Front-Channel Logout §2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frontchannel_logout_uri: Option<LogoutUri>,
    /// It wants `iss` and `sid` there; it always gets them.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub frontchannel_logout_session_required: bool,
    /// Where the server posts a logout token (OpenID Connect Back-Channel Logout §2.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backchannel_logout_uri: Option<LogoutUri>,
    /// It wants `sid` in that; it always gets it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub backchannel_logout_session_required: bool,
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

/// `none` is how a document says that nothing is signed (OpenID Connect Dynamic Client Registration §2).
fn algorithm_or_none<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SigningAlgorithm>, D::Error> {
    let named =
        Option::<String>::deserialize(deserializer)?.filter(|name| !matches!(name.as_str(), "" | "none"));
    named.map(|name| name.parse().map_err(serde::de::Error::custom)).transpose()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_public(subject_type: &SubjectType) -> bool {
    *subject_type == SubjectType::Public
}

impl ClientMetadata {
    /// True where the addresses that the server itself asks for the client are the same in both.
    pub fn asks_same_uris(&self, other: &Self) -> bool {
        self.jwks_uri == other.jwks_uri
            && self.request_uris == other.request_uris
            && self.sector_identifier_uri == other.sector_identifier_uri
            && self.backchannel_logout_uri == other.backchannel_logout_uri
    }

    /// True where the client may use a grant type. One that names none may use `authorization_code` (RFC 7591 §2).
    pub fn allows_grant(&self, grant: GrantType) -> bool {
        if self.grant_types.is_empty() {
            return grant == GrantType::AuthorizationCode;
        }
        self.grant_types.contains(&grant)
    }

    /// The algorithm of the assertions by which it authenticates (OpenID Connect Core §9); RS256 where none is
    /// registered, as with Hydra.
    pub fn assertion_algorithm(&self) -> SigningAlgorithm {
        self.token_endpoint_auth_signing_alg.unwrap_or(SigningAlgorithm::Rs256)
    }

    /// True where the client is told of logouts.
    pub fn is_told_of_logouts(&self) -> bool {
        self.frontchannel_logout_uri.is_some() || self.backchannel_logout_uri.is_some()
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

    #[test]
    fn a_client_without_grant_types_may_use_codes_alone() {
        let none = ClientMetadata::default();
        assert!(
            none.allows_grant(GrantType::AuthorizationCode) && !none.allows_grant(GrantType::RefreshToken)
        );
        let service = ClientMetadata { grant_types: vec![GrantType::ClientCredentials], ..none };
        assert!(!service.allows_grant(GrantType::AuthorizationCode));
    }
}

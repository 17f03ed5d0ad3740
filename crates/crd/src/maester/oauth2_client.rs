//! Hydra Maester's `OAuth2Client`: its fields and their rules, as loose as Maester's.
#![expect(
    clippy::struct_excessive_bools,
    reason = "they are the protocol's flags; the derive copies them too"
)]
#![expect(clippy::duplicated_attributes, reason = "each printcolumn has its own type")]

use kube::{CustomResource, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::lifespans::TokenLifespans;
use crate::{
    client_metadata::{AccessTokenStrategy, GrantType, ResponseType, SubjectType, TokenEndpointAuthMethod},
    client_secret::SecretRotationStatus,
    condition::ConditionStatus,
    schema,
    status_time::StatusTime,
    string_enum::string_enum,
};

/// Where it is not written as `^…$`, Maester's patterns match any text that contains a match.
const SECRET_NAME: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const SCOPE: &str = r"([a-zA-Z0-9\.\*]+\s?)*";
const WEB_URL: &str = r"(^$|^https?://.*)";

/// What a client is to be, in the words of Hydra Maester.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "hydra.ory.sh",
    version = "v1alpha1",
    kind = "OAuth2Client",
    namespaced,
    doc = "A client of the authorization server, as Hydra Maester declares it.",
    derive = "PartialEq",
    status = "OAuth2ClientStatus",
    printcolumn(name = "Secret", type_ = "string", json_path = ".spec.secretName"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct OAuth2ClientSpec {
    /// Name to show to people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    /// Grants that the client may use.
    #[schemars(schema_with = "grant_types")]
    pub grant_types: Vec<GrantType>,
    /// Response types that the client may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 3))]
    pub response_types: Vec<ResponseType>,
    /// Where the browser may be sent with an answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "uris")]
    pub redirect_uris: Vec<String>,
    /// Where request objects may be fetched from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "uris")]
    pub request_uris: Vec<String>,
    /// Where the browser may be sent after a logout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "uris")]
    pub post_logout_redirect_uris: Vec<String>,
    /// Origins of scripts that may call the public endpoints as this client.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "uris")]
    pub allowed_cors_origins: Vec<String>,
    /// Audiences that the client may ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audience: Vec<String>,
    /// Scopes that the client may ask for, separated by spaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = SCOPE))]
    pub scope: Option<String>,
    /// Further scopes that the client may ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scope_array: Vec<String>,
    /// The Secret that carries the credentials.
    #[schemars(length(min = 1, max = 253), regex(pattern = SECRET_NAME))]
    pub secret_name: String,
    /// Never ask people for consent.
    #[serde(default)]
    pub skip_consent: bool,
    /// Never ask people to confirm a logout that this client starts.
    #[serde(default)]
    pub skip_logout_consent: bool,
    /// Where Hydra's admin API is, if not where Maester was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hydra_admin: Option<HydraAdmin>,
    /// How the client authenticates at the token endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_method: Option<TokenEndpointAuthMethod>,
    /// Algorithm of the assertions of private_key_jwt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_signing_alg: Option<String>,
    /// Lifetimes of tokens that differ from the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_lifespans: Option<TokenLifespans>,
    /// Anything else, handed to login and consent apps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::free_form")]
    pub metadata: Option<Map<String, Value>>,
    /// Where the client publishes its keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = WEB_URL))]
    pub jwks_uri: Option<String>,
    /// Picture of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = WEB_URL))]
    pub logo_uri: Option<String>,
    /// Page about the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = WEB_URL))]
    pub client_uri: Option<String>,
    /// The client's privacy policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = WEB_URL))]
    pub policy_uri: Option<String>,
    /// The client's terms of service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = WEB_URL))]
    pub tos_uri: Option<String>,
    /// List of redirect URIs whose clients share pairwise subjects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = WEB_URL))]
    pub sector_identifier_uri: Option<String>,
    /// Page of the client that the browser loads at logout.
    #[serde(rename = "frontChannelLogoutURI", default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = WEB_URL))]
    pub front_channel_logout_uri: Option<String>,
    /// Whether that page is told issuer and session.
    #[serde(default)]
    pub front_channel_logout_session_required: bool,
    /// Endpoint of the client that the server calls at logout.
    #[serde(rename = "backChannelLogoutURI", default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = WEB_URL))]
    pub back_channel_logout_uri: Option<String>,
    /// Whether that call names the session.
    #[serde(default)]
    pub back_channel_logout_session_required: bool,
    /// Form of access tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token_strategy: Option<AccessTokenStrategy>,
    /// Whether this client sees the same subject as other clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_type: Option<SubjectType>,
    /// Hydra never let a secret expire; this has no effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub client_secret_expires_at: Option<i64>,
    /// Ways to reach the people responsible.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contacts: Vec<String>,
    /// Algorithm that request objects must be signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_object_signing_alg: Option<String>,
    /// Algorithm that signs answers of the userinfo endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub userinfo_signed_response_alg: Option<String>,
    /// What happens to the client when this resource is deleted; by default it is deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,
}

string_enum! {
    /// What happens to the client when its resource is deleted, in lower case.
    pub enum DeletionPolicy {
        /// It is deleted as well.
        Delete = "delete",
        /// It stays.
        Orphan = "orphan",
    }
}

/// Another Hydra than the one that Maester was told of.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HydraAdmin {
    /// Scheme and host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), regex(pattern = WEB_URL))]
    pub url: Option<String>,
    /// Port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 65535))]
    pub port: Option<i64>,
    /// Path of the clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "(^$|^/.*)"))]
    pub endpoint: Option<String>,
    /// `X-Forwarded-Proto`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "(^$|https?|off)"))]
    pub forwarded_proto: Option<String>,
}

impl HydraAdmin {
    /// True where nothing is set, as Maester itself writes it.
    pub fn is_empty(&self) -> bool {
        let is_blank = |text: &Option<String>| text.as_deref().unwrap_or_default().is_empty();
        is_blank(&self.url)
            && self.port.is_none_or(|port| port == 0)
            && is_blank(&self.endpoint)
            && is_blank(&self.forwarded_proto)
    }
}

/// What has become of a client. Maester writes `observedGeneration`, `reconciliationError`, and of the conditions `Ready`;
/// the rest is what the status of our own resource says.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OAuth2ClientStatus {
    /// Generation of the resource that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Why the client is not as declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconciliation_error: Option<ReconciliationError>,
    /// Identifier of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The Secret that carries the credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// Changes of the client secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_rotation: Option<SecretRotationStatus>,
    /// How it stands; wait for Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<MaesterCondition>,
}

/// Why a client is not as declared. Both texts are empty while it is.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReconciliationError {
    /// For programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_code: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// One condition. Maester writes the type and the status alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MaesterCondition {
    /// What this condition is about.
    #[serde(rename = "type")]
    pub type_: String,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Generation of the resource on which this was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// When the status last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<StatusTime>,
    /// Why, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// The four grants that Maester knows.
fn grant_types(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 4,
        "items": {
            "type": "string",
            "enum": ["client_credentials", "authorization_code", "implicit", "refresh_token"],
        },
    })
}

/// URIs of any scheme.
fn uris(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": {"type": "string", "pattern": r"\w+:/?/?[^\s]+"}})
}

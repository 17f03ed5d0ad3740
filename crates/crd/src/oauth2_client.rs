//! `OAuth2Client`: a client of the authorization server.
#![expect(
    clippy::struct_excessive_bools,
    reason = "they are the protocol's flags; the derive copies them too"
)]

use kube::{CustomResource, KubeSchema, ResourceExt};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    algorithm::SigningAlgorithm,
    client_metadata::{
        AccessTokenStrategy, DeletionPolicy, GrantType, ResponseType, SubjectType, TokenEndpointAuthMethod,
    },
    client_secret::{ClientSecret, SecretRotation, SecretRotationStatus},
    condition::{Condition, ConditionType},
    lifespans::Lifespans,
    names,
    public_jwks::PublicJwks,
    schema::{self, INSTANCE},
};

/// What the name of a client's Secret ends with, after the client's own, unless the spec names another.
const SECRET_SUFFIX: &str = "-oauth2-client";

/// What a client is to be. Fields of the protocol have the names of RFC 7591 in camelCase.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "keywright.dev",
    version = "v1alpha1",
    kind = "OAuth2Client",
    namespaced,
    doc = "A client of the authorization server.",
    derive = "PartialEq",
    status = "OAuth2ClientStatus",
    shortname = "oac",
    category = "keywright",
    selectable = ".spec.instance",
    printcolumn(name = "Client ID", type_ = "string", json_path = ".status.clientId"),
    printcolumn(name = "Secret", type_ = "string", json_path = ".status.secretName"),
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
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Instance", type_ = "string", json_path = ".spec.instance", priority = 1),
    printcolumn(
        name = "Next Rotation",
        type_ = "string",
        json_path = ".status.secretRotation.nextRotationTime",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    ),
    validation = Rule::new("size(self.metadata.name) <= 200")
        .message("metadata.name must be at most 200 characters (the generated Secret's name is derived from it)"),
    validation = Rule::new("!has(self.spec.clientId) || !has(self.status) || !has(self.status.clientId) || self.spec.clientId == self.status.clientId")
        .message("clientId cannot change once the client exists; delete and recreate the resource")
        .field_path(".spec.clientId")
        .reason(Reason::FieldValueForbidden)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.jwks) && has(self.jwksUri))").message("set jwks or jwksUri, not both"),
    validation = Rule::new("self.tokenEndpointAuthMethod != 'private_key_jwt' || has(self.jwks) || has(self.jwksUri)")
        .message("private_key_jwt needs jwks or jwksUri"),
    validation = Rule::new("self.tokenEndpointAuthMethod != 'none' || !('client_credentials' in self.grantTypes)")
        .message("a public client (tokenEndpointAuthMethod none) cannot use client_credentials"),
    validation = Rule::new("!has(self.secretRotation) || self.tokenEndpointAuthMethod in ['client_secret_basic', 'client_secret_post']")
        .message("secretRotation needs a client that authenticates with a secret"),
    validation = Rule::new("!has(self.secretRotation) || self.secret.source == 'Generate'")
        .message("secretRotation needs secret.source Generate; a referenced Secret is rotated by its owner"),
    validation = Rule::new("self.secret.source != 'Reference' || has(self.secret.name)")
        .message("secret.source Reference needs secret.name"),
    validation = Rule::new("!self.grantTypes.exists(g, g in ['authorization_code', 'implicit']) || (has(self.redirectUris) && size(self.redirectUris) > 0)")
        .message("authorization_code and implicit need at least one redirectUris entry"),
    validation = Rule::new("!('refresh_token' in self.grantTypes) || self.grantTypes.exists(g, g != 'refresh_token' && g != 'client_credentials' && g != 'implicit')")
        .message("refresh_token needs a grant that issues refresh tokens (authorization_code, device_code, jwt-bearer or token-exchange)"),
    // The one-element list binds the origins, so that they are computed once: two nested loops over
    // the URIs cost more than the API server allows.
    validation = Rule::new("!has(self.postLogoutRedirectUris) || (has(self.redirectUris) && [self.redirectUris.map(r, r.find('^[^:]+:(//[^/?#]*)?'))].exists(origins, self.postLogoutRedirectUris.all(p, p.find('^[^:]+:(//[^/?#]*)?') in origins)))")
        .message("every postLogoutRedirectUris entry must share scheme, host and port with a redirectUris entry"),
    validation = Rule::new("has(self.clientId) == has(oldSelf.clientId) || !has(oldSelf.clientId)")
        .message("clientId cannot be removed")
)]
pub struct OAuth2ClientSpec {
    /// Name of the server instance this client belongs to; operators ignore resources of other
    /// instances.
    #[serde(default = "schema::default_instance")]
    #[schemars(length(max = 63), regex(pattern = INSTANCE))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("instance is immutable"))]
    pub instance: String,
    /// Stop reconciling; the client keeps working as it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
    /// What happens to the client and the generated Secret when this resource is deleted.
    #[serde(default = "default_deletion_policy")]
    pub deletion_policy: DeletionPolicy,
    /// Take over an existing, unmanaged client with this clientId. Only in namespaces where the
    /// operator allows it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopt: bool,
    /// Identifier of the client; generated where absent, and fixed once it exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = "^[!-~]+$"))]
    pub client_id: Option<String>,
    /// The Secret that carries the credentials.
    #[serde(default)]
    pub secret: ClientSecret,
    /// Rotate the generated client secret; the previous one stays valid for overlap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_rotation: Option<SecretRotation>,

    /// Name to show to people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub client_name: Option<String>,
    /// Grants that the client may use.
    #[serde(default = "default_grant_types")]
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub grant_types: Vec<GrantType>,
    /// Response types that the client may use; by default those of its grants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub response_types: Vec<ResponseType>,
    /// Where the browser may be sent with an answer. Compared exactly, but for the port of loopback
    /// addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::uris")]
    pub redirect_uris: Vec<String>,
    /// Where the browser may be sent after a logout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::uris")]
    pub post_logout_redirect_uris: Vec<String>,
    /// Where request objects may be fetched from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::uris")]
    pub request_uris: Vec<String>,
    /// Origins of scripts that may call the public endpoints as this client.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 512), regex(pattern = r"^https?://[^\s/?#@]+/?$")))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub allowed_cors_origins: Vec<String>,
    /// Scopes that the client may ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 255), regex(pattern = r"^[!#-\[\]-~]+$")))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub scopes: Vec<String>,
    /// Audiences that the client may ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 1024), regex(pattern = r"^\S+$")))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub audience: Vec<String>,

    /// How the client authenticates at the token endpoint; none is a public client.
    #[serde(default)]
    pub token_endpoint_auth_method: TokenEndpointAuthMethod,
    /// Algorithm of the assertions of private_key_jwt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_signing_alg: Option<SigningAlgorithm>,
    /// Where the client publishes its keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::web_url")]
    pub jwks_uri: Option<String>,
    /// Public keys (RFC 7517) for private_key_jwt and signed request objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwks: Option<PublicJwks>,
    /// Algorithm that request objects must be signed with; none for unsigned ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub request_object_signing_alg: Option<String>,
    /// Algorithm that signs answers of the userinfo endpoint; none or absent for plain JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub userinfo_signed_response_alg: Option<String>,
    /// Algorithm that signs ID tokens; by default the first of the key set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id_token_signed_response_alg: Option<SigningAlgorithm>,
    /// Whether this client sees the same subject as other clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_type: Option<SubjectType>,
    /// List of redirect URIs whose clients share pairwise subjects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048), regex(pattern = r"^https://[^\s]+$"))]
    pub sector_identifier_uri: Option<String>,
    /// Form of access tokens; by default the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token_strategy: Option<AccessTokenStrategy>,
    /// Never ask people for consent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skip_consent: bool,
    /// Never ask people to confirm a logout that this client starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip_logout_consent: Option<bool>,
    /// Page of the client that the browser loads at logout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::web_url")]
    pub frontchannel_logout_uri: Option<String>,
    /// Whether that page is told issuer and session.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub frontchannel_logout_session_required: bool,
    /// Endpoint of the client that the server calls at logout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::web_url")]
    pub backchannel_logout_uri: Option<String>,
    /// Whether that call names the session.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub backchannel_logout_session_required: bool,

    /// Page about the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::web_url")]
    pub client_uri: Option<String>,
    /// Picture of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::web_url")]
    pub logo_uri: Option<String>,
    /// The client's privacy policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::web_url")]
    pub policy_uri: Option<String>,
    /// The client's terms of service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::web_url")]
    pub tos_uri: Option<String>,
    /// Ways to reach the people responsible, typically email addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(max = 320)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub contacts: Vec<String>,
    /// Whose client this is; any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub owner: Option<String>,
    /// Anything else, handed to login and consent apps.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "schema::free_form")]
    pub metadata: Map<String, Value>,
    /// Lifetimes of tokens that differ from the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifespans: Option<Lifespans>,
}

fn default_deletion_policy() -> DeletionPolicy {
    DeletionPolicy::Delete
}

fn default_grant_types() -> Vec<GrantType> {
    vec![GrantType::AuthorizationCode]
}

/// What has become of a client.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct OAuth2ClientStatus {
    /// Generation of the resource that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// Identifier of the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The Secret that carries the credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// Rotation of the client secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_rotation: Option<SecretRotationStatus>,
    /// How it stands; wait for Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

impl OAuth2ClientStatus {
    /// The condition of this type.
    pub fn condition(&self, type_: &ConditionType) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == *type_)
    }
}

impl OAuth2Client {
    /// Name of the Secret, in the namespace of the resource, that carries the credentials.
    pub fn secret_name(&self) -> String {
        self.spec.secret.name.clone().unwrap_or_else(|| format!("{}{SECRET_SUFFIX}", self.name_any()))
    }

    /// True where [`Self::secret_name`] is this. It is asked of all clients for each Secret that changed.
    pub fn names_secret(&self, secret: &str) -> bool {
        match &self.spec.secret.name {
            Some(name) => name == secret,
            None => secret
                .strip_suffix(SECRET_SUFFIX)
                .is_some_and(|name| self.metadata.name.as_deref() == Some(name)),
        }
    }

    /// The request for a rotation of the client secret that stands in the annotations, handled or not.
    pub fn rotation_request(&self) -> Option<&str> {
        self.annotations().get(names::ROTATE_SECRET).map(String::as_str)
    }
}

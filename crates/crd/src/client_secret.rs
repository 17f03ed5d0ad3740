//! The Secret that carries a client's credentials, and the rotation of the client secret.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{
    duration::{COARSE, GoDuration},
    schema::{self, OBJECT_NAME, SECRET_KEY},
    status_time::StatusTime,
    string_enum::string_enum,
};

/// The Secret that carries a client's credentials.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.source != 'Reference' || (!has(self.labels) && !has(self.annotations))")
        .message("labels and annotations are for generated Secrets")
)]
pub struct ClientSecret {
    /// Generate makes and owns the Secret. Reference reads one that exists, waits for it, and never
    /// writes it.
    #[serde(default)]
    pub source: SecretSource,
    /// Defaults to `<metadata.name>-oauth2-client`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = OBJECT_NAME))]
    pub name: Option<String>,
    /// Entries of the Secret.
    #[serde(default)]
    pub keys: SecretKeys,
    /// Labels of the generated Secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the generated Secret.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::annotations")]
    pub annotations: BTreeMap<String, String>,
}

string_enum! {
    /// Where a client's Secret comes from.
    #[derive(Default)]
    pub enum SecretSource {
        /// Keywright makes and owns it.
        #[default]
        Generate = "Generate",
        /// Somebody else makes it; Keywright only reads it.
        Reference = "Reference",
    }
}

/// Names of the entries in a client's Secret. All differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.clientId != self.clientSecret && (!has(self.issuer) || (self.issuer != self.clientId && self.issuer != self.clientSecret))")
        .message("the keys must differ")
)]
pub struct SecretKeys {
    /// Entry with the client id.
    #[serde(default = "client_id_key")]
    #[schemars(length(max = 253), regex(pattern = SECRET_KEY))]
    pub client_id: String,
    /// Entry with the client secret.
    #[serde(default = "client_secret_key")]
    #[schemars(length(max = 253), regex(pattern = SECRET_KEY))]
    pub client_secret: String,
    /// Also write the issuer URL under this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253), regex(pattern = SECRET_KEY))]
    pub issuer: Option<String>,
}

impl Default for SecretKeys {
    fn default() -> Self {
        Self { client_id: client_id_key(), client_secret: client_secret_key(), issuer: None }
    }
}

fn client_id_key() -> String {
    "CLIENT_ID".to_owned()
}

fn client_secret_key() -> String {
    "CLIENT_SECRET".to_owned()
}

/// Rotation of a generated client secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("duration(self.period) >= duration('1m')").message("period must be at least 1m"),
    validation = Rule::new("duration(self.overlap) < duration(self.period)")
        .message("overlap must be shorter than period")
)]
pub struct SecretRotation {
    /// Time from one rotation to the next.
    #[schemars(regex(pattern = COARSE))]
    pub period: GoDuration,
    /// Time for which the previous secret stays valid.
    #[serde(default = "default_overlap")]
    #[schemars(regex(pattern = COARSE))]
    pub overlap: GoDuration,
}

fn default_overlap() -> GoDuration {
    GoDuration::hours(24)
}

/// What became of the rotation of a client secret.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretRotationStatus {
    /// When the secret was last rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_rotation_time: Option<StatusTime>,
    /// When it is due next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_rotation_time: Option<StatusTime>,
    /// Until when the previous secret is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_secret_expires_at: Option<StatusTime>,
    /// Last value of the annotation keywright.dev/rotate-secret that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_request: Option<String>,
}

//! `JsonWebKeySet`: a set of keys that the server signs or decrypts with, and how it turns.

use kube::{CustomResource, KubeSchema, ResourceExt};
use serde::{Deserialize, Serialize};

use crate::{
    algorithm::{KeyAlgorithm, KeyUse, RsaBits},
    client_metadata::DeletionPolicy,
    condition::{Condition, ConditionType},
    duration::{COARSE, GoDuration},
    names,
    schema::{self, INSTANCE, OBJECT_NAME},
    status_time::StatusTime,
    string_enum::string_enum,
};

/// What a key set is to be.
#[derive(CustomResource, Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "keywright.dev",
    version = "v1alpha1",
    kind = "JsonWebKeySet",
    namespaced,
    doc = "A set of keys of the authorization server, turned on schedule.",
    derive = "PartialEq",
    status = "JsonWebKeySetStatus",
    shortname = "jwks",
    category = "keywright",
    selectable = ".spec.instance",
    printcolumn(name = "Set", type_ = "string", json_path = ".status.set"),
    printcolumn(name = "Active Key", type_ = "string", json_path = ".status.activeKeyId"),
    // Not of type date: kubectl prints <invalid> for times in the future.
    printcolumn(name = "Next Rotation", type_ = "string", json_path = ".status.nextRotationTime"),
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
    printcolumn(name = "Algorithms", type_ = "string", json_path = ".spec.algorithms", priority = 1),
    printcolumn(name = "Last Rotation", type_ = "date", json_path = ".status.lastRotationTime", priority = 1),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1
    ),
    validation = Rule::new("!has(self.spec.set) || !has(self.status) || !has(self.status.set) || self.spec.set == self.status.set")
        .message("set cannot change once keys exist")
        .field_path(".spec.set")
        .reason(Reason::FieldValueForbidden)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.use != 'sig' || self.algorithms.all(a, a in ['RS256','RS384','RS512','PS256','PS384','PS512','ES256','ES384','ES512','EdDSA'])")
        .message("use sig needs signing algorithms"),
    validation = Rule::new("self.use != 'enc' || self.algorithms.all(a, a in ['RSA-OAEP-256','ECDH-ES','ECDH-ES+A128KW','ECDH-ES+A256KW'])")
        .message("use enc needs key agreement or key encryption algorithms"),
    validation = Rule::new("!has(self.rsaBits) || self.algorithms.exists(a, a.startsWith('RS') || a.startsWith('PS'))")
        .message("rsaBits needs an RSA algorithm")
)]
pub struct JsonWebKeySetSpec {
    /// Name of the server instance this key set belongs to; operators ignore resources of other
    /// instances.
    #[serde(default = "schema::default_instance")]
    #[schemars(length(max = 63), regex(pattern = INSTANCE))]
    #[x_kube(validation = Rule::new("self == oldSelf").message("instance is immutable"))]
    pub instance: String,
    /// Stop turning keys; published keys stay as they are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub suspend: bool,
    /// Orphan leaves the keys in the server when this resource is deleted.
    #[serde(default = "default_deletion_policy")]
    pub deletion_policy: DeletionPolicy,
    /// Name of the key set in the server; defaults to metadata.name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[A-Za-z0-9._-]+$"))]
    pub set: Option<String>,
    /// What the keys are for: sig for signatures, enc for encryption.
    #[serde(default = "default_use", rename = "use")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("use is immutable"))]
    pub use_: KeyUse,
    /// One line of keys per algorithm; the first is the default. A change takes effect with the next
    /// rotation.
    #[serde(default = "default_algorithms")]
    #[schemars(length(min = 1, max = 4))]
    #[x_kube(
        merge_strategy = ListMerge::Atomic,
        validation = Rule::new("self.all(a, self.filter(b, b == a).size() == 1)").message("algorithms must differ")
    )]
    pub algorithms: Vec<KeyAlgorithm>,
    /// Size of RSA keys in bits; 4096 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rsa_bits: Option<RsaBits>,
    /// When the keys turn.
    #[serde(default)]
    pub rotation: Rotation,
    /// Compromised keys. They stop signing and leave the published set at once, and are replaced
    /// without waiting.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 255)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub revoked_key_ids: Vec<String>,
    /// Also write the set as JWKS into this Secret (key jwks.json).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export: Option<Export>,
}

fn default_deletion_policy() -> DeletionPolicy {
    DeletionPolicy::Orphan
}

fn default_use() -> KeyUse {
    KeyUse::Sig
}

fn default_algorithms() -> Vec<KeyAlgorithm> {
    vec![KeyAlgorithm::Rs256]
}

/// When the keys of a set turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.policy != 'Scheduled' || has(self.period) != has(self.schedule)")
        .message("set exactly one of period and schedule"),
    validation = Rule::new("self.policy != 'Manual' || (!has(self.period) && !has(self.schedule))")
        .message("policy Manual takes neither period nor schedule"),
    validation = Rule::new("!has(self.timeZone) || has(self.schedule)").message("timeZone needs schedule"),
    validation = Rule::new("!has(self.period) || duration(self.period) >= duration('1m')")
        .message("period must be at least 1m"),
    validation = Rule::new("!has(self.period) || duration(self.publishBefore) < duration(self.period)")
        .message("publishBefore must be shorter than period"),
    validation = Rule::new("duration(self.publishBefore) > duration('0s')")
        .message("publishBefore must be more than zero")
)]
pub struct Rotation {
    /// Scheduled turns keys by period or schedule, Manual only by annotation.
    #[serde(default)]
    pub policy: RotationPolicy,
    /// Time a key stays active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = COARSE))]
    pub period: Option<GoDuration>,
    /// Cron expression (5 fields) of the moments at which the next key becomes active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 128), regex(pattern = r"^\S+( +\S+){4}$"))]
    pub schedule: Option<String>,
    /// IANA name; default UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = "^[A-Za-z0-9_+/-]+$"))]
    pub time_zone: Option<String>,
    /// How long a key is published before it signs. At least the time for which verifiers cache the
    /// key set.
    #[serde(default = "default_publish_before")]
    #[schemars(regex(pattern = COARSE))]
    pub publish_before: GoDuration,
    /// Minimum time a retired key stays published; never less than the longest token lifetime.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = COARSE))]
    pub retain_after: Option<GoDuration>,
}

/// What activates the next key of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn<'a> {
    /// The active key's age.
    Period(&'a GoDuration),
    /// The calendar.
    Schedule {
        /// Cron expression of five fields.
        expression: &'a str,
        /// IANA name of the time zone in which it is read.
        time_zone: &'a str,
    },
    /// Somebody, by annotation.
    Manual,
}

impl Rotation {
    /// What activates the next key; `None` for a spec that breaks the rules of the schema.
    pub fn turn(&self) -> Option<Turn<'_>> {
        match (self.policy, &self.period, &self.schedule) {
            (RotationPolicy::Manual, None, None) => Some(Turn::Manual),
            (RotationPolicy::Scheduled, Some(period), None) => Some(Turn::Period(period)),
            (RotationPolicy::Scheduled, None, Some(expression)) => {
                Some(Turn::Schedule { expression, time_zone: self.time_zone.as_deref().unwrap_or("UTC") })
            }
            _ => None,
        }
    }
}

/// The rotation of a set whose spec names none. A rotation that the spec does name has no default
/// period.
impl Default for Rotation {
    fn default() -> Self {
        Self {
            policy: RotationPolicy::Scheduled,
            period: Some(GoDuration::hours(720)),
            schedule: None,
            time_zone: None,
            publish_before: default_publish_before(),
            retain_after: None,
        }
    }
}

fn default_publish_before() -> GoDuration {
    GoDuration::hours(24)
}

string_enum! {
    /// Who turns the keys.
    #[derive(Default)]
    pub enum RotationPolicy {
        /// The clock.
        #[default]
        Scheduled = "Scheduled",
        /// Somebody, by annotation.
        Manual = "Manual",
    }
}

/// A Secret into which the set is also written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Export {
    /// Name of the Secret, in the namespace of the resource.
    #[schemars(length(max = 253), regex(pattern = OBJECT_NAME))]
    pub secret_name: String,
    /// Include private keys so that the set can be restored after the database is lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub private_keys: bool,
}

/// What has become of a key set.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct JsonWebKeySetStatus {
    /// Generation of the resource that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// Name of the key set in the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set: Option<String>,
    /// The key that signs for clients without a preference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_key_id: Option<String>,
    /// When a key last became active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_rotation_time: Option<StatusTime>,
    /// When the next key becomes active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_rotation_time: Option<StatusTime>,
    /// Last value of the annotation keywright.dev/rotate that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_rotate: Option<String>,
    /// Last value of the annotation keywright.dev/rotate-now that was acted on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_rotate_now: Option<String>,
    /// The keys of the set.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 128))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["kid".into()]))]
    pub keys: Vec<KeyStatus>,
    /// How it stands; wait for Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// One key of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeyStatus {
    /// Identifier of the key.
    pub kid: String,
    /// Algorithm of the key.
    pub algorithm: String,
    /// Where the key is in its life.
    pub state: KeyState,
    /// When verifiers could first see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_at: Option<StatusTime>,
    /// When it starts to sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_at: Option<StatusTime>,
    /// When it stops signing; absent until a successor is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<StatusTime>,
    /// When it leaves the published set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_at: Option<StatusTime>,
}

string_enum! {
    /// Where a key is in its life.
    pub enum KeyState {
        /// Published, not yet signing.
        Next = "Next",
        /// Signing.
        Active = "Active",
        /// Published, verifying only.
        Retired = "Retired",
    }
}

impl JsonWebKeySetStatus {
    /// The condition of this type.
    pub fn condition(&self, type_: &ConditionType) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == *type_)
    }
}

impl JsonWebKeySet {
    /// Name of the key set in the server.
    pub fn set_name(&self) -> String {
        self.spec.set.clone().unwrap_or_else(|| self.name_any())
    }

    /// The request to publish the next key now that stands in the annotations, handled or not.
    pub fn rotate_request(&self) -> Option<&str> {
        self.annotations().get(names::ROTATE).map(String::as_str)
    }

    /// The request to activate a new key at once that stands in the annotations, handled or not.
    pub fn rotate_now_request(&self) -> Option<&str> {
        self.annotations().get(names::ROTATE_NOW).map(String::as_str)
    }
}

impl JsonWebKeySetSpec {
    /// Size of the RSA keys of this set.
    pub fn rsa_bits(&self) -> RsaBits {
        self.rsa_bits.unwrap_or_default()
    }
}

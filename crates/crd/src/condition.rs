//! Conditions of both kinds: `metav1.Condition`, with the types and reasons that Keywright uses.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{status_time::StatusTime, string_enum::string_enum};

/// One condition of a resource's status, in the shape of `metav1.Condition`.
///
/// Other controllers may add conditions of their own; those read as [`ConditionType::Other`] and
/// [`Reason::Other`] and are theirs to change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What this condition is about.
    #[serde(rename = "type")]
    #[schemars(
        with = "String",
        length(max = 316),
        regex(
            pattern = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
        )
    )]
    pub type_: ConditionType,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// Generation of the resource on which this was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// When the status last changed.
    pub last_transition_time: StatusTime,
    /// Why, for programs.
    #[schemars(
        with = "String",
        length(min = 1, max = 1024),
        regex(pattern = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    )]
    pub reason: Reason,
    /// Why, for people.
    #[schemars(length(max = 32768))]
    pub message: String,
}

string_enum! {
    /// Whether a condition holds.
    pub enum ConditionStatus {
        /// It holds.
        True = "True",
        /// It does not hold.
        False = "False",
        /// Nobody knows.
        Unknown = "Unknown",
    }
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// What a condition is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ConditionType {
    /// The one to wait for: the worst of the others.
    Ready,
    /// The database holds what the spec of `observedGeneration` says.
    Synced,
    /// The Secret exists and holds a working credential.
    SecretReady,
    /// Present, and then `True`, only when retrying cannot help without an edit of the resource.
    Stalled,
    /// A condition of some other controller.
    #[serde(untagged)]
    Other(String),
}

impl ConditionType {
    /// The text in manifests.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Ready => "Ready",
            Self::Synced => "Synced",
            Self::SecretReady => "SecretReady",
            Self::Stalled => "Stalled",
            Self::Other(text) => text,
        }
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a condition has its status.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reason {
    /// All is as the spec says.
    Synced,
    /// Work is under way.
    Progressing,
    /// The spec asks for what the server cannot do; the message names the field.
    InvalidSpec,
    /// The client id belongs to another resource.
    ClientIdConflict,
    /// A client of this id exists, is unmanaged, and may not be taken over.
    AdoptionRefused,
    /// The referenced Secret does not exist (yet).
    SecretNotFound,
    /// The Secret lacks a key, or holds an unusable value.
    SecretInvalid,
    /// The Secret belongs to somebody else.
    SecretConflict,
    /// The referenced Secret lacks the label by which its owner allows the use.
    SecretNotOptedIn,
    /// The database does not answer.
    DatabaseUnavailable,
    /// Resources of this kind are not honoured in this namespace.
    NamespaceNotAllowed,
    /// The resource is suspended.
    Suspended,
    /// The resource is being deleted.
    Terminating,
    /// The key set belongs to another resource.
    SetConflict,
    /// Keys that the status names are gone from the database.
    KeysLost,
    /// The next key should have been active by now.
    RotationOverdue,
    /// A reason of some other controller or release.
    #[serde(untagged)]
    Other(String),
}

impl Reason {
    /// The text in manifests.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Synced => "Synced",
            Self::Progressing => "Progressing",
            Self::InvalidSpec => "InvalidSpec",
            Self::ClientIdConflict => "ClientIdConflict",
            Self::AdoptionRefused => "AdoptionRefused",
            Self::SecretNotFound => "SecretNotFound",
            Self::SecretInvalid => "SecretInvalid",
            Self::SecretConflict => "SecretConflict",
            Self::SecretNotOptedIn => "SecretNotOptedIn",
            Self::DatabaseUnavailable => "DatabaseUnavailable",
            Self::NamespaceNotAllowed => "NamespaceNotAllowed",
            Self::Suspended => "Suspended",
            Self::Terminating => "Terminating",
            Self::SetConflict => "SetConflict",
            Self::KeysLost => "KeysLost",
            Self::RotationOverdue => "RotationOverdue",
            Self::Other(text) => text,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn conditions_of_other_controllers_are_read_and_kept() {
        let foreign = json!({
            "type": "example.com/Audited", "status": "Unknown", "reason": "Waiting", "message": "",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        });
        let condition: Condition = serde_json::from_value(foreign.clone()).unwrap();
        assert_eq!(condition.type_, ConditionType::Other("example.com/Audited".to_owned()));
        assert_eq!(condition.reason, Reason::Other("Waiting".to_owned()));
        assert_eq!(json!(condition), foreign);
    }

    #[test]
    fn names_are_those_in_manifests() {
        for type_ in
            [ConditionType::Ready, ConditionType::Synced, ConditionType::SecretReady, ConditionType::Stalled]
        {
            assert_eq!(json!(type_), json!(type_.as_str()));
        }
        for reason in OWN_REASONS {
            assert_eq!(json!(reason), json!(reason.as_str()));
            assert_eq!(serde_json::from_value::<Reason>(json!(reason.as_str())).unwrap(), *reason);
        }
    }

    const OWN_REASONS: &[Reason] = &[
        Reason::Synced,
        Reason::Progressing,
        Reason::InvalidSpec,
        Reason::ClientIdConflict,
        Reason::AdoptionRefused,
        Reason::SecretNotFound,
        Reason::SecretInvalid,
        Reason::SecretConflict,
        Reason::SecretNotOptedIn,
        Reason::DatabaseUnavailable,
        Reason::NamespaceNotAllowed,
        Reason::Suspended,
        Reason::Terminating,
        Reason::SetConflict,
        Reason::KeysLost,
        Reason::RotationOverdue,
    ];
}

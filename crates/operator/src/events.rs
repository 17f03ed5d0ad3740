//! Events: told once, when something happened.

use std::fmt;

/// The `reason` of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is what its name says")]
pub enum EventReason {
    Created,
    Updated,
    SecretCreated,
    SecretRotated,
    SecretTampered,
    SecretRecreated,
    Adopted,
    Conflict,
    DriftCorrected,
    KeyPublished,
    KeyActivated,
    KeyRetired,
    KeyRemoved,
    KeyRevoked,
    KeysLost,
    Restored,
    RotationOverdue,
    DeletionBlocked,
    Orphaned,
}

impl EventReason {
    /// True for what somebody should look at.
    pub fn is_warning(self) -> bool {
        matches!(
            self,
            Self::SecretTampered
                | Self::SecretRecreated
                | Self::Conflict
                | Self::DriftCorrected
                | Self::KeyRevoked
                | Self::KeysLost
                | Self::RotationOverdue
                | Self::DeletionBlocked
                | Self::Orphaned
        )
    }
}

impl fmt::Display for EventReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// An event about a resource. The note never holds a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What happened, for programs.
    pub reason: EventReason,
    /// What happened, for people.
    pub note: String,
    /// True for what somebody should look at.
    pub warning: bool,
}

impl Event {
    /// An event of the reason's usual weight.
    pub fn new(reason: EventReason, note: impl Into<String>) -> Self {
        Self { reason, note: note.into(), warning: reason.is_warning() }
    }

    /// The same as a warning.
    #[must_use]
    pub fn as_warning(self) -> Self {
        Self { warning: true, ..self }
    }
}

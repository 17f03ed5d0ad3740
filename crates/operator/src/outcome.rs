//! What a reconciliation came to, for whoever schedules the next one.

use std::time::Duration;

use crd::Reason;
use jiff::Timestamp;

/// How a reconciliation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All is as declared. Look again at the instant, where there is one; else with the next resync.
    Settled {
        /// The next instant at which something is due.
        again_at: Option<Timestamp>,
    },
    /// Not as declared, and trying again soon cannot help: an edit, or another object, must change first.
    Waiting {
        /// What for.
        reason: Reason,
    },
    /// Something failed that may pass: try again with backoff.
    Failed {
        /// What, for the log.
        error: String,
    },
    /// Another writer was first: look at once at what is there now.
    Raced,
    /// The database does not answer: try again when it does.
    DatabaseAway,
    /// The database does not answer, and the resource waits for its deletion: until it does, or until the instant, at
    /// which the resource goes without it.
    DeletionBlocked {
        /// When the resource goes.
        again_at: Timestamp,
    },
    /// The resource is gone, or not this operator's.
    Nothing,
}

/// How long until all is compared once more, should nobody have told of a change.
pub const RESYNC: Duration = Duration::from_hours(1);
/// How long until a resource that waits for another is looked at again, should no watch tell of it.
pub const RECHECK: Duration = Duration::from_mins(5);

impl Outcome {
    /// A short name for the metric.
    pub fn result(&self) -> &'static str {
        match self {
            Self::Settled { .. } => "settled",
            Self::Waiting { .. } => "waiting",
            Self::Failed { .. } => "failed",
            Self::Raced => "raced",
            Self::DatabaseAway | Self::DeletionBlocked { .. } => "database_away",
            Self::Nothing => "nothing",
        }
    }
}

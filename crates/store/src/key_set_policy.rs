//! How the keys of a set turn, as it is stored with the set.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use jose::schedule::{Policy, Rotation, Schedule, ScheduleError};
use jose::{Algorithm, RsaBits, SigningAlgorithm};
use serde::{Deserialize, Serialize};

/// A set's policy. It is stored with the set, so that a server can turn the keys of a set that no resource declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeySetPolicy {
    /// One line of keys per algorithm; the first is the default.
    pub algorithms: Vec<Algorithm>,
    /// The size of new RSA keys.
    pub rsa_bits: RsaBits,
    /// When the lines turn.
    pub rotation: StoredRotation,
    /// How long a key is published before it signs, in seconds.
    pub publish_before: u64,
    /// The least time for which a retired key stays published, in seconds.
    pub retain_after: u64,
    /// No new keys for now.
    pub suspended: bool,
}

/// When the lines of a set turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StoredRotation {
    /// Only on request.
    Manual,
    /// Every so many seconds.
    Period(u64),
    /// At the times of a cron expression, in a time zone (UTC where it names none).
    #[serde(rename_all = "camelCase")]
    Cron {
        /// Five fields.
        schedule: String,
        /// An IANA name.
        time_zone: Option<String>,
    },
}

impl KeySetPolicy {
    /// The policy of a token set that nobody declared: turned each 30 days, published a day ahead; RSA keys have 4096 bits.
    pub fn undeclared(algorithm: SigningAlgorithm) -> Self {
        Self {
            algorithms: vec![Algorithm::Signing(algorithm)],
            rsa_bits: RsaBits::B4096,
            rotation: StoredRotation::Period(720 * 3600),
            publish_before: 24 * 3600,
            retain_after: 0,
            suspended: false,
        }
    }

    /// The policy of a set that is kept by hand: no schedule turns it, and no verifier should cache it, as a key that is
    /// added signs at once.
    pub fn by_hand() -> Self {
        Self {
            algorithms: Vec::new(),
            rsa_bits: RsaBits::default(),
            rotation: StoredRotation::Manual,
            publish_before: 0,
            retain_after: 0,
            suspended: true,
        }
    }

    /// True for the policy of a set that is kept by hand: it declares no line of keys.
    pub fn is_by_hand(&self) -> bool {
        self.algorithms.is_empty()
    }

    /// The schedule's policy: `longest_lifetime` is that of the tokens that the set signs.
    ///
    /// # Errors
    /// [`ScheduleError`] where the cron expression or its time zone is none.
    pub fn schedule(
        &self,
        longest_lifetime: Duration,
        lead_floor: Option<Timestamp>,
    ) -> Result<Policy, ScheduleError> {
        let retain =
            longest_lifetime.saturating_add(RETAIN_MARGIN).max(Duration::from_secs(self.retain_after));
        Ok(Policy {
            algorithms: self.algorithms.clone(),
            rotation: match &self.rotation {
                StoredRotation::Manual => Rotation::Manual,
                StoredRotation::Period(seconds) => Rotation::Period(signed(Duration::from_secs(*seconds))),
                StoredRotation::Cron { schedule, time_zone } => {
                    Rotation::Cron(Schedule::parse(schedule, time_zone.as_deref())?)
                }
            },
            publish_before: self.lead(),
            retain: signed(retain),
            lead_floor,
            suspended: self.suspended,
        })
    }

    /// How long a key is published before it signs.
    pub fn lead(&self) -> SignedDuration {
        signed(Duration::from_secs(self.publish_before))
    }
}

/// How much longer than the longest token a retired key stays published: both clocks may be off.
const RETAIN_MARGIN: Duration = Duration::from_mins(15);

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

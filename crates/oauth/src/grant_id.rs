//! Names a grant.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jose::Entropy;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Names a grant from the start of its flow on: a UUIDv7 (RFC 9562 §5.7), so that grants that are made one after the
/// other lie side by side in the database. On the wire it is Hydra's `consent_request_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GrantId(Uuid);

impl GrantId {
    /// A new id: 48 bits of the time in milliseconds, and 74 random bits.
    pub fn new(now: Timestamp, entropy: &Entropy) -> Self {
        let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &entropy.bytes()).into_uuid())
    }

    /// The id that has these bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// The id as it is stored.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for GrantId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_in_the_order_of_their_time_and_no_two_are_equal() {
        let entropy = Entropy::seeded(1);
        let at = |second| GrantId::new(Timestamp::from_second(second).unwrap(), &entropy);
        let ids: Vec<_> = (0..100).flat_map(|second| [at(second), at(second)]).collect();
        for (index, pair) in ids.windows(2).enumerate() {
            assert_ne!(pair[0], pair[1]);
            assert!(index % 2 == 0 || pair[0] < pair[1], "of different seconds: {pair:?}");
            assert!(index % 2 == 0 || pair[0].as_bytes() < pair[1].as_bytes());
        }
        assert_eq!(at(1_767_225_600).0.get_version_num(), 7);
    }

    #[test]
    fn an_id_reads_back_from_each_of_its_forms() {
        let id = GrantId::new(Timestamp::from_second(1_767_225_600).unwrap(), &Entropy::seeded(1));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(GrantId::from_bytes(*id.as_bytes()), id);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{id}\""));
        assert_eq!(serde_json::from_str::<GrantId>(&json).unwrap(), id);
        assert_eq!(postcard::to_stdvec(&id).unwrap().len(), 17, "its bytes, and their number");
        assert!("".parse::<GrantId>().is_err());
    }
}

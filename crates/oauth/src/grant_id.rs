//! The id of a grant.

use std::fmt;

use jiff::Timestamp;
use jose::Entropy;
use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

/// Names a grant from the authorization request that it comes of until its last token: a UUIDv7, so that rows lie in the
/// order of time, and the id tells when the flow began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct GrantId(Uuid);

impl GrantId {
    /// A new id, for a flow that begins now.
    pub fn new(now: Timestamp, entropy: &Entropy) -> Self {
        let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
        Self(Builder::from_unix_timestamp_millis(millis, &entropy.bytes()).into_uuid())
    }

    /// The id of a flow that began then, elsewhere: the same digest gives the same id each time.
    pub fn of_flow(began: Timestamp, digest: [u8; 10]) -> Self {
        let millis = u64::try_from(began.as_millisecond()).unwrap_or(0);
        Self(Builder::from_unix_timestamp_millis(millis, &digest).into_uuid())
    }

    /// The id with these bytes, as a row has them.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// When the flow began.
    pub fn started_at(self) -> Timestamp {
        let millis = self.0.as_u128() >> 80;
        i64::try_from(millis).ok().and_then(|m| Timestamp::from_millisecond(m).ok()).unwrap_or(Timestamp::MIN)
    }
}

/// 32 hexadecimal digits, as Hydra writes its consent request ids.
impl fmt::Display for GrantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// The text is no grant's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no UUID")]
pub struct InvalidGrantId;

impl std::str::FromStr for GrantId {
    type Err = InvalidGrantId;

    fn from_str(text: &str) -> Result<Self, InvalidGrantId> {
        Uuid::parse_str(text).map(Self).map_err(|_| InvalidGrantId)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_when_its_flow_began_and_sorts_by_it() {
        let entropy = Entropy::seeded(1);
        let at = |millis| Timestamp::from_millisecond(millis).unwrap();
        let (earlier, later) =
            (GrantId::new(at(1_700_000_000_123), &entropy), GrantId::new(at(1_700_000_000_124), &entropy));
        assert_eq!(earlier.started_at(), at(1_700_000_000_123));
        assert!(earlier < later);
        assert_eq!(earlier.to_string().parse(), Ok(earlier));
        assert_eq!(earlier.to_string().len(), 32);
        assert_eq!(GrantId::from_bytes(*earlier.as_bytes()), earlier);
        let elsewhere = GrantId::of_flow(at(1_700_000_000_123), [7; 10]);
        assert_eq!(elsewhere, GrantId::of_flow(at(1_700_000_000_123), [7; 10]));
        assert_eq!(elsewhere.started_at(), earlier.started_at());
    }
}

//! Names a login session.

use std::fmt;
use std::str::FromStr;

use jose::Entropy;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Names a login session: a random UUID (RFC 9562 §5.4). It is the `sid` of ID tokens and logout tokens (OpenID Connect
/// Back-Channel Logout §2.1), so it is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(Uuid);

impl SessionId {
    /// A new id with 122 random bits.
    pub fn new(entropy: &Entropy) -> Self {
        Self(uuid::Builder::from_random_bytes(entropy.bytes()).into_uuid())
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for SessionId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_random_uuid_and_reads_back() {
        let entropy = Entropy::seeded(1);
        let (one, other) = (SessionId::new(&entropy), SessionId::new(&entropy));
        assert_ne!(one, other);
        assert_eq!(one.0.get_version_num(), 4);
        assert_eq!(one.to_string().parse(), Ok(one));
        assert_eq!(serde_json::from_str::<SessionId>(&format!("\"{one}\"")).unwrap(), one);
    }
}

//! Keys that clients publish at an address of their own (`jwks_uri`), kept for as long as they need not be asked for.

use std::sync::{Arc, PoisonError, RwLock};

use jiff::{SignedDuration, Timestamp};
use jose::{JwkSet, KeyId};
use quick_cache::sync::Cache;
use tokio::sync::Mutex;
use url::Url;

use crate::outbound::{Outbound, OutboundError};

/// How many sets are kept.
const SETS: usize = 1000;

/// The largest set that is read, in bytes.
const LARGEST: usize = 256 * 1024;

/// For how long a set is used without asking again.
const FRESH_FOR: SignedDuration = SignedDuration::from_hours(1);

/// How long after one request for a set, whatever came of it, the next one is made at the earliest. Whoever makes up
/// key names does not make this server ask more often.
const ASK_EVERY: SignedDuration = SignedDuration::from_secs(10);

/// The sets by their addresses.
pub(crate) struct RemoteKeys(Cache<Url, Arc<RemoteSet>>);

/// One set.
#[derive(Default)]
struct RemoteSet {
    known: RwLock<Known>,
    /// Held while the set is asked for: whoever else needs it waits, and finds what came.
    asking: Mutex<()>,
}

/// What is known of a set.
#[derive(Clone, Default)]
struct Known {
    keys: Option<Arc<JwkSet>>,
    fetched_at: Option<Timestamp>,
    asked_at: Option<Timestamp>,
}

/// Why no set came.
#[derive(Debug, thiserror::Error)]
enum NoSet {
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("the answer has the status {0}")]
    Status(http::StatusCode),
    #[error("the answer is no JWK Set")]
    Malformed,
}

impl RemoteKeys {
    pub(crate) fn new() -> Self {
        Self(Cache::new(SETS))
    }

    /// The keys at an address, asked for where those that are known are old, or lack the one that is named. `None` where
    /// nothing was ever got; where asking fails, what is known is used on.
    pub(crate) async fn get(
        &self,
        outbound: &Outbound,
        url: &Url,
        kid: Option<&KeyId>,
        now: Timestamp,
    ) -> Option<Arc<JwkSet>> {
        let set = self.set(url);
        let known = set.known();
        if !known.must_ask(kid, now) {
            return known.keys;
        }
        let _asking = set.asking.lock().await;
        let known = set.known();
        if !known.must_ask(kid, now) {
            return known.keys;
        }
        let fetched = fetch(outbound, url).await;
        let mut known = set.known.write().unwrap_or_else(PoisonError::into_inner);
        known.asked_at = Some(now);
        match fetched {
            Ok(keys) => {
                known.keys = Some(Arc::new(keys));
                known.fetched_at = Some(now);
            }
            Err(why) => tracing::warn!(host = url.host_str(), %why, "the keys of a client cannot be had"),
        }
        known.keys.clone()
    }

    fn set(&self, url: &Url) -> Arc<RemoteSet> {
        let made = self.0.get_or_insert_with(url, || Ok::<_, std::convert::Infallible>(Arc::default()));
        let Ok(set) = made;
        set
    }
}

impl RemoteSet {
    fn known(&self) -> Known {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Known {
    /// True where what is known is old, or lacks the key that is named, and the last request is long enough ago.
    fn must_ask(&self, kid: Option<&KeyId>, now: Timestamp) -> bool {
        let within = |at: Option<Timestamp>, time| at.is_some_and(|at| now.duration_since(at) < time);
        if within(self.asked_at, ASK_EVERY) {
            return false;
        }
        let fresh = self.keys.as_ref().filter(|_| within(self.fetched_at, FRESH_FOR));
        fresh.is_none_or(|keys| kid.is_some_and(|kid| keys.find(kid).is_none()))
    }
}

async fn fetch(outbound: &Outbound, url: &Url) -> Result<JwkSet, NoSet> {
    let answer = outbound.get(url, LARGEST).await?;
    if answer.status != http::StatusCode::OK {
        return Err(NoSet::Status(answer.status));
    }
    serde_json::from_slice(&answer.body).map_err(|_| NoSet::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_asked_for_when_it_is_old_or_lacks_a_key_but_not_too_often() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let key = serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": "A".repeat(43), "kid": "one"});
        let keys: JwkSet = serde_json::from_value(serde_json::json!({"keys": [key]})).unwrap();
        let known = |fetched_at: i64, asked_at: i64| Known {
            keys: Some(Arc::new(keys.clone())),
            fetched_at: Some(at(fetched_at)),
            asked_at: Some(at(asked_at)),
        };
        let nothing = Known { asked_at: Some(at(100)), ..Known::default() };
        let (one, other) = (KeyId::from("one"), KeyId::from("other"));
        // Whether the set is used as it is.
        for (known, kid, now, is_used) in [
            (Known::default(), &one, 100, false),
            (known(100, 100), &one, 100, true),
            (known(100, 100), &one, 3699, true),
            (known(100, 100), &one, 3700, false),
            (known(100, 100), &other, 109, true),
            (known(100, 100), &other, 110, false),
            (known(100, 4000), &one, 4009, true),
            (known(100, 4000), &one, 4010, false),
            (nothing.clone(), &one, 109, true),
            (nothing, &one, 110, false),
        ] {
            assert_eq!(!known.must_ask(Some(kid), at(now)), is_used, "{kid} at {now}");
        }
        assert!(!known(100, 100).must_ask(None, at(3699)));
    }
}

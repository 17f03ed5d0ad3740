//! Keys that clients publish at an address of their own (`jwks_uri`), kept for as long as they need not be asked for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use jose::{JwkSet, KeyId};
use quick_cache::sync::Cache;
use tokio::sync::watch;
use tracing::Instrument;
use url::Url;

use crate::outbound::{Account, Outbound, OutboundError};

/// How many sets are kept.
const SETS: usize = 1000;

/// The largest set that is read, in bytes.
const LARGEST: usize = 256 * 1024;

/// For how long a set is used without asking again.
const FRESH_FOR: SignedDuration = SignedDuration::from_hours(1);

/// How often a set is asked for at most, whatever comes of it. Whoever makes up key names does not make this server ask
/// more often. One request may come before its time: a client that turns its keys right after it was asked for them is
/// not refused.
const ASK_EVERY: SignedDuration = SignedDuration::from_secs(10);

/// The sets by their addresses: those of clients that registered themselves apart, so that they push out no others.
pub(crate) struct RemoteKeys {
    operators: Cache<Url, Arc<RemoteSet>>,
    self_registered: Cache<Url, Arc<RemoteSet>>,
}

/// One set.
type RemoteSet = Mutex<State>;

#[derive(Default)]
struct State {
    known: Known,
    /// Ends when the request for the set does that is under way, or was last.
    asking: Option<watch::Receiver<()>>,
}

/// What is known of a set.
#[derive(Clone, Default)]
struct Known {
    keys: Option<Arc<JwkSet>>,
    fetched_at: Option<Timestamp>,
    /// Until when the requests so far would have taken, at [`ASK_EVERY`] for each.
    asked_until: Option<Timestamp>,
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
        Self { operators: Cache::new(SETS), self_registered: Cache::new(SETS) }
    }

    /// The keys at an address, asked for where those that are known are old, or lack the one that is named. `None` where
    /// nothing was ever got; where asking fails, what is known is used on.
    ///
    /// A request counts from its beginning and goes on without its caller: whoever comes and goes does not make this
    /// server ask more often, and who comes meanwhile waits for the same request.
    pub(crate) async fn get(
        &self,
        outbound: &Arc<Outbound>,
        (account, url): (Account, &Url),
        kid: Option<&KeyId>,
        now: Timestamp,
    ) -> Option<Arc<JwkSet>> {
        let set = self.set(account, url);
        let asking = {
            let mut state = lock(&set);
            if state.known.has(kid, now) {
                return state.known.keys.clone();
            }
            if !state.is_asking() && state.known.may_ask(now) {
                state.known.count(now);
                let (done, asking) = watch::channel(());
                state.asking = Some(asking);
                let (outbound, whence) = (Arc::clone(outbound), (account, url.clone()));
                tokio::spawn(ask(outbound, whence, Arc::clone(&set), (now, done)).in_current_span());
            }
            state.asking.clone()
        };
        if let Some(mut asking) = asking {
            // Nothing is ever sent: it ends with the request.
            let _ = asking.changed().await;
        }
        let state = lock(&set);
        state.known.keys.clone()
    }

    fn set(&self, account: Account, url: &Url) -> Arc<RemoteSet> {
        let sets = if account == Account::SelfRegistered { &self.self_registered } else { &self.operators };
        let made = sets.get_or_insert_with(url, || Ok::<_, std::convert::Infallible>(Arc::default()));
        let Ok(set) = made;
        set
    }
}

/// Asks for a set; `_done` ends with this.
async fn ask(
    outbound: Arc<Outbound>,
    (account, url): (Account, Url),
    set: Arc<RemoteSet>,
    (now, _done): (Timestamp, watch::Sender<()>),
) {
    match fetch(&outbound, account, &url).await {
        Ok(keys) => {
            let known = &mut lock(&set).known;
            known.keys = Some(Arc::new(keys));
            known.fetched_at = Some(now);
        }
        Err(why) => tracing::warn!(host = url.host_str(), %why, "the keys of a client cannot be had"),
    }
}

fn lock(set: &RemoteSet) -> MutexGuard<'_, State> {
    // No code that holds the lock panics.
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn is_asking(&self) -> bool {
        self.asking.as_ref().is_some_and(|asking| asking.has_changed().is_ok())
    }
}

impl Known {
    /// True where what is known is not old, and has the key that is named.
    fn has(&self, kid: Option<&KeyId>, now: Timestamp) -> bool {
        let fresh = self.keys.as_ref().filter(|_| is_within(self.fetched_at, FRESH_FOR, now));
        fresh.is_some_and(|keys| kid.is_none_or(|kid| keys.find(kid).is_some()))
    }

    /// True where no more than one request has come before its time.
    fn may_ask(&self, now: Timestamp) -> bool {
        self.asked_until.is_none_or(|until| until.duration_since(now) <= ASK_EVERY)
    }

    /// Counts a request.
    fn count(&mut self, now: Timestamp) {
        let begin = self.asked_until.map_or(now, |until| until.max(now));
        self.asked_until = Some(begin.saturating_add(ASK_EVERY).unwrap_or(Timestamp::MAX));
    }
}

fn is_within(at: Option<Timestamp>, time: SignedDuration, now: Timestamp) -> bool {
    at.is_some_and(|at| now.duration_since(at) < time)
}

async fn fetch(outbound: &Outbound, account: Account, url: &Url) -> Result<JwkSet, NoSet> {
    let answer = outbound.get(account, url, LARGEST).await?;
    if answer.status != http::StatusCode::OK {
        return Err(NoSet::Status(answer.status));
    }
    serde_json::from_slice(&answer.body).map_err(|_| NoSet::Malformed)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_set_is_asked_for_when_it_is_old_or_lacks_a_key_but_not_too_often() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let key = serde_json::json!({"kty": "OKP", "crv": "Ed25519", "x": "A".repeat(43), "kid": "one"});
        let keys: JwkSet = serde_json::from_value(serde_json::json!({"keys": [key]})).unwrap();
        let known = |fetched_at: i64, asked_at: &[i64]| {
            let keys = Some(Arc::new(keys.clone()));
            let mut known = Known { keys, fetched_at: Some(at(fetched_at)), asked_until: None };
            for asked_at in asked_at {
                known.count(at(*asked_at));
            }
            known
        };
        let mut nothing = Known::default();
        for _ in 0..2 {
            nothing.count(at(100));
        }
        let (one, other) = (KeyId::from("one"), KeyId::from("other"));
        // Whether the set is used as it is.
        for (known, kid, now, is_used) in [
            (Known::default(), &one, 100, false),
            (known(100, &[100]), &one, 100, true),
            (known(100, &[100]), &one, 3699, true),
            (known(100, &[100]), &one, 3700, false),
            (known(100, &[100]), &other, 100, false),
            (known(100, &[100, 101]), &other, 109, true),
            (known(100, &[100, 101]), &other, 110, false),
            (known(100, &[100, 101, 110]), &other, 119, true),
            (known(100, &[100, 101, 110]), &other, 120, false),
            (known(100, &[100, 101, 130]), &other, 130, false),
            (known(100, &[4000, 4000]), &one, 4009, true),
            (known(100, &[4000, 4000]), &one, 4010, false),
            (nothing.clone(), &one, 109, true),
            (nothing, &one, 110, false),
        ] {
            let is_used_as_it_is = known.has(Some(kid), at(now)) || !known.may_ask(at(now));
            assert_eq!(is_used_as_it_is, is_used, "{kid} at {now}");
        }
        assert!(known(100, &[100]).has(None, at(3699)));
    }

    /// A place whose connections nobody answers until they are let in, and the connections that came.
    async fn silent() -> (Url, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        (format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap(), listener)
    }

    #[tokio::test]
    async fn a_request_counts_from_its_beginning_and_goes_on_without_its_caller() {
        let outbound = Arc::new(Outbound::new(crate::OutboundPolicy::default(), None).unwrap());
        let (keys, (url, site)) = (Arc::new(RemoteKeys::new()), silent().await);
        let now = Timestamp::from_second(100).unwrap();
        let get = |now| {
            let (keys, outbound, url) = (Arc::clone(&keys), Arc::clone(&outbound), url.clone());
            async move { keys.get(&outbound, (Account::Operator, &url), None, now).await }
        };
        let caller = tokio::spawn(get(now));
        let (mut connection, _) = site.accept().await.unwrap();
        caller.abort();
        assert!(caller.await.is_err());
        // The next ones wait for that very request.
        let others: Vec<_> = (0..3).map(|_| tokio::spawn(get(now))).collect();
        let body = "{\"keys\":[]}";
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        connection.write_all(answer.as_bytes()).await.unwrap();
        for other in others {
            assert!(other.await.unwrap().is_some());
        }
        assert!(site.accept().now_or_never().is_none(), "nobody asked once more");
    }

    #[tokio::test]
    async fn who_gives_up_and_comes_again_does_not_ask_again_and_again_within_ten_seconds() {
        let outbound = Arc::new(Outbound::new(crate::OutboundPolicy::default(), None).unwrap());
        let (keys, (url, site)) = (RemoteKeys::new(), silent().await);
        let whence = (Account::Operator, &url);
        let at = |second| Timestamp::from_second(second).unwrap();
        for _ in 0..2 {
            assert!(keys.get(&outbound, whence, None, at(100)).now_or_never().is_none());
            drop(site.accept().await.unwrap());
            let set = keys.set(Account::Operator, &url);
            harness::eventually("the request has failed", async || !lock(&set).is_asking()).await;
        }
        assert!(keys.get(&outbound, whence, None, at(109)).await.is_none());
        assert!(site.accept().now_or_never().is_none());
        assert!(keys.get(&outbound, whence, None, at(110)).now_or_never().is_none());
        site.accept().await.unwrap();
        let own = (Account::SelfRegistered, &url);
        assert!(keys.get(&outbound, own, None, at(110)).await.is_none(), "it is refused at once");
    }
}

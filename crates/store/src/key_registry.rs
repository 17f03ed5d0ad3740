//! All key sets as a server uses them: decrypted, parsed, and chosen by time.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use jose::schedule::{ScheduledKey, State, active_key, jwks_max_age};
use jose::{Algorithm, JwkSet, KeyId, PrivateKey, PublicJwk, Signer, SigningAlgorithm, Verifier};

use crate::{Error, Store, StoredKey, StoredKeySet};

/// The set that signs ID tokens.
pub const ID_TOKEN_SET: &str = "hydra.openid.id-token";
/// The set that signs JWT access tokens.
pub const ACCESS_TOKEN_SET: &str = "hydra.jwt.access-token";

/// All key sets, with the token sets' keys parsed once for signing and verification.
///
/// # Guarantees
/// A key that cannot be read takes nothing with it but itself. It is left out and logged; where only its private half
/// does not open, it is still published and verifies. A token set that this leaves without an active key that signs has
/// no [signing key](Self::signing_key), and the registry is not [complete](Self::is_complete).
pub struct KeyRegistry {
    sets: Vec<StoredKeySet>,
    /// The keys of each set, in the order of `sets`, as the schedule sees them.
    schedules: Vec<Vec<ScheduledKey>>,
    parsed: HashMap<KeyId, ParsedKey>,
    /// The sets and names of keys of which a half cannot be read.
    broken: BTreeSet<(String, KeyId)>,
}

/// A token set's key, ready for use, and what it was parsed from.
#[derive(Clone)]
struct ParsedKey {
    public: PublicJwk,
    sealed: Option<Vec<u8>>,
    verifier: Arc<Verifier>,
    signer: Option<Arc<Signer>>,
}

/// The key to sign with now.
pub struct SigningKey {
    /// The parsed key.
    pub signer: Arc<Signer>,
    /// When it leaves the published set, where that is known already.
    pub removed_at: Option<Timestamp>,
}

impl KeyRegistry {
    /// Reads all sets, decrypts and parses the token sets' keys. What `earlier` has parsed already is taken from it:
    /// parsing an RSA key takes a millisecond, and without a trusted cache this is done for each request.
    pub(crate) async fn load(store: &Store, earlier: Option<&Self>) -> Result<Self, Error> {
        let sets = store.read_key_sets().await?;
        let mut parsed = HashMap::new();
        for set in sets.iter().filter(|set| is_token_set(&set.name)) {
            // A set that signs tokens may be declared with keys that never sign: those are published, and no more.
            let signing = |key: &&StoredKey| matches!(key.schedule.algorithm, Algorithm::Signing(_));
            for key in set.keys.iter().filter(signing) {
                let kid = &key.schedule.kid;
                let same = |known: &&ParsedKey| known.public == key.public && known.sealed == key.sealed;
                let known = earlier.and_then(|earlier| earlier.parsed.get(kid)).filter(same).cloned();
                if let Some(key) = known.or_else(|| parse(store, &set.name, key)) {
                    parsed.insert(kid.clone(), key);
                }
            }
        }
        let schedules = sets.iter().map(StoredKeySet::scheduled).collect();
        let mut registry = Self { sets, schedules, parsed, broken: BTreeSet::new() };
        registry.broken = registry.find_broken();
        // Without a trusted cache this is done for each request: what was said is not said again.
        let said = |key: &&(String, KeyId)| earlier.is_some_and(|earlier| earlier.broken.contains(key));
        for (set, kid) in registry.broken.iter().filter(|key| !said(key)) {
            tracing::error!(set, %kid, "a key cannot be read; the others are used without it");
        }
        Ok(registry)
    }

    fn find_broken(&self) -> BTreeSet<(String, KeyId)> {
        let mut broken = BTreeSet::new();
        for set in &self.sets {
            let half_read = set.keys.iter().filter(|key| {
                let of_token_set =
                    is_token_set(&set.name) && matches!(key.schedule.algorithm, Algorithm::Signing(_));
                let parsed = self.parsed.get(&key.schedule.kid);
                of_token_set && parsed.is_none_or(|parsed| parsed.signer.is_some() != key.sealed.is_some())
            });
            let half_read = half_read.map(|key| &key.schedule.kid);
            broken.extend(set.unreadable.iter().chain(half_read).map(|kid| (set.name.clone(), kid.clone())));
        }
        broken
    }

    /// All sets.
    pub fn sets(&self) -> &[StoredKeySet] {
        &self.sets
    }

    /// The keys that cannot be read, or whose private half does not open, by set and name.
    pub fn broken(&self) -> &BTreeSet<(String, KeyId)> {
        &self.broken
    }

    fn set(&self, name: &str) -> Option<(&StoredKeySet, &[ScheduledKey])> {
        let at = self.sets.iter().position(|set| set.name == name)?;
        Some((&self.sets[at], &self.schedules[at]))
    }

    /// True where both token sets exist, each with a key that signs.
    pub fn is_complete(&self, now: Timestamp) -> bool {
        [ID_TOKEN_SET, ACCESS_TOKEN_SET].iter().all(|set| self.signing_key(set, None, now).is_some())
    }

    /// The key with which a token set signs at `now`: of the wanted algorithm, else of the first declared line that
    /// has an active key, else of any that has.
    pub fn signing_key(
        &self,
        set: &str,
        wanted: Option<SigningAlgorithm>,
        now: Timestamp,
    ) -> Option<SigningKey> {
        let (set, keys) = self.set(set)?;
        let wanted = wanted.map(Algorithm::Signing);
        let undeclared = keys.iter().map(|key| key.algorithm);
        let lines = wanted.into_iter().chain(set.policy.algorithms.iter().copied()).chain(undeclared);
        lines.into_iter().find_map(|line| self.active(keys, line, now))
    }

    /// The active key of a line, where it can sign.
    fn active(&self, keys: &[ScheduledKey], line: Algorithm, now: Timestamp) -> Option<SigningKey> {
        let key = active_key(keys, line, now)?;
        let signer = self.parsed.get(&key.kid)?.signer.clone()?;
        Some(SigningKey { signer, removed_at: key.instants.removed_at })
    }

    /// The algorithms that a token set signs with at `now`, the default first.
    pub fn signing_algorithms(&self, set: &str, now: Timestamp) -> Vec<SigningAlgorithm> {
        let Some((set, keys)) = self.set(set) else { return Vec::new() };
        let active = |line: &Algorithm| self.active(keys, *line, now).is_some();
        // A line that is no longer declared signs until the first declared one does.
        let undeclared = keys.iter().map(|key| key.algorithm);
        let mut algorithms = Vec::new();
        for line in set.policy.algorithms.iter().copied().chain(undeclared).filter(active) {
            if let Algorithm::Signing(algorithm) = line
                && !algorithms.contains(&algorithm)
            {
                algorithms.push(algorithm);
            }
        }
        algorithms
    }

    /// The verifier of a key of the token sets that is published at `now`.
    pub fn verifier(&self, kid: &KeyId, now: Timestamp) -> Option<&Verifier> {
        let published = |key: &&StoredKey| key.schedule.kid == *kid && is_published(key, now);
        self.sets.iter().filter(|set| is_token_set(&set.name)).flat_map(|set| &set.keys).find(published)?;
        Some(&*self.parsed.get(kid)?.verifier)
    }

    /// The published keys at `now`: of the token sets, of every declared set, and of the sets in `broadcast`. In each
    /// set the key that signs comes first, then the newest: a reader that takes the first key takes a good one.
    pub fn published(&self, broadcast: &[String], now: Timestamp) -> JwkSet {
        let mut keys = Vec::new();
        for set in self.sets.iter().filter(|set| is_broadcast(set, broadcast)) {
            let mut of_set: Vec<&StoredKey> = set.keys.iter().filter(|key| is_published(key, now)).collect();
            of_set.sort_by_key(|key| {
                let active = key.schedule.instants.state(now) == State::Active;
                (!active, std::cmp::Reverse(key.schedule.instants.active_at), key.schedule.kid.clone())
            });
            keys.extend(of_set.into_iter().map(|key| key.public.clone()));
        }
        JwkSet { keys }
    }

    /// For how long verifiers may cache the published keys.
    pub fn max_age(&self, broadcast: &[String]) -> SignedDuration {
        let sets = self.sets.iter().filter(|set| is_broadcast(set, broadcast));
        sets.map(|set| set.policy.lead()).min().map_or(SignedDuration::ZERO, jwks_max_age)
    }
}

/// What can be made of a key: nothing without its public half, a verifier alone where the private half does not open.
fn parse(store: &Store, set: &str, key: &StoredKey) -> Option<ParsedKey> {
    let verifier = Arc::new(Verifier::from_jwk(&key.public).ok()?);
    let signer = key.sealed.as_ref().and_then(|sealed| {
        let jwk = store.ring().open_jwk(set, &key.schedule.kid, sealed).ok()?;
        Some(Arc::new(PrivateKey::from_jwk(&jwk).ok()?.signer().ok()?))
    });
    Some(ParsedKey { public: key.public.clone(), sealed: key.sealed.clone(), verifier, signer })
}

/// True for the two sets that sign tokens.
pub fn is_token_set(name: &str) -> bool {
    name == ID_TOKEN_SET || name == ACCESS_TOKEN_SET
}

fn is_broadcast(set: &StoredKeySet, broadcast: &[String]) -> bool {
    is_token_set(&set.name) || set.manager.is_some() || broadcast.contains(&set.name)
}

/// A key is published as soon as it is loaded, whatever its instants say, until it is removed.
fn is_published(key: &StoredKey, now: Timestamp) -> bool {
    key.schedule.instants.state(now) != State::Removed
}

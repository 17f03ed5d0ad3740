//! All key sets as a server uses them: decrypted, parsed, and chosen by time.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use jose::schedule::{State, active_key, jwks_max_age};
use jose::{Algorithm, JwkSet, KeyId, Signer, SigningAlgorithm, Verifier};

use crate::{Error, Store, StoredKey, StoredKeySet};

/// The set that signs ID tokens.
pub const ID_TOKEN_SET: &str = "hydra.openid.id-token";
/// The set that signs JWT access tokens.
pub const ACCESS_TOKEN_SET: &str = "hydra.jwt.access-token";

/// All key sets, with the token sets' keys parsed once for signing and verification.
pub struct KeyRegistry {
    sets: Vec<StoredKeySet>,
    signers: HashMap<KeyId, Arc<Signer>>,
    verifiers: HashMap<KeyId, Verifier>,
}

/// The key to sign with now.
pub struct SigningKey {
    /// The parsed key.
    pub signer: Arc<Signer>,
    /// When it leaves the published set, where that is known already.
    pub removed_at: Option<Timestamp>,
}

impl KeyRegistry {
    /// Reads all sets, decrypts and parses the token sets' keys.
    pub(crate) async fn load(store: &Store) -> Result<Self, Error> {
        let sets = store.read_key_sets().await?;
        let mut registry = Self { sets, signers: HashMap::new(), verifiers: HashMap::new() };
        for set in registry.sets.iter().filter(|set| is_token_set(&set.name)) {
            // A set that signs tokens may be declared with keys that never sign: those are published, and no more.
            let signing = |key: &&StoredKey| matches!(key.schedule.algorithm, Algorithm::Signing(_));
            for key in set.keys.iter().filter(signing) {
                let kid = &key.schedule.kid;
                registry.verifiers.insert(kid.clone(), Verifier::from_jwk(&key.public)?);
                if let Some(sealed) = &key.sealed {
                    let jwk = store.ring().open_jwk(&set.name, kid, sealed)?;
                    let signer = jose::PrivateKey::from_jwk(&jwk)?.signer()?;
                    registry.signers.insert(kid.clone(), Arc::new(signer));
                }
            }
        }
        Ok(registry)
    }

    /// All sets.
    pub fn sets(&self) -> &[StoredKeySet] {
        &self.sets
    }

    fn set(&self, name: &str) -> Option<&StoredKeySet> {
        self.sets.iter().find(|set| set.name == name)
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
        let set = self.set(set)?;
        let keys = set.scheduled();
        let wanted = wanted.map(Algorithm::Signing);
        let undeclared = keys.iter().map(|key| key.algorithm);
        let lines = wanted.into_iter().chain(set.policy.algorithms.iter().copied()).chain(undeclared);
        let key = lines.into_iter().find_map(|line| active_key(&keys, line, now))?;
        let signer = self.signers.get(&key.kid)?.clone();
        Some(SigningKey { signer, removed_at: key.instants.removed_at })
    }

    /// The algorithms that a token set signs with at `now`, the default first.
    pub fn signing_algorithms(&self, set: &str, now: Timestamp) -> Vec<SigningAlgorithm> {
        let Some(set) = self.set(set) else { return Vec::new() };
        let keys = set.scheduled();
        let active = |line: &Algorithm| active_key(&keys, *line, now).is_some();
        let lines = set.policy.algorithms.iter().copied().filter(active);
        lines.filter_map(|line| if let Algorithm::Signing(alg) = line { Some(alg) } else { None }).collect()
    }

    /// The verifier of a key of the token sets that is published at `now`.
    pub fn verifier(&self, kid: &KeyId, now: Timestamp) -> Option<&Verifier> {
        let published = |key: &&StoredKey| key.schedule.kid == *kid && is_published(key, now);
        self.sets.iter().flat_map(|set| &set.keys).find(published)?;
        self.verifiers.get(kid)
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

fn is_token_set(name: &str) -> bool {
    name == ID_TOKEN_SET || name == ACCESS_TOKEN_SET
}

fn is_broadcast(set: &StoredKeySet, broadcast: &[String]) -> bool {
    is_token_set(&set.name) || set.manager.is_some() || broadcast.contains(&set.name)
}

/// A key is published as soon as it is loaded, whatever its instants say, until it is removed.
fn is_published(key: &StoredKey, now: Timestamp) -> bool {
    key.schedule.instants.state(now) != State::Removed
}

//! What servers sign with and verifiers see in a year.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use jose::schedule::{Instants, State, active_key, token_expiry_cap};
use store::{ACCESS_TOKEN_SET, StoredKeySet};

use super::life::SKEWS;

/// By how much a set's `retainAfter` outlasts what is signed with it, where it is no set of the server's.
const MARGIN: SignedDuration = SignedDuration::from_mins(15);

/// Of all sets.
#[derive(Default)]
pub struct Verifiers {
    seen: BTreeMap<String, Seen>,
    /// Keys that are declared compromised: what they signed is void.
    revoked: BTreeSet<String>,
    /// The database was lost: nobody can say anything before it is repaired.
    pub blind: bool,
}

/// Of one set.
#[derive(Default)]
struct Seen {
    keys: BTreeMap<String, Instants>,
    /// When the last token ends that a key signed.
    tokens: BTreeMap<String, Timestamp>,
    /// How many keys may begin to sign without having been published before.
    hurried: usize,
    retained: u64,
    exists: bool,
}

impl Verifiers {
    /// Somebody asks for a key that signs at once, one in each line.
    pub fn hurry(&mut self, set: &str, keys: usize) {
        self.seen.entry(set.to_owned()).or_default().hurried += keys;
    }

    /// A key is declared compromised.
    pub fn revoke(&mut self, set: &str, kid: &str) {
        self.revoked.insert(kid.to_owned());
        // Each line may have to go on with a fresh one, and the line's next key may be compromised as well.
        self.hurry(set, 2);
    }

    /// The database was lost: there are these sets now.
    pub fn forget_others(&mut self, sets: &[StoredKeySet]) {
        for (name, seen) in &mut self.seen {
            if !sets.iter().any(|set| set.name == *name) {
                *seen = Seen { hurried: seen.hurried, ..Seen::default() };
            }
        }
    }

    /// The database was lost: of a set's keys there are these now, and nobody will see others than `kids` again.
    pub fn learn_anew(&mut self, set: &StoredKeySet, kids: &BTreeSet<String>) {
        let seen = self.seen.entry(set.name.clone()).or_default();
        seen.tokens.retain(|kid, _| kids.contains(kid));
        let instants = |key: &store::StoredKey| (key.schedule.kid.to_string(), key.schedule.instants);
        seen.keys.extend(set.keys.iter().map(instants));
        seen.hurried += 2;
        (seen.exists, seen.retained) = (true, set.policy.retain_after);
    }

    /// The instants at which something changes between two looks.
    pub fn pass(
        &mut self,
        sets: &[StoredKeySet],
        from: Timestamp,
        until: Timestamp,
        longest_token: SignedDuration,
        story: &RefCell<String>,
    ) {
        let all = sets.iter().flat_map(|set| &set.keys).flat_map(|key| {
            let Instants { active_at, retired_at, removed_at, .. } = key.schedule.instants;
            [Some(active_at), retired_at, removed_at].into_iter().flatten()
        });
        let second = SignedDuration::from_secs(1);
        let around = all.flat_map(|at| [at - second, at]);
        let instants: BTreeSet<_> = around.filter(|at| from < *at && *at < until).collect();
        for at in instants.into_iter().chain([until]) {
            self.look(sets, at, longest_token, story);
        }
    }

    /// At an instant: a key signs by every clock, and what was signed can be verified.
    pub fn look(
        &mut self,
        sets: &[StoredKeySet],
        now: Timestamp,
        longest_token: SignedDuration,
        story: &RefCell<String>,
    ) {
        if self.blind {
            return;
        }
        for (name, seen) in &mut self.seen {
            if seen.exists && !sets.iter().any(|set| set.name == *name) {
                // It was deleted as it was declared, for whoever declared that.
                assert_ne!(name, ACCESS_TOKEN_SET, "{}", story.borrow());
                *seen = Seen { hurried: seen.hurried, ..Seen::default() };
            }
        }
        for set in sets {
            assert!(set.unreadable.is_empty(), "{}", story.borrow());
            let seen = self.seen.entry(set.name.clone()).or_default();
            if !seen.exists {
                // Its first keys sign at once, or come from a backup.
                let instants = |key: &store::StoredKey| (key.schedule.kid.to_string(), key.schedule.instants);
                seen.keys.extend(set.keys.iter().map(instants));
                seen.exists = true;
            }
            if set.name != ACCESS_TOKEN_SET && set.policy.retain_after < seen.retained {
                // For how long its keys are needed, its owner says.
                seen.tokens.clear();
            }
            seen.retained = set.policy.retain_after;
            seen.know(set, now, story);
            seen.sign(set, now, longest_token, story);
            seen.verify(set, now, &self.revoked, story);
        }
    }
}

impl Seen {
    /// No key signs sooner than announced, unless that was asked for or nothing else could.
    fn know(&mut self, set: &StoredKeySet, now: Timestamp, story: &RefCell<String>) {
        for key in &set.keys {
            let (kid, instants) = (key.schedule.kid.to_string(), key.schedule.instants);
            let known = self.keys.insert(kid.clone(), instants);
            let at_once = match known {
                Some(known) => instants.active_at < known.active_at,
                None => instants.active_at <= instants.published_at,
            };
            if at_once {
                let left = self.hurried.checked_sub(1);
                self.hurried = left.unwrap_or_else(|| panic!("{kid} was in a hurry: {}", story.borrow()));
            } else if known.is_none() {
                let lead = SignedDuration::from_secs(i64::try_from(set.policy.publish_before).unwrap());
                let tolerated = SignedDuration::from_mins(4);
                assert!(instants.active_at >= now + lead - tolerated, "{kid}: {}", story.borrow());
            }
        }
    }

    fn sign(&mut self, set: &StoredKeySet, now: Timestamp, longest: SignedDuration, story: &RefCell<String>) {
        let keys = set.scheduled();
        let retained = SignedDuration::from_secs(i64::try_from(set.policy.retain_after).unwrap());
        let lives = if set.name == ACCESS_TOKEN_SET { longest } else { retained - MARGIN };
        for minutes in SKEWS {
            let now = now + SignedDuration::from_mins(minutes);
            let algorithms: BTreeSet<String> = keys.iter().map(|key| key.algorithm.to_string()).collect();
            let mut signs = false;
            for algorithm in algorithms {
                let algorithm = algorithm.parse().unwrap();
                let Some(key) = active_key(&keys, algorithm, now) else { continue };
                assert!(key.has_private_half, "{} cannot sign: {}", key.kid, story.borrow());
                signs = true;
                if !set.policy.algorithms.contains(&algorithm) {
                    continue;
                }
                let cap = key.instants.removed_at.map_or(Timestamp::MAX, token_expiry_cap);
                let ends = (now + lives).min(cap);
                let last = self.tokens.entry(key.kid.to_string()).or_insert(ends);
                *last = ends.max(*last);
            }
            assert!(signs, "nothing signs in {} at {now}: {}", set.name, story.borrow());
        }
    }

    fn verify(
        &mut self,
        set: &StoredKeySet,
        now: Timestamp,
        revoked: &BTreeSet<String>,
        story: &RefCell<String>,
    ) {
        self.tokens.retain(|kid, ends| now < *ends && !revoked.contains(kid));
        for (kid, ends) in &self.tokens {
            let key = set.keys.iter().find(|key| key.schedule.kid.as_str() == kid);
            for minutes in SKEWS {
                let now = now + SignedDuration::from_mins(minutes);
                let state = key.map(|key| key.schedule.instants.state(now));
                let is_published = state.is_some_and(|state| state != State::Removed);
                assert!(is_published, "{kid} signed until {ends}, now {now}: {}", story.borrow());
            }
        }
    }
}

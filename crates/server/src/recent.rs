//! A bounded memory of what happened lately.

use std::collections::HashMap;
use std::hash::Hash;
use std::mem::take;
use std::sync::{Mutex, PoisonError};

/// Values by key, of which the ones that were used longest ago are forgotten: between `capacity` and twice as many are
/// kept. Whoever floods it pushes out at most what they could have had anew in any case.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    generations: Mutex<Generations<K, V>>,
    capacity: usize,
}

#[derive(Debug)]
struct Generations<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash, V: Default> Recent<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        let generations = Generations { young: HashMap::new(), old: HashMap::new() };
        Self { generations: Mutex::new(generations), capacity }
    }

    /// Looks at a key's value, and changes it; the default where there is none.
    pub(crate) fn with<R>(&self, key: K, change: impl FnOnce(&mut V) -> R) -> R {
        // Nothing in here panics half-way.
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let former = generations.old.remove(&key);
        if generations.young.len() >= self.capacity && !generations.young.contains_key(&key) {
            generations.old = take(&mut generations.young);
        }
        change(generations.young.entry(key).or_insert_with(|| former.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_makes_room() {
        let recent: Recent<u32, u32> = Recent::new(10);
        let add = |key| {
            recent.with(key, |count| {
                *count += 1;
                *count
            })
        };
        for key in 0..1000 {
            assert_eq!(add(key), 1);
            assert_eq!(add(u32::MAX), key + 1, "it is used all the time");
        }
        let generations = recent.generations.lock().unwrap();
        assert!(generations.young.len() + generations.old.len() <= 20);
    }
}

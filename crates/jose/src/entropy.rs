//! Where random bytes come from.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_lc_rs::{hmac, rand};

/// A source of random bytes, passed to whoever needs some. Cloning it is cheap; clones draw from one stream.
#[derive(Clone)]
pub struct Entropy(Source);

#[derive(Clone)]
enum Source {
    System,
    Seeded(Arc<Seeded>),
}

/// HMAC-SHA256 in counter mode: repeatable, and shared by threads without a lock.
struct Seeded {
    key: hmac::Key,
    counter: AtomicU64,
}

impl Entropy {
    /// The cryptographic generator of the library, seeded by the operating system.
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// The same bytes for the same seed, for tests. **Predictable: never for anything real.**
    pub fn seeded(seed: u64) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &seed.to_be_bytes());
        Self(Source::Seeded(Arc::new(Seeded { key, counter: AtomicU64::new(0) })))
    }

    /// `N` fresh random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match &self.0 {
            Source::System => fill_from_system(&mut bytes),
            Source::Seeded(seeded) => seeded.fill(&mut bytes),
        }
        bytes
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where system randomness is drawn")]
#[expect(clippy::expect_used, reason = "without randomness nothing may go on, and there is nothing to retry")]
fn fill_from_system(bytes: &mut [u8]) {
    rand::fill(bytes).expect("the operating system gives randomness");
}

impl Seeded {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            let block = self.counter.fetch_add(1, Ordering::Relaxed);
            let block = hmac::sign(&self.key, &block.to_be_bytes());
            chunk.copy_from_slice(&block.as_ref()[..chunk.len()]);
        }
    }
}

impl fmt::Debug for Entropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::System => "Entropy::system",
            Source::Seeded(_) => "Entropy::seeded",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, thread};

    use super::*;

    #[test]
    fn a_seed_repeats_its_bytes() {
        let (one, other) = (Entropy::seeded(7), Entropy::seeded(7));
        assert_eq!(one.bytes::<70>(), other.bytes::<70>());
        assert_eq!(one.bytes::<1>(), other.bytes::<1>());
        assert_ne!(Entropy::seeded(7).bytes::<32>(), Entropy::seeded(8).bytes::<32>());
    }

    #[test]
    fn no_draw_repeats_another() {
        for entropy in [Entropy::seeded(1), Entropy::system()] {
            let clone = entropy.clone();
            let draws: HashSet<[u8; 16]> = (0..500).flat_map(|_| [entropy.bytes(), clone.bytes()]).collect();
            assert_eq!(draws.len(), 1000, "{entropy:?}");
        }
    }

    #[test]
    fn a_long_draw_does_not_repeat_its_blocks() {
        let bytes = Entropy::seeded(1).bytes::<128>();
        assert_eq!(bytes.chunks(32).collect::<HashSet<_>>().len(), 4);
    }

    #[test]
    fn threads_draw_from_one_stream() {
        let entropy = Entropy::seeded(1);
        let draws: HashSet<[u8; 16]> = thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..100).map(|_| entropy.bytes()).collect::<Vec<_>>()))
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(draws.len(), 400);
    }
}

//! Slow hashes that a secret has matched lately: argon2id costs 20 ms, which no client should pay for each token.

use jiff::{SignedDuration, Timestamp};
use jose::{Entropy, KeyRing, MacPurpose, RootKey};
use oauth::{Client, ClientSecret, ClientSecretHash};
use quick_cache::sync::Cache;

/// For how long a success is remembered.
const REMEMBERED_FOR: SignedDuration = SignedDuration::from_mins(5);

/// How many successes are remembered.
const CAPACITY: usize = 10_000;

/// The successes of the last minutes, and no failures: whoever guesses pays the full price each time.
///
/// What is kept is an HMAC, under a key that this process made and keeps to itself, of the client, its incarnation,
/// the stored hash and the secret. So memory holds no secret and nothing to guess one by; a secret that is rotated or
/// removed is forgotten with its hash; and a hash that somebody copied to another client's row is not remembered
/// there.
pub(crate) struct VerifiedSecrets {
    key: Option<KeyRing>,
    until: Cache<Proof, Timestamp>,
}

/// Names a client, one of its stored hashes, and a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Proof([u8; 32]);

impl VerifiedSecrets {
    pub(crate) fn new(entropy: &Entropy) -> Self {
        // One root key always makes a ring; without one, nothing would be remembered.
        let key = KeyRing::new(vec![RootKey::generate(1, entropy)]).ok();
        Self { key, until: Cache::new(CAPACITY) }
    }

    /// The name of a verification; `None` where nothing can be remembered.
    pub(crate) fn proof(
        &self,
        client: &Client,
        hash: &ClientSecretHash,
        secret: &ClientSecret,
    ) -> Option<Proof> {
        let incarnation = client.incarnation.0.to_be_bytes();
        let hash = hash.to_string();
        let parts =
            [client.id.as_str().as_bytes(), &incarnation, hash.as_bytes(), secret.expose().as_bytes()];
        Some(Proof(self.key.as_ref()?.mac(MacPurpose::ClientSecret, &parts).tag))
    }

    /// True where this verification succeeded within the last minutes.
    pub(crate) fn is_known(&self, proof: Proof, now: Timestamp) -> bool {
        self.until.get(&proof).is_some_and(|until| now < until)
    }

    /// Remembers a success.
    pub(crate) fn remember(&self, proof: Proof, now: Timestamp) {
        if let Ok(until) = now.checked_add(REMEMBERED_FOR) {
            self.until.insert(proof, until);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oauth::{ClientId, ClientMetadata, Incarnation};

    fn client(id: &str, incarnation: i64) -> Client {
        Client {
            id: ClientId::parse(id).unwrap(),
            incarnation: Incarnation(incarnation),
            epoch: 0,
            declared: true,
            self_registered: false,
            metadata: ClientMetadata::default(),
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            secrets: vec![],
        }
    }

    #[test]
    fn a_success_counts_for_five_minutes_and_only_for_its_client_hash_and_secret() {
        let entropy = Entropy::seeded(1);
        let ring = KeyRing::new(vec![RootKey::generate(1, &entropy)]).unwrap();
        let (a, secret) = (client("a", 1), ClientSecret::new("chosen-by-somebody"));
        let hash =
            |a: &Client| ClientSecretHash::of_chosen(&ring, &a.id, a.incarnation, &secret, &entropy).unwrap();
        let (first, second) = (hash(&a), hash(&a));
        let verified = VerifiedSecrets::new(&entropy);
        let proof = |client: &Client, hash: &ClientSecretHash, secret: &str| {
            verified.proof(client, hash, &ClientSecret::new(secret)).unwrap()
        };
        let start = Timestamp::from_second(1000).unwrap();
        verified.remember(proof(&a, &first, secret.expose()), start);
        let at = |second: i64| Timestamp::from_second(1000 + second).unwrap();
        let cases = [
            ("itself", proof(&a, &first, secret.expose()), 299, true),
            ("too late", proof(&a, &first, secret.expose()), 300, false),
            ("another secret", proof(&a, &first, "other-secret"), 0, false),
            ("another hash of the same secret", proof(&a, &second, secret.expose()), 0, false),
            ("another client", proof(&client("b", 1), &first, secret.expose()), 0, false),
            ("the client of the same id", proof(&client("a", 2), &first, secret.expose()), 0, false),
        ];
        for (what, proof, second, known) in cases {
            assert_eq!(verified.is_known(proof, at(second)), known, "{what}");
        }
    }
}

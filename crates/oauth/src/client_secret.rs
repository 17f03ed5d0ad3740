//! Client secrets: how they are made, stored and compared.
//!
//! A secret that Keywright generates has 157 random bits: a keyed hash is all it needs. One that somebody chose may
//! be guessable, so it is stored as argon2id. Both are bound to the client and its incarnation by a key that is not
//! in the database, so a hash that is copied to another row, or written there by hand, opens nothing.

use std::fmt;
use std::str::FromStr;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jose::{Entropy, KeyRing, Mac, MacPurpose};
use zeroize::Zeroizing;

use crate::imported_hash::ImportedHash;
use crate::{ClientId, Incarnation};

/// A client secret in the clear. It is wiped from memory when dropped, and never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientSecret(Zeroizing<String>);

impl ClientSecret {
    /// The characters of a generated secret, in Hydra's form: 66, all of them unreserved in URLs.
    const ALPHABET: &'static [u8; 66] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    /// The length of a generated secret; 26 of 66 characters are 157 bits.
    pub const GENERATED_LEN: usize = 26;
    /// The shortest secret that somebody may choose, in bytes.
    pub const MIN_LEN: usize = 6;

    /// Takes a secret as it was presented or read.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// Makes a secret.
    pub fn generate(entropy: &Entropy) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(Self::GENERATED_LEN));
        while text.len() < Self::GENERATED_LEN {
            // 198 is the largest multiple of 66 in a byte: anything above would favour some characters.
            let usable = entropy.bytes::<64>().into_iter().filter(|&b| b < 198);
            let wanted = Self::GENERATED_LEN - text.len();
            text.extend(usable.take(wanted).map(|b| char::from(Self::ALPHABET[usize::from(b) % 66])));
        }
        Self(text)
    }

    /// True for a secret that has the form of a generated one.
    pub fn looks_generated(&self) -> bool {
        self.0.len() == Self::GENERATED_LEN && self.0.bytes().all(|c| Self::ALPHABET.contains(&c))
    }

    /// The secret's text, for the one place that must write or compare it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientSecret(..)")
    }
}

/// A stored client secret.
///
/// As text: `hmac.<root generation>.<tag>`, `argon2id.<root generation>.<tag>.<PHC string>` or
/// `imported.<root generation>.<tag>.<hash>`.
#[derive(Clone)]
pub enum ClientSecretHash {
    /// HMAC-SHA256 of a generated secret.
    Hmac(Mac),
    /// Argon2id of a chosen secret, and a MAC that binds this hash to its client.
    Argon2id {
        /// Binds `phc` to client and incarnation.
        binding: Mac,
        /// The hash as a PHC string.
        phc: String,
    },
    /// A hash that another server made of a secret, and a MAC that binds it to its client.
    Imported {
        /// Binds `hash` to client and incarnation.
        binding: Mac,
        /// The hash.
        hash: ImportedHash,
    },
}

/// Why a secret could not be hashed, or a stored hash could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The secret is shorter than [`ClientSecret::MIN_LEN`].
    #[error("a client secret has at least {} characters", ClientSecret::MIN_LEN)]
    TooShort,
    /// The stored text is no hash of ours.
    #[error("the stored client secret hash is malformed")]
    Malformed,
    /// Argon2 failed.
    #[error("the client secret could not be hashed")]
    Hash,
}

impl ClientSecretHash {
    /// Hashes a secret that [`ClientSecret::generate`] made.
    pub fn of_generated(
        ring: &KeyRing,
        id: &ClientId,
        incarnation: Incarnation,
        secret: &ClientSecret,
    ) -> Self {
        let incarnation = incarnation.0.to_be_bytes();
        let parts = [b"hmac", id.as_str().as_bytes(), &incarnation, secret.expose().as_bytes()];
        Self::Hmac(ring.mac(MacPurpose::ClientSecret, &parts))
    }

    /// Hashes a secret that somebody chose. Takes some 20 ms of CPU and 19 MiB: not for the reactor.
    ///
    /// # Errors
    /// [`SecretError::TooShort`], or [`SecretError::Hash`] where argon2 fails.
    pub fn of_chosen(
        ring: &KeyRing,
        id: &ClientId,
        incarnation: Incarnation,
        secret: &ClientSecret,
        entropy: &Entropy,
    ) -> Result<Self, SecretError> {
        if secret.expose().len() < ClientSecret::MIN_LEN {
            return Err(SecretError::TooShort);
        }
        let phc = Argon2::default()
            .hash_password_with_salt(secret.expose().as_bytes(), &entropy.bytes::<16>())
            .map_err(|_| SecretError::Hash)?
            .to_string();
        let incarnation = incarnation.0.to_be_bytes();
        let binding = ring.mac(MacPurpose::ClientSecret, &binding_parts(b"argon2id", id, &incarnation, &phc));
        Ok(Self::Argon2id { binding, phc })
    }

    /// Binds a hash that another server made to its client.
    pub fn of_imported(ring: &KeyRing, id: &ClientId, incarnation: Incarnation, hash: ImportedHash) -> Self {
        let (incarnation, text) = (incarnation.0.to_be_bytes(), hash.to_string());
        let binding =
            ring.mac(MacPurpose::ClientSecret, &binding_parts(b"imported", id, &incarnation, &text));
        Self::Imported { binding, hash }
    }

    /// True where [`Self::verify`] takes milliseconds and belongs on a blocking pool.
    pub fn is_slow(&self) -> bool {
        matches!(self, Self::Argon2id { .. } | Self::Imported { .. })
    }

    /// Compares a presented secret, in constant time.
    pub fn verify(
        &self,
        ring: &KeyRing,
        id: &ClientId,
        incarnation: Incarnation,
        presented: &ClientSecret,
    ) -> bool {
        let incarnation = incarnation.0.to_be_bytes();
        match self {
            Self::Hmac(mac) => {
                let parts = [b"hmac", id.as_str().as_bytes(), &incarnation, presented.expose().as_bytes()];
                ring.verify_mac(MacPurpose::ClientSecret, &parts, mac.generation, &mac.tag)
            }
            Self::Argon2id { binding, phc } => {
                let parts = binding_parts(b"argon2id", id, &incarnation, phc);
                ring.verify_mac(MacPurpose::ClientSecret, &parts, binding.generation, &binding.tag)
                    && PasswordHash::new(phc).is_ok_and(|hash| {
                        Argon2::default().verify_password(presented.expose().as_bytes(), &hash).is_ok()
                    })
            }
            Self::Imported { binding, hash } => {
                let text = hash.to_string();
                let parts = binding_parts(b"imported", id, &incarnation, &text);
                ring.verify_mac(MacPurpose::ClientSecret, &parts, binding.generation, &binding.tag)
                    && hash.verify(presented.expose())
            }
        }
    }
}

fn binding_parts<'a>(
    kind: &'static [u8],
    id: &'a ClientId,
    incarnation: &'a [u8; 8],
    hash: &'a str,
) -> [&'a [u8]; 4] {
    [kind, id.as_str().as_bytes(), incarnation, hash.as_bytes()]
}

impl fmt::Display for ClientSecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tag = |mac: &Mac| format!("{}.{}", mac.generation, URL_SAFE_NO_PAD.encode(mac.tag));
        match self {
            Self::Hmac(mac) => write!(f, "hmac.{}", tag(mac)),
            Self::Argon2id { binding, phc } => write!(f, "argon2id.{}.{phc}", tag(binding)),
            Self::Imported { binding, hash } => write!(f, "imported.{}.{hash}", tag(binding)),
        }
    }
}

impl FromStr for ClientSecretHash {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, SecretError> {
        let mut parts = text.splitn(4, '.');
        let mut next = || parts.next().ok_or(SecretError::Malformed);
        let kind = next()?;
        let generation = next()?.parse().map_err(|_| SecretError::Malformed)?;
        let tag = URL_SAFE_NO_PAD.decode(next()?).map_err(|_| SecretError::Malformed)?;
        let mac = Mac { generation, tag: tag.try_into().map_err(|_| SecretError::Malformed)? };
        match (kind, parts.next()) {
            ("hmac", None) => Ok(Self::Hmac(mac)),
            ("argon2id", Some(phc)) => Ok(Self::Argon2id { binding: mac, phc: phc.to_owned() }),
            ("imported", Some(hash)) => {
                let hash = hash.parse().map_err(|_| SecretError::Malformed)?;
                Ok(Self::Imported { binding: mac, hash })
            }
            _ => Err(SecretError::Malformed),
        }
    }
}

/// The kind only: a hash is not for logs.
impl fmt::Debug for ClientSecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hmac(_) => "Hmac(..)",
            Self::Argon2id { .. } => "Argon2id(..)",
            Self::Imported { .. } => "Imported(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jose::RootKey;

    /// PBKDF2 of `hunter2hunter2`, as Hydra stores it.
    const IMPORTED: &str =
        "$pbkdf2-sha256$i=1000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$+t0d48AX/+9e4/SD0XcJA4iyKJ4wRa4gFk+sbpzwxjA";

    fn ring_of(seed: u64) -> KeyRing {
        KeyRing::new(vec![RootKey::generate(1, &Entropy::seeded(seed))]).unwrap()
    }

    fn id(text: &str) -> ClientId {
        ClientId::parse(text).unwrap()
    }

    #[test]
    fn a_generated_secret_has_hydras_form_and_differs_each_time() {
        let entropy = Entropy::seeded(1);
        let (a, b) = (ClientSecret::generate(&entropy), ClientSecret::generate(&entropy));
        assert!(a.looks_generated());
        assert!(!ClientSecret::new("chosen-by-somebody").looks_generated());
        assert_ne!(a.expose(), b.expose());
    }

    #[test]
    fn a_hash_opens_only_for_its_secret_client_incarnation_and_ring() {
        let (ring, entropy) = (ring_of(1), Entropy::seeded(2));
        let secret = ClientSecret::new("hunter2hunter2");
        let hashes = [
            ClientSecretHash::of_generated(&ring, &id("a"), Incarnation(7), &secret),
            ClientSecretHash::of_chosen(&ring, &id("a"), Incarnation(7), &secret, &entropy).unwrap(),
            ClientSecretHash::of_imported(&ring, &id("a"), Incarnation(7), IMPORTED.parse().unwrap()),
        ];
        for hash in hashes {
            assert!(hash.verify(&ring, &id("a"), Incarnation(7), &secret));
            assert!(!hash.verify(&ring, &id("b"), Incarnation(7), &secret));
            assert!(!hash.verify(&ring, &id("a"), Incarnation(8), &secret));
            assert!(!hash.verify(&ring, &id("a"), Incarnation(7), &ClientSecret::new("other!")));
            assert!(!hash.verify(&ring_of(2), &id("a"), Incarnation(7), &secret));
        }
    }

    #[test]
    fn a_hash_reads_back_from_its_text() {
        let (ring, entropy) = (ring_of(1), Entropy::seeded(2));
        let secret = ClientSecret::new("chosen-by-somebody");
        for hash in [
            ClientSecretHash::of_generated(&ring, &id("a"), Incarnation(1), &secret),
            ClientSecretHash::of_chosen(&ring, &id("a"), Incarnation(1), &secret, &entropy).unwrap(),
            ClientSecretHash::of_imported(&ring, &id("a"), Incarnation(1), IMPORTED.parse().unwrap()),
        ] {
            let read: ClientSecretHash = hash.to_string().parse().unwrap();
            assert_eq!(read.to_string(), hash.to_string());
            assert!(!hash.to_string().contains(secret.expose()));
        }
        for bad in [
            "",
            "hmac",
            "hmac.1",
            "hmac.1.x",
            "hmac.300.AAAA",
            "bcrypt.1.AAAA",
            "argon2id.1.AAAA",
            "imported.1.AAAA",
        ] {
            assert!(bad.parse::<ClientSecretHash>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_chosen_secret_must_have_six_characters() {
        let chosen = ClientSecret::new("12345");
        let got =
            ClientSecretHash::of_chosen(&ring_of(1), &id("a"), Incarnation(1), &chosen, &Entropy::seeded(1));
        assert!(matches!(got, Err(SecretError::TooShort)));
    }

    #[test]
    fn secrets_and_hashes_do_not_print() {
        let secret = ClientSecret::new("hunter2hunter2");
        let hash = ClientSecretHash::of_generated(&ring_of(1), &id("a"), Incarnation(1), &secret);
        assert_eq!(format!("{secret:?} {hash:?}"), "ClientSecret(..) Hmac(..)");
    }
}

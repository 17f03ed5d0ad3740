//! Hashes of client secrets that another server made: those that Ory Hydra takes.
//!
//! ```text
//! $2a$10$…                                    bcrypt
//! $pbkdf2-sha256$i=25000,l=32$<salt>$<hash>   PBKDF2 with SHA-1, SHA-256, SHA-384 or SHA-512
//! $argon2id$v=19$m=…,t=…,p=…$<salt>$<hash>    argon2id, argon2i
//! ```

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use argon2::Argon2;
use argon2::password_hash::PasswordVerifier;
use argon2::password_hash::phc::PasswordHash;
use aws_lc_rs::pbkdf2;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// The most that one comparison may cost: a hash beyond that would let anybody keep a processor busy by presenting
/// secrets.
const MOST_ITERATIONS: u32 = 2_000_000;
const HIGHEST_BCRYPT_COST: u32 = 15;
/// In KiB: 64 MiB, and four passes over that much.
const MOST_MEMORY: u64 = 1 << 16;
const MOST_MEMORY_PASSES: u64 = 1 << 18;

/// A hash of a secret, as another server stored it, and of a form that can be compared here.
#[derive(Clone, PartialEq, Eq)]
pub struct ImportedHash {
    text: String,
    kind: Kind,
}

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Bcrypt,
    Argon2,
    Pbkdf2 { digest: Digest, iterations: NonZeroU32, salt: Vec<u8>, hash: Vec<u8> },
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Digest {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

/// The hash cannot be compared here. Says nothing of its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnknownHash {
    /// It is of none of the known forms.
    #[error("the hash is neither bcrypt, nor argon2, nor PBKDF2 with SHA-1, SHA-256, SHA-384 or SHA-512")]
    Form,
    /// Comparing it would take seconds.
    #[error("comparing a secret with the hash would cost too much")]
    Cost,
}

impl ImportedHash {
    /// Compares a presented secret. Takes milliseconds: not for the reactor.
    pub fn verify(&self, presented: &str) -> bool {
        match &self.kind {
            // Go's bcrypt takes no longer ones either.
            Kind::Bcrypt => bcrypt::non_truncating_verify(presented, &self.text).unwrap_or(false),
            Kind::Argon2 => PasswordHash::new(&self.text)
                .is_ok_and(|hash| Argon2::default().verify_password(presented.as_bytes(), &hash).is_ok()),
            Kind::Pbkdf2 { digest, iterations, salt, hash } => {
                pbkdf2::verify(digest.algorithm(), *iterations, salt, presented.as_bytes(), hash).is_ok()
            }
        }
    }
}

impl Digest {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "sha1" => Self::Sha1,
            "sha256" => Self::Sha256,
            "sha384" => Self::Sha384,
            "sha512" => Self::Sha512,
            _ => return None,
        })
    }

    fn algorithm(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha384 => pbkdf2::PBKDF2_HMAC_SHA384,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }
}

impl FromStr for ImportedHash {
    type Err = UnknownHash;

    fn from_str(text: &str) -> Result<Self, UnknownHash> {
        let kind = if text.starts_with("$2") {
            bcrypt(text)?
        } else if text.starts_with("$argon2") {
            argon2(text)?
        } else {
            pbkdf2(text)?
        };
        Ok(Self { text: text.to_owned(), kind })
    }
}

fn bcrypt(text: &str) -> Result<Kind, UnknownHash> {
    let parts: bcrypt::HashParts = text.parse().map_err(|_| UnknownHash::Form)?;
    if parts.get_cost() > HIGHEST_BCRYPT_COST { Err(UnknownHash::Cost) } else { Ok(Kind::Bcrypt) }
}

fn argon2(text: &str) -> Result<Kind, UnknownHash> {
    let hash = PasswordHash::new(text).map_err(|_| UnknownHash::Form)?;
    let parameter = |name| hash.params.get_decimal(name).ok_or(UnknownHash::Form);
    let (memory, passes) = (parameter("m")?, parameter("t")?);
    if hash.salt.is_none() || hash.hash.is_none() {
        return Err(UnknownHash::Form);
    }
    let (memory, passes) = (u64::from(memory), u64::from(passes));
    let is_too_much = memory > MOST_MEMORY || memory * passes > MOST_MEMORY_PASSES;
    if is_too_much { Err(UnknownHash::Cost) } else { Ok(Kind::Argon2) }
}

fn pbkdf2(text: &str) -> Result<Kind, UnknownHash> {
    let mut parts = text.split('$');
    let mut next = || parts.next().ok_or(UnknownHash::Form);
    let (before, name, parameters, salt, hash) = (next()?, next()?, next()?, next()?, next()?);
    let digest = name.strip_prefix("pbkdf2-").and_then(Digest::parse).ok_or(UnknownHash::Form)?;
    let iterations = parameters.split(',').find_map(|parameter| parameter.strip_prefix("i="));
    let iterations = iterations.and_then(|text| text.parse::<NonZeroU32>().ok()).ok_or(UnknownHash::Form)?;
    let decoded = |text: &str| STANDARD_NO_PAD.decode(text).map_err(|_| UnknownHash::Form);
    let (salt, hash) = (decoded(salt)?, decoded(hash)?);
    if !before.is_empty() || parts.next().is_some() || hash.len() < 16 || hash.len() > 128 {
        return Err(UnknownHash::Form);
    }
    if iterations.get() > MOST_ITERATIONS {
        return Err(UnknownHash::Cost);
    }
    Ok(Kind::Pbkdf2 { digest, iterations, salt, hash })
}

/// As the other server stored it.
impl fmt::Display for ImportedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A hash is not for logs.
impl fmt::Debug for ImportedHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ImportedHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with Go's x/crypto/bcrypt, x/crypto/argon2 and Python's hashlib from "hunter2hunter2".
    const HASHES: [&str; 4] = [
        "$2a$04$eta1V1hEmWXsrJcbIQOHBeQHGoEw0Lvs1xbRKPxsBuFvOttgGk3he",
        "$pbkdf2-sha256$i=1000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$+t0d48AX/+9e4/SD0XcJA4iyKJ4wRa4gFk+sbpzwxjA",
        "$pbkdf2-sha512$i=1000,l=64$MDEyMzQ1Njc4OWFiY2RlZg$FfV9Jtg3noANXwQyhTOkuDtlk5Q3Or1/sMaLcoRtNvnL/zIaWUfkx4wv/AaxJEbUKXy+p/ZhEkjNUAjmMLXMvg",
        "$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$AA+rOtt3KoXcD03SF6t0QEB3rjHAiRE4NSoAPRl5H5k",
    ];

    #[test]
    fn each_form_verifies_its_secret_alone_and_reads_back() {
        for text in HASHES {
            let hash: ImportedHash = text.parse().unwrap();
            assert!(hash.verify("hunter2hunter2"), "{text}");
            assert!(!hash.verify("hunter2hunter3"), "{text}");
            assert!(!hash.verify(&"x".repeat(100)), "{text}");
            assert_eq!(hash.to_string(), text);
        }
    }

    #[test]
    fn what_cannot_be_compared_or_costs_too_much_is_refused() {
        for text in [
            "",
            "plain",
            "$2a$10$short",
            "$argon2id$v=19$m=64,t=1,p=1",
            "$pbkdf2-md5$i=1,l=32$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
            "$pbkdf2-sha256$i=0,l=32$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
            "$pbkdf2-sha256$i=1,l=32$AAAAAAAAAAAAAAAAAAAAAA$AAAA",
            "$pbkdf2-sha256$i=1,l=32$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA$x",
        ] {
            assert_eq!(text.parse::<ImportedHash>().unwrap_err(), UnknownHash::Form, "{text}");
        }
        for text in [
            HASHES[0].replacen("04", "16", 1),
            HASHES[1].replacen("i=1000", "i=2000001", 1),
            "$argon2id$v=19$m=1048577,t=1,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub+b2dWRWJTmaaJObG4fzV0gGBqYo"
                .to_owned(),
        ] {
            assert_eq!(text.parse::<ImportedHash>().unwrap_err(), UnknownHash::Cost, "{text}");
        }
    }

    #[test]
    fn it_does_not_print() {
        assert_eq!(format!("{:?}", HASHES[1].parse::<ImportedHash>().unwrap()), "ImportedHash(..)");
    }
}

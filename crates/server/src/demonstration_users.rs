//! The users that the built-in login page knows. They are for trying things out: who runs a server for people has a
//! login app (`urls.login`).

use std::collections::BTreeMap;
use std::sync::Arc;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash as Phc;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use jose::Entropy;
use serde_json::{Map, Value};

use crate::Server;
use crate::error::Failure;

/// How every hash begins: argon2id with the library's parameters, which are OWASP's.
const PARAMETERS: &str = "$argon2id$v=19$m=19456,t=2,p=1$";

/// A password's argon2id hash, always with the same parameters: so each comparison takes the same time.
#[derive(Clone)]
pub struct PasswordHash(String);

/// Why there is no hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// The text is no such hash.
    #[error("the hash must be argon2id with the parameters v=19, m=19456, t=2, p=1")]
    Malformed,
    /// argon2 failed.
    #[error("the password could not be hashed")]
    Hash,
}

impl PasswordHash {
    /// Hashes a password. Takes some 20 ms of CPU and 19 MiB: not for the reactor.
    ///
    /// # Errors
    /// [`PasswordError::Hash`].
    pub fn of(password: &str, entropy: &Entropy) -> Result<Self, PasswordError> {
        let hash = Argon2::default().hash_password_with_salt(password.as_bytes(), &entropy.bytes::<16>());
        hash.map(|hash| Self(hash.to_string())).map_err(|_| PasswordError::Hash)
    }

    /// Reads a hash in the PHC string format.
    ///
    /// # Errors
    /// [`PasswordError::Malformed`] for anything but argon2id with the parameters of all.
    pub fn parse(text: &str) -> Result<Self, PasswordError> {
        let is_whole = Phc::new(text).is_ok_and(|hash| hash.salt.is_some() && hash.hash.is_some());
        if text.starts_with(PARAMETERS) && is_whole {
            return Ok(Self(text.to_owned()));
        }
        Err(PasswordError::Malformed)
    }

    fn matches(&self, password: &str) -> bool {
        let compare = |hash: Phc| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok();
        Phc::new(&self.0).is_ok_and(compare)
    }
}

/// The kind only: a hash is not for logs.
impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// Somebody who can log in on the built-in page.
#[derive(Debug, Clone)]
pub struct DemonstrationUser {
    /// The password.
    pub password: PasswordHash,
    /// What is known of them: the claims that clients get by their scopes.
    pub claims: Map<String, Value>,
}

/// The users by their names, which are their subjects too. Clones are one.
#[derive(Debug, Clone)]
pub struct DemonstrationUsers(Arc<Known>);

#[derive(Debug)]
struct Known {
    users: BTreeMap<String, DemonstrationUser>,
    /// What the password of an unknown user is compared with: nobody learns from the time who is known.
    nobody: PasswordHash,
}

impl DemonstrationUsers {
    /// The users, by their names. Hashes one password.
    ///
    /// # Errors
    /// [`PasswordError::Hash`].
    pub fn new(users: BTreeMap<String, DemonstrationUser>, entropy: &Entropy) -> Result<Self, PasswordError> {
        let nobody = PasswordHash::of("", entropy)?;
        Ok(Self(Arc::new(Known { users, nobody })))
    }

    /// A user.
    pub(crate) fn get(&self, name: &str) -> Option<&DemonstrationUser> {
        self.0.users.get(name)
    }

    /// True where `name` and `password` are a user's. It takes the same time whether or not there is such a user.
    fn proves(&self, name: &str, password: &str) -> bool {
        let user = self.get(name);
        let matches = user.map_or(&self.0.nobody, |user| &user.password).matches(password);
        matches && user.is_some()
    }

    /// The same, on the pool for slow hashes.
    ///
    /// # Errors
    /// [`Failure::Busy`] where too many wait.
    pub(crate) async fn log_in(&self, server: &Server, name: &str, password: &str) -> Result<bool, Failure> {
        let (users, name, password) = (self.clone(), name.to_owned(), password.to_owned());
        server.hashes().run(move || users.proves(&name, &password)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> DemonstrationUsers {
        let entropy = Entropy::seeded(1);
        let user =
            DemonstrationUser { password: PasswordHash::of("secret", &entropy).unwrap(), claims: Map::new() };
        DemonstrationUsers::new(BTreeMap::from([("alice".to_owned(), user)]), &entropy).unwrap()
    }

    #[test]
    fn only_a_known_users_own_password_logs_in() {
        let users = users();
        for (name, password, proves) in [
            ("alice", "secret", true),
            ("alice", "Secret", false),
            ("alice", "", false),
            ("Alice", "secret", false),
            ("bob", "secret", false),
            // What an unknown user is compared with opens nothing.
            ("bob", "", false),
        ] {
            assert_eq!(users.proves(name, password), proves, "{name} {password}");
        }
    }

    #[test]
    fn a_hash_has_the_parameters_of_all() {
        let hash = PasswordHash::of("secret", &Entropy::seeded(2)).unwrap();
        assert!(hash.0.starts_with(PARAMETERS), "{}", hash.0);
        assert!(PasswordHash::parse(&hash.0).unwrap().matches("secret"));
        for other in [
            "secret".to_owned(),
            String::new(),
            PARAMETERS.to_owned(),
            hash.0.replace("m=19456", "m=8"),
            hash.0.replace("argon2id", "argon2i"),
            hash.0.rsplit_once('$').unwrap().0.to_owned(),
        ] {
            assert_eq!(PasswordHash::parse(&other).unwrap_err(), PasswordError::Malformed, "{other}");
        }
        assert_eq!(format!("{hash:?}"), "PasswordHash(..)");
    }
}

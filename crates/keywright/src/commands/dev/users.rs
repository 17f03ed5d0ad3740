//! The file with the users who can log in on the built-in page.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use jose::Entropy;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value};
use server::{DemonstrationUser, DemonstrationUsers, PasswordHash};

/// The users where no file is named.
const DEFAULT: &str = include_str!("../../../../../config/dev/users.yaml");

/// How one of the default users logs in, for whoever starts with them.
pub(super) const HINT: &str = "as alice with the password wonderland";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    users: Vec<Declared>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    username: String,
    password: Password,
    #[serde(default)]
    claims: Map<String, Value>,
}

/// A password as it stands in the file. No error shows what it is.
struct Password(String);

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) if !text.is_empty() => Ok(Self(text)),
            _ => Err(de::Error::custom("a password is a text that is not empty; put a number in quotes")),
        }
    }
}

/// Reads the users of a file, or the default ones. Hashes each password: not for the reactor.
///
/// # Errors
/// Naming the file and what is wrong in it.
pub(super) fn read(file: Option<&Path>, entropy: &Entropy) -> Result<DemonstrationUsers> {
    let Some(path) = file else { return parse(DEFAULT, entropy) };
    let users =
        std::fs::read_to_string(path).map_err(anyhow::Error::from).and_then(|text| parse(&text, entropy));
    users.with_context(|| format!("the users in {}", path.display()))
}

fn parse(text: &str, entropy: &Entropy) -> Result<DemonstrationUsers> {
    let file: File = serde_yaml::from_str(text)?;
    let mut users = BTreeMap::new();
    for Declared { username, password, claims } in file.users {
        if username.trim() != username || username.is_empty() {
            bail!("the user name {username:?} is empty, or begins or ends with a space");
        }
        let password = hash(&password.0, entropy).with_context(|| format!("the password of {username}"))?;
        if users.insert(username.clone(), DemonstrationUser { password, claims }).is_some() {
            bail!("the user {username} stands there twice");
        }
    }
    Ok(DemonstrationUsers::new(users, entropy)?)
}

fn hash(password: &str, entropy: &Entropy) -> Result<PasswordHash> {
    if password.starts_with("$argon2") {
        return Ok(PasswordHash::parse(password)?);
    }
    Ok(PasswordHash::of(password, entropy)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_users_are_read_and_the_hint_is_true() {
        assert!(read(None, &Entropy::seeded(1)).is_ok());
        assert!(DEFAULT.contains("username: alice\n  password: wonderland\n"));
    }

    #[test]
    fn a_file_that_is_wrong_is_told_what_and_no_password() {
        let one = |more: &str| format!("users:\n- username: alice\n{more}");
        let weak = "  password: $argon2id$v=19$m=8,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo";
        for (text, message) in [
            (String::new(), "users"),
            (one("  password: 73911"), "put a number in quotes"),
            (one("  password: ''"), "not empty"),
            (one("  claims: {}"), "password"),
            (one("  password: a\n  pasword: b"), "pasword"),
            (one(weak), "the password of alice"),
            (one("  password: a\n- username: alice\n  password: b"), "the user alice stands there twice"),
            ("users:\n- username: ' alice'\n  password: a".to_owned(), "\" alice\""),
        ] {
            let error = parse(&text, &Entropy::seeded(1)).unwrap_err();
            let told = format!("{error:#}");
            assert!(told.contains(message) && !told.contains("73911"), "{text}: {told}");
        }
    }

    #[test]
    fn a_file_of_ones_own_may_hold_hashes() {
        let hash = "$argon2id$v=19$m=19456,t=2,p=1$AQEBAQEBAQEBAQEBAQEBAQ$\
                    AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE";
        let text = format!("users:\n- username: carol\n  password: {hash}\n");
        assert!(parse(&text, &Entropy::seeded(1)).is_ok());
    }
}

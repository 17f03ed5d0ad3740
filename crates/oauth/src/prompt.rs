//! The `prompt` parameter (OpenID Connect Core §3.1.2.1).

use std::str::FromStr;

/// Which pages the client wants its user to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is one word of the parameter")]
pub struct Prompts {
    /// No page at all.
    pub none: bool,
    /// The login page, whoever is logged in.
    pub login: bool,
    /// The consent page, whatever is remembered.
    pub consent: bool,
    /// The login page, to choose an account.
    pub select_account: bool,
    /// The registration page in place of the login page (Hydra).
    pub registration: bool,
}

/// The text is no list of prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPrompts {
    /// A word that this server does not know.
    #[error("the values of prompt are none, login, consent, select_account and registration")]
    Unknown,
    /// `none` beside others.
    #[error("prompt=none stands alone")]
    NoneAndOthers,
}

impl Prompts {
    /// True where the user must log in anew.
    pub fn forces_login(self) -> bool {
        self.login || self.select_account || self.registration
    }
}

impl FromStr for Prompts {
    type Err = InvalidPrompts;

    fn from_str(text: &str) -> Result<Self, InvalidPrompts> {
        let mut prompts = Self::default();
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            *match word {
                "none" => &mut prompts.none,
                "login" => &mut prompts.login,
                "consent" => &mut prompts.consent,
                "select_account" => &mut prompts.select_account,
                "registration" => &mut prompts.registration,
                _ => return Err(InvalidPrompts::Unknown),
            } = true;
        }
        if prompts.none && (prompts.forces_login() || prompts.consent) {
            return Err(InvalidPrompts::NoneAndOthers);
        }
        Ok(prompts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_stands_alone_and_unknown_words_are_refused() {
        assert_eq!("".parse(), Ok(Prompts::default()));
        assert_eq!(
            "login  consent".parse(),
            Ok(Prompts { login: true, consent: true, ..Prompts::default() })
        );
        assert_eq!("none".parse(), Ok(Prompts { none: true, ..Prompts::default() }));
        assert_eq!("none login".parse::<Prompts>(), Err(InvalidPrompts::NoneAndOthers));
        assert_eq!("consent none".parse::<Prompts>(), Err(InvalidPrompts::NoneAndOthers));
        assert_eq!("Login".parse::<Prompts>(), Err(InvalidPrompts::Unknown));
        assert!("select_account".parse::<Prompts>().unwrap().forces_login());
        assert!(!"consent".parse::<Prompts>().unwrap().forces_login());
    }
}

//! User codes (RFC 8628 §6.1): what somebody reads from a device and types into a page.

use std::fmt;

use jose::{Entropy, KeyRing, MacPurpose};
use serde::{Deserialize, Serialize};

/// The fewest bits that a code may have: those of nine digits. Limits on attempts make these hopeless to guess, and
/// fewer not.
const FEWEST_BITS: f64 = 29.0;

/// The most characters that a code may have: somebody types it.
const LONGEST: usize = 40;

/// Which characters the server's user codes have, and how many. Upper-case letters and digits, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserCodeFormat {
    characters: String,
    length: usize,
}

/// Why codes of a form cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUserCodeFormat {
    /// A character that is left out where codes are compared, or that not every keyboard has.
    #[error("ASCII letters and digits alone")]
    Character,
    /// Codes that could be guessed.
    #[error(
        "at least as many combinations as nine digits have: more characters, or a greater length (small and capital \
         letters are the same)"
    )]
    TooFew,
    /// Codes that nobody types.
    #[error("at most {LONGEST} characters")]
    TooLong,
}

impl UserCodeFormat {
    /// The characters of Hydra's preset `high`: no two that look alike.
    pub const UNAMBIGUOUS: &'static str = "23456789ABCDEFGHJKMNPQRSTUVWXYZ";
    /// The characters of `medium`: consonants make no words (RFC 8628 §6.1).
    pub const CONSONANTS: &'static str = "BCDFGHJKLMNPQRSTVWXZ";
    /// The characters of `low`.
    pub const DIGITS: &'static str = "0123456789";

    /// Codes of so many of these characters. Small letters count as capitals, and each character once.
    ///
    /// # Errors
    /// [`InvalidUserCodeFormat`].
    pub fn new(characters: &str, length: usize) -> Result<Self, InvalidUserCodeFormat> {
        if !characters.bytes().all(|c| c.is_ascii_alphanumeric()) {
            return Err(InvalidUserCodeFormat::Character);
        }
        let mut distinct: Vec<u8> = characters.to_ascii_uppercase().into_bytes();
        distinct.sort_unstable();
        distinct.dedup();
        if length > LONGEST {
            return Err(InvalidUserCodeFormat::TooLong);
        }
        #[expect(clippy::cast_precision_loss, reason = "both are below a hundred")]
        let bits = (distinct.len() as f64).log2() * length as f64;
        // No characters at all give minus infinity, or nothing.
        if bits.is_nan() || bits < FEWEST_BITS {
            return Err(InvalidUserCodeFormat::TooFew);
        }
        Ok(Self { characters: distinct.into_iter().map(char::from).collect(), length })
    }

    /// A new code.
    pub fn generate(&self, entropy: &Entropy) -> UserCode {
        let characters = self.characters.as_bytes();
        let count = characters.len();
        // Anything above would favour some characters.
        let usable = 256 - 256 % count;
        let mut text = String::with_capacity(self.length);
        while text.len() < self.length {
            let drawn = entropy.bytes::<32>().into_iter().map(usize::from).filter(|&byte| byte < usable);
            let wanted = self.length - text.len();
            text.extend(drawn.take(wanted).map(|byte| char::from(characters[byte % count])));
        }
        UserCode(text)
    }

    /// The code that somebody typed, in whatever case and with whatever separators; `None` where it cannot be one.
    pub fn read(&self, typed: &str) -> Option<UserCode> {
        let is_part = |c: &char| c.is_alphanumeric();
        let text: String = typed.chars().filter(is_part).map(|c| c.to_ascii_uppercase()).collect();
        let is_one = text.len() == self.length && text.chars().all(|c| self.characters.contains(c));
        is_one.then_some(UserCode(text))
    }

    /// How many characters a code has, separators left out.
    pub fn length(&self) -> usize {
        self.length
    }
}

impl Default for UserCodeFormat {
    /// Hydra's preset `high`.
    fn default() -> Self {
        Self { characters: Self::UNAMBIGUOUS.to_owned(), length: 8 }
    }
}

/// A user code. It is shown in groups, and is no secret of the kind that is wiped: it stands on a screen.
#[derive(Clone, PartialEq, Eq)]
pub struct UserCode(String);

impl UserCode {
    /// What is stored of the code: nobody who reads it finds the code without the installation's keys.
    pub fn hash(&self, ring: &KeyRing) -> UserCodeHash {
        UserCodeHash(ring.mac(MacPurpose::UserCode, &[self.0.as_bytes()]).tag)
    }
}

/// In groups of four or three characters where they come out even.
impl fmt::Display for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = match self.0.len() {
            length if length % 4 == 0 => 4,
            length if length % 3 == 0 => 3,
            length => length,
        };
        for (index, character) in self.0.chars().enumerate() {
            if index > 0 && index % group == 0 {
                f.write_str("-")?;
            }
            write!(f, "{character}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for UserCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserCode(..)")
    }
}

/// The keyed hash of a user code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserCodeHash(pub [u8; 32]);

#[cfg(test)]
mod tests {
    use super::*;
    use jose::RootKey;

    fn format(characters: &str, length: usize) -> Result<UserCodeFormat, InvalidUserCodeFormat> {
        UserCodeFormat::new(characters, length)
    }

    #[test]
    fn codes_that_could_be_guessed_or_that_nobody_types_are_refused() {
        use InvalidUserCodeFormat::{Character, TooFew, TooLong};
        let cases = [
            (UserCodeFormat::DIGITS, 9, None),
            (UserCodeFormat::DIGITS, 8, Some(TooFew)),
            (UserCodeFormat::CONSONANTS, 7, None),
            ("ABCDEFGH", 9, Some(TooFew)),
            ("ABCDEFGHabcdefgh", 9, Some(TooFew)),
            ("ABCDEFGH", 10, None),
            ("", 10, Some(TooFew)),
            ("A", 40, Some(TooFew)),
            ("ABCDEFGH-", 12, Some(Character)),
            ("ABCDEFGHÄ", 12, Some(Character)),
            ("ABCDEFGH", 41, Some(TooLong)),
        ];
        for (characters, length, error) in cases {
            assert_eq!(format(characters, length).err(), error, "{characters} {length}");
        }
        assert_eq!(format(UserCodeFormat::UNAMBIGUOUS, 8), Ok(UserCodeFormat::default()));
    }

    #[test]
    fn every_character_is_drawn_and_no_other() {
        let entropy = Entropy::seeded(1);
        for format in [UserCodeFormat::default(), format(UserCodeFormat::DIGITS, 9).unwrap()] {
            let drawn: String = (0..500).map(|_| format.generate(&entropy).0).collect();
            assert_eq!(drawn.len(), 500 * format.length());
            assert!(drawn.chars().all(|c| format.characters.contains(c)));
            for character in format.characters.chars() {
                let times = drawn.chars().filter(|c| *c == character).count();
                let fair = drawn.len() / format.characters.len();
                assert!((fair / 2..fair * 2).contains(&times), "{character}: {times}");
            }
        }
    }

    #[test]
    fn a_code_is_read_whatever_its_case_and_separators() {
        let format = UserCodeFormat::default();
        let code = UserCode("WDJBMJHT".to_owned());
        assert_eq!(code.to_string(), "WDJB-MJHT");
        for typed in ["WDJB-MJHT", "wdjbmjht", " wDjB mJhT\n", "W.D.J.B_M/J/H/T", "WDJB\u{2013}MJHT"] {
            assert_eq!(format.read(typed).as_ref(), Some(&code), "{typed}");
        }
        for typed in ["", "WDJB-MJH", "WDJB-MJHTT", "WDJB-MJH0", "WDJB-MJHü", "----------"] {
            assert_eq!(format.read(typed), None, "{typed}");
        }
        assert_eq!(UserCode("123456789".to_owned()).to_string(), "123-456-789");
        assert_eq!(UserCode("1234567".to_owned()).to_string(), "1234567");
    }

    #[test]
    fn a_code_is_told_by_its_hash_in_one_installation_alone() {
        let ring = |seed| KeyRing::new(vec![RootKey::generate(1, &Entropy::seeded(seed))]).unwrap();
        let [one, other] = ["WDJBMJHT", "WDJBMJHU"].map(|text| UserCode(text.to_owned()));
        assert_eq!(one.hash(&ring(1)), one.hash(&ring(1)));
        assert_ne!(one.hash(&ring(1)), other.hash(&ring(1)));
        assert_ne!(one.hash(&ring(1)), one.hash(&ring(2)));
        assert_eq!(format!("{one:?}"), "UserCode(..)");
    }
}

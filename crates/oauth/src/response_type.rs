//! Response types (RFC 6749 §3.1.1, OAuth 2.0 Multiple Response Type Encoding Practices).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::GrantType;

/// What an authorization response carries: any combination of a code, an access token and an ID token. The order of
/// the words means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResponseType {
    /// An authorization code.
    pub code: bool,
    /// An ID token.
    pub id_token: bool,
    /// An access token.
    pub token: bool,
}

/// The text names no response type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a response type is made of the words code, id_token and token, each at most once")]
pub struct UnknownResponseType;

impl ResponseType {
    /// A code alone.
    pub const CODE: Self = Self { code: true, id_token: false, token: false };

    /// Nothing: a device asks for its tokens itself.
    pub const NONE: Self = Self { code: false, id_token: false, token: false };

    /// The response types that this server gives.
    pub const SERVED: [Self; 7] = [
        Self::CODE,
        Self { code: true, id_token: true, token: false },
        Self { code: false, id_token: true, token: false },
        Self { code: false, id_token: true, token: true },
        Self { code: false, id_token: false, token: true },
        Self { code: true, id_token: false, token: true },
        Self { code: true, id_token: true, token: true },
    ];

    /// True where the response itself carries a token, which never travels in a query.
    pub fn has_token(self) -> bool {
        self.token || self.id_token
    }

    /// The grant types that a client needs for it. As with Hydra, an ID token beside a code is the code's.
    pub fn grant_types(self) -> impl Iterator<Item = GrantType> {
        let is_implicit = self.token || !self.code;
        let needed = [(self.code, GrantType::AuthorizationCode), (is_implicit, GrantType::Implicit)];
        needed.into_iter().filter(|(is_needed, _)| *is_needed).map(|(_, grant)| grant)
    }
}

impl fmt::Display for ResponseType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [(self.code, "code"), (self.id_token, "id_token"), (self.token, "token")];
        let mut named = words.into_iter().filter(|(is_named, _)| *is_named).map(|(_, word)| word);
        f.write_str(named.next().unwrap_or_default())?;
        named.try_for_each(|word| write!(f, " {word}"))
    }
}

impl FromStr for ResponseType {
    type Err = UnknownResponseType;

    fn from_str(text: &str) -> Result<Self, UnknownResponseType> {
        let mut response_type = Self { code: false, id_token: false, token: false };
        let mut words = text.split(' ').filter(|word| !word.is_empty()).peekable();
        words.peek().ok_or(UnknownResponseType)?;
        for word in words {
            let part = match word {
                "code" => &mut response_type.code,
                "id_token" => &mut response_type.id_token,
                "token" => &mut response_type.token,
                _ => return Err(UnknownResponseType),
            };
            if std::mem::replace(part, true) {
                return Err(UnknownResponseType);
            }
        }
        Ok(response_type)
    }
}

impl TryFrom<String> for ResponseType {
    type Error = UnknownResponseType;

    fn try_from(text: String) -> Result<Self, UnknownResponseType> {
        text.parse()
    }
}

impl From<ResponseType> for String {
    fn from(response_type: ResponseType) -> Self {
        response_type.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_in_any_order_and_written_in_one() {
        let cases = [
            ("code", Some("code")),
            ("token code  id_token", Some("code id_token token")),
            ("id_token", Some("id_token")),
            ("", None),
            ("none", None),
            ("code code", None),
            ("Code", None),
        ];
        for (text, written) in cases {
            let parsed = text.parse::<ResponseType>().ok().map(|parsed| parsed.to_string());
            assert_eq!(parsed.as_deref(), written, "{text}");
        }
    }

    #[test]
    fn what_a_response_carries_decides_which_grants_it_needs() {
        use GrantType::{AuthorizationCode as Code, Implicit};
        for (text, grants, has_token) in [
            ("code", &[Code][..], false),
            ("id_token", &[Implicit], true),
            ("token", &[Implicit], true),
            ("id_token token", &[Implicit], true),
            ("code id_token", &[Code], true),
            ("code token", &[Code, Implicit], true),
            ("code id_token token", &[Code, Implicit], true),
        ] {
            let response_type: ResponseType = text.parse().unwrap();
            assert!(ResponseType::SERVED.contains(&response_type), "{text}");
            assert_eq!(response_type.grant_types().collect::<Vec<_>>(), grants, "{text}");
            assert_eq!(response_type.has_token(), has_token, "{text}");
        }
    }
}

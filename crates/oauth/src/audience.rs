//! The audience of an access token, and how a client's registered audiences allow a requested one.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Url;

/// One audience: a URL or any other string without white space.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Audience {
    text: String,
    /// Parsed once: a request may compare each of its audiences with each of the client's.
    url: Option<Url>,
}

/// Why a string is no audience.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an audience is 1 to 1024 characters without white space")]
pub struct InvalidAudience;

impl Audience {
    /// Parses one audience.
    ///
    /// # Errors
    /// [`InvalidAudience`] where it is empty, too long, or holds white space or control characters.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidAudience> {
        let text = text.into();
        let valid =
            (1..=1024).contains(&text.len()) && !text.chars().any(|c| c.is_whitespace() || c.is_control());
        if !valid {
            return Err(InvalidAudience);
        }
        Ok(Self { url: nestable(&text), text })
    }

    /// The audience as text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// True where this registered audience allows `requested`: equal, or a URL with the same scheme and host (and
    /// port) and the same or a nested path.
    pub fn allows(&self, requested: &Audience) -> bool {
        self.text == requested.text || self.nests(requested).unwrap_or(false)
    }

    fn nests(&self, requested: &Self) -> Option<bool> {
        let (registered, requested) = (self.url.as_ref()?, requested.url.as_ref()?);
        if registered.origin() != requested.origin() {
            return Some(false);
        }
        let base = registered.path().trim_end_matches('/');
        let rest = requested.path().strip_prefix(base)?;
        Some(rest.is_empty() || rest.starts_with('/'))
    }
}

/// The URL in which others can nest. Without a host (`urn:…`) there is no path to nest in. A query, a fragment or a user
/// name is no part of the comparison, so an audience that brings one is only ever equal or refused.
fn nestable(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain =
        url.has_host() && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    plain.then_some(url)
}

/// The audiences of a request: each value of the parameter may name several, separated by spaces.
///
/// # Errors
/// [`InvalidAudience`] where one of them is none.
pub fn parse_list(text: &str) -> Result<Vec<Audience>, InvalidAudience> {
    let mut list: Vec<Audience> = Vec::new();
    for part in text.split(' ').filter(|part| !part.is_empty()) {
        let audience = Audience::parse(part)?;
        if !list.contains(&audience) {
            list.push(audience);
        }
    }
    Ok(list)
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Audience {
    type Error = InvalidAudience;

    fn try_from(text: String) -> Result<Self, InvalidAudience> {
        Self::parse(text)
    }
}

impl From<Audience> for String {
    fn from(audience: Audience) -> Self {
        audience.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registered_url_allows_itself_and_what_lies_below_it() {
        let cases = [
            ("https://api.example.com", "https://api.example.com", true),
            ("https://api.example.com", "https://api.example.com/", true),
            ("https://api.example.com/", "https://api.example.com", true),
            ("https://api.example.com/v1", "https://api.example.com/v1/orders", true),
            ("https://api.example.com/v1", "https://api.example.com/v10", false),
            ("https://api.example.com/v1", "https://api.example.com/v1/../v2", false),
            ("https://api.example.com/v1", "https://api.example.com", false),
            ("https://api.example.com", "http://api.example.com", false),
            ("https://api.example.com", "https://api.example.com:8443", false),
            ("https://api.example.com", "https://api.example.com.evil.test", false),
            ("https://api.example.com", "https://user@api.example.com/", false),
            ("https://api.example.com", "https://api.example.com/?x=1", false),
            ("orders", "orders", true),
            ("orders", "orders/x", false),
            ("urn:a", "urn:a:b", false),
        ];
        for (registered, requested, allowed) in cases {
            let got = Audience::parse(registered).unwrap().allows(&Audience::parse(requested).unwrap());
            assert_eq!(got, allowed, "{registered} vs {requested}");
        }
    }
}

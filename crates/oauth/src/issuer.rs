//! The issuer identifier (RFC 8414 §2, OpenID Connect Discovery §3).

use std::fmt;

use serde::{Serialize, Serializer};
use url::Url;

/// The issuer's URL, kept exactly as the configuration wrote it: relying parties compare it byte for byte, so a
/// trailing slash stays or stays away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer(String);

/// Why a string is no issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an issuer is an http or https URL with a host and without query or fragment")]
pub struct InvalidIssuer;

impl Issuer {
    /// Parses an issuer; whether plain http is allowed is for the configuration to say.
    ///
    /// # Errors
    /// [`InvalidIssuer`] where it is no http(s) URL, or has a query or a fragment.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidIssuer> {
        let text = text.into();
        let url = Url::parse(&text).map_err(|_| InvalidIssuer)?;
        let valid = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.fragment().is_none();
        if valid { Ok(Self(text)) } else { Err(InvalidIssuer) }
    }

    /// The issuer as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL of a path below the issuer; exactly one slash stands between the two.
    pub fn join(&self, path: &str) -> String {
        format!("{}/{}", self.0.trim_end_matches('/'), path.trim_start_matches('/'))
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Issuer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_stays_as_it_was_written() {
        let issuer = Issuer::parse("https://id.example.com/").unwrap();
        assert_eq!(issuer.as_str(), "https://id.example.com/");
        assert_eq!(issuer.join("/oauth2/token"), "https://id.example.com/oauth2/token");
        assert_eq!(Issuer::parse("https://a/b").unwrap().join("c"), "https://a/b/c");
    }

    #[test]
    fn what_relying_parties_could_not_compare_is_refused() {
        for bad in ["", "id.example.com", "ftp://a", "https://a?x=1", "https://a#f", "mailto:a@b"] {
            assert_eq!(Issuer::parse(bad), Err(InvalidIssuer), "{bad}");
        }
    }
}

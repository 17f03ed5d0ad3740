//! Web addresses that a client registers.

use serde::{Deserialize, Serialize};
use url::Url;

/// An `http` or `https` URL, kept as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebUrl {
    text: String,
    url: Url,
}

/// The text is no web address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no http or https URL")]
pub struct InvalidWebUrl;

impl WebUrl {
    /// Parses a web address.
    ///
    /// # Errors
    /// [`InvalidWebUrl`] where it is no URL, has another scheme, or no host.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidWebUrl> {
        let text = text.into();
        let url = Url::parse(&text).map_err(|_| InvalidWebUrl)?;
        if matches!(url.scheme(), "http" | "https") && url.has_host() {
            Ok(Self { text, url })
        } else {
            Err(InvalidWebUrl)
        }
    }

    /// The address as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The address, parsed.
    pub fn url(&self) -> &Url {
        &self.url
    }
}

impl TryFrom<String> for WebUrl {
    type Error = InvalidWebUrl;

    fn try_from(text: String) -> Result<Self, InvalidWebUrl> {
        Self::parse(text)
    }
}

impl From<WebUrl> for String {
    fn from(url: WebUrl) -> Self {
        url.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_web_address_has_a_host_and_stays_as_it_was_written() {
        for text in ["https://a", "http://localhost:8080/jwks", "https://A.example/r#x"] {
            assert_eq!(WebUrl::parse(text).unwrap().as_str(), text);
        }
        for text in ["", "/jwks", "ftp://a/jwks", "javascript:alert(1)", "https://"] {
            assert!(WebUrl::parse(text).is_err(), "{text}");
        }
    }
}

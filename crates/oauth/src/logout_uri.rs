//! Where a client is told of a logout (OpenID Connect Front-Channel Logout §2, Back-Channel Logout §2.2).

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::{Issuer, SessionId};

/// An http or https URL of a client, without a fragment; it is kept as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LogoutUri(String);

/// Why a text is no such URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidLogoutUri {
    /// It is no http or https URL.
    #[error("it is no http or https URL")]
    NotWeb,
    /// It has a fragment.
    #[error("it has a fragment")]
    Fragment,
    /// It has a user name or a password.
    #[error("it has a user name")]
    UserName,
    /// Its host cannot be named in a content security policy without meaning more than itself.
    #[error("its host is neither an IP address nor a domain of letters, digits, '-', '_' and '.'")]
    Host,
}

impl LogoutUri {
    /// Parses the URL.
    ///
    /// # Errors
    /// [`InvalidLogoutUri`], which says what is wrong.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidLogoutUri> {
        let text = text.into();
        let url = Url::parse(&text).map_err(|_| InvalidLogoutUri::NotWeb)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(InvalidLogoutUri::NotWeb);
        }
        if url.fragment().is_some() {
            return Err(InvalidLogoutUri::Fragment);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidLogoutUri::UserName);
        }
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        match url.host() {
            Some(Host::Domain(domain)) if !domain.chars().all(is_plain) => Err(InvalidLogoutUri::Host),
            Some(_) => Ok(Self(text)),
            None => Err(InvalidLogoutUri::NotWeb),
        }
    }

    /// The URL as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URL, parsed.
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "it was parsed when the value was made"
    )]
    pub fn url(&self) -> Url {
        Url::parse(&self.0).expect("a URL")
    }

    /// Scheme, host and port, as a content security policy names them.
    pub fn origin(&self) -> String {
        self.url().origin().ascii_serialization()
    }

    /// What the browser loads to tell the client (Front-Channel Logout §2): the URL with `iss` and `sid`.
    pub fn front_channel(&self, issuer: &Issuer, session: SessionId) -> String {
        let mut url = self.url();
        url.query_pairs_mut().append_pair("iss", issuer.as_str()).append_pair("sid", &session.to_string());
        url.into()
    }
}

impl TryFrom<String> for LogoutUri {
    type Error = InvalidLogoutUri;

    fn try_from(text: String) -> Result<Self, InvalidLogoutUri> {
        Self::parse(text)
    }
}

impl From<LogoutUri> for String {
    fn from(uri: LogoutUri) -> Self {
        uri.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logout_uri_is_a_web_page_without_a_fragment() {
        use InvalidLogoutUri as I;
        for (text, why) in [
            ("https://a.example.com/out?x=1", None),
            ("http://127.0.0.1:8080/out", None),
            ("https://[::1]/out", None),
            ("https://bücher.example/out", None),
            ("/out", Some(I::NotWeb)),
            ("app:/out", Some(I::NotWeb)),
            ("javascript:alert(1)", Some(I::NotWeb)),
            ("https://a/out#x", Some(I::Fragment)),
            ("https://a/out#", Some(I::Fragment)),
            ("https://user@a/out", Some(I::UserName)),
            ("https://*.example.com/out", Some(I::Host)),
            ("https://a;script-src/out", Some(I::Host)),
            ("https://a,b/out", Some(I::Host)),
        ] {
            assert_eq!(LogoutUri::parse(text).err(), why, "{text}");
        }
    }

    #[test]
    fn the_browser_says_which_session_ended_and_where() {
        let issuer = Issuer::parse("https://id.example.com/").unwrap();
        let sid = "6e1a1f2c-5f0e-4b52-9f8a-5f1f3f7e9b10";
        let uri = LogoutUri::parse("https://App.example.com:443/out?x=a+b").unwrap();
        assert_eq!(uri.as_str(), "https://App.example.com:443/out?x=a+b");
        assert_eq!(uri.origin(), "https://app.example.com");
        assert_eq!(
            uri.front_channel(&issuer, sid.parse().unwrap()),
            format!("https://app.example.com/out?x=a+b&iss=https%3A%2F%2Fid.example.com%2F&sid={sid}")
        );
    }
}

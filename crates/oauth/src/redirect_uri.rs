//! Redirection endpoints (RFC 6749 §3.1.2, RFC 8252 §7).

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// Where an authorization response goes: an absolute URI without a fragment, kept as it was written.
///
/// Two of them are compared as texts (RFC 9700 §2.1); only the port of a loopback address may differ
/// ([`RedirectUri::covers`]).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RedirectUri(String);

/// Why a text is no redirection endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRedirectUri {
    /// It is no absolute URI.
    #[error("a redirect URI is absolute: it names a scheme and where to go")]
    NotAbsolute,
    /// It has a fragment.
    #[error("a redirect URI has no fragment")]
    Fragment,
    /// It would run in the browser instead of leading somewhere.
    #[error("a redirect URI does not have the scheme javascript, data, vbscript, blob or file")]
    Scheme,
    /// It has a user name, a password, or characters that no URI has.
    #[error("a redirect URI has neither a user name nor white space nor control characters")]
    Characters,
}

/// Schemes that a browser acts on by itself.
const NOT_LOCATIONS: [&str; 5] = ["javascript", "data", "vbscript", "blob", "file"];

impl RedirectUri {
    /// Parses a redirection endpoint.
    ///
    /// # Errors
    /// [`InvalidRedirectUri`], which says what is wrong.
    pub fn parse(text: impl Into<String>) -> Result<Self, InvalidRedirectUri> {
        let text = text.into();
        // A URL parser strips some of these in silence, so that it would judge another text than is compared.
        if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
            return Err(InvalidRedirectUri::Characters);
        }
        if text.contains('#') {
            return Err(InvalidRedirectUri::Fragment);
        }
        let url = Url::parse(&text).map_err(|_| InvalidRedirectUri::NotAbsolute)?;
        if NOT_LOCATIONS.contains(&url.scheme()) {
            return Err(InvalidRedirectUri::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidRedirectUri::Characters);
        }
        Ok(Self(text))
    }

    /// The URI as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Who gets the response, in a form that people can judge: the origin of a web page, the scheme of an app.
    pub fn destination(&self) -> String {
        match Url::parse(&self.0) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => url.origin().ascii_serialization(),
            Ok(url) => format!("{}:", url.scheme()),
            // Cannot be: it was parsed when it was made.
            Err(_) => self.0.clone(),
        }
    }

    /// True where this registered URI allows `requested`: the same text; or, for `http` on a loopback address, the
    /// same but for the port, which native apps choose when they run (RFC 8252 §7.3).
    pub fn covers(&self, requested: &Self) -> bool {
        self == requested || self.same_on_loopback(requested).unwrap_or(false)
    }

    fn same_on_loopback(&self, requested: &Self) -> Option<bool> {
        let (mut registered, mut requested) = (Url::parse(&self.0).ok()?, Url::parse(&requested.0).ok()?);
        let on_loopback = |url: &Url| url.scheme() == "http" && is_loopback_address(url);
        if !on_loopback(&registered) || !on_loopback(&requested) {
            return Some(false);
        }
        registered.set_port(None).ok()?;
        requested.set_port(None).ok()?;
        Some(registered == requested)
    }

    /// True where a response cannot be read on its way: `https`, a custom scheme, or `http` on this very machine.
    pub fn is_private(&self) -> bool {
        let Ok(url) = Url::parse(&self.0) else { return false };
        let is_local_name = matches!(url.host(), Some(Host::Domain(name)) if name == "localhost" || name.ends_with(".localhost"));
        url.scheme() != "http" || is_local_name || is_loopback_address(&url)
    }

    /// True for a web page, which only its host can answer: `https`, or `http` on this machine. Any app can claim a
    /// custom scheme, so consent for one is never taken as given.
    pub fn proves_its_owner(&self) -> bool {
        self.is_private() && (self.0.starts_with("https:") || self.0.starts_with("http:"))
    }
}

fn is_loopback_address(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.octets()[0] == Ipv4Addr::LOCALHOST.octets()[0],
        Some(Host::Ipv6(address)) => address == Ipv6Addr::LOCALHOST,
        _ => false,
    }
}

impl fmt::Display for RedirectUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for RedirectUri {
    type Error = InvalidRedirectUri;

    fn try_from(text: String) -> Result<Self, InvalidRedirectUri> {
        Self::parse(text)
    }
}

impl From<RedirectUri> for String {
    fn from(uri: RedirectUri) -> Self {
        uri.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn uri(text: &str) -> RedirectUri {
        RedirectUri::parse(text).unwrap()
    }

    #[test]
    fn people_are_told_who_gets_the_response() {
        for (uri, destination) in [
            ("https://app.example.com/cb?x=1", "https://app.example.com"),
            ("http://127.0.0.1:5555/callback", "http://127.0.0.1:5555"),
            ("com.example.shop:/callback", "com.example.shop:"),
        ] {
            assert_eq!(RedirectUri::parse(uri).unwrap().destination(), destination);
        }
    }

    #[test]
    fn only_places_to_go_are_redirect_uris() {
        use InvalidRedirectUri as E;
        for (text, error) in [
            ("/cb", E::NotAbsolute),
            ("app.example.com/cb", E::NotAbsolute),
            ("https://a/cb#x", E::Fragment),
            ("https://a/cb#", E::Fragment),
            ("javascript:alert(1)", E::Scheme),
            ("JavaScript:alert(1)", E::Scheme),
            ("data:text/html,x", E::Scheme),
            ("https://user@a/cb", E::Characters),
            ("https://a/c b", E::Characters),
            ("https://a\\@b/cb", E::Characters),
            ("https://a/\ncb", E::Characters),
        ] {
            assert_eq!(RedirectUri::parse(text), Err(error), "{text}");
        }
        for text in ["https://a/cb?x=1", "com.example.app:/cb", "http://127.0.0.1/cb", "http://[::1]:80/cb"] {
            assert!(RedirectUri::parse(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn uris_are_compared_as_texts_but_for_loopback_ports() {
        for (registered, requested, covered) in [
            ("https://a/cb", "https://a/cb", true),
            ("https://a/cb", "https://a/cb/", false),
            ("https://a/cb", "https://A/cb", false),
            ("https://a/cb", "https://a:443/cb", false),
            ("https://a/cb", "https://a/cb?x=1", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:51234/cb", true),
            ("http://127.0.0.1:80/cb", "http://127.0.0.1:51234/cb", true),
            ("http://[::1]/cb", "http://[::1]:51234/cb", true),
            ("http://127.0.0.1/cb", "http://127.0.0.1:51234/other", false),
            ("http://127.0.0.1/cb", "http://127.0.0.2:1/cb", false),
            ("http://127.0.0.1/cb", "https://127.0.0.1:1/cb", false),
            ("http://localhost/cb", "http://localhost:51234/cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1.evil.test/cb", false),
        ] {
            assert_eq!(uri(registered).covers(&uri(requested)), covered, "{registered} {requested}");
        }
    }

    #[test]
    fn plain_http_is_private_on_this_machine_alone() {
        for (text, private, owner) in [
            ("https://a/cb", true, true),
            ("com.example.app:/cb", true, false),
            ("http://localhost:8080/cb", true, true),
            ("http://app.localhost/cb", true, true),
            ("http://127.0.0.1/cb", true, true),
            ("http://a.example.com/cb", false, false),
            ("http://127.0.0.1.example.com/cb", false, false),
        ] {
            assert_eq!((uri(text).is_private(), uri(text).proves_its_owner()), (private, owner), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_harm(text in "\\PC{0,60}") {
            if let Ok(parsed) = RedirectUri::parse(text.clone()) {
                prop_assert_eq!(parsed.as_str(), text.as_str());
                prop_assert!(parsed.covers(&parsed));
            }
        }
    }
}

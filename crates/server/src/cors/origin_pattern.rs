//! Which origins may ask, as configurations and clients' registrations write it.

use std::fmt;

/// One allowed origin, or several by a wildcard.
#[derive(Clone, PartialEq, Eq)]
pub struct OriginPattern(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    /// `*`
    Any,
    /// `https://*`
    AnyHost { scheme: String },
    /// `https://app.example.com:8443`
    Exact(String),
    /// `https://*.example.com`: a `*` stands for what is left of one label.
    Labels { scheme: String, labels: Vec<String>, port: Option<String> },
}

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OriginPatternError {
    /// It is written differently from what browsers send.
    #[error(
        "an origin is a scheme, a host and perhaps a port, such as https://app.example.com, and nothing else"
    )]
    NoOrigin,
    /// A wildcard stands elsewhere than in a label.
    #[error("a wildcard stands for one label of the host or for a part of it, as in https://*.example.com")]
    Wildcard,
    /// It would allow the domains of others.
    #[error("the wildcard would allow other people's domains")]
    Unbounded,
}

impl OriginPattern {
    /// Reads a pattern. A wildcard must stand below a domain that somebody can own; `unbounded` lifts that.
    ///
    /// # Errors
    /// [`OriginPatternError`]
    pub fn parse(text: &str, unbounded: bool) -> Result<Self, OriginPatternError> {
        let text = text.trim().to_ascii_lowercase();
        if text == "*" {
            return Ok(Self(Kind::Any));
        }
        if text == "null" {
            return Ok(Self(Kind::Exact(text)));
        }
        let (scheme, authority) = text.split_once("://").ok_or(OriginPatternError::NoOrigin)?;
        let scheme = scheme.to_owned();
        if authority == "*" {
            return Ok(Self(Kind::AnyHost { scheme }));
        }
        if authority.is_empty() || authority.contains(['/', '?', '#', '@', ' ']) || scheme.contains('*') {
            return Err(OriginPatternError::NoOrigin);
        }
        if !authority.contains('*') {
            return Ok(Self(Kind::Exact(without_default_port(&text).to_owned())));
        }
        let (host, port) =
            host_and_port(without_default_port(&text).strip_prefix(&scheme).unwrap_or(authority));
        let labels: Vec<String> = host.split('.').map(str::to_owned).collect();
        let wild = |label: &String| label.matches('*').count();
        if port.is_some_and(|port| port.contains('*')) || labels.iter().any(|label| wild(label) > 1) {
            return Err(OriginPatternError::Wildcard);
        }
        let owned = psl::domain_str(host).is_some_and(|domain| !domain.contains('*'));
        if !(owned || unbounded) {
            return Err(OriginPatternError::Unbounded);
        }
        Ok(Self(Kind::Labels { scheme, labels, port: port.map(str::to_owned) }))
    }

    /// Whether it allows everybody.
    pub fn is_any(&self) -> bool {
        self.0 == Kind::Any
    }

    /// Whether it allows an origin, as a browser sends it.
    pub(crate) fn allows(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        match &self.0 {
            Kind::Any => true,
            Kind::AnyHost { scheme } => {
                origin.strip_prefix(scheme).is_some_and(|rest| rest.starts_with("://"))
            }
            Kind::Exact(allowed) => *allowed == without_default_port(&origin),
            Kind::Labels { scheme, labels, port } => {
                let Some(rest) = without_default_port(&origin).strip_prefix(scheme) else { return false };
                if !rest.starts_with("://") {
                    return false;
                }
                let (host, asked_port) = host_and_port(rest);
                let asked: Vec<&str> = host.split('.').collect();
                asked_port == port.as_deref()
                    && asked.len() == labels.len()
                    && asked.iter().zip(labels).all(|(asked, label)| label_allows(label, asked))
            }
        }
    }
}

/// Browsers leave these ports out.
fn without_default_port(origin: &str) -> &str {
    match origin.split_once("://") {
        Some(("https", _)) => origin.strip_suffix(":443").unwrap_or(origin),
        Some(("http", _)) => origin.strip_suffix(":80").unwrap_or(origin),
        _ => origin,
    }
}

/// Of `://host:port`.
fn host_and_port(rest: &str) -> (&str, Option<&str>) {
    let authority = rest.trim_start_matches("://");
    authority.rsplit_once(':').map_or((authority, None), |(host, port)| (host, Some(port)))
}

fn label_allows(label: &str, asked: &str) -> bool {
    match label.split_once('*') {
        None => label == asked,
        Some((before, after)) => {
            asked.len() > before.len() + after.len() && asked.starts_with(before) && asked.ends_with(after)
        }
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Any => f.write_str("*"),
            Kind::AnyHost { scheme } => write!(f, "{scheme}://*"),
            Kind::Exact(origin) => f.write_str(origin),
            Kind::Labels { scheme, labels, port } => {
                write!(f, "{scheme}://{}", labels.join("."))?;
                port.as_ref().map_or(Ok(()), |port| write!(f, ":{port}"))
            }
        }
    }
}

impl fmt::Debug for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_allows_what_it_says_and_nothing_beside() {
        let cases: [(&str, &[&str], &[&str]); 8] = [
            ("*", &["https://a.example", "null"], &[]),
            ("https://*", &["https://a.example", "https://a.b:1"], &["http://a.example", "httpsx://a"]),
            (
                "https://App.example.com",
                &["https://app.example.com", "https://app.example.com:443"],
                &["http://app.example.com", "https://app.example.com:444", "https://app.example.com.evil"],
            ),
            ("https://app.example.com:443", &["https://app.example.com"], &["http://app.example.com"]),
            (
                "https://*.example.com",
                &["https://a.example.com", "HTTPS://A.EXAMPLE.COM"],
                &[
                    "https://example.com",
                    "https://a.b.example.com",
                    "https://aexample.com",
                    "https://.example.com",
                ],
            ),
            (
                "https://pr-*.example.com:8443",
                &["https://pr-1.example.com:8443"],
                &["https://pr-.example.com:8443", "https://pr-1.example.com", "https://x.example.com:8443"],
            ),
            ("capacitor://localhost", &["capacitor://localhost"], &["http://localhost"]),
            ("http://127.0.0.1:3000", &["http://127.0.0.1:3000"], &["http://127.0.0.1"]),
        ];
        for (text, allowed, others) in cases {
            let pattern = OriginPattern::parse(text, false).unwrap();
            for origin in allowed {
                assert!(pattern.allows(origin), "{text} {origin}");
            }
            for origin in others {
                assert!(!pattern.allows(origin), "{text} {origin}");
            }
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_and_so_is_one_for_other_peoples_domains() {
        for (text, error) in [
            ("example.com", OriginPatternError::NoOrigin),
            ("https://a/", OriginPatternError::NoOrigin),
            ("https://", OriginPatternError::NoOrigin),
            ("https://u@a", OriginPatternError::NoOrigin),
            ("*://a.example", OriginPatternError::NoOrigin),
            ("https://a.example.com:*", OriginPatternError::Wildcard),
            ("https://*-*.example.com", OriginPatternError::Wildcard),
            ("https://*.com", OriginPatternError::Unbounded),
            ("https://*.co.uk", OriginPatternError::Unbounded),
            ("https://example.*", OriginPatternError::Unbounded),
            ("https://*.github.io", OriginPatternError::Unbounded),
        ] {
            assert_eq!(OriginPattern::parse(text, false), Err(error), "{text}");
        }
        assert!(OriginPattern::parse("https://*.co.uk", true).unwrap().allows("https://a.co.uk"));
    }
}

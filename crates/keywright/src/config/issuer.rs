//! Which issuers are allowed: https, and plain http only in development mode and where nobody else can listen.

use oauth::Issuer;
use serde_json::Value;
use url::{Host, Url};

use super::reader::{Expected, Reader, text, web_url};

const KEY: &str = "urls.self.issuer";

/// The issuer, and what follows from it.
#[derive(Debug)]
pub(super) struct ParsedIssuer {
    /// The issuer as it was written.
    pub issuer: Issuer,
    /// Whether its host leads to this very machine.
    pub loopback: bool,
    /// Whether it was configured, not assumed.
    pub configured: bool,
}

/// Reads the issuer; where none is configured, one on this machine is assumed. `None` where it is wrong.
pub(super) fn read(reader: &mut Reader<'_>, dev: bool, public_port: u16) -> Option<ParsedIssuer> {
    let configured = reader.optional(KEY, parse);
    if configured.is_none() && reader.has_problem(KEY) {
        return None;
    }
    let Some((issuer, url)) = configured else { return Some(assumed(reader, public_port)) };
    let loopback = is_loopback(&url);
    let http = url.scheme() == "http";
    if http && !dev && !loopback {
        let expected = "an https URL; plain http is for loopback hosts and for development mode (dev: true)";
        reader.problem(KEY, format!("found \"{issuer}\", must be {expected}"));
        return None;
    }
    if http && !dev {
        reader.warning(KEY, "plain http is accepted because the host is a loopback".to_owned());
    }
    Some(ParsedIssuer { issuer, loopback, configured: true })
}

#[expect(clippy::expect_used, reason = "the text is an issuer whatever the port")]
fn assumed(reader: &mut Reader<'_>, public_port: u16) -> ParsedIssuer {
    let issuer = Issuer::parse(format!("http://localhost:{public_port}/")).expect("a URL with a host");
    reader.warning(KEY, format!("not set; {issuer} is assumed"));
    ParsedIssuer { issuer, loopback: true, configured: false }
}

fn parse(value: &Value) -> Result<(Issuer, Url), Expected> {
    let written = text(value)?;
    let url = web_url(value)?;
    // Relying parties compare the issuer byte for byte, whereas a URL's parser drops white space.
    if written.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("a URL without white space".into());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL without user and password".into());
    }
    let issuer = Issuer::parse(written).map_err(|_| Expected::from("a URL without query and fragment"))?;
    Ok((issuer, url))
}

/// A URL below which others are, kept as it was written.
pub(super) fn base(value: &Value) -> Result<Issuer, Expected> {
    parse(value).map(|(base, _)| base)
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

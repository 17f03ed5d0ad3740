//! `serve.….cors`: which other sites' pages may use an API.

use axum::http::{HeaderName, Method};
use serde_json::Value;
use server::{OriginPattern, OriginPatternError};

use super::reader::{Expected, Reader, plain};

/// `cors` of an API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    /// Whether it is to be used.
    pub enabled: bool,
    /// The origins that may ask; `*` where none was given.
    pub allowed_origins: Vec<OriginPattern>,
    /// The methods that their pages may use.
    pub allowed_methods: Vec<Method>,
    /// The headers that they may send; `None` for all.
    pub allowed_headers: Option<Vec<HeaderName>>,
    /// The headers that they may read.
    pub exposed_headers: Vec<HeaderName>,
    /// Whether they may send cookies and the like.
    pub allow_credentials: bool,
    /// Whether preflight requests reach the endpoints as well.
    pub options_passthrough: bool,
    /// For how many seconds a preflight answer holds.
    pub max_age: u64,
}

/// Reads the keys below `key`. `unbounded` lets wildcards allow other people's domains.
pub(super) fn read(r: &mut Reader<'_>, key: &str, unbounded: bool) -> Cors {
    let cors = Cors {
        enabled: r.setting(&format!("{key}.enabled"), plain),
        allowed_origins: origins(r, &format!("{key}.allowed_origins"), unbounded),
        allowed_methods: r.setting(&format!("{key}.allowed_methods"), methods),
        allowed_headers: r.setting(&format!("{key}.allowed_headers"), headers_or_all),
        exposed_headers: r.setting(&format!("{key}.exposed_headers"), headers),
        allow_credentials: r.setting(&format!("{key}.allow_credentials"), plain),
        options_passthrough: r.setting(&format!("{key}.options_passthrough"), plain),
        max_age: r.setting(&format!("{key}.max_age"), plain),
    };
    if cors.enabled && key == "serve.admin.cors" && cors.allowed_origins.iter().any(OriginPattern::is_any) {
        let message = "all origins are allowed: any page that is opened in a browser which reaches the admin port may \
                       use the admin API";
        r.warning(&format!("{key}.allowed_origins"), message.to_owned());
    }
    cors
}

/// One that would allow other people's domains is left out with a warning, as Hydra does; the others stay.
fn origins(r: &mut Reader<'_>, key: &str, unbounded: bool) -> Vec<OriginPattern> {
    let texts: Vec<String> = r.optional(key, plain).unwrap_or_default();
    if texts.is_empty() {
        return OriginPattern::parse("*", true).into_iter().collect();
    }
    let mut patterns = Vec::new();
    for text in texts {
        match OriginPattern::parse(&text, unbounded) {
            Ok(pattern) => patterns.push(pattern),
            Err(error @ OriginPatternError::Unbounded) => {
                let remedy = "feature_flags.legacy_allow_insecure_origins would allow it";
                r.warning(key, format!("{text:?} is left out: {error}; {remedy}"));
            }
            Err(error) => r.problem(key, format!("found {text:?}: {error}")),
        }
    }
    patterns
}

fn methods(value: &Value) -> Result<Vec<Method>, Expected> {
    let names: Vec<String> = plain(value)?;
    names.iter().map(|name| name.parse()).collect::<Result<_, _>>().map_err(|_| Expected::AsDescribed)
}

fn headers(value: &Value) -> Result<Vec<HeaderName>, Expected> {
    let names: Vec<String> = plain(value)?;
    let parsed = names.iter().map(|name| name.trim().parse()).collect::<Result<_, _>>();
    parsed.map_err(|_| "a list of the names of headers".into())
}

fn headers_or_all(value: &Value) -> Result<Option<Vec<HeaderName>>, Expected> {
    let names: Vec<String> = plain(value)?;
    if names.iter().any(|name| name == "*") { Ok(None) } else { headers(value).map(Some) }
}

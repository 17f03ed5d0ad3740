//! Takes checked values out of the layers, each parsed into its type.

use std::time::Duration;

use oauth::go_duration::GoDuration;
use serde::de::DeserializeOwned;
use serde_json::Value;
use server::{Hook, HookKeyPlace, ProviderHeaders};
use url::Url;

use super::check::wrong_value;
use super::dsn::{Dsn, DsnError};
use super::layer::{Layers, pointer};
use super::notice::Notice;
use super::schema::Schema;
use super::settings::Host;

/// The longest lifetime that makes sense, a hundred years; all instants stay far from the clock's end.
const LONGEST_LIFETIME: Duration = Duration::from_hours(100 * 365 * 24);

/// Parses a value.
pub(super) type Parse<T> = fn(&Value) -> Result<T, Expected>;

/// What would be right in place of a value.
#[derive(Debug)]
pub(super) enum Expected {
    /// What the schema says.
    AsDescribed,
    /// Something narrower.
    This(String),
}

impl From<&str> for Expected {
    fn from(words: &str) -> Self {
        Self::This(words.to_owned())
    }
}

/// Reads keys and collects what is wrong with them and what is to be said about them.
#[derive(Debug)]
pub(super) struct Reader<'s> {
    pub schema: &'s Schema,
    pub layers: &'s Layers,
    /// What the layers set, without the values that the check has refused.
    pub values: Value,
    pub problems: Vec<Notice>,
    pub warnings: Vec<Notice>,
}

impl Reader<'_> {
    /// The value of a key that has a default.
    #[expect(
        clippy::expect_used,
        reason = "the defaults are part of the program, and every test parses them"
    )]
    pub fn setting<T>(&mut self, key: &str, parse: Parse<T>) -> T {
        self.optional(key, parse).unwrap_or_else(|| {
            let default = self.schema.default(key).expect("the key has a default");
            parse(default).expect("the default is valid")
        })
    }

    /// The value of a key that has no default. `None` also where it is wrong; the problem is recorded then.
    pub fn optional<T>(&mut self, key: &str, parse: Parse<T>) -> Option<T> {
        let value = self.values.pointer(&pointer(key))?;
        match parse(value) {
            Ok(parsed) => Some(parsed),
            Err(expected) => {
                let path: Vec<String> = key.split('.').map(str::to_owned).collect();
                let nodes = self.schema.along(&path);
                let expected = match expected {
                    Expected::This(words) => words,
                    Expected::AsDescribed => nodes.last().map_or_else(String::new, |node| node.expectation()),
                };
                let message = wrong_value(&nodes, value, &expected);
                self.problem(key, message);
                None
            }
        }
    }

    /// Whether anything sets a key.
    pub fn is_set(&self, key: &str) -> bool {
        self.values.pointer(&pointer(key)).is_some()
    }

    /// Records a problem with a key.
    pub fn problem(&mut self, key: &str, message: String) {
        let origin = self.layers.origin(&pointer(key));
        self.problems.push(Notice { origin, key: key.to_owned(), message });
    }

    /// Records a warning about a key.
    pub fn warning(&mut self, key: &str, message: String) {
        let origin = self.layers.origin(&pointer(key));
        self.warnings.push(Notice { origin, key: key.to_owned(), message });
    }

    /// Whether there is a problem with a key, with a part of it, or with the object that it is in.
    pub fn has_problem(&self, key: &str) -> bool {
        let inside =
            |outer: &str, inner: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'));
        self.problems.iter().any(|p| p.key == key || inside(&p.key, key) || inside(key, &p.key))
    }
}

/// Anything that serde reads as it stands.
pub(super) fn plain<T: DeserializeOwned>(value: &Value) -> Result<T, Expected> {
    T::deserialize(value).map_err(|_| Expected::AsDescribed)
}

/// A string.
pub(super) fn text(value: &Value) -> Result<&str, Expected> {
    value.as_str().ok_or(Expected::AsDescribed)
}

/// The longest that people may take in a flow, twice: the flow and its code together stay below a day.
const LONGEST_FLOW_TIME: Duration = Duration::from_hours(12);

/// The longest that what was replaced still works.
pub(super) const LONGEST_GRACE_PERIOD: Duration = Duration::from_mins(5);

/// The longest that Hydra takes where it counts how often that is.
const LONGEST_COUNTED_GRACE_PERIOD: Duration = Duration::from_hours(180 * 24);

/// A lifetime: longer than nothing and no more than a hundred years.
pub(super) fn lifetime(value: &Value) -> Result<Duration, Expected> {
    let duration = text(value)?.parse().ok().map(|GoDuration(duration)| duration);
    let sensible = duration.filter(|duration| !duration.is_zero() && *duration <= LONGEST_LIFETIME);
    sensible.ok_or_else(|| "a duration longer than 0s and no longer than 876000h".into())
}

/// How long people may take in a flow: no longer than revocations of flows under way are remembered.
pub(super) fn flow_time(value: &Value) -> Result<Duration, Expected> {
    let short = lifetime(value).ok().filter(|time| *time <= LONGEST_FLOW_TIME);
    short.ok_or_else(|| "a duration longer than 0s and no longer than 12h".into())
}

/// How long what was replaced still works (Hydra's limit).
pub(super) fn grace_period(value: &Value) -> Result<Duration, Expected> {
    let duration = text(value)?.parse().ok().map(|GoDuration(duration)| duration);
    let short = duration.filter(|duration| *duration <= LONGEST_GRACE_PERIOD);
    short.ok_or_else(|| "a duration no longer than 5m".into())
}

/// The same where Hydra counts how often that is.
pub(super) fn counted_grace_period(value: &Value) -> Result<Duration, Expected> {
    let duration = text(value)?.parse().ok().map(|GoDuration(duration)| duration);
    let short = duration.filter(|duration| *duration <= LONGEST_COUNTED_GRACE_PERIOD);
    short.ok_or_else(|| "a duration no longer than 4320h".into())
}

/// How often a device may ask: whole seconds, as it is told them.
pub(super) fn polling_interval(value: &Value) -> Result<Duration, Expected> {
    let duration = text(value)?.parse().ok().map(|GoDuration(duration)| duration);
    let sensible = duration.filter(|duration| {
        duration.subsec_nanos() == 0 && (Duration::from_secs(1)..=Duration::from_mins(1)).contains(duration)
    });
    sensible.ok_or_else(|| "whole seconds, from 1s to 1m".into())
}

/// The name of a cookie (RFC 6265 §4.1.1).
pub(super) fn cookie_name(value: &Value) -> Result<String, Expected> {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    let name = text(value)?;
    if !name.is_empty() && name.bytes().all(is_token) {
        return Ok(name.to_owned());
    }
    Err("a cookie's name: letters, digits and any of !#$%&'*+-.^_`|~".into())
}

/// A hook: its URL, or an object with the URL and the key that is sent there.
pub(super) fn hook(value: &Value) -> Result<Hook, Expected> {
    let part = |path: &str| value.pointer(path);
    let hook = Hook::new(web_url(part("/url").unwrap_or(value))?);
    let Some(key) = part("/auth/config") else { return Ok(hook) };
    let part = |name: &str| key.get(name).map(text).transpose();
    let (name, secret) = (part("name")?.unwrap_or_default(), part("value")?.unwrap_or_default());
    let place = if part("in")? == Some("cookie") { HookKeyPlace::Cookie } else { HookKeyPlace::Header };
    if place == HookKeyPlace::Cookie {
        cookie_name(&name.into())?;
    }
    let unfit = |error| Expected::This(format!("a hook whose key can be sent: {error} is needed"));
    hook.with_key(place, name, secret).map_err(unfit)
}

/// The headers that the identity provider is sent. None of their values is shown.
pub(super) fn provider_headers(value: &Value) -> Result<ProviderHeaders, Expected> {
    let unfit = |error| Expected::This(format!("headers that can be sent: {error} is needed"));
    let mut headers = ProviderHeaders::default();
    for (name, value) in value.as_object().ok_or(Expected::AsDescribed)? {
        headers = headers.with(name, text(value)?).map_err(unfit)?;
    }
    Ok(headers)
}

/// A data source name.
pub(super) fn dsn(value: &Value) -> Result<Dsn, Expected> {
    text(value)?.parse().map_err(|e: DsnError| e.expected().into())
}

/// Where a listener is: a host name or an IP address, or the path of a unix socket.
pub(super) fn host(value: &Value) -> Result<Host, Expected> {
    match text(value)? {
        // Hydra's way to say all interfaces.
        "" => Ok(Host::Name("0.0.0.0".to_owned())),
        host => match host.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Host::Socket(path.into())),
            Some(_) => Err("an IP address, a host name, or unix: and an absolute path".into()),
            None if host.contains(['/', ' ']) => Err(Expected::AsDescribed),
            None => Ok(Host::Name(host.trim_start_matches('[').trim_end_matches(']').to_owned())),
        },
    }
}

/// An absolute http or https URL.
pub(super) fn web_url(value: &Value) -> Result<Url, Expected> {
    let url = Url::parse(text(value)?).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    url.filter(Url::has_host).ok_or_else(|| "an http or https URL, such as https://id.example.com/".into())
}

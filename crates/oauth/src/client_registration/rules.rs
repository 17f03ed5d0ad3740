//! The rules for members that are registered, and read by no flow yet.

use jose::SigningAlgorithm;
use serde_json::{Map, Value};
use url::Url;

use super::invalid;
use super::members::Members;
use crate::{Error, RedirectUri, WebUrl};

/// Checks a member's value; false where it says what holds anyway, and is not kept.
type Rule = fn(&Value) -> Result<bool, String>;

/// Each member with its rule.
const RULES: [(&str, Rule); 7] = [
    ("owner", text),
    ("policy_uri", web_page),
    ("tos_uri", web_page),
    ("client_uri", web_page),
    ("logo_uri", web_page),
    ("contacts", texts),
    // Any JSON.
    ("metadata", |value| Ok(value.as_object().is_none_or(|members| !members.is_empty()))),
];

/// Takes all these members, and gives what is kept of them.
///
/// # Errors
/// `invalid_client_metadata` naming the member at fault.
pub(super) fn kept(members: &mut Members) -> Result<Map<String, Value>, Error> {
    let mut kept = Map::new();
    for (name, rule) in RULES {
        let Some(value) = members.take_value(name) else { continue };
        if rule(&value).map_err(|why| invalid(name, why))? {
            kept.insert(name.to_owned(), value);
        }
    }
    Ok(kept)
}

fn as_text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| "it is no string".to_owned())
}

fn text(value: &Value) -> Result<bool, String> {
    as_text(value)?;
    Ok(true)
}

/// A list of texts, each of which `check` lets pass. An empty one says nothing.
fn list(value: &Value, check: fn(&str) -> Result<(), String>) -> Result<bool, String> {
    let entries = value.as_array().ok_or("it is no array")?;
    for (index, entry) in entries.iter().enumerate() {
        as_text(entry).and_then(check).map_err(|why| format!("entry {index}: {why}"))?;
    }
    Ok(!entries.is_empty())
}

fn texts(value: &Value) -> Result<bool, String> {
    list(value, |_| Ok(()))
}

fn check_web_page(text: &str) -> Result<(), String> {
    WebUrl::parse(text).map(drop).map_err(|error| error.to_string())
}

fn web_page(value: &Value) -> Result<bool, String> {
    check_web_page(as_text(value)?)?;
    Ok(true)
}

/// `allowed_cors_origins`: what browsers send as `Origin`, scheme, host and port, and nothing behind them.
///
/// # Errors
/// `invalid_client_metadata`
pub(super) fn origins(members: &mut Members) -> Result<Vec<String>, Error> {
    const NAME: &str = "allowed_cors_origins";
    let origins: Vec<String> = members.take(NAME)?.unwrap_or_default();
    for (index, origin) in origins.iter().enumerate() {
        check_origin(origin).map_err(|why| invalid(NAME, format!("entry {index}: {why}")))?;
    }
    Ok(origins)
}

fn check_origin(text: &str) -> Result<(), String> {
    check_web_page(text)?;
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    let bare = url.path() == "/" && !text.ends_with('/') && url.query().is_none() && url.fragment().is_none();
    if bare && url.username().is_empty() && url.password().is_none() {
        Ok(())
    } else {
        Err("an origin has neither a user name nor a path, query or fragment".to_owned())
    }
}

/// The address of a list of redirect URIs: a page that nobody can change on its way here.
///
/// # Errors
/// `invalid_client_metadata` naming the member.
pub(super) fn sector_identifier_uri(members: &mut Members) -> Result<Option<String>, Error> {
    const NAME: &str = "sector_identifier_uri";
    let Some(text) = members.take::<String>(NAME)? else { return Ok(None) };
    check_web_page(&text).map_err(|why| invalid(NAME, why))?;
    if RedirectUri::parse(text.as_str()).is_ok_and(|uri| uri.is_private()) {
        return Ok(Some(text));
    }
    Err(invalid(NAME, "it is no https URL, or has a user name or a fragment"))
}

/// A signing algorithm; `none` says nothing.
///
/// # Errors
/// `invalid_client_metadata` naming the member.
pub(super) fn algorithm_or_none(
    members: &mut Members,
    name: &str,
) -> Result<Option<SigningAlgorithm>, Error> {
    match members.take_value(name) {
        Some(Value::String(none)) if none == "none" => Ok(None),
        Some(value) => serde_json::from_value(value).map(Some).map_err(|error| invalid(name, error)),
        None => Ok(None),
    }
}

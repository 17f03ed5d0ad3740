//! Request objects (OpenID Connect Core §6, RFC 9101): the parameters of an authorization request as a JWT that its
//! client signed, sent by value (`request`) or lying where the client says (`request_uri`).
//!
//! ```text
//!  Form ─▶ presented ─▶ (fetch ─▶ Reference::check) ─▶ signed_by ─▶ (verify) ─▶ resolve ─▶ Form
//! ```
//!
//! What comes out is a request like any other. The flow goes on with that, so that an object is read once, and
//! nothing of it travels.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jose::{JwsHeader, SigningAlgorithm, unsecured_claims};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use url::Url;

use crate::assertion::instant;
use crate::flow::OWN_PARAMETERS;
use crate::{Client, Error, ErrorCode, Form, Issuer, WebUrl};

/// How a client's request objects are signed (RFC 7591 §2's `request_object_signing_alg`; `any` is Hydra's).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RequestObjectAlgorithm {
    /// In any way, or not at all.
    Any,
    /// Not at all.
    None,
    /// With this algorithm.
    Signed(SigningAlgorithm),
}

impl RequestObjectAlgorithm {
    /// What objects may have in their headers.
    pub fn supported() -> Vec<Self> {
        let signed = SigningAlgorithm::ALL.into_iter().map(Self::Signed);
        std::iter::once(Self::None).chain(signed).collect()
    }

    /// The name as it is registered.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::None => "none",
            Self::Signed(algorithm) => algorithm.as_str(),
        }
    }
}

impl fmt::Display for RequestObjectAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RequestObjectAlgorithm {
    type Err = jose::Error;

    fn from_str(name: &str) -> Result<Self, jose::Error> {
        match name {
            "any" => Ok(Self::Any),
            "none" => Ok(Self::None),
            name => name.parse().map(Self::Signed),
        }
    }
}

impl TryFrom<String> for RequestObjectAlgorithm {
    type Error = jose::Error;

    fn try_from(name: String) -> Result<Self, jose::Error> {
        name.parse()
    }
}

impl From<RequestObjectAlgorithm> for String {
    fn from(algorithm: RequestObjectAlgorithm) -> Self {
        algorithm.as_str().to_owned()
    }
}

/// A request object that a request brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presented<'a> {
    /// The object itself.
    ByValue(&'a str),
    /// Where it lies.
    ByReference(Reference),
}

/// Where a client's request object lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    url: Url,
    digest: Option<String>,
}

/// How an object is signed, before anything is verified.
#[derive(Debug, Clone, PartialEq)]
pub enum Signature {
    /// Not at all: it says no more than parameters would.
    Unsecured(Map<String, Value>),
    /// With this algorithm: one of the client's keys has to verify it.
    With(SigningAlgorithm),
}

/// The request object of a client's request, where it has one.
///
/// # Errors
/// `invalid_request` where it has two; `invalid_request_uri` where the client has not registered the reference,
/// `request_uri_not_supported` for one of a pushed request.
pub fn presented<'a>(client: &Client, form: &'a Form) -> Result<Option<Presented<'a>>, Error> {
    match (form.get("request"), form.get("request_uri")) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => {
            Err(Error::invalid_request("The request has both 'request' and 'request_uri'."))
        }
        (Some(object), None) => Ok(Some(Presented::ByValue(object))),
        (None, Some(uri)) => Reference::registered(client, uri).map(|uri| Some(Presented::ByReference(uri))),
    }
}

impl Reference {
    /// A reference counts as registered where it stands among the client's `request_uris` as it is, or without its
    /// fragment: that changes with the content. One that is registered with its fragment is a mere name, which may have
    /// been chosen before there was any content; so does the conformance suite of the OpenID Foundation.
    fn registered(client: &Client, uri: &str) -> Result<Self, Error> {
        if uri.starts_with("urn:") {
            let why = "This server does not support pushed authorization requests.";
            return Err(Error::new(ErrorCode::RequestUriNotSupported, why));
        }
        let (address, fragment) =
            uri.split_once('#').map_or((uri, None), |(address, digest)| (address, Some(digest)));
        let is_registered =
            |name: &str| client.metadata.request_uris.iter().map(WebUrl::as_str).any(|known| known == name);
        let is_name = is_registered(uri);
        let url = Url::parse(address).ok().filter(|_| is_name || is_registered(address));
        let url = url.ok_or_else(|| {
            invalid_uri("The request_uri is not one of the request_uris that the client is registered for.")
        })?;
        let digest = fragment.filter(|digest| !is_name && !digest.is_empty());
        Ok(Self { url, digest: digest.map(str::to_owned) })
    }

    /// Where to fetch it.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The object in what was fetched: the one that the reference names, where it names a digest (OpenID Connect Core
    /// §6.2).
    ///
    /// # Errors
    /// `invalid_request_uri` where it is another one; or where it came unsigned over plain http.
    pub fn check<'a>(&self, content: &'a [u8]) -> Result<&'a str, Error> {
        if let Some(digest) = &self.digest
            && *digest != URL_SAFE_NO_PAD.encode(Sha256::digest(content))
        {
            return Err(invalid_uri(
                "What lies at the request_uri is not what the digest in its fragment names.",
            ));
        }
        let object = str::from_utf8(content).map(str::trim).unwrap_or_default();
        if self.url.scheme() == "http" && unsecured_claims(object).is_ok() {
            return Err(invalid_uri("A request object that is not signed must lie at an https request_uri."));
        }
        Ok(object)
    }
}

/// How an object is signed, where its client's may be signed so.
///
/// # Errors
/// `invalid_request_object` where the client's must be signed in another way, or it is no JWT;
/// `request_not_supported` where it is encrypted.
pub fn signature(client: &Client, object: &str) -> Result<Signature, Error> {
    if object.split('.').count() == 5 {
        let why = "This server does not support encrypted request objects.";
        return Err(Error::new(ErrorCode::RequestNotSupported, why));
    }
    let registered = client.metadata.request_object_signing_alg.unwrap_or(RequestObjectAlgorithm::Any);
    let (signature, presented) = if let Ok(claims) = unsecured_claims(object) {
        (Signature::Unsecured(claims), RequestObjectAlgorithm::None)
    } else {
        let header = JwsHeader::parse(object).map_err(|error| {
            invalid_object(format!("The request object is not a JWT that this server can verify: {error}."))
        })?;
        (Signature::With(header.alg), RequestObjectAlgorithm::Signed(header.alg))
    };
    if registered == presented || registered == RequestObjectAlgorithm::Any {
        return Ok(signature);
    }
    Err(invalid_object(format!(
        "The request object is signed with '{presented}', but the client is registered for '{registered}'."
    )))
}

/// The claims of an object that are about the object, and no parameters.
const ABOUT_ITSELF: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// The request that a form and its object make together: the object's members count, what only the form has is added,
/// and scopes of both are asked for (OpenID Connect Core §6.1, Hydra).
///
/// # Errors
/// `invalid_request_object` naming the member at fault.
pub fn resolve(
    client: &Client,
    form: &Form,
    claims: &Map<String, Value>,
    issuer: &Issuer,
    now: Timestamp,
) -> Result<Form, Error> {
    check(client, form, claims, issuer, now)?;
    let is_parameter = |name: &str| !ABOUT_ITSELF.contains(&name) && !OWN_PARAMETERS.contains(&name);
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (name, value) in claims.iter().filter(|(name, _)| is_parameter(name)) {
        let values = texts(name, value);
        pairs.extend(values.into_iter().map(|value| (name.clone(), value)));
    }
    if let Some(scope) = pairs.iter_mut().find(|(name, _)| name == "scope") {
        let more = form.get("scope").unwrap_or_default().split(' ');
        let mut all: Vec<&str> = scope.1.split(' ').filter(|scope| !scope.is_empty()).collect();
        for one in more.filter(|scope| !scope.is_empty()) {
            if !all.contains(&one) {
                all.push(one);
            }
        }
        scope.1 = all.join(" ");
    }
    let stays = |name: &str| {
        !["request", "request_uri"].contains(&name) && claims.get(name).is_none_or(Value::is_null)
    };
    let rest =
        form.pairs().filter(|(name, _)| stays(name)).map(|(name, value)| (name.to_owned(), value.to_owned()));
    Ok(rest.chain(pairs).collect())
}

/// An object is its client's, for this server and for now, as far as it says (RFC 9101 §4); and it contradicts no
/// parameter that stays outside (OpenID Connect Core §6.1).
fn check(
    client: &Client,
    form: &Form,
    claims: &Map<String, Value>,
    issuer: &Issuer,
    now: Timestamp,
) -> Result<(), Error> {
    let said = |claim: &str| claims.get(claim).filter(|value| !value.is_null());
    let id = client.id.as_str();
    for claim in ["iss", "client_id"] {
        if said(claim).is_some_and(|value| value.as_str() != Some(id)) {
            return Err(invalid_object(format!("The {claim} of the request object is not the client_id.")));
        }
    }
    // RFC 9101 §4: else an assertion by which the client authenticates could be taken for a request.
    if said("sub").and_then(Value::as_str) == Some(id) {
        return Err(invalid_object("The sub of the request object is the client itself.".to_owned()));
    }
    let names_us = |value: &Value| value.as_str() == Some(issuer.as_str());
    let is_for_us =
        |value: &Value| names_us(value) || value.as_array().is_some_and(|list| list.iter().any(names_us));
    if said("aud").is_some_and(|value| !is_for_us(value)) {
        return Err(invalid_object(format!(
            "The aud of the request object does not name this server: use {issuer}."
        )));
    }
    let at = |claim| {
        instant(claims, claim).map_err(|_| {
            invalid_object(format!("The {claim} of the request object is no number of seconds."))
        })
    };
    if at("exp")?.is_some_and(|exp| now >= exp) {
        return Err(invalid_object("The request object has expired.".to_owned()));
    }
    if at("nbf")?.is_some_and(|nbf| nbf.duration_since(now).as_secs() > 60) {
        return Err(invalid_object("The request object is not good yet, says its nbf.".to_owned()));
    }
    for nested in ["request", "request_uri"] {
        if said(nested).is_some() {
            return Err(invalid_object(format!("The request object has a member '{nested}'.")));
        }
    }
    let inside = said("response_type").and_then(Value::as_str);
    match (inside, form.get("response_type")) {
        (Some(inside), Some(outside)) if sorted(inside) != sorted(outside) => Err(invalid_object(
            "The response_type of the request object differs from that of the request.".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// The words of a response type: their order means nothing.
fn sorted(text: &str) -> Vec<&str> {
    let mut words: Vec<_> = text.split(' ').collect();
    words.sort_unstable();
    words
}

/// A member as the values of a parameter.
fn texts(name: &str, value: &Value) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match value {
        Value::Null => Vec::new(),
        Value::Array(list) if ["audience", "resource"].contains(&name) => list.iter().map(text).collect(),
        Value::Array(list) if list.iter().all(Value::is_string) => {
            vec![list.iter().map(text).collect::<Vec<_>>().join(" ")]
        }
        value => vec![text(value)],
    }
}

fn invalid_object(why: String) -> Error {
    Error::new(ErrorCode::InvalidRequestObject, why)
}

fn invalid_uri(why: &'static str) -> Error {
    Error::new(ErrorCode::InvalidRequestUri, why)
}

#[cfg(test)]
mod tests;

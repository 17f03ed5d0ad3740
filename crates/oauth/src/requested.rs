//! The scopes and audiences that a request names, held against what its client is registered for.

use url::Url;

use crate::audience::{Audience, parse_list};
use crate::{Client, Error, ErrorCode, Form, ScopeSet, ScopeStrategy};

/// The scopes that a request names; `None` where it names none. A text longer than `limit` bytes is not even compared:
/// each scope is compared with all others and with what is registered.
///
/// # Errors
/// `invalid_scope` naming the first scope that the client may not have.
pub(crate) fn scope(
    client: &Client,
    form: &Form,
    strategy: ScopeStrategy,
    limit: usize,
) -> Result<Option<ScopeSet>, Error> {
    let invalid = |why: String| Error::new(ErrorCode::InvalidScope, why);
    let Some(text) = form.get("scope") else { return Ok(None) };
    if text.len() > limit {
        return Err(invalid("The scope is larger than an access token can carry.".to_owned()));
    }
    let requested: ScopeSet = text.parse().map_err(|error| invalid(format!("{error}.")))?;
    match requested.first_beyond(&client.metadata.scope, strategy) {
        Some(scope) => Err(invalid(format!("The client may not request the scope '{scope}'."))),
        None => Ok(Some(requested)),
    }
}

/// The audiences that a request names, each once: by `audience`, which is Hydra's, and by `resource` (RFC 8707 §2). More
/// than `limit` bytes of them are not even compared.
///
/// # Errors
/// `invalid_request` naming the first audience that the client may not have, `invalid_target` naming the first resource.
pub(crate) fn audience(client: &Client, form: &Form, limit: usize) -> Result<Vec<Audience>, Error> {
    let may_have =
        |audience: &Audience| client.metadata.audience.iter().any(|registered| registered.allows(audience));
    let mut requested: Vec<Audience> = Vec::new();
    let mut add = |audience: Audience| {
        if !requested.contains(&audience) {
            requested.push(audience);
        }
    };
    if form.all("audience").chain(form.all("resource")).map(str::len).sum::<usize>() > limit {
        return Err(Error::invalid_request("The audience is larger than an access token can carry."));
    }
    for value in form.all("audience") {
        for audience in parse_list(value).map_err(|e| Error::invalid_request(format!("{e}.")))? {
            if !may_have(&audience) {
                return Err(Error::invalid_request(format!(
                    "The client may not request the audience '{audience}'."
                )));
            }
            add(audience);
        }
    }
    for value in form.all("resource") {
        let invalid = |why: &str| Error::new(ErrorCode::InvalidTarget, why.to_owned());
        let resource = resource(value).ok_or_else(|| {
            invalid("A resource is an absolute URI without a fragment, of at most 1024 characters.")
        })?;
        if !may_have(&resource) {
            return Err(invalid(&format!("The client may not request the resource '{resource}'.")));
        }
        add(resource);
    }
    Ok(requested)
}

/// A resource as an audience.
fn resource(text: &str) -> Option<Audience> {
    let is_absolute = Url::parse(text).is_ok_and(|url| url.fragment().is_none());
    Audience::parse(text).ok().filter(|_| is_absolute)
}

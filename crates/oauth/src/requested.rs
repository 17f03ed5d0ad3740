//! The scopes and audiences that a request names, held against what its client is registered for.

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

/// The audiences that a request names, each once. More than `limit` bytes of them are not even compared.
///
/// # Errors
/// `invalid_request` naming the first audience that the client may not have.
pub(crate) fn audience(client: &Client, form: &Form, limit: usize) -> Result<Vec<Audience>, Error> {
    let mut requested: Vec<Audience> = Vec::new();
    if form.all("audience").map(str::len).sum::<usize>() > limit {
        return Err(Error::invalid_request("The audience is larger than an access token can carry."));
    }
    for value in form.all("audience") {
        for audience in parse_list(value).map_err(|e| Error::invalid_request(format!("{e}.")))? {
            if !client.metadata.audience.iter().any(|registered| registered.allows(&audience)) {
                return Err(Error::invalid_request(format!(
                    "The client may not request the audience '{audience}'."
                )));
            }
            if !requested.contains(&audience) {
                requested.push(audience);
            }
        }
    }
    Ok(requested)
}

//! A client as somebody registers it (RFC 7591 §2, Hydra's admin API): a JSON document, read member by member.
//!
//! ```text
//!  document ─▶ each member by its own rule ─▶ rules between members ─▶ ClientRegistration
//! ```
//!
//! Absent, `null` and `""` are the same, since [`ClientObject`](crate::ClientObject) writes what is not set in these ways:
//! a client that is read and sent back stays as it is. Members that are unknown, or the server's own, are ignored
//! (RFC 7591 §2).

mod dynamic;
mod members;
mod rules;

use serde_json::{Map, Value};

use self::members::Members;
use crate::lifespan::LONGEST_LIFESPAN;
use crate::{
    ClientId, ClientMetadata, ClientSecret, Error, ErrorCode, GrantType, Lifespans, RedirectUri,
    RegisteredKeys, ScopeSet, TokenEndpointAuthMethod,
};

/// What a client's document says.
#[derive(Debug, Clone)]
pub struct ClientRegistration {
    /// The id that it asks for.
    pub id: Option<ClientId>,
    /// What is to be registered.
    pub metadata: ClientMetadata,
    /// The secret that somebody chose for it; only ever set where it authenticates by one.
    pub secret: Option<ClientSecret>,
}

impl ClientRegistration {
    /// Reads a document. `default_scope` is for a client that names none.
    ///
    /// # Errors
    /// `invalid_redirect_uri` or `invalid_client_metadata` (RFC 7591 §3.2.2), naming the member at fault.
    pub fn parse(document: Map<String, Value>, default_scope: &ScopeSet) -> Result<Self, Error> {
        let mut members = Members::new(document);
        let id = members.take("client_id")?;
        let secret = members.take_secret("client_secret")?;
        let lifespans = lifespans(&mut members)?;
        let metadata = ClientMetadata {
            redirect_uris: uris(&mut members, "redirect_uris", ErrorCode::InvalidRedirectUri)?,
            post_logout_redirect_uris: uris(&mut members, POST_LOGOUT, ErrorCode::InvalidClientMetadata)?,
            skip_logout_consent: members.take("skip_logout_consent")?,
            client_name: members.take("client_name")?.unwrap_or_default(),
            grant_types: grant_types(&mut members)?,
            response_types: members.take("response_types")?.unwrap_or_default(),
            scope: members.take("scope")?.unwrap_or_else(|| default_scope.clone()),
            audience: members.take("audience")?.unwrap_or_default(),
            token_endpoint_auth_method: members.take("token_endpoint_auth_method")?.unwrap_or_default(),
            token_endpoint_auth_signing_alg: members.take("token_endpoint_auth_signing_alg")?,
            jwks: jwks(&mut members)?,
            jwks_uri: members.take("jwks_uri")?,
            request_uris: members.take("request_uris")?.unwrap_or_default(),
            request_object_signing_alg: members.take("request_object_signing_alg")?,
            id_token_signed_response_alg: members.take("id_token_signed_response_alg")?,
            userinfo_signed_response_alg: rules::algorithm_or_none(
                &mut members,
                "userinfo_signed_response_alg",
            )?,
            subject_type: members.take("subject_type")?.unwrap_or_default(),
            sector_identifier_uri: rules::sector_identifier_uri(&mut members)?,
            allowed_cors_origins: rules::origins(&mut members)?,
            skip_consent: members.take("skip_consent")?.unwrap_or_default(),
            frontchannel_logout_uri: members.take("frontchannel_logout_uri")?,
            frontchannel_logout_session_required: members
                .take("frontchannel_logout_session_required")?
                .unwrap_or_default(),
            backchannel_logout_uri: members.take("backchannel_logout_uri")?,
            backchannel_logout_session_required: members
                .take("backchannel_logout_session_required")?
                .unwrap_or_default(),
            access_token_strategy: members.take("access_token_strategy")?,
            lifespans,
            other: rules::kept(&mut members)?,
        };
        let secret = secret_of(&metadata, secret)?;
        check_keys(&metadata)?;
        check_post_logout(&metadata)?;
        Ok(Self { id, metadata, secret })
    }
}

/// Reads the thirteen lifetimes of a document that may hold more; what it does not name is the server's.
///
/// # Errors
/// `invalid_client_metadata` naming the member at fault.
pub fn parse_lifespans(document: Map<String, Value>) -> Result<Lifespans, Error> {
    lifespans(&mut Members::new(document))
}

fn lifespans(members: &mut Members) -> Result<Lifespans, Error> {
    let mut named = Lifespans::default();
    for (name, lifespan) in named.members_mut() {
        *lifespan = members.take(name)?;
        let is_for_keys = !name.ends_with("refresh_token_lifespan");
        if is_for_keys && lifespan.is_some_and(|lifespan| lifespan.0 > LONGEST_LIFESPAN) {
            let hours = LONGEST_LIFESPAN.as_secs() / 3600;
            return Err(invalid(name, format!("access and ID tokens live for at most {hours} h")));
        }
    }
    Ok(named)
}

/// The grant types of a document: those whose flow this server runs.
fn grant_types(members: &mut Members) -> Result<Vec<GrantType>, Error> {
    const NAME: &str = "grant_types";
    let named: Vec<GrantType> = members.take(NAME)?.unwrap_or_default();
    match named.iter().find(|grant| !GrantType::SERVED.contains(grant)) {
        Some(grant) => Err(invalid(NAME, format!("this server does not serve {grant}"))),
        None => Ok(named),
    }
}

const POST_LOGOUT: &str = "post_logout_redirect_uris";

fn uris(members: &mut Members, name: &'static str, code: ErrorCode) -> Result<Vec<RedirectUri>, Error> {
    let texts: Vec<String> = members.take(name)?.unwrap_or_default();
    let uris = texts.into_iter().enumerate().map(|(index, text)| {
        let refused = |why| Error::new(code, format!("{name}[{index}]: {why}."));
        RedirectUri::parse(text).map_err(refused)
    });
    uris.collect()
}

/// The keys of a document; `{}` says as much as their absence.
fn jwks(members: &mut Members) -> Result<Option<RegisteredKeys>, Error> {
    let written =
        members.take_value("jwks").filter(|value| value.as_object().is_none_or(|set| !set.is_empty()));
    written.map(RegisteredKeys::try_from).transpose().map_err(|why| invalid("jwks", why))
}

/// The secret, where the client authenticates by one. Hydra gives one to clients with keys too, and who manages them as
/// Hydra's sends it along: it opens nothing, and is not kept.
fn secret_of(metadata: &ClientMetadata, secret: Option<ClientSecret>) -> Result<Option<ClientSecret>, Error> {
    let method = metadata.token_endpoint_auth_method;
    match secret {
        Some(_) if method == TokenEndpointAuthMethod::PrivateKeyJwt => Ok(None),
        Some(_) if !method.has_secret() => Err(invalid(
            "client_secret",
            format!("a client whose token_endpoint_auth_method is '{method}' has no secret"),
        )),
        Some(secret) if secret.expose().len() < ClientSecret::MIN_LEN => {
            Err(invalid("client_secret", format!("it has fewer than {} characters", ClientSecret::MIN_LEN)))
        }
        secret => Ok(secret),
    }
}

fn check_keys(metadata: &ClientMetadata) -> Result<(), Error> {
    let (inline, by_uri) = (metadata.jwks.is_some(), metadata.jwks_uri.is_some());
    if inline && by_uri {
        return Err(invalid("jwks_uri", "jwks is there as well; set one of them"));
    }
    let needs_keys = metadata.token_endpoint_auth_method == TokenEndpointAuthMethod::PrivateKeyJwt;
    if needs_keys && !inline && !by_uri {
        return Err(invalid("token_endpoint_auth_method", "private_key_jwt needs jwks or jwks_uri"));
    }
    Ok(())
}

/// Whoever could add a page of any host here could send users there from the issuer's own logout.
fn check_post_logout(metadata: &ClientMetadata) -> Result<(), Error> {
    let origin = |uri: &str| {
        let url = url::Url::parse(uri).ok()?;
        let host = url.host_str().map(str::to_owned);
        Some((url.scheme().to_owned(), host, url.port_or_known_default()))
    };
    let registered: Vec<_> = metadata.redirect_uris.iter().map(|uri| origin(uri.as_str())).collect();
    for (index, uri) in metadata.post_logout_redirect_uris.iter().enumerate() {
        if !registered.contains(&origin(uri.as_str())) {
            return Err(invalid(
                &format!("{POST_LOGOUT}[{index}]"),
                "it shares scheme, host and port with none of redirect_uris",
            ));
        }
    }
    Ok(())
}

/// `invalid_client_metadata` naming a member. `why` never holds the value of a secret.
fn invalid(member: &str, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorCode::InvalidClientMetadata, format!("{member}: {why}."))
}

#[cfg(test)]
mod tests;

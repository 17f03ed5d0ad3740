//! The authorization request (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2.1), read and checked as a whole.
//!
//! Nothing is left to be found after the user has logged in: what a client got wrong, it learns at once.

use crate::access_token::MAX_PAYLOAD;
use crate::audience::Audience;
use crate::authorization_response::ReturnAddress;
use crate::claims_request::ClaimsRequest;
use crate::flow::{Flow, FlowKind, OWN_PARAMETERS};
use crate::pkce::CodeChallenge;
use crate::prompt::Prompts;
use crate::response_mode::ResponseMode;
use crate::{
    Client, Error, ErrorCode, Form, GrantType, RedirectUri, ResponseType, ScopeSet, ScopeStrategy, requested,
};

/// The longest list of scopes or audiences that is compared with what is registered, in bytes: half of what an access
/// token can carry.
const LONGEST_LIST: usize = MAX_PAYLOAD / 2;

/// The most that all parameters together may be, in bytes. It all travels in URLs later.
const LARGEST_REQUEST: usize = 8 * 1024;

/// The fewest characters of a `state`, and of the `nonce` of an ID token that the browser carries (Hydra).
const SHORTEST_STATE: usize = 8;

/// What the server's configuration says about authorization requests.
#[derive(Debug, Clone, Copy, Default)]
pub struct Policy {
    /// How registered scopes allow requested ones.
    pub scope_strategy: ScopeStrategy,
    /// `oauth2.pkce.enforced`: every client sends a code challenge.
    pub pkce_enforced: bool,
    /// `oauth2.pkce.enforced_for_public_clients`. Of public clients that resources declare it is always asked.
    pub pkce_enforced_for_public_clients: bool,
    /// `dev`: codes may travel over plain http to another machine.
    pub insecure_redirects: bool,
}

/// A request that a client may make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorizationRequest {
    /// Where the response goes, and how; `None` for a device, which asks for it (RFC 8628 §3.4).
    pub return_address: Option<ReturnAddress>,
    /// The redirect URI as it was sent; `None` where the client has only one and left it out.
    pub sent_redirect_uri: Option<RedirectUri>,
    /// What the response carries.
    pub response_type: ResponseType,
    /// The requested scopes.
    pub scope: ScopeSet,
    /// The requested audience.
    pub audience: Vec<Audience>,
    /// The `nonce` of the ID token.
    pub nonce: Option<String>,
    /// What the exchange of the code must answer.
    pub code_challenge: Option<CodeChallenge>,
    /// The pages that the client wants.
    pub prompts: Prompts,
    /// The longest time since the login, in seconds.
    pub max_age: Option<i64>,
    /// The authentication contexts that the client would like.
    pub acr_values: Vec<String>,
    /// The claims that it asks for one by one.
    pub claims: ClaimsRequest,
}

/// Why a request is refused, by who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The user: it is not certain where the client is, or that it is the client who asks.
    ToUser(Error),
    /// The client, at its redirect URI.
    ToClient(Box<ReturnAddress>, Error),
}

impl AuthorizationRequest {
    /// Reads a client's request.
    ///
    /// # Errors
    /// [`Refusal`], with the parameter at fault.
    pub fn parse(client: &Client, form: &Form, policy: Policy) -> Result<Self, Refusal> {
        let own = |name: &str| OWN_PARAMETERS.contains(&name);
        let size: usize =
            form.pairs().filter(|(name, _)| !own(name)).map(|(name, value)| name.len() + value.len()).sum();
        if size > LARGEST_REQUEST {
            let why = format!("The request has more than {LARGEST_REQUEST} bytes of parameters.");
            return Err(Refusal::ToUser(Error::invalid_request(why)));
        }
        let scope = form.get("scope").unwrap_or_default();
        let is_openid = scope.split(' ').any(|scope| scope == "openid");
        let sent_redirect_uri = sent_redirect_uri(client, form).map_err(Refusal::ToUser)?;
        let redirect_uri = match &sent_redirect_uri {
            Some(uri) => uri.clone(),
            None => only_redirect_uri(client, is_openid).map_err(Refusal::ToUser)?,
        };
        if !redirect_uri.is_private() && !policy.insecure_redirects {
            let why = "The redirect_uri is plain http to another machine: whoever listens there on the way gets the code.";
            return Err(Refusal::ToUser(Error::invalid_request(why)));
        }
        // Until it is known what the response would carry, an error goes as the request itself says.
        let named_mode = form.get("response_mode").and_then(|mode| mode.parse().ok());
        let mut return_address = ReturnAddress {
            redirect_uri,
            mode: named_mode.unwrap_or(ResponseMode::Query),
            state: form.get("state").map(str::to_owned),
        };
        let refuse = |address: &ReturnAddress, error| Refusal::ToClient(Box::new(address.clone()), error);
        let response_type = response_type(form).map_err(|error| refuse(&return_address, error))?;
        // Where this mode is not the one that was asked for, the error still goes where the client looks.
        return_address.mode = default_mode(response_type);
        return_address.mode =
            response_mode(response_type, form).map_err(|error| refuse(&return_address, error))?;
        check_registered(client, response_type).map_err(|error| refuse(&return_address, error))?;
        let rest = Rest::parse(client, form, response_type, policy)
            .map_err(|error| refuse(&return_address, error))?;
        let Rest { scope, audience, nonce, code_challenge, prompts, max_age, claims } = rest;
        let acr_values = form.get("acr_values").unwrap_or_default().split_whitespace();
        Ok(Self {
            return_address: Some(return_address),
            sent_redirect_uri,
            response_type,
            scope,
            audience,
            nonce,
            code_challenge,
            prompts,
            max_age,
            acr_values: acr_values.map(str::to_owned).collect(),
            claims,
        })
    }

    /// Reads a device's request (RFC 8628 §3.1).
    ///
    /// # Errors
    /// `unauthorized_client`, `invalid_scope`, `invalid_request` with the parameter at fault.
    pub fn of_device(client: &Client, form: &Form, policy: Policy) -> Result<Self, Error> {
        client.check_grant(GrantType::DeviceCode)?;
        Ok(Self {
            return_address: None,
            sent_redirect_uri: None,
            response_type: ResponseType::NONE,
            scope: requested::scope(client, form, policy.scope_strategy, LONGEST_LIST)?.unwrap_or_default(),
            audience: requested::audience(client, form, LONGEST_LIST)?,
            nonce: None,
            code_challenge: None,
            prompts: Prompts::default(),
            max_age: None,
            acr_values: Vec::new(),
            claims: ClaimsRequest::default(),
        })
    }

    /// Reads the request of a flow that is under way.
    ///
    /// # Errors
    /// As for a new one: what is registered of the client may have changed.
    pub fn of_flow(client: &Client, flow: &Flow, policy: Policy) -> Result<Self, Refusal> {
        match flow.kind {
            FlowKind::Authorization => Self::parse(client, &flow.request, policy),
            FlowKind::Device => Self::of_device(client, &flow.request, policy).map_err(Refusal::ToUser),
        }
    }

    /// True where an ID token is asked for.
    pub fn is_openid(&self) -> bool {
        self.scope.contains("openid")
    }
}

fn sent_redirect_uri(client: &Client, form: &Form) -> Result<Option<RedirectUri>, Error> {
    let Some(sent) = form.get("redirect_uri") else { return Ok(None) };
    let not_registered = "The redirect_uri is not one of those that the client is registered for.";
    let sent = RedirectUri::parse(sent).map_err(|error| Error::invalid_request(format!("{error}.")))?;
    if client.metadata.redirect_uris.iter().any(|registered| registered.covers(&sent)) {
        Ok(Some(sent))
    } else {
        Err(Error::invalid_request(not_registered))
    }
}

fn only_redirect_uri(client: &Client, is_openid: bool) -> Result<RedirectUri, Error> {
    match &client.metadata.redirect_uris[..] {
        [only] if !is_openid => Ok(only.clone()),
        [] => Err(Error::invalid_request("The client is registered without a redirect URI.")),
        _ => Err(Error::invalid_request("The parameter 'redirect_uri' is missing.")),
    }
}

fn unsupported_response_type(why: String) -> Error {
    Error::new(ErrorCode::UnsupportedResponseType, why)
}

fn response_type(form: &Form) -> Result<ResponseType, Error> {
    let asked: ResponseType = form
        .require("response_type")?
        .parse()
        .map_err(|error| unsupported_response_type(format!("{error}.")))?;
    if ResponseType::SERVED.contains(&asked) {
        return Ok(asked);
    }
    Err(unsupported_response_type(format!("This server does not support the response type '{asked}'.")))
}

fn check_registered(client: &Client, asked: ResponseType) -> Result<(), Error> {
    let registered = &client.metadata.response_types;
    let is_registered = registered.contains(&asked) || (registered.is_empty() && asked == ResponseType::CODE);
    if !is_registered {
        let why = format!("The client is not registered for the response type '{asked}'.");
        return Err(unsupported_response_type(why));
    }
    asked.grant_types().try_for_each(|grant| client.check_grant(grant))
}

/// The mode of a request that names none (OAuth 2.0 Multiple Response Type Encoding Practices §5).
fn default_mode(response_type: ResponseType) -> ResponseMode {
    if response_type.has_token() { ResponseMode::Fragment } else { ResponseMode::Query }
}

fn response_mode(response_type: ResponseType, form: &Form) -> Result<ResponseMode, Error> {
    let unsupported = |why: String| Error::new(ErrorCode::UnsupportedResponseMode, why);
    match form.get("response_mode") {
        None => Ok(default_mode(response_type)),
        Some(mode) => match mode.parse().map_err(|error| unsupported(format!("{error}.")))? {
            ResponseMode::Query if response_type.has_token() => {
                Err(unsupported("Tokens are not given in a query: use fragment or form_post.".to_owned()))
            }
            mode => Ok(mode),
        },
    }
}

/// What is checked once it is known how to tell the client.
struct Rest {
    scope: ScopeSet,
    audience: Vec<Audience>,
    nonce: Option<String>,
    code_challenge: Option<CodeChallenge>,
    prompts: Prompts,
    max_age: Option<i64>,
    claims: ClaimsRequest,
}

impl Rest {
    fn parse(
        client: &Client,
        form: &Form,
        response_type: ResponseType,
        policy: Policy,
    ) -> Result<Self, Error> {
        refuse_unsupported(form)?;
        check_state(form)?;
        let scope = requested::scope(client, form, policy.scope_strategy, LONGEST_LIST)?.unwrap_or_default();
        check_openid(response_type, &scope)?;
        let max_age = form.get("max_age").map(|text| match text.parse::<i64>() {
            Ok(seconds) if seconds >= 0 => Ok(seconds),
            _ => Err(Error::invalid_request("The max_age must be a number of seconds.")),
        });
        Ok(Self {
            scope,
            audience: requested::audience(client, form, LONGEST_LIST)?,
            nonce: nonce(form, response_type)?,
            code_challenge: code_challenge(client, form, response_type, policy)?,
            prompts: form
                .get("prompt")
                .unwrap_or_default()
                .parse()
                .map_err(|error| Error::invalid_request(format!("{error}.")))?,
            max_age: max_age.transpose()?,
            claims: claims(form, response_type)?,
        })
    }
}

/// Request objects are resolved before: one beside a verifier makes another request than that of its flow.
fn refuse_unsupported(form: &Form) -> Result<(), Error> {
    if form.get("registration").is_some() {
        let why = "This server does not support the parameter 'registration'.";
        return Err(Error::new(ErrorCode::RegistrationNotSupported, why));
    }
    Ok(())
}

fn check_state(form: &Form) -> Result<(), Error> {
    match form.get("state") {
        Some(state) if state.chars().count() < SHORTEST_STATE => Err(Error::new(
            ErrorCode::InvalidState,
            format!("The state must have at least {SHORTEST_STATE} characters, so that nobody guesses it."),
        )),
        _ => Ok(()),
    }
}

fn check_openid(response_type: ResponseType, scope: &ScopeSet) -> Result<(), Error> {
    if !response_type.id_token || scope.contains("openid") {
        return Ok(());
    }
    Err(Error::invalid_request("A response_type with id_token needs the scope openid."))
}

/// An ID token that the browser carries is tied to the request by its nonce (OpenID Connect Core §3.2.2.1, §3.3.2.11).
fn nonce(form: &Form, response_type: ResponseType) -> Result<Option<String>, Error> {
    let nonce = form.get("nonce");
    if response_type.id_token {
        let nonce = nonce.ok_or_else(|| {
            Error::invalid_request(
                "The parameter 'nonce' is missing: a response_type with id_token needs it.",
            )
        })?;
        if nonce.chars().count() < SHORTEST_STATE {
            let why = format!(
                "The nonce must have at least {SHORTEST_STATE} characters, so that nobody guesses it."
            );
            return Err(Error::new(ErrorCode::InsufficientEntropy, why));
        }
    }
    Ok(nonce.map(str::to_owned))
}

/// What is asked of the userinfo endpoint needs an access token to get it with (OpenID Connect Core §5.5).
fn claims(form: &Form, response_type: ResponseType) -> Result<ClaimsRequest, Error> {
    let claims = form.get("claims").map(ClaimsRequest::parse).transpose()?.unwrap_or_default();
    if claims.asks_userinfo() && !response_type.code && !response_type.token {
        let why = "The parameter 'claims' asks for claims of userinfo, and the response_type gives no access token.";
        return Err(Error::invalid_request(why));
    }
    Ok(claims)
}

fn code_challenge(
    client: &Client,
    form: &Form,
    response_type: ResponseType,
    policy: Policy,
) -> Result<Option<CodeChallenge>, Error> {
    if !response_type.code {
        return Ok(None);
    }
    let challenge = CodeChallenge::of_request(form)?;
    let of_public = policy.pkce_enforced_for_public_clients || client.declared;
    let is_enforced = policy.pkce_enforced || (client.is_public() && of_public);
    if challenge.is_none() && is_enforced {
        return Err(Error::invalid_request(
            "This client must send a code_challenge (RFC 7636), with the code_challenge_method S256.",
        ));
    }
    Ok(challenge)
}

#[cfg(test)]
mod tests;

//! `POST /oauth2/token` (RFC 6749 §3.2).

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use jose::schedule::token_expiry_cap;
use oauth::jwt_access_token::{TYP, claims};
use oauth::{
    AccessToken, AccessTokenStrategy, Error, ErrorCode, Form, GrantType, ScopeSet, client_credentials,
};
use serde::Serialize;
use store::{ACCESS_TOKEN_SET, SigningKey};

use crate::authenticate::authenticate;
use crate::error::Failure;
use crate::form::FormRequest;
use crate::{Server, answer};

/// A successful answer (RFC 6749 §5.1).
#[derive(Serialize)]
struct Issued {
    access_token: String,
    expires_in: i64,
    scope: ScopeSet,
    token_type: &'static str,
}

pub(crate) async fn token(State(server): State<Server>, request: Request) -> Response {
    let challenge = FormRequest::challenge(&request);
    let (grant, issued) = match FormRequest::read(&server, request).await {
        Ok(request) => (named_grant(&request.form), issue(&server, &request).await),
        Err(failure) => (None, Err(failure)),
    };
    server.metrics().token_request(grant, issued.as_ref().map(|_| ()).map_err(Failure::code));
    match issued {
        Ok(issued) => answer::oauth_json(StatusCode::OK, answer::to_json(&issued)),
        Err(failure) => failure.answer(server.settings(), challenge),
    }
}

/// `OPTIONS /oauth2/token`: the endpoint is there.
pub(crate) async fn options() -> StatusCode {
    StatusCode::OK
}

fn named_grant(form: &Form) -> Option<GrantType> {
    form.get("grant_type")?.parse().ok()
}

async fn issue(server: &Server, request: &FormRequest) -> Result<Issued, Failure> {
    request.form.require("grant_type")?;
    match named_grant(&request.form) {
        Some(GrantType::ClientCredentials) => issue_to_client(server, request).await,
        _ => Err(unsupported().into()),
    }
}

fn unsupported() -> Error {
    let served = GrantType::SERVED.map(GrantType::as_str).join(", ");
    Error::new(ErrorCode::UnsupportedGrantType, format!("This server supports the grant types: {served}."))
}

/// The client credentials grant (RFC 6749 §4.4). The token carries itself: nothing is written.
async fn issue_to_client(server: &Server, request: &FormRequest) -> Result<Issued, Failure> {
    let client = authenticate(server, request).await?;
    let granted = client_credentials::decide(&client, &request.form, &server.settings().client_credentials)?;
    let (now, entropy) = (server.now(), server.store().entropy());
    let expires_at = after(now, granted.lifetime);
    let token = |expires_at| {
        AccessToken::for_client(&client, granted.scope, granted.audience, (now, expires_at), entropy)
    };
    let (access_token, token) = match granted.strategy {
        AccessTokenStrategy::Opaque => seal(server, token(expires_at))?,
        AccessTokenStrategy::Jwt => {
            let key = signing_key(server, now).await?;
            let expires_at = capped(expires_at, &key);
            sign(server, key, token(expires_at)).await?
        }
    };
    Ok(Issued {
        access_token,
        expires_in: token.expires_at.as_second() - now.as_second(),
        scope: token.scope,
        token_type: "bearer",
    })
}

fn after(now: Timestamp, lifetime: Duration) -> Timestamp {
    let seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
    now.checked_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

fn seal(server: &Server, token: AccessToken) -> Result<(String, AccessToken), Failure> {
    let ring = server.store().ring();
    Ok((token.seal(ring, server.store().entropy())?.sign(ring), token))
}

async fn signing_key(server: &Server, now: Timestamp) -> Result<SigningKey, Failure> {
    let keys = server.store().keys().await?;
    keys.signing_key(ACCESS_TOKEN_SET, None, now).ok_or(Failure::NoSigningKey)
}

/// No token outlives the publication of its key.
fn capped(expires_at: Timestamp, key: &SigningKey) -> Timestamp {
    key.removed_at.map_or(expires_at, |removed_at| expires_at.min(token_expiry_cap(removed_at)))
}

async fn sign(
    server: &Server,
    key: SigningKey,
    token: AccessToken,
) -> Result<(String, AccessToken), Failure> {
    let sealed = token.seal(server.store().ring(), server.store().entropy())?;
    let (algorithm, is_slow) = (key.signer.algorithm(), key.signer.is_slow());
    let of_server = server.clone();
    let sign = move || {
        let settings = of_server.settings();
        let signed = key.signer.sign(TYP, &claims(&token, &sealed, &settings.issuer, settings.jwt));
        signed.map(|jwt| (jwt, token)).map_err(|error| Failure::Defect(error.to_string()))
    };
    let signed = if is_slow { server.signatures().run(sign).await? } else { sign() };
    server.metrics().signature(algorithm);
    signed
}

//! `POST /oauth2/token` (RFC 6749 §3.2).

mod authorization_code;
mod client_credentials;
mod device_code;
mod first_tokens;
mod jwt_bearer;
mod refresh_token;

use axum::extract::{Request, State};
use axum::response::Response;
use http::StatusCode;
use oauth::{Error, ErrorCode, Form, GrantType, ScopeSet};
use serde::Serialize;

use crate::error::Failure;
use crate::form::FormRequest;
use crate::{Server, answer};

/// A successful answer (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3).
#[derive(Serialize)]
struct Issued {
    access_token: String,
    expires_in: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
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
        Some(GrantType::ClientCredentials) => client_credentials::issue(server, request).await,
        Some(GrantType::JwtBearer) => jwt_bearer::issue(server, request).await,
        Some(GrantType::AuthorizationCode) => authorization_code::issue(server, request).await,
        Some(GrantType::DeviceCode) => device_code::issue(server, request).await,
        Some(GrantType::RefreshToken) => refresh_token::issue(server, request).await,
        _ => Err(unsupported().into()),
    }
}

fn unsupported() -> Error {
    // The implicit grant is served at the authorization endpoint alone.
    let served = GrantType::SERVED.into_iter().filter(|grant| *grant != GrantType::Implicit);
    let served: Vec<_> = served.map(GrantType::as_str).collect();
    let why = format!("This server supports the grant types: {}.", served.join(", "));
    Error::new(ErrorCode::UnsupportedGrantType, why)
}

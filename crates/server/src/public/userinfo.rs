//! `GET` and `POST /userinfo` (OpenID Connect Core §5.3).

use axum::extract::{Request, State};
use axum::response::Response;
use headers::authorization::Bearer;
use headers::{Authorization, HeaderMapExt};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, StatusCode};
use oauth::access_token::Rights;
use oauth::grant::Grant;
use oauth::{Error, ErrorCode, id_token};

use crate::browser_request::BrowserRequest;
use crate::cors::Caller;
use crate::error::{Challenge, Failure};
use crate::issue::sign_userinfo;
use crate::presented_token::{self, Presented};
use crate::{Server, answer};

pub(crate) async fn userinfo(State(server): State<Server>, request: Request) -> Response {
    tell(&server, request).await.unwrap_or_else(|failure| refuse(&server, &failure, &invalid_token(&failure)))
}

/// The claims in the form that the client is registered for.
async fn tell(server: &Server, request: Request) -> Result<Response, Failure> {
    let caller = request.extensions().get::<Caller>().cloned().unwrap_or_default();
    let Some(text) = presented(server, request).await? else {
        // Whoever sends nothing is told of nothing that is wrong with it (RFC 6750 §3.1).
        return Ok(refuse(
            server,
            &refused("The request has no access token."),
            "Bearer realm=\"keywright\"",
        ));
    };
    let grant = grant(server, &text).await?;
    caller.is(&grant.client_id);
    let client = server.store().client(&grant.client_id).await?.ok_or_else(dead)?;
    let mut claims = id_token::userinfo(&server.settings().issuer, &grant, server.now());
    let Some(algorithm) = client.metadata.userinfo_signed_response_alg else {
        return Ok(answer::json(StatusCode::OK, answer::to_json(&claims)));
    };
    claims.insert("jti".to_owned(), id_token::jti(server.store().entropy()).into());
    let signed = sign_userinfo(server, algorithm, &claims).await?;
    Ok(answer::with_type(StatusCode::OK, HeaderValue::from_static("application/jwt"), signed.into()))
}

/// The access token that the request brings, in its header or as a parameter (RFC 6750 §2).
async fn presented(server: &Server, request: Request) -> Result<Option<String>, Failure> {
    let request = BrowserRequest::read(server, request).await?;
    let bearer: Option<Authorization<Bearer>> = request.headers.typed_get();
    let in_form = request.form.get("access_token");
    match (&bearer, in_form) {
        (Some(_), Some(_)) => {
            Err(Error::invalid_request("The access token is sent in two ways at once.").into())
        }
        (Some(bearer), None) => Ok(Some(bearer.token().to_owned())),
        (None, text) => Ok(text.map(str::to_owned)),
    }
}

/// The grant of an access token. One statement. Any live one of a user will do, as with Hydra.
async fn grant(server: &Server, text: &str) -> Result<Grant, Failure> {
    let Some(Presented::AccessToken(token)) = presented_token::open(server, text).await? else {
        return Err(dead());
    };
    let Rights::OfGrant { id, generation, .. } = token.rights else {
        return Err(refused("The access token comes of no login: it tells of no user."));
    };
    presented_token::live_grant(server, &token, (id, generation)).await?.ok_or_else(dead)
}

fn dead() -> Failure {
    refused("The access token is invalid, expired or revoked.")
}

fn refused(why: &'static str) -> Failure {
    Error::new(ErrorCode::RequestUnauthorized, why).into()
}

/// What is wrong with a token, as RFC 6750 §3 has it. A description holds nothing that would need an escape.
fn invalid_token(failure: &Failure) -> String {
    let description = match failure {
        Failure::Refused(error) => &*error.description,
        _ => "",
    };
    format!("Bearer error=\"invalid_token\",error_description=\"{description}\"")
}

/// The error in the body as Hydra has it, and a challenge in the header where it is about the token.
fn refuse(server: &Server, failure: &Failure, challenge: &str) -> Response {
    let mut response = failure.answer(server.settings(), Challenge::None);
    if response.status() == StatusCode::UNAUTHORIZED
        && let Ok(challenge) = HeaderValue::try_from(challenge)
    {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

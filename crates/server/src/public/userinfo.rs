//! `GET` and `POST /userinfo` (OpenID Connect Core §5.3).

use axum::extract::{Request, State};
use axum::response::Response;
use headers::authorization::Bearer;
use headers::{Authorization, HeaderMapExt};
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, StatusCode};
use oauth::access_token::Rights;
use oauth::{Error, ErrorCode, id_token};
use serde_json::{Map, Value};

use crate::browser_request::BrowserRequest;
use crate::error::{Challenge, Failure};
use crate::presented_token::{self, Presented};
use crate::{Server, answer};

pub(crate) async fn userinfo(State(server): State<Server>, request: Request) -> Response {
    match claims(&server, request).await {
        Ok(claims) => answer::json(StatusCode::OK, answer::to_json(&claims)),
        Err(failure) => refuse(&server, &failure),
    }
}

/// One statement. Any live access token of a user will do, as with Hydra.
async fn claims(server: &Server, request: Request) -> Result<Map<String, Value>, Failure> {
    let request = BrowserRequest::read(server, request).await?;
    let bearer: Option<Authorization<Bearer>> = request.headers.typed_get();
    let in_form = request.form.get("access_token");
    let text = match (&bearer, in_form) {
        (Some(_), Some(_)) => {
            return Err(Error::invalid_request("The access token is sent in two ways at once.").into());
        }
        (Some(bearer), None) => bearer.token(),
        (None, Some(text)) => text,
        (None, None) => return Err(refused("The request has no access token.")),
    };
    let dead = || refused("The access token is invalid, expired or revoked.");
    let Some(Presented::AccessToken(token)) = presented_token::open(server, text).await? else {
        return Err(dead());
    };
    let Rights::OfGrant { id, generation, .. } = token.rights else {
        return Err(refused("The access token is a client's own: it tells of no user."));
    };
    let grant = presented_token::live_grant(server, &token, (id, generation)).await?.ok_or_else(dead)?;
    Ok(id_token::userinfo(&server.settings().issuer, &grant, server.now()))
}

fn refused(why: &'static str) -> Failure {
    Error::new(ErrorCode::RequestUnauthorized, why).into()
}

/// The error in the body as Hydra has it, and in the header as RFC 6750 §3 has it.
fn refuse(server: &Server, failure: &Failure) -> Response {
    let mut response = failure.answer(server.settings(), Challenge::None);
    if response.status() == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

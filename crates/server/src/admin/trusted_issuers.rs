//! `/admin/trust/grants/jwt-bearer/issuers`: who may vouch for subjects, in assertions that clients present for tokens
//! (RFC 7523 §2.1).

use axum::extract::{Path, Request, State};
use axum::response::Response;
use http::header::LOCATION;
use http::{HeaderValue, StatusCode, Uri};
use oauth::trusted_issuer::TrustRequest;
use oauth::{Error, TrustedIssuer};
use uuid::Uuid;

use super::paging::{self, Paging};
use crate::error::{Failure, Refusal};
use crate::{Server, answer, json_body};

/// `GET …`: a page of them, all or those of one issuer.
pub(crate) async fn list(State(server): State<Server>, uri: Uri) -> Response {
    answered(&server, page(&server, &uri).await)
}

async fn page(server: &Server, uri: &Uri) -> Result<Response, Failure> {
    let paging = Paging::read(server, uri)?;
    let after = match paging.after.as_str() {
        "" => None,
        id => Some(*Uuid::parse_str(id).map_err(|_| paging::invalid_token())?.as_bytes()),
    };
    let issuer = paging.query.get("issuer");
    let page = server.store().list_trusted_issuers(after, paging.size, issuer).await?;
    let issuers: Vec<_> = page.issuers.iter().map(TrustedIssuer::object).collect();
    let mut response = answer::json(StatusCode::OK, answer::to_json(&issuers));
    let next = page.next.map(|id| Uuid::from_bytes(id).to_string());
    paging.link(server, uri, next.as_deref(), &mut response)?;
    Ok(response)
}

/// `POST …`.
pub(crate) async fn create(State(server): State<Server>, request: Request) -> Response {
    answered(&server, trust(&server, request).await)
}

async fn trust(server: &Server, request: Request) -> Result<Response, Failure> {
    let request: TrustRequest = json_body::read(server, request).await?;
    let issuer = TrustedIssuer::new(request, server.now(), server.store().entropy())?;
    if !server.store().trust_issuer(&issuer).await? {
        return Err(Failure::Plain(Refusal::Exists));
    }
    let mut response = shown(StatusCode::CREATED, &issuer);
    let location = HeaderValue::try_from(format!("/trust/grants/jwt-bearer/issuers/{}", issuer.id));
    let location = location.map_err(|error| Failure::Defect(error.to_string()))?;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

/// `GET …/{id}`.
pub(crate) async fn get(State(server): State<Server>, Path(id): Path<String>) -> Response {
    let found = async {
        let found = server.store().trusted_issuer(parse_id(&id)?).await?;
        let issuer = found.ok_or(Failure::Plain(Refusal::NotFound))?;
        Ok(shown(StatusCode::OK, &issuer))
    };
    answered(&server, found.await)
}

/// `DELETE …/{id}`: no assertion of it counts any more. Tokens that were issued live on.
pub(crate) async fn delete(State(server): State<Server>, Path(id): Path<String>) -> Response {
    let deleted = async {
        if server.store().distrust_issuer(parse_id(&id)?).await? {
            Ok(answer::empty(StatusCode::NO_CONTENT))
        } else {
            Err(Failure::Plain(Refusal::NotFound))
        }
    };
    answered(&server, deleted.await)
}

fn parse_id(id: &str) -> Result<[u8; 16], Failure> {
    let id = Uuid::parse_str(id).map_err(|_| Error::invalid_request("The id is no UUID."))?;
    Ok(*id.as_bytes())
}

fn shown(status: StatusCode, issuer: &TrustedIssuer) -> Response {
    answer::json(status, answer::to_json(&issuer.object()))
}

fn answered(server: &Server, response: Result<Response, Failure>) -> Response {
    response.unwrap_or_else(|failure| failure.answer_admin(server.settings()))
}

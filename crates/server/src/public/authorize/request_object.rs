//! Request objects (OpenID Connect Core §6, RFC 9101): read, verified and resolved before the flow begins.

use http::StatusCode;
use oauth::request_object::{Presented, Reference, Signature, presented, resolve, signature};
use oauth::{Client, Error, ErrorCode, Form};

use super::Stop;
use crate::Server;
use crate::client_keys::verified;
use crate::outbound::Account;

/// The largest object that is fetched, in bytes; one that is sent lies in a body of no more.
const LARGEST: usize = 64 * 1024;

/// The request with the parameters of its object, where it has one. What is wrong is told to the user: where the client
/// is, the object says.
pub(super) async fn resolved(server: &Server, client: &Client, form: Form) -> Result<Form, Stop> {
    let object = match presented(client, &form).map_err(Stop::ToUser)? {
        None => return Ok(form),
        Some(Presented::ByValue(object)) => object.to_owned(),
        Some(Presented::ByReference(reference)) => {
            fetch(server, client, &reference).await.map_err(Stop::ToUser)?
        }
    };
    let claims = match signature(client, &object).map_err(Stop::ToUser)? {
        Signature::Unsecured(claims) => claims,
        Signature::With(algorithm) => {
            verified(server, client, &object, algorithm).await.ok_or_else(|| {
                let why = "The request object is not signed with a key of the client's jwks or jwks_uri.";
                Stop::ToUser(Error::new(ErrorCode::InvalidRequestObject, why))
            })?
        }
    };
    resolve(client, &form, &claims, &server.settings().issuer, server.now()).map_err(Stop::ToUser)
}

async fn fetch(server: &Server, client: &Client, reference: &Reference) -> Result<String, Error> {
    let unreadable =
        || Error::new(ErrorCode::InvalidRequestUri, "What lies at the request_uri cannot be read.");
    // Whoever sends the request has proven nothing, whosever client it names.
    let account = match Account::of(client) {
        Account::Operator => Account::Anybody,
        account => account,
    };
    let answer = server.outbound().get(account, reference.url(), LARGEST).await.map_err(|why| {
        tracing::warn!(%why, "the request object of a client cannot be had");
        unreadable()
    })?;
    if answer.status != StatusCode::OK {
        tracing::warn!(host = reference.url().host_str(), status = %answer.status, "the request object of a client cannot be had");
        return Err(unreadable());
    }
    reference.check(&answer.body).map(str::to_owned)
}

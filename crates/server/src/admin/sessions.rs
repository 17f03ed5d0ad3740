//! `DELETE /admin/oauth2/auth/sessions/consent` and `…/login`, `DELETE /admin/oauth2/tokens`: what a user granted, where
//! they are logged in, and all that a client was given, ends.

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use oauth::{ClientId, Error, Form, SessionId};

use crate::error::{Challenge, Failure};
use crate::{Server, answer};

/// Ends what a subject granted: to one client, or to all. Codes in flight end too.
pub(crate) async fn revoke_consent(State(server): State<Server>, uri: Uri) -> Response {
    done(&server, consent(&server, &uri).await)
}

async fn consent(server: &Server, uri: &Uri) -> Result<(), Failure> {
    let form = parameters(uri)?;
    let subject = form.require("subject")?;
    let client = match (form.get("client"), form.get("all")) {
        (Some(client), None) => {
            Some(ClientId::parse(client).map_err(|e| Error::invalid_request(e.to_string()))?)
        }
        (None, Some("true")) => None,
        _ => {
            let why = "Either the parameter 'client' names a client, or 'all' is 'true'.";
            return Err(Error::invalid_request(why).into());
        }
    };
    // First what keeps a flow under way from being remembered, then what is remembered.
    server.store().revoke_subject(subject, client.as_ref()).await?;
    Ok(server.store().forget_consents(subject, client.as_ref()).await?)
}

/// Ends the logins of a subject, or one of them. What was granted in them lives on, as with Hydra.
pub(crate) async fn revoke_login(State(server): State<Server>, uri: Uri) -> Response {
    done(&server, login(&server, &uri).await)
}

async fn login(server: &Server, uri: &Uri) -> Result<(), Failure> {
    let form = parameters(uri)?;
    match (form.get("subject"), form.get("sid")) {
        (Some(subject), None) => Ok(server.store().forget_logins_of(subject).await?),
        (None, Some(sid)) => {
            let id: SessionId =
                sid.parse().map_err(|_| Error::invalid_request("The sid is no session's id."))?;
            Ok(server.store().forget_login(id).await?)
        }
        _ => {
            Err(Error::invalid_request("Exactly one of the parameters 'subject' and 'sid' is needed.").into())
        }
    }
}

/// Ends all that a client was given. To a client that is not there, nothing was.
pub(crate) async fn revoke_tokens(State(server): State<Server>, uri: Uri) -> Response {
    done(&server, tokens(&server, &uri).await)
}

async fn tokens(server: &Server, uri: &Uri) -> Result<(), Failure> {
    let form = parameters(uri)?;
    let id =
        ClientId::parse(form.require("client_id")?).map_err(|e| Error::invalid_request(e.to_string()))?;
    server.store().revoke_client_tokens(&id).await?;
    Ok(())
}

fn parameters(uri: &Uri) -> Result<Form, Error> {
    Form::parse(uri.query().unwrap_or_default().as_bytes())
}

fn done(server: &Server, outcome: Result<(), Failure>) -> Response {
    match outcome {
        Ok(()) => answer::empty(StatusCode::NO_CONTENT),
        Err(failure) => failure.answer(server.settings(), Challenge::None),
    }
}

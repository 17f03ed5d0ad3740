//! `DELETE /admin/oauth2/auth/sessions/login`, `DELETE /admin/oauth2/tokens`: where a user is logged in, and all that a
//! client was given, ends.

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use oauth::{ClientId, Error, Form, SessionId};

use crate::error::{Challenge, Failure};
use crate::{Server, answer};

/// Ends the logins of a subject, or one of them, and has clients told that have a back-channel URI; of the one, the identity
/// provider too. What was granted in
/// them lives on, as with Hydra. One statement.
pub(crate) async fn revoke_login(State(server): State<Server>, uri: Uri) -> Response {
    done(&server, login(&server, &uri).await)
}

async fn login(server: &Server, uri: &Uri) -> Result<(), Failure> {
    let form = parameters(uri)?;
    match (form.get("subject"), form.get("sid")) {
        (Some(subject), None) => server.store().end_logins_of(subject).await?,
        (None, Some(sid)) => {
            let id: SessionId =
                sid.parse().map_err(|_| Error::invalid_request("The sid is no session's id."))?;
            server.store().end_login(id).await?;
        }
        _ => {
            let why = "Exactly one of the parameters 'subject' and 'sid' is needed.";
            return Err(Error::invalid_request(why).into());
        }
    }
    server.logout_queue().notify_one();
    Ok(())
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

/// The parameters of a query. None holds a NUL, which PostgreSQL does not take.
pub(super) fn parameters(uri: &Uri) -> Result<Form, Error> {
    let form = Form::parse(uri.query().unwrap_or_default().as_bytes())?;
    if let Some((name, _)) = form.pairs().find(|(_, value)| value.contains('\0')) {
        return Err(Error::invalid_request(format!("The parameter '{name}' holds a NUL.")));
    }
    Ok(form)
}

pub(super) fn done(server: &Server, outcome: Result<(), Failure>) -> Response {
    match outcome {
        Ok(()) => answer::empty(StatusCode::NO_CONTENT),
        Err(failure) => failure.answer(server.settings(), Challenge::None),
    }
}

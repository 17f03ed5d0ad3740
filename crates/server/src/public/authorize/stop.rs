//! Why a flow goes no further, and who is told.

use axum::response::Response;
use http::StatusCode;
use oauth::authorization_request::Refusal;
use oauth::authorization_response::{AuthorizationResponse, ReturnAddress};
use oauth::denial::Denial;
use oauth::{Error, GrantId};

use crate::error::Failure;
use crate::public::authorize::{found, redirect};
use crate::{Server, pages};

/// Why a flow goes no further.
pub(crate) enum Stop {
    /// The user is told, on the error page.
    ToUser(Error),
    /// The client is told, at its redirect URI.
    ToClient(Box<ReturnAddress>, Denial),
    /// The client is told, and the flow has ended in this browser.
    Ended(GrantId, Box<ReturnAddress>, Denial),
    /// The device is told when it asks, where its flow is known to be the browser's; the user is told now.
    ToDevice(Option<GrantId>, Denial),
    /// The server cannot serve it.
    Failed(Failure),
}

impl Stop {
    /// The same, with the end of the flow where the client is told.
    pub(super) fn ending(self, flow: GrantId) -> Self {
        match self {
            Self::ToClient(address, denial) => Self::Ended(flow, address, denial),
            Self::ToDevice(_, denial) => Self::ToDevice(Some(flow), denial),
            other => other,
        }
    }

    pub(crate) fn answer(&self, server: &Server) -> Response {
        let (settings, entropy) = (server.settings(), server.store().entropy());
        match self {
            Self::ToClient(address, denial) => to_client(server, address, denial),
            Self::Ended(flow, address, denial) => {
                let mut response = to_client(server, address, denial);
                settings.cookies.end_flow(&mut response, *flow);
                response
            }
            Self::ToDevice(flow, denial) => {
                let page = settings.pages.error(&settings.public_url, &denial.error, &denial.description);
                let mut response = found(&page);
                if let Some(flow) = flow {
                    settings.cookies.end_flow(&mut response, *flow);
                }
                response
            }
            Self::ToUser(error) => {
                found(&settings.pages.error(&settings.public_url, error.code.as_str(), &error.description))
            }
            Self::Failed(failure) => {
                let (status, told) = failure.tell(settings);
                if status == StatusCode::BAD_REQUEST {
                    return found(&settings.pages.error(
                        &settings.public_url,
                        told.code.as_str(),
                        &told.description,
                    ));
                }
                pages::error(status, told.code.as_str(), &told.description, entropy)
            }
        }
    }
}

fn to_client(server: &Server, address: &ReturnAddress, denial: &Denial) -> Response {
    let mut parameters = vec![("error", denial.error.clone())];
    if !denial.description.is_empty() {
        parameters.push(("error_description", denial.description.clone()));
    }
    respond(server, address, parameters)
}

/// Sends an authorization response on its way.
pub(super) fn respond(
    server: &Server,
    address: &ReturnAddress,
    parameters: Vec<(&'static str, String)>,
) -> Response {
    match address.respond(&server.settings().issuer, parameters) {
        AuthorizationResponse::Redirect(location) => redirect(StatusCode::SEE_OTHER, &location),
        AuthorizationResponse::FormPost { action, fields } => {
            pages::form_post(&action, &fields, server.store().entropy())
        }
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::ToUser(error) => Self::ToUser(error),
            Refusal::ToClient(address, error) => Self::ToClient(address, error.into()),
        }
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<store::Error> for Stop {
    fn from(error: store::Error) -> Self {
        Self::Failed(error.into())
    }
}

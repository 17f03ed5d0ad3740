//! A request that a browser makes: parameters in the query and in a form, and cookies.

use std::net::IpAddr;

use axum::extract::Request;
use http::{HeaderMap, Method};
use oauth::Form;

use crate::error::Failure;
use crate::form::FormRequest;
use crate::{Server, client_address};

/// A browser's request.
pub(crate) struct BrowserRequest {
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its parameters.
    pub(crate) form: Form,
    /// Where it comes from, as far as that is known.
    pub(crate) address: Option<IpAddr>,
}

impl BrowserRequest {
    /// Reads the parameters: those of the URL, and of a form those of its body as well (OpenID Connect Core §3.1.2.1).
    ///
    /// # Errors
    /// `invalid_request`, also for a parameter that stands in both; [`Failure::TooLarge`], [`Failure::Busy`].
    pub(crate) async fn read(server: &Server, request: Request) -> Result<Self, Failure> {
        let address = client_address::of(&request, &server.settings().public.forwarders);
        let form = Form::parse(request.uri().query().unwrap_or_default().as_bytes())?;
        if request.method() == Method::POST {
            let (headers, body) = FormRequest::read(server, request).await?.into_parts();
            return Ok(Self { headers, form: form.and(body)?, address });
        }
        Ok(Self { headers: request.into_parts().0.headers, form, address })
    }
}

//! A request that a browser makes: parameters in the query or in a form, and cookies.

use axum::extract::Request;
use http::{HeaderMap, Method};
use oauth::Form;

use crate::Server;
use crate::error::Failure;
use crate::form::FormRequest;

/// A browser's request.
pub(crate) struct BrowserRequest {
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its parameters.
    pub(crate) form: Form,
}

impl BrowserRequest {
    /// Reads the parameters from where the method has them (OpenID Connect Core §3.1.2.1).
    ///
    /// # Errors
    /// `invalid_request`, [`Failure::TooLarge`], [`Failure::Busy`].
    pub(crate) async fn read(server: &Server, request: Request) -> Result<Self, Failure> {
        if request.method() == Method::POST {
            let (headers, form) = FormRequest::read(server, request).await?.into_parts();
            return Ok(Self { headers, form });
        }
        let form = Form::parse(request.uri().query().unwrap_or_default().as_bytes())?;
        Ok(Self { headers: request.into_parts().0.headers, form })
    }
}

//! The form that an OAuth endpoint receives.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use headers::{ContentType, HeaderMapExt};
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body as _;
use mime::Mime;
use oauth::{ClientId, Error, Form, PresentedCredentials};
use tokio::time::timeout;

use crate::Server;
use crate::cors::Caller;
use crate::error::{Challenge, Failure};

/// The largest body that is read, in bytes.
///
/// What is read is held before anybody has authenticated, so it is small, and so is the number of those that hold it.
pub(crate) const BODY_LIMIT: usize = 64 * 1024;

/// How long a body may be on its way: with it, its place is taken from others.
const BODY_DEADLINE: Duration = Duration::from_secs(5);

/// How many bodies may be on their way to a port at once; further requests are asked to come again.
pub(crate) const BODIES_UNDER_WAY: usize = 1024;

/// A request of an OAuth endpoint: its form, and how the client authenticates.
pub(crate) struct FormRequest {
    headers: HeaderMap,
    /// The parameters.
    pub(crate) form: Form,
}

impl FormRequest {
    /// Whether a refusal of this request is to name the authentication scheme.
    pub(crate) fn challenge(request: &Request) -> Challenge {
        if request.headers().contains_key(AUTHORIZATION) { Challenge::Basic } else { Challenge::None }
    }

    /// Reads a request's form.
    ///
    /// # Errors
    /// `invalid_request` for a body that is no form, [`Failure::TooLarge`], [`Failure::Busy`].
    pub(crate) async fn read(server: &Server, request: Request) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let place = server.bodies().try_acquire().map_err(|_| Failure::Busy)?;
        let body = read_body(body).await?;
        drop(place);
        check_type(&parts.headers, body.is_empty())?;
        let read = Self { headers: parts.headers, form: Form::parse(&body)? };
        if let Some(caller) = parts.extensions.get::<Caller>()
            && let Some(client) = read.claimed_client()
        {
            caller.is(&client);
        }
        Ok(read)
    }

    /// The client that the request says it is of.
    fn claimed_client(&self) -> Option<ClientId> {
        let presented = PresentedCredentials::from_request(self.authorization().ok()?, &self.form);
        let named = || self.form.get("client_id").and_then(|id| ClientId::parse(id).ok());
        presented.map(|presented| presented.client_id).ok().or_else(named)
    }

    /// The headers and the form.
    pub(crate) fn into_parts(self) -> (HeaderMap, Form) {
        (self.headers, self.form)
    }

    /// The value of the `Authorization` header.
    ///
    /// # Errors
    /// `invalid_request` where the request has two of them: a proxy might have looked at the other.
    pub(crate) fn authorization(&self) -> Result<Option<&[u8]>, Error> {
        let mut values = self.headers.get_all(AUTHORIZATION).iter();
        let value = values.next();
        if values.next().is_some() {
            return Err(Error::invalid_request("The request has more than one Authorization header."));
        }
        Ok(value.map(http::HeaderValue::as_bytes))
    }
}

/// Reads a body of at most [`BODY_LIMIT`] bytes.
///
/// # Errors
/// [`Failure::TooLarge`], or `invalid_request` where it does not arrive whole.
pub(crate) async fn read_body(body: Body) -> Result<bytes::Bytes, Failure> {
    // A length that was declared is refused before a byte of it is read.
    if body.size_hint().lower() > BODY_LIMIT as u64 {
        return Err(Failure::TooLarge);
    }
    let late = || Error::invalid_request("The request body took too long.");
    match timeout(BODY_DEADLINE, Limited::new(body, BODY_LIMIT).collect()).await.map_err(|_| late())? {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Failure::TooLarge),
        Err(_) => Err(Error::invalid_request("The request body did not arrive whole.").into()),
    }
}

fn check_type(headers: &HeaderMap, is_empty: bool) -> Result<(), Error> {
    let is_form = match headers.typed_try_get::<ContentType>() {
        Ok(Some(given)) => Mime::from(given).essence_str() == mime::APPLICATION_WWW_FORM_URLENCODED.as_ref(),
        // Nothing was sent, so it needs no type: what is missing is for the endpoint to say.
        Ok(None) => is_empty,
        Err(_) => false,
    };
    if is_form && headers.get_all(CONTENT_TYPE).iter().count() <= 1 {
        return Ok(());
    }
    Err(Error::invalid_request(
        "The request body must have the content type application/x-www-form-urlencoded.",
    ))
}

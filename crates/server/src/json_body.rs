//! The JSON that the admin API receives.

use axum::extract::Request;
use oauth::Error;
use serde::de::DeserializeOwned;

use crate::Server;
use crate::error::Failure;
use crate::form::read_body;

/// Reads a request's body; its content type does not matter, as with Hydra. An empty one counts as an empty
/// object, as does `null`.
///
/// # Errors
/// `invalid_request` with the place where it is wrong, [`Failure::TooLarge`], [`Failure::Busy`].
pub(crate) async fn read<T: DeserializeOwned>(server: &Server, request: Request) -> Result<T, Failure> {
    let place = server.bodies().try_acquire().map_err(|_| Failure::Busy)?;
    let body = read_body(request.into_body()).await?;
    drop(place);
    let text = match body.trim_ascii() {
        b"" | b"null" => b"{}",
        _ => &body[..],
    };
    serde_json::from_slice(text).map_err(|error| {
        Error::invalid_request(format!("The request body is not what it should be: {error}.")).into()
    })
}

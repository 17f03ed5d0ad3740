//! Sealed values that are too long for a URL: they are parked in a row, and the URL carries its name.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use jose::SealPurpose;
use sha2::{Digest, Sha256};

use crate::Server;
use crate::browser_request::BrowserRequest;
use crate::error::Failure;

/// The longest sealed value that travels itself, in characters. Proxies in front of a server take URLs of some 4,000.
const LONGEST: usize = 2048;

/// Marks the name of a parked value. No sealed value holds a dot.
const PARKED: &str = "parked.";

/// The same for a browser whose user nobody has vouched for yet: of what such have parked, there is no more than may be.
///
/// # Errors
/// [`Failure::Store`], [`Failure::Busy`].
pub(crate) async fn shorten_for(
    server: &Server,
    browser: &BrowserRequest,
    sealed: String,
    expires_at: Timestamp,
) -> Result<String, Failure> {
    if sealed.len() <= LONGEST {
        return Ok(sealed);
    }
    let park = shorten(server, sealed, expires_at);
    server.parked_values().count(browser.address, (server.now(), expires_at), park).await
}

/// The value itself, or the name under which it is parked until `expires_at` (one statement).
///
/// # Errors
/// [`Failure::Store`], [`Failure::Busy`].
pub(crate) async fn shorten(
    server: &Server,
    sealed: String,
    expires_at: Timestamp,
) -> Result<String, Failure> {
    if sealed.len() <= LONGEST {
        return Ok(sealed);
    }
    let store = server.store();
    let id: [u8; 16] = store.entropy().bytes();
    let content = store.ring().seal(SealPurpose::Parked, sealed.as_bytes(), store.entropy().bytes());
    let place = server.unproven_reads().try_acquire().map_err(|_| Failure::Busy)?;
    store.park(row_of(id), content, expires_at).await?;
    drop(place);
    Ok(format!("{PARKED}{}", URL_SAFE_NO_PAD.encode(id)))
}

/// The sealed value that a text is or names; empty, which opens as nothing, where it names none.
///
/// # Errors
/// [`Failure::Store`], [`Failure::Busy`].
pub(crate) async fn restore<'a>(server: &Server, text: &'a str) -> Result<Cow<'a, str>, Failure> {
    let Some(name) = text.strip_prefix(PARKED) else { return Ok(text.into()) };
    let id = URL_SAFE_NO_PAD.decode(name).ok().and_then(|id| <[u8; 16]>::try_from(id).ok());
    let Some(id) = id else { return Ok("".into()) };
    let place = server.unproven_reads().try_acquire().map_err(|_| Failure::Busy)?;
    let parked = server.store().parked(row_of(id)).await?;
    drop(place);
    let opened = parked.and_then(|content| server.store().ring().open(SealPurpose::Parked, &content).ok());
    Ok(opened.and_then(|text| String::from_utf8(text.to_vec()).ok()).unwrap_or_default().into())
}

/// The row's id. Neither this nor what lies there is what the URL carries: whoever reads the table has nothing to send.
fn row_of(id: [u8; 16]) -> [u8; 16] {
    let mut row = [0; 16];
    row.copy_from_slice(&Sha256::digest(id)[..16]);
    row
}

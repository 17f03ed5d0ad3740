//! Whether a flow began in the browser that goes on with it.

use http::HeaderMap;
use oauth::flow::{Interaction, is_cookie_of};
use oauth::{Error, ErrorCode, GrantId};

use crate::Server;

/// Checks that the browser was sent the flow's cookie.
///
/// # Guarantees
/// Whoever has not been sent the cookie cannot know it, and it is worth nothing for another flow. So nobody goes on in
/// another browser with a flow that began in their own: neither at this server's pages nor after those of an app.
///
/// # Errors
/// `request_forbidden`.
pub(crate) fn check(
    server: &Server,
    headers: &HeaderMap,
    interaction: Interaction,
    id: GrantId,
) -> Result<(), Error> {
    let cookie = server.settings().cookies.flow_value(headers, interaction, id);
    if cookie.is_some_and(|value| is_cookie_of(server.store().ring(), interaction, id, &value)) {
        return Ok(());
    }
    let why = "No CSRF value available in the session cookie: the request did not begin in this browser, or the \
               browser keeps no cookies. Begin again.";
    Err(Error::new(ErrorCode::RequestForbidden, why))
}

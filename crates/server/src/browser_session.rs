//! The login session that a browser's cookie names.

use http::HeaderMap;
use oauth::SessionId;
use oauth::login::{Login, session_of_cookie};
use store::StoredSession;

use crate::Server;

/// The session that the browser's cookie names; whether it lasts, the database knows.
pub(crate) fn named(server: &Server, headers: &HeaderMap) -> Option<SessionId> {
    let cookie = server.settings().cookies.session_value(headers)?;
    session_of_cookie(server.store().ring(), &cookie)
}

/// The login that a session's row holds. What is sealed counts; the column beside it only finds it.
pub(crate) fn login_of(server: &Server, id: SessionId, row: &StoredSession) -> Option<Login> {
    Login::open(server.store().ring(), id, &row.content).filter(|login| login.subject == row.subject)
}

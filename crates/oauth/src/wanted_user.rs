//! The user whom a request is about, where it says so (OpenID Connect Core §3.1.2.1, §5.5.1).

use crate::ClientSubjects;
use crate::claims_request::ClaimsRequest;
use crate::login::Login;
use crate::logout::Hint;

/// What a request says of its user beside what its `claims` say, and how its client knows users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedUser {
    /// How the client knows its users.
    pub subjects: ClientSubjects,
    /// The request's `id_token_hint`, verified.
    pub hint: Option<Hint>,
}

impl WantedUser {
    /// True where the user of a login may be the one. `known_as` is the name by which the client will know them.
    pub fn is(&self, claims: &ClaimsRequest, login: &Login, known_as: &str) -> bool {
        let is_hinted = |hint: &Hint| self.subjects.is_hinted(hint, known_as, login.session_id);
        self.hint.as_ref().is_none_or(is_hinted) && claims.names(known_as)
    }
}

//! Login: what the login app is asked, what it answers, and whether that satisfies the request (OpenID Connect Core
//! §3.1.2.3).

use jiff::Timestamp;
use jose::{Entropy, KeyRing, SealPurpose};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::authorization_request::AuthorizationRequest;
use crate::denial::Denial;
use crate::flow::{Flow, FlowKind, FlowReference};
use crate::wanted_user::WantedUser;
use crate::{
    ClientSubjects, Error, ErrorCode, IdentityProviderSessionId, SessionId, null_as_default, sealed,
};

/// A login, as the login app reported it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// The login session that it belongs to: the `sid` of its ID tokens.
    pub session_id: SessionId,
    /// The user.
    pub subject: String,
    /// When the user proved who they are, in seconds since the epoch.
    pub authenticated_at: i64,
    /// The authentication context class.
    pub acr: String,
    /// The authentication methods (RFC 8176).
    pub amr: Vec<String>,
}

impl Login {
    /// The login as the row of its session holds it.
    pub fn seal(&self, ring: &KeyRing, entropy: &Entropy) -> Vec<u8> {
        sealed::seal_bytes(ring, SealPurpose::LoginSession, self, entropy)
    }

    /// Opens what the row of a session holds; `None` for anything else, another session's content among it.
    pub fn open(ring: &KeyRing, id: SessionId, sealed: &[u8]) -> Option<Self> {
        sealed::open_bytes::<Self>(ring, SealPurpose::LoginSession, sealed)
            .filter(|login| login.session_id == id)
    }
}

/// The cookie by which a browser names its login session.
pub fn session_cookie(ring: &KeyRing, id: SessionId, entropy: &Entropy) -> String {
    sealed::seal(ring, SealPurpose::SessionCookie, &id, entropy)
}

/// The session that a cookie names; `None` where it is not one of ours.
pub fn session_of_cookie(ring: &KeyRing, value: &str) -> Option<SessionId> {
    sealed::open(ring, SealPurpose::SessionCookie, value)
}

/// A login that a session remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownLogin {
    /// The login.
    pub login: Login,
    /// True where the user has consented to this very request before.
    pub has_consented: bool,
}

/// What the login app is asked: sealed, it is the `login_challenge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginChallenge {
    /// The flow.
    pub flow: Flow,
    /// The session that a new login will have.
    pub session_id: SessionId,
    /// The login that the request may go on with: then the app shows no page (`skip`).
    pub known: Option<KnownLogin>,
}

/// What the login app answers (Hydra's `AcceptOAuth2LoginRequest`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the members of Hydra's API")]
pub struct AcceptLogin {
    #[serde(deserialize_with = "null_as_default")]
    pub subject: String,
    #[serde(deserialize_with = "null_as_default")]
    pub remember: bool,
    #[serde(deserialize_with = "null_as_default")]
    pub remember_for: i64,
    #[serde(deserialize_with = "null_as_default")]
    pub extend_session_lifespan: bool,
    #[serde(deserialize_with = "null_as_default")]
    pub acr: String,
    #[serde(deserialize_with = "null_as_default")]
    pub amr: Vec<String>,
    pub context: Value,
    #[serde(deserialize_with = "null_as_default")]
    pub force_subject_identifier: String,
    #[serde(deserialize_with = "null_as_default")]
    pub identity_provider_session_id: String,
}

/// What the app's answer becomes: sealed, it is the `login_verifier`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoginVerifier {
    /// The flow.
    pub flow: FlowReference,
    /// The answer.
    pub outcome: LoginOutcome,
}

/// The app's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoginOutcome {
    /// The user has logged in, or is still.
    Accepted {
        /// The login.
        login: Login,
        /// What the consent app is told beside it, as JSON.
        context: Option<String>,
        /// `Some` where it goes on with a session that is known: whether the user has consented already.
        known: Option<bool>,
        /// What becomes of the session.
        memory: SessionMemory,
        /// The name by which a pairwise client is to know the user, in place of the computed one.
        forced_subject: Option<String>,
        /// The session at the identity provider that it was made in.
        identity_provider_session: Option<IdentityProviderSessionId>,
    },
    /// The user may not go on.
    Rejected(Denial),
}

/// What becomes of a login session after a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionMemory {
    /// It is kept for so many seconds; 0 means as long as the server's configuration says.
    Remember(i64),
    /// It stays as it is.
    Keep,
    /// What the browser remembered is forgotten.
    Forget,
}

/// What is to be done with an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum AcceptedLogin {
    /// The flow goes on.
    GoOn(Box<LoginVerifier>),
    /// The user turned out to be somebody else than the session says: the request begins anew, with a login.
    Restart,
}

impl LoginChallenge {
    /// Decides what the login app is asked. `session` is the login that the browser's session remembers, `wanted` the user
    /// whom the request is about.
    ///
    /// # Errors
    /// `login_required` where a page would be needed and the client wants none.
    pub fn decide(
        flow: Flow,
        request: &AuthorizationRequest,
        session: Option<KnownLogin>,
        wanted: &WantedUser,
        (now, entropy): (Timestamp, &Entropy),
    ) -> Result<Self, Error> {
        let fits = |known: &KnownLogin| {
            let login = &known.login;
            let pairwise = wanted.subjects.pairwise(&login.subject, None);
            !request.prompts.forces_login()
                && is_recent(login, request, now.as_second())
                && request.claims.accepts_acr(&login.acr)
                && wanted.is(&request.claims, login, pairwise.as_deref().unwrap_or(&login.subject))
        };
        let known = session.filter(fits);
        if known.is_none() && request.prompts.none {
            return Err(login_required("The user must log in, and the request says prompt=none."));
        }
        let session_id =
            known.as_ref().map_or_else(|| SessionId::new(entropy), |known| known.login.session_id);
        Ok(Self { flow, session_id, known })
    }

    /// The same for whoever logged in, with a new session where the known one is somebody else's. A device's flow cannot
    /// begin anew, as one at the authorization endpoint does: its user code has been entered.
    #[must_use]
    pub fn for_subject(self, subject: &str, entropy: &Entropy) -> Self {
        match &self.known {
            Some(known) if self.flow.kind == FlowKind::Device && known.login.subject != subject => {
                Self { session_id: SessionId::new(entropy), known: None, ..self }
            }
            _ => self,
        }
    }

    /// Decides what becomes of the app's answer.
    ///
    /// # Errors
    /// `invalid_request` naming the member.
    pub fn accept(&self, answer: AcceptLogin, now: Timestamp) -> Result<AcceptedLogin, Error> {
        if answer.subject.is_empty() {
            return Err(Error::invalid_request("The member 'subject' is missing or empty."));
        }
        let forced_subject = forced_subject(answer.force_subject_identifier)?;
        let identity_provider_session = identity_provider_session(answer.identity_provider_session_id)?;
        if self.known.as_ref().is_some_and(|known| known.login.subject != answer.subject) {
            return Ok(AcceptedLogin::Restart);
        }
        let memory = match (&self.known, answer.remember) {
            (Some(_), _) if !answer.extend_session_lifespan => SessionMemory::Keep,
            (Some(_), _) | (None, true) => SessionMemory::Remember(answer.remember_for.max(0)),
            (None, false) => SessionMemory::Forget,
        };
        let login = self.login(answer.subject, (answer.acr, answer.amr), now);
        let context = (!answer.context.is_null()).then(|| answer.context.to_string());
        let known = self.known.as_ref().map(|known| known.has_consented);
        let outcome = LoginOutcome::Accepted {
            login,
            context,
            known,
            memory,
            forced_subject,
            identity_provider_session,
        };
        Ok(AcceptedLogin::GoOn(Box::new(LoginVerifier { flow: self.flow.reference(), outcome })))
    }

    /// The login that the app tells of. Where it goes on with a session, what it does not say again stays as it was.
    fn login(&self, subject: String, (acr, amr): (String, Vec<String>), now: Timestamp) -> Login {
        let session_id = self.session_id;
        match &self.known {
            None => Login { session_id, subject, authenticated_at: now.as_second(), acr, amr },
            Some(KnownLogin { login, .. }) => Login {
                session_id,
                subject,
                authenticated_at: login.authenticated_at,
                acr: if acr.is_empty() { login.acr.clone() } else { acr },
                amr: if amr.is_empty() { login.amr.clone() } else { amr },
            },
        }
    }

    /// What becomes of the app's refusal.
    pub fn reject(&self, denial: Denial) -> LoginVerifier {
        LoginVerifier { flow: self.flow.reference(), outcome: LoginOutcome::Rejected(denial) }
    }

    /// The challenge as text.
    pub fn seal(&self, ring: &KeyRing, entropy: &Entropy) -> String {
        sealed::seal(ring, SealPurpose::LoginChallenge, self, entropy)
    }

    /// Opens a challenge; `None` for anything else.
    pub fn open(ring: &KeyRing, text: &str) -> Option<Self> {
        sealed::open(ring, SealPurpose::LoginChallenge, text)
    }
}

impl LoginVerifier {
    /// The verifier as text.
    pub fn seal(&self, ring: &KeyRing, entropy: &Entropy) -> String {
        sealed::seal(ring, SealPurpose::LoginVerifier, self, entropy)
    }

    /// Opens a verifier; `None` for anything else.
    pub fn open(ring: &KeyRing, text: &str) -> Option<Self> {
        sealed::open(ring, SealPurpose::LoginVerifier, text)
    }
}

fn forced_subject(text: String) -> Result<Option<String>, Error> {
    let longest = ClientSubjects::LONGEST;
    if text.len() > longest || !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return Err(Error::invalid_request(format!(
            "The member 'force_subject_identifier' has more than {longest} characters, or others than ASCII."
        )));
    }
    Ok(Some(text).filter(|text| !text.is_empty()))
}

fn identity_provider_session(text: String) -> Result<Option<IdentityProviderSessionId>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = |why| Error::invalid_request(format!("The member 'identity_provider_session_id' is {why}."));
    IdentityProviderSessionId::parse(text).map(Some).map_err(wrong)
}

/// Checks that a login is what the request asked for. `is_known` tells a session's login from one just made; `known_as`
/// is the name by which the client will know the user.
///
/// # Errors
/// `login_required`, `unmet_authentication_requirements`.
pub fn check(
    login: &Login,
    is_known: bool,
    request: &AuthorizationRequest,
    (wanted, known_as): (&WantedUser, &str),
    started_at: Timestamp,
) -> Result<(), Error> {
    if request.prompts.none && !is_known {
        return Err(login_required("The user has logged in, though the request says prompt=none."));
    }
    if request.prompts.forces_login() && is_known {
        return Err(login_required("The request asks for a new login, and the user did not log in."));
    }
    if is_known && !is_recent(login, request, started_at.as_second()) {
        return Err(login_required("The login is older than the max_age of the request."));
    }
    if !wanted.is(&request.claims, login, known_as) {
        return Err(login_required("The user is not the one that the id_token_hint or the claims name."));
    }
    request.claims.check_acr(&login.acr)
}

fn is_recent(login: &Login, request: &AuthorizationRequest, at: i64) -> bool {
    request.max_age.is_none_or(|max_age| login.authenticated_at.saturating_add(max_age) >= at)
}

fn login_required(description: &'static str) -> Error {
    Error::new(ErrorCode::LoginRequired, description)
}

#[cfg(test)]
mod tests;

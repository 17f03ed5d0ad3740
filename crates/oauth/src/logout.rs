//! Logout at the request of a relying party or of the user (OpenID Connect RP-Initiated Logout 1.0).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use jose::{Entropy, KeyRing, SealPurpose};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;

use crate::{Client, ClientId, Error, Form, SessionId, sealed};

/// A logout that the user is to agree to: sealed, it is the `logout_challenge`, and once agreed to the
/// `logout_verifier`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logout {
    /// The session that is to end.
    pub session_id: SessionId,
    /// Whose session it is.
    pub subject: String,
    /// The client that asked; `None` where nobody but the user did.
    pub client_id: Option<ClientId>,
    /// Where the browser goes afterwards.
    pub return_to: String,
    /// In seconds since the epoch.
    pub requested_at: i64,
    /// The client's request, as a query.
    pub query: String,
}

/// What the hint of a request says: who logged in where, and in which session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The `sub`.
    pub subject: String,
    /// The `sid`.
    pub session_id: Option<SessionId>,
    /// The clients in its `aud`.
    pub clients: Vec<String>,
}

impl Hint {
    /// Reads the claims of an ID token that has been verified.
    pub fn of_claims(claims: &Map<String, Value>) -> Option<Self> {
        let clients = match claims.get("aud")? {
            Value::String(one) => vec![one.clone()],
            Value::Array(all) => all.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => return None,
        };
        let session_id = claims.get("sid").and_then(Value::as_str).and_then(|sid| sid.parse().ok());
        Some(Self { subject: claims.get("sub")?.as_str()?.to_owned(), session_id, clients })
    }

    /// The client that sent the hint: the one that the request names, else the only one in the hint.
    ///
    /// # Errors
    /// `invalid_request` where the two disagree, or nobody can tell.
    pub fn client_id(&self, form: &Form) -> Result<ClientId, Error> {
        let named = form.get("client_id");
        let client = match (named, &self.clients[..]) {
            (None, [only]) => only.as_str(),
            (Some(named), all) if all.iter().any(|one| one == named) => named,
            (Some(_), _) => {
                return Err(Error::invalid_request("The id_token_hint was not issued to the client_id."));
            }
            (None, _) => return Err(Error::invalid_request("The parameter 'client_id' is missing.")),
        };
        ClientId::parse(client).map_err(|e| Error::invalid_request(e.to_string()))
    }
}

/// Where the browser goes after a logout that a client asked for: to one of its registered URIs, with the `state`;
/// `None` where it names none.
///
/// # Errors
/// `invalid_request` where the client is not registered for the URI.
pub fn return_to(client: &Client, form: &Form) -> Result<Option<String>, Error> {
    let Some(uri) = form.get("post_logout_redirect_uri") else { return Ok(None) };
    if !client.metadata.post_logout_redirect_uris.iter().any(|registered| registered.as_str() == uri) {
        return Err(Error::invalid_request(
            "The post_logout_redirect_uri is not one of those that the client is registered for.",
        ));
    }
    Ok(Some(with_state(uri, form.get("state"))))
}

/// A URI with the `state` in its query.
fn with_state(uri: &str, state: Option<&str>) -> String {
    match (state, Url::parse(uri)) {
        (Some(state), Ok(mut url)) => {
            url.query_pairs_mut().append_pair("state", state);
            url.into()
        }
        _ => uri.to_owned(),
    }
}

impl Logout {
    /// When the user must have agreed.
    pub fn expires_at(&self, limit: Duration) -> Timestamp {
        let limit = SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX);
        self.requested_at().checked_add(limit).unwrap_or(Timestamp::MAX)
    }

    /// When it was asked for.
    pub fn requested_at(&self) -> Timestamp {
        Timestamp::from_second(self.requested_at).unwrap_or(Timestamp::MIN)
    }

    /// The challenge as text.
    pub fn seal_challenge(&self, ring: &KeyRing, entropy: &Entropy) -> String {
        sealed::seal(ring, SealPurpose::LogoutChallenge, self, entropy)
    }

    /// Opens a challenge; `None` for anything else.
    pub fn open_challenge(ring: &KeyRing, text: &str) -> Option<Self> {
        sealed::open(ring, SealPurpose::LogoutChallenge, text)
    }

    /// The verifier as text.
    pub fn seal_verifier(&self, ring: &KeyRing, entropy: &Entropy) -> String {
        sealed::seal(ring, SealPurpose::LogoutVerifier, self, entropy)
    }

    /// Opens a verifier; `None` for anything else.
    pub fn open_verifier(ring: &KeyRing, text: &str) -> Option<Self> {
        sealed::open(ring, SealPurpose::LogoutVerifier, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn form(text: &str) -> Form {
        Form::parse(text.as_bytes()).unwrap()
    }

    fn hint(aud: &Value) -> Option<Hint> {
        let claims = json!({"sub": "alice", "sid": "6e1a1f2c-5f0e-4b52-9f8a-5f1f3f7e9b10", "aud": aud});
        Hint::of_claims(claims.as_object().unwrap())
    }

    #[test]
    fn a_hint_names_its_client() {
        let one = hint(&json!(["app"])).unwrap();
        let two = hint(&json!(["app", "other"])).unwrap();
        assert!(one.session_id.is_some());
        assert_eq!(hint(&json!("app")), Some(one.clone()));
        assert_eq!(hint(&json!(7)), None);
        for (hint, request, client) in [
            (&one, "", Some("app")),
            (&one, "client_id=app", Some("app")),
            (&one, "client_id=other", None),
            (&two, "", None),
            (&two, "client_id=other", Some("other")),
        ] {
            let got = hint.client_id(&form(request)).ok();
            assert_eq!(got.as_ref().map(ClientId::as_str), client, "{hint:?} {request}");
        }
    }

    #[test]
    fn the_state_joins_the_query_of_where_the_browser_goes() {
        assert_eq!(with_state("https://a/out?x=1", Some("a b&c")), "https://a/out?x=1&state=a+b%26c");
        assert_eq!(with_state("https://a/out", None), "https://a/out");
    }
}

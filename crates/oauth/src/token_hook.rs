//! Hooks (Hydra's `oauth2.token_hook` and `oauth2.refresh_token_hook`): what they are told of a token that is to be made,
//! and what they answer.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::consent::ConsentSession;
use crate::grant::{Grant, SessionClaims};
use crate::jwt_access_token::ClaimsPolicy;
use crate::{Audience, ClientId, Form, GrantType, Issuer, Scope, ScopeSet};

/// An instant that there is none of, as Go writes it.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The parameters of a token request that a hook is told. None of them is a credential but an assertion, which has been
/// used.
const TOLD: [&str; 5] = ["grant_type", "response_type", "scope", "client_id", "assertion"];

/// A token that is to be made.
#[derive(Debug)]
pub struct HookSubject<'a> {
    /// The issuer.
    pub issuer: &'a Issuer,
    /// The client.
    pub client_id: &'a ClientId,
    /// How it asks.
    pub grant_type: GrantType,
    /// Its request.
    pub form: &'a Form,
    /// What a user granted, where one did; else the client acts for itself.
    pub grant: Option<&'a Grant>,
    /// The scopes of the token.
    pub scope: &'a ScopeSet,
    /// Its audience.
    pub audience: &'a [Audience],
    /// Now.
    pub now: Timestamp,
    /// When the access token ends.
    pub access_token_ends: Timestamp,
    /// When the refresh token ends that is there or will be.
    pub refresh_token_ends: Option<Timestamp>,
    /// The claims of JWT access tokens.
    pub jwt: &'a ClaimsPolicy,
}

/// What a hook says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookAnswer {
    /// The claims stay as they are.
    Unchanged,
    /// These are the claims.
    Claims(ConsentSession),
    /// There is to be no token.
    Denied,
}

/// Why an answer says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHookAnswer {
    /// It has another status.
    #[error("it answered with the status {0}")]
    Status(u16),
    /// It is no such document. What it holds is not shown.
    #[error("its answer is no JSON with the claims of a session")]
    Document,
}

impl HookAnswer {
    /// Reads an answer.
    ///
    /// # Errors
    /// [`InvalidHookAnswer`].
    pub fn parse(status: u16, body: &[u8]) -> Result<Self, InvalidHookAnswer> {
        match status {
            200 => session(body).map(Self::Claims).ok_or(InvalidHookAnswer::Document),
            204 => Ok(Self::Unchanged),
            403 => Ok(Self::Denied),
            other => Err(InvalidHookAnswer::Status(other)),
        }
    }
}

/// The session of a document; none says that there are no claims.
fn session(body: &[u8]) -> Option<ConsentSession> {
    let mut document: Map<String, Value> = serde_json::from_slice(body).ok()?;
    match document.remove("session").unwrap_or_default() {
        Value::Null => Some(ConsentSession::default()),
        session @ Value::Object(_) => serde_json::from_value(session).ok(),
        _ => None,
    }
}

impl HookSubject<'_> {
    /// Whom the token is for.
    pub fn subject(&self) -> &str {
        self.grant.map_or(self.client_id.as_str(), |grant| &grant.login.subject)
    }

    /// What the token hook is told, where the token would have `claims`.
    pub fn token_request(&self, claims: &SessionClaims) -> Value {
        let payload: Map<String, Value> = TOLD
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), json!([self.form.get(name)?]))))
            .collect();
        json!({
            "session": self.session(claims),
            "request": {
                "client_id": self.client_id,
                "requested_scopes": self.scopes(),
                "granted_scopes": self.scopes(),
                "granted_audience": self.audience,
                "grant_types": [self.grant_type],
                "payload": payload,
            },
        })
    }

    /// What the refresh hook is told.
    pub fn refresh_request(&self, claims: &SessionClaims) -> Value {
        json!({
            "subject": self.subject(),
            "session": self.session(claims),
            "requester": {
                "client_id": self.client_id,
                "granted_scopes": self.scopes(),
                "granted_audience": self.audience,
                "grant_types": [self.grant_type],
            },
            "client_id": self.client_id,
            "granted_scopes": self.scopes(),
            "granted_audience": self.audience,
        })
    }

    fn scopes(&self) -> Vec<&str> {
        self.scope.iter().map(Scope::as_str).collect()
    }

    /// The session as Hydra has it. The claims of its ID token that are made with the token are not there yet.
    fn session(&self, claims: &SessionClaims) -> Value {
        let login = self.grant.map(|grant| &grant.login);
        let mut ext = claims.id_token();
        if let Some(login) = login {
            ext.insert("sid".to_owned(), login.session_id.to_string().into());
        }
        let instant =
            |second: i64| Timestamp::from_second(second).map_or(NEVER.to_owned(), |at| at.to_string());
        let started = self.grant.map(|grant| grant.id.started_at().as_second());
        json!({
            "id_token": {
                "id_token_claims": {
                    "jti": "",
                    "iss": self.issuer,
                    "sub": self.grant.map_or("", Grant::client_subject),
                    "aud": if login.is_some() { vec![self.client_id] } else { Vec::new() },
                    "nonce": self.grant.and_then(|grant| grant.nonce.as_deref()).unwrap_or_default(),
                    "exp": NEVER,
                    "iat": self.now.to_string(),
                    "rat": started.map_or(NEVER.to_owned(), instant),
                    "auth_time": login.map_or(NEVER.to_owned(), |login| instant(login.authenticated_at)),
                    "at_hash": "",
                    "acr": login.map_or("", |login| &login.acr),
                    "amr": login.map_or(&[][..], |login| &login.amr),
                    "c_hash": "",
                    "ext": ext,
                },
                "headers": {"extra": {}},
                "expires_at": {
                    "access_token": self.access_token_ends.to_string(),
                    "refresh_token": self.refresh_token_ends.map_or(NEVER.to_owned(), |at| at.to_string()),
                    "authorize_code": NEVER,
                },
                "username": "",
                "subject": self.subject(),
            },
            "extra": claims.access_token(),
            "kid": "",
            "client_id": self.client_id,
            "consent_challenge": self.grant.map(|grant| grant.id.to_string()).unwrap_or_default(),
            "exclude_not_before_claim": self.jwt.exclude_not_before,
            "allowed_top_level_claims": self.jwt.added.top_level,
            "mirror_top_level_claims": self.jwt.added.mirror,
            "preserve_ext_claims": self.jwt.added.preserve_ext,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::example;
    use crate::jwt_access_token::AddedClaims;

    #[test]
    fn an_answer_is_told_by_its_status() {
        let claims =
            HookAnswer::parse(200, br#"{"session":{"access_token":{"a":1},"id_token":null}}"#).unwrap();
        let HookAnswer::Claims(session) = claims else { panic!("{claims:?}") };
        assert_eq!((session.access_token.len(), session.id_token.len()), (1, 0));
        assert_eq!(HookAnswer::parse(200, b"{}"), Ok(HookAnswer::Claims(ConsentSession::default())));
        assert_eq!(HookAnswer::parse(204, b""), Ok(HookAnswer::Unchanged));
        assert_eq!(HookAnswer::parse(403, b"no"), Ok(HookAnswer::Denied));
        for (status, body) in
            [(200, "x"), (200, "[]"), (200, r#"{"session":[]}"#), (200, r#"{"session":{"access_token":7}}"#)]
        {
            let answer = HookAnswer::parse(status, body.as_bytes());
            assert_eq!(answer, Err(InvalidHookAnswer::Document), "{body}");
        }
        for status in [201, 302, 400, 404, 500] {
            assert_eq!(HookAnswer::parse(status, b"{}"), Err(InvalidHookAnswer::Status(status)));
        }
    }

    #[test]
    fn a_hook_is_told_who_asks_for_what_and_no_credential() {
        let (issuer, grant) = (Issuer::parse("https://id.example.com/").unwrap(), example());
        let form = "grant_type=refresh_token&scope=openid&client_secret=hush&refresh_token=hush&code=hush";
        let form = Form::parse(form.as_bytes()).unwrap();
        let policy = ClaimsPolicy {
            added: AddedClaims { top_level: vec!["role".to_owned()], mirror: false, preserve_ext: true },
            ..ClaimsPolicy::default()
        };
        let client = |grant| {
            HookSubject {
                issuer: &issuer,
                client_id: &example_client(),
                grant_type: GrantType::RefreshToken,
                form: &form,
                grant,
                scope: &example().scope,
                audience: &[],
                now: Timestamp::from_second(1_800_000_100).unwrap(),
                access_token_ends: Timestamp::from_second(1_800_003_700).unwrap(),
                refresh_token_ends: None,
                jwt: &policy,
            }
            .token_request(&SessionClaims::default())
        };
        let told = client(Some(&grant));
        let session = &told["session"];
        assert_eq!(told["request"]["payload"], json!({"grant_type": ["refresh_token"], "scope": ["openid"]}));
        assert_eq!(told["request"]["grant_types"], json!(["refresh_token"]));
        assert_eq!(told["request"]["granted_scopes"], json!(["openid", "offline"]));
        assert_eq!(session["id_token"]["subject"], "alice");
        let claims = &session["id_token"]["id_token_claims"];
        assert_eq!(claims["ext"], json!({"sid": grant.login.session_id.to_string()}));
        assert_eq!((&claims["auth_time"], &claims["exp"]), (&json!("2027-01-15T08:00:10Z"), &json!(NEVER)));
        assert!(!told.to_string().contains("hush"));
        assert_eq!(session["allowed_top_level_claims"], json!(["role"]));
        assert_eq!(session["mirror_top_level_claims"], false);
        assert_eq!(session["preserve_ext_claims"], true);
        let itself = client(None);
        assert_eq!(itself["session"]["id_token"]["subject"], "app");
        assert_eq!(itself["session"]["id_token"]["id_token_claims"]["ext"], json!({}));
    }

    fn example_client() -> ClientId {
        ClientId::parse("app").unwrap()
    }
}

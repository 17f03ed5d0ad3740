//! Logout tokens (OpenID Connect Back-Channel Logout §2.4): they tell a client that a login has ended.

use jiff::{SignedDuration, Timestamp};
use jose::Entropy;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{ClientId, Issuer, SessionId};

/// The `typ` header.
pub const TYP: &str = "logout+jwt";

/// The member of `events` that makes it a logout token.
pub const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// How long one is good for. Each attempt to deliver has one of its own.
pub const LIFETIME: SignedDuration = SignedDuration::from_mins(2);

/// What a logout token says. It has no `nonce`, so that it passes for no ID token.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "the claims of Back-Channel Logout §2.4")]
pub struct LogoutToken<'a> {
    pub iss: &'a Issuer,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<&'a str>,
    pub aud: [&'a ClientId; 1],
    pub iat: i64,
    pub exp: i64,
    pub jti: String,
    pub events: Map<String, Value>,
    pub sid: SessionId,
}

impl<'a> LogoutToken<'a> {
    /// Tells `client` that the login of `subject` in `session` has ended; the session alone names it where the client knows
    /// the user by another name. It ends at `expires_at`.
    pub fn new(
        issuer: &'a Issuer,
        client: &'a ClientId,
        (session, subject): (SessionId, Option<&'a str>),
        (now, expires_at): (Timestamp, Timestamp),
        entropy: &Entropy,
    ) -> Self {
        Self {
            iss: issuer,
            sub: subject,
            aud: [client],
            iat: now.as_second(),
            exp: expires_at.as_second(),
            jti: uuid::Builder::from_random_bytes(entropy.bytes()).into_uuid().to_string(),
            events: Map::from_iter([(EVENT.to_owned(), Value::Object(Map::new()))]),
            sid: session,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_logout_token_names_the_session_the_user_and_the_event() {
        let issuer = Issuer::parse("https://id.example.com/").unwrap();
        let (client, sid) = (ClientId::parse("app").unwrap(), "6e1a1f2c-5f0e-4b52-9f8a-5f1f3f7e9b10");
        let at = |second| Timestamp::from_second(second).unwrap();
        let session = (sid.parse().unwrap(), Some("alice"));
        let token = LogoutToken::new(&issuer, &client, session, (at(100), at(220)), &Entropy::seeded(1));
        let claims = serde_json::to_value(&token).unwrap();
        assert_eq!(
            claims,
            json!({
                "iss": "https://id.example.com/",
                "sub": "alice",
                "aud": ["app"],
                "iat": 100,
                "exp": 220,
                "jti": token.jti,
                "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
                "sid": sid,
            })
        );
    }
}

//! Hydra's sessions: what was granted with a token.

use jiff::Timestamp;
use jose::HydraSecret;
use oauth::grant::{Grant, SessionClaims};
use oauth::imported_token::ImportedId;
use oauth::login::Login;
use oauth::{ClientId, GrantId, SessionId};
use serde::Deserialize;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::KnownClient;
use super::source::Row;
use super::value::{audience, scopes, text};

/// The members of a session that count here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Session {
    id_token: IdTokenSession,
    extra: Option<Map<String, Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct IdTokenSession {
    id_token_claims: Option<IdTokenClaims>,
    expires_at: Option<ExpiresAt>,
    subject: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct IdTokenClaims {
    sub: String,
    nonce: String,
    auth_time: Option<Timestamp>,
    acr: String,
    amr: Option<Vec<String>>,
    ext: Option<Map<String, Value>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ExpiresAt {
    refresh_token: Option<Timestamp>,
}

/// How long before the epoch Go's zero time lies is of no matter: no token ended then.
fn is_set(at: &Timestamp) -> bool {
    at.as_second() > 0
}

impl Session {
    /// Reads the session of a token: JSON, or sealed.
    ///
    /// # Errors
    /// Where no secret opens it, or it is no session.
    pub(super) fn read(row: &Row, secrets: &[HydraSecret]) -> Result<Self, String> {
        let data = text(row, "session_data");
        let json = if data.trim_start().starts_with('{') {
            Zeroizing::new(data.as_bytes().to_vec())
        } else {
            let opened = secrets.iter().find_map(|secret| secret.open(data).ok());
            opened.ok_or("none of the given secrets opens its session")?
        };
        serde_json::from_slice(&json).map_err(|_| "its session is none that this version knows".to_owned())
    }

    /// When its refresh token ends; `None` where it lives until it is revoked.
    pub(super) fn refresh_token_ends(&self) -> Option<Timestamp> {
        self.id_token.expires_at.as_ref()?.refresh_token.filter(is_set)
    }

    /// What was granted.
    ///
    /// # Errors
    /// Naming the column at fault.
    pub(super) fn grant(
        self,
        row: &Row,
        (client_id, client): (ClientId, KnownClient),
        (id, started_at): (GrantId, Timestamp),
    ) -> Result<Grant, String> {
        let claims = self.id_token.id_token_claims.unwrap_or_default();
        let subject = Some(self.id_token.subject).filter(|subject| !subject.is_empty());
        let subject = subject.unwrap_or_else(|| text(row, "subject").to_owned());
        if subject.is_empty() {
            return Err("it is nobody's: it has no subject".to_owned());
        }
        let mut id_token = claims.ext.unwrap_or_default();
        let sid = id_token.remove("sid");
        let sid = sid.as_ref().and_then(Value::as_str).unwrap_or_else(|| text(row, "flow_session_id"));
        let known_as = Some(claims.sub).filter(|known_as| !known_as.is_empty() && *known_as != subject);
        Ok(Grant {
            id,
            client_id,
            incarnation: client.incarnation,
            epoch: client.epoch,
            login: Login {
                session_id: session_id(sid, text(row, "request_id")),
                subject,
                authenticated_at: claims.auth_time.filter(is_set).unwrap_or(started_at).as_second(),
                acr: claims.acr,
                amr: claims.amr.unwrap_or_default(),
            },
            pairwise_subject: known_as,
            scope: scopes(row, "granted_scope")?,
            audience: audience(row, "granted_audience")?,
            nonce: Some(claims.nonce).filter(|nonce| !nonce.is_empty()),
            claims: SessionClaims::new(&self.extra.unwrap_or_default(), &id_token),
            placement: oauth::claims_request::ClaimsPlacement::default(),
        })
    }
}

/// Our id for a flow of Hydra's, and for what else is told of it: the same each time.
pub(super) fn flow_id(started_at: Timestamp, names: &[&str]) -> GrantId {
    let parts: Vec<&[u8]> = names.iter().map(|name| name.as_bytes()).collect();
    let ImportedId(digest) = ImportedId::new("flow", &parts);
    let mut random = [0; 10];
    random.copy_from_slice(&digest[..10]);
    GrantId::of_flow(started_at, random)
}

/// The id of a login session, or one made of the flow's name where Hydra had none that is a UUID.
pub(super) fn session_id(text: &str, flow: &str) -> SessionId {
    text.parse().unwrap_or_else(|_| {
        let ImportedId(digest) = ImportedId::new("session", &[flow.as_bytes()]);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        SessionId::from_bytes(bytes)
    })
}

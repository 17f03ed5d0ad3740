//! The `login_sessions` table: logins that are remembered, so that the next flow need not ask again.

use std::collections::HashSet;
use std::sync::LazyLock;

use const_format::concatcp;
use jiff::Timestamp;
use oauth::{ClientId, IdentityProviderSessionId, Incarnation, SessionId};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::coalesce::{BatchText, Coalesced};
use crate::consents::{StoredConsent, joined_consent};
use crate::database::Database;
use crate::grants::{instant, session_id};
use crate::logouts::ENDED;
use crate::revocations::{HITS_SESSION, session_key, subject_key};
use crate::{Error, Store};

/// A login that is to be remembered.
#[derive(Debug, Clone)]
pub struct NewLogin {
    /// The session's id.
    pub id: SessionId,
    /// Who logged in.
    pub subject: String,
    /// What is known of the login, sealed.
    pub content: Vec<u8>,
    /// When the flow began in which it was made: a login that was ended since then is not remembered.
    pub started_at: Timestamp,
    /// Until when it is remembered.
    pub expires_at: Timestamp,
    /// The session at the identity provider that it was made in. Without one, a session that is remembered already keeps
    /// its own.
    pub identity_provider_session: Option<IdentityProviderSessionId>,
}

/// A login that is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSession {
    /// Who logged in.
    pub subject: String,
    /// What is known of the login, sealed.
    pub content: Vec<u8>,
    /// When the session began.
    pub created_at: Timestamp,
    /// Until when it is remembered.
    pub expires_at: Timestamp,
}

const SESSION_AND_CONSENT: &str = concatcp!(
    "SELECT login_sessions.subject, login_sessions.content, login_sessions.created_at, login_sessions.expires_at, \
     k.client_id, k.incarnation, k.consent_request_id, k.content, k.granted_at, k.expires_at \
     FROM login_sessions LEFT JOIN consents k ON k.subject = login_sessions.subject AND k.client_id = $2 \
     AND k.incarnation = $3 AND (k.expires_at IS NULL OR k.expires_at > $4) \
     WHERE login_sessions.id = $1 AND login_sessions.expires_at > $4 AND NOT ",
    HITS_SESSION,
    " AND NOT ",
    ENDED
);

const SESSION: &str = concatcp!(
    "SELECT login_sessions.subject, login_sessions.content, login_sessions.created_at, login_sessions.expires_at \
     FROM login_sessions WHERE login_sessions.id = $1 AND login_sessions.expires_at > $2 AND NOT ",
    HITS_SESSION,
    " AND NOT ",
    ENDED
);

/// What is asked, one row for each login.
const ASKED: &str =
    "WITH asked (ask, id, subject, content, now, ends, session_key, subject_key, started_at, provider) AS (";

/// A row for each login that was not ended since its flow started. They are locked in the order of their ids.
const REMEMBER: &str = ") INSERT INTO login_sessions (id, subject, content, created_at, expires_at, \
    identity_provider_session_id) \
    SELECT asked.id, asked.subject, asked.content, asked.now, asked.ends, asked.provider FROM asked \
    WHERE NOT EXISTS (SELECT 1 FROM revocations r WHERE r.key = asked.session_key) \
    AND NOT EXISTS (SELECT 1 FROM logouts o WHERE o.client_id = '' \
    AND o.key IN (asked.session_key, asked.subject_key) AND o.ended_at >= asked.started_at) \
    ORDER BY asked.ask ON CONFLICT (id) DO UPDATE \
    SET subject = excluded.subject, content = excluded.content, expires_at = excluded.expires_at, \
    identity_provider_session_id = \
    COALESCE(excluded.identity_provider_session_id, login_sessions.identity_provider_session_id) RETURNING id";

static REMEMBER_TEXT: LazyLock<BatchText> = LazyLock::new(|| BatchText::new(ASKED, 10, REMEMBER));

impl Store {
    /// Remembers a login. A session that is remembered already is overwritten, and keeps the time at which it began. One
    /// statement, which others that come meanwhile share.
    ///
    /// # Guarantees
    /// A session that was ended does not come back: whoever kept the answer of a login cannot use it once more. False
    /// where it was ended, or all of its subject's were since the flow began.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn remember_login(&self, login: &NewLogin) -> Result<bool, Error> {
        let (login, now) = (login.clone(), self.clock().now());
        self.lines().new_logins.call(Remembering { login, now }).await
    }

    /// A login session; `None` where it is unknown, expired, ended or revoked. One statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn login_session(&self, id: SessionId) -> Result<Option<StoredSession>, Error> {
        let now = self.clock().now().as_second();
        let query = self.db().query(SESSION).bind(id.to_string()).bind(now);
        let Some(row) = self.db().fetch_optional(query).await? else { return Ok(None) };
        Ok(Some(session(&row)?))
    }

    /// A login session, and the consent that its subject gave this client, where one is remembered. One statement.
    /// `None` where the session is unknown, expired, ended or revoked.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn session_and_consent(
        &self,
        id: SessionId,
        client: &ClientId,
        incarnation: Incarnation,
    ) -> Result<Option<(StoredSession, Option<StoredConsent>)>, Error> {
        let query = self
            .db()
            .query(SESSION_AND_CONSENT)
            .bind(id.to_string())
            .bind(client.to_string())
            .bind(incarnation.0)
            .bind(self.clock().now().as_second());
        let Some(row) = self.db().fetch_optional(query).await? else { return Ok(None) };
        Ok(Some((session(&row)?, joined_consent(&row, 4)?)))
    }
}

/// A login on its way to the database.
pub(crate) struct Remembering {
    login: NewLogin,
    now: Timestamp,
}

impl Coalesced for Remembering {
    const OPERATION: &'static str = "remember a login";

    type Outcome = bool;

    const WRITES: bool = true;

    fn key(&self) -> [u8; 16] {
        *self.login.id.as_bytes()
    }

    async fn execute(database: &Database, batch: &[Self]) -> Result<Vec<bool>, Error> {
        let mut query = database.query(REMEMBER_TEXT.of(batch.len()));
        for Self { login, now } in batch {
            query = query
                .bind(login.id.as_bytes().to_vec())
                .bind(login.id.to_string())
                .bind(login.subject.clone())
                .bind(login.content.clone())
                .bind(now.as_second())
                .bind(login.expires_at.as_second())
                .bind(session_key(login.id))
                .bind(subject_key(&login.subject))
                .bind(login.started_at.as_second())
                .bind(login.identity_provider_session.clone().map(String::from));
        }
        let rows = database.fetch_all(query).await?;
        let written = rows.iter().map(|row| session_id(row, 0)).collect::<Result<HashSet<_>, _>>()?;
        Ok(batch.iter().map(|remembering| written.contains(&Some(remembering.login.id))).collect())
    }
}

fn session(row: &AnyRow) -> Result<StoredSession, Error> {
    Ok(StoredSession {
        subject: row.try_get(0)?,
        content: row.try_get(1)?,
        created_at: instant(row, 2)?,
        expires_at: instant(row, 3)?,
    })
}

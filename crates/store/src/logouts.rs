//! The `logouts` table: the ends of logins, and who is told of them: clients, and the identity provider.
//!
//! One statement writes both, so that no login ends without its clients being told, whatever becomes of the process.
//! Which clients take part, the grants of the session say: [`NewGrant::expires_at`](crate::NewGrant) keeps those long
//! enough. Each is told at least once, and by one server at a time.

use const_format::concatcp;
use jiff::{SignedDuration, Timestamp};
use oauth::{ClientId, IdentityProviderSessionId, Incarnation, SessionId};
use serde_json::Value;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, Row};

use crate::grants::{client_id, instant, session_id};
use crate::revocations::{KEPT_FOR, session_key, subject_key};
use crate::{Dialect, Error, Store};

/// For how long a client is told that does not listen.
pub const TOLD_FOR: SignedDuration = SignedDuration::from_hours(24);

/// For how long a server has a client to itself that it is telling. It is longer than any attempt takes.
const LEASE: SignedDuration = SignedDuration::from_secs(60);

/// SQL: true where the login of a row of `login_sessions` was ended.
pub(crate) const ENDED: &str = "EXISTS (SELECT 1 FROM logouts o WHERE o.client_id = '' \
    AND o.key IN ('session:' || login_sessions.id, 'subject:' || login_sessions.subject) \
    AND o.ended_at >= login_sessions.created_at)";

/// Somebody whom a server is to tell of a logout, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueLogout {
    key: String,
    attempt: [u8; 16],
    /// Who is told of what.
    pub notice: LogoutNotice,
    /// How often it was tried, this time included.
    pub attempts: u32,
    /// When the server gives up.
    pub expires_at: Timestamp,
}

/// Who is told of a logout, and what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogoutNotice {
    /// A client, of the end of a login.
    Client {
        /// The client.
        client_id: ClientId,
        /// The client's when it got what belongs to the session; as another one it is not told.
        incarnation: Incarnation,
        /// The session that ended.
        session_id: SessionId,
        /// Whose login it was.
        subject: String,
    },
    /// The identity provider, that a session of its own is to end.
    IdentityProvider(IdentityProviderSessionId),
}

/// One who is told of logouts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LogoutRecipient {
    /// A client.
    Client(ClientId),
    /// The identity provider.
    IdentityProvider,
}

impl LogoutNotice {
    /// Who is told.
    pub fn recipient(&self) -> LogoutRecipient {
        match self {
            Self::Client { client_id, .. } => LogoutRecipient::Client(client_id.clone()),
            Self::IdentityProvider(_) => LogoutRecipient::IdentityProvider,
        }
    }
}

impl LogoutRecipient {
    /// What the column `client_id` has for it.
    fn column(&self) -> &str {
        match self {
            Self::Client(id) => id.as_str(),
            Self::IdentityProvider => "",
        }
    }
}

const INSERT: &str = "INSERT INTO logouts (key, client_id, incarnation, session_id, subject, ended_at, due_at, \
    attempts, expires_at, identity_provider_session_id) ";

// The members as they are written in what is registered. Where a client's own JSON says the same, it has no such URI when
// it is to be told, and is left alone.
const HAS_BACK_CHANNEL: &str = "c.metadata LIKE '%\"backchannel_logout_uri\":\"%'";
const HAS_FRONT_CHANNEL: &str = "c.metadata LIKE '%\"frontchannel_logout_uri\":\"%'";

const END_OF_SESSION: &str = "SELECT $1, '', NULL, $2, NULL, $3, NULL, 0, $5, NULL";

const END_OF_SUBJECT: &str = "SELECT $1, '', NULL, NULL, $2, $3, NULL, 0, $5, NULL";

/// The session at the identity provider, where the login is remembered and was not ended before. Neither session nor
/// subject: the row is no end of a login. The type is that of the clients' rows below.
const PROVIDER: &str = concatcp!(
    " UNION ALL SELECT 'identity_provider:' || login_sessions.id, '', CAST(NULL AS BIGINT), NULL, NULL, $3, $4, 0, $6, \
     login_sessions.identity_provider_session_id FROM login_sessions WHERE login_sessions.id = $2 \
     AND login_sessions.identity_provider_session_id IS NOT NULL AND login_sessions.expires_at > $4 AND NOT ",
    ENDED
);

/// The clients of sessions, each once; due at once, or never where only the browser tells it.
const CLIENTS: &str = concatcp!(
    " UNION ALL SELECT 'session:' || g.session_id, g.client_id, c.incarnation, g.session_id, MIN(g.subject), $3, \
     MAX(CASE WHEN ",
    HAS_BACK_CHANNEL,
    " THEN $4 END), 0, $6, NULL FROM grants g JOIN clients c ON c.id = g.client_id AND c.incarnation = g.incarnation WHERE "
);

const EACH_ONCE: &str = " GROUP BY g.session_id, g.client_id, c.incarnation \
    ON CONFLICT (key, client_id) DO UPDATE SET ended_at = excluded.ended_at, expires_at = excluded.expires_at";

const END_LOGIN: &str = concatcp!(
    INSERT,
    END_OF_SESSION,
    PROVIDER,
    CLIENTS,
    "g.session_id = $2 AND g.subject IS NOT NULL AND (",
    HAS_BACK_CHANNEL,
    " OR ",
    HAS_FRONT_CHANNEL,
    ")",
    EACH_ONCE,
    " RETURNING client_id"
);

const IS_UNKNOWN: &str = "NOT EXISTS (SELECT 1 FROM login_sessions s WHERE s.id = $2 AND s.expires_at > $4) \
    AND NOT EXISTS (SELECT 1 FROM logouts o WHERE o.key = $1 AND o.client_id = '')";

const END_UNREMEMBERED_LOGIN: &str = concatcp!(
    INSERT,
    END_OF_SESSION,
    " WHERE ",
    IS_UNKNOWN,
    CLIENTS,
    "g.session_id = $2 AND g.client_id = $7 AND g.subject IS NOT NULL AND ",
    HAS_BACK_CHANNEL,
    " AND ",
    IS_UNKNOWN,
    EACH_ONCE
);

const END_LOGINS_OF: &str = concatcp!(
    INSERT,
    END_OF_SUBJECT,
    CLIENTS,
    "g.subject = $2 AND g.session_id IS NOT NULL AND ",
    HAS_BACK_CHANNEL,
    EACH_ONCE
);

const DUE: &str = "WITH due AS MATERIALIZED (SELECT key AS due_key, client_id AS due_client FROM logouts \
    WHERE due_at <= $1 AND client_id NOT IN (";

const CLAIM: &str = "UPDATE logouts SET due_at = $2, attempts = attempts + 1, attempt = $3 FROM due \
    WHERE key = due_key AND client_id = due_client \
    RETURNING key, client_id, incarnation, session_id, subject, attempts, expires_at, identity_provider_session_id";

const CLAIM_POSTGRES: &str = concatcp!(
    DUE,
    "SELECT jsonb_array_elements_text(CAST($4 AS jsonb))) ORDER BY due_at LIMIT $5 FOR UPDATE SKIP LOCKED) ",
    CLAIM
);

// SQLite has one writer at a time.
const CLAIM_SQLITE: &str =
    concatcp!(DUE, "SELECT value FROM json_each($4)) ORDER BY due_at LIMIT $5) ", CLAIM);

impl Store {
    /// Ends a login, and has its clients told, and the identity provider. Its grants stay; [`Store::revoke_session`]
    /// ends those. One statement; the clients that are to be told, by the server or by the browser.
    ///
    /// # Guarantees
    /// The login is not remembered again for as long as its flow may go on. A client that got something in the session is
    /// told, unless it got it while this statement was under way. The identity provider is told of a remembered login
    /// whose session there is known.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: whether it was ended is not known; ending it again is as good as once.
    pub async fn end_login(&self, id: SessionId) -> Result<Vec<ClientId>, Error> {
        let times = (self.clock().now(), i64::MAX);
        let query = self.ending(END_LOGIN, session_key(id), id.to_string(), times);
        let rows = self.db().fetch_all(query).await?;
        let clients = rows.iter().filter(|row| !is_no_clients(row)).map(|row| client_id(row, 0));
        clients.collect()
    }

    /// Has a client told of the end of a login that no browser remembers: in a session that is not among the remembered
    /// ones and was not ended before. Other clients, which took part while it was remembered, are not told: all that asks
    /// for it is a token of this client, and tokens are kept in many places. One statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn end_unremembered_login(&self, id: SessionId, client: &ClientId) -> Result<(), Error> {
        let times = (self.clock().now(), i64::MAX);
        let query = self.ending(END_UNREMEMBERED_LOGIN, session_key(id), id.to_string(), times);
        self.db().execute(query.bind(client.to_string())).await?;
        Ok(())
    }

    /// Ends all logins of a subject, those of flows under way among them, and has their clients told, session by session.
    /// Their grants stay. One statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn end_logins_of(&self, subject: &str) -> Result<(), Error> {
        let now = self.clock().now();
        let times = (now, now.as_second());
        let query = self.ending(END_LOGINS_OF, subject_key(subject), subject.to_owned(), times);
        self.db().execute(query).await?;
        Ok(())
    }

    /// Binds one of the statements that end logins: `of` is the session's id, or the subject; what began up to `ended_at`
    /// has ended.
    fn ending(
        &self,
        sql: &'static str,
        key: String,
        of: String,
        (now, ended_at): (Timestamp, i64),
    ) -> Query<'static, Any, AnyArguments> {
        let query = self.db().query(sql).bind(key).bind(of).bind(ended_at).bind(now.as_second());
        query.bind(until(now, KEPT_FOR)).bind(until(now, TOLD_FOR))
    }

    /// Forgets a login: another one took its place in the browser. That is no logout, and nobody is told. One statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn forget_login(&self, id: SessionId) -> Result<(), Error> {
        let query = self
            .db()
            .query(
                "INSERT INTO logouts (key, client_id, session_id, ended_at, attempts, expires_at) \
                 VALUES ($1, '', $2, $3, 0, $4) ON CONFLICT (key, client_id) DO UPDATE \
                 SET ended_at = excluded.ended_at, expires_at = excluded.expires_at",
            )
            .bind(session_key(id))
            .bind(id.to_string())
            .bind(i64::MAX)
            .bind(until(self.clock().now(), KEPT_FOR));
        self.db().execute(query).await?;
        Ok(())
    }

    /// Takes up to `limit` of those that are to be told now, those that waited longest first, and none of `but`. Until
    /// the minute is over nobody else gets them. One statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: what was taken comes again after that minute.
    pub async fn claim_logouts(&self, limit: i64, but: &[LogoutRecipient]) -> Result<Vec<DueLogout>, Error> {
        let now = self.clock().now();
        let attempt: [u8; 16] = self.entropy().bytes();
        let but: Value = but.iter().map(LogoutRecipient::column).collect();
        let claim = match self.db().dialect() {
            Dialect::Postgres => CLAIM_POSTGRES,
            Dialect::Sqlite => CLAIM_SQLITE,
        };
        let query = self
            .db()
            .query(claim)
            .bind(now.as_second())
            .bind(until(now, LEASE))
            .bind(attempt.to_vec())
            .bind(but.to_string())
            .bind(limit);
        let rows = self.db().fetch_all(query).await?;
        // A newer server may have queued what this one does not know: that holds up nothing else.
        let read = rows.iter().map(|row| due(row, attempt));
        let known = read.filter_map(|due| {
            due.inspect_err(|error| tracing::warn!(%error, "a logout to be told cannot be read")).ok()
        });
        Ok(known.collect())
    }

    /// Somebody was told, or need not be any more. One statement; nothing happens where another attempt has begun.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: it is told once more.
    pub async fn settle_logout(&self, due: &DueLogout) -> Result<(), Error> {
        let query = self
            .db()
            .query("DELETE FROM logouts WHERE key = $1 AND client_id = $2 AND attempt = $3")
            .bind(due.key.clone())
            .bind(due.notice.recipient().column().to_owned())
            .bind(due.attempt.to_vec());
        self.db().execute(query).await?;
        Ok(())
    }

    /// Somebody is to be told once more at `at`. `attempts` is how often it was tried. One statement; nothing happens
    /// where another attempt has begun.
    ///
    /// # Errors
    /// [`Error::Unavailable`]: it is told when the minute of the attempt is over.
    pub async fn postpone_logout(&self, due: &DueLogout, attempts: u32, at: Timestamp) -> Result<(), Error> {
        let query = self
            .db()
            .query(
                "UPDATE logouts SET due_at = $4, attempts = $5 WHERE key = $1 AND client_id = $2 AND attempt = $3",
            )
            .bind(due.key.clone())
            .bind(due.notice.recipient().column().to_owned())
            .bind(due.attempt.to_vec())
            .bind(at.as_second())
            .bind(i64::from(attempts));
        self.db().execute(query).await?;
        Ok(())
    }
}

fn until(now: Timestamp, time: SignedDuration) -> i64 {
    now.saturating_add(time).unwrap_or(Timestamp::MAX).as_second()
}

/// A row that is the end itself, or the identity provider's.
fn is_no_clients(row: &AnyRow) -> bool {
    row.try_get::<String, _>(0).is_ok_and(|client| client.is_empty())
}

fn due(row: &AnyRow, attempt: [u8; 16]) -> Result<DueLogout, Error> {
    let notice = match row.try_get::<Option<String>, _>(7)? {
        Some(id) => LogoutNotice::IdentityProvider(
            IdentityProviderSessionId::parse(id)
                .map_err(Error::unreadable("identity_provider_session_id"))?,
        ),
        None => LogoutNotice::Client {
            client_id: client_id(row, 1)?,
            incarnation: Incarnation(row.try_get(2)?),
            session_id: session_id(row, 3)?
                .ok_or_else(|| Error::Corrupt("a logout without its session".to_owned()))?,
            subject: row.try_get(4)?,
        },
    };
    Ok(DueLogout {
        key: row.try_get(0)?,
        attempt,
        notice,
        attempts: u32::try_from(row.try_get::<i64, _>(5)?).unwrap_or(u32::MAX),
        expires_at: instant(row, 6)?,
    })
}

//! The `revocations` table: what ends all grants of a subject, of a subject at a client, or of a login session.
//!
//! A revocation is one row, which each statement that redeems, refreshes or looks at a grant tests: so it also stops
//! codes that are still in flight. It is only forgotten when the grants that it hits are marked themselves.

use jiff::{SignedDuration, Timestamp};
use oauth::{ClientId, SessionId};

use crate::{Error, Store};

/// How long a flow may take from its start to the exchange of its code: a day. Codes of older ones are refused, and
/// revocations are kept for longer. A token for a subject that has no row, which nothing marks, lives no longer either. A configured lifetime of challenges and codes that adds up to more has no effect.
pub const MAX_FLOW_AGE: SignedDuration = SignedDuration::from_hours(24);

/// How long a revocation is kept at least: until no code from before it can be exchanged, on a server whose clock is an
/// hour behind.
pub(crate) const KEPT_FOR: SignedDuration = SignedDuration::from_hours(25);

/// For how much longer a revocation of a subject, and a revoked grant, are kept where something was taken over from another
/// server: a later import may bring grants from before it, of which there is no row yet that could be marked.
pub(crate) const KEPT_FOR_IMPORTS: SignedDuration = SignedDuration::from_hours(30 * 24);

/// SQL: true where a revocation hits the row of `grants`. The keys are those of the functions below.
pub(crate) const HITS_GRANT: &str = "EXISTS (SELECT 1 FROM revocations r \
    WHERE r.key IN ('subject:' || grants.subject, \
    'subject-client:' || grants.client_id || ' ' || grants.subject, \
    'session:' || grants.session_id) AND r.before >= grants.started_at)";

/// SQL: true where the session of a row of `login_sessions` was revoked.
pub(crate) const HITS_SESSION: &str =
    "EXISTS (SELECT 1 FROM revocations r WHERE r.key = 'session:' || login_sessions.id)";

/// The key of a revocation of all grants of a subject.
pub(crate) fn subject_key(subject: &str) -> String {
    format!("subject:{subject}")
}

/// The key of a revocation of a subject's grants at one client. Client ids have no spaces, so no two pairs share a key.
pub(crate) fn subject_client_key(subject: &str, client: &ClientId) -> String {
    format!("subject-client:{client} {subject}")
}

/// The key of a revocation of all grants of a login session.
pub(crate) fn session_key(session: SessionId) -> String {
    format!("session:{session}")
}

/// One row.
struct Revocation {
    key: String,
    subject: Option<String>,
    client_id: Option<String>,
    session_id: Option<String>,
    /// In seconds; that of a session lies at the end of time.
    before: i64,
}

impl Store {
    /// Revokes all grants of a subject whose flows started until now, codes in flight among them: at one client, or at
    /// all. One statement; doing it twice is as good as once.
    ///
    /// A flow that starts later in the same second is hit as well. Remembered logins and consents stay; a consent of a
    /// flow that is under way is not remembered any more.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn revoke_subject(&self, subject: &str, client: Option<&ClientId>) -> Result<(), Error> {
        let key = match client {
            None => subject_key(subject),
            Some(client) => subject_client_key(subject, client),
        };
        let now = self.clock().now();
        let revocation = Revocation {
            key,
            subject: Some(subject.to_owned()),
            client_id: client.map(ClientId::to_string),
            session_id: None,
            before: now.as_second(),
        };
        self.write_revocation(revocation, now).await
    }

    /// Revokes all grants of a login session, whenever their flows started, and ends the session: its id is not accepted
    /// again. One statement; doing it twice is as good as once.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn revoke_session(&self, session: SessionId) -> Result<(), Error> {
        let revocation = Revocation {
            key: session_key(session),
            subject: None,
            client_id: None,
            session_id: Some(session.to_string()),
            before: i64::MAX,
        };
        self.write_revocation(revocation, self.clock().now()).await
    }

    async fn write_revocation(&self, revocation: Revocation, now: Timestamp) -> Result<(), Error> {
        let kept_until = now.saturating_add(KEPT_FOR).unwrap_or(Timestamp::MAX);
        let for_imports = revocation.subject.as_ref().map_or(0, |_| KEPT_FOR_IMPORTS.as_secs());
        // Of two servers whose clocks differ, the later one counts; and what was to be kept for longer stays for longer.
        let query = self
            .db()
            .query(
                "INSERT INTO revocations (key, subject, client_id, session_id, before, expires_at) \
                 VALUES ($1, $2, $3, $4, $5, \
                 $6 + CASE WHEN (SELECT 1 FROM imported ORDER BY id LIMIT 1) IS NULL THEN 0 ELSE $7 END) \
                 ON CONFLICT (key) DO UPDATE \
                 SET before = CASE WHEN revocations.before > excluded.before THEN revocations.before \
                 ELSE excluded.before END, \
                 expires_at = CASE WHEN revocations.expires_at > excluded.expires_at THEN revocations.expires_at \
                 ELSE excluded.expires_at END \
                 WHERE revocations.before < excluded.before OR revocations.expires_at < excluded.expires_at",
            )
            .bind(revocation.key)
            .bind(revocation.subject)
            .bind(revocation.client_id)
            .bind(revocation.session_id)
            .bind(revocation.before)
            .bind(kept_until.as_second())
            .bind(for_imports);
        self.db().execute(query).await?;
        Ok(())
    }
}

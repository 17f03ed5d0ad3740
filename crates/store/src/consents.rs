//! The `consents` table: consents that are remembered, so that the next flow need not ask again.

use std::sync::LazyLock;

use jiff::Timestamp;
use oauth::{ClientId, GrantId, Incarnation};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::clients::timestamp;
use crate::coalesce::{BatchText, Coalesced, by_key, key_of};
use crate::database::Database;
use crate::grants::{bytes, client_id, instant};
use crate::revocations::{subject_client_key, subject_key};
use crate::{Error, Store};

/// A consent that is to be remembered.
#[derive(Debug, Clone)]
pub struct NewConsent {
    /// Who gave it.
    pub subject: String,
    /// When the flow began in which it was given.
    pub started_at: Timestamp,
    /// The consent.
    pub consent: StoredConsent,
}

/// A consent that is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredConsent {
    /// The client that it was given to.
    pub client_id: ClientId,
    /// That client's incarnation.
    pub incarnation: Incarnation,
    /// The grant with which it was given.
    pub consent_request_id: GrantId,
    /// What was consented to, sealed.
    pub content: Vec<u8>,
    /// When it was given.
    pub granted_at: Timestamp,
    /// Until when it is remembered; `None` for ever.
    pub expires_at: Option<Timestamp>,
}

/// What is asked, one row for each consent.
const ASKED_TO_REMEMBER: &str = "WITH asked (ask, subject, client_id, incarnation, consent_request_id, content, \
    granted_at, ends, subject_key, subject_client_key, started_at) AS (";

/// A row for each consent that nothing has ended since its flow started. They are locked in the order of their keys.
const REMEMBER: &str = ") INSERT INTO consents (subject, client_id, incarnation, consent_request_id, content, \
    granted_at, expires_at) SELECT asked.subject, asked.client_id, asked.incarnation, asked.consent_request_id, \
    asked.content, asked.granted_at, asked.ends FROM asked \
    WHERE NOT EXISTS (SELECT 1 FROM revocations r \
    WHERE r.key IN (asked.subject_key, asked.subject_client_key) AND r.before >= asked.started_at) \
    AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.id = asked.consent_request_id AND g.revoked_at IS NOT NULL) \
    ORDER BY asked.ask ON CONFLICT (subject, client_id) DO UPDATE SET incarnation = excluded.incarnation, \
    consent_request_id = excluded.consent_request_id, content = excluded.content, \
    granted_at = excluded.granted_at, expires_at = excluded.expires_at \
    WHERE consents.granted_at <= excluded.granted_at";

const REMEMBERED: &str = ") SELECT k.client_id, k.incarnation, k.consent_request_id, k.content, k.granted_at, \
    k.expires_at, asked.ask FROM asked JOIN consents k ON k.subject = asked.subject \
    AND k.client_id = asked.client_id AND k.incarnation = asked.incarnation \
    AND (k.expires_at IS NULL OR k.expires_at > asked.now)";

static REMEMBER_TEXT: LazyLock<BatchText> = LazyLock::new(|| BatchText::new(ASKED_TO_REMEMBER, 11, REMEMBER));
static REMEMBERED_TEXT: LazyLock<BatchText> = LazyLock::new(|| {
    BatchText::new("WITH asked (ask, subject, client_id, incarnation, now) AS (", 5, REMEMBERED)
});

impl Store {
    /// Remembers a consent. Of two that the same subject gives the same client, the one that was given later stays. One
    /// of a flow that began before a revocation of the subject, at all clients or at this one, is not remembered, nor is
    /// one whose grant is revoked. One statement, which others that come meanwhile share.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn remember_consent(&self, new: &NewConsent) -> Result<(), Error> {
        self.lines().new_consents.call(new.clone()).await
    }

    /// The consent that a subject gave a client in this incarnation, where one is remembered. One statement, which others
    /// that come meanwhile share.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn remembered_consent(
        &self,
        subject: &str,
        client: &ClientId,
        incarnation: Incarnation,
    ) -> Result<Option<StoredConsent>, Error> {
        let (subject, client, now) = (subject.to_owned(), client.clone(), self.clock().now());
        self.lines().consents.call(ConsentQuestion { subject, client, incarnation, now }).await
    }

    /// Forgets the consents of a subject: to one client, or to all. Their grants stay; [`Store::revoke_subject`] ends
    /// those, and goes first, so that a consent that is given meanwhile is not remembered. One statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn forget_consents(&self, subject: &str, client: Option<&ClientId>) -> Result<(), Error> {
        let query = match client {
            None => self.db().query("DELETE FROM consents WHERE subject = $1").bind(subject.to_owned()),
            Some(client) => self
                .db()
                .query("DELETE FROM consents WHERE subject = $1 AND client_id = $2")
                .bind(subject.to_owned())
                .bind(client.to_string()),
        };
        self.db().execute(query).await?;
        Ok(())
    }
}

impl Coalesced for NewConsent {
    const OPERATION: &'static str = "remember a consent";

    type Outcome = ();

    const WRITES: bool = true;

    fn key(&self) -> [u8; 16] {
        key_of(&[&self.subject, self.consent.client_id.as_str()])
    }

    async fn execute(database: &Database, batch: &[Self]) -> Result<Vec<()>, Error> {
        let mut query = database.query(REMEMBER_TEXT.of(batch.len()));
        for new in batch {
            let Self { subject, started_at, consent } = new;
            query = query
                .bind(new.key().to_vec())
                .bind(subject.clone())
                .bind(consent.client_id.to_string())
                .bind(consent.incarnation.0)
                .bind(consent.consent_request_id.as_bytes().to_vec())
                .bind(consent.content.clone())
                .bind(consent.granted_at.as_second())
                .bind(consent.expires_at.map(Timestamp::as_second))
                .bind(subject_key(subject))
                .bind(subject_client_key(subject, &consent.client_id))
                .bind(started_at.as_second());
        }
        database.execute(query).await?;
        Ok(vec![(); batch.len()])
    }
}

/// A consent that is looked up.
#[derive(PartialEq, Eq)]
pub(crate) struct ConsentQuestion {
    subject: String,
    client: ClientId,
    incarnation: Incarnation,
    now: Timestamp,
}

impl Coalesced for ConsentQuestion {
    const OPERATION: &'static str = "look up a consent";

    type Outcome = Option<StoredConsent>;

    const WRITES: bool = false;

    fn key(&self) -> [u8; 16] {
        key_of(&[&self.subject, self.client.as_str()])
    }

    fn is_same(&self, other: &Self) -> bool {
        self == other
    }

    async fn execute(database: &Database, batch: &[Self]) -> Result<Vec<Option<StoredConsent>>, Error> {
        let mut query = database.query(REMEMBERED_TEXT.of(batch.len()));
        for question in batch {
            query = query
                .bind(question.key().to_vec())
                .bind(question.subject.clone())
                .bind(question.client.to_string())
                .bind(question.incarnation.0)
                .bind(question.now.as_second());
        }
        let rows = by_key(database.fetch_all(query).await?, 6)?;
        batch
            .iter()
            .map(|question| rows.get(&question.key()).map(|row| consent(row, 0)).transpose())
            .collect()
    }
}

/// The consent whose columns begin at `first`, where an outer join found one.
pub(crate) fn joined_consent(row: &AnyRow, first: usize) -> Result<Option<StoredConsent>, Error> {
    let found = row.try_get::<Option<String>, _>(first)?.is_some();
    found.then(|| consent(row, first)).transpose()
}

/// The consent whose columns begin at `first`.
pub(crate) fn consent(row: &AnyRow, first: usize) -> Result<StoredConsent, Error> {
    Ok(StoredConsent {
        client_id: client_id(row, first)?,
        incarnation: Incarnation(row.try_get(first + 1)?),
        consent_request_id: GrantId::from_bytes(bytes(row, first + 2)?),
        content: row.try_get(first + 3)?,
        granted_at: instant(row, first + 4)?,
        expires_at: timestamp(row.try_get(first + 5)?)?,
    })
}

//! The `consents` table: consents that are remembered, so that the next flow need not ask again.

use jiff::Timestamp;
use oauth::{ClientId, GrantId, Incarnation};
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::clients::timestamp;
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

impl Store {
    /// Remembers a consent. Of two that the same subject gives the same client, the one that was given later stays. One
    /// of a flow that began before a revocation of the subject, at all clients or at this one, is not remembered, nor is
    /// one whose grant is revoked. One statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn remember_consent(&self, new: &NewConsent) -> Result<(), Error> {
        let consent = &new.consent;
        let query = self
            .db()
            .query(
                "INSERT INTO consents (subject, client_id, incarnation, consent_request_id, content, granted_at, \
                 expires_at) SELECT $1, $2, $3, $4, $5, $6, $7 \
                 WHERE NOT EXISTS (SELECT 1 FROM revocations r WHERE r.key IN ($8, $9) AND r.before >= $10) \
                 AND NOT EXISTS (SELECT 1 FROM grants g WHERE g.id = $4 AND g.revoked_at IS NOT NULL) \
                 ON CONFLICT (subject, client_id) DO UPDATE SET incarnation = excluded.incarnation, \
                 consent_request_id = excluded.consent_request_id, content = excluded.content, \
                 granted_at = excluded.granted_at, expires_at = excluded.expires_at \
                 WHERE consents.granted_at <= excluded.granted_at",
            )
            .bind(new.subject.clone())
            .bind(consent.client_id.to_string())
            .bind(consent.incarnation.0)
            .bind(consent.consent_request_id.as_bytes().to_vec())
            .bind(consent.content.clone())
            .bind(consent.granted_at.as_second())
            .bind(consent.expires_at.map(Timestamp::as_second))
            .bind(subject_key(&new.subject))
            .bind(subject_client_key(&new.subject, &consent.client_id))
            .bind(new.started_at.as_second());
        self.db().execute(query).await?;
        Ok(())
    }

    /// The consent that a subject gave a client in this incarnation, where one is remembered. One statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn remembered_consent(
        &self,
        subject: &str,
        client: &ClientId,
        incarnation: Incarnation,
    ) -> Result<Option<StoredConsent>, Error> {
        let query = self
            .db()
            .query(
                "SELECT client_id, incarnation, consent_request_id, content, granted_at, expires_at FROM consents \
                 WHERE subject = $1 AND client_id = $2 AND incarnation = $3 \
                 AND (expires_at IS NULL OR expires_at > $4)",
            )
            .bind(subject.to_owned())
            .bind(client.to_string())
            .bind(incarnation.0)
            .bind(self.clock().now().as_second());
        self.db().fetch_optional(query).await?.map(|row| consent(&row, 0)).transpose()
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

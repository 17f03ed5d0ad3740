//! The `client_secrets` table: a client's secrets, and how they follow one another.

use jiff::Timestamp;
use oauth::{ClientId, ClientSecretHash};
use sqlx::any::AnyRow;
use sqlx::{Any, Row, Transaction};

use crate::clients::{changed, timestamp};
use crate::database::bounded;
use crate::invalidation::Change;
use crate::{ClientFence, Error, Store};

/// How many former secrets of a client stay valid when one is rotated that no resource owns.
const FORMER_SECRETS: i64 = 5;

/// What a stored secret is to its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretState {
    /// The one that the client's Secret holds.
    Current,
    /// One that still works until it expires, because a newer one replaced it.
    Previous,
    /// One that already works, on its way into the client's Secret. There is at most one.
    Pending,
}

impl SecretState {
    fn parse(text: &str) -> Result<Self, Error> {
        match text {
            "current" => Ok(Self::Current),
            "previous" => Ok(Self::Previous),
            "pending" => Ok(Self::Pending),
            _ => Err(Error::unreadable("client_secrets.state")(())),
        }
    }
}

/// One row of `client_secrets`.
#[derive(Debug, Clone)]
pub struct StoredSecret {
    /// The hash.
    pub hash: ClientSecretHash,
    /// What it is to the client.
    pub state: SecretState,
    /// When it stops working; only ever set for [`SecretState::Previous`].
    pub expires_at: Option<Timestamp>,
}

/// The end of a secret's rotation.
#[derive(Debug, Clone)]
pub struct Promotion {
    /// The pending secret that becomes the current one.
    pub hash: ClientSecretHash,
    /// When the former current secret stops working.
    pub previous_expires_at: Timestamp,
    /// The rotation request that this handles.
    pub handled_rotate_secret: Option<String>,
}

impl Store {
    /// Stores a secret that works at once and is about to be written into the client's Secret; it replaces a pending
    /// one that never got there. A former secret that returns is pending again; the current one stays current.
    ///
    /// # Errors
    /// [`Error::Raced`] where the row is no longer what was read.
    pub async fn set_pending_secret(
        &self,
        fence: &ClientFence,
        hash: &ClientSecretHash,
    ) -> Result<(), Error> {
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        self.bump(&mut tx, fence).await?;
        let delete = self
            .db()
            .query("DELETE FROM client_secrets WHERE client_id = $1 AND state = 'pending'")
            .bind(fence.id.to_string());
        bounded(delete.execute(&mut *tx)).await?;
        self.insert_secret(&mut tx, &fence.id, hash, "pending").await?;
        self.commit(tx, Change::Client(fence.id.clone())).await
    }

    /// Makes the pending secret the current one, gives the former one its expiry, and forgets what has expired.
    ///
    /// # Errors
    /// [`Error::Raced`] where the row is no longer what was read.
    pub async fn promote_secret(&self, fence: &ClientFence, promotion: &Promotion) -> Result<(), Error> {
        let (id, now) = (fence.id.to_string(), self.clock().now().as_second());
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        let stamp = self
            .db()
            .query(
                "UPDATE clients SET secret_rotated_at = $3, handled_rotate_secret = $4, version = version + 1, \
                 updated_at = $3 WHERE id = $1 AND version = $2",
            )
            .bind(id.clone())
            .bind(fence.version)
            .bind(now)
            .bind(promotion.handled_rotate_secret.clone());
        changed(bounded(stamp.execute(&mut *tx)).await?.rows_affected())?;
        // The promoted one is left out, and loses its expiry if it has one: a promotion that is repeated changes nothing.
        let retire = self
            .db()
            .query(
                "UPDATE client_secrets SET state = 'previous', expires_at = $2 \
                 WHERE client_id = $1 AND state = 'current' AND hash <> $3",
            )
            .bind(id.clone())
            .bind(promotion.previous_expires_at.as_second())
            .bind(promotion.hash.to_string());
        bounded(retire.execute(&mut *tx)).await?;
        let promote = self
            .db()
            .query(
                "UPDATE client_secrets SET state = 'current', expires_at = NULL \
                 WHERE client_id = $1 AND hash = $2",
            )
            .bind(id.clone())
            .bind(promotion.hash.to_string());
        changed(bounded(promote.execute(&mut *tx)).await?.rows_affected())?;
        let forget = self
            .db()
            .query("DELETE FROM client_secrets WHERE client_id = $1 AND expires_at <= $2")
            .bind(id)
            .bind(now);
        bounded(forget.execute(&mut *tx)).await?;
        self.commit(tx, Change::Client(fence.id.clone())).await
    }

    /// Removes all secrets of a client that no longer authenticates with one.
    ///
    /// # Errors
    /// [`Error::Raced`] where the row is no longer what was read.
    pub async fn remove_secrets(&self, fence: &ClientFence) -> Result<(), Error> {
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        self.bump(&mut tx, fence).await?;
        self.delete_secrets(&mut tx, &fence.id).await?;
        self.commit(tx, Change::Client(fence.id.clone())).await
    }

    /// Gives a client a new secret. The former ones stay valid, the five newest of them, until
    /// [`Self::drop_former_secrets`]: for clients that no resource owns. Its registration access token ends at once.
    ///
    /// # Errors
    /// [`Error::Raced`] where the row is no longer what was read.
    pub async fn rotate_secret(&self, fence: &ClientFence, hash: &ClientSecretHash) -> Result<(), Error> {
        let (id, now) = (fence.id.to_string(), self.clock().now().as_second());
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        self.stamp_rotation(&mut tx, fence, now).await?;
        let retire = self
            .db()
            .query("UPDATE client_secrets SET state = 'previous' WHERE client_id = $1 AND state = 'current'")
            .bind(id.clone());
        bounded(retire.execute(&mut *tx)).await?;
        let forget = self
            .db()
            .query(
                "DELETE FROM client_secrets WHERE client_id = $1 AND created_at < (SELECT MIN(created_at) FROM \
                 (SELECT created_at FROM client_secrets WHERE client_id = $1 ORDER BY created_at DESC LIMIT $2) \
                 AS newest)",
            )
            .bind(id.clone())
            .bind(FORMER_SECRETS);
        bounded(forget.execute(&mut *tx)).await?;
        // Later than any other, so that the order of those of one second is known.
        let insert = self
            .db()
            .query(
                "INSERT INTO client_secrets (client_id, hash, state, created_at) \
                 SELECT $1, $2, 'current', COALESCE(MAX(CASE WHEN created_at < $3 THEN $3 ELSE created_at + 1 END), \
                 $3) FROM client_secrets WHERE client_id = $1",
            )
            .bind(id)
            .bind(hash.to_string())
            .bind(now);
        bounded(insert.execute(&mut *tx)).await?;
        self.commit(tx, Change::Client(fence.id.clone())).await
    }

    /// Ends all secrets of a client but the current one.
    ///
    /// # Errors
    /// [`Error::Raced`] where the row is no longer what was read.
    pub async fn drop_former_secrets(&self, fence: &ClientFence) -> Result<(), Error> {
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        self.bump(&mut tx, fence).await?;
        let delete = self
            .db()
            .query("DELETE FROM client_secrets WHERE client_id = $1 AND state <> 'current'")
            .bind(fence.id.to_string());
        bounded(delete.execute(&mut *tx)).await?;
        self.commit(tx, Change::Client(fence.id.clone())).await
    }

    pub(crate) async fn stamp_rotation(
        &self,
        tx: &mut Transaction<'_, Any>,
        fence: &ClientFence,
        now: i64,
    ) -> Result<(), Error> {
        let stamp = self
            .db()
            .query(
                "UPDATE clients SET secret_rotated_at = $3, registration_generation = registration_generation + 1, \
                 version = version + 1, updated_at = $3 \
                 WHERE id = $1 AND version = $2",
            )
            .bind(fence.id.to_string())
            .bind(fence.version)
            .bind(now);
        changed(bounded(stamp.execute(&mut **tx)).await?.rows_affected())
    }

    pub(crate) async fn delete_secrets(
        &self,
        tx: &mut Transaction<'_, Any>,
        id: &ClientId,
    ) -> Result<(), Error> {
        let delete = self.db().query("DELETE FROM client_secrets WHERE client_id = $1").bind(id.to_string());
        bounded(delete.execute(&mut **tx)).await?;
        Ok(())
    }

    pub(crate) async fn insert_secret(
        &self,
        tx: &mut Transaction<'_, Any>,
        id: &ClientId,
        hash: &ClientSecretHash,
        state: &'static str,
    ) -> Result<(), Error> {
        let query = self
            .db()
            .query(
                "INSERT INTO client_secrets (client_id, hash, state, created_at) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (client_id, hash) DO UPDATE SET state = excluded.state, expires_at = NULL \
                 WHERE client_secrets.state <> 'current'",
            )
            .bind(id.to_string())
            .bind(hash.to_string())
            .bind(state)
            .bind(self.clock().now().as_second());
        bounded(query.execute(&mut **tx)).await?;
        Ok(())
    }
}

/// The secret in a client's row, if it has one there; see `clients::SELECT`.
pub(crate) fn secret(row: &AnyRow) -> Result<Option<StoredSecret>, Error> {
    let Some(hash) = row.try_get::<Option<String>, _>(12)? else { return Ok(None) };
    Ok(Some(StoredSecret {
        hash: hash.parse().map_err(Error::unreadable("client_secrets.hash"))?,
        state: SecretState::parse(row.try_get(13)?)?,
        expires_at: timestamp(row.try_get(14)?)?,
    }))
}

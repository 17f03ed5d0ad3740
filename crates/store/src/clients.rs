//! The `clients` and `client_secrets` tables.
//!
//! Every write is fenced by the row's version: whoever read an older one gets [`Error::Raced`] and decides anew.

use jiff::Timestamp;
use oauth::client::{Client, ClientMetadata, Incarnation, LiveSecret};
use oauth::{ClientId, ClientSecretHash};
use sqlx::any::AnyRow;
use sqlx::{Any, Row, Transaction};

use crate::database::bounded;
use crate::invalidation::Change;
use crate::{Error, ResourceRef, Store};

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

/// A client's row and its secrets.
#[derive(Debug, Clone)]
pub struct StoredClient {
    /// The client's id.
    pub id: ClientId,
    /// Which creation of the id it is.
    pub incarnation: Incarnation,
    /// Counts "revoke all tokens".
    pub epoch: i64,
    /// What is registered.
    pub metadata: ClientMetadata,
    /// The resource that owns it.
    pub manager: ResourceRef,
    /// The digest of the spec that was applied last.
    pub spec_hash: String,
    /// All its secrets, expired ones among them.
    pub secrets: Vec<StoredSecret>,
    /// When the current secret was made.
    pub secret_rotated_at: Option<Timestamp>,
    /// The rotation request that was handled last.
    pub handled_rotate_secret: Option<String>,
    /// The row's version, which fences writes.
    pub version: i64,
}

impl StoredClient {
    /// The client as the server uses it.
    pub fn to_client(&self) -> Client {
        let live = |s: &StoredSecret| LiveSecret { hash: s.hash.clone(), expires_at: s.expires_at };
        Client {
            id: self.id.clone(),
            incarnation: self.incarnation,
            epoch: self.epoch,
            declared: true,
            metadata: self.metadata.clone(),
            secrets: self.secrets.iter().map(live).collect(),
        }
    }

    /// What fences a write to this row.
    pub fn fence(&self) -> ClientFence {
        ClientFence { id: self.id.clone(), version: self.version }
    }
}

/// Names a client's row at the version that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFence {
    /// The client's id.
    pub id: ClientId,
    /// The version that was read.
    pub version: i64,
}

/// A client that is to be created.
#[derive(Debug, Clone)]
pub struct NewClient {
    /// Its id.
    pub id: ClientId,
    /// 64 fresh random bits.
    pub incarnation: Incarnation,
    /// What is registered.
    pub metadata: ClientMetadata,
    /// The resource that will own it.
    pub manager: ResourceRef,
    /// The digest of the spec.
    pub spec_hash: String,
    /// Its current secret; `None` for clients that have none.
    pub secret: Option<ClientSecretHash>,
    /// The rotation request that stood there already, and so counts as handled.
    pub handled_rotate_secret: Option<String>,
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

const SELECT: &str = "SELECT c.id, c.incarnation, c.epoch, c.metadata, c.manager_cluster, c.manager_namespace, \
    c.manager_name, c.manager_uid, c.spec_hash, c.secret_rotated_at, c.handled_rotate_secret, c.version, \
    s.hash, s.state, s.expires_at \
    FROM clients c LEFT JOIN client_secrets s ON s.client_id = c.id";

const SELECT_BY_ID: &str = const_format::concatcp!(SELECT, " WHERE c.id = $1 ORDER BY s.created_at");
const SELECT_BY_MANAGER: &str = const_format::concatcp!(
    SELECT,
    " WHERE c.manager_uid = $1 AND c.manager_cluster = $2 ORDER BY c.created_at, c.id, s.created_at"
);

impl Store {
    /// Reads a client from the database. One statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn read_client(&self, id: &ClientId) -> Result<Option<StoredClient>, Error> {
        let query = self.db().query(SELECT_BY_ID).bind(id.to_string());
        collect(&self.db().fetch_all(query).await?)
    }

    /// Reads the client that a resource owns. One statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Corrupt`].
    pub async fn read_managed_client(&self, manager: &ResourceRef) -> Result<Option<StoredClient>, Error> {
        let query =
            self.db().query(SELECT_BY_MANAGER).bind(manager.uid.clone()).bind(manager.cluster.clone());
        let rows = self.db().fetch_all(query).await?;
        // One resource owns one client; should it ever be two, the older one is it.
        let first: Option<String> = rows.first().map(|row| row.try_get(0)).transpose()?;
        let same = |row: &&AnyRow| row.try_get::<String, _>(0).ok() == first;
        collect_refs(&rows.iter().filter(same).collect::<Vec<_>>())
    }

    /// Creates a client.
    ///
    /// # Errors
    /// [`Error::Conflict`] where the id is another resource's; [`Error::Raced`] where it is this resource's already.
    pub async fn create_client(&self, new: &NewClient) -> Result<(), Error> {
        let now = self.clock().now().as_second();
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        let inserted = self
            .db()
            .query(
                "INSERT INTO clients (id, incarnation, epoch, metadata, longest_access_token, longest_id_token, \
                 manager_cluster, manager_namespace, manager_name, manager_uid, spec_hash, secret_rotated_at, \
                 handled_rotate_secret, version, created_at, updated_at) \
                 VALUES ($1, $2, 0, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $14, $13, $13) \
                 ON CONFLICT (id) DO NOTHING",
            )
            .bind(new.id.to_string())
            .bind(new.incarnation.0)
            .bind(serde_json::to_string(&new.metadata).map_err(Error::corrupt)?)
            .bind(seconds(new.metadata.lifespans.longest_access_token()))
            .bind(seconds(new.metadata.lifespans.longest_id_token()))
            .bind(new.manager.cluster.clone())
            .bind(new.manager.namespace.clone())
            .bind(new.manager.name.clone())
            .bind(new.manager.uid.clone())
            .bind(new.spec_hash.clone())
            .bind(new.secret.as_ref().map(|_| now))
            .bind(new.handled_rotate_secret.clone())
            .bind(now)
            .bind(self.first_version());
        if bounded(inserted.execute(&mut *tx)).await?.rows_affected() == 0 {
            drop(tx);
            drop(loan);
            return Err(self.holder_of(&new.id, &new.manager).await?);
        }
        if let Some(hash) = &new.secret {
            self.insert_secret(&mut tx, &new.id, hash, "current").await?;
        }
        self.commit(tx, Change::Client(new.id.clone())).await
    }

    async fn holder_of(&self, id: &ClientId, me: &ResourceRef) -> Result<Error, Error> {
        Ok(match self.read_client(id).await? {
            Some(row) if !row.manager.same_place(me) => Error::Conflict(Box::new(row.manager)),
            _ => Error::Raced,
        })
    }

    /// Writes what is registered of a client, and what the resource's uid and spec are now.
    ///
    /// # Errors
    /// [`Error::Raced`] where the row is no longer what was read.
    pub async fn update_client(
        &self,
        fence: &ClientFence,
        metadata: &ClientMetadata,
        manager: &ResourceRef,
        spec_hash: &str,
    ) -> Result<(), Error> {
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        let query = self
            .db()
            .query(
                "UPDATE clients SET metadata = $3, longest_access_token = $4, longest_id_token = $5, \
                 manager_uid = $6, spec_hash = $7, version = version + 1, updated_at = $8 \
                 WHERE id = $1 AND version = $2",
            )
            .bind(fence.id.to_string())
            .bind(fence.version)
            .bind(serde_json::to_string(metadata).map_err(Error::corrupt)?)
            .bind(seconds(metadata.lifespans.longest_access_token()))
            .bind(seconds(metadata.lifespans.longest_id_token()))
            .bind(manager.uid.clone())
            .bind(spec_hash.to_owned())
            .bind(self.clock().now().as_second());
        changed(bounded(query.execute(&mut *tx)).await?.rows_affected())?;
        self.commit(tx, Change::Client(fence.id.clone())).await
    }

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
        let delete =
            self.db().query("DELETE FROM client_secrets WHERE client_id = $1").bind(fence.id.to_string());
        bounded(delete.execute(&mut *tx)).await?;
        self.commit(tx, Change::Client(fence.id.clone())).await
    }

    /// Deletes a client that a resource owns, and with it all its tokens. False where there was none.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn delete_client(&self, id: &ClientId, manager: &ResourceRef) -> Result<bool, Error> {
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        let query = self
            .db()
            .query(
                "DELETE FROM clients WHERE id = $1 AND manager_cluster = $2 AND manager_namespace = $3 \
                 AND manager_name = $4",
            )
            .bind(id.to_string())
            .bind(manager.cluster.clone())
            .bind(manager.namespace.clone())
            .bind(manager.name.clone());
        let deleted = bounded(query.execute(&mut *tx)).await?.rows_affected();
        self.commit(tx, Change::Client(id.clone())).await?;
        Ok(deleted > 0)
    }

    async fn bump(&self, tx: &mut Transaction<'_, Any>, fence: &ClientFence) -> Result<(), Error> {
        let query = self
            .db()
            .query("UPDATE clients SET version = version + 1, updated_at = $3 WHERE id = $1 AND version = $2")
            .bind(fence.id.to_string())
            .bind(fence.version)
            .bind(self.clock().now().as_second());
        changed(bounded(query.execute(&mut **tx)).await?.rows_affected())
    }

    async fn insert_secret(
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

fn changed(rows: u64) -> Result<(), Error> {
    if rows == 0 { Err(Error::Raced) } else { Ok(()) }
}

fn seconds(duration: Option<std::time::Duration>) -> Option<i64> {
    duration.map(|d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}

fn collect(rows: &[AnyRow]) -> Result<Option<StoredClient>, Error> {
    collect_refs(&rows.iter().collect::<Vec<_>>())
}

/// One client from its row joined with its secrets.
fn collect_refs(rows: &[&AnyRow]) -> Result<Option<StoredClient>, Error> {
    let Some(row) = rows.first() else { return Ok(None) };
    let secrets = rows.iter().filter_map(|row| secret(row).transpose()).collect::<Result<_, _>>()?;
    Ok(Some(StoredClient {
        id: ClientId::parse(row.try_get::<String, _>(0)?).map_err(Error::unreadable("clients.id"))?,
        incarnation: Incarnation(row.try_get(1)?),
        epoch: row.try_get(2)?,
        metadata: serde_json::from_str(row.try_get(3)?).map_err(Error::unreadable("clients.metadata"))?,
        manager: ResourceRef {
            cluster: row.try_get(4)?,
            namespace: row.try_get(5)?,
            name: row.try_get(6)?,
            uid: row.try_get(7)?,
        },
        spec_hash: row.try_get(8)?,
        secrets,
        secret_rotated_at: timestamp(row.try_get(9)?)?,
        handled_rotate_secret: row.try_get(10)?,
        version: row.try_get(11)?,
    }))
}

fn secret(row: &AnyRow) -> Result<Option<StoredSecret>, Error> {
    let Some(hash) = row.try_get::<Option<String>, _>(12)? else { return Ok(None) };
    Ok(Some(StoredSecret {
        hash: hash.parse().map_err(Error::unreadable("client_secrets.hash"))?,
        state: SecretState::parse(row.try_get(13)?)?,
        expires_at: timestamp(row.try_get(14)?)?,
    }))
}

pub(crate) fn timestamp(second: Option<i64>) -> Result<Option<Timestamp>, Error> {
    second.map(Timestamp::from_second).transpose().map_err(Error::unreadable("with an instant"))
}

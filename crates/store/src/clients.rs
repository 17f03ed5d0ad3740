//! The `clients` table.
//!
//! Every write is fenced by the row's version: whoever read an older one gets [`Error::Raced`] and decides anew.

use jiff::Timestamp;
use oauth::client::{Client, LiveSecret};
use oauth::{ClientId, ClientMetadata, ClientSecretHash, Incarnation};
use sqlx::any::AnyRow;
use sqlx::{Any, Row, Transaction};

use crate::client_secrets::{StoredSecret, secret};
use crate::database::bounded;
use crate::invalidation::Change;
use crate::{Error, ResourceRef, Store};

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
    /// The resource that owns it; `None` for a client of the admin API.
    pub manager: Option<ResourceRef>,
    /// True where the client goes with that resource.
    pub deleted_with_manager: bool,
    /// The digest of the spec that was applied last; empty where no resource owns the client.
    pub spec_hash: String,
    /// All its secrets, expired ones among them.
    pub secrets: Vec<StoredSecret>,
    /// When the current secret was made.
    pub secret_rotated_at: Option<Timestamp>,
    /// The rotation request that was handled last.
    pub handled_rotate_secret: Option<String>,
    /// How many registration access tokens it was given: the last one alone is valid.
    pub registration_generation: i64,
    /// True where the client registered itself, or chose addresses that are registered of it.
    pub self_registered: bool,
    /// The row's version, which fences writes.
    pub version: i64,
    /// When the client was created.
    pub created_at: Timestamp,
    /// When anything of it was last changed.
    pub updated_at: Timestamp,
}

impl StoredClient {
    /// True where the resource, or an earlier one in its place, owns the client.
    pub fn is_of(&self, resource: &ResourceRef) -> bool {
        self.manager.as_ref().is_some_and(|manager| manager.same_place(resource))
    }

    /// The client as the server uses it.
    pub fn to_client(&self) -> Client {
        let live = |s: &StoredSecret| LiveSecret { hash: s.hash.clone(), expires_at: s.expires_at };
        Client {
            id: self.id.clone(),
            incarnation: self.incarnation,
            epoch: self.epoch,
            declared: self.manager.is_some(),
            self_registered: self.self_registered,
            metadata: self.metadata.clone(),
            created_at: self.created_at,
            updated_at: self.updated_at,
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
    /// The resource that will own it; `None` for a client of the admin API.
    pub manager: Option<ResourceRef>,
    /// True where the client goes with that resource.
    pub deleted_with_manager: bool,
    /// The digest of the spec; empty where no resource owns the client.
    pub spec_hash: String,
    /// Its current secret; `None` for clients that have none.
    pub secret: Option<ClientSecretHash>,
    /// The rotation request that stood there already, and so counts as handled.
    pub handled_rotate_secret: Option<String>,
    /// True where it registers itself.
    pub self_registered: bool,
}

/// What becomes of a client's secrets when it is replaced.
#[derive(Debug, Clone)]
pub enum SecretChange {
    /// They stay as they are.
    Keep,
    /// This one takes the place of them all.
    Replace(ClientSecretHash),
    /// The client no longer has any.
    Remove,
}

const SELECT: &str = "SELECT c.id, c.incarnation, c.epoch, c.metadata, c.manager_cluster, c.manager_namespace, \
    c.manager_name, c.manager_uid, c.spec_hash, c.secret_rotated_at, c.handled_rotate_secret, c.version, \
    s.hash, s.state, s.expires_at, c.created_at, c.updated_at, c.registration_generation, c.self_registered, \
    c.deleted_with_manager \
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
    /// [`Error::Conflict`] where the id is another resource's, [`Error::Unmanaged`] where it is a client's that no
    /// resource owns; [`Error::Raced`] where it is this resource's already, or was deleted just now.
    pub async fn create_client(&self, new: &NewClient) -> Result<(), Error> {
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        if !self.insert_client(&mut tx, new, self.clock().now()).await? {
            drop(tx);
            drop(loan);
            return Err(self.holder_of(new).await?);
        }
        self.commit(tx, Change::Client(new.id.clone())).await
    }

    /// Inserts a client that was created at `created_at`, and its secret; false where the id is taken.
    pub(crate) async fn insert_client(
        &self,
        tx: &mut Transaction<'_, Any>,
        new: &NewClient,
        created_at: Timestamp,
    ) -> Result<bool, Error> {
        let inserted = self
            .db()
            .query(
                "INSERT INTO clients (id, incarnation, epoch, metadata, longest_access_token, longest_id_token, \
                 manager_cluster, manager_namespace, manager_name, manager_uid, spec_hash, secret_rotated_at, \
                 handled_rotate_secret, version, created_at, updated_at, self_registered, \
                 deleted_with_manager) \
                 VALUES ($1, $2, 0, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $14, $13, $13, $15, $16) \
                 ON CONFLICT (id) DO NOTHING",
            )
            .bind(new.id.to_string())
            .bind(new.incarnation.0)
            .bind(serde_json::to_string(&new.metadata).map_err(Error::corrupt)?)
            .bind(seconds(new.metadata.lifespans.longest_access_token()))
            .bind(seconds(new.metadata.lifespans.longest_id_token()))
            .bind(new.manager.as_ref().map(|manager| manager.cluster.clone()))
            .bind(new.manager.as_ref().map(|manager| manager.namespace.clone()))
            .bind(new.manager.as_ref().map(|manager| manager.name.clone()))
            .bind(new.manager.as_ref().map(|manager| manager.uid.clone()))
            .bind(new.spec_hash.clone())
            .bind(new.secret.as_ref().map(|_| created_at.as_second()))
            .bind(new.handled_rotate_secret.clone())
            .bind(created_at.as_second())
            .bind(self.first_version())
            .bind(i64::from(new.self_registered))
            .bind(i64::from(new.deleted_with_manager));
        if bounded(inserted.execute(&mut **tx)).await?.rows_affected() == 0 {
            return Ok(false);
        }
        if let Some(hash) = &new.secret {
            self.insert_secret(tx, &new.id, hash, "current").await?;
        }
        Ok(true)
    }

    /// Why a client cannot be created.
    async fn holder_of(&self, new: &NewClient) -> Result<Error, Error> {
        let Some(row) = self.read_client(&new.id).await? else { return Ok(Error::Raced) };
        let is_mine = new.manager.as_ref().is_some_and(|me| row.is_of(me));
        Ok(match row.manager {
            Some(_) if is_mine => Error::Raced,
            Some(holder) => Error::Conflict(Box::new(holder)),
            None => Error::Unmanaged,
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

    /// Writes what is registered of a client that no resource owns, what becomes of its secrets, how many registration
    /// access tokens it was given, and whether it registered itself.
    ///
    /// # Errors
    /// [`Error::Raced`] where the row is no longer what was read.
    pub async fn replace_client(
        &self,
        fence: &ClientFence,
        metadata: &ClientMetadata,
        secrets: &SecretChange,
        (registration_generation, self_registered): (i64, bool),
    ) -> Result<(), Error> {
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        self.write_unmanaged(&mut tx, fence, metadata, secrets, (registration_generation, self_registered))
            .await?;
        self.commit(tx, Change::Client(fence.id.clone())).await
    }

    /// The same in a transaction; see [`Self::replace_client`].
    pub(crate) async fn write_unmanaged(
        &self,
        tx: &mut Transaction<'_, Any>,
        fence: &ClientFence,
        metadata: &ClientMetadata,
        secrets: &SecretChange,
        (registration_generation, self_registered): (i64, bool),
    ) -> Result<(), Error> {
        let now = self.clock().now().as_second();
        let query = self
            .db()
            .query(
                "UPDATE clients SET metadata = $3, longest_access_token = $4, longest_id_token = $5, \
                 secret_rotated_at = COALESCE($6, secret_rotated_at), registration_generation = $8, \
                 self_registered = $9, version = version + 1, updated_at = $7 \
                 WHERE id = $1 AND version = $2 AND manager_cluster IS NULL",
            )
            .bind(fence.id.to_string())
            .bind(fence.version)
            .bind(serde_json::to_string(metadata).map_err(Error::corrupt)?)
            .bind(seconds(metadata.lifespans.longest_access_token()))
            .bind(seconds(metadata.lifespans.longest_id_token()))
            .bind(matches!(secrets, SecretChange::Replace(_)).then_some(now))
            .bind(now)
            .bind(registration_generation)
            .bind(i64::from(self_registered));
        changed(bounded(query.execute(&mut **tx)).await?.rows_affected())?;
        if !matches!(secrets, SecretChange::Keep) {
            self.delete_secrets(tx, &fence.id).await?;
        }
        if let SecretChange::Replace(hash) = secrets {
            self.insert_secret(tx, &fence.id, hash, "current").await?;
        }
        Ok(())
    }

    /// Revokes all tokens of a client, its own and those of its users, and what is under way for it: its epoch is raised,
    /// which each of them names. The registration access token ends as well. False where there is no such client.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn revoke_client_tokens(&self, id: &ClientId) -> Result<bool, Error> {
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        let query = self
            .db()
            .query(
                "UPDATE clients SET epoch = epoch + 1, registration_generation = registration_generation + 1, \
                 version = version + 1, updated_at = $2 WHERE id = $1",
            )
            .bind(id.to_string())
            .bind(self.clock().now().as_second());
        let revoked = bounded(query.execute(&mut *tx)).await?.rows_affected();
        self.commit_changed(tx, revoked, Change::Client(id.clone())).await
    }

    /// Deletes a client that no resource owns, and with it all its tokens. False where there was none.
    ///
    /// # Errors
    /// [`Error::Conflict`] where a resource owns it; [`Error::Raced`] where it was created just now.
    pub async fn delete_unmanaged_client(&self, id: &ClientId) -> Result<bool, Error> {
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        let query = self.db().query("DELETE FROM clients WHERE id = $1 AND manager_cluster IS NULL");
        let deleted = bounded(query.bind(id.to_string()).execute(&mut *tx)).await?.rows_affected();
        if deleted > 0 {
            self.commit(tx, Change::Client(id.clone())).await?;
            return Ok(true);
        }
        drop(tx);
        drop(loan);
        match self.read_client(id).await? {
            None => Ok(false),
            Some(StoredClient { manager: Some(holder), .. }) => Err(Error::Conflict(Box::new(holder))),
            Some(_) => Err(Error::Raced),
        }
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
        self.commit_changed(tx, deleted, Change::Client(id.clone())).await
    }

    /// Counts the row's version up, where it is still what was read.
    pub(crate) async fn bump(&self, tx: &mut Transaction<'_, Any>, fence: &ClientFence) -> Result<(), Error> {
        let query = self
            .db()
            .query("UPDATE clients SET version = version + 1, updated_at = $3 WHERE id = $1 AND version = $2")
            .bind(fence.id.to_string())
            .bind(fence.version)
            .bind(self.clock().now().as_second());
        changed(bounded(query.execute(&mut **tx)).await?.rows_affected())
    }
}

/// A write that is fenced and changed no row met another version.
pub(crate) fn changed(rows: u64) -> Result<(), Error> {
    if rows == 0 { Err(Error::Raced) } else { Ok(()) }
}

pub(crate) fn seconds(duration: Option<std::time::Duration>) -> Option<i64> {
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
        manager: manager(row)?,
        spec_hash: row.try_get::<Option<String>, _>(8)?.unwrap_or_default(),
        secrets,
        secret_rotated_at: timestamp(row.try_get(9)?)?,
        handled_rotate_secret: row.try_get(10)?,
        registration_generation: row.try_get(17)?,
        self_registered: row.try_get::<i64, _>(18)? != 0,
        deleted_with_manager: row.try_get::<i64, _>(19)? != 0,
        version: row.try_get(11)?,
        created_at: instant(row.try_get(15)?)?,
        updated_at: instant(row.try_get(16)?)?,
    }))
}

fn manager(row: &AnyRow) -> Result<Option<ResourceRef>, Error> {
    let Some(cluster) = row.try_get(4)? else { return Ok(None) };
    let (namespace, name, uid) = (row.try_get(5)?, row.try_get(6)?, row.try_get(7)?);
    Ok(Some(ResourceRef { cluster, namespace, name, uid }))
}

pub(crate) fn timestamp(second: Option<i64>) -> Result<Option<Timestamp>, Error> {
    second.map(instant).transpose()
}

pub(crate) fn instant(second: i64) -> Result<Timestamp, Error> {
    Timestamp::from_second(second).map_err(Error::unreadable("with an instant"))
}

//! The rows that resources own: how they come to own them, and all of them together, for whoever looks for those that
//! changed, or whose resource is gone.

use std::collections::BTreeSet;

use jiff::Timestamp;
use oauth::{ClientId, ClientMetadata};
use serde_json::Value;
use sqlx::Row;
use sqlx::any::AnyRow;

use crate::clients::{changed, instant, seconds};
use crate::database::{Dialect, bounded};
use crate::invalidation::Change;
use crate::{ClientFence, Error, ResourceRef, Store};

/// A row that a resource owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedRow {
    /// The client's id, or the set's name.
    pub key: String,
    /// The row's version.
    pub version: i64,
    /// The resource.
    pub manager: ResourceRef,
    /// True where the row goes with the resource, as that declared.
    pub deleted_with_manager: bool,
    /// When the row was made.
    pub created_at: Timestamp,
}

/// What a resource makes of a client that it takes over.
#[derive(Debug, Clone)]
pub struct Adoption {
    /// What is registered from now on.
    pub metadata: ClientMetadata,
    /// The resource.
    pub manager: ResourceRef,
    /// True where the client goes with that resource.
    pub deleted_with_manager: bool,
    /// The digest of the spec.
    pub spec_hash: String,
    /// The rotation request that stands there already, and so counts as handled.
    pub handled_rotate_secret: Option<String>,
    /// When the former secrets stop working.
    pub former_expire_at: Timestamp,
}

const COLUMNS: &str = "version, manager_cluster, manager_namespace, manager_name, manager_uid, deleted_with_manager, \
    created_at FROM";
const CLIENTS: &str =
    const_format::concatcp!("SELECT id, ", COLUMNS, " clients WHERE manager_cluster = $1 ORDER BY id");
const OF_IDS: &str =
    const_format::concatcp!("SELECT id, ", COLUMNS, " clients WHERE manager_cluster IS NOT NULL AND id IN (");
const OF_IDS_POSTGRES: &str =
    const_format::concatcp!(OF_IDS, "SELECT jsonb_array_elements_text(CAST($1 AS jsonb)))");
const OF_IDS_SQLITE: &str = const_format::concatcp!(OF_IDS, "SELECT value FROM json_each($1))");
const KEY_SETS: &str =
    const_format::concatcp!("SELECT name, ", COLUMNS, " key_sets WHERE manager_cluster = $1 ORDER BY name");

impl Store {
    /// The clients that the resources of a cluster own. One statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn managed_clients(&self, cluster: &str) -> Result<Vec<ManagedRow>, Error> {
        self.managed(CLIENTS, cluster).await
    }

    /// Those of the clients with these ids that resources own, of whichever cluster. One statement, which reads no other
    /// row.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn managed_clients_of(&self, ids: &BTreeSet<ClientId>) -> Result<Vec<ManagedRow>, Error> {
        let sql = match self.db().dialect() {
            Dialect::Postgres => OF_IDS_POSTGRES,
            Dialect::Sqlite => OF_IDS_SQLITE,
        };
        let ids: Value = ids.iter().map(ClientId::to_string).collect();
        self.managed(sql, &ids.to_string()).await
    }

    /// The key sets that the resources of a cluster own. One statement.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn managed_key_sets(&self, cluster: &str) -> Result<Vec<ManagedRow>, Error> {
        self.managed(KEY_SETS, cluster).await
    }

    async fn managed(&self, sql: &'static str, which: &str) -> Result<Vec<ManagedRow>, Error> {
        let query = self.db().query(sql).bind(which.to_owned());
        self.db().fetch_all(query).await?.iter().map(managed_row).collect()
    }

    /// Writes whether a client goes with the resource that owns it.
    ///
    /// # Errors
    /// [`Error::Raced`] where the row is no longer what was read.
    pub async fn set_client_deletion(&self, fence: &ClientFence, with_manager: bool) -> Result<(), Error> {
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        let query = self
            .db()
            .query(
                "UPDATE clients SET deleted_with_manager = $3, version = version + 1, updated_at = $4 \
                 WHERE id = $1 AND version = $2",
            )
            .bind(fence.id.to_string())
            .bind(fence.version)
            .bind(i64::from(with_manager))
            .bind(self.clock().now().as_second());
        changed(bounded(query.execute(&mut *tx)).await?.rows_affected())?;
        self.commit(tx, Change::Client(fence.id.clone())).await
    }

    /// Writes that a key set stays when the resource goes that owns it. Nothing happens to one that is not this
    /// resource's, or that stays anyway.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn keep_key_set(&self, set: &str, manager: &ResourceRef) -> Result<(), Error> {
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        let query = self
            .db()
            .query(
                "UPDATE key_sets SET deleted_with_manager = 0, version = version + 1 WHERE name = $1 \
                 AND manager_cluster = $2 AND manager_namespace = $3 AND manager_name = $4 AND manager_uid = $5 \
                 AND deleted_with_manager = 1",
            )
            .bind(set.to_owned())
            .bind(manager.cluster.clone())
            .bind(manager.namespace.clone())
            .bind(manager.name.clone())
            .bind(manager.uid.clone());
        let kept = bounded(query.execute(&mut *tx)).await?.rows_affected();
        self.commit_changed(tx, kept, Change::KeySets).await?;
        Ok(())
    }

    /// Gives a client that no resource owns, or that stays when its resource goes, to one, with what that declares. Its
    /// secrets stay: the former ones, which would work for ever, until `former_expire_at`. A registration access token of it ends.
    ///
    /// # Errors
    /// [`Error::Raced`] where the row is no longer what was read, or goes with a resource.
    pub async fn adopt_client(&self, fence: &ClientFence, adoption: &Adoption) -> Result<(), Error> {
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        let (metadata, manager) = (&adoption.metadata, &adoption.manager);
        let query = self
            .db()
            .query(
                "UPDATE clients SET metadata = $3, longest_access_token = $4, longest_id_token = $5, \
                 manager_cluster = $6, manager_namespace = $7, manager_name = $8, manager_uid = $9, spec_hash = $10, \
                 deleted_with_manager = $11, handled_rotate_secret = $12, self_registered = 0, \
                 registration_generation = registration_generation + 1, version = version + 1, updated_at = $13 \
                 WHERE id = $1 AND version = $2 AND (manager_cluster IS NULL OR deleted_with_manager = 0)",
            )
            .bind(fence.id.to_string())
            .bind(fence.version)
            .bind(serde_json::to_string(metadata).map_err(Error::corrupt)?)
            .bind(seconds(metadata.lifespans.longest_access_token()))
            .bind(seconds(metadata.lifespans.longest_id_token()))
            .bind(manager.cluster.clone())
            .bind(manager.namespace.clone())
            .bind(manager.name.clone())
            .bind(manager.uid.clone())
            .bind(adoption.spec_hash.clone())
            .bind(i64::from(adoption.deleted_with_manager))
            .bind(adoption.handled_rotate_secret.clone())
            .bind(self.clock().now().as_second());
        changed(bounded(query.execute(&mut *tx)).await?.rows_affected())?;
        let former = self
            .db()
            .query(
                "UPDATE client_secrets SET expires_at = $2 \
                 WHERE client_id = $1 AND state = 'previous' AND expires_at IS NULL",
            )
            .bind(fence.id.to_string())
            .bind(adoption.former_expire_at.as_second());
        bounded(former.execute(&mut *tx)).await?;
        self.commit(tx, Change::Client(fence.id.clone())).await
    }

    /// Deletes a client whose resource is gone, and with it all its tokens. False where it is not what was read any
    /// more.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn delete_orphaned_client(&self, orphan: &ManagedRow) -> Result<bool, Error> {
        let sql = "DELETE FROM clients WHERE id = $1 AND version = $2 AND manager_uid = $3 \
             AND deleted_with_manager = 1";
        let id = orphan.key.clone().try_into().map_err(Error::unreadable("clients.id"))?;
        self.delete_orphan(sql, orphan, Change::Client(id)).await
    }

    /// Deletes a key set whose resource is gone. False where it is not what was read any more.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn delete_orphaned_key_set(&self, orphan: &ManagedRow) -> Result<bool, Error> {
        let sql = "DELETE FROM key_sets WHERE name = $1 AND version = $2 AND manager_uid = $3 \
             AND deleted_with_manager = 1";
        self.delete_orphan(sql, orphan, Change::KeySets).await
    }

    async fn delete_orphan(
        &self,
        sql: &'static str,
        orphan: &ManagedRow,
        change: Change,
    ) -> Result<bool, Error> {
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        let query = self.db().query(sql).bind(orphan.key.clone()).bind(orphan.version);
        let query = query.bind(orphan.manager.uid.clone());
        let deleted = bounded(query.execute(&mut *tx)).await?.rows_affected();
        self.commit_changed(tx, deleted, change).await
    }
}

fn managed_row(row: &AnyRow) -> Result<ManagedRow, Error> {
    Ok(ManagedRow {
        key: row.try_get(0)?,
        version: row.try_get(1)?,
        manager: ResourceRef {
            cluster: row.try_get(2)?,
            namespace: row.try_get(3)?,
            name: row.try_get(4)?,
            uid: row.try_get(5)?,
        },
        deleted_with_manager: row.try_get::<i64, _>(6)? != 0,
        created_at: instant(row.try_get(7)?)?,
    })
}

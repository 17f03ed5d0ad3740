//! A key set that comes back from a backup.

use jose::ImportedKey;
use jose::schedule::Instants;

use crate::invalidation::Change;
use crate::key_sets::Halves;
use crate::{Declaration, Error, Store, StoredKeySet};

/// A key of a backup.
#[derive(Debug, Clone)]
pub struct RestoredKey {
    /// The key; its public half alone where it has retired.
    pub key: ImportedKey,
    /// Its instants, as they were.
    pub instants: Instants,
}

impl Store {
    /// Writes a set that does not exist, with the keys of a backup, for the resource that declares it. Requests that stand
    /// there at that moment count as handled. The next turn goes on from there.
    ///
    /// # Errors
    /// [`Error::Raced`] where the set exists.
    pub async fn restore_key_set(&self, declared: &Declaration, keys: &[RestoredKey]) -> Result<(), Error> {
        let mut set = StoredKeySet::absent(&declared.set, declared.key_use, declared.policy.clone());
        set.manager = Some(declared.manager.clone());
        set.deleted_with_manager = declared.deleted_with_manager;
        set.handled_rotate.clone_from(&declared.rotate);
        set.handled_rotate_now.clone_from(&declared.rotate_now);
        self.restore_keys(&set, keys).await
    }

    /// Adds the keys of a backup to a set that lost them. The next turn makes one whole of them all.
    ///
    /// # Errors
    /// [`Error::Raced`] where the set is no longer what was read.
    pub async fn restore_keys(&self, set: &StoredKeySet, keys: &[RestoredKey]) -> Result<(), Error> {
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        self.write_set_row(&mut tx, set).await?;
        for restored in keys {
            self.insert_key(&mut tx, &set.name, Halves::from(&restored.key), &restored.instants).await?;
        }
        self.commit(tx, Change::KeySets).await
    }
}

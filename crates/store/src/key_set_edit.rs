//! Key sets that are kept by hand: no resource declares them, and no schedule turns them.

use jose::schedule::Instants;
use jose::{ImportedKey, KeyId};

use crate::database::bounded;
use crate::invalidation::Change;
use crate::key_registry::is_token_set;
use crate::key_sets::Halves;
use crate::{Error, KeySetPolicy, Store, StoredKeySet};

/// How often a change is decided anew after another writer was first.
const ATTEMPTS: usize = 5;

/// What becomes of a set that is kept by hand. No two keys of one edit have one name.
#[derive(Debug, Clone, Copy)]
pub enum KeySetEdit<'a> {
    /// A further key, of a new name.
    Add(&'a ImportedKey),
    /// A key, in the place of the one of its name, if there is one.
    Put(&'a ImportedKey),
    /// These keys and no others.
    Replace(&'a [ImportedKey]),
    /// All but one key.
    Remove(&'a KeyId),
    /// Nothing is left.
    Clear,
}

/// What became of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeySetEdited {
    /// It was done, or there was nothing to do.
    Done,
    /// The set has a key of that name already.
    Exists,
    /// A schedule turns the set: it is not kept by hand.
    Turned,
}

/// The rows that an edit removes and adds.
struct RowChanges<'a> {
    remove: Vec<&'a KeyId>,
    add: &'a [ImportedKey],
}

impl Store {
    /// Changes a set that is kept by hand; one that does not exist is made, one without keys is gone. The keys take
    /// effect at once.
    ///
    /// # Guarantees
    /// The write is a compare-and-set on the set's version: neither a resource that takes the set over meanwhile, nor
    /// another edit, is lost.
    ///
    /// # Errors
    /// [`Error::Conflict`] where a resource owns the set; [`Error::Raced`] after repeated losses.
    pub async fn edit_key_set(&self, name: &str, edit: KeySetEdit<'_>) -> Result<KeySetEdited, Error> {
        for _ in 0..ATTEMPTS {
            let row = self.read_key_set(name).await?;
            if let Some(holder) = row.as_ref().and_then(|row| row.manager.clone()) {
                return Err(Error::Conflict(Box::new(holder)));
            }
            if is_token_set(name) || row.as_ref().is_some_and(|row| !row.policy.is_by_hand()) {
                return Ok(KeySetEdited::Turned);
            }
            match self.write_by_hand(name, row, edit).await {
                Err(Error::Raced) => {}
                done => return done,
            }
        }
        Err(Error::Raced)
    }

    async fn write_by_hand(
        &self,
        name: &str,
        row: Option<StoredKeySet>,
        edit: KeySetEdit<'_>,
    ) -> Result<KeySetEdited, Error> {
        let existing: Vec<KeyId> = row.iter().flat_map(StoredKeySet::key_ids).cloned().collect();
        let Some(change) = changes(&existing, edit) else { return Ok(KeySetEdited::Exists) };
        if change.remove.is_empty() && change.add.is_empty() {
            return Ok(KeySetEdited::Done);
        }
        let set = match (row, change.add.first()) {
            (Some(row), _) => row,
            (None, Some(key)) => {
                StoredKeySet::absent(name, key.algorithm().key_use(), KeySetPolicy::by_hand())
            }
            (None, None) => return Ok(KeySetEdited::Done),
        };
        let now = self.clock().now();
        let instants = Instants { published_at: now, active_at: now, retired_at: None, removed_at: None };
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        self.write_set_row(&mut tx, &set).await?;
        for kid in &change.remove {
            self.delete_key(&mut tx, name, kid).await?;
        }
        for key in change.add {
            self.insert_key(&mut tx, name, Halves::from(key), &instants).await?;
        }
        if change.add.is_empty() && change.remove.len() == existing.len() {
            let query = self.db().query("DELETE FROM key_sets WHERE name = $1");
            bounded(query.bind(name.to_owned()).execute(&mut *tx)).await?;
        }
        self.commit(tx, Change::KeySets).await?;
        Ok(KeySetEdited::Done)
    }
}

/// Which rows go and come; `None` where a new key's name is taken.
fn changes<'a>(existing: &'a [KeyId], edit: KeySetEdit<'a>) -> Option<RowChanges<'a>> {
    let named = |kid: &KeyId| existing.iter().filter(|known| *known == kid).collect::<Vec<_>>();
    Some(match edit {
        KeySetEdit::Add(key) if existing.contains(key.key_id()) => return None,
        KeySetEdit::Add(key) => RowChanges { remove: Vec::new(), add: std::slice::from_ref(key) },
        KeySetEdit::Put(key) => RowChanges { remove: named(key.key_id()), add: std::slice::from_ref(key) },
        KeySetEdit::Replace(keys) => RowChanges { remove: existing.iter().collect(), add: keys },
        KeySetEdit::Remove(kid) => RowChanges { remove: named(kid), add: &[] },
        KeySetEdit::Clear => RowChanges { remove: existing.iter().collect(), add: &[] },
    })
}

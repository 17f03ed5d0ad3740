//! Taking over the keys of the token sets.

use jiff::Timestamp;
use jose::schedule::Instants;
use jose::{Algorithm, ImportedKey, KeyId, KeyUse};
use oauth::imported_token::ImportedId;

use super::ImportedRow;
use crate::invalidation::Change;
use crate::key_sets::Halves;
use crate::{ACCESS_TOKEN_SET, Error, ID_TOKEN_SET, KeySetPolicy, Store, StoredKeySet};

/// A key of another server's token set.
#[derive(Debug)]
pub(crate) struct AdoptedKey {
    pub(crate) key: ImportedKey,
    pub(crate) created_at: Timestamp,
}

impl AdoptedKey {
    /// The name of a key's row among what was taken over.
    pub(crate) fn row(set: &str, kid: &str) -> ImportedId {
        ImportedId::new("key", &[set.as_bytes(), kid.as_bytes()])
    }
}

/// What becomes of the keys of a token set.
#[derive(Debug, Default)]
pub(crate) struct Adoption {
    /// Those that are taken over.
    pub(crate) taken: Vec<KeyId>,
    /// Those that are here under their names already, or were taken over before.
    pub(crate) known: Vec<KeyId>,
    /// Those whose names a key of the other token set has.
    pub(crate) refused: Vec<KeyId>,
    /// True where the set was here already: its own key goes on signing.
    pub(crate) verifies_alone: bool,
}

impl Store {
    /// Takes over the keys of a token set, the newest first. Where there is no such set, the newest private key signs from
    /// now on, and the set turns by the default policy; the others stay published until what they signed has expired. Where
    /// there is one, its own key goes on signing, and all of these verify. Nothing is written where `is_dry` says so.
    ///
    /// # Errors
    /// [`Error::Raced`] where the set was changed meanwhile.
    pub(crate) async fn adopt_token_keys(
        &self,
        name: &str,
        keys: &[AdoptedKey],
        is_dry: bool,
    ) -> Result<Adoption, Error> {
        let row = self.read_key_set(name).await?;
        let other = if name == ID_TOKEN_SET { ACCESS_TOKEN_SET } else { ID_TOKEN_SET };
        let others = self.read_key_set(other).await?;
        let has = |set: &Option<StoredKeySet>, kid: &KeyId| {
            set.as_ref().is_some_and(|set| set.key_ids().any(|known| known == kid))
        };
        let mut adoption = Adoption { verifies_alone: row.is_some(), ..Adoption::default() };
        let mut adopted = Vec::new();
        for key in keys {
            let kid = key.key.key_id().clone();
            if has(&row, &kid) || self.is_imported(AdoptedKey::row(name, kid.as_str())).await? {
                adoption.known.push(kid);
            } else if has(&others, &kid) {
                adoption.refused.push(kid);
            } else {
                adoption.taken.push(kid);
                adopted.push(key);
            }
        }
        if is_dry || adopted.is_empty() {
            return Ok(adoption);
        }
        if row.is_some() || adopted.iter().any(|key| can_sign(&key.key)) {
            self.write_adoption(name, row, &adopted).await?;
        } else {
            // None of them signs, so that a set of them alone would be of no use.
            self.ensure_token_set(name).await?;
            self.write_adoption(name, self.read_key_set(name).await?, &adopted).await?;
        }
        Ok(adoption)
    }

    async fn write_adoption(
        &self,
        name: &str,
        row: Option<StoredKeySet>,
        keys: &[&AdoptedKey],
    ) -> Result<(), Error> {
        let now = self.clock().now();
        let signs = if row.is_none() { keys.iter().position(|key| can_sign(&key.key)) } else { None };
        let mut set = match (row, signs) {
            (Some(set), _) => set,
            (None, signs) => {
                StoredKeySet::absent(name, KeyUse::Sig, self.policy_for(signs.map(|at| keys[at])))
            }
        };
        set.lifetimes = set.lifetimes.observe(self.longest_lifetime(name).await?, now);
        let policy =
            set.policy.schedule(set.lifetimes.effective(now), set.lead_floor).map_err(Error::corrupt)?;
        let removed_at = now.saturating_add(policy.retain).unwrap_or(Timestamp::MAX);
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        self.write_set_row(&mut tx, &set).await?;
        for (at, key) in keys.iter().enumerate() {
            let active = Instants { published_at: now, active_at: now, retired_at: None, removed_at: None };
            let (halves, instants) = if signs == Some(at) {
                (Halves::from(&key.key), active)
            } else {
                // It had retired long before its private half could be of use here.
                let (from, until) = (key.created_at.min(now), (Some(now), Some(removed_at)));
                let instants = Instants {
                    published_at: from,
                    active_at: from,
                    retired_at: until.0,
                    removed_at: until.1,
                };
                (Halves::from(&key.key).public_alone(), instants)
            };
            self.insert_key(&mut tx, name, halves, &instants).await?;
            let noted = ImportedRow::of(AdoptedKey::row(name, key.key.key_id().as_str()));
            self.note(&mut tx, &noted).await?;
        }
        self.commit(tx, Change::KeySets).await
    }

    fn policy_for(&self, key: Option<&AdoptedKey>) -> KeySetPolicy {
        match key.map(|key| key.key.algorithm()) {
            Some(Algorithm::Signing(algorithm)) => KeySetPolicy::undeclared(algorithm),
            _ => KeySetPolicy::undeclared(self.token_algorithm()),
        }
    }
}

fn can_sign(key: &ImportedKey) -> bool {
    key.private().is_some() && matches!(key.algorithm(), Algorithm::Signing(_))
}

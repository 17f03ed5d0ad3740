//! The `key_sets` and `keys` tables.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use jose::schedule::{Instants, Plan, ScheduledKey};
use jose::{Algorithm, ImportedKey, KeyId, KeyRing, KeyUse, PrivateKey, PublicJwk};
use sqlx::any::AnyRow;
use sqlx::{Any, Row, Transaction};
use zeroize::Zeroizing;

use crate::clients::timestamp;
use crate::database::bounded;
use crate::invalidation::Change;
use crate::{Error, KeySetPolicy, ResourceRef, SignedLifetimes, Store};

/// One key of a set.
#[derive(Debug, Clone)]
pub struct StoredKey {
    /// Its name, algorithm and instants.
    pub schedule: ScheduledKey,
    /// Its public half.
    pub public: PublicJwk,
    /// Its private half, sealed; `None` once it is destroyed.
    pub(crate) sealed: Option<Vec<u8>>,
}

/// A key set's row and its keys, in no particular order.
#[derive(Debug, Clone)]
pub struct StoredKeySet {
    /// The set's name.
    pub name: String,
    /// What its keys are for.
    pub key_use: KeyUse,
    /// How they turn.
    pub policy: KeySetPolicy,
    /// The resource that owns it; `None` where the server made it.
    pub manager: Option<ResourceRef>,
    /// True where the set goes with that resource.
    pub deleted_with_manager: bool,
    /// The `rotate` request that was handled last.
    pub handled_rotate: Option<String>,
    /// The `rotate-now` request that was handled last.
    pub handled_rotate_now: Option<String>,
    /// No key becomes active before this instant.
    pub lead_floor: Option<Timestamp>,
    /// How long the tokens live that it has signed.
    pub lifetimes: SignedLifetimes,
    /// The row's version, which fences writes; 0 where there is no row yet.
    pub version: i64,
    /// The keys that can be read.
    pub keys: Vec<StoredKey>,
    /// The names of those that cannot: their rows were damaged, or are of another set or installation.
    pub unreadable: Vec<KeyId>,
}

impl StoredKeySet {
    /// A set that has no row yet.
    pub fn absent(name: &str, key_use: KeyUse, policy: KeySetPolicy) -> Self {
        Self {
            name: name.to_owned(),
            key_use,
            policy,
            manager: None,
            deleted_with_manager: false,
            handled_rotate: None,
            handled_rotate_now: None,
            lead_floor: None,
            lifetimes: SignedLifetimes::default(),
            version: 0,
            keys: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    /// The row without its keys: what a write of it would change.
    pub(crate) fn row(&self) -> impl PartialEq + '_ {
        let handled = (&self.handled_rotate, &self.handled_rotate_now);
        let owned = (&self.manager, self.deleted_with_manager);
        (self.key_use, &self.policy, owned, handled, self.lead_floor, self.lifetimes)
    }

    /// Nothing, where a plan for the set knows of all its keys, or is told that those it cannot know are to go.
    ///
    /// # Errors
    /// [`Error::UnreadableKey`] where a key is unreadable that is not `revoked`.
    pub(crate) fn check_readable(&self, revoked: &[KeyId]) -> Result<(), Error> {
        match self.unreadable.iter().find(|kid| !revoked.contains(kid)) {
            Some(kid) => Err(Error::UnreadableKey { set: self.name.clone(), kid: kid.clone() }),
            None => Ok(()),
        }
    }

    /// The names of all keys, whether they can be read or not.
    pub fn key_ids(&self) -> impl Iterator<Item = &KeyId> {
        self.keys.iter().map(|key| &key.schedule.kid).chain(&self.unreadable)
    }

    /// The keys as the schedule sees them.
    pub fn scheduled(&self) -> Vec<ScheduledKey> {
        self.keys.iter().map(|key| key.schedule.clone()).collect()
    }
}

const SELECT: &str = "SELECT s.name, s.key_use, s.policy, s.manager_cluster, s.manager_namespace, s.manager_name, \
    s.manager_uid, s.handled_rotate, s.handled_rotate_now, s.lead_floor, s.version, \
    k.kid, k.algorithm, k.public_jwk, k.private_jwk, k.published_at, k.active_at, k.retired_at, k.removed_at, \
    s.lifetime, s.lifetime_before, s.lifetime_before_until, s.deleted_with_manager \
    FROM key_sets s LEFT JOIN keys k ON k.set_name = s.name";

const SELECT_ONE: &str = const_format::concatcp!(SELECT, " WHERE s.name = $1");

impl Store {
    /// Reads one set. One statement. Whether private halves open is not looked at.
    ///
    /// # Errors
    /// [`Error::Unavailable`], or [`Error::Corrupt`] where the set's own row cannot be read. A key that cannot be read,
    /// or was not made for the set, is no error: see [`StoredKeySet::unreadable`].
    pub async fn read_key_set(&self, name: &str) -> Result<Option<StoredKeySet>, Error> {
        let query = self.db().query(SELECT_ONE).bind(name.to_owned());
        Ok(collect(self.ring(), &self.db().fetch_all(query).await?)?.pop())
    }

    /// Reads all sets. One statement. Whether private halves open is not looked at.
    ///
    /// # Errors
    /// As of [`Self::read_key_set`].
    pub async fn read_key_sets(&self) -> Result<Vec<StoredKeySet>, Error> {
        collect(self.ring(), &self.db().fetch_all(self.db().query(SELECT)).await?)
    }

    /// Writes a set's row and a plan's changes to its keys in one transaction, where the row still has the version of
    /// `set`. `made` holds the keys for `plan.create`, in its order.
    ///
    /// # Errors
    /// [`Error::Raced`] where another writer was first.
    pub(crate) async fn write_key_set(
        &self,
        set: &StoredKeySet,
        plan: &Plan,
        made: &[PrivateKey],
    ) -> Result<(), Error> {
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        self.write_set_row(&mut tx, set).await?;
        for (kid, instants) in &plan.update {
            self.update_key(&mut tx, &set.name, kid, instants).await?;
        }
        for kid in &plan.remove {
            self.delete_key(&mut tx, &set.name, kid).await?;
        }
        for kid in &plan.destroy_private {
            let query =
                self.db().query("UPDATE keys SET private_jwk = NULL WHERE set_name = $1 AND kid = $2");
            bounded(query.bind(set.name.clone()).bind(kid.to_string()).execute(&mut *tx)).await?;
        }
        for (new, key) in plan.create.iter().zip(made) {
            self.insert_key(&mut tx, &set.name, Halves::from(key), &new.instants).await?;
        }
        self.commit(tx, Change::KeySets).await
    }

    /// Writes the row, where it still has the version of `set`.
    pub(crate) async fn write_set_row(
        &self,
        tx: &mut Transaction<'_, Any>,
        set: &StoredKeySet,
    ) -> Result<(), Error> {
        let sql = if set.version == 0 {
            "INSERT INTO key_sets (name, version, key_use, policy, manager_cluster, manager_namespace, manager_name, \
             manager_uid, handled_rotate, handled_rotate_now, lead_floor, created_at, updated_at, \
             lifetime, lifetime_before, lifetime_before_until, deleted_with_manager) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, $13, $14, $15, $16) \
             ON CONFLICT (name) DO NOTHING"
        } else {
            "UPDATE key_sets SET key_use = $3, policy = $4, manager_cluster = $5, manager_namespace = $6, \
             manager_name = $7, manager_uid = $8, handled_rotate = $9, handled_rotate_now = $10, lead_floor = $11, \
             updated_at = $12, lifetime = $13, lifetime_before = $14, lifetime_before_until = $15, \
             deleted_with_manager = $16, version = version + 1 WHERE name = $1 AND version = $2"
        };
        let manager = set.manager.as_ref();
        let query = self
            .db()
            .query(sql)
            .bind(set.name.clone())
            .bind(if set.version == 0 { self.first_version() } else { set.version })
            .bind(set.key_use.to_string())
            .bind(serde_json::to_string(&set.policy).map_err(Error::corrupt)?)
            .bind(manager.map(|m| m.cluster.clone()))
            .bind(manager.map(|m| m.namespace.clone()))
            .bind(manager.map(|m| m.name.clone()))
            .bind(manager.map(|m| m.uid.clone()))
            .bind(set.handled_rotate.clone())
            .bind(set.handled_rotate_now.clone())
            .bind(set.lead_floor.map(Timestamp::as_second))
            .bind(self.clock().now().as_second())
            .bind(seconds(set.lifetimes.longest))
            .bind(set.lifetimes.before.map(|(lifetime, _)| seconds(lifetime)))
            .bind(set.lifetimes.before.map(|(_, until)| until.as_second()))
            .bind(i64::from(set.deleted_with_manager));
        match bounded(query.execute(&mut **tx)).await?.rows_affected() {
            0 => Err(Error::Raced),
            _ => Ok(()),
        }
    }

    async fn update_key(
        &self,
        tx: &mut Transaction<'_, Any>,
        set: &str,
        kid: &KeyId,
        instants: &Instants,
    ) -> Result<(), Error> {
        let query = self
            .db()
            .query(
                "UPDATE keys SET published_at = $3, active_at = $4, retired_at = $5, removed_at = $6 \
                 WHERE set_name = $1 AND kid = $2",
            )
            .bind(set.to_owned())
            .bind(kid.to_string())
            .bind(instants.published_at.as_second())
            .bind(instants.active_at.as_second())
            .bind(instants.retired_at.map(Timestamp::as_second))
            .bind(instants.removed_at.map(Timestamp::as_second));
        bounded(query.execute(&mut **tx)).await?;
        Ok(())
    }

    pub(crate) async fn delete_key(
        &self,
        tx: &mut Transaction<'_, Any>,
        set: &str,
        kid: &KeyId,
    ) -> Result<(), Error> {
        let query = self.db().query("DELETE FROM keys WHERE set_name = $1 AND kid = $2");
        bounded(query.bind(set.to_owned()).bind(kid.to_string()).execute(&mut **tx)).await?;
        Ok(())
    }

    /// Adds a key, sealed.
    pub(crate) async fn insert_key(
        &self,
        tx: &mut Transaction<'_, Any>,
        set: &str,
        key: Halves<'_>,
        instants: &Instants,
    ) -> Result<(), Error> {
        let seal = |owner: &str, jwk: &str| self.ring().seal_jwk(owner, key.kid, jwk, self.entropy().bytes());
        let public = serde_json::to_string(key.public).map_err(Error::corrupt)?;
        let private = key.private.map(PrivateKey::to_jwk).transpose()?;
        let query = self
            .db()
            .query(
                "INSERT INTO keys (set_name, kid, algorithm, public_jwk, private_jwk, published_at, active_at, \
                 retired_at, removed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            )
            .bind(set.to_owned())
            .bind(key.kid.to_string())
            .bind(key.algorithm.to_string())
            .bind(seal(&public_owner(set), &public))
            .bind(private.map(|private| seal(set, &private)))
            .bind(instants.published_at.as_second())
            .bind(instants.active_at.as_second())
            .bind(instants.retired_at.map(Timestamp::as_second))
            .bind(instants.removed_at.map(Timestamp::as_second));
        bounded(query.execute(&mut **tx)).await?;
        Ok(())
    }

    /// A key's private half as a JWK; `None` where there is none any more, or never was.
    ///
    /// # Errors
    /// [`Error::Key`] where it does not open.
    pub fn private_jwk(&self, set: &str, key: &StoredKey) -> Result<Option<Zeroizing<String>>, Error> {
        let open = |sealed| self.ring().open_jwk(set, &key.schedule.kid, sealed);
        Ok(key.sealed.as_deref().map(open).transpose()?)
    }

    /// Deletes a set and its keys, where `manager` owns it. False where there was none.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn delete_key_set(&self, name: &str, manager: &ResourceRef) -> Result<bool, Error> {
        let mut loan = self.db().loan().await?;
        let mut tx = loan.begin().await?;
        let query = self
            .db()
            .query(
                "DELETE FROM key_sets WHERE name = $1 AND manager_cluster = $2 AND manager_namespace = $3 \
                 AND manager_name = $4",
            )
            .bind(name.to_owned())
            .bind(manager.cluster.clone())
            .bind(manager.namespace.clone())
            .bind(manager.name.clone());
        let deleted = bounded(query.execute(&mut *tx)).await?.rows_affected();
        self.commit_changed(tx, deleted, Change::KeySets).await
    }
}

/// A key that is to be written.
#[derive(Clone, Copy)]
pub(crate) struct Halves<'a> {
    kid: &'a KeyId,
    algorithm: Algorithm,
    public: &'a PublicJwk,
    private: Option<&'a PrivateKey>,
}

impl Halves<'_> {
    /// The same without the private half.
    pub(crate) fn public_alone(self) -> Self {
        Self { private: None, ..self }
    }
}

impl<'a> From<&'a PrivateKey> for Halves<'a> {
    fn from(key: &'a PrivateKey) -> Self {
        Self { kid: key.key_id(), algorithm: key.algorithm(), public: key.public_jwk(), private: Some(key) }
    }
}

impl<'a> From<&'a ImportedKey> for Halves<'a> {
    fn from(key: &'a ImportedKey) -> Self {
        Self {
            kid: key.key_id(),
            algorithm: key.algorithm(),
            public: key.public_jwk(),
            private: key.private(),
        }
    }
}

/// What a public half is sealed for. No set has a name with NUL in it, so that neither half opens as the other.
fn public_owner(set: &str) -> String {
    format!("public\0{set}")
}

/// The sets of rows joined with their keys.
fn collect(ring: &KeyRing, rows: &[AnyRow]) -> Result<Vec<StoredKeySet>, Error> {
    let mut sets: BTreeMap<String, StoredKeySet> = BTreeMap::new();
    for row in rows {
        let name: String = row.try_get(0)?;
        let set = match sets.entry(name.clone()) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => entry.insert(set_of(name, row)?),
        };
        let Some(kid) = row.try_get::<Option<String>, _>(11)?.map(KeyId::from) else { continue };
        match key_of(ring, &set.name, &kid, row) {
            Ok(key) => set.keys.push(key),
            // One damaged row is no reason to be without all the others. A turn refuses to plan around it.
            Err(_) => set.unreadable.push(kid),
        }
    }
    Ok(sets.into_values().collect())
}

fn set_of(name: String, row: &AnyRow) -> Result<StoredKeySet, Error> {
    let manager = match row.try_get::<Option<String>, _>(3)? {
        None => None,
        Some(cluster) => Some(ResourceRef {
            cluster,
            namespace: row.try_get(4)?,
            name: row.try_get(5)?,
            uid: row.try_get(6)?,
        }),
    };
    Ok(StoredKeySet {
        name,
        key_use: row.try_get::<String, _>(1)?.parse().map_err(Error::unreadable("key_sets.key_use"))?,
        policy: serde_json::from_str(&row.try_get::<String, _>(2)?)
            .map_err(Error::unreadable("key_sets.policy"))?,
        manager,
        deleted_with_manager: row.try_get::<i64, _>(22)? != 0,
        handled_rotate: row.try_get(7)?,
        handled_rotate_now: row.try_get(8)?,
        lead_floor: timestamp(row.try_get(9)?)?,
        lifetimes: lifetimes_of(row)?,
        version: row.try_get(10)?,
        keys: Vec::new(),
        unreadable: Vec::new(),
    })
}

fn lifetimes_of(row: &AnyRow) -> Result<SignedLifetimes, Error> {
    let lifetime = |seconds: i64| Duration::from_secs(seconds.unsigned_abs());
    let until = timestamp(row.try_get(21)?)?;
    Ok(SignedLifetimes {
        longest: lifetime(row.try_get(19)?),
        before: row.try_get::<Option<i64>, _>(20)?.map(lifetime).zip(until),
    })
}

fn seconds(lifetime: Duration) -> i64 {
    i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX)
}

fn key_of(ring: &KeyRing, set: &str, kid: &KeyId, row: &AnyRow) -> Result<StoredKey, Error> {
    let public = ring.open_jwk(&public_owner(set), kid, row.try_get(13)?)?;
    let instant = |index: usize| -> Result<Timestamp, Error> {
        Timestamp::from_second(row.try_get(index)?).map_err(Error::unreadable("with an instant"))
    };
    let sealed: Option<Vec<u8>> = row.try_get(14)?;
    Ok(StoredKey {
        schedule: ScheduledKey {
            kid: kid.clone(),
            algorithm: row.try_get::<String, _>(12)?.parse().map_err(Error::unreadable("keys.algorithm"))?,
            instants: Instants {
                published_at: instant(15)?,
                active_at: instant(16)?,
                retired_at: timestamp(row.try_get(17)?)?,
                removed_at: timestamp(row.try_get(18)?)?,
            },
            has_private_half: sealed.is_some(),
        },
        public: serde_json::from_str(&public).map_err(Error::unreadable("keys.public_jwk"))?,
        sealed,
    })
}

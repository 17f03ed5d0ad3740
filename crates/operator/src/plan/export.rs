//! The Secret into which a key set is exported: whose it is, and what it should say.
//!
//! With private keys it is the set's backup. So that a restored set goes on as if nothing had happened, each key then
//! carries its instants, under the names that JWTs have for such (`iat`, `nbf`, `exp`; RFC 7517 §4 lets JWKs have more
//! members, which others ignore).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crd::{DeletionPolicy, JsonWebKeySet, KeyStatus, names};
use jiff::Timestamp;
use jose::schedule::{Instants, State};
use jose::{ImportedKey, KeyId};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use store::{ResourceRef, RestoredKey, StoredKeySet};
use zeroize::Zeroizing;

use super::secret::{OPAQUE, Unusable, WRITTEN_FOR, refuse_to_write, text};

/// When a key was written.
const PUBLISHED_AT: &str = "iat";
/// When it begins to sign.
const ACTIVE_AT: &str = "nbf";
/// When it ceases to sign.
const RETIRED_AT: &str = "retired_at";
/// When it leaves the published set.
const REMOVED_AT: &str = "exp";

/// A key as it is exported.
pub struct ExportedKey {
    /// Its JWK, private or public.
    pub jwk: Zeroizing<String>,
    /// Its instants, in an export with private keys.
    pub instants: Instants,
}

/// The document: the key that signs comes first, then the next one and the retired ones. `as_backup` adds the instants.
///
/// # Errors
/// Where a key is no JSON object, which is a defect.
pub fn document(
    mut keys: Vec<ExportedKey>,
    as_backup: bool,
    now: Timestamp,
) -> Result<Zeroizing<String>, serde_json::Error> {
    let rank = |key: &ExportedKey| match key.instants.state(now) {
        State::Active => 0,
        State::Next => 1,
        State::Retired | State::Removed => 2,
    };
    keys.retain(|key| key.instants.state(now) != State::Removed);
    keys.sort_by_key(|key| (rank(key), Reverse(key.instants.active_at), key.jwk.to_string()));
    let mut written = Vec::new();
    for key in keys {
        let mut jwk: serde_json::Map<String, Value> = serde_json::from_str(&key.jwk)?;
        if as_backup {
            let second = |instant: Timestamp| Value::from(instant.as_second());
            jwk.insert(PUBLISHED_AT.into(), second(key.instants.published_at));
            jwk.insert(ACTIVE_AT.into(), second(key.instants.active_at));
            for (name, instant) in
                [(RETIRED_AT, key.instants.retired_at), (REMOVED_AT, key.instants.removed_at)]
            {
                if let Some(instant) = instant {
                    jwk.insert(name.into(), second(instant));
                }
            }
        }
        written.push(Value::Object(jwk));
    }
    Ok(Zeroizing::new(serde_json::to_string(&json!({"keys": written}))?))
}

/// What a backup holds.
#[derive(Debug)]
pub struct Backup {
    /// The keys that are of use still; none where it is one of public keys, of which nothing could be restored.
    pub keys: Vec<RestoredKey>,
    /// What is wrong with those that cannot be read, without quoting them.
    pub damaged: Vec<String>,
}

/// Reads a backup. A key that cannot be read is no reason to do without the others.
///
/// # Errors
/// What is wrong with all of it, without quoting it.
pub fn restorable(document: &str, now: Timestamp) -> Result<Backup, String> {
    let document: Value =
        serde_json::from_str(document).map_err(|_| format!("{} is not JSON", names::EXPORT_KEY))?;
    let entries = document["keys"].as_array().ok_or_else(|| format!("{} has no keys", names::EXPORT_KEY))?;
    let mut backup = Backup { keys: Vec::new(), damaged: Vec::new() };
    for (n, entry) in entries.iter().enumerate() {
        let is_same = |other: &RestoredKey, one: &RestoredKey| other.key.key_id() == one.key.key_id();
        match restored_key(entry) {
            Ok(one) if backup.keys.iter().any(|other| is_same(other, &one)) => {
                backup.damaged.push(format!("entry {} has the name of another one", n + 1));
            }
            Ok(one) => backup.keys.push(one),
            Err(problem) => backup.damaged.push(format!("entry {}: {problem}", n + 1)),
        }
    }
    if backup.keys.iter().any(|restored| restored.key.private().is_some()) {
        backup.keys.retain(|restored| restored.instants.state(now) != State::Removed);
    } else {
        backup.keys.clear();
    }
    Ok(backup)
}

/// Annotation of an export: the version that the set had in the database when it was written. By it a database that was
/// put back to an older state is told from an API server that was: what an old Secret has and the database has not is
/// then no loss, but has left, perhaps since it was revoked.
const SET_VERSION: &str = "keywright.dev/set-version";

/// The Secret as it is to be written, of a set at this version.
#[must_use]
pub fn stamped(mut secret: Secret, version: i64) -> Secret {
    secret.metadata.annotations.get_or_insert_default().insert(SET_VERSION.to_owned(), version.to_string());
    secret
}

/// The version that the set had when the Secret was written.
pub fn stamp(object: &Secret) -> Option<i64> {
    object.annotations().get(SET_VERSION)?.parse().ok()
}

/// What the database may have lost of a set.
#[derive(Debug)]
pub enum Loss<'a> {
    /// All of it: it knows nothing of the set.
    Set,
    /// Perhaps all of it: what it has, no resource ever declared. A server makes the sets that it signs with wherever
    /// there are none, so also where the database was lost.
    Unclaimed(&'a StoredKeySet),
    /// Keys of which the resource's status tells, since the database was put back to an older state.
    Keys(&'a StoredKeySet, BTreeSet<String>),
}

/// What was lost of the set, as far as that can be known without its backup; `None` where nothing was, or the set is
/// another resource's.
pub fn loss<'a>(
    key_set: &JsonWebKeySet,
    me: &ResourceRef,
    stored: Option<&'a StoredKeySet>,
    now: Timestamp,
) -> Option<Loss<'a>> {
    let Some(set) = stored else { return Some(Loss::Set) };
    match &set.manager {
        None => Some(Loss::Unclaimed(set)),
        Some(holder) if holder.same_place(me) => {
            let kids = lost(key_set, set, now);
            (!kids.is_empty()).then_some(Loss::Keys(set, kids))
        }
        Some(_) => None,
    }
}

/// What a Secret gives back to a set: all that it holds where the database lost the set, else what that has lost of it;
/// never what is revoked. `None` where it holds nothing, or is no newer than the set.
pub fn backup(key_set: &JsonWebKeySet, loss: Loss<'_>, object: &Secret, now: Timestamp) -> Option<Backup> {
    let mut backup = restorable(&exported(object)?, now)
        .unwrap_or_else(|problem| Backup { keys: Vec::new(), damaged: vec![problem] });
    let loss = match loss {
        Loss::Unclaimed(set) if !is_in_place_of(set, &backup) => Loss::Keys(set, lost(key_set, set, now)),
        other => other,
    };
    if let Loss::Keys(set, kids) = &loss
        && (kids.is_empty() || stamp(object) <= Some(set.version))
    {
        return None;
    }
    backup.keys.retain(|restored| {
        let kid = restored.key.key_id().as_str();
        let is_lost = match &loss {
            Loss::Set | Loss::Unclaimed(_) => true,
            Loss::Keys(_, kids) => kids.contains(kid) && is_true_to_its_name(restored),
        };
        is_lost && !key_set.spec.revoked_key_ids.iter().any(|revoked| revoked == kid)
    });
    Some(backup)
}

/// True where a set was made in the place of the one that a backup is of: it has none of its keys, and was given all that
/// it has after them.
fn is_in_place_of(set: &StoredKeySet, backup: &Backup) -> bool {
    let newest = backup.keys.iter().map(|restored| restored.instants.published_at).max();
    let is_younger = |newest| set.keys.iter().all(|key| key.schedule.instants.published_at >= newest);
    let has = |kid: &KeyId| backup.keys.iter().any(|restored| restored.key.key_id() == kid);
    newest.is_some_and(is_younger) && !set.key_ids().any(has)
}

/// The keys that the resource's status tells of and the database has lost, since it was put back to an older state. What
/// nobody ever told of is never taken from a Secret while the database has the set: whoever may edit Secrets could have
/// put it there.
fn lost(key_set: &JsonWebKeySet, stored: &StoredKeySet, now: Timestamp) -> BTreeSet<String> {
    let is_lost = |told: &&KeyStatus| {
        told.removed_at.is_none_or(|at| now < at.get())
            && !key_set.spec.revoked_key_ids.contains(&told.kid)
            && stored.key_ids().all(|kid| kid.as_str() != told.kid)
    };
    let told = key_set.status.iter().flat_map(|status| &status.keys);
    told.filter(is_lost).map(|told| told.kid.clone()).collect()
}

/// True for a key that is what its name says: whoever may edit Secrets cannot put another one under a name that the
/// status tells.
fn is_true_to_its_name(restored: &RestoredKey) -> bool {
    restored.key.public_jwk().thumbprint() == *restored.key.key_id()
}

fn restored_key(jwk: &Value) -> Result<RestoredKey, String> {
    let key = ImportedKey::from_jwk(&Zeroizing::new(jwk.to_string())).map_err(|error| error.to_string())?;
    let instant = |name: &str| jwk[name].as_i64().and_then(|second| Timestamp::from_second(second).ok());
    let needed = |name: &str| instant(name).ok_or_else(|| format!("key {} has no {name}", key.key_id()));
    let instants = Instants {
        published_at: needed(PUBLISHED_AT)?,
        active_at: needed(ACTIVE_AT)?,
        retired_at: instant(RETIRED_AT),
        removed_at: instant(REMOVED_AT),
    };
    Ok(RestoredKey { key, instants })
}

/// Why a Secret that stands there is not this set's to write and to read.
pub fn refuse(key_set: &JsonWebKeySet, object: &Secret) -> Option<Unusable> {
    refuse_to_write(key_set.meta(), &written_for(key_set), "export.secretName", object)
}

/// What the annotation says; no client is called so, as none has a slash in its name.
fn written_for(key_set: &JsonWebKeySet) -> String {
    format!("jsonwebkeysets/{}", key_set.name_any())
}

/// The document in a Secret.
pub fn exported(object: &Secret) -> Option<Zeroizing<String>> {
    text(object, names::EXPORT_KEY).map(Zeroizing::new)
}

/// The Secret as it should be; `found` carries the version that the write depends on. `None` where nothing is exported.
pub fn desired(key_set: &JsonWebKeySet, document: &str, found: Option<&Secret>) -> Option<Secret> {
    let export = key_set.spec.export.as_ref()?;
    // An orphaned set outlives its resource, and so does its backup.
    let owners = match key_set.spec.deletion_policy {
        DeletionPolicy::Delete => key_set.controller_owner_ref(&()).map(|owner| vec![owner]),
        DeletionPolicy::Orphan => None,
    };
    Some(Secret {
        metadata: ObjectMeta {
            name: Some(export.secret_name.clone()),
            namespace: key_set.namespace(),
            labels: Some([(names::MANAGED.to_owned(), names::LABEL_TRUE.to_owned())].into()),
            annotations: Some([(WRITTEN_FOR.to_owned(), written_for(key_set))].into()),
            owner_references: owners,
            uid: found.and_then(ResourceExt::uid),
            resource_version: found.and_then(ResourceExt::resource_version),
            ..ObjectMeta::default()
        },
        type_: Some(OPAQUE.to_owned()),
        data: Some(BTreeMap::from([(
            names::EXPORT_KEY.to_owned(),
            ByteString(document.as_bytes().to_vec()),
        )])),
        ..Secret::default()
    })
}

#[cfg(test)]
mod tests;

//! The export of a key set into a Secret, and the way back when the database is lost.

use crd::JsonWebKeySet;
use k8s_openapi::api::core::v1::Secret;
use store::{Declaration, Turn};
use zeroize::Zeroizing;

use super::key_set::KeySetReconciler;
use crate::apply::Failure;
use crate::events::{Event, EventReason};
use crate::objects::{Objects, ResourceView};
use crate::plan::export::{ExportedKey, backup, desired, document, exported, loss, refuse, stamp, stamped};
use crate::plan::secret::{Unusable, controller, is_as};

impl<O: Objects> KeySetReconciler<O> {
    /// Restores a set of which the database knows nothing, or has no more than a server has made in its place since, from
    /// the Secret into which it was exported with its private keys; and of one that it has, what it lost when it was put
    /// back to an older state. Else the Secret is never read back.
    pub(super) async fn restore(
        &self,
        key_set: &JsonWebKeySet,
        declaration: &Declaration,
    ) -> Result<(), Failure> {
        let Some(export) = key_set.spec.export.as_ref().filter(|export| export.private_keys) else {
            return Ok(());
        };
        let (store, objects) = (&self.context.store, &self.context.objects);
        let now = store.clock().now();
        let stored = store.read_key_set(&declaration.set).await?;
        let Some(loss) = loss(key_set, &declaration.manager, stored.as_ref(), now) else { return Ok(()) };
        let object = objects.secret(&declaration.manager.namespace, &export.secret_name).await?;
        let Some(object) = object.filter(|object| refuse(key_set, object).is_none()) else {
            return Ok(());
        };
        let Some(backup) = backup(key_set, loss, &object, now) else { return Ok(()) };
        let view = ResourceView::KeySet(key_set);
        if !backup.damaged.is_empty() {
            // The next write replaces it, so this is the last that anybody hears of it.
            let (name, problems) = (&export.secret_name, backup.damaged.join("; "));
            let note = format!("Secret {name} cannot be restored from: {problems}");
            objects.publish(view, Event::new(EventReason::KeysLost, note)).await;
        }
        if backup.keys.is_empty() {
            return Ok(());
        }
        let restored = match &stored {
            None => store.restore_key_set(declaration, &backup.keys).await,
            Some(set) => store.restore_keys(set, &backup.keys).await,
        };
        match restored {
            Ok(()) => {
                let note = format!("{} keys from Secret {}", backup.keys.len(), export.secret_name);
                objects.publish(view, Event::new(EventReason::Restored, note)).await;
                Ok(())
            }
            // Another operator, or the server, was first.
            Err(store::Error::Raced) if stored.is_none() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the Secret where it does not say what the set is now.
    pub(super) async fn export(
        &self,
        key_set: &JsonWebKeySet,
        turn: &Turn,
    ) -> Result<Result<(), Unusable>, Failure> {
        let Some(export) = &key_set.spec.export else { return Ok(Ok(())) };
        let objects = &self.context.objects;
        let namespace = key_set.metadata.namespace.as_deref().unwrap_or_default();
        let found = objects.secret(namespace, &export.secret_name).await?;
        if let Some(unusable) = found.as_ref().and_then(|object| refuse(key_set, object)) {
            return Ok(Err(unusable));
        }
        let document = self.document(export.private_keys, turn)?;
        let Some(wanted) = desired(key_set, &document, found.as_ref()) else { return Ok(Ok(())) };
        // An owner that is no longer wanted would take the Secret along.
        let is_so = |object: &Secret| is_as(object, &wanted) && owned(object) == owned(&wanted);
        if found.as_ref().is_some_and(is_so) {
            return Ok(Ok(()));
        }
        let written = objects.write_secret(&stamped(wanted, turn.after.version)).await;
        written.map_err(|error| Failure::SecretWrite { name: export.secret_name.clone(), error })?;
        if let Some(reason) = noteworthy(key_set, turn, found.is_some()) {
            let event = Event::new(reason, format!("Secret {} holds the set", export.secret_name));
            objects.publish(ResourceView::KeySet(key_set), event).await;
        }
        Ok(Ok(()))
    }

    /// Takes its owner from the Secret of a set that stays: it would go with the resource, where that came to say so only
    /// just before it was deleted.
    pub(super) async fn disown_export(&self, key_set: &JsonWebKeySet) -> Result<(), Failure> {
        let Some(export) = &key_set.spec.export else { return Ok(()) };
        let namespace = key_set.metadata.namespace.as_deref().unwrap_or_default();
        let found = self.context.objects.secret(namespace, &export.secret_name).await?;
        let Some(object) = found.filter(|object| refuse(key_set, object).is_none() && owned(object)) else {
            return Ok(());
        };
        let document = exported(&object).unwrap_or_default();
        let Some(wanted) = desired(key_set, &document, Some(&object)) else { return Ok(()) };
        if owned(&wanted) {
            return Ok(());
        }
        let wanted = match stamp(&object) {
            Some(version) => stamped(wanted, version),
            None => wanted,
        };
        let written = self.context.objects.write_secret(&wanted).await;
        written.map_err(|error| Failure::SecretWrite { name: export.secret_name.clone(), error })
    }

    fn document(&self, private: bool, turn: &Turn) -> Result<Zeroizing<String>, Failure> {
        let (store, set) = (&self.context.store, &turn.after);
        let mut keys = Vec::new();
        for key in &set.keys {
            let public =
                || serde_json::to_string(&key.public).map(Zeroizing::new).map_err(store::Error::corrupt);
            let kept = if private { store.private_jwk(&set.name, key)? } else { None };
            let jwk = kept.map_or_else(public, Ok)?;
            keys.push(ExportedKey { jwk, instants: key.schedule.instants });
        }
        Ok(document(keys, private, store.clock().now()).map_err(store::Error::corrupt)?)
    }
}

fn owned(secret: &Secret) -> bool {
    controller(secret).is_some()
}

/// What is told of a write: that the Secret was not there, or said something else though nothing had happened to the
/// set. What happens to keys has events of its own.
fn noteworthy(key_set: &JsonWebKeySet, turn: &Turn, found: bool) -> Option<EventReason> {
    let status = key_set.status.as_ref();
    let seen = status.is_some_and(|status| {
        status.observed_generation == key_set.metadata.generation
            && turn.after.keys.iter().all(|key| {
                let same = |told: &&crd::KeyStatus| told.kid == key.schedule.kid.as_str();
                let told = status.keys.iter().find(same);
                told.is_some_and(|told| {
                    told.retired_at.map(crd::StatusTime::get) == key.schedule.instants.retired_at
                })
            })
    });
    match (found, seen) {
        (false, false) => Some(EventReason::SecretCreated),
        (false, true) => Some(EventReason::SecretRecreated),
        (true, true) if turn.before.version == turn.after.version => Some(EventReason::SecretTampered),
        (true, _) => None,
    }
}

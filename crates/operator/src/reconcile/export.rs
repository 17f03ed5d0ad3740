//! The export of a key set into a Secret, and the way back when the database is lost.

use crd::JsonWebKeySet;
use k8s_openapi::api::core::v1::Secret;
use store::{Declaration, Turn};
use zeroize::Zeroizing;

use super::key_set::KeySetReconciler;
use crate::apply::Failure;
use crate::events::{Event, EventReason};
use crate::objects::{Objects, ResourceView};
use crate::plan::export::{ExportedKey, desired, document, exported, refuse, restorable};
use crate::plan::secret::{Unusable, controller, is_as};

impl<O: Objects> KeySetReconciler<O> {
    /// Restores a set of which the database knows nothing from the Secret into which it was exported with its private
    /// keys. While the database has the set, the Secret is never read back.
    pub(super) async fn restore(
        &self,
        key_set: &JsonWebKeySet,
        declaration: &Declaration,
    ) -> Result<(), Failure> {
        let Some(export) = key_set.spec.export.as_ref().filter(|export| export.private_keys) else {
            return Ok(());
        };
        let (store, objects) = (&self.0.store, &self.0.objects);
        if store.read_key_set(&declaration.set).await?.is_some() {
            return Ok(());
        }
        let object = objects.secret(&declaration.manager.namespace, &export.secret_name).await?;
        let Some(object) = object.filter(|object| refuse(key_set, object).is_none()) else {
            return Ok(());
        };
        let Some(backup) = exported(&object) else { return Ok(()) };
        let keys = match restorable(&backup, store.clock().now()) {
            Ok(keys) => keys,
            Err(problem) => {
                // The next write replaces it, so this is the last that anybody hears of it.
                let note = format!("Secret {} cannot be restored from: {problem}", export.secret_name);
                let event = Event::new(EventReason::KeysLost, note);
                objects.publish(ResourceView::KeySet(key_set), event).await;
                return Ok(());
            }
        };
        if keys.is_empty() {
            return Ok(());
        }
        match store.restore_key_set(declaration, &keys).await {
            Ok(()) => {
                let note = format!("{} keys from Secret {}", keys.len(), export.secret_name);
                let event = Event::new(EventReason::Restored, note);
                objects.publish(ResourceView::KeySet(key_set), event).await;
                Ok(())
            }
            // Another operator, or the server, was first.
            Err(store::Error::Raced) => Ok(()),
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
        let objects = &self.0.objects;
        let namespace = key_set.metadata.namespace.as_deref().unwrap_or_default();
        let found = objects.secret(namespace, &export.secret_name).await?;
        if let Some(unusable) = found.as_ref().and_then(|object| refuse(key_set, object)) {
            return Ok(Err(unusable));
        }
        let document = self.document(export.private_keys, turn)?;
        let Some(wanted) = desired(key_set, &document, found.as_ref()) else { return Ok(Ok(())) };
        // An owner that is no longer wanted would take the Secret along.
        let is_owned = |secret: &Secret| controller(secret).is_some();
        let is_so = |object: &Secret| is_as(object, &wanted) && is_owned(object) == is_owned(&wanted);
        if found.as_ref().is_some_and(is_so) {
            return Ok(Ok(()));
        }
        let written = objects.write_secret(&wanted).await;
        written.map_err(|error| Failure::SecretWrite { name: export.secret_name.clone(), error })?;
        if let Some(reason) = noteworthy(key_set, turn, found.is_some()) {
            let event = Event::new(reason, format!("Secret {} holds the set", export.secret_name));
            objects.publish(ResourceView::KeySet(key_set), event).await;
        }
        Ok(Ok(()))
    }

    fn document(&self, private: bool, turn: &Turn) -> Result<Zeroizing<String>, Failure> {
        let (store, set) = (&self.0.store, &turn.after);
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

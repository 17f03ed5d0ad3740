//! The resources, with what an API server adds to a manifest.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crd::{DeletionPolicy, JsonWebKeySet, OAuth2Client, Resource, SecretSource};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::ResourceExt;

use super::data::DataFolder;
use super::manifests::Declared;

/// The annotation that names the file which a resource came from.
pub(super) const SOURCE_FILE: &str = "keywright.dev/source-file";

/// Names a resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Its kind.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Key {
    /// The key of a resource.
    pub fn of(resource: &Resource) -> Self {
        let (kind, meta) = match resource {
            Resource::OAuth2Client(client) => ("OAuth2Client", &client.metadata),
            Resource::JsonWebKeySet(key_set) => ("JsonWebKeySet", &key_set.metadata),
        };
        Self {
            kind,
            namespace: meta.namespace.clone().unwrap_or_default(),
            name: meta.name.clone().unwrap_or_default(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

pub(super) fn meta(resource: &Resource) -> &ObjectMeta {
    match resource {
        Resource::OAuth2Client(client) => &client.metadata,
        Resource::JsonWebKeySet(key_set) => &key_set.metadata,
    }
}

pub(super) fn meta_mut(resource: &mut Resource) -> &mut ObjectMeta {
    match resource {
        Resource::OAuth2Client(client) => &mut client.metadata,
        Resource::JsonWebKeySet(key_set) => &mut key_set.metadata,
    }
}

/// All resources, each also in its file of the data folder.
#[derive(Debug)]
pub struct Registry {
    resources: Mutex<BTreeMap<Key, Resource>>,
    clock: store::Clock,
}

impl Registry {
    /// Reads what the data folder kept.
    pub(super) fn open(data: &DataFolder, clock: store::Clock) -> Self {
        let folder = data.resources_dir();
        let mut resources = BTreeMap::new();
        for value in DataFolder::read_all::<serde_json::Value>(&folder) {
            if let Some(resource) = read(value) {
                resources.insert(Key::of(&resource), resource);
            }
        }
        Self { resources: Mutex::new(resources), clock }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Resource>> {
        // Each change is one insertion or removal, so a panic leaves the map whole.
        self.resources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A resource as it is now.
    pub(super) fn get(&self, key: &Key) -> Option<Resource> {
        self.lock().get(key).cloned()
    }

    /// All resources, in order.
    pub(super) fn resources(&self) -> Vec<Resource> {
        self.lock().values().cloned().collect()
    }

    /// The keys of all resources.
    pub(super) fn keys(&self) -> Vec<Key> {
        self.lock().keys().cloned().collect()
    }

    /// All resources by their keys: manifests are checked against what they were.
    pub(super) fn known(&self) -> BTreeMap<Key, Resource> {
        self.lock().clone()
    }

    /// Takes over what the manifests declare: creates, changes, and begins to delete. Gives the keys that changed.
    pub(super) fn apply(&self, declared: &BTreeMap<Key, Declared>, data: &DataFolder) -> Vec<Key> {
        // Held throughout: between reading a resource and writing it, no reconciler's status may come.
        let mut resources = self.lock();
        let mut changed = Vec::new();
        for (key, declared) in declared {
            let next = match resources.get(key) {
                Some(present) if meta(present).deletion_timestamp.is_some() => continue,
                Some(present) => updated(present, declared),
                None => Some(self.created(declared)),
            };
            if let Some(next) = next {
                put(&mut resources, key, next, data);
                changed.push(key.clone());
            }
        }
        let gone: Vec<Key> = resources.keys().filter(|key| !declared.contains_key(key)).cloned().collect();
        for key in gone {
            if let Some(mut gone) = resources.get(&key).cloned()
                && meta(&gone).deletion_timestamp.is_none()
            {
                meta_mut(&mut gone).deletion_timestamp = Some(Time(self.clock.now()));
                put(&mut resources, &key, gone, data);
                collect_garbage(&mut resources, &key, data);
            }
            changed.push(key);
        }
        changed
    }

    fn created(&self, declared: &Declared) -> Resource {
        let mut resource = written(declared);
        let meta = meta_mut(&mut resource);
        meta.uid = Some(uuid::Uuid::new_v4().to_string());
        meta.generation = Some(1);
        meta.creation_timestamp = Some(Time(self.clock.now()));
        resource
    }

    /// Changes a resource by a function, and keeps the result. `None` where it is gone.
    pub(super) fn change(
        &self,
        key: &Key,
        data: &DataFolder,
        change: impl FnOnce(&mut Resource),
    ) -> std::io::Result<Option<Resource>> {
        let mut resources = self.lock();
        let Some(mut resource) = resources.get(key).cloned() else { return Ok(None) };
        change(&mut resource);
        DataFolder::write(&path(key, data), &resource)?;
        resources.insert(key.clone(), resource.clone());
        Ok(Some(resource))
    }

    /// Removes a resource that waits for nothing any more, and its Secret with it. True where it is gone.
    pub(super) fn collect_garbage(&self, key: &Key, data: &DataFolder) -> bool {
        collect_garbage(&mut self.lock(), key, data)
    }

    /// True where a resource of this uid is there: one that owns something.
    pub(super) fn has_uid(&self, uid: &str) -> bool {
        self.lock().values().any(|resource| meta(resource).uid.as_deref() == Some(uid))
    }
}

fn put(resources: &mut BTreeMap<Key, Resource>, key: &Key, resource: Resource, data: &DataFolder) {
    if let Err(error) = DataFolder::write(&path(key, data), &resource) {
        tracing::warn!(%key, %error, "the resource's file could not be written");
    }
    resources.insert(key.clone(), resource);
}

fn collect_garbage(resources: &mut BTreeMap<Key, Resource>, key: &Key, data: &DataFolder) -> bool {
    let Some(resource) = resources.get(key) else { return false };
    let meta = meta(resource);
    let waits = meta.finalizers.as_ref().is_some_and(|finalizers| !finalizers.is_empty());
    if meta.deletion_timestamp.is_none() || waits {
        return false;
    }
    if let Resource::OAuth2Client(client) = resource {
        remove_owned_secret(client, data);
    }
    if let Err(error) = DataFolder::remove(&path(key, data)) {
        tracing::warn!(%key, %error, "the resource's file could not be removed");
    }
    resources.remove(key);
    true
}

/// What a garbage collector does: a Secret goes with its owner. One that somebody has spoilt names no owner, but it
/// stands where only this client's can.
fn remove_owned_secret(client: &OAuth2Client, data: &DataFolder) {
    let namespace = client.namespace().unwrap_or_default();
    let name = client.secret_name();
    let Ok(Some(secret)) = data.read_secret(&namespace, &name) else { return };
    let owners = secret.owner_references();
    let goes = if owners.is_empty() {
        client.spec.deletion_policy == DeletionPolicy::Delete
            && client.spec.secret.source == SecretSource::Generate
    } else {
        owners.iter().any(|owner| Some(&owner.uid) == client.metadata.uid.as_ref())
    };
    if goes && let Err(error) = DataFolder::remove(&data.secret_path(&namespace, &name)) {
        tracing::warn!(secret = name, %error, "the Secret's file could not be removed");
    }
}

/// The resource with what the manifest changed; `None` where it says the same.
fn updated(present: &Resource, declared: &Declared) -> Option<Resource> {
    let mut next = written(declared);
    // The manifest was checked against the status of a moment ago; this is the one of now.
    let spec_changed = match (present, &mut next) {
        (Resource::OAuth2Client(before), Resource::OAuth2Client(after)) => {
            after.status.clone_from(&before.status);
            before.spec != after.spec
        }
        (Resource::JsonWebKeySet(before), Resource::JsonWebKeySet(after)) => {
            after.status.clone_from(&before.status);
            before.spec != after.spec
        }
        _ => true,
    };
    let before = meta(present);
    let after = meta_mut(&mut next);
    after.uid.clone_from(&before.uid);
    after.creation_timestamp.clone_from(&before.creation_timestamp);
    after.finalizers.clone_from(&before.finalizers);
    after.generation = before.generation.map(|generation| generation + i64::from(spec_changed));
    (next != *present).then_some(next)
}

/// The resource as its manifest has it. Of what an API server decides, a manifest that was exported from one may tell
/// another story: a deletion under way, or finalizers of controllers that do not run here.
fn written(declared: &Declared) -> Resource {
    let mut resource = declared.resource.clone();
    let meta = meta_mut(&mut resource);
    meta.deletion_timestamp = None;
    meta.finalizers = None;
    let annotations = meta.annotations.get_or_insert_default();
    annotations.insert(SOURCE_FILE.to_owned(), declared.file.display().to_string());
    resource
}

fn path(key: &Key, data: &DataFolder) -> std::path::PathBuf {
    data.resource_path(&key.namespace, key.kind, &key.name)
}

fn read(value: serde_json::Value) -> Option<Resource> {
    match value.get("kind")?.as_str()? {
        "OAuth2Client" => {
            serde_json::from_value::<OAuth2Client>(value).ok().map(|c| Resource::OAuth2Client(Box::new(c)))
        }
        "JsonWebKeySet" => {
            serde_json::from_value::<JsonWebKeySet>(value).ok().map(|k| Resource::JsonWebKeySet(Box::new(k)))
        }
        _ => None,
    }
}

/// The time of deletion, for logs.
pub(super) fn deleted_at(resource: &Resource) -> Option<Timestamp> {
    meta(resource).deletion_timestamp.as_ref().map(|time| time.0)
}

#[cfg(test)]
mod tests;

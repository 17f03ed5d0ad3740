//! Objects in a folder.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use crd::{JsonWebKeySet, JsonWebKeySetStatus, OAuth2Client, OAuth2ClientStatus, Resource};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;

use super::FolderError;
use super::data::DataFolder;
use super::registry::{Key, Registry, meta, meta_mut};
use crate::events::Event;
use crate::objects::{ClientKind, ObjectError, Objects, ResourceView, Written};

/// Secrets and resources as files of a data folder, beside the Secrets among the manifests, which are only read.
#[derive(Debug)]
pub struct FolderObjects {
    data: DataFolder,
    registry: Registry,
    referenced: Mutex<BTreeMap<(String, String), Secret>>,
}

impl FolderObjects {
    /// Opens a data folder and reads what it kept.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn open(data: DataFolder, clock: store::Clock) -> Result<Self, FolderError> {
        let registry = Registry::open(&data, clock);
        Ok(Self { data, registry, referenced: Mutex::default() })
    }

    /// The folder.
    pub fn data(&self) -> &DataFolder {
        &self.data
    }

    /// The resources.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Takes over the Secrets among the manifests. True where they are others than before.
    pub(super) fn set_referenced(&self, secrets: BTreeMap<(String, String), Secret>) -> bool {
        let mut referenced = self.referenced.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = *referenced != secrets;
        *referenced = secrets;
        changed
    }

    fn change(&self, key: &Key, change: impl FnOnce(&mut Resource)) -> Result<Option<Resource>, ObjectError> {
        self.registry.change(key, &self.data, change).map_err(|error| unavailable(&error))
    }

    fn change_finalizers(
        &self,
        resource: ResourceView<'_>,
        change: impl FnOnce(&mut Vec<String>),
    ) -> Result<Written, ObjectError> {
        let changed = self.change(&key(resource), |resource| {
            change(meta_mut(resource).finalizers.get_or_insert_default());
        })?;
        let finalizers = changed.and_then(|resource| meta(&resource).finalizers.clone()).unwrap_or_default();
        // One process alone writes here.
        Ok(Written { finalizers, resource_version: None })
    }
}

impl Objects for FolderObjects {
    async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Secret>, ObjectError> {
        let referenced = {
            let secrets = self.referenced.lock().unwrap_or_else(PoisonError::into_inner);
            secrets.get(&(namespace.to_owned(), name.to_owned())).cloned()
        };
        if referenced.is_some() {
            return Ok(referenced);
        }
        let mut secret = self.data.read_secret(namespace, name).map_err(|error| unavailable(&error))?;
        // An owner that is gone owns nothing: a resource that lost its file comes back under another uid.
        let owners = secret.as_mut().and_then(|secret| secret.metadata.owner_references.as_mut());
        if let Some(owners) = owners {
            owners.retain(|owner| self.registry.has_uid(&owner.uid));
        }
        Ok(secret)
    }

    /// Hydra Maester's resources are no manifests of a folder.
    async fn client_uid(
        &self,
        kind: ClientKind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<String>, ObjectError> {
        if kind == ClientKind::Maesters {
            return Err(ObjectError::Refused("a folder has no resources of Hydra Maester's".to_owned()));
        }
        let key = Key { kind: "OAuth2Client", namespace: namespace.to_owned(), name: name.to_owned() };
        Ok(self.registry.get(&key).and_then(|resource| meta(&resource).uid.clone()))
    }

    async fn write_secret(&self, secret: &Secret) -> Result<(), ObjectError> {
        let (namespace, name) = (secret.namespace().unwrap_or_default(), secret.name_any());
        let present = self.data.read_secret(&namespace, &name).map_err(|error| unavailable(&error))?;
        if present.and_then(|present| present.resource_version()) != secret.resource_version() {
            return Err(ObjectError::Raced);
        }
        let mut written = secret.clone();
        written.metadata.resource_version = None;
        let path = self.data.secret_path(&namespace, &name);
        DataFolder::write(&path, &written).map_err(|error| unavailable(&error))
    }

    async fn add_finalizer(
        &self,
        resource: ResourceView<'_>,
        finalizer: &'static str,
    ) -> Result<Written, ObjectError> {
        self.change_finalizers(resource, |finalizers| {
            if !finalizers.iter().any(|name| name == finalizer) {
                finalizers.push(finalizer.to_owned());
            }
        })
    }

    async fn remove_finalizer(
        &self,
        resource: ResourceView<'_>,
        finalizer: &'static str,
    ) -> Result<Written, ObjectError> {
        self.change_finalizers(resource, |finalizers| finalizers.retain(|name| name != finalizer))
    }

    async fn write_client_status(
        &self,
        client: &OAuth2Client,
        status: &OAuth2ClientStatus,
    ) -> Result<(), ObjectError> {
        self.change(&key(ResourceView::Client(client)), |resource| {
            if let Resource::OAuth2Client(client) = resource {
                client.status = Some(status.clone());
            }
        })?;
        Ok(())
    }

    async fn write_key_set_status(
        &self,
        key_set: &JsonWebKeySet,
        status: &JsonWebKeySetStatus,
    ) -> Result<(), ObjectError> {
        self.change(&key(ResourceView::KeySet(key_set)), |resource| {
            if let Resource::JsonWebKeySet(key_set) = resource {
                key_set.status = Some(status.clone());
            }
        })?;
        Ok(())
    }

    /// Events of a folder are lines of the log.
    async fn publish(&self, resource: ResourceView<'_>, event: Event) {
        let key = key(resource);
        if event.warning {
            tracing::warn!(%key, reason = %event.reason, "{}", event.note);
        } else {
            tracing::info!(%key, reason = %event.reason, "{}", event.note);
        }
    }
}

fn key(resource: ResourceView<'_>) -> Key {
    let (kind, meta) = match resource {
        ResourceView::Client(client) => ("OAuth2Client", &client.metadata),
        ResourceView::KeySet(key_set) => ("JsonWebKeySet", &key_set.metadata),
    };
    Key {
        kind,
        namespace: meta.namespace.clone().unwrap_or_default(),
        name: meta.name.clone().unwrap_or_default(),
    }
}

fn unavailable(error: &io::Error) -> ObjectError {
    ObjectError::Unavailable(error.to_string())
}

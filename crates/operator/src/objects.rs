//! Where resources and Secrets live: a cluster, or a folder.

use crd::{JsonWebKeySet, JsonWebKeySetStatus, OAuth2Client, OAuth2ClientStatus};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::events::Event;

/// Why an object could not be read or written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ObjectError {
    /// It changed since it was read: read again.
    #[error("the object changed meanwhile")]
    Raced,
    /// The API server, a webhook or a quota refuses; the text says why. Only a change of something else helps.
    #[error("refused: {0}")]
    Refused(String),
    /// Not reachable now.
    #[error("not reachable: {0}")]
    Unavailable(String),
}

/// A resource of either kind, by reference.
#[derive(Debug, Clone, Copy)]
pub enum ResourceView<'a> {
    /// A client.
    Client(&'a OAuth2Client),
    /// A key set.
    KeySet(&'a JsonWebKeySet),
}

impl<'a> ResourceView<'a> {
    /// Its metadata.
    pub fn meta(self) -> &'a ObjectMeta {
        match self {
            Self::Client(client) => &client.metadata,
            Self::KeySet(key_set) => &key_set.metadata,
        }
    }
}

/// What a write left of a resource's metadata, for the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Its finalizers; none where it is gone.
    pub finalizers: Vec<String>,
    /// Its `resourceVersion`; `None` where that does not count.
    pub resource_version: Option<String>,
}

impl Written {
    /// Brings what was read before up to date.
    pub fn note(self, meta: &mut ObjectMeta) {
        (meta.finalizers, meta.resource_version) = (Some(self.finalizers), self.resource_version);
    }
}

/// Whose kind of `OAuth2Client`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    /// Ours.
    Ours,
    /// Hydra Maester's.
    Maesters,
}

/// Reads and writes the objects around a resource. Every write may be repeated without harm.
///
/// A write is conditional on what was read where two writers could meet: [`Objects::write_secret`] on the
/// `resourceVersion`, finalizers on their position in the list, statuses on the resource's `resourceVersion`: so one that a
/// former leader sent, and that arrives late, changes nothing.
pub trait Objects: Send + Sync + 'static {
    /// Reads a Secret, live.
    fn secret(
        &self,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = Result<Option<Secret>, ObjectError>> + Send;

    /// The uid of the client resource of this name, where there is one.
    fn client_uid(
        &self,
        kind: ClientKind,
        namespace: &str,
        name: &str,
    ) -> impl Future<Output = Result<Option<String>, ObjectError>> + Send;

    /// Writes a Secret: creates it where `secret` has no `resourceVersion`, and fails with [`ObjectError::Raced`]
    /// where it exists then, is gone, or has another version. Fields that are not in `secret` stay as they are, unless this
    /// operator wrote them.
    fn write_secret(&self, secret: &Secret) -> impl Future<Output = Result<(), ObjectError>> + Send;

    /// Adds a finalizer, and tells what the resource's metadata are then.
    fn add_finalizer(
        &self,
        resource: ResourceView<'_>,
        finalizer: &'static str,
    ) -> impl Future<Output = Result<Written, ObjectError>> + Send;

    /// Removes a finalizer, and tells what the resource's metadata are then.
    fn remove_finalizer(
        &self,
        resource: ResourceView<'_>,
        finalizer: &'static str,
    ) -> impl Future<Output = Result<Written, ObjectError>> + Send;

    /// Writes a client's status; [`ObjectError::Raced`] where the resource is no longer what was read.
    fn write_client_status(
        &self,
        client: &OAuth2Client,
        status: &OAuth2ClientStatus,
    ) -> impl Future<Output = Result<(), ObjectError>> + Send;

    /// Writes a key set's status, likewise.
    fn write_key_set_status(
        &self,
        key_set: &JsonWebKeySet,
        status: &JsonWebKeySetStatus,
    ) -> impl Future<Output = Result<(), ObjectError>> + Send;

    /// Publishes an event. Events inform; one that is lost changes nothing, so this cannot fail.
    fn publish(&self, resource: ResourceView<'_>, event: Event) -> impl Future<Output = ()> + Send;
}

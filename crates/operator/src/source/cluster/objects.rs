//! The API server as the reconcilers see it.

use std::time::Duration;

use crd::{
    Condition, ConditionType, JsonWebKeySet, JsonWebKeySetStatus, OAuth2Client, OAuth2ClientStatus, maester,
};
use k8s_openapi::api::core::v1::{ObjectReference, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::runtime::events::{self, EventType, Recorder};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde_json::json;

use super::answer::{answer, classify, shortened, within, without_values_of};
use super::finalizers::{self, Change};
use super::kind::Kind;
use super::secrets;
use crate::events::Event;
use crate::objects::{ClientKind, ObjectError, Objects, ResourceView, Written};

/// The field manager of statuses.
pub(super) const STATUS_MANAGER: &str = "keywright-operator-status";
/// Who reports events.
const REPORTER: &str = "keywright-operator";
/// The longest that an event may hold up a reconciliation.
const EVENT_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads and writes objects of a cluster. No error of it holds a value of a Secret.
#[derive(Clone)]
pub struct ClusterObjects {
    client: Client,
}

impl ClusterObjects {
    /// Works with this client's rights; see `config/rbac` for those that are needed.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    pub(super) fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), namespace)
    }

    async fn change_finalizer(
        &self,
        resource: ResourceView<'_>,
        finalizer: &'static str,
        change: Change,
    ) -> Result<Written, ObjectError> {
        match resource {
            ResourceView::Client(client) => {
                let api = self.api::<OAuth2Client>(&namespace(client));
                finalizers::change(&api, client.meta(), finalizer, change).await
            }
            ResourceView::KeySet(key_set) => {
                let api = self.api::<JsonWebKeySet>(&namespace(key_set));
                finalizers::change(&api, key_set.meta(), finalizer, change).await
            }
        }
    }

    async fn uid_of<K: Kind>(&self, namespace: &str, name: &str) -> Result<Option<String>, ObjectError> {
        let found = answer(self.api::<K>(namespace).get_metadata_opt(name)).await?;
        Ok(found.and_then(|object| object.metadata.uid))
    }

    /// Applies a status to the resource as it was read, and never to one that was made anew under the same name.
    pub(super) async fn write_status<K: Kind>(
        &self,
        resource: &ObjectMeta,
        status: &impl Serialize,
    ) -> Result<(), ObjectError> {
        let name = resource.name.clone().unwrap_or_default();
        let patch = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": {"name": name, "uid": resource.uid, "resourceVersion": resource.resource_version},
            "status": status,
        });
        let params = PatchParams::apply(STATUS_MANAGER).force();
        let api = self.api::<K>(resource.namespace.as_deref().unwrap_or_default());
        match within(api.patch_status(&name, &params, &Patch::Apply(patch))).await? {
            Ok(_) => Ok(()),
            // Gone, and its status with it.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(classify(error)),
        }
    }

    /// Publishes an event of the object that `reference` names.
    pub(super) async fn publish_of(&self, reference: &ObjectReference, event: Event) {
        // A recorder that outlives the event would count later ones of the same reason as repetitions, and drop what
        // their notes say: a second key, another expiry.
        let recorder = Recorder::new(self.client.clone(), REPORTER.into());
        let event = events::Event {
            type_: if event.warning { EventType::Warning } else { EventType::Normal },
            reason: event.reason.to_string(),
            note: Some(shortened(&event.note)),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        match tokio::time::timeout(EVENT_TIMEOUT, recorder.publish(&event, reference)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(reason = event.reason, error = %classify(error), "an event was not published");
            }
            Err(_) => tracing::warn!(reason = event.reason, "an event was not published in time"),
        }
    }
}

impl Objects for ClusterObjects {
    async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Secret>, ObjectError> {
        answer(self.api::<Secret>(namespace).get_opt(name)).await
    }

    async fn client_uid(
        &self,
        kind: ClientKind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<String>, ObjectError> {
        match kind {
            ClientKind::Ours => self.uid_of::<OAuth2Client>(namespace, name).await,
            ClientKind::Maesters => self.uid_of::<maester::OAuth2Client>(namespace, name).await,
        }
    }

    async fn write_secret(&self, secret: &Secret) -> Result<(), ObjectError> {
        let api = self.api(&namespace(secret));
        secrets::write(&api, secret).await.map_err(|error| without_values_of(error, secret))
    }

    async fn add_finalizer(
        &self,
        resource: ResourceView<'_>,
        finalizer: &'static str,
    ) -> Result<Written, ObjectError> {
        self.change_finalizer(resource, finalizer, Change::Add).await
    }

    async fn remove_finalizer(
        &self,
        resource: ResourceView<'_>,
        finalizer: &'static str,
    ) -> Result<Written, ObjectError> {
        self.change_finalizer(resource, finalizer, Change::Remove).await
    }

    async fn write_client_status(
        &self,
        client: &OAuth2Client,
        status: &OAuth2ClientStatus,
    ) -> Result<(), ObjectError> {
        let conditions = own(&status.conditions);
        self.write_status::<OAuth2Client>(client.meta(), &OAuth2ClientStatus { conditions, ..status.clone() })
            .await
    }

    async fn write_key_set_status(
        &self,
        key_set: &JsonWebKeySet,
        status: &JsonWebKeySetStatus,
    ) -> Result<(), ObjectError> {
        let conditions = own(&status.conditions);
        self.write_status::<JsonWebKeySet>(
            key_set.meta(),
            &JsonWebKeySetStatus { conditions, ..status.clone() },
        )
        .await
    }

    async fn publish(&self, resource: ResourceView<'_>, event: Event) {
        let reference = match resource {
            ResourceView::Client(client) => client.object_ref(&()),
            ResourceView::KeySet(key_set) => key_set.object_ref(&()),
        };
        self.publish_of(&reference, event).await;
    }
}

fn namespace(object: &impl ResourceExt) -> String {
    object.namespace().unwrap_or_default()
}

/// Our conditions without those of other controllers, which stay theirs.
fn own(conditions: &[Condition]) -> Vec<Condition> {
    let ours = |condition: &&Condition| !matches!(condition.type_, ConditionType::Other(_));
    conditions.iter().filter(ours).cloned().collect()
}

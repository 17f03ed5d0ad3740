//! Hydra Maester's resources, reconciled by the same plans as ours.
//!
//! ```text
//!  hydra.ory.sh OAuth2Client ─▶ as one of ours ─▶ ClientReconciler ─▶ MaesterObjects ─▶ API server
//!        (and its Secret)        (plan::maester)                       finalizer, status, owner in Maester's words
//! ```

use std::sync::Arc;

use crd::maester::{self, FINALIZER};
use crd::{JsonWebKeySet, JsonWebKeySetStatus, OAuth2Client, OAuth2ClientStatus, Reason, is_object_name};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{ObjectReference, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::{ObjectRef, Store as Known};
use kube::{Api, Resource, ResourceExt};
use store::{ManagedRow, Store};

use super::finalizers::{self, Change};
use super::objects::{ClusterObjects, STATUS_MANAGER};
use super::rows::HasRow;
use super::watches::{Watched, of_secret};
use crate::applied::{Applied, Place};
use crate::events::{Event, EventReason};
use crate::objects::{ClientKind, ObjectError, Objects, ResourceView, Written};
use crate::outcome::Outcome;
use crate::plan::maester::{
    MaesterSettings, Refusal, as_ours, limits, our_finalizer, owned, presented, refused, rival, status,
};
use crate::reconcile::{ClientReconciler, Context};
use crate::settings::Settings;

/// How long a resource is left to another controller that wrote its status.
const STAND_BACK: SignedDuration = SignedDuration::from_hours(1);

/// Reconciles Hydra Maester's resources.
///
/// # Caveats
/// Secrets that somebody else keeps carry no label to watch them by: a changed one is seen at the next resync.
pub(super) struct MaesterReconciler {
    context: Context<MaesterObjects>,
    clients: ClientReconciler<MaesterObjects>,
    settings: MaesterSettings,
}

impl MaesterReconciler {
    pub(super) fn new(context: &Context<ClusterObjects>, settings: MaesterSettings) -> Self {
        let objects = Arc::new(MaesterObjects { cluster: context.objects.clone() });
        // The rows of each kind are swept by themselves.
        let place = Settings { clients: ClientKind::Maesters, ..(*context.settings).clone() };
        let own = Context::new(context.store.clone(), objects, place, context.metrics.clone());
        let context = Context { gate: context.gate.clone(), ..own };
        Self { clients: ClientReconciler::new(context.clone()), context, settings }
    }

    /// How the database names the cluster whose resources these are.
    pub(super) fn cluster(&self) -> String {
        self.context.settings.clients_cluster()
    }

    /// Forgets a resource that is gone.
    pub(super) fn forget(&self, place: &Place) {
        self.clients.forget(place);
    }

    /// The rows as they were when all was as declared.
    pub(super) fn applied(&self) -> &Applied {
        &self.context.applied_clients
    }

    /// Makes everything around one resource what it declares.
    pub(super) async fn reconcile(&self, from: &maester::OAuth2Client) -> Outcome {
        // Nothing keeps a resource that is on its way out.
        let is_leaving = from.metadata.deletion_timestamp.is_some();
        if !is_leaving && self.is_left_to_another(from).await {
            return Outcome::Waiting { reason: Reason::Progressing };
        }
        let secret = match self.secret_of(from).await {
            Ok(secret) => secret,
            Err(_) if is_leaving => None,
            Err(error) => return Outcome::Failed { error: error.to_string() },
        };
        let instance = &self.context.settings.instance;
        match as_ours(from, secret.as_ref(), instance, &self.settings) {
            Ok(client) => self.clients.reconcile_within(&client, limits(from, &self.settings)).await,
            Err(refusal) => self.refuse(from, &refusal).await,
        }
    }

    /// The Secret that a resource names. What is no name is never asked for: it would become part of a path.
    async fn secret_of(&self, from: &maester::OAuth2Client) -> Result<Option<Secret>, ObjectError> {
        if !is_object_name(&from.spec.secret_name) {
            return Ok(None);
        }
        let namespace = from.namespace().unwrap_or_default();
        self.context.objects.secret(&namespace, &from.spec.secret_name).await
    }

    /// Two that write one status would never come to rest.
    async fn is_left_to_another(&self, from: &maester::OAuth2Client) -> bool {
        let Some((other, at)) = rival(from.managed_fields(), STATUS_MANAGER) else { return false };
        if self.context.store.clock().now() >= at + STAND_BACK {
            return false;
        }
        self.context.metrics.conflicts.inc();
        let note =
            format!("{other} writes the status as well: stop it; until then this resource is left to it");
        self.context
            .objects
            .cluster
            .publish_of(&from.object_ref(&()), Event::new(EventReason::Conflict, note))
            .await;
        true
    }

    async fn refuse(&self, from: &maester::OAuth2Client, refusal: &Refusal) -> Outcome {
        let status = refused(from, refusal, self.context.store.clock().now());
        if from.status.as_ref() == Some(&status) {
            return Outcome::Waiting { reason: refusal.reason() };
        }
        let cluster = &self.context.objects.cluster;
        match cluster.write_status::<maester::OAuth2Client>(from.meta(), &status).await {
            Ok(()) => Outcome::Waiting { reason: refusal.reason() },
            Err(ObjectError::Raced) => Outcome::Raced,
            Err(error) => Outcome::Failed { error: error.to_string() },
        }
    }
}

/// The resources whose credentials this Secret, of ours, carries or should carry.
pub(super) fn clients_of(
    clients: &Known<Watched<maester::OAuth2Client>>,
    secret: &PartialObjectMeta<Secret>,
) -> Vec<ObjectRef<Watched<maester::OAuth2Client>>> {
    of_secret(clients, secret, |client, name| client.spec.secret_name == name)
}

impl HasRow for maester::OAuth2Client {
    fn row(&self) -> Option<&str> {
        self.status.as_ref()?.client_id.as_deref()
    }

    async fn delete_orphan(store: &Store, row: &ManagedRow) -> Result<bool, store::Error> {
        store.delete_orphaned_client(row).await
    }
}

/// The API server, where a client is a resource of Hydra Maester's.
struct MaesterObjects {
    cluster: Arc<ClusterObjects>,
}

impl MaesterObjects {
    async fn change_finalizer(
        &self,
        resource: ResourceView<'_>,
        change: Change,
    ) -> Result<Written, ObjectError> {
        let ResourceView::Client(client) = resource else { return Err(no_key_sets()) };
        let mut meta = client.meta().clone();
        for finalizer in meta.finalizers.iter_mut().flatten() {
            if *finalizer == our_finalizer(FINALIZER) {
                FINALIZER.clone_into(finalizer);
            }
        }
        let api: Api<maester::OAuth2Client> = self.cluster.api(&client.namespace().unwrap_or_default());
        let written = finalizers::change(&api, &meta, FINALIZER, change).await?;
        let finalizers = written.finalizers.iter().map(|finalizer| our_finalizer(finalizer)).collect();
        Ok(Written { finalizers, ..written })
    }
}

impl Objects for MaesterObjects {
    async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Secret>, ObjectError> {
        Ok(self.cluster.secret(namespace, name).await?.map(presented))
    }

    async fn client_uid(
        &self,
        kind: ClientKind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<String>, ObjectError> {
        self.cluster.client_uid(kind, namespace, name).await
    }

    async fn write_secret(&self, secret: &Secret) -> Result<(), ObjectError> {
        self.cluster.write_secret(&owned(secret.clone())).await
    }

    async fn add_finalizer(
        &self,
        resource: ResourceView<'_>,
        _: &'static str,
    ) -> Result<Written, ObjectError> {
        self.change_finalizer(resource, Change::Add).await
    }

    async fn remove_finalizer(
        &self,
        resource: ResourceView<'_>,
        _: &'static str,
    ) -> Result<Written, ObjectError> {
        self.change_finalizer(resource, Change::Remove).await
    }

    async fn write_client_status(
        &self,
        client: &OAuth2Client,
        ours: &OAuth2ClientStatus,
    ) -> Result<(), ObjectError> {
        self.cluster.write_status::<maester::OAuth2Client>(client.meta(), &status(ours)).await
    }

    async fn write_key_set_status(
        &self,
        _: &JsonWebKeySet,
        _: &JsonWebKeySetStatus,
    ) -> Result<(), ObjectError> {
        Err(no_key_sets())
    }

    async fn publish(&self, resource: ResourceView<'_>, event: Event) {
        let ResourceView::Client(client) = resource else { return };
        let reference =
            ObjectReference { api_version: Some(maester::API_VERSION.to_owned()), ..client.object_ref(&()) };
        self.cluster.publish_of(&reference, event).await;
    }
}

fn no_key_sets() -> ObjectError {
    ObjectError::Refused("Hydra Maester has no key sets".to_owned())
}

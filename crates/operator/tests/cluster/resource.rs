//! One custom resource, and what becomes of it.

use std::fmt::Debug;

use crd::{Condition, ConditionStatus, ConditionType, JsonWebKeySet, OAuth2Client, Reason};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, PatchParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::world::{World, merge};

/// Either kind.
pub trait Kind:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    fn observed_generation(&self) -> Option<i64>;
    fn conditions(&self) -> &[Condition];

    fn condition(&self, type_: &ConditionType) -> Option<&Condition> {
        self.conditions().iter().find(|condition| condition.type_ == *type_)
    }

    /// The reason of `Ready`, in a status of the present generation.
    fn reason(&self) -> Option<&Reason> {
        let current = self.observed_generation() == self.meta().generation;
        self.condition(&ConditionType::Ready).filter(|_| current).map(|ready| &ready.reason)
    }

    fn is_ready(&self) -> bool {
        let ready = self.condition(&ConditionType::Ready);
        self.observed_generation() == self.meta().generation
            && ready.is_some_and(|ready| ready.status == ConditionStatus::True)
    }
}

impl Kind for OAuth2Client {
    fn observed_generation(&self) -> Option<i64> {
        self.status.as_ref()?.observed_generation
    }

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
    }
}

impl Kind for JsonWebKeySet {
    fn observed_generation(&self) -> Option<i64> {
        self.status.as_ref()?.observed_generation
    }

    fn conditions(&self) -> &[Condition] {
        self.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default()
    }
}

/// A resource by name, which may exist or not.
pub struct Handle<'a, K> {
    pub world: &'a World,
    pub api: Api<K>,
    pub namespace: String,
    pub name: String,
}

impl<'a, K: Kind> Handle<'a, K> {
    pub fn new(world: &'a World, namespace: &str, name: &str) -> Self {
        let api = Api::namespaced(world.client.clone(), namespace);
        Self { world, api, namespace: namespace.to_owned(), name: name.to_owned() }
    }

    pub async fn create(&self, spec: Value) -> K {
        self.create_with(spec, json!({})).await
    }

    pub async fn create_with(&self, mut spec: Value, annotations: Value) -> K {
        let instance = spec.as_object_mut().unwrap().entry("instance");
        instance.or_insert_with(|| self.world.namespace.clone().into());
        let resource = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            "metadata": {"name": self.name, "annotations": annotations},
            "spec": spec,
        });
        let resource: K = serde_json::from_value(resource).unwrap();
        self.api.create(&PostParams::default(), &resource).await.unwrap()
    }

    /// Merges into the whole object.
    pub async fn patch(&self, patch: Value) -> K {
        self.api.patch(&self.name, &PatchParams::default(), &merge(patch)).await.unwrap()
    }

    /// Merges into the spec.
    pub async fn edit(&self, spec: Value) -> K {
        self.patch(json!({"spec": spec})).await
    }

    pub async fn annotate(&self, annotation: &str, value: &str) {
        self.patch(json!({"metadata": {"annotations": {annotation: value}}})).await;
    }

    /// Changes nothing that matters, so that it is looked at.
    pub async fn touch(&self) {
        let nonce = format!("{:?}", std::time::Instant::now());
        self.annotate("example.com/touched", &nonce).await;
    }

    pub async fn get(&self) -> Option<K> {
        self.api.get_opt(&self.name).await.unwrap()
    }

    pub async fn delete(&self) {
        self.api.delete(&self.name, &DeleteParams::default()).await.unwrap();
    }

    pub async fn until(&self, what: &str, mut holds: impl FnMut(&K) -> bool) -> K {
        let what = format!("{} {}: {what}", K::kind(&()), self.name);
        self.world.until(&what, async || self.get().await.filter(|resource| holds(resource))).await
    }

    pub async fn ready(&self) -> K {
        self.until("Ready", Kind::is_ready).await
    }

    /// Waits until `Ready` is there with this reason.
    pub async fn stands(&self, reason: Reason) -> K {
        self.until(reason.as_str(), |resource| resource.reason() == Some(&reason)).await
    }

    pub async fn gone(&self) {
        let what = format!("{} {} is gone", K::kind(&()), self.name);
        self.world.until(&what, async || self.get().await.is_none().then_some(())).await;
    }

    /// Its events, in their order: reason and note.
    pub async fn events(&self) -> Vec<(String, String)> {
        let api = Api::<Event>::namespaced(self.world.client.clone(), &self.namespace);
        let mut events = api.list(&ListParams::default()).await.unwrap().items;
        events.retain(|event| {
            let regarding = event.regarding.clone().unwrap_or_default();
            regarding.kind.as_deref() == Some(&*K::kind(&())) && regarding.name.as_ref() == Some(&self.name)
        });
        events.sort_by_key(|event| (event.event_time.clone().map(|time| time.0), event.name_any()));
        events
            .into_iter()
            .map(|event| (event.reason.unwrap_or_default(), event.note.unwrap_or_default()))
            .collect()
    }

    /// Waits until events of these reasons were published, and no others.
    pub async fn tells(&self, reasons: &[&str]) {
        let told = async || {
            let told: Vec<String> = self.events().await.into_iter().map(|(reason, _)| reason).collect();
            (told == reasons).then_some(())
        };
        self.world.until(&format!("events {reasons:?} of {}", self.name), told).await;
    }
}

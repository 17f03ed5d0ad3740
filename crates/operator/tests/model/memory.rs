//! An API server in memory: what the reconcilers read and write, with resource versions, server-side apply, finalizers
//! and garbage collection.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use crd::{ConditionType, JsonWebKeySet, JsonWebKeySetStatus, OAuth2Client, OAuth2ClientStatus};
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::ResourceExt;
use operator::events::Event;
use operator::objects::ResourceView;
use operator::{ClientKind, ObjectError, Objects, Written};

/// The API server. Each call gives way before it has its effect and after it, so that a test can stop in between.
#[derive(Default)]
pub struct Memory(Mutex<State>);

#[derive(Default)]
struct State {
    clients: BTreeMap<Key, OAuth2Client>,
    key_sets: BTreeMap<Key, JsonWebKeySet>,
    secrets: BTreeMap<Key, Held>,
    version: u64,
    /// Calls that were made; one that was not answered yet has not had its effect.
    made: u64,
    calls: u64,
    log: Vec<String>,
    events: Vec<(String, Event)>,
    forgotten: Vec<(String, Event)>,
    /// Every value that was ever written under `CLIENT_SECRET`, in order, with the Secret's name.
    values: Vec<(String, String)>,
    fault: Option<Fault>,
    refused: Option<(&'static str, ObjectError)>,
    strips_annotations: bool,
}

/// Namespace and name.
type Key = (String, String);

/// A Secret, and what of it the operator applied last.
struct Held {
    object: Secret,
    applied: Secret,
}

/// An error of one call.
#[derive(Clone)]
pub struct Fault {
    /// Which call, counted from 1.
    pub call: u64,
    /// True where the call has its effect all the same.
    pub after: bool,
    /// The error.
    pub error: ObjectError,
}

pub fn key(namespace: &str, name: &str) -> Key {
    (namespace.to_owned(), name.to_owned())
}

fn key_of(meta: &ObjectMeta) -> Key {
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

/// What somebody does to the objects. None of it counts as a write.
impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub fn client(&self, namespace: &str, name: &str) -> Option<OAuth2Client> {
        self.state().clients.get(&key(namespace, name)).cloned()
    }

    /// Creates a client with this spec, or gives it this one.
    pub fn declare_client(&self, namespace: &str, name: &str, spec: serde_json::Value) {
        let spec = serde_json::from_value(spec).unwrap();
        let mut state = self.state();
        let client = state.clients.entry(key(namespace, name)).or_insert_with(|| {
            let mut client = OAuth2Client::new(name, serde_json::from_str("{}").unwrap());
            client.metadata = born(namespace, name);
            client
        });
        if client.spec != spec {
            client.metadata.generation = client.metadata.generation.map(|generation| generation + 1);
            client.spec = spec;
        }
        state.touch(&key(namespace, name));
    }

    pub fn edit_client(&self, namespace: &str, name: &str, edit: impl FnOnce(&mut OAuth2Client)) {
        let (mut state, key) = (self.state(), key(namespace, name));
        edit(state.clients.get_mut(&key).unwrap());
        state.touch(&key);
    }

    pub fn key_set(&self, namespace: &str, name: &str) -> Option<JsonWebKeySet> {
        self.state().key_sets.get(&key(namespace, name)).cloned()
    }

    pub fn declare_key_set(&self, namespace: &str, name: &str, spec: serde_json::Value) {
        let mut key_set = JsonWebKeySet::new(name, serde_json::from_value(spec).unwrap());
        key_set.metadata = born(namespace, name);
        let (mut state, key) = (self.state(), key(namespace, name));
        state.key_sets.insert(key.clone(), key_set);
        state.touch(&key);
    }

    /// All clients.
    pub fn clients(&self) -> Vec<OAuth2Client> {
        self.state().clients.values().cloned().collect()
    }

    /// All key sets.
    pub fn key_sets(&self) -> Vec<JsonWebKeySet> {
        self.state().key_sets.values().cloned().collect()
    }

    /// All Secrets.
    pub fn secrets(&self) -> Vec<Secret> {
        self.state().secrets.values().map(|held| held.object.clone()).collect()
    }

    pub fn edit_key_set(&self, namespace: &str, name: &str, edit: impl FnOnce(&mut JsonWebKeySet)) {
        let (mut state, key) = (self.state(), key(namespace, name));
        edit(state.key_sets.get_mut(&key).unwrap());
        state.touch(&key);
    }

    /// Begins the deletion of resources of both kinds: those without a finalizer are gone at once.
    pub fn delete(&self, namespace: &str, name: &str, now: Timestamp) {
        let mut state = self.state();
        let key = key(namespace, name);
        if let Some(client) = state.clients.get_mut(&key) {
            client.metadata.deletion_timestamp = Some(Time(now));
        }
        if let Some(key_set) = state.key_sets.get_mut(&key) {
            key_set.metadata.deletion_timestamp = Some(Time(now));
        }
        state.touch(&key);
        state.collect(&key);
    }

    pub fn secret(&self, namespace: &str, name: &str) -> Option<Secret> {
        self.state().secrets.get(&key(namespace, name)).map(|held| held.object.clone())
    }

    /// Writes a Secret as somebody else.
    pub fn put_secret(&self, secret: Secret) {
        let mut state = self.state();
        let key = key_of(&secret.metadata);
        let applied = state.secrets.remove(&key).map(|held| held.applied).unwrap_or_default();
        let object = state.versioned(secret);
        state.secrets.insert(key, Held { object, applied });
    }

    /// Edits a Secret as somebody else; false where there is none.
    pub fn edit_secret(&self, namespace: &str, name: &str, edit: impl FnOnce(&mut Secret)) -> bool {
        let Some(mut secret) = self.secret(namespace, name) else { return false };
        edit(&mut secret);
        self.put_secret(secret);
        true
    }

    /// What the garbage collector takes: what has owners, and none of them is there any more.
    pub fn collect_garbage(&self) {
        let mut state = self.state();
        let clients = state.clients.values().filter_map(ResourceExt::uid);
        let uids: Vec<_> = clients.chain(state.key_sets.values().filter_map(ResourceExt::uid)).collect();
        let lives = |owner: &OwnerReference| uids.contains(&owner.uid);
        state.secrets.retain(|_, held| {
            let owners = held.object.owner_references();
            owners.is_empty() || owners.iter().any(lives)
        });
    }

    pub fn delete_secret(&self, namespace: &str, name: &str) {
        self.state().secrets.remove(&key(namespace, name));
    }

    /// One call from now on fails so.
    pub fn fail(&self, fault: Fault) {
        let mut state = self.state();
        let call = state.calls + fault.call;
        state.fault = Some(Fault { call, ..fault });
    }

    /// All calls of this name fail so, until they are allowed again.
    pub fn refuse(&self, call: &'static str, error: ObjectError) {
        self.state().refused = Some((call, error));
    }

    /// From now on a webhook takes all annotations from Secrets that are written, or no longer does.
    pub fn strip_annotations(&self, strips: bool) {
        self.state().strips_annotations = strips;
    }

    pub fn allow_all(&self) {
        let mut state = self.state();
        (state.refused, state.fault) = (None, None);
    }
}

/// What became of it.
impl Memory {
    /// How many calls there were, reads and events among them.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// How many calls were made, those among them that have not had their effect yet.
    pub fn made(&self) -> u64 {
        self.state().made
    }

    /// The writes so far, in words.
    pub fn log(&self) -> Vec<String> {
        self.state().log.clone()
    }

    pub fn writes(&self) -> u64 {
        u64::try_from(self.state().log.len()).unwrap()
    }

    /// The reasons of the events about a resource, in order.
    pub fn reasons(&self, name: &str) -> Vec<String> {
        let state = self.state();
        state.events.iter().filter(|(of, _)| of == name).map(|(_, event)| event.reason.to_string()).collect()
    }

    /// Every event that was ever told.
    pub fn all_events(&self) -> Vec<Event> {
        let state = self.state();
        state.forgotten.iter().chain(&state.events).map(|(_, event)| event.clone()).collect()
    }

    pub fn forget_events(&self) {
        let mut state = self.state();
        let told = std::mem::take(&mut state.events);
        state.forgotten.extend(told);
    }

    /// Every client secret that was ever in the Secret of this name, in the order in which they were written.
    pub fn values(&self, secret: &str) -> Vec<String> {
        let state = self.state();
        let values = state.values.iter().filter(|(name, _)| name == secret);
        values.map(|(_, value)| value.clone()).collect()
    }

    /// Every client secret that was ever in a Secret.
    pub fn all_values(&self) -> Vec<String> {
        self.state().values.iter().map(|(_, value)| value.clone()).collect()
    }

    /// All resources, as they would be printed.
    pub fn print(&self) -> String {
        let state = self.state();
        let clients = state.clients.values().map(|client| serde_json::to_string(client).unwrap());
        let key_sets = state.key_sets.values().map(|key_set| serde_json::to_string(key_set).unwrap());
        clients.chain(key_sets).collect::<Vec<_>>().join("\n")
    }

    async fn begin(&self, call: &'static str) -> Result<(), ObjectError> {
        self.state().made += 1;
        tokio::task::yield_now().await;
        let mut state = self.state();
        state.calls += 1;
        if let Some((name, error)) = &state.refused
            && *name == call
        {
            return Err(error.clone());
        }
        state.strike(false)
    }

    async fn wrote(&self, what: String) -> Result<(), ObjectError> {
        let struck = {
            let mut state = self.state();
            state.log.push(what);
            state.strike(true)
        };
        tokio::task::yield_now().await;
        struck
    }
}

fn born(namespace: &str, name: &str) -> ObjectMeta {
    ObjectMeta {
        namespace: Some(namespace.to_owned()),
        name: Some(name.to_owned()),
        uid: Some(uuid::Uuid::new_v4().to_string()),
        generation: Some(1),
        ..ObjectMeta::default()
    }
}

impl State {
    fn next_version(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    /// Somebody changed the resources of this name.
    fn touch(&mut self, key: &Key) {
        let version = self.next_version();
        let client = self.clients.get_mut(key).map(|client| &mut client.metadata);
        let key_set = self.key_sets.get_mut(key).map(|key_set| &mut key_set.metadata);
        for meta in client.into_iter().chain(key_set) {
            meta.resource_version = Some(version.clone());
        }
    }

    fn versioned(&mut self, mut secret: Secret) -> Secret {
        secret.metadata.resource_version = Some(self.next_version());
        let value = secret.data.as_ref().and_then(|data| data.get("CLIENT_SECRET"));
        if let Some(value) = value.and_then(|value| String::from_utf8(value.0.clone()).ok()) {
            let seen = (secret.name_any(), value);
            if !self.values.contains(&seen) {
                self.values.push(seen);
            }
        }
        secret
    }

    fn strike(&mut self, after: bool) -> Result<(), ObjectError> {
        match self.fault.take_if(|fault| fault.call == self.calls && fault.after == after) {
            Some(fault) => Err(fault.error),
            None => Ok(()),
        }
    }

    /// Server-side apply, by force: what was applied before and is not any more goes, what others wrote stays.
    fn apply(&mut self, wanted: &Secret) -> Result<bool, ObjectError> {
        let key = key_of(&wanted.metadata);
        let held = self.secrets.get(&key).ok_or(ObjectError::Raced)?;
        if held.object.resource_version() != wanted.resource_version() {
            return Err(ObjectError::Raced);
        }
        if held.object.type_ != wanted.type_ {
            return Err(ObjectError::Refused("type: field is immutable".into()));
        }
        let mut object = held.object.clone();
        let (now, before, then) = (&mut object.metadata, &wanted.metadata, &held.applied.metadata);
        merge(&mut now.labels, before.labels.as_ref(), then.labels.as_ref());
        merge(&mut now.annotations, before.annotations.as_ref(), then.annotations.as_ref());
        merge::<ByteString>(&mut object.data, wanted.data.as_ref(), held.applied.data.as_ref());
        let owners = object.metadata.owner_references.get_or_insert_default();
        let (given, former) = (wanted.owner_references(), held.applied.owner_references());
        owners.retain(|owner| !former.iter().chain(given).any(|other| other.uid == owner.uid));
        owners.extend(given.iter().cloned());
        if self.strips_annotations {
            object.metadata.annotations = None;
        }
        let changed = object != held.object;
        let object = if changed { self.versioned(object) } else { object };
        self.secrets.insert(key, Held { object, applied: wanted.clone() });
        Ok(changed)
    }

    /// Removes a resource that is to go and waits for nothing any more, and what it owns.
    fn collect(&mut self, key: &Key) {
        let is_gone = |meta: &ObjectMeta| {
            meta.deletion_timestamp.is_some() && meta.finalizers.as_ref().is_none_or(Vec::is_empty)
        };
        if self.key_sets.get(key).is_some_and(|key_set| is_gone(&key_set.metadata)) {
            self.key_sets.remove(key);
        }
        if self.clients.get(key).is_some_and(|client| is_gone(&client.metadata)) {
            let uid = self.clients.remove(key).and_then(|client| client.uid()).unwrap_or_default();
            self.secrets
                .retain(|_, held| !held.object.owner_references().iter().any(|owner| owner.uid == uid));
        }
    }

    /// What stands in a resource's metadata now.
    fn written(&mut self, resource: ResourceView<'_>) -> Written {
        let meta = self.meta_mut(resource).cloned().unwrap_or_default();
        Written { finalizers: meta.finalizers.unwrap_or_default(), resource_version: meta.resource_version }
    }

    fn meta_mut(&mut self, resource: ResourceView<'_>) -> Option<&mut ObjectMeta> {
        match resource {
            ResourceView::Client(client) => {
                self.clients.get_mut(&key_of(&client.metadata)).map(|client| &mut client.metadata)
            }
            ResourceView::KeySet(key_set) => {
                self.key_sets.get_mut(&key_of(&key_set.metadata)).map(|key_set| &mut key_set.metadata)
            }
        }
    }
}

fn merge<V: Clone>(
    live: &mut Option<BTreeMap<String, V>>,
    wanted: Option<&BTreeMap<String, V>>,
    former: Option<&BTreeMap<String, V>>,
) {
    let live = live.get_or_insert_default();
    live.retain(|name, _| !former.is_some_and(|former| former.contains_key(name)));
    live.extend(wanted.into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
}

fn meta(resource: ResourceView<'_>) -> &ObjectMeta {
    match resource {
        ResourceView::Client(client) => &client.metadata,
        ResourceView::KeySet(key_set) => &key_set.metadata,
    }
}

/// Applied conditions replace those of the same type; those of others keep their places.
fn with_conditions(present: &[crd::Condition], written: &[crd::Condition]) -> Vec<crd::Condition> {
    let others = present.iter().filter(|condition| matches!(condition.type_, ConditionType::Other(_)));
    let own = written.iter().filter(|condition| !matches!(condition.type_, ConditionType::Other(_)));
    others.chain(own).cloned().collect()
}

impl Objects for Memory {
    async fn secret(&self, namespace: &str, name: &str) -> Result<Option<Secret>, ObjectError> {
        self.begin("read secret").await?;
        Ok(self.secret(namespace, name))
    }

    /// There are none of Hydra Maester's.
    async fn client_uid(
        &self,
        kind: ClientKind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<String>, ObjectError> {
        self.begin("read client").await?;
        let found = self.client(namespace, name).filter(|_| kind == ClientKind::Ours);
        Ok(found.and_then(|client| client.uid()))
    }

    /// Two writes where it is created: an empty one with the label, then the rest.
    async fn write_secret(&self, secret: &Secret) -> Result<(), ObjectError> {
        self.begin("write secret").await?;
        let mut secret = secret.clone();
        if secret.resource_version().is_none() {
            {
                let mut state = self.state();
                if state.secrets.contains_key(&key_of(&secret.metadata)) {
                    return Err(ObjectError::Raced);
                }
                let mut empty = Secret { type_: secret.type_.clone(), ..Secret::default() };
                (empty.metadata.namespace, empty.metadata.name) =
                    (secret.namespace(), Some(secret.name_any()));
                let managed = (crd::names::MANAGED.to_owned(), crd::names::LABEL_TRUE.to_owned());
                empty.metadata.labels = Some(BTreeMap::from([managed]));
                let object = state.versioned(empty);
                secret.metadata.resource_version = object.resource_version();
                let applied = Secret::default();
                state.secrets.insert(key_of(&secret.metadata), Held { object, applied });
            }
            self.wrote(format!("create secret {}", secret.name_any())).await?;
        }
        let changed = self.state().apply(&secret)?;
        if changed { self.wrote(format!("apply secret {}", secret.name_any())).await } else { Ok(()) }
    }

    async fn add_finalizer(
        &self,
        resource: ResourceView<'_>,
        finalizer: &'static str,
    ) -> Result<Written, ObjectError> {
        self.begin("add finalizer").await?;
        let written = {
            let mut state = self.state();
            let live = state.meta_mut(resource).ok_or_else(|| ObjectError::Refused("not found".into()))?;
            if live.deletion_timestamp.is_some() {
                return Err(ObjectError::Refused("no new finalizers while it is being deleted".into()));
            }
            if live.finalizers.clone().unwrap_or_default()
                != meta(resource).finalizers.clone().unwrap_or_default()
            {
                return Err(ObjectError::Raced);
            }
            live.finalizers.get_or_insert_default().push(finalizer.to_owned());
            state.touch(&key_of(meta(resource)));
            state.written(resource)
        };
        self.wrote("add finalizer".into()).await?;
        Ok(written)
    }

    async fn remove_finalizer(
        &self,
        resource: ResourceView<'_>,
        finalizer: &'static str,
    ) -> Result<Written, ObjectError> {
        self.begin("remove finalizer").await?;
        let written = {
            let mut state = self.state();
            let Some(live) = state.meta_mut(resource) else { return Ok(Written::default()) };
            live.finalizers.get_or_insert_default().retain(|name| name != finalizer);
            state.touch(&key_of(meta(resource)));
            let written = state.written(resource);
            state.collect(&key_of(meta(resource)));
            written
        };
        self.wrote("remove finalizer".into()).await?;
        Ok(written)
    }

    async fn write_client_status(
        &self,
        client: &OAuth2Client,
        status: &OAuth2ClientStatus,
    ) -> Result<(), ObjectError> {
        self.begin("write status").await?;
        {
            let mut state = self.state();
            let live = state.clients.get_mut(&key_of(&client.metadata));
            let Some(live) = live else { return Ok(()) };
            if live.resource_version() != client.resource_version() {
                return Err(ObjectError::Raced);
            }
            let present = live.status.take().unwrap_or_default();
            let conditions = with_conditions(&present.conditions, &status.conditions);
            live.status = Some(OAuth2ClientStatus { conditions, ..status.clone() });
            state.touch(&key_of(&client.metadata));
        }
        self.wrote(format!("write status of {}", client.name_any())).await
    }

    async fn write_key_set_status(
        &self,
        key_set: &JsonWebKeySet,
        status: &JsonWebKeySetStatus,
    ) -> Result<(), ObjectError> {
        self.begin("write status").await?;
        {
            let mut state = self.state();
            let live = state.key_sets.get_mut(&key_of(&key_set.metadata));
            let Some(live) = live else { return Ok(()) };
            if live.resource_version() != key_set.resource_version() {
                return Err(ObjectError::Raced);
            }
            let present = live.status.take().unwrap_or_default();
            let conditions = with_conditions(&present.conditions, &status.conditions);
            live.status = Some(JsonWebKeySetStatus { conditions, ..status.clone() });
            state.touch(&key_of(&key_set.metadata));
        }
        self.wrote(format!("write status of {}", key_set.name_any())).await
    }

    async fn publish(&self, resource: ResourceView<'_>, event: Event) {
        // Events inform: one that is lost changes nothing.
        let _ = self.begin("publish").await;
        let name = meta(resource).name.clone().unwrap_or_default();
        self.state().events.push((name, event));
    }
}

//! What the API server is watched for.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::kind::Kind;
use crd::{JsonWebKeySet, OAuth2Client, names};
use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Secret;
use kube::core::{DeserializeGuard, NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::reflector::{ObjectRef, Store, store::Writer};
use kube::runtime::{Predicate as _, PredicateConfig, WatchStreamExt, predicates, watcher};
use kube::{Api, Client, Resource, ResourceExt};

/// A resource as it is watched: one that cannot be read is no reason to be blind to all others.
pub(super) type Watched<K> = DeserializeGuard<K>;

/// How many objects are listed at a time. A page is read as a whole, with the managed fields of each object, which take
/// many times the memory of what is kept of it; and all watches list at the same time.
const PAGE: u32 = 100;

/// A watch that begins with small lists.
pub(super) fn listed_in_pages() -> watcher::Config {
    watcher::Config::default().page_size(PAGE)
}

/// The API of a kind in a namespace, or in all of them.
pub(super) fn api<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// The instance's resources of a kind, each time that something but the status changes. `writer` keeps all of it.
///
/// `gone` is called when one is deleted and no longer kept: to who looks at what changed, it is as it was before.
pub(super) fn resources<K: Kind>(
    client: &Client,
    namespace: Option<&str>,
    instance: Option<&str>,
    writer: Writer<Watched<K>>,
    gone: impl Fn(ObjectRef<Watched<K>>) + Send + 'static,
) -> impl Stream<Item = watcher::Result<Watched<K>>> + Send + 'static {
    let config = listed_in_pages();
    let config = match instance {
        Some(instance) => config.fields(&format!("spec.instance={instance}")),
        None => config,
    };
    let changes = watcher(api::<Watched<K>>(client, namespace), config)
        .default_backoff()
        .modify(|resource| resource.meta_mut().managed_fields = None)
        .reflect(writer)
        .inspect_ok(move |event| {
            if let watcher::Event::Delete(resource) = event {
                gone(ObjectRef::from_obj(resource));
            }
        })
        .touched_objects();
    let predicate = predicates::generation
        .combine(predicates::annotations)
        .combine(predicates::labels)
        .combine(predicates::finalizers)
        .combine(deletion);
    without_errors(K::plural(&()).into_owned(), Arc::default(), changes)
        .predicate_filter(predicate, PredicateConfig::default())
}

/// The Secrets with a label, without what is in them, each time that they change.
///
/// `fails` is true while that does not work. `relisted` is called where the API server could not say what happened
/// meanwhile, so that all Secrets were listed anew: those that are gone by then are in no list.
pub(super) fn labelled_secrets(
    client: &Client,
    namespace: Option<&str>,
    label: &str,
    fails: Arc<AtomicBool>,
    mut relisted: impl FnMut() + Send + 'static,
) -> impl Stream<Item = watcher::Result<PartialObjectMeta<Secret>>> + Send + 'static {
    let mut listed = false;
    let config = listed_in_pages().labels(&format!("{label}={}", names::LABEL_TRUE));
    // The beginning of a list is told before the list is asked for, and would begin the distance anew where rights lack.
    let changes = watcher(api::<PartialObjectMeta<Secret>>(client, namespace), config)
        .try_filter(|event| std::future::ready(!matches!(event, watcher::Event::Init)))
        .default_backoff()
        .inspect_ok(move |event| {
            if matches!(event, watcher::Event::InitDone) {
                if listed {
                    relisted();
                }
                listed = true;
            }
        })
        .modify(|secret| secret.metadata.managed_fields = None)
        .touched_objects();
    without_errors(format!("secrets with the label {label}"), fails, changes)
        .predicate_filter(predicates::resource_version, PredicateConfig::default())
}

/// The clients whose credentials this Secret carries, or should carry.
pub(super) fn clients_of(
    clients: &Store<Watched<OAuth2Client>>,
    secret: &PartialObjectMeta<Secret>,
) -> Vec<ObjectRef<Watched<OAuth2Client>>> {
    of_secret(clients, secret, OAuth2Client::names_secret)
}

/// The key sets that are exported into this Secret.
pub(super) fn key_sets_of(
    key_sets: &Store<Watched<JsonWebKeySet>>,
    secret: &PartialObjectMeta<Secret>,
) -> Vec<ObjectRef<Watched<JsonWebKeySet>>> {
    let exports = |key_set: &JsonWebKeySet, name: &str| {
        key_set.spec.export.as_ref().is_some_and(|export| export.secret_name == name)
    };
    of_secret(key_sets, secret, exports)
}

/// The resources, of the Secret's namespace, that name it.
pub(super) fn of_secret<K: Kind>(
    known: &Store<Watched<K>>,
    secret: &PartialObjectMeta<Secret>,
    names: fn(&K, &str) -> bool,
) -> Vec<ObjectRef<Watched<K>>> {
    let name = secret.name_any();
    let names_it = |resource: &Watched<K>| {
        resource.meta().namespace == secret.metadata.namespace
            && resource.0.as_ref().is_ok_and(|resource| names(resource, &name))
    };
    known.state_filter(names_it).iter().map(|resource| ObjectRef::from_obj(&**resource)).collect()
}

/// A watch's errors go to the log and no further: each watch retries by itself, and in a
/// controller's queue an error of one would hold up all others.
pub(super) fn without_errors<K, S>(
    what: String,
    fails: Arc<AtomicBool>,
    watch: S,
) -> impl Stream<Item = watcher::Result<K>> + Send + 'static
where
    K: Send + 'static,
    S: Stream<Item = watcher::Result<K>> + Send + 'static,
{
    watch.filter_map(move |change| {
        let heard = match change {
            Ok(object) => {
                fails.store(false, Ordering::Relaxed);
                Some(Ok(object))
            }
            Err(error) => {
                if fails.swap(true, Ordering::Relaxed) {
                    tracing::debug!(what, %error, "still cannot watch");
                } else {
                    tracing::warn!(what, %error, "cannot watch; trying again");
                }
                None
            }
        };
        std::future::ready(heard)
    })
}

#[expect(clippy::unnecessary_wraps, reason = "the form of a predicate")]
fn deletion<K: Resource>(resource: &K) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    resource.meta().deletion_timestamp.is_some().hash(&mut hasher);
    Some(hasher.finish())
}

#[cfg(test)]
mod tests;

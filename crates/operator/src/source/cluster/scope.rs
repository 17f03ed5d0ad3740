//! Where resources are looked after.

use std::collections::HashSet;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::watches::{listed_in_pages, without_errors};

/// The namespaces whose resources are looked after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    #[default]
    All,
    /// These, each by watches of its own: rights in them are enough.
    Namespaces(Vec<String>),
    /// Those whose labels match, and the operator's own, where the key sets are.
    Selector {
        /// The labels.
        labels: String,
        /// The operator's own namespace.
        own: String,
    },
}

impl Scope {
    /// What is watched: all namespaces at once (`None`), or each alone.
    pub(super) fn namespaces(&self) -> Vec<Option<String>> {
        match self {
            Self::All | Self::Selector { .. } => vec![None],
            Self::Namespaces(names) => names.iter().cloned().map(Some).collect(),
        }
    }

    /// Watches which namespaces a selector selects, where there is one.
    pub(super) fn selected(&self, client: &Client) -> Option<Selected> {
        if let Self::Selector { labels, own } = self {
            Some(Selected::watch(client, labels, own))
        } else {
            None
        }
    }
}

/// The namespaces that a selector selects at present, and one that always counts.
#[derive(Clone)]
pub(super) struct Selected {
    own: Arc<str>,
    namespaces: Store<PartialObjectMeta<Namespace>>,
    /// Counts those that began to be selected.
    begun: watch::Receiver<u64>,
    _watch: Arc<AbortOnDropHandle<()>>,
}

impl Selected {
    fn watch(client: &Client, selector: &str, own: &str) -> Self {
        let (namespaces, writer) = reflector::store();
        let (count, begun) = watch::channel(0);
        let watch = follow(client.clone(), selector.to_owned(), writer, namespaces.clone(), count);
        Self {
            own: own.into(),
            namespaces,
            begun,
            _watch: Arc::new(AbortOnDropHandle::new(tokio::spawn(watch))),
        }
    }

    /// True where the resources of a namespace are looked after; false also while that is not known yet.
    pub(super) fn contains(&self, namespace: &str) -> bool {
        *namespace == *self.own || self.namespaces.get(&ObjectRef::new(namespace)).is_some()
    }

    /// Each time that namespaces begin to be selected.
    pub(super) fn beginnings(&self) -> impl Stream<Item = ()> + Send + 'static {
        futures::stream::unfold(self.begun.clone(), |mut begun| async move {
            begun.changed().await.ok()?;
            Some(((), begun))
        })
    }
}

async fn follow(
    client: Client,
    selector: String,
    writer: Writer<PartialObjectMeta<Namespace>>,
    known: Store<PartialObjectMeta<Namespace>>,
    begun: watch::Sender<u64>,
) {
    let config = listed_in_pages().labels(&selector);
    let namespaces = watcher(Api::<PartialObjectMeta<Namespace>>::all(client), config)
        .default_backoff()
        .modify(|namespace| namespace.metadata.managed_fields = None)
        .reflect(writer)
        .touched_objects();
    let mut members = HashSet::new();
    without_errors(format!("namespaces with labels {selector}"), Arc::default(), namespaces)
        .for_each(|namespace| {
            let is_member = |name: &String| known.get(&ObjectRef::new(name)).is_some();
            // Those that went while nobody could watch are told of by nobody.
            members.retain(is_member);
            let name = namespace.map(|namespace| namespace.name_any()).unwrap_or_default();
            if is_member(&name) && members.insert(name) {
                begun.send_modify(|count| *count += 1);
            }
            std::future::ready(())
        })
        .await;
}

//! The way into the queues for resources of which no watch tells.

use std::collections::HashMap;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::runtime::reflector::ObjectRef;

use super::kind::Kind;
use super::watches::Watched;

/// Into the queues of a kind: that of the resource's namespace, or that of all.
#[derive(Debug, Clone)]
pub(super) struct Again<K: Kind>(HashMap<Option<String>, UnboundedSender<ObjectRef<Watched<K>>>>);

impl<K: Kind> Again<K> {
    /// Into no queue yet.
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    /// What comes for the queue of a namespace.
    pub(super) fn queue(&mut self, namespace: Option<String>) -> UnboundedReceiver<ObjectRef<Watched<K>>> {
        let (sender, receiver) = unbounded();
        self.0.insert(namespace, sender);
        receiver
    }

    /// Has a resource looked at. One of a namespace that nobody looks after is left alone.
    pub(super) fn look_at(&self, resource: ObjectRef<Watched<K>>) {
        let queue = self.0.get(&resource.namespace).or_else(|| self.0.get(&None));
        if let Some(queue) = queue {
            // The queue is gone only when nobody works any more.
            let _ = queue.unbounded_send(resource);
        }
    }
}

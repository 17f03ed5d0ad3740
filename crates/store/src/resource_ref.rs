//! The resource that owns a row.

use std::fmt;

/// Names a Kubernetes resource (or a manifest in a folder) across clusters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ResourceRef {
    /// The uid of the cluster's `kube-system` namespace, or of the data folder.
    pub cluster: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl ResourceRef {
    /// True where both name one place: the same resource, or one that was deleted and created again there. Names are
    /// unique in a namespace, so the earlier one is gone.
    pub fn same_place(&self, other: &Self) -> bool {
        (&self.cluster, &self.namespace, &self.name) == (&other.cluster, &other.namespace, &other.name)
    }
}

impl fmt::Display for ResourceRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

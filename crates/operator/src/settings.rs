//! What the process is told about its place.

use std::time::Duration;

use oauth::{Issuer, SubjectTypes};
use store::ResourceRef;

use crate::objects::ClientKind;
use crate::plan::maester::maesters_cluster;

/// The settings of an operator.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The instance whose resources it reconciles; those of others it leaves alone.
    pub instance: String,
    /// The cluster: the uid of `kube-system`, or the data folder's id.
    pub cluster: String,
    /// Whose resources the clients are of, which the database tells apart by the name of the cluster.
    pub clients: ClientKind,
    /// Where key sets are honoured; `None` means everywhere.
    pub key_set_namespaces: Option<Vec<String>>,
    /// Where `adopt: true` takes over clients that no resource owns; `None` means everywhere.
    pub adoption_namespaces: Option<Vec<String>>,
    /// How long a deletion waits for the database, before the resource goes and its row is left to a later sweep.
    pub finalizer_timeout: Duration,
    /// Deletes rows whose resources are gone, however many they are.
    pub allow_mass_deletion: bool,
    /// The issuer, for Secrets that carry it.
    pub issuer: Issuer,
    /// The subject types that the server serves.
    pub subject_types: SubjectTypes,
}

/// How long a deletion waits for the database where nobody says otherwise.
pub const FINALIZER_TIMEOUT: Duration = Duration::from_mins(10);

impl Settings {
    /// How the database names the cluster in the rows of the clients.
    pub fn clients_cluster(&self) -> String {
        match self.clients {
            ClientKind::Ours => self.cluster.clone(),
            ClientKind::Maesters => maesters_cluster(&self.cluster),
        }
    }

    /// Which kind of this cluster's resources owns a client; `None` for one of another cluster.
    pub fn kind_of(&self, holder: &ResourceRef) -> Option<ClientKind> {
        if holder.cluster == self.cluster {
            return Some(ClientKind::Ours);
        }
        (holder.cluster == maesters_cluster(&self.cluster)).then_some(ClientKind::Maesters)
    }

    /// True where resources of `namespace` may take over clients that no resource owns.
    pub fn adopts_in(&self, namespace: &str) -> bool {
        self.adoption_namespaces.as_ref().is_none_or(|allowed| allowed.iter().any(|name| name == namespace))
    }

    /// True where key sets of `namespace` are honoured.
    pub fn honours_key_sets_of(&self, namespace: &str) -> bool {
        self.key_set_namespaces.as_ref().is_none_or(|allowed| allowed.iter().any(|name| name == namespace))
    }
}

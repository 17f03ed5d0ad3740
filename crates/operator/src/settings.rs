//! What the process is told about its place.

use oauth::Issuer;

/// The settings of an operator.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The instance whose resources it reconciles; those of others it leaves alone.
    pub instance: String,
    /// Names the cluster in the database: the uid of `kube-system`, or the data folder's id.
    pub cluster: String,
    /// Where key sets are honoured; `None` means everywhere.
    pub key_set_namespaces: Option<Vec<String>>,
    /// The issuer, for Secrets that carry it.
    pub issuer: Issuer,
}

impl Settings {
    /// True where key sets of `namespace` are honoured.
    pub fn honours_key_sets_of(&self, namespace: &str) -> bool {
        self.key_set_namespaces.as_ref().is_none_or(|allowed| allowed.iter().any(|name| name == namespace))
    }
}

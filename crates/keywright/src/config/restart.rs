//! Which keys take effect at the start alone.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::layer::pointer;
use super::schema::{Schema, Service};
use super::settings::Config;

/// What the configuration says of the keys that take effect at the start alone (`x-restart`), as digests: some are
/// secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestartKeys(BTreeMap<String, [u8; 32]>);

impl RestartKeys {
    pub(super) fn of(schema: &Schema, values: &Value) -> Self {
        let mut keys = BTreeMap::new();
        for leaf in schema.leaves() {
            let path: Vec<String> = leaf.name.split('.').map(str::to_owned).collect();
            let marked = schema.along(&path).iter().any(|node| node.get("x-restart").is_some());
            let value = values.pointer(&pointer(&leaf.name)).or_else(|| leaf.node.get("default"));
            if marked && leaf.node.service() == Service::Served {
                let text = value.map(Value::to_string).unwrap_or_default();
                keys.insert(leaf.name, Sha256::digest(text).into());
            }
        }
        Self(keys)
    }

    /// The keys whose values are others than `before`.
    pub fn differing(&self, before: &Self) -> Vec<&str> {
        let differs = |(key, digest): &(&String, &[u8; 32])| before.0.get(*key) != Some(digest);
        self.0.iter().filter(differs).map(|(key, _)| key.as_str()).collect()
    }
}

impl Config {
    /// Takes back what has changed of the keys that take effect at the start alone, and that are read later as well.
    pub fn keep_until_restart(&mut self, started_with: &Self) {
        self.dev = started_with.dev;
        self.clients = started_with.clients.clone();
        self.serve.cookies = started_with.serve.cookies.clone();
        self.serve.tls = started_with.serve.tls.clone();
        self.serve.public.tls = started_with.serve.public.tls.clone();
        self.serve.admin.tls = started_with.serve.admin.tls.clone();
    }
}

//! The manifests: read, checked by the definitions' rules, and kept where a file breaks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crd::{ManifestError, Resource, Validator};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use serde::Deserialize;
use serde_json::Value;

use super::data::list_files;
use super::registry::{Key, SOURCE_FILE, meta, meta_mut};

/// The namespace of a manifest that names none.
const DEFAULT_NAMESPACE: &str = "default";

/// A resource and the file that declares it.
#[derive(Debug, Clone)]
pub(super) struct Declared {
    pub(super) resource: Resource,
    pub(super) file: PathBuf,
}

/// All that the folder declares.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) resources: BTreeMap<Key, Declared>,
    pub(super) secrets: BTreeMap<(String, String), Secret>,
}

/// The folder, and what was last wrong with it.
pub(super) struct Manifests {
    folder: PathBuf,
    validator: Validator,
    problems: BTreeSet<String>,
    /// The Secrets of each file as they last could be read.
    secrets: BTreeMap<PathBuf, Vec<Secret>>,
}

/// One reading of the folder.
struct Reading<'a> {
    validator: &'a Validator,
    known: &'a BTreeMap<Key, Resource>,
    snapshot: Snapshot,
    problems: BTreeSet<String>,
}

impl Manifests {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, validator: Validator::new(), problems: BTreeSet::new(), secrets: BTreeMap::new() }
    }

    /// What is wrong with the manifests now, each with its file.
    pub(super) fn problems(&self) -> &BTreeSet<String> {
        &self.problems
    }

    /// Reads the folder. A file or an object that cannot be read keeps what it last declared: nothing is ever deleted
    /// because of a typing error, or because the folder is not there for a moment.
    pub(super) fn read(&mut self, known: &BTreeMap<Key, Resource>) -> Snapshot {
        let mut reading = Reading {
            validator: &self.validator,
            known,
            snapshot: Snapshot::default(),
            problems: BTreeSet::new(),
        };
        match list_files(&self.folder) {
            Err(error) => {
                reading.problems.insert(format!("{}: {error}; its resources stay", self.folder.display()));
                reading.keep_all();
            }
            Ok(files) => {
                self.secrets.retain(|file, _| files.contains(file));
                for file in &files {
                    match documents(file) {
                        Ok(documents) => {
                            let secrets = reading.read_file(file, documents);
                            self.secrets.insert(file.clone(), secrets);
                        }
                        Err(error) => {
                            let file_name = file.display();
                            reading
                                .problems
                                .insert(format!("{file_name}: {error}; its resources stay as they were"));
                            reading.keep(|resource| source(resource).as_deref() == Some(file));
                        }
                    }
                }
            }
        }
        for secret in self.secrets.values().flatten() {
            let name = |text: &Option<String>| text.clone().unwrap_or_default();
            let key = (name(&secret.metadata.namespace), name(&secret.metadata.name));
            reading.snapshot.secrets.insert(key, secret.clone());
        }
        for problem in reading.problems.difference(&self.problems) {
            tracing::error!("{problem}");
        }
        self.problems = reading.problems;
        reading.snapshot
    }
}

impl Reading<'_> {
    fn read_file(&mut self, file: &Path, documents: Vec<Value>) -> Vec<Secret> {
        let mut secrets = Vec::new();
        for mut manifest in documents {
            if manifest.is_null() {
                continue;
            }
            default_namespace(&mut manifest);
            if manifest["apiVersion"] == "v1" && manifest["kind"] == "Secret" {
                match secret(manifest) {
                    Ok(secret) => secrets.push(secret),
                    Err(error) => {
                        self.problems.insert(format!("{}: the Secret is invalid: {error}", file.display()));
                    }
                }
            } else {
                self.read_resource(file, &manifest);
            }
        }
        secrets
    }

    fn read_resource(&mut self, file: &Path, manifest: &Value) {
        let text = |path: &str| manifest.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let kind = match text("/kind").as_str() {
            "OAuth2Client" => "OAuth2Client",
            "JsonWebKeySet" => "JsonWebKeySet",
            _ => "",
        };
        let key = Key { kind, namespace: text("/metadata/namespace"), name: text("/metadata/name") };
        let old = self.known.get(&key);
        match self.validator.parse(manifest, old) {
            Ok(resource) => self.declare(file, resource),
            Err(error @ ManifestError::UnknownKind { .. }) => {
                tracing::debug!(file = %file.display(), %error, "left alone");
            }
            Err(error) => {
                let stays = if old.is_some() { "; it stays as it was" } else { "" };
                self.problems.insert(format!("{}: {error}{stays}", file.display()));
                self.keep(|resource| Key::of(resource) == key);
            }
        }
    }

    /// The first file that names a resource declares it, whatever order they were written in.
    fn declare(&mut self, file: &Path, resource: Resource) {
        let key = Key::of(&resource);
        if let Some(first) = self.snapshot.resources.get(&key) {
            let problem = format!(
                "{}: {key} is declared in {} already; this one is left out",
                file.display(),
                first.file.display()
            );
            self.problems.insert(problem);
            return;
        }
        self.snapshot.resources.insert(key, Declared { resource, file: file.to_path_buf() });
    }

    fn keep_all(&mut self) {
        self.keep(|_| true);
    }

    fn keep(&mut self, which: impl Fn(&Resource) -> bool) {
        for (key, resource) in self.known.iter().filter(|(_, resource)| which(resource)) {
            // A resource on its way out is not brought back by a broken file.
            if meta(resource).deletion_timestamp.is_none() {
                let mut resource = resource.clone();
                let file = source(&resource).unwrap_or_default();
                if let Some(annotations) = &mut meta_mut(&mut resource).annotations {
                    annotations.remove(SOURCE_FILE);
                }
                self.snapshot.resources.entry(key.clone()).or_insert(Declared { resource, file });
            }
        }
    }
}

/// The documents of a file, JSON or YAML.
fn documents(file: &Path) -> Result<Vec<Value>, String> {
    let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    serde_yaml::Deserializer::from_str(&text)
        .map(|document| Value::deserialize(document).map_err(|error| error.to_string()))
        .collect()
}

fn default_namespace(manifest: &mut Value) {
    if let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) {
        let absent = metadata.get("namespace").is_none_or(|n| n.is_null() || n == "");
        if absent {
            metadata.insert("namespace".to_owned(), DEFAULT_NAMESPACE.into());
        }
    }
}

/// A Secret as an API server stores it: `stringData` goes into `data`.
fn secret(manifest: Value) -> Result<Secret, String> {
    // Serde's message would quote the value that it did not expect.
    let mut secret: Secret = serde_json::from_value(manifest)
        .map_err(|_| "data needs base64 values, stringData texts, metadata a name".to_owned())?;
    if secret.metadata.name.as_deref().unwrap_or_default().is_empty() {
        return Err("metadata.name is missing".to_owned());
    }
    let data = secret.data.get_or_insert_default();
    for (key, text) in secret.string_data.take().unwrap_or_default() {
        data.insert(key, ByteString(text.into_bytes()));
    }
    Ok(secret)
}

fn source(resource: &Resource) -> Option<PathBuf> {
    meta(resource).annotations.as_ref()?.get(SOURCE_FILE).map(PathBuf::from)
}

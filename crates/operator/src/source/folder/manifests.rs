//! The manifests: read, checked by the definitions' rules, and kept where a file breaks.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crd::{ManifestError, Resource, Validator, names};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use serde::Deserialize;
use serde_json::Value;

use super::data::{DataFolder, list_files};
use super::registry::{Key, SOURCE_FILE, meta, meta_mut};

/// The namespace of a manifest that names none.
const DEFAULT_NAMESPACE: &str = "default";

/// The kinds of resource.
const KINDS: [&str; 2] = ["OAuth2Client", "JsonWebKeySet"];

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
    /// The data folder, whose files are no manifests wherever it lies.
    data: PathBuf,
    validator: Validator,
    problems: BTreeSet<String>,
    /// The Secrets of each file as they last could be read.
    secrets: BTreeMap<PathBuf, Vec<Secret>>,
}

/// One reading of the folder.
struct Reading<'a> {
    validator: &'a Validator,
    known: &'a BTreeMap<Key, Resource>,
    /// The files that are there.
    files: Vec<PathBuf>,
    snapshot: Snapshot,
    problems: BTreeSet<String>,
}

impl Manifests {
    pub(super) fn new(folder: &Path, data: &DataFolder) -> Self {
        Self {
            folder: std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf()),
            data: data.path().canonicalize().unwrap_or_else(|_| data.path().to_path_buf()),
            validator: Validator::new(),
            problems: BTreeSet::new(),
            secrets: BTreeMap::new(),
        }
    }

    /// What is wrong with the manifests now, each with its file.
    pub(super) fn problems(&self) -> &BTreeSet<String> {
        &self.problems
    }

    /// Reads the folder. A file or an object that cannot be read keeps what it last declared: nothing is ever deleted
    /// because of a typing error, or because the folder is not there for a moment.
    pub(super) fn read(&mut self, known: &BTreeMap<Key, Resource>) -> Snapshot {
        let listed = list_files(&self.folder);
        let mut reading = Reading {
            validator: &self.validator,
            known,
            files: Vec::new(),
            snapshot: Snapshot::default(),
            problems: BTreeSet::new(),
        };
        match listed {
            Err(error) => {
                reading.problem(&self.folder, &format!("{error}; its resources stay"));
                reading.keep(|_| true);
            }
            Ok(mut files) => {
                let is_data =
                    |file: &Path| file.canonicalize().is_ok_and(|file| file.starts_with(&self.data));
                files.retain(|file| !is_data(file));
                self.secrets.retain(|file, _| files.contains(file));
                reading.files.clone_from(&files);
                for file in files {
                    let before = self.secrets.remove(&file).unwrap_or_default();
                    let secrets = reading.read_file(&file, before);
                    self.secrets.insert(file, secrets);
                }
            }
        }
        for (file, secrets) in &self.secrets {
            for secret in secrets {
                reading.declare_secret(file, secret);
            }
        }
        for problem in reading.problems.difference(&self.problems) {
            tracing::error!("{problem}");
        }
        self.problems = reading.problems;
        reading.snapshot
    }
}

impl Reading<'_> {
    fn problem(&mut self, file: &Path, what: &str) {
        self.problems.insert(format!("{}: {what}", file.display()));
    }

    /// Reads a file, and gives its Secrets; `before` are those that it had.
    fn read_file(&mut self, file: &Path, before: Vec<Secret>) -> Vec<Secret> {
        let documents = match self.documents(file) {
            Ok(documents) => documents,
            Err(error) => {
                let stays = self.keep_unread(file);
                self.problem(file, &format!("{error}{stays}"));
                return before;
            }
        };
        let (mut secrets, mut is_sound) = (Vec::new(), true);
        for manifest in documents {
            if is_secret(&manifest) {
                match secret(manifest) {
                    Ok(secret) => secrets.push(secret),
                    Err(error) => {
                        self.problem(file, &format!("the Secret is invalid: {error}"));
                        is_sound = false;
                    }
                }
            } else {
                is_sound &= self.read_resource(file, &manifest);
            }
        }
        if !is_sound {
            // What is wrong may be the very name.
            let kept = self.keep(|resource| source(resource).as_deref() == Some(file));
            if !kept.is_empty() {
                let stays = format!("nothing is deleted while the file has errors: {} stays", list(&kept));
                self.problem(file, &stays);
            }
            let names: Vec<_> = secrets.iter().map(name_of).collect();
            secrets.extend(before.into_iter().filter(|secret| !names.contains(&name_of(secret))));
        }
        secrets
    }

    /// The documents of a file, JSON or YAML.
    fn documents(&self, file: &Path) -> Result<Vec<Value>, String> {
        let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
        if text.trim().is_empty() && self.declares(file) {
            return Err("the file is empty, as one that is just being written may be".to_owned());
        }
        let documents: Result<Vec<Value>, serde_yaml::Error> =
            serde_yaml::Deserializer::from_str(&text).map(Value::deserialize).collect();
        let mut documents = documents.map_err(|error| error.to_string())?;
        // A value of YAML, unlike one of JSON, refuses a key that comes twice.
        let unique = |document| serde_yaml::Value::deserialize(document).map(|_| ());
        serde_yaml::Deserializer::from_str(&text).try_for_each(unique).map_err(|error| error.to_string())?;
        documents.retain(|manifest| !manifest.is_null());
        documents.iter_mut().for_each(default_namespace);
        Ok(documents)
    }

    /// Reads what is no Secret. False where it should be a resource and is none.
    fn read_resource(&mut self, file: &Path, manifest: &Value) -> bool {
        let text = |path: &str| manifest.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let kind = KINDS.into_iter().find(|kind| *kind == text("/kind")).unwrap_or_default();
        let key = Key { kind, namespace: text("/metadata/namespace"), name: text("/metadata/name") };
        let old = self.known.get(&key);
        let error = match self.validator.parse(manifest, old) {
            Ok(resource) => {
                self.declare(file, resource);
                return true;
            }
            Err(error @ ManifestError::UnknownKind { .. }) if !self.is_meant(file, manifest, &key) => {
                tracing::debug!(file = %file.display(), %error, "left alone");
                return true;
            }
            Err(error) => error,
        };
        let stays = if old.is_some() { "; it stays as it was" } else { "" };
        self.problem(file, &format!("{error}{stays}"));
        self.keep(|resource| Key::of(resource) == key);
        false
    }

    /// True where a manifest of a kind that nobody knows is meant to be one of ours.
    fn is_meant(&self, file: &Path, manifest: &Value, key: &Key) -> bool {
        let text = |field: &str| manifest.get(field).and_then(Value::as_str).unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        group == names::GROUP
            || (api_version.is_empty() && !key.kind.is_empty())
            || self.known.contains_key(key)
            || (kind.is_empty() && self.declares(file))
    }

    /// The first file that names a resource declares it, whatever order they were written in.
    fn declare(&mut self, file: &Path, resource: Resource) {
        let key = Key::of(&resource);
        if let Some(first) = self.snapshot.resources.get(&key) {
            let first = first.file.display();
            let problem = format!("{key} is declared in {first} already; this one is left out");
            return self.problem(file, &problem);
        }
        self.snapshot.resources.insert(key, Declared { resource, file: file.to_path_buf() });
    }

    fn declare_secret(&mut self, file: &Path, secret: &Secret) {
        let name = name_of(secret);
        if self.snapshot.secrets.contains_key(&name) {
            let (namespace, name) = name;
            let problem = format!("Secret {namespace}/{name} is declared already; this one is left out");
            return self.problem(file, &problem);
        }
        self.snapshot.secrets.insert(name, secret.clone());
    }

    /// True where a resource that is there was declared in this file.
    fn declares(&self, file: &Path) -> bool {
        self.known.values().any(|resource| source(resource).as_deref() == Some(file))
    }

    /// Keeps what a file declared that cannot be read, and says so. One that declared nothing so far may be another one
    /// under a new name: then all that was declared in files which are gone stays.
    fn keep_unread(&mut self, file: &Path) -> String {
        if self.declares(file) {
            self.keep(|resource| source(resource).as_deref() == Some(file));
            return "; its resources stay as they were".to_owned();
        }
        let files = std::mem::take(&mut self.files);
        let kept = self.keep(|resource| source(resource).is_none_or(|source| !files.contains(&source)));
        self.files = files;
        if kept.is_empty() {
            return String::new();
        }
        format!("; it may be the file that declared {}, which therefore stays", list(&kept))
    }

    /// Keeps resources as they are, and gives the keys of those that nothing else declares.
    fn keep(&mut self, which: impl Fn(&Resource) -> bool) -> Vec<Key> {
        let mut kept = Vec::new();
        for (key, resource) in self.known.iter().filter(|(_, resource)| which(resource)) {
            // A resource on its way out is not brought back by a broken file.
            if meta(resource).deletion_timestamp.is_some() || self.snapshot.resources.contains_key(key) {
                continue;
            }
            let mut resource = resource.clone();
            let file = source(&resource).unwrap_or_default();
            if let Some(annotations) = &mut meta_mut(&mut resource).annotations {
                annotations.remove(SOURCE_FILE);
            }
            self.snapshot.resources.insert(key.clone(), Declared { resource, file });
            kept.push(key.clone());
        }
        kept
    }
}

fn default_namespace(manifest: &mut Value) {
    if let Some(metadata) = manifest.get_mut("metadata").and_then(Value::as_object_mut) {
        let absent = metadata.get("namespace").is_none_or(|n| n.is_null() || n == "");
        if absent {
            metadata.insert("namespace".to_owned(), DEFAULT_NAMESPACE.into());
        }
    }
}

fn list(keys: &[Key]) -> String {
    keys.iter().map(Key::to_string).collect::<Vec<_>>().join(", ")
}

fn is_secret(manifest: &Value) -> bool {
    manifest["apiVersion"] == "v1" && manifest["kind"] == "Secret"
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

/// The namespace and name of a Secret.
fn name_of(secret: &Secret) -> (String, String) {
    (secret.namespace().unwrap_or_default(), secret.name_any())
}

fn source(resource: &Resource) -> Option<PathBuf> {
    meta(resource).annotations.as_ref()?.get(SOURCE_FILE).map(PathBuf::from)
}

#[cfg(test)]
mod tests;

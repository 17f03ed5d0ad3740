//! Checks a manifest as the API server would: the same rules, from the same definitions, in
//! practically the same words.
//!
//! ```text
//! manifest ─▶ nulls dropped ─▶ defaults ─▶ unknown fields ─▶ structure ─▶ rules (CEL) ─▶ Resource
//! ```
//!
//! **Caveats.** White space in patterns is that of Unicode here and that of ASCII in the API server,
//! so a URI with, say, a no-break space is refused only here; periods of centuries only there. Of
//! `metadata`, only names and types are checked. An object that was already invalid gets no grace for
//! the fields that did not change.

mod problem;
mod structure;

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{CustomResourceExt, core::cel};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

pub use self::problem::Problem;
use crate::{JsonWebKeySet, OAuth2Client, names, schema};

/// A resource of either kind, valid and with its defaults filled in.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Resource {
    /// A client.
    OAuth2Client(Box<OAuth2Client>),
    /// A key set.
    JsonWebKeySet(Box<JsonWebKeySet>),
}

/// Why a manifest is not a [`Resource`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// The manifest is of a kind that is not defined here; it may be somebody else's.
    #[error("no matches for kind {kind:?} in version {api_version:?}")]
    UnknownKind {
        /// `apiVersion` of the manifest, empty if absent.
        api_version: String,
        /// `kind` of the manifest, empty if absent.
        kind: String,
    },
    /// The manifest is of a kind that is defined here, and somebody has to correct it.
    #[error("the {kind} {name:?} is invalid: {problems}")]
    Invalid {
        /// Kind of the resource.
        kind: String,
        /// Name of the resource, empty if absent.
        name: String,
        /// What is wrong.
        problems: Problems,
    },
}

/// What is wrong with a manifest, at least one thing. Displayed in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Each problem.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

/// The rules of both kinds, compiled.
#[derive(Debug)]
pub struct Validator {
    clients: Definition,
    key_sets: Definition,
}

impl Validator {
    /// Compiles the rules. Takes milliseconds; keep the result.
    pub fn new() -> Self {
        Self { clients: Definition::of::<OAuth2Client>(), key_sets: Definition::of::<JsonWebKeySet>() }
    }

    /// Checks a manifest and reads it.
    ///
    /// `old` is the resource as it was before, with its status, and `None` where there was none.
    /// Fields that may not change are compared with it, and the status is taken from it: a manifest
    /// cannot set one.
    pub fn parse(&self, manifest: &Value, old: Option<&Resource>) -> Result<Resource, ManifestError> {
        let text = |field: &str| manifest.get(field).and_then(Value::as_str).unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let old = old.map(|old| json!(old)).filter(|old| old["kind"] == kind);
        match (api_version, kind) {
            (names::API_VERSION, "OAuth2Client") => {
                self.clients.read(manifest, old.as_ref()).map(Resource::OAuth2Client)
            }
            (names::API_VERSION, "JsonWebKeySet") => {
                self.key_sets.read(manifest, old.as_ref()).map(Resource::JsonWebKeySet)
            }
            _ => {
                Err(ManifestError::UnknownKind { api_version: api_version.to_owned(), kind: kind.to_owned() })
            }
        }
    }
}

impl Default for Validator {
    fn default() -> Self {
        Self::new()
    }
}

/// The rules of one kind.
#[derive(Debug)]
struct Definition {
    kind: String,
    schema: Value,
    structure: jsonschema::Validator,
    rules: cel::CompiledSchema,
}

impl Definition {
    fn of<T: CustomResourceExt>() -> Self {
        let crd = schema::finish(T::crd());
        let schema = json!(crd.spec.versions.first().and_then(|version| version.schema.as_ref()));
        let schema = schema.get("openAPIV3Schema").cloned().unwrap_or_default();
        Self {
            kind: crd.spec.names.kind,
            structure: structure::compile(&schema),
            rules: cel::compile_schema(&schema),
            schema,
        }
    }

    fn read<T: DeserializeOwned>(
        &self,
        manifest: &Value,
        old: Option<&Value>,
    ) -> Result<Box<T>, ManifestError> {
        self.check(manifest, old)
            .and_then(|object| {
                serde_json::from_value(object).map_err(|error| vec![Problem::invalid("", error)])
            })
            .map(Box::new)
            .map_err(|problems| ManifestError::Invalid {
                kind: self.kind.clone(),
                name: manifest["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
                problems: Problems(problems),
            })
    }

    /// The manifest as the API server would store it.
    fn check(&self, manifest: &Value, old: Option<&Value>) -> Result<Value, Vec<Problem>> {
        let mut object = manifest.clone();
        if let Some(fields) = object.as_object_mut() {
            fields.remove("status");
            fields.extend(
                old.and_then(|old| old.get("status")).map(|status| ("status".to_owned(), status.clone())),
            );
        }
        structure::drop_nulls(&self.schema, &mut object);
        let object = cel::apply_defaults(&self.schema, &object);

        let mut problems: Vec<Problem> =
            self.structure.iter_errors(&object).flat_map(|error| problem::of_structure(&error)).collect();
        problems.extend(problems_of_metadata(&object["metadata"]));
        // A field that nobody knows may be a misspelt one, which makes all else misleading.
        if problems.iter().any(Problem::is_unknown_field) {
            problems.retain(Problem::is_unknown_field);
            return Err(problems);
        }
        if problems.iter().any(Problem::blocks_rules) {
            problems.push(Problem::rules_not_checked());
        } else if let Err(errors) = cel::validate_compiled(&self.rules, &object, old) {
            problems.extend(errors.iter().map(problem::of_rule));
        }
        if problems.is_empty() { Ok(object) } else { Err(problems) }
    }
}

/// What the type of `metadata` does not know or cannot hold.
fn problems_of_metadata(metadata: &Value) -> Vec<Problem> {
    let Some(fields) = metadata.as_object() else { return Vec::new() };
    match serde_json::from_value::<ObjectMeta>(metadata.clone()) {
        Ok(known) => {
            let known = json!(known);
            let unknown =
                fields.iter().filter(|(field, value)| !value.is_null() && known.get(field).is_none());
            unknown.map(|(field, _)| Problem::unknown_field(&format!("metadata.{field}"))).collect()
        }
        Err(error) => vec![Problem::invalid("metadata", error)],
    }
}

//! Pieces of schema that several fields share, and what the derive cannot say.

use std::sync::LazyLock;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use regex::Regex;
use schemars::{Schema, SchemaGenerator, json_schema};

/// Name of a Kubernetes object (RFC 1123 subdomain).
pub(crate) const OBJECT_NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// True for what may be the name of a Kubernetes object (RFC 1123 subdomain).
#[expect(clippy::expect_used, reason = "fixed at compile time, and every test would fail")]
pub fn is_object_name(name: &str) -> bool {
    static PATTERN: LazyLock<Regex> = LazyLock::new(|| Regex::new(OBJECT_NAME).expect("a pattern"));
    name.len() <= 253 && PATTERN.is_match(name)
}

/// Name of a server instance (RFC 1123 label).
pub(crate) const INSTANCE: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";
/// Key in the data of a Secret.
pub(crate) const SECRET_KEY: &str = r"^[-._a-zA-Z0-9]+$";

/// A set of absolute URIs without fragment, of any scheme.
pub(crate) fn uris(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 64,
        "x-kubernetes-list-type": "set",
        "items": {"type": "string", "maxLength": 1024, "pattern": r"^[a-zA-Z][a-zA-Z0-9+.-]*:[^\s#]+$"},
    })
}

/// One http or https URL.
pub(crate) fn web_url(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "maxLength": 2048, "pattern": r"^https?://[^\s]+$"})
}

/// An object of any content.
pub(crate) fn free_form(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// Labels for another object.
pub(crate) fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object", "maxProperties": 32, "additionalProperties": {"type": "string", "maxLength": 63},
    })
}

/// Annotations for another object.
pub(crate) fn annotations(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object", "maxProperties": 32, "additionalProperties": {"type": "string", "maxLength": 4096},
    })
}

/// Adds what kube's derive leaves out and takes away what it puts in too much.
///
/// - An optional field is absent, never null.
/// - Descriptions are one line, however the doc comment was wrapped.
/// - `listKind` is named, and the three fields that every object has are part of the schema.
pub(crate) fn finish(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let names = &mut crd.spec.names;
    names.list_kind = Some(format!("{}List", names.kind));
    for version in &mut crd.spec.versions {
        if let Some(root) = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut()) {
            tidy(root);
            root.title = None;
            let properties = root.properties.get_or_insert_default();
            for (field, type_) in [("apiVersion", "string"), ("kind", "string"), ("metadata", "object")] {
                let schema = JSONSchemaProps { type_: Some(type_.to_owned()), ..Default::default() };
                properties.insert(field.to_owned(), schema);
            }
        }
    }
    crd
}

fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    if let Some(values) = &mut schema.enum_ {
        values.retain(|value| !value.0.is_null());
    }
    if let Some(description) = &mut schema.description {
        *description = description.replace('\n', " ");
    }
    schema.properties.iter_mut().flat_map(|properties| properties.values_mut()).for_each(tidy);
    if let Some(JSONSchemaPropsOrArray::Schema(items)) = &mut schema.items {
        tidy(items);
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        tidy(values);
    }
}

/// The instance that resources belong to which name none.
pub(crate) fn default_instance() -> String {
    "default".to_owned()
}

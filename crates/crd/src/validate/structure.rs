//! The structure of a manifest: types, patterns, enums, lengths, checked by JSON Schema.

use serde_json::{Value, json};

use crate::schema::{INSTANCE, OBJECT_NAME};

/// The validator of a structural schema. The schema is a valid one: it is made of Rust types.
pub(super) fn compile(schema: &Value) -> jsonschema::Validator {
    let mut schema = schema.clone();
    close(&mut schema);
    // The API server knows what metadata is; the definition says only that it is an object.
    schema["properties"]["metadata"] = json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "maxLength": 253, "pattern": OBJECT_NAME},
            "namespace": {"type": "string", "maxLength": 63, "pattern": INSTANCE},
        },
    });
    if let Some(required) = schema["required"].as_array_mut() {
        required.push("metadata".into());
    }
    #[expect(clippy::expect_used, reason = "fixed at compile time, and every test would fail")]
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .with_pattern_options(jsonschema::PatternOptions::regex())
        .build(&schema)
        .expect("a structural schema is a JSON schema")
}

/// Says in JSON Schema what Kubernetes takes for granted or says in its own words: declared fields
/// are all there are, and a list of type `set` has no duplicates.
fn close(schema: &mut Value) {
    let Some(node) = schema.as_object_mut() else { return };
    let open = node.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
    if node.contains_key("properties") && !open {
        node.entry("additionalProperties").or_insert(Value::Bool(false));
    }
    if node.get("x-kubernetes-list-type").is_some_and(|list_type| list_type == "set") {
        node.insert("uniqueItems".to_owned(), Value::Bool(true));
    }
    for keyword in ["items", "additionalProperties"] {
        node.get_mut(keyword).into_iter().for_each(close);
    }
    let properties = node.get_mut("properties").and_then(Value::as_object_mut);
    properties.into_iter().flat_map(|properties| properties.values_mut()).for_each(close);
}

/// Removes declared fields that are null: the API server takes them as absent.
pub(super) fn drop_nulls(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(fields) => {
            let declared = schema.get("properties");
            fields.retain(|name, value| !value.is_null() || declared.and_then(|all| all.get(name)).is_none());
            for (name, value) in fields {
                if let Some(schema) = declared.and_then(|all| all.get(name)) {
                    drop_nulls(schema, value);
                }
            }
        }
        Value::Array(items) => {
            if let Some(schema) = schema.get("items") {
                for item in items {
                    drop_nulls(schema, item);
                }
            }
        }
        _ => {}
    }
}

//! A change of a client's document, operation by operation (RFC 6902).

use axum::extract::Request;
use json_patch::PatchOperation;
use oauth::{ClientObject, Error};
use serde_json::{Map, Value};

use crate::error::Failure;
use crate::form::BODY_LIMIT;
use crate::{Server, json_body};

/// How many operations one patch may have: the document is measured after each.
const LARGEST_PATCH: usize = 256;

/// Members that no patch may name: what makes the client this one, and what it does not show.
const FIXED: [&str; 5] =
    ["id", "client_id", "rotated_secrets", "registration_access_token", "registration_client_uri"];

/// A patch whose operations all concern what may be changed.
pub(super) struct Patch(Vec<PatchOperation>);

impl Patch {
    /// Reads a request's patch.
    ///
    /// # Errors
    /// `invalid_request` naming the operation at fault.
    pub(super) async fn read(server: &Server, request: Request) -> Result<Self, Failure> {
        let operations: Vec<PatchOperation> = json_body::read(server, request).await?;
        Ok(Self::new(operations)?)
    }

    fn new(operations: Vec<PatchOperation>) -> Result<Self, Error> {
        if operations.len() > LARGEST_PATCH {
            return Err(Error::invalid_request(format!("A patch has at most {LARGEST_PATCH} operations.")));
        }
        for (index, operation) in operations.iter().enumerate() {
            // The whole document has no first token.
            let named = [Some(operation.path().as_str()), from(operation)].into_iter().flatten();
            let mut tokens = named.map(|path| path.split('/').nth(1).unwrap_or("client_id"));
            if let Some(fixed) = tokens.find(|token| FIXED.contains(token)) {
                return Err(Error::invalid_request(format!("Operation {index}: {fixed} cannot be changed.")));
            }
        }
        Ok(Self(operations))
    }

    /// The client's document with all operations applied, in their order.
    ///
    /// # Errors
    /// `invalid_request` naming the operation that does not fit, or with which the document gets larger than a request
    /// could be: `copy` doubles it each time.
    pub(super) fn apply(&self, object: &ClientObject<'_>) -> Result<Map<String, Value>, Failure> {
        let mut document = to_value(object)?;
        for (index, operation) in self.0.iter().enumerate() {
            let operation = added_where_absent(operation, &document);
            let refused = |why: String| Error::invalid_request(format!("Operation {index}: {why}."));
            json_patch::patch(&mut document, std::slice::from_ref(&operation))
                .map_err(|error| refused(error.kind.to_string()))?;
            if to_value_len(&document)? > BODY_LIMIT {
                return Err(refused("the client gets too large".to_owned()).into());
            }
        }
        match document {
            Value::Object(document) => Ok(document),
            _ => Err(Failure::Defect("a patch made the document none".to_owned())),
        }
    }
}

fn to_value(object: &ClientObject<'_>) -> Result<Value, Failure> {
    serde_json::to_value(object).map_err(|error| Failure::Defect(error.to_string()))
}

fn to_value_len(document: &Value) -> Result<usize, Failure> {
    serde_json::to_vec(document).map(|text| text.len()).map_err(|error| Failure::Defect(error.to_string()))
}

fn from(operation: &PatchOperation) -> Option<&str> {
    match operation {
        PatchOperation::Move(moved) => Some(moved.from.as_str()),
        PatchOperation::Copy(copied) => Some(copied.from.as_str()),
        _ => None,
    }
}

/// Replacing what is not there adds it: Hydra leaves members out that are not set, and its users replace them.
fn added_where_absent(operation: &PatchOperation, document: &Value) -> PatchOperation {
    match operation {
        PatchOperation::Replace(replace) if document.pointer(replace.path.as_str()).is_none() => {
            let (path, value) = (replace.path.clone(), replace.value.clone());
            PatchOperation::Add(json_patch::AddOperation { path, value })
        }
        operation => operation.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use oauth::{ClientId, ClientMetadata};
    use serde_json::json;

    fn patched(patch: Value) -> Result<Map<String, Value>, String> {
        let metadata: ClientMetadata =
            serde_json::from_value(json!({"scope": "read", "metadata": {"a": [1]}, "contacts": ["x"]}))
                .unwrap();
        let id = ClientId::parse("orders").unwrap();
        let object = ClientObject::new(&id, &metadata, Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
        let patch = Patch::new(serde_json::from_value(patch).unwrap()).map_err(|error| error.to_string())?;
        patch.apply(&object).map_err(|failure| failure.to_string())
    }

    #[test]
    fn operations_change_the_document_in_their_order() {
        let cases = [
            (json!([]), "/scope", json!("read")),
            (json!([{"op": "replace", "path": "/scope", "value": "write"}]), "/scope", json!("write")),
            (json!([{"op": "replace", "path": "/jwks_uri", "value": "x"}]), "/jwks_uri", json!("x")),
            (json!([{"op": "add", "path": "/metadata/a/0", "value": 0}]), "/metadata/a", json!([0, 1])),
            (json!([{"op": "replace", "path": "/metadata/a/0", "value": 0}]), "/metadata/a", json!([0])),
            (
                json!([{"op": "copy", "from": "/contacts", "path": "/metadata/b"}]),
                "/metadata/b",
                json!(["x"]),
            ),
            (json!([{"op": "test", "path": "/scope", "value": "read"}]), "/scope", json!("read")),
            (
                json!([
                    {"op": "remove", "path": "/contacts/0"},
                    {"op": "move", "from": "/metadata/a", "path": "/contacts"},
                ]),
                "/contacts",
                json!([1]),
            ),
        ];
        for (patch, path, expected) in cases {
            let document = Value::Object(patched(patch.clone()).unwrap());
            assert_eq!(document.pointer(path), Some(&expected), "{patch}");
        }
    }

    #[test]
    fn what_is_fixed_or_does_not_fit_is_refused_by_its_number() {
        let cases = [
            json!({"op": "replace", "path": "/client_id", "value": "x"}),
            json!({"op": "replace", "path": "/id", "value": "x"}),
            json!({"op": "add", "path": "/rotated_secrets/0", "value": "x"}),
            json!({"op": "copy", "path": "/client_id", "from": "/scope"}),
            json!({"op": "move", "path": "/scope", "from": "/client_id"}),
            json!({"op": "remove", "path": ""}),
            json!({"op": "replace", "path": "", "value": {}}),
            json!({"op": "copy", "path": "", "from": "/metadata"}),
            json!({"op": "remove", "path": "/jwks_uri"}),
            json!({"op": "test", "path": "/scope", "value": "write"}),
            json!({"op": "copy", "path": "/scope", "from": "/client_secret"}),
            json!({"op": "add", "path": "/metadata/a/7", "value": 0}),
        ];
        for operation in cases {
            let fine = json!({"op": "add", "path": "/owner", "value": "x"});
            let error = patched(json!([fine, operation])).unwrap_err();
            assert!(error.contains("Operation 1: "), "{operation}: {error}");
        }
    }

    #[test]
    fn a_patch_that_doubles_the_document_each_time_is_stopped() {
        let double = json!({"op": "copy", "from": "/metadata", "path": "/metadata/a/0"});
        let error = patched(json!(vec![double; 64])).unwrap_err();
        assert!(error.contains("the client gets too large"), "{error}");
        let long = json!({"op": "add", "path": "/owner", "value": "x"});
        assert!(patched(json!(vec![long; 257])).unwrap_err().contains("at most 256"));
    }
}

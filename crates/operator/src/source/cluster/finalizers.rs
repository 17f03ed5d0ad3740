//! Finalizers, added and removed by patches that fail where the list is no longer what was read.

use kube::api::{Patch, PatchParams};
use kube::core::ObjectMeta;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::answer::{answer, classify, within};
use super::kind::Kind;
use crate::{ObjectError, Written};

/// How often a patch is tried anew against a list that somebody else changes at the same time.
const ATTEMPTS: usize = 4;

/// What is to become of a finalizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Add,
    Remove,
}

/// Changes one finalizer of the object that `known` describes, and tells what its metadata are then. The patch
/// names the uid, so an object that was made anew under the same name is left alone.
///
/// # Errors
/// [`ObjectError::Raced`] where there is nothing left to add it to.
pub(super) async fn change<K: Kind>(
    api: &Api<K>,
    known: &ObjectMeta,
    finalizer: &str,
    change: Change,
) -> Result<Written, ObjectError> {
    let name = known.name.as_deref().unwrap_or_default();
    let gone = || if change == Change::Remove { Ok(Written::default()) } else { Err(ObjectError::Raced) };
    let mut present = known.finalizers.clone().unwrap_or_default();
    let mut version = known.resource_version.clone();
    for _ in 0..ATTEMPTS {
        let Some(operations) = operations(known.uid.as_deref(), &present, finalizer, change) else {
            return Ok(Written { finalizers: present, resource_version: version });
        };
        let operations = serde_json::from_value(operations)
            .map_err(|error| ObjectError::Refused(format!("the patch cannot be written: {error}")))?;
        let patch = Patch::<()>::Json(operations);
        let refusal = match within(api.patch_metadata(name, &PatchParams::default(), &patch)).await? {
            Ok(object) => {
                let finalizers = object.finalizers().to_vec();
                return Ok(Written { finalizers, resource_version: object.resource_version() });
            }
            Err(kube::Error::Api(status)) if status.code == 404 => return gone(),
            // A failed test is 422, and so is what the API server's rules refuse: the live object tells which.
            Err(error @ kube::Error::Api(_)) => classify(error),
            Err(error) => return Err(classify(error)),
        };
        let live = answer(api.get_metadata_opt(name)).await?;
        let Some(live) = live.filter(|live| live.uid() == known.uid) else { return gone() };
        if change == Change::Add && live.metadata.deletion_timestamp.is_some() {
            return Err(ObjectError::Raced);
        }
        if live.finalizers() == present {
            return Err(refusal);
        }
        present = live.finalizers().to_vec();
        version = live.resource_version();
    }
    Err(ObjectError::Raced)
}

/// The patch; `None` where nothing is to be changed.
fn operations(uid: Option<&str>, present: &[String], finalizer: &str, change: Change) -> Option<Value> {
    let position = present.iter().position(|name| name == finalizer);
    let same_object = json!({"op": "test", "path": "/metadata/uid", "value": uid});
    Some(match (change, position) {
        (Change::Add, Some(_)) | (Change::Remove, None) => return None,
        (Change::Add, None) if present.is_empty() => json!([
            same_object,
            {"op": "test", "path": "/metadata/finalizers", "value": null},
            {"op": "add", "path": "/metadata/finalizers", "value": [finalizer]},
        ]),
        (Change::Add, None) => json!([
            same_object,
            {"op": "test", "path": "/metadata/finalizers", "value": present},
            {"op": "add", "path": "/metadata/finalizers/-", "value": finalizer},
        ]),
        (Change::Remove, Some(index)) => {
            let path = format!("/metadata/finalizers/{index}");
            json!([
                same_object,
                {"op": "test", "path": path, "value": finalizer},
                {"op": "remove", "path": path},
            ])
        }
    })
}

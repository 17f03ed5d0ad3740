//! Secrets, written by server-side apply.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};

use super::answer::{classify, within};
use crate::ObjectError;

/// The field manager of Secrets.
const MANAGER: &str = "keywright-operator";
/// No object has this version: etcd counts all writes, and begins with that number before the first one.
const NO_VERSION: &str = "1";

/// Writes a Secret.
///
/// A new one is applied as well, in one request, so that every entry belongs to the manager's *apply* alone: of what a
/// create wrote, a later apply could take nothing away again, such as the entry under a key's former name. An apply
/// creates what does not exist, whatever version it names, and is refused as a conflict where it names another version
/// than that of what exists; so with a version that nothing has, it creates and never changes.
pub(super) async fn write(api: &Api<Secret>, secret: &Secret) -> Result<(), ObjectError> {
    let mut secret = secret.clone();
    let creates = secret.metadata.resource_version.is_none();
    if creates {
        secret.metadata.resource_version = Some(NO_VERSION.to_owned());
    }
    let params = PatchParams::apply(MANAGER).force();
    match within(api.patch(&secret.name_any(), &params, &Patch::Apply(&secret))).await? {
        Ok(_) => Ok(()),
        // Deleted since it was read. An apply would create it, but for the uid that it names.
        Err(kube::Error::Api(status)) if status.code == 404 && !creates => Err(ObjectError::Raced),
        Err(error) => Err(classify(error)),
    }
}

//! Secrets: made empty, then filled by server-side apply.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::ObjectMeta;
use kube::{Api, ResourceExt};

use super::answer::{answer, classify, within};
use crate::ObjectError;
use crd::names;

/// The field manager of Secrets.
const MANAGER: &str = "keywright-operator";

/// Writes a Secret.
///
/// A new one is created empty, so that every entry belongs to the manager's *apply* alone: of what a create wrote,
/// a later apply could take nothing away again, such as the entry under a key's former name. A crash between the two
/// leaves an empty Secret with our label, which is taken over.
pub(super) async fn write(api: &Api<Secret>, secret: &Secret) -> Result<(), ObjectError> {
    let mut secret = secret.clone();
    if secret.metadata.resource_version.is_none() {
        let created = create(api, &secret).await?;
        secret.metadata.uid = created.uid();
        secret.metadata.resource_version = created.resource_version();
    }
    let params = PatchParams::apply(MANAGER).force();
    match within(api.patch(&secret.name_any(), &params, &Patch::Apply(&secret))).await? {
        Ok(_) => Ok(()),
        // Deleted since it was read. An apply would create it, but for the uid that it names.
        Err(kube::Error::Api(status)) if status.code == 404 => Err(ObjectError::Raced),
        Err(error) => Err(classify(error)),
    }
}

async fn create(api: &Api<Secret>, secret: &Secret) -> Result<Secret, ObjectError> {
    let label = (names::MANAGED.to_owned(), names::LABEL_TRUE.to_owned());
    let empty = Secret {
        metadata: ObjectMeta {
            name: secret.metadata.name.clone(),
            labels: Some([label].into()),
            ..ObjectMeta::default()
        },
        type_: secret.type_.clone(),
        ..Secret::default()
    };
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    answer(api.create(&params, &empty)).await
}

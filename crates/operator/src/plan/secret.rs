//! The Secret that carries a client's credentials: whose it is, what it should say, and what it says.

use std::collections::BTreeMap;
use std::fmt;

use crd::{DeletionPolicy, OAuth2Client, Reason, SecretSource, names};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::{Resource, ResourceExt};
use oauth::{ClientId, ClientSecret, Issuer};
use uuid::Uuid;

/// Annotation of a generated Secret: the resource that it was written for. A Secret that outlives its resource has no
/// controller to say so.
pub const WRITTEN_FOR: &str = "keywright.dev/written-for";
/// Annotation of a generated Secret: a digest of the names, not the values, of all that was written into it. By it a
/// declaration that no longer has an entry, a label or an owner is told from a Secret to which somebody added one.
pub const WRITTEN_FIELDS: &str = "keywright.dev/written-fields";

/// The only type of Secret that this operator writes.
pub(super) const OPAQUE: &str = "Opaque";

/// A Secret that cannot be used, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// For programs.
    pub reason: Reason,
    /// For people.
    pub message: String,
}

/// What stands where the client's Secret should be.
#[derive(Debug, Clone)]
pub enum FoundSecret {
    /// Nothing.
    Absent,
    /// Something that is not for this client.
    Unusable(Unusable),
    /// A Secret that this client may use.
    Usable(Box<Credentials>),
}

/// A Secret, which may be printed: its entries are not.
#[derive(Clone)]
pub struct SecretObject(pub Secret);

impl fmt::Debug for SecretObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}/{})", self.0.namespace().unwrap_or_default(), self.0.name_any())
    }
}

/// What a usable Secret says.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The client id in it.
    pub client_id: Option<String>,
    /// The client secret in it.
    pub secret: Option<ClientSecret>,
    /// The object itself, to compare with what it should be.
    pub object: SecretObject,
}

impl FoundSecret {
    /// What a usable Secret says.
    pub fn credentials(&self) -> Option<&Credentials> {
        if let Self::Usable(credentials) = self { Some(credentials) } else { None }
    }
}

/// Judges the object that was read.
pub fn judge(client: &OAuth2Client, object: Option<Secret>) -> FoundSecret {
    let Some(object) = object else { return FoundSecret::Absent };
    let refusal = match client.spec.secret.source {
        SecretSource::Generate if is_maesters(client, &object) => None,
        SecretSource::Generate => refuse_to_write(client.meta(), &client.name_any(), "secret.name", &object),
        SecretSource::Reference => refuse_to_read(&object),
    };
    if let Some(unusable) = refusal {
        return FoundSecret::Unusable(unusable);
    }
    let keys = &client.spec.secret.keys;
    FoundSecret::Usable(Box::new(Credentials {
        client_id: entry(&object, &keys.client_id),
        secret: entry(&object, &keys.client_secret).map(ClientSecret::new),
        object: SecretObject(object),
    }))
}

/// True for the Secret that Hydra Maester made for its resource of this name, where this one asks to take over the very
/// client whose id it holds. It becomes a second owner, so that the Secret outlives Maester's resource; an orphan would
/// be none.
fn is_maesters(client: &OAuth2Client, object: &Secret) -> bool {
    let is_of_its_resource = |owner: &OwnerReference| {
        owner.kind == "OAuth2Client"
            && owner.api_version.split('/').next() == Some("hydra.ory.sh")
            && owner.name == client.name_any()
    };
    client.spec.adopt
        && client.spec.deletion_policy == DeletionPolicy::Delete
        && client.spec.client_id.is_some()
        && client.spec.client_id == entry(object, &client.spec.secret.keys.client_id)
        && object.type_.as_deref().unwrap_or(OPAQUE) == OPAQUE
        && object.annotations().get(WRITTEN_FOR).is_none()
        && !object.owner_references().is_empty()
        && object.owner_references().iter().all(is_of_its_resource)
}

/// The text of an entry.
pub(super) fn text(object: &Secret, key: &str) -> Option<String> {
    let bytes = object.data.as_ref()?.get(key)?;
    String::from_utf8(bytes.0.clone()).ok()
}

/// The same; an empty one counts as none.
pub(super) fn entry(object: &Secret, key: &str) -> Option<String> {
    text(object, key).filter(|text| !text.is_empty())
}

/// Why a Secret that stands there is not `resource`'s to write. It is by its controller; where it has none, by the
/// resource that it was [written for](WRITTEN_FOR); and where it names none, by our label. `field` of the spec names the
/// Secret.
pub(super) fn refuse_to_write(
    resource: &ObjectMeta,
    written_for: &str,
    field: &str,
    object: &Secret,
) -> Option<Unusable> {
    let name = object.name_any();
    let conflict = |message: String| Some(Unusable { reason: Reason::SecretConflict, message });
    match (controller(object), object.annotations().get(WRITTEN_FOR)) {
        (Some(owner), _) if Some(owner.uid.as_str()) != resource.uid.as_deref() => {
            return conflict(format!("Secret {name} belongs to {} {}", owner.kind, owner.name));
        }
        (None, Some(other)) if other != written_for => {
            return conflict(format!("Secret {name} was written for another resource, {other}"));
        }
        (None, None) if !is_labelled(object, names::MANAGED) => {
            return conflict(format!(
                "Secret {name} exists and is not Keywright's; delete it, or name another in {field}"
            ));
        }
        _ => {}
    }
    let type_ = object.type_.as_deref().unwrap_or(OPAQUE);
    (type_ != OPAQUE).then(|| Unusable {
        reason: Reason::SecretInvalid,
        message: format!("Secret {name} has the type {type_}, which cannot be changed; delete it"),
    })
}

/// A referenced Secret must be meant for this: else whoever may declare clients could read any Secret's value back
/// through a token endpoint.
fn refuse_to_read(object: &Secret) -> Option<Unusable> {
    (!is_labelled(object, names::SECRET_OPT_IN)).then(|| Unusable {
        reason: Reason::SecretNotOptedIn,
        message: format!(
            "Secret {} needs the label {}: \"{}\"",
            object.name_any(),
            names::SECRET_OPT_IN,
            names::LABEL_TRUE
        ),
    })
}

pub(crate) fn controller(object: &Secret) -> Option<&OwnerReference> {
    object.owner_references().iter().find(|owner| owner.controller == Some(true))
}

pub(super) fn is_labelled(object: &Secret, label: &str) -> bool {
    object.labels().get(label).is_some_and(|value| value == names::LABEL_TRUE)
}

/// The generated Secret as it should be; `found` carries the version that the write depends on.
pub fn desired(
    client: &OAuth2Client,
    id: &ClientId,
    secret: Option<&ClientSecret>,
    issuer: &Issuer,
    found: Option<&Secret>,
) -> Secret {
    let spec = &client.spec.secret;
    let mut labels = spec.labels.clone();
    labels.insert(names::MANAGED.to_owned(), names::LABEL_TRUE.to_owned());
    let mut data = BTreeMap::new();
    data.insert(spec.keys.client_id.clone(), bytes(id.as_str()));
    if let Some(secret) = secret {
        data.insert(spec.keys.client_secret.clone(), bytes(secret.expose()));
    }
    if let Some(key) = &spec.keys.issuer {
        data.insert(key.clone(), bytes(issuer.as_str()));
    }
    // An orphaned Secret outlives its resource, so the garbage collector must not know of the two.
    let owners = match client.spec.deletion_policy {
        DeletionPolicy::Delete => client.controller_owner_ref(&()).map(|owner| vec![owner]),
        DeletionPolicy::Orphan => None,
    };
    let mut annotations = spec.annotations.clone();
    annotations.insert(WRITTEN_FOR.to_owned(), client.name_any());
    annotations.insert(WRITTEN_FIELDS.to_owned(), digest(&labels, &annotations, &data, owners.is_some()));
    Secret {
        metadata: ObjectMeta {
            name: Some(client.secret_name()),
            namespace: client.namespace(),
            labels: Some(labels),
            annotations: Some(annotations),
            owner_references: owners,
            // With its uid, a Secret that was deleted meanwhile is not made anew by the write.
            uid: found.and_then(ResourceExt::uid),
            resource_version: found.and_then(ResourceExt::resource_version),
            ..ObjectMeta::default()
        },
        type_: Some(OPAQUE.to_owned()),
        data: Some(data),
        ..Secret::default()
    }
}

/// True where `object` says all that `desired` says. Other labels, annotations and entries are their owners'.
pub fn is_as(object: &Secret, desired: &Secret) -> bool {
    let has_all = |have: &BTreeMap<String, String>, want: Option<&BTreeMap<String, String>>| {
        want.into_iter().flatten().all(|(key, value)| have.get(key) == Some(value))
    };
    let owned = |owner: &OwnerReference| {
        object
            .owner_references()
            .iter()
            .any(|have| have.uid == owner.uid && have.controller == owner.controller)
    };
    has_all(object.labels(), desired.metadata.labels.as_ref())
        && has_all(object.annotations(), desired.metadata.annotations.as_ref())
        && desired.owner_references().iter().all(owned)
        && desired
            .data
            .iter()
            .flatten()
            .all(|(key, value)| object.data.as_ref().and_then(|data| data.get(key)) == Some(value))
}

/// True where `object` was last written with the same labels, annotations, entries and owner as `desired` has.
pub(super) fn has_fields_of(object: &Secret, desired: &Secret) -> bool {
    object.annotations().get(WRITTEN_FIELDS) == desired.annotations().get(WRITTEN_FIELDS)
}

/// Digests the names of what is written. None of them can hold a comma or a semicolon.
fn digest(
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
    data: &BTreeMap<String, ByteString>,
    owned: bool,
) -> String {
    let names = |names: &mut dyn Iterator<Item = &String>| names.cloned().collect::<Vec<_>>().join(",");
    let fields = [names(&mut labels.keys()), names(&mut annotations.keys()), names(&mut data.keys())];
    Uuid::new_v5(&Uuid::NAMESPACE_OID, format!("{};{owned}", fields.join(";")).as_bytes()).to_string()
}

fn bytes(text: &str) -> ByteString {
    ByteString(text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests;

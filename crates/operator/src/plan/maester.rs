//! Hydra Maester's resources in the place of ours: what is read as one of ours is planned and carried out as such, and
//! what is said of it goes back in Maester's words.

use crd::maester::{self, FINALIZER, MaesterCondition, ReconciliationError};
use crd::{
    Condition, ConditionStatus, ConditionType, OAuth2Client, OAuth2ClientStatus, Reason, SecretKeys,
    SecretSource, is_object_name, names,
};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::ResourceExt;

use super::client::Limits;
use super::secret::{entry, is_labelled};
use crate::status::{Wanted, conditions};

/// How Maester's resources are read.
#[derive(Debug, Clone, Default)]
pub struct MaesterSettings {
    /// The entries of their Secrets.
    pub keys: SecretKeys,
    /// The addresses in `spec.hydraAdmin.url` that mean this installation.
    pub admin_urls: Vec<String>,
    /// Where a Secret may name any client id that is free; `None` means everywhere, as with Maester. Elsewhere a resource
    /// makes no client under another id than its own.
    pub id_namespaces: Option<Vec<String>>,
}

/// Why a resource of Maester's is not read as one of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    code: &'static str,
    reason: Reason,
    message: String,
}

const INVALID_SECRET: &str = "INVALID_SECRET";
const INVALID_ADDRESS: &str = "INVALID_HYDRA_ADDRESS";
const SECRET_FAILED: &str = "SECRET_CREATION_FAILED";
const REGISTRATION_FAILED: &str = "CLIENT_REGISTRATION_FAILED";
const UPDATE_FAILED: &str = "CLIENT_UPDATE_FAILED";

/// How the database names this cluster where it is about Maester's resources.
pub fn maesters_cluster(cluster: &str) -> String {
    format!("{cluster}/{}", maester::GROUP)
}

/// The resource as one of ours, of `instance`. `secret` is the Secret that it names, if there is one.
///
/// Maester's rules are kept: a Secret that exists is used as it is and holds the client's id; where none is, one is made.
/// A client that Maester registered is known by its owner, and taken over.
///
/// # Errors
/// [`Refusal`], but never for a resource that is on its way out: nothing may keep that.
pub fn as_ours(
    from: &maester::OAuth2Client,
    secret: Option<&Secret>,
    instance: &str,
    settings: &MaesterSettings,
) -> Result<OAuth2Client, Refusal> {
    let is_leaving = from.metadata.deletion_timestamp.is_some();
    let mut spec = match maester::spec(&from.spec, &settings.keys) {
        Ok(spec) => spec,
        Err(_) if is_leaving => without_lifespans(from, settings)?,
        Err(error) => return Err(invalid(error.to_string())),
    };
    if !is_leaving {
        check_address(from, settings)?;
        check_secret_name(&from.spec.secret_name)?;
    }
    instance.clone_into(&mut spec.instance);
    spec.owner = Some(maester::owner(&from.name_any(), &from.namespace().unwrap_or_default()));
    if let Some(secret) = secret.filter(|secret| !is_ours(secret)) {
        spec.secret.source = SecretSource::Reference;
        spec.client_id = entry(secret, &settings.keys.client_id);
        if spec.client_id.is_none() && !is_leaving {
            let (name, key) = (secret.name_any(), &settings.keys.client_id);
            let message = format!("Secret {name} has no text under {key}");
            return Err(Refusal { code: INVALID_SECRET, reason: Reason::SecretInvalid, message });
        }
    }
    let mut client = OAuth2Client::new(&from.name_any(), spec);
    client.metadata = from.metadata.clone();
    for finalizer in client.finalizers_mut() {
        *finalizer = our_finalizer(finalizer);
    }
    client.status = from.status.as_ref().map(known_status);
    Ok(client)
}

fn without_lifespans(
    from: &maester::OAuth2Client,
    settings: &MaesterSettings,
) -> Result<crd::OAuth2ClientSpec, Refusal> {
    let spec = maester::OAuth2ClientSpec { token_lifespans: None, ..from.spec.clone() };
    maester::spec(&spec, &settings.keys).map_err(|error| invalid(error.to_string()))
}

/// An address of somebody else's server is not followed: credentials would be sent there.
fn check_address(from: &maester::OAuth2Client, settings: &MaesterSettings) -> Result<(), Refusal> {
    let Some(admin) = from.spec.hydra_admin.as_ref().filter(|admin| !admin.is_empty()) else { return Ok(()) };
    let url = admin.url.as_deref().unwrap_or_default().trim_end_matches('/');
    if settings.admin_urls.iter().any(|known| known.trim_end_matches('/') == url) {
        return Ok(());
    }
    let message = format!("spec.hydraAdmin.url: {url:?} is not this server, and others are not managed");
    Err(Refusal { code: INVALID_ADDRESS, reason: Reason::InvalidSpec, message })
}

/// The pattern of Maester's schema is not anchored, and lets anything through.
fn check_secret_name(name: &str) -> Result<(), Refusal> {
    if is_object_name(name) {
        return Ok(());
    }
    let message = format!("spec.secretName: {name:?} is no name of a Secret (RFC 1123 subdomain)");
    Err(Refusal { code: INVALID_SECRET, reason: Reason::InvalidSpec, message })
}

fn invalid(message: String) -> Refusal {
    Refusal { code: REGISTRATION_FAILED, reason: Reason::InvalidSpec, message }
}

/// What a resource may not do that one of ours may.
pub fn limits(from: &maester::OAuth2Client, settings: &MaesterSettings) -> Limits {
    let namespace = from.namespace().unwrap_or_default();
    Limits {
        own_ids: settings.id_namespaces.as_ref().is_some_and(|allowed| !allowed.contains(&namespace)),
        elsewhere: check_address(from, settings).is_err(),
    }
}

/// The Secret as the plan is to see it: by Maester's rules, a Secret that a resource names is meant for it.
#[must_use]
pub fn presented(mut secret: Secret) -> Secret {
    if !is_ours(&secret) {
        let labels = secret.metadata.labels.get_or_insert_default();
        labels.insert(names::SECRET_OPT_IN.to_owned(), names::LABEL_TRUE.to_owned());
    }
    secret
}

/// The Secret as it is to be written: its owner is of Maester's kind, else the garbage collector takes it for an orphan.
#[must_use]
pub fn owned(mut secret: Secret) -> Secret {
    for owner in secret.metadata.owner_references.iter_mut().flatten() {
        maester::API_VERSION.clone_into(&mut owner.api_version);
    }
    secret
}

fn is_ours(secret: &Secret) -> bool {
    is_labelled(secret, names::MANAGED)
}

/// What the plans call a finalizer that the resource has.
pub fn our_finalizer(finalizer: &str) -> String {
    let ours = if finalizer == FINALIZER { names::CLIENT_FINALIZER } else { finalizer };
    ours.to_owned()
}

/// What the status says in our words. Conditions that Maester wrote say too little, and count for nothing.
fn known_status(status: &maester::OAuth2ClientStatus) -> OAuth2ClientStatus {
    let complete = |condition: &MaesterCondition| {
        let value = serde_json::to_value(condition).ok()?;
        serde_json::from_value::<Condition>(value).ok()
    };
    OAuth2ClientStatus {
        observed_generation: status.observed_generation,
        client_id: status.client_id.clone(),
        secret_name: status.secret_name.clone(),
        secret_rotation: status.secret_rotation.clone(),
        conditions: status.conditions.iter().filter_map(complete).collect(),
    }
}

/// The status in Maester's words.
pub fn status(ours: &OAuth2ClientStatus) -> maester::OAuth2ClientStatus {
    let failed = ours.condition(&ConditionType::Ready).filter(|ready| ready.status == ConditionStatus::False);
    let error = failed.map(|ready| {
        let secret = ours.condition(&ConditionType::SecretReady);
        let secret_failed = secret.is_some_and(|secret| secret.status == ConditionStatus::False);
        let code = match ready.reason {
            Reason::SecretInvalid
            | Reason::SecretConflict
            | Reason::SecretNotFound
            | Reason::SecretNotOptedIn
            | Reason::ClientIdConflict
            | Reason::AdoptionRefused => INVALID_SECRET,
            _ if secret_failed => SECRET_FAILED,
            _ if ours.client_id.is_some() => UPDATE_FAILED,
            _ => REGISTRATION_FAILED,
        };
        (code, &*ready.message)
    });
    maester_status(ours, error)
}

/// The status of a resource that is not read as one of ours; what is known stays.
pub fn refused(
    from: &maester::OAuth2Client,
    refusal: &Refusal,
    now: Timestamp,
) -> maester::OAuth2ClientStatus {
    let mut ours = from.status.as_ref().map(known_status).unwrap_or_default();
    let wanted =
        |type_| Wanted::new(type_, ConditionStatus::False, refusal.reason.clone(), &*refusal.message);
    let wanted = [wanted(ConditionType::Ready), wanted(ConditionType::Synced)];
    ours.observed_generation = from.metadata.generation;
    ours.conditions = conditions(&ours.conditions, &wanted, from.metadata.generation, now);
    maester_status(&ours, Some((refusal.code, &refusal.message)))
}

impl Refusal {
    /// For programs.
    pub fn reason(&self) -> Reason {
        self.reason.clone()
    }
}

fn maester_status(ours: &OAuth2ClientStatus, error: Option<(&str, &str)>) -> maester::OAuth2ClientStatus {
    // Empty texts, since absent ones would leave standing what Maester wrote.
    let (code, description) = error.unwrap_or_default();
    let condition = |condition: &Condition| MaesterCondition {
        type_: condition.type_.to_string(),
        status: condition.status,
        observed_generation: condition.observed_generation,
        last_transition_time: Some(condition.last_transition_time),
        reason: Some(condition.reason.to_string()),
        message: Some(condition.message.clone()),
    };
    maester::OAuth2ClientStatus {
        observed_generation: ours.observed_generation,
        reconciliation_error: Some(ReconciliationError {
            status_code: Some(code.to_owned()),
            description: Some(description.to_owned()),
        }),
        client_id: ours.client_id.clone(),
        secret_name: ours.secret_name.clone(),
        secret_rotation: ours.secret_rotation.clone(),
        conditions: ours.conditions.iter().map(condition).collect(),
    }
}

/// Who wrote the status after `us`, if anybody did: a Maester that still runs. Before our own first write, there may be
/// one that has just been stopped.
pub fn rival<'a>(managed: &'a [ManagedFieldsEntry], us: &str) -> Option<(&'a str, Timestamp)> {
    let of_status = || managed.iter().filter(|entry| entry.subresource.as_deref() == Some("status"));
    let written = |entry: &ManagedFieldsEntry| entry.time.as_ref().map(|time| time.0);
    let ours = of_status().find(|entry| entry.manager.as_deref() == Some(us)).and_then(written)?;
    let others = of_status().filter(|entry| entry.manager.as_deref() != Some(us));
    let later = others.filter_map(|entry| Some((entry.manager.as_deref()?, written(entry)?)));
    later.filter(|(_, at)| *at > ours).max_by_key(|(_, at)| *at)
}

#[cfg(test)]
mod tests;

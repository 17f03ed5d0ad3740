//! What is to be done for an `OAuth2Client`.
//!
//! The order of the actions survives a crash at any point: a new client's Secret is written before its row, so that
//! the row never has a secret that nobody knows; a new secret for an existing row is first made to work (pending), then
//! written, then promoted. What a crash leaves behind is told apart from tampering by the row's hashes.

use crd::{DeletionPolicy, OAuth2Client, Reason, SecretSource, names};
use jiff::{SignedDuration, Timestamp};
use kube::{Resource, ResourceExt};
use oauth::{ClientId, ClientMetadata, ClientSecret, Issuer};
use store::{ResourceRef, SecretState, StoredClient};

use super::client_metadata;
use super::secret::{self, Credentials, FoundSecret, Unusable};
use crate::events::{Event, EventReason};

/// How long a replaced secret still works where the resource declares no rotation: workloads that mounted it need
/// time to notice.
pub const DEFAULT_OVERLAP: SignedDuration = SignedDuration::from_hours(24);

/// Everything that the plan depends on.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// The resource.
    pub client: OAuth2Client,
    /// The resource, as the database names it.
    pub me: ResourceRef,
    /// The client's id; see [`crate::reconcile::client`] for how it is found.
    pub id: ClientId,
    /// The row of that id, whoever owns it.
    pub row: Option<StoredClient>,
    /// What stands where the Secret should be.
    pub secret: FoundSecret,
    /// What the secret in it is to the row; `None` where it matches none of the row's hashes.
    pub matched: Option<SecretState>,
    /// A fresh secret, for the case that one is needed.
    pub fresh: ClientSecret,
    /// The issuer, for Secrets that carry it.
    pub issuer: Issuer,
    /// The time.
    pub now: Timestamp,
}

/// One write. Each may be repeated without harm.
#[derive(Debug, Clone)]
pub enum Action {
    /// Keep the resource until its row is deleted.
    AddFinalizer,
    /// Let the resource go.
    RemoveFinalizer,
    /// Write the Secret.
    WriteSecret(Box<k8s_openapi::api::core::v1::Secret>),
    /// Create the row, with this secret where the client has one.
    CreateRow {
        /// What is registered.
        metadata: Box<ClientMetadata>,
        /// The secret.
        secret: Option<ClientSecret>,
    },
    /// Write what is registered.
    UpdateRow(Box<ClientMetadata>),
    /// Make a secret work before it is written into the Secret.
    SetPending(ClientSecret),
    /// Make the pending secret, which the Secret holds, the current one.
    Promote {
        /// When the former one stops working.
        previous_expires_at: Timestamp,
    },
    /// Remove the secrets of a client that no longer has any.
    RemoveSecrets,
    /// Delete the row, and with it all tokens.
    DeleteRow,
    /// Say what happened; it follows the write that it tells of.
    Publish(Event),
}

/// How the resource stands once nothing is left to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// All is as declared.
    Ready {
        /// When something is due next.
        again_at: Option<Timestamp>,
        /// Fields that are kept but not acted on yet.
        not_served: Vec<String>,
    },
    /// The row is as declared, but the Secret is not usable.
    SecretUnusable(Unusable),
    /// The row is another resource's.
    Conflict(ResourceRef),
    /// The spec asks for what cannot be.
    Invalid(String),
    /// Reconciling is suspended.
    Suspended,
    /// The resource is on its way out.
    Gone,
}

/// What to do, and what then is.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The writes, in their order.
    pub actions: Vec<Action>,
    /// How the resource stands when there are none.
    pub standing: Standing,
}

impl Plan {
    fn rest(standing: Standing) -> Self {
        Self { actions: Vec::new(), standing }
    }
}

/// Decides.
pub fn plan(gathered: &Gathered) -> Plan {
    let client = &gathered.client;
    let has_finalizer = client.finalizers().iter().any(|name| name == names::CLIENT_FINALIZER);
    if client.meta().deletion_timestamp.is_some() {
        return deletion(gathered, has_finalizer);
    }
    if client.spec.suspend {
        return Plan::rest(Standing::Suspended);
    }
    let metadata = match client_metadata::of_spec(&client.spec) {
        Ok(metadata) => metadata,
        Err(problem) => return Plan::rest(Standing::Invalid(problem)),
    };
    if let Some(row) = &gathered.row
        && !row.manager.same_place(&gathered.me)
    {
        return Plan::rest(Standing::Conflict(row.manager.clone()));
    }
    let mut actions = Vec::new();
    match (client.spec.deletion_policy, has_finalizer) {
        (DeletionPolicy::Delete, false) => actions.push(Action::AddFinalizer),
        (DeletionPolicy::Orphan, true) => actions.push(Action::RemoveFinalizer),
        _ => {}
    }
    let credentials = match usable(gathered) {
        Ok(credentials) => credentials,
        Err(unusable) => {
            // The client goes on with the credentials that it has; only what is registered is kept up to date.
            if let Some(row) = &gathered.row {
                actions.extend(update_row(gathered, row, &metadata));
            }
            return Plan { actions, standing: Standing::SecretUnusable(unusable) };
        }
    };
    match &gathered.row {
        None => actions.extend(creation(gathered, metadata.clone(), credentials)),
        Some(row) => {
            actions.extend(secret_actions(gathered, row, credentials));
            actions.extend(update_row(gathered, row, &metadata));
        }
    }
    let again_at = gathered.row.as_ref().and_then(|row| next_due(gathered, row));
    Plan {
        actions,
        standing: Standing::Ready { again_at, not_served: client_metadata::not_served(&metadata) },
    }
}

fn deletion(gathered: &Gathered, has_finalizer: bool) -> Plan {
    let mut actions = Vec::new();
    if has_finalizer {
        if gathered.row.as_ref().is_some_and(|row| row.manager.same_place(&gathered.me)) {
            actions.push(Action::DeleteRow);
        }
        actions.push(Action::RemoveFinalizer);
    }
    Plan { actions, standing: Standing::Gone }
}

/// The credentials to work with; `None` where there is no Secret yet and one is to be generated.
fn usable(gathered: &Gathered) -> Result<Option<&Credentials>, Unusable> {
    let client = &gathered.client;
    match (&gathered.secret, client.spec.secret.source) {
        (FoundSecret::Unusable(unusable), _) => Err(unusable.clone()),
        (FoundSecret::Absent, SecretSource::Generate) => Ok(None),
        (FoundSecret::Usable(found), SecretSource::Generate) => Ok(Some(found)),
        (FoundSecret::Absent, SecretSource::Reference) => Err(Unusable {
            reason: Reason::SecretNotFound,
            message: format!("waiting for Secret {}", client.secret_name()),
        }),
        (FoundSecret::Usable(found), SecretSource::Reference) => check_referenced(gathered, found).map(Some),
    }
}

fn check_referenced<'a>(gathered: &Gathered, found: &'a Credentials) -> Result<&'a Credentials, Unusable> {
    let client = &gathered.client;
    let (name, keys) = (client.secret_name(), &client.spec.secret.keys);
    let invalid = |message: String| Err(Unusable { reason: Reason::SecretInvalid, message });
    if found.client_id.as_ref().is_some_and(|id| id != gathered.id.as_str()) {
        return invalid(format!(
            "{} in Secret {name} is not the client's id, {}",
            keys.client_id, gathered.id
        ));
    }
    if !client.spec.token_endpoint_auth_method.uses_secret() {
        return Ok(found);
    }
    match &found.secret {
        None => invalid(format!("Secret {name} has no text under {}", keys.client_secret)),
        Some(secret) if secret.expose().len() < ClientSecret::MIN_LEN => invalid(format!(
            "{} in Secret {name} is too short: at least {} characters, better 32 random ones",
            keys.client_secret,
            ClientSecret::MIN_LEN
        )),
        Some(_) => Ok(found),
    }
}

/// No row yet. A secret that stands in our Secret already is taken over: it was written before a crash, or it is what
/// workloads still use after the database was lost.
fn creation(gathered: &Gathered, metadata: ClientMetadata, found: Option<&Credentials>) -> Vec<Action> {
    let spec = &gathered.client.spec;
    let standing = found.and_then(|found| found.secret.clone());
    let long_enough = |secret: &ClientSecret| secret.expose().len() >= ClientSecret::MIN_LEN;
    let secret = spec
        .token_endpoint_auth_method
        .uses_secret()
        .then(|| standing.filter(long_enough).unwrap_or_else(|| gathered.fresh.clone()));
    let mut actions = Vec::new();
    if spec.secret.source == SecretSource::Generate {
        actions.extend(write_secret(gathered, secret.as_ref(), found));
        if found.is_none() {
            actions.push(published(EventReason::SecretCreated, gathered, "with the client's credentials"));
        }
    }
    actions.push(Action::CreateRow { metadata: Box::new(metadata), secret });
    let note = format!("created client {}", gathered.id);
    actions.push(Action::Publish(Event::new(EventReason::Created, note)));
    actions
}

/// Why the client needs another secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// A rotation is due.
    Rotation,
    /// The Secret is gone.
    Recreation,
    /// The Secret holds something else.
    Tampering,
    /// The client had no secret so far.
    First,
}

fn secret_actions(gathered: &Gathered, row: &StoredClient, found: Option<&Credentials>) -> Vec<Action> {
    let spec = &gathered.client.spec;
    if !spec.token_endpoint_auth_method.uses_secret() {
        let mut actions = Vec::new();
        if !row.secrets.is_empty() {
            actions.push(Action::RemoveSecrets);
        }
        if spec.secret.source == SecretSource::Generate {
            actions.extend(write_secret(gathered, None, found));
        }
        return actions;
    }
    let value = found.and_then(|found| found.secret.as_ref());
    match (spec.secret.source, gathered.matched, value) {
        // A crash came between writing the Secret and promoting: finish.
        (_, Some(SecretState::Pending), _) => promotion(gathered, EventReason::SecretRotated),
        // Without a value, `check_referenced` has refused the Secret.
        (SecretSource::Reference, Some(SecretState::Current), _) | (SecretSource::Reference, _, None) => {
            Vec::new()
        }
        (SecretSource::Reference, _, Some(value)) => {
            let mut actions = vec![Action::SetPending(value.clone())];
            actions.extend(promotion(gathered, EventReason::SecretRotated));
            actions
        }
        (SecretSource::Generate, Some(SecretState::Current), Some(value)) => match due(gathered, row) {
            Due::Now => replacement(gathered, found, Need::Rotation),
            Due::At(_) | Due::Never => write_secret(gathered, Some(value), found),
        },
        (SecretSource::Generate, ..) => {
            let first = row.secrets.iter().all(|secret| secret.state != SecretState::Current);
            let need = match found {
                _ if first => Need::First,
                None => Need::Recreation,
                Some(_) => Need::Tampering,
            };
            replacement(gathered, found, need)
        }
    }
}

/// A new secret for an existing row: it works before it is written, and it is written before the old one's time runs.
fn replacement(gathered: &Gathered, found: Option<&Credentials>, need: Need) -> Vec<Action> {
    let mut actions = vec![Action::SetPending(gathered.fresh.clone())];
    actions.extend(write_secret(gathered, Some(&gathered.fresh), found));
    actions.extend(promotion(
        gathered,
        match need {
            Need::Rotation => EventReason::SecretRotated,
            Need::Recreation => EventReason::SecretRecreated,
            Need::Tampering => EventReason::SecretTampered,
            Need::First => EventReason::SecretCreated,
        },
    ));
    actions
}

fn promotion(gathered: &Gathered, event: EventReason) -> Vec<Action> {
    let declared = gathered.client.spec.secret_rotation.as_ref();
    let overlap = declared.map_or(DEFAULT_OVERLAP, |rotation| signed(rotation.overlap.get()));
    let previous_expires_at = gathered.now.saturating_add(overlap).unwrap_or(Timestamp::MAX);
    let note = format!("holds a new client secret; the former one works until {previous_expires_at}");
    vec![Action::Promote { previous_expires_at }, published(event, gathered, &note)]
}

/// Writes the Secret where it does not say what it should.
fn write_secret(
    gathered: &Gathered,
    secret: Option<&ClientSecret>,
    found: Option<&Credentials>,
) -> Vec<Action> {
    let object = found.map(|found| &found.object);
    let desired = secret::desired(&gathered.client, &gathered.id, secret, &gathered.issuer, object);
    match object {
        Some(object) if secret::is_as(object, &desired) => Vec::new(),
        _ => vec![Action::WriteSecret(Box::new(desired))],
    }
}

fn update_row(gathered: &Gathered, row: &StoredClient, metadata: &ClientMetadata) -> Vec<Action> {
    if row.metadata == *metadata && row.manager == gathered.me {
        return Vec::new();
    }
    let mut actions = vec![Action::UpdateRow(Box::new(metadata.clone()))];
    if row.metadata != *metadata {
        let event = if row.spec_hash == spec_hash(metadata) {
            Event::new(EventReason::DriftCorrected, format!("client {} had been changed", row.id))
        } else {
            Event::new(EventReason::Updated, format!("updated client {}", row.id))
        };
        actions.push(Action::Publish(event));
    }
    actions
}

/// The digest of what is declared, by which a changed declaration is told from a changed row.
pub fn spec_hash(metadata: &ClientMetadata) -> String {
    let json = serde_json::to_vec(metadata).unwrap_or_default();
    uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, &json).to_string()
}

/// When the secret is to be rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Now,
    At(Timestamp),
    Never,
}

/// When the generated secret is due: by its age or on request, but not while the previous one still works.
pub(super) fn due(gathered: &Gathered, row: &StoredClient) -> Due {
    let requested = gathered.client.rotation_request().is_some_and(|request| {
        row.handled_rotate_secret.as_deref() != Some(request)
            && gathered.client.spec.secret.source == SecretSource::Generate
    });
    let by_age =
        gathered.client.spec.secret_rotation.as_ref().zip(row.secret_rotated_at).map(|(rotation, last)| {
            last.saturating_add(signed(rotation.period.get())).unwrap_or(Timestamp::MAX)
        });
    let at = if requested { Some(gathered.now) } else { by_age };
    let Some(at) = at.map(|at| previous_expires_at(row, gathered.now).map_or(at, |end| at.max(end))) else {
        return Due::Never;
    };
    if at <= gathered.now { Due::Now } else { Due::At(at) }
}

/// Until when a previous secret still works.
pub(super) fn previous_expires_at(row: &StoredClient, now: Timestamp) -> Option<Timestamp> {
    row.secrets.iter().filter_map(|secret| secret.expires_at).filter(|at| *at > now).max()
}

fn next_due(gathered: &Gathered, row: &StoredClient) -> Option<Timestamp> {
    let rotation = if let Due::At(at) = due(gathered, row) { Some(at) } else { None };
    // The end of an overlap changes the status.
    rotation.into_iter().chain(previous_expires_at(row, gathered.now)).min()
}

fn published(reason: EventReason, gathered: &Gathered, what: &str) -> Action {
    Action::Publish(Event::new(reason, format!("Secret {} {what}", gathered.client.secret_name())))
}

fn signed(duration: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

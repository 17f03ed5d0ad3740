//! What is to be done for an `OAuth2Client`.
//!
//! The order of the actions survives a crash at any point: a new client's Secret is written before its row, so that
//! the row never has a secret that nobody knows; a new secret for an existing row is first made to work (pending), then
//! written, then promoted. What a crash leaves behind is told apart from tampering by the row's hashes.

use crd::{DeletionPolicy, OAuth2Client, Reason, SecretSource, names};
use jiff::Timestamp;
use kube::{Resource, ResourceExt};
use oauth::{ClientId, ClientMetadata, ClientSecret, Issuer, SubjectTypes};
use store::{ResourceRef, SecretState, StoredClient};
use uuid::Uuid;

use super::client_id::is_own;
use super::client_metadata;
use super::client_secret::{secret_actions, usable, write_secret};
use super::rotation::next_due;
use super::secret::{Credentials, FoundSecret, SecretObject, Unusable};
use crate::events::{Event, EventReason};

/// What a resource may not do, by where it comes from. One of ours may do all of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// It makes no client under an id that is not [its own](is_own).
    pub own_ids: bool,
    /// It is another server's: a client that it never took over is none of it.
    pub elsewhere: bool,
}

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
    /// The subject types that the server serves.
    pub subject_types: SubjectTypes,
    /// True where resources of this namespace may take over clients that no resource owns.
    pub adopts: bool,
    /// True where the row is another resource's that is gone and left it behind, as it had declared.
    pub left_behind: bool,
    /// What the resource may not do.
    pub limits: Limits,
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
    WriteSecret(Box<SecretObject>),
    /// Create the row, with this secret where the client has one.
    CreateRow {
        /// What is registered.
        metadata: Box<ClientMetadata>,
        /// The secret.
        secret: Option<ClientSecret>,
    },
    /// Write what is registered.
    UpdateRow(Box<ClientMetadata>),
    /// Take over a client that no resource owns, with what is registered from now on.
    AdoptRow(Box<ClientMetadata>),
    /// Record whether the row goes with the resource.
    RecordDeletion {
        /// True where it does.
        with_manager: bool,
    },
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
    /// Delete the row that was never taken over, likewise.
    DeleteUnclaimedRow,
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
    /// The row is no resource's, and may not be taken over.
    Unmanaged(AdoptionRefusal),
    /// The spec asks for what cannot be.
    Invalid(String),
    /// Reconciling is suspended.
    Suspended,
    /// The resource is on its way out.
    Gone,
}

/// Why a client that no resource owns is not taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdoptionRefusal {
    /// The resource does not ask for it.
    NotAsked,
    /// It asks, and its namespace is none where that is heard.
    Namespace,
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
    let metadata = match client_metadata::served(&client.spec, &gathered.subject_types) {
        Ok(metadata) => metadata,
        Err(problem) => return Plan::rest(Standing::Invalid(problem)),
    };
    if let Some(row) = &gathered.row
        && !row.is_of(&gathered.me)
    {
        return match &row.manager {
            Some(holder) if !gathered.left_behind => Plan::rest(Standing::Conflict(holder.clone())),
            _ => adoption(gathered, row, metadata, has_finalizer),
        };
    }
    if let (Some(row), Some(wanted)) = (&gathered.row, client.spec.client_id.as_deref())
        && row.id.as_str() != wanted
    {
        let problem = format!("spec.clientId: the client exists as {}, and its id cannot change", row.id);
        return Plan::rest(Standing::Invalid(problem));
    }
    if let Some(refusal) = refused_id(gathered) {
        return Plan::rest(Standing::SecretUnusable(refusal));
    }
    let mut actions = Vec::new();
    if goes_with(client) && !has_finalizer {
        actions.push(Action::AddFinalizer);
    }
    let credentials = usable(gathered).and_then(|found| match &gathered.row {
        None => Ok(creation(gathered, &metadata, found)),
        Some(row) => secret_actions(gathered, row, found),
    });
    let standing = match credentials {
        Ok(writes) => {
            actions.extend(writes);
            let again_at = gathered.row.as_ref().and_then(|row| next_due(client, row, gathered.now));
            Standing::Ready { again_at, not_served: client_metadata::not_served(&metadata) }
        }
        // The client goes on with the credentials that it has; only what is registered is kept up to date.
        Err(unusable) => Standing::SecretUnusable(unusable),
    };
    if let Some(row) = &gathered.row {
        actions.extend(update_row(gathered, row, &metadata));
    }
    // Last: without it a deletion is final, and Secret and row must know by then that they stay.
    if !goes_with(client) && has_finalizer {
        actions.push(Action::RemoveFinalizer);
    }
    Plan { actions, standing }
}

/// Why no client is made under the id that a Secret chooses, where that is so. Whoever could wait for another's id to
/// become free would get what is meant for that one.
fn refused_id(gathered: &Gathered) -> Option<Unusable> {
    let Gathered { client, id, limits, .. } = gathered;
    if gathered.row.is_some() || !limits.own_ids || is_own(id, client) {
        return None;
    }
    let (name, namespace) = (client.secret_name(), &gathered.me.namespace);
    let message =
        format!("client id {id} in Secret {name}: in this namespace it has to begin with {namespace}.");
    Some(Unusable { reason: Reason::SecretInvalid, message })
}

/// True where a resource may take over a client that no resource owns, or whose resource left it behind: where that is
/// asked for and allowed, or the client is this very resource's already.
pub fn may_adopt(client: &OAuth2Client, me: &ResourceRef, row: &StoredClient, adopts: bool) -> bool {
    (client.spec.adopt && adopts) || is_said_to_be(row, me)
}

/// True where the client was of a resource of this name already; or, while it is of none, where its owner is said to be
/// this very resource, as Hydra Maester says it.
fn is_said_to_be(row: &StoredClient, me: &ResourceRef) -> bool {
    if let Some(holder) = &row.manager {
        return (&holder.namespace, &holder.name) == (&me.namespace, &me.name);
    }
    let owner = row.metadata.other.get("owner").and_then(|owner| owner.as_str());
    owner == Some(&crd::maester::owner(&me.name, &me.namespace))
}

/// Takes over a client where [`may_adopt`] allows it. What it has and should not have then is seen to like any other
/// change.
fn adoption(gathered: &Gathered, row: &StoredClient, metadata: ClientMetadata, has_finalizer: bool) -> Plan {
    let client = &gathered.client;
    if !may_adopt(client, &gathered.me, row, gathered.adopts) {
        let refusal = if client.spec.adopt { AdoptionRefusal::Namespace } else { AdoptionRefusal::NotAsked };
        return Plan::rest(Standing::Unmanaged(refusal));
    }
    let mut actions = Vec::new();
    if goes_with(client) && !has_finalizer {
        actions.push(Action::AddFinalizer);
    }
    actions.push(Action::AdoptRow(Box::new(metadata)));
    let note = format!("took over client {}", row.id);
    actions.push(Action::Publish(Event::new(EventReason::Adopted, note)));
    Plan { actions, standing: Standing::Ready { again_at: None, not_served: Vec::new() } }
}

fn deletion(gathered: &Gathered, has_finalizer: bool) -> Plan {
    let client = &gathered.client;
    let mut actions = Vec::new();
    if has_finalizer {
        let mine = gathered.row.as_ref().filter(|row| row.is_of(&gathered.me));
        match (client.spec.deletion_policy, mine) {
            (DeletionPolicy::Delete, Some(_)) => actions.push(Action::DeleteRow),
            // The policy changed just before the deletion: the Secret still names its owner, and would go with it, and
            // the row would be swept.
            (DeletionPolicy::Orphan, Some(row)) => {
                let generated = client.spec.secret.source == SecretSource::Generate;
                if let Some(found) = gathered.secret.credentials().filter(|_| generated) {
                    actions.extend(write_secret(gathered, found.secret.as_ref(), Some(found)));
                }
                actions.extend(record_deletion(gathered, row));
            }
            // Maester's resource was deleted before it was ever looked at here.
            (DeletionPolicy::Delete, None) => {
                let is_unclaimed = |row: &StoredClient| {
                    row.manager.is_none() && is_said_to_be(row, &gathered.me) && !gathered.limits.elsewhere
                };
                if gathered.row.as_ref().is_some_and(is_unclaimed) {
                    actions.push(Action::DeleteUnclaimedRow);
                }
            }
            (DeletionPolicy::Orphan, None) => {}
        }
        actions.push(Action::RemoveFinalizer);
    }
    Plan { actions, standing: Standing::Gone }
}

/// No row yet. A secret that stands in our Secret already is taken over: it was written before a crash, or it is what
/// workloads still use after the database was lost.
fn creation(gathered: &Gathered, metadata: &ClientMetadata, found: Option<&Credentials>) -> Vec<Action> {
    let spec = &gathered.client.spec;
    let standing = found.and_then(|found| found.secret.clone());
    let long_enough = |secret: &ClientSecret| secret.expose().len() >= ClientSecret::MIN_LEN;
    let secret = spec
        .token_endpoint_auth_method
        .uses_secret()
        .then(|| standing.filter(long_enough).unwrap_or_else(|| gathered.fresh.clone()));
    let (mut actions, mut note) = (Vec::new(), format!("created client {}", gathered.id));
    if spec.secret.source == SecretSource::Generate {
        actions.extend(write_secret(gathered, secret.as_ref(), found));
        if found.is_none() {
            // One event for both: each is a request to the API server, as much as writing the Secret itself.
            note = format!("{note}, with its credentials in Secret {}", gathered.client.secret_name());
        }
    }
    actions.push(Action::CreateRow { metadata: Box::new(metadata.clone()), secret });
    actions.push(Action::Publish(Event::new(EventReason::Created, note)));
    actions
}

/// The row says whether it goes with its resource, for the sweep.
fn record_deletion(gathered: &Gathered, row: &StoredClient) -> Option<Action> {
    let with_manager = goes_with(&gathered.client);
    (row.deleted_with_manager != with_manager).then_some(Action::RecordDeletion { with_manager })
}

fn update_row(gathered: &Gathered, row: &StoredClient, metadata: &ClientMetadata) -> Vec<Action> {
    let mut actions: Vec<_> = record_deletion(gathered, row).into_iter().collect();
    if row.metadata == *metadata && row.manager.as_ref() == Some(&gathered.me) {
        return actions;
    }
    actions.push(Action::UpdateRow(Box::new(metadata.clone())));
    if row.metadata != *metadata {
        let event = if row.spec_hash == spec_hash(metadata) {
            let fields = client_metadata::differing(&row.metadata, metadata).join(", ");
            let note = format!("client {} had been changed: {fields}", row.id);
            Event::new(EventReason::DriftCorrected, note)
        } else {
            Event::new(EventReason::Updated, format!("updated client {}", row.id))
        };
        actions.push(Action::Publish(event));
    }
    actions
}

/// True where the row goes with the resource.
pub fn goes_with(client: &OAuth2Client) -> bool {
    client.spec.deletion_policy == DeletionPolicy::Delete
}

/// The digest of what is declared, by which a changed declaration is told from a changed row.
pub fn spec_hash(metadata: &ClientMetadata) -> String {
    let json = serde_json::to_vec(metadata).unwrap_or_default();
    Uuid::new_v5(&Uuid::NAMESPACE_OID, &json).to_string()
}

#[cfg(test)]
mod tests;

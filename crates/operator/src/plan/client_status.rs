//! The status of an `OAuth2Client`.

use crd::ConditionStatus::{False, True, Unknown};
use crd::{ConditionType, OAuth2ClientStatus, Reason, SecretRotationStatus};
use kube::{Resource, ResourceExt};

use super::client::{AdoptionRefusal, Gathered, Standing};
use super::rotation::{Due, due, previous_expires_at};
use crate::status::{Wanted, conditions};

/// The status of a resource that stands so. `None` where there is nothing left to write it to.
pub fn status(gathered: &Gathered, standing: &Standing) -> Option<OAuth2ClientStatus> {
    let wanted = match standing {
        Standing::Gone => return None,
        Standing::Ready { not_served, .. } => ready(gathered, not_served),
        Standing::SecretUnusable(unusable) => {
            let (reason, message) = (&unusable.reason, &*unusable.message);
            vec![
                Wanted::new(ConditionType::Ready, False, reason.clone(), message),
                match &gathered.row {
                    Some(row) => {
                        Wanted::new(ConditionType::Synced, True, Reason::Synced, registered(&row.id))
                    }
                    None => Wanted::new(ConditionType::Synced, False, reason.clone(), message),
                },
                Wanted::new(ConditionType::SecretReady, False, reason.clone(), message),
            ]
        }
        Standing::Conflict(holder) => {
            let message = format!("clientId {} belongs to {holder}", gathered.id);
            failed(Reason::ClientIdConflict, &message)
        }
        Standing::Unmanaged(refusal) => failed(Reason::AdoptionRefused, &refused(gathered, *refusal)),
        Standing::Invalid(problem) => {
            let mut wanted = failed(Reason::InvalidSpec, problem);
            wanted.push(Wanted::new(ConditionType::Stalled, True, Reason::InvalidSpec, problem));
            wanted
        }
        Standing::Suspended => {
            vec![Wanted::new(ConditionType::Ready, Unknown, Reason::Suspended, "spec.suspend is true")]
        }
    };
    Some(with_conditions(gathered, &wanted))
}

/// The status while something fails that may pass; what is known stays as it was. `secret` is true where it is the
/// Secret that cannot be written.
pub fn failing(
    client: &crd::OAuth2Client,
    reason: &Reason,
    message: &str,
    secret: bool,
    now: jiff::Timestamp,
) -> OAuth2ClientStatus {
    let mut status = client.status.clone().unwrap_or_default();
    let mut wanted = failed(reason.clone(), message);
    if secret {
        wanted.push(Wanted::new(ConditionType::SecretReady, False, reason.clone(), message));
    }
    let known = status.condition(&ConditionType::SecretReady).filter(|_| !secret).cloned();
    status.observed_generation = client.meta().generation;
    status.conditions = conditions(&status.conditions, &wanted, status.observed_generation, now);
    status.conditions.extend(known);
    status
}

fn refused(gathered: &Gathered, refusal: AdoptionRefusal) -> String {
    let (id, namespace) = (&gathered.id, &gathered.me.namespace);
    match refusal {
        AdoptionRefusal::NotAsked => format!(
            "client {id} exists, and no resource owns it; set spec.adopt to take it over, or choose another clientId"
        ),
        AdoptionRefusal::Namespace => format!(
            "client {id} exists, no resource owns it, and the operator takes none over for the namespace {namespace} \
             (--adoption-namespaces)"
        ),
    }
}

fn failed(reason: Reason, message: &str) -> Vec<Wanted> {
    vec![
        Wanted::new(ConditionType::Ready, False, reason.clone(), message),
        Wanted::new(ConditionType::Synced, False, reason, message),
    ]
}

fn ready(gathered: &Gathered, not_served: &[String]) -> Vec<Wanted> {
    let client = &gathered.client;
    let name = client.secret_name();
    let mut message = registered(&gathered.id);
    if !not_served.is_empty() {
        message = format!("{message}; kept, but not served yet: {}", not_served.join(", "));
    }
    vec![
        Wanted::new(ConditionType::Ready, True, Reason::Synced, &*message),
        Wanted::new(ConditionType::Synced, True, Reason::Synced, &*message),
        Wanted::new(
            ConditionType::SecretReady,
            True,
            Reason::Synced,
            format!("Secret {name} holds working credentials"),
        ),
    ]
}

fn registered(id: &oauth::ClientId) -> String {
    format!("client {id} is registered")
}

fn with_conditions(gathered: &Gathered, wanted: &[Wanted]) -> OAuth2ClientStatus {
    let client = &gathered.client;
    let before = client.status.clone().unwrap_or_default();
    let generation = client.meta().generation;
    // An id is fixed once this resource has a row under it, and not before: a conflict must not pin another's id.
    let mine = gathered.row.as_ref().filter(|row| row.is_of(&gathered.me));
    OAuth2ClientStatus {
        observed_generation: generation,
        client_id: mine.map(|row| row.id.to_string()).or(before.client_id),
        secret_name: mine.map(|_| client.secret_name()).or(before.secret_name),
        secret_rotation: mine.and_then(|row| rotation(gathered, row)),
        conditions: conditions(&before.conditions, wanted, generation, gathered.now),
    }
}

fn rotation(gathered: &Gathered, row: &store::StoredClient) -> Option<SecretRotationStatus> {
    if !gathered.client.spec.token_endpoint_auth_method.uses_secret() {
        return None;
    }
    let next = match due(&gathered.client, row, gathered.now) {
        Due::At(at) => Some(at),
        // It is done before the status is written, but where something is in the way: then nobody knows when.
        Due::Now | Due::Never => None,
    };
    let status = SecretRotationStatus {
        last_rotation_time: row.secret_rotated_at.map(Into::into),
        next_rotation_time: next.map(Into::into),
        previous_secret_expires_at: previous_expires_at(row, gathered.now).map(Into::into),
        last_handled_request: row.handled_rotate_secret.clone(),
    };
    (status != SecretRotationStatus::default()).then_some(status)
}

/// The namespace and name, for logs.
pub fn display(client: &crd::OAuth2Client) -> String {
    format!("{}/{}", client.namespace().unwrap_or_default(), client.name_any())
}

#[cfg(test)]
mod tests;

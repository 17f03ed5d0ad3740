//! What is to be done about a client's secret: which one to work with, and when it takes another.

use crd::{Reason, SecretSource};
use oauth::ClientSecret;
use store::{SecretState, StoredClient};

use super::client::{Action, Gathered};
use super::rotation::{Due, due, former_expires_at, replaceable_at};
use super::secret::{self, Credentials, FoundSecret, SecretObject, Unusable};
use crate::events::{Event, EventReason};

/// The credentials to work with; `None` where there is no Secret yet and one is to be generated.
pub(super) fn usable(gathered: &Gathered) -> Result<Option<&Credentials>, Unusable> {
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
            "{} in Secret {name} is not the client's id, {}, which spec.clientId fixes before the client exists",
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

/// Why the client needs another secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// A rotation is due.
    Rotation,
    /// The Secret is gone.
    Recreation,
    /// The Secret holds something else.
    Tampering,
    /// The Secret's entry has another name now, so that the value under the former one is not known.
    Renaming,
    /// The client had no secret so far.
    First,
}

pub(super) fn secret_actions(
    gathered: &Gathered,
    row: &StoredClient,
    found: Option<&Credentials>,
) -> Result<Vec<Action>, Unusable> {
    let spec = &gathered.client.spec;
    if !spec.token_endpoint_auth_method.uses_secret() {
        let mut actions = Vec::new();
        if !row.secrets.is_empty() {
            actions.push(Action::RemoveSecrets);
        }
        if spec.secret.source == SecretSource::Generate {
            actions.extend(write_secret(gathered, None, found));
        }
        return Ok(actions);
    }
    let value = found.and_then(|found| found.secret.as_ref());
    match (spec.secret.source, gathered.matched, value) {
        // A crash came between writing the Secret and promoting: finish.
        (_, Some(SecretState::Pending), _) => Ok(promotion(gathered, row, EventReason::SecretRotated)),
        // Without a value, `check_referenced` has refused the Secret.
        (SecretSource::Reference, Some(SecretState::Current), _) | (SecretSource::Reference, _, None) => {
            Ok(Vec::new())
        }
        (SecretSource::Reference, _, Some(value)) => {
            let mut actions = out_of_turn(gathered, row)?;
            actions.push(Action::SetPending(value.clone()));
            actions.extend(promotion(gathered, row, EventReason::SecretRotated));
            Ok(actions)
        }
        (SecretSource::Generate, Some(SecretState::Current), Some(value)) => {
            Ok(match due(&gathered.client, row, gathered.now) {
                Due::Now => replacement(gathered, row, found, Need::Rotation),
                Due::At(_) | Due::Never => write_secret(gathered, Some(value), found),
            })
        }
        (SecretSource::Generate, ..) => {
            let mut actions = out_of_turn(gathered, row)?;
            actions.extend(replacement(gathered, row, found, need(gathered, row, found)));
            Ok(actions)
        }
    }
}

fn need(gathered: &Gathered, row: &StoredClient, found: Option<&Credentials>) -> Need {
    let has_current = row.secrets.iter().any(|secret| secret.state == SecretState::Current);
    let was_renamed = |found: &Credentials| {
        let fresh = Some(&gathered.fresh);
        let wanted = secret::desired(&gathered.client, &gathered.id, fresh, &gathered.issuer, None);
        found.secret.is_none() && !secret::has_fields_of(&found.object.0, &wanted)
    };
    match found {
        _ if !has_current => Need::First,
        None => Need::Recreation,
        Some(found) if was_renamed(found) => Need::Renaming,
        Some(_) => Need::Tampering,
    }
}

/// What comes before a replacement that nobody scheduled. The pending secret of an earlier attempt may have been in
/// the Secret, so it gets its overlap like any other.
///
/// # Errors
/// Where this happens again and again, and it is too early for one more.
fn out_of_turn(gathered: &Gathered, row: &StoredClient) -> Result<Vec<Action>, Unusable> {
    if let Some(at) = replaceable_at(row, gathered.now) {
        let name = gathered.client.secret_name();
        let reason = if gathered.secret.credentials().is_some() {
            Reason::SecretInvalid
        } else {
            Reason::SecretNotFound
        };
        let message = format!("Secret {name} changes too often; it is seen to at {at}");
        return Err(Unusable { reason, message });
    }
    let is_pending = row.secrets.iter().any(|secret| secret.state == SecretState::Pending);
    let previous_expires_at = former_expires_at(&gathered.client, gathered.now);
    Ok(is_pending.then_some(Action::Promote { previous_expires_at }).into_iter().collect())
}

/// A new secret for an existing row: it works before it is written, and it is written before the old one's time runs.
fn replacement(
    gathered: &Gathered,
    row: &StoredClient,
    found: Option<&Credentials>,
    need: Need,
) -> Vec<Action> {
    let mut actions = vec![Action::SetPending(gathered.fresh.clone())];
    actions.extend(write_secret(gathered, Some(&gathered.fresh), found));
    let event = match need {
        Need::Rotation | Need::Renaming => EventReason::SecretRotated,
        Need::Recreation => EventReason::SecretRecreated,
        Need::Tampering => EventReason::SecretTampered,
        Need::First => EventReason::SecretCreated,
    };
    actions.extend(promotion(gathered, row, event));
    actions
}

fn promotion(gathered: &Gathered, row: &StoredClient, event: EventReason) -> Vec<Action> {
    let previous_expires_at = former_expires_at(&gathered.client, gathered.now);
    let note = if row.secrets.iter().any(|secret| secret.state == SecretState::Current) {
        format!("holds a new client secret; the former one works until {previous_expires_at}")
    } else {
        "holds a new client secret".to_owned()
    };
    vec![Action::Promote { previous_expires_at }, published(event, gathered, &note)]
}

/// Writes the Secret where it does not say what it should.
pub(super) fn write_secret(
    gathered: &Gathered,
    secret: Option<&ClientSecret>,
    found: Option<&Credentials>,
) -> Vec<Action> {
    let object = found.map(|found| &found.object.0);
    let desired = secret::desired(&gathered.client, &gathered.id, secret, &gathered.issuer, object);
    match object {
        Some(object) if secret::is_as(object, &desired) => Vec::new(),
        _ => vec![Action::WriteSecret(Box::new(SecretObject(desired)))],
    }
}

fn published(reason: EventReason, gathered: &Gathered, what: &str) -> Action {
    Action::Publish(Event::new(reason, format!("Secret {} {what}", gathered.client.secret_name())))
}

#[cfg(test)]
mod tests;

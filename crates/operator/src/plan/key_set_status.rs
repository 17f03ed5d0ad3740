//! The status of a `JsonWebKeySet`, and the events of a turn.

use crd::ConditionStatus::{False, True};
use crd::{ConditionType, JsonWebKeySet, JsonWebKeySetStatus, KeyState, KeyStatus, Reason};
use jiff::Timestamp;
use jose::schedule::{State, active_key};
use kube::Resource;
use serde_json::{Map, Value};
use store::{StoredKey, StoredKeySet, Turn};

use super::secret::Unusable;
use crate::events::{Event, EventReason};
use crate::status::{Wanted, conditions};

/// The status after a turn; `unusable` says why the set could not be exported.
pub fn after_turn(
    key_set: &JsonWebKeySet,
    turn: &Turn,
    unusable: Option<&Unusable>,
    now: Timestamp,
) -> JsonWebKeySetStatus {
    let set = &turn.after;
    let scheduled = set.scheduled();
    // A line that is no longer declared signs until the first declared one does.
    let undeclared = scheduled.iter().map(|key| key.algorithm);
    let mut lines = set.policy.algorithms.iter().copied().chain(undeclared);
    let active = lines.find_map(|line| active_key(&scheduled, line, now));
    let mut keys: Vec<&StoredKey> = set.keys.iter().collect();
    keys.sort_by_key(|key| {
        let instants = key.schedule.instants;
        (instants.state(now), std::cmp::Reverse(instants.active_at), key.schedule.kid.clone())
    });
    let generation = key_set.meta().generation;
    let before = key_set.status.clone().unwrap_or_default();
    JsonWebKeySetStatus {
        observed_generation: generation,
        set: Some(set.name.clone()),
        active_key_id: active.map(|key| key.kid.to_string()),
        last_rotation_time: active.map(|key| key.instants.active_at.into()),
        next_rotation_time: turn.plan.next_turn.map(Into::into),
        last_handled_rotate: set.handled_rotate.clone(),
        last_handled_rotate_now: set.handled_rotate_now.clone(),
        keys: keys.into_iter().filter_map(|key| key_status(key, now)).collect(),
        conditions: conditions(&before.conditions, &settled(key_set, turn, unusable), generation, now),
    }
}

fn settled(key_set: &JsonWebKeySet, turn: &Turn, unusable: Option<&Unusable>) -> Vec<Wanted> {
    let mut message = format!("{} keys in set {}", turn.after.keys.len(), turn.after.name);
    let reason = match turn.plan.overdue {
        Some(since) => {
            message = format!("the active key should have handed over at {since}; {message}");
            Reason::RotationOverdue
        }
        None if turn.after.policy.suspended => Reason::Suspended,
        None => Reason::Synced,
    };
    let synced = Wanted::new(ConditionType::Synced, True, Reason::Synced, &*message);
    let refused =
        |type_, unusable: &Unusable| Wanted::new(type_, False, unusable.reason.clone(), &*unusable.message);
    let export = key_set.spec.export.as_ref().map(|export| {
        let message = format!("Secret {} holds the set", export.secret_name);
        let written = || Wanted::new(ConditionType::SecretReady, True, Reason::Synced, message);
        unusable.map_or_else(written, |unusable| refused(ConditionType::SecretReady, unusable))
    });
    let ready = || Wanted::new(ConditionType::Ready, True, reason, &*message);
    let ready = unusable.map_or_else(ready, |unusable| refused(ConditionType::Ready, unusable));
    [ready, synced].into_iter().chain(export).collect()
}

/// The status while the set cannot be made what is declared; what is known of the keys stays.
pub fn failing(
    key_set: &JsonWebKeySet,
    reason: &Reason,
    message: &str,
    now: Timestamp,
) -> JsonWebKeySetStatus {
    let mut status = key_set.status.clone().unwrap_or_default();
    let mut wanted = vec![
        Wanted::new(ConditionType::Ready, False, reason.clone(), message),
        Wanted::new(ConditionType::Synced, False, reason.clone(), message),
    ];
    if matches!(reason, Reason::InvalidSpec | Reason::NamespaceNotAllowed) {
        wanted.push(Wanted::new(ConditionType::Stalled, True, reason.clone(), message));
    }
    status.observed_generation = key_set.meta().generation;
    status.conditions = conditions(&status.conditions, &wanted, status.observed_generation, now);
    status
}

fn key_status(key: &StoredKey, now: Timestamp) -> Option<KeyStatus> {
    let instants = key.schedule.instants;
    Some(KeyStatus {
        kid: key.schedule.kid.to_string(),
        algorithm: key.schedule.algorithm.to_string(),
        state: key_state(instants.state(now))?,
        published_at: Some(instants.published_at.into()),
        active_at: Some(instants.active_at.into()),
        retired_at: instants.retired_at.map(Into::into),
        removed_at: instants.removed_at.map(Into::into),
    })
}

fn key_state(state: State) -> Option<KeyState> {
    match state {
        State::Next => Some(KeyState::Next),
        State::Active => Some(KeyState::Active),
        State::Retired => Some(KeyState::Retired),
        State::Removed => None,
    }
}

/// What happened to the keys since the status was written: the difference of the two.
pub fn events(
    key_set: &JsonWebKeySet,
    turn: &Turn,
    after: &JsonWebKeySetStatus,
    now: Timestamp,
) -> Vec<Event> {
    let before = key_set.status.as_ref().map(|status| status.keys.as_slice()).unwrap_or_default();
    // A set that was there before its resource: nothing happened to its keys now.
    let known = |key: &KeyStatus| turn.before.keys.iter().any(|k| k.schedule.kid.as_str() == key.kid);
    let taken_over = before.is_empty();
    let mut events = Vec::new();
    for key in after.keys.iter().filter(|key| !(taken_over && known(key))) {
        let was = before.iter().find(|old| old.kid == key.kid).map(|old| old.state);
        if was != Some(key.state) {
            events.push(transition(key, turn.before.keys.is_empty()));
        }
    }
    for old in before.iter().filter(|old| !after.keys.iter().any(|key| key.kid == old.kid)) {
        events.push(departure(key_set, &turn.before, old, now));
    }
    events.extend(drift(key_set, turn));
    if turn.plan.overdue.is_some() && !was_overdue(key_set) {
        events.push(Event::new(EventReason::RotationOverdue, "the active key signs longer than planned"));
    }
    events
}

/// What had been changed of a set's policy though the resource had not.
fn drift(key_set: &JsonWebKeySet, turn: &Turn) -> Option<Event> {
    let (before, after) = (&turn.before, &turn.after);
    let observed = key_set.status.as_ref().and_then(|status| status.observed_generation);
    let was_declared = observed.is_some()
        && observed == key_set.meta().generation
        && before.version > 0
        && before.manager == after.manager;
    if !was_declared || before.policy == after.policy {
        return None;
    }
    let members = |policy| match serde_json::to_value(policy) {
        Ok(Value::Object(members)) => members,
        _ => Map::new(),
    };
    let (had, has) = (members(&before.policy), members(&after.policy));
    let changed: Vec<_> = has.keys().filter(|name| had.get(*name) != has.get(*name)).cloned().collect();
    let note = format!("set {} had been changed: {}", after.name, changed.join(", "));
    Some(Event::new(EventReason::DriftCorrected, note))
}

/// `first`: the set had no keys before, so there was nothing else to sign with.
fn transition(key: &KeyStatus, first: bool) -> Event {
    let name = format!("{} key {}", key.algorithm, key.kid);
    match key.state {
        KeyState::Next => {
            let at = key.active_at.map(|at| format!("; it signs from {at}")).unwrap_or_default();
            Event::new(EventReason::KeyPublished, format!("published {name}{at}"))
        }
        KeyState::Active => {
            // Also a next key that did not wait for its time, at a request or because the active one was revoked.
            let unannounced = !first && key.published_at == key.active_at;
            let event = Event::new(EventReason::KeyActivated, format!("{name} signs"));
            if unannounced { event.as_warning() } else { event }
        }
        KeyState::Retired => Event::new(EventReason::KeyRetired, format!("{name} verifies only")),
    }
}

fn departure(
    key_set: &JsonWebKeySet,
    stored_before: &StoredKeySet,
    old: &KeyStatus,
    now: Timestamp,
) -> Event {
    let name = format!("{} key {}", old.algorithm, old.kid);
    if key_set.spec.revoked_key_ids.contains(&old.kid) {
        return Event::new(EventReason::KeyRevoked, format!("removed {name}: it was revoked"));
    }
    let was_stored = stored_before.keys.iter().any(|key| key.schedule.kid.as_str() == old.kid);
    let due = old.removed_at.is_some_and(|at| at.get() <= now);
    if was_stored || due {
        Event::new(EventReason::KeyRemoved, format!("removed {name}"))
    } else {
        Event::new(EventReason::KeysLost, format!("{name} is gone from the database"))
    }
}

fn was_overdue(key_set: &JsonWebKeySet) -> bool {
    let ready = key_set.status.as_ref().and_then(|status| status.condition(&ConditionType::Ready));
    ready.is_some_and(|ready| ready.reason == Reason::RotationOverdue)
}

#[cfg(test)]
mod tests;

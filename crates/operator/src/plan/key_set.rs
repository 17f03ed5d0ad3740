//! What a `JsonWebKeySet` declares. When its keys turn, the schedule of `jose` decides.

use std::time::Duration;

use crd::{DeletionPolicy, JsonWebKeySet, Turn as DeclaredTurn, names};
use jiff::Timestamp;
use jose::KeyId;
use kube::{Resource, ResourceExt};
use store::{ACCESS_TOKEN_SET, Declaration, ID_TOKEN_SET, KeySetPolicy, ResourceRef, StoredRotation};

use crate::settings::Settings;

/// What is to be done before the keys are looked at.
#[derive(Debug, Clone)]
pub enum Step {
    /// Keep the resource until its set is deleted.
    AddFinalizer,
    /// Let the resource go.
    RemoveFinalizer,
    /// Delete the set, then let the resource go.
    Delete,
    /// The resource waits for its deletion, which the server would not survive.
    RefuseDeletion,
    /// The resource is going, and nothing is left to do.
    Gone,
    /// Key sets of this namespace are not honoured.
    NotHonoured,
    /// The spec asks for what cannot be.
    Invalid(String),
    /// Make the set what is declared.
    Declare(Box<Declaration>),
}

/// Decides.
pub fn plan(key_set: &JsonWebKeySet, me: &ResourceRef, settings: &Settings, now: Timestamp) -> Step {
    let has_finalizer = key_set.finalizers().iter().any(|name| name == names::KEY_SET_FINALIZER);
    let deletes = key_set.spec.deletion_policy == DeletionPolicy::Delete;
    let honoured = settings.honours_key_sets_of(&me.namespace);
    if key_set.meta().deletion_timestamp.is_some() {
        return match (has_finalizer, deletes && honoured, is_token_set(&key_set.set_name())) {
            (false, ..) => Step::Gone,
            (true, true, true) => Step::RefuseDeletion,
            (true, true, false) => Step::Delete,
            (true, false, _) => Step::RemoveFinalizer,
        };
    }
    if !honoured {
        return Step::NotHonoured;
    }
    match (deletes, has_finalizer) {
        (true, false) => Step::AddFinalizer,
        (false, true) => Step::RemoveFinalizer,
        _ => match declaration(key_set, me, now) {
            Ok(declaration) => Step::Declare(Box::new(declaration)),
            Err(problem) => Step::Invalid(problem),
        },
    }
}

/// Reads the spec into what the store understands.
///
/// # Errors
/// The field at fault and why: an unreadable schedule or time zone, instants that follow each other too closely, or a
/// token set whose keys would not sign.
pub fn declaration(key_set: &JsonWebKeySet, me: &ResourceRef, now: Timestamp) -> Result<Declaration, String> {
    let spec = &key_set.spec;
    let set = key_set.set_name();
    let key_use = spec.use_.as_str().parse().map_err(|e| format!("spec.use: {e}"))?;
    if is_token_set(&set) && spec.use_ != crd::KeyUse::Sig {
        return Err(format!("spec.use: the set {set} signs tokens, so it needs use sig"));
    }
    let algorithms = spec.algorithms.iter().map(|algorithm| algorithm.as_str().parse());
    let policy = KeySetPolicy {
        algorithms: algorithms.collect::<Result<_, _>>().map_err(|e| format!("spec.algorithms: {e}"))?,
        rsa_bits: u32::from(spec.rsa_bits().get()).try_into().map_err(|e| format!("spec.rsaBits: {e}"))?,
        rotation: rotation(key_set)?,
        publish_before: spec.rotation.publish_before.get().as_secs(),
        retain_after: spec.rotation.retain_after.as_ref().map_or(0, |retain| retain.get().as_secs()),
        suspended: spec.suspend,
    };
    check_schedule(&policy, now)?;
    Ok(Declaration {
        set,
        key_use,
        policy,
        manager: me.clone(),
        deleted_with_manager: spec.deletion_policy == DeletionPolicy::Delete,
        rotate: key_set.rotate_request().map(str::to_owned),
        rotate_now: key_set.rotate_now_request().map(str::to_owned),
        revoked: spec.revoked_key_ids.iter().map(|kid| KeyId::from(kid.as_str())).collect(),
    })
}

fn rotation(key_set: &JsonWebKeySet) -> Result<StoredRotation, String> {
    match key_set.spec.rotation.turn() {
        Some(DeclaredTurn::Manual) => Ok(StoredRotation::Manual),
        Some(DeclaredTurn::Period(period)) => Ok(StoredRotation::Period(period.get().as_secs())),
        Some(DeclaredTurn::Schedule { expression, time_zone }) => Ok(StoredRotation::Cron {
            schedule: expression.to_owned(),
            time_zone: Some(time_zone.to_owned()),
        }),
        None => Err("spec.rotation: set exactly one of period and schedule".to_owned()),
    }
}

fn check_schedule(policy: &KeySetPolicy, now: Timestamp) -> Result<(), String> {
    let at = |error: &dyn std::fmt::Display| format!("spec.rotation.schedule: {error}");
    let schedule = policy.schedule(Duration::ZERO, None).map_err(|error| at(&error))?;
    match schedule.rotation {
        jose::schedule::Rotation::Cron(cron) => cron.check(policy.lead(), now).map_err(|error| at(&error)),
        _ => Ok(()),
    }
}

pub(crate) fn is_token_set(name: &str) -> bool {
    name == ID_TOKEN_SET || name == ACCESS_TOKEN_SET
}

#[cfg(test)]
mod tests;

//! The decision: what is to be written now, and when to look again.

use jiff::Timestamp;

use super::{
    draft::Draft,
    key::{Instants, ScheduledKey, whole_second},
    policy::{Policy, Requests},
};
use crate::{Algorithm, KeyId};

/// What is to be done to a set, as one change: all of it, guarded by the version of the set that was planned for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Keys to make and write.
    pub create: Vec<NewKey>,
    /// New instants of existing keys.
    pub update: Vec<(KeyId, Instants)>,
    /// Keys to delete: they have left the published set, or are revoked.
    pub remove: Vec<KeyId>,
    /// Keys whose private half is to be destroyed.
    pub destroy_private: Vec<KeyId>,
    /// When to plan again: something is to be done, or a key changes its state, for a status or an event.
    pub next_instant: Option<Timestamp>,
    /// When the next key becomes active, as far as can be told.
    pub next_turn: Option<Timestamp>,
    /// The active key signs past this instant, at which it should have handed over, by more than five minutes:
    /// the operator was away. A successor takes over as soon as it has been published for long enough.
    pub overdue: Option<Timestamp>,
}

/// A key to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewKey {
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// When it does what. It is published now, and it can have a successor already.
    pub instants: Instants,
}

impl Plan {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.create.is_empty()
            && self.update.is_empty()
            && self.remove.is_empty()
            && self.destroy_private.is_empty()
    }

    /// Does to `keys` what the plan says; `make` makes a key and gives its name.
    pub fn apply(&self, keys: &mut Vec<ScheduledKey>, make: impl FnMut(&NewKey) -> KeyId) {
        keys.retain(|key| !self.remove.contains(&key.kid));
        for key in keys.iter_mut() {
            if let Some((_, instants)) = self.update.iter().find(|(kid, _)| *kid == key.kid) {
                key.instants = *instants;
            }
            key.has_private_half &= !self.destroy_private.contains(&key.kid);
        }
        let kids = self.create.iter().map(make);
        keys.extend(self.create.iter().zip(kids).map(|(new, kid)| ScheduledKey {
            kid,
            algorithm: new.algorithm,
            instants: new.instants,
            has_private_half: true,
        }));
    }
}

/// Decides what is to be done to a set at `now`. Needs no private half: keys are names and instants here.
///
/// The rules, in their order:
///
/// 1. Revoked keys leave, and so do those whose `removed_at` has passed.
/// 2. Keys that must sign at once: in every declared line, if nothing in the set signs or `rotate_now` is asked
///    for; in a line whose active key was revoked. The line's next key if it has one, else a new one.
/// 3. Next keys, signing after `publish_before` and never before `lead_floor`, in every declared line without:
///    if the line is new, its next key was revoked, `rotate` is asked for, or the turn is no further away than
///    `publish_before`.
/// 4. A key retires when its successor begins; the last one of an undeclared line when a declared line signs.
///    It leaves `retain` later.
///
/// A line that has turned at this very second has thereby answered a request, so that planning again does not
/// turn it twice.
pub fn plan(policy: &Policy, keys: &[ScheduledKey], requests: &Requests<'_>, now: Timestamp) -> Plan {
    let mut draft = Draft::new(policy, keys, requests, whole_second(now));
    draft.put_into_service();
    draft.succeed_the_revoked();
    draft.publish();
    draft.retire();
    draft.compare(keys)
}

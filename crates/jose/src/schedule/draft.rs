//! A set on its way from what is stored to what should be: the rules of rotation.

use jiff::Timestamp;

use super::{
    caching::CLOCK_TOLERANCE,
    key::{Instants, ScheduledKey, State, after, before},
    plan::{NewKey, Plan},
    policy::{Policy, Requests},
};
use crate::{Algorithm, KeyId};

/// The keys as they should be at `now`.
pub(super) struct Draft<'a> {
    policy: &'a Policy,
    requests: &'a Requests<'a>,
    now: Timestamp,
    keys: Vec<DraftKey<'a>>,
    revoked: Vec<&'a ScheduledKey>,
}

struct DraftKey<'a> {
    /// The key that this was; `None` if it is still to be made.
    stored: Option<&'a ScheduledKey>,
    algorithm: Algorithm,
    instants: Instants,
}

impl<'a> Draft<'a> {
    /// The stored keys, without those that leave.
    pub(super) fn new(
        policy: &'a Policy,
        stored: &'a [ScheduledKey],
        requests: &'a Requests<'a>,
        now: Timestamp,
    ) -> Self {
        let (revoked, others): (Vec<_>, Vec<_>) =
            stored.iter().partition(|key| requests.revoked.contains(&key.kid));
        let keys = others
            .into_iter()
            .filter(|key| key.instants.state(now) != State::Removed)
            .map(|key| DraftKey { stored: Some(key), algorithm: key.algorithm, instants: key.instants })
            .collect();
        Self { policy, requests, now, keys, revoked }
    }

    /// Gives the lines that must sign at once a key that does: their next key if they have one, else a new one.
    pub(super) fn put_into_service(&mut self) {
        let nothing_signs = self.keys.iter().all(|key| self.state(key) != State::Active);
        let rotate_now = self.requests.rotate_now && !self.policy.suspended;
        for &algorithm in &self.policy.algorithms {
            let must_sign = match self.active(algorithm) {
                Some(active) => rotate_now && !self.just_turned(active),
                None => nothing_signs || rotate_now || self.revoked(algorithm, State::Active).is_some(),
            };
            if must_sign {
                match self.find(algorithm, State::Next) {
                    Some(next) => {
                        let instants = &mut self.keys[next].instants;
                        (instants.published_at, instants.active_at) = (self.now, self.now);
                    }
                    None => self.make(algorithm, Instants::published(self.now, self.now)),
                }
            }
        }
    }

    /// Lets the successor of a key that was revoked just after it had retired sign by every clock: one that is behind
    /// still waits for it, and has nothing else to sign with.
    pub(super) fn succeed_the_revoked(&mut self) {
        let recent = before(self.now, CLOCK_TOLERANCE);
        for revoked in &self.revoked {
            let successor = self.keys.iter_mut().find(|key| {
                key.algorithm == revoked.algorithm
                    && key.instants.state(self.now) == State::Active
                    && key.instants.active_at > recent
            });
            if let Some(successor) = successor {
                successor.instants.published_at = successor.instants.active_at;
            }
        }
    }

    /// Gives the lines that will need one a next key.
    pub(super) fn publish(&mut self) {
        if self.policy.suspended {
            return;
        }
        let lead = after(self.now, self.policy.publish_before);
        let earliest = lead.max(self.policy.lead_floor.unwrap_or(lead));
        let turn = self.turn().filter(|turn| self.publication(*turn) <= self.now);
        for &algorithm in &self.policy.algorithms {
            if self.find(algorithm, State::Next).is_some() {
                continue;
            }
            let wanted = match self.active(algorithm) {
                None => Some(earliest),
                Some(active) if self.just_turned(active) => turn,
                Some(_) => match self.revoked(algorithm, State::Next) {
                    Some(revoked) => Some(revoked.active_at),
                    None if self.requests.rotate => Some(earliest),
                    None => turn,
                },
            };
            if let Some(active_at) = wanted {
                self.make(algorithm, Instants::published(self.now, active_at.max(earliest)));
            }
        }
    }

    /// Settles when each key retires and leaves. What has retired stays retired.
    pub(super) fn retire(&mut self) {
        self.keys.sort_by_key(|key| (key.instants.active_at, key.instants.published_at));
        let declared_line_signs_at = self
            .keys
            .iter()
            .find(|key| self.is_declared(key.algorithm) && self.state(key) < State::Retired)
            .map(|key| key.instants.active_at);
        for index in 0..self.keys.len() {
            let key = &self.keys[index];
            let retired_at = if self.state(key) == State::Retired {
                key.instants.retired_at
            } else {
                let successor_at = self.keys[index + 1..]
                    .iter()
                    .find(|later| later.algorithm == key.algorithm && self.state(later) < State::Retired)
                    .map(|later| later.instants.active_at);
                let line_ends_at = declared_line_signs_at.filter(|_| !self.is_declared(key.algorithm));
                let earliest = key.instants.active_at.max(self.now);
                successor_at.into_iter().chain(line_ends_at).min().map(|at| at.max(earliest))
            };
            let removed_at = retired_at.map(|retired_at| {
                let promised = key.instants.removed_at.unwrap_or(retired_at);
                after(retired_at, self.policy.retain).max(promised)
            });
            self.keys[index].instants = Instants { retired_at, removed_at, ..key.instants };
        }
        // A key that was stored without `removed_at` may have been due to leave long ago.
        let now = self.now;
        self.keys.retain(|key| key.instants.state(now) != State::Removed);
    }

    /// What leads from the stored keys to these.
    pub(super) fn compare(&self, stored: &[ScheduledKey]) -> Plan {
        let turn = self.turn();
        let due = self.due(|_| true);
        let overdue_from = |due| after(due, CLOCK_TOLERANCE);
        let mut plan = Plan {
            next_instant: self.next_instant(turn, due.map(overdue_from)),
            next_turn: self
                .promised_turn()
                .or(turn.map(|turn| turn.max(self.policy.lead_floor.unwrap_or(turn)))),
            overdue: due.filter(|due| overdue_from(*due) <= self.now),
            ..Plan::default()
        };
        for key in &self.keys {
            let Some(stored) = key.stored else {
                plan.create.push(NewKey { algorithm: key.algorithm, instants: key.instants });
                continue;
            };
            if key.instants != stored.instants {
                plan.update.push((stored.kid.clone(), key.instants));
            }
            let destroyed_at = key.instants.private_destroyed_at();
            if stored.has_private_half && destroyed_at.is_some_and(|instant| instant <= self.now) {
                plan.destroy_private.push(stored.kid.clone());
            }
        }
        plan.remove = stored.iter().map(|key| &key.kid).filter(|kid| !self.has(kid)).cloned().collect();
        plan
    }

    /// When something is to be done or changes, next.
    fn next_instant(&self, turn: Option<Timestamp>, overdue_from: Option<Timestamp>) -> Option<Timestamp> {
        let states = self.keys.iter().flat_map(|key| {
            let Instants { active_at, retired_at, removed_at, .. } = key.instants;
            [Some(active_at), retired_at, key.instants.private_destroyed_at(), removed_at]
        });
        let publication = turn.map(|turn| self.publication(turn));
        states.chain([publication, overdue_from]).flatten().filter(|instant| *instant > self.now).min()
    }

    /// When the next key that is already published becomes active.
    fn promised_turn(&self) -> Option<Timestamp> {
        self.keys
            .iter()
            .filter(|key| self.is_declared(key.algorithm) && self.state(key) == State::Next)
            .map(|key| key.instants.active_at)
            .min()
    }

    /// The next scheduled turn: that of the oldest active key among the declared lines without a next one.
    fn turn(&self) -> Option<Timestamp> {
        self.due(|algorithm| self.find(algorithm, State::Next).is_none())
    }

    /// When the oldest active key among the declared lines in question is due to hand over.
    fn due(&self, in_question: impl Fn(Algorithm) -> bool) -> Option<Timestamp> {
        if self.policy.suspended {
            return None;
        }
        let lines = self.policy.algorithms.iter().filter(|algorithm| in_question(**algorithm));
        let oldest = lines.filter_map(|algorithm| Some(self.active(*algorithm)?.active_at)).min()?;
        self.policy.rotation.due(oldest, self.policy.publish_before)
    }

    /// When the keys for a turn are to be published.
    fn publication(&self, turn: Timestamp) -> Timestamp {
        before(turn, self.policy.publish_before)
    }

    fn state(&self, key: &DraftKey<'_>) -> State {
        key.instants.state(self.now)
    }

    fn find(&self, algorithm: Algorithm, state: State) -> Option<usize> {
        self.keys.iter().position(|key| key.algorithm == algorithm && self.state(key) == state)
    }

    fn active(&self, algorithm: Algorithm) -> Option<&Instants> {
        self.keys
            .iter()
            .filter(|key| key.algorithm == algorithm && self.state(key) == State::Active)
            .map(|key| &key.instants)
            .max_by_key(|instants| (instants.active_at, instants.published_at))
    }

    /// The instants of a revoked key that was in `state`.
    fn revoked(&self, algorithm: Algorithm, state: State) -> Option<&Instants> {
        self.revoked
            .iter()
            .filter(|key| key.algorithm == algorithm)
            .map(|key| &key.instants)
            .find(|instants| instants.state(self.now) == state)
    }

    /// Whether a key became active at this very second: what a request for a rotation asks for has happened.
    fn just_turned(&self, active: &Instants) -> bool {
        active.active_at == self.now
    }

    fn is_declared(&self, algorithm: Algorithm) -> bool {
        self.policy.algorithms.contains(&algorithm)
    }

    fn has(&self, kid: &KeyId) -> bool {
        self.keys.iter().any(|key| key.stored.is_some_and(|stored| stored.kid == *kid))
    }

    fn make(&mut self, algorithm: Algorithm, instants: Instants) {
        self.keys.push(DraftKey { stored: None, algorithm, instants });
    }
}

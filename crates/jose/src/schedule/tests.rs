//! Each rule as a story: hours after midnight, keys by name, lives as `published active retired removed`.

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::{Algorithm, EncryptionAlgorithm, KeyId, SigningAlgorithm};

mod anything;
mod requests;
mod turns;
mod year;

const RS256: Algorithm = Algorithm::Signing(SigningAlgorithm::Rs256);
const ES256: Algorithm = Algorithm::Signing(SigningAlgorithm::Es256);
const ECDH: Algorithm = Algorithm::Encryption(EncryptionAlgorithm::EcdhEs);
const LINES: [Algorithm; 3] = [RS256, ES256, ECDH];

const NOTHING: Requests<'_> = Requests { rotate: false, rotate_now: false, revoked: &[] };
const ROTATE: Requests<'_> = Requests { rotate: true, ..NOTHING };
const ROTATE_NOW: Requests<'_> = Requests { rotate_now: true, ..NOTHING };

fn hours(hours: f64) -> SignedDuration {
    SignedDuration::try_from_secs_f64(hours * 3600.0).unwrap()
}

/// So many hours after the story begins.
fn at(hour: f64) -> Timestamp {
    "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + hours(hour)
}

fn hour(instant: Timestamp) -> f64 {
    at(0.0).duration_until(instant).as_secs_f64() / 3600.0
}

/// A set whose keys are named after their line and their number in it.
struct Set {
    policy: Policy,
    keys: Vec<ScheduledKey>,
    made: usize,
}

impl Set {
    /// Turns every 100 hours, publishes 10 hours before, retains for 20.
    fn new(algorithms: &[Algorithm]) -> Self {
        let policy = Policy {
            algorithms: algorithms.to_vec(),
            rotation: Rotation::Period(hours(100.0)),
            publish_before: hours(10.0),
            retain: hours(20.0),
            lead_floor: None,
            suspended: false,
        };
        Self { policy, keys: Vec::new(), made: 0 }
    }

    /// The same, its first keys made at hour 0.
    fn started(algorithms: &[Algorithm]) -> Self {
        let mut set = Self::new(algorithms);
        set.plan(0.0, NOTHING);
        set
    }

    fn cron(expression: &str, publish_before: f64) -> Self {
        let mut set = Self::new(&[RS256]);
        set.policy.rotation = Rotation::Cron(Schedule::parse(expression, None).unwrap());
        set.policy.publish_before = hours(publish_before);
        set.plan(0.0, NOTHING);
        set
    }

    /// Plans and applies. Whatever the story, planning again must find nothing left to do.
    fn plan(&mut self, hour: f64, requests: Requests<'_>) -> Plan {
        self.plan_at(at(hour), requests)
    }

    fn plan_at(&mut self, now: Timestamp, requests: Requests<'_>) -> Plan {
        let first = plan(&self.policy, &self.keys, &requests, now);
        first.apply(&mut self.keys, |new| {
            self.made += 1;
            KeyId::new(format!("{}-{}", new.algorithm, self.made))
        });
        let again = plan(&self.policy, &self.keys, &requests, now);
        assert!(again.is_empty(), "not settled at {now}: {again:?} after {first:?}");
        assert_eq!(
            (again.next_instant, again.next_turn, again.overdue),
            (first.next_instant, first.next_turn, first.overdue)
        );
        first
    }

    fn revoke(&mut self, hour: f64, kids: &[&str]) -> Plan {
        let kids: Vec<KeyId> = kids.iter().map(|kid| KeyId::from(*kid)).collect();
        self.plan(hour, Requests { revoked: &kids, ..NOTHING })
    }

    /// Plans whenever the last plan says so, up to and including `until`; gives the hours at which it did.
    fn run(&mut self, from: f64, until: f64) -> Vec<f64> {
        let mut now = from;
        let mut looked = Vec::new();
        while let Some(next) = self.plan(now, NOTHING).next_instant.map(hour).filter(|next| *next <= until) {
            looked.push(next);
            now = next;
        }
        looked
    }

    /// `kid published active retired removed`, oldest first.
    fn lives(&self) -> Vec<String> {
        let mut keys: Vec<_> = self.keys.iter().collect();
        keys.sort_by_key(|key| (key.instants.published_at, key.kid.clone()));
        let show = |instant: Option<Timestamp>| instant.map_or("-".to_owned(), |i| hour(i).to_string());
        keys.into_iter()
            .map(|key| {
                let Instants { published_at, active_at, retired_at, removed_at } = key.instants;
                let instants = [Some(published_at), Some(active_at), retired_at, removed_at];
                format!("{} {}", key.kid, instants.map(show).join(" "))
            })
            .collect()
    }
}

fn kids(kids: &[KeyId]) -> Vec<&str> {
    kids.iter().map(KeyId::as_str).collect()
}

fn in_state(keys: &[ScheduledKey], algorithm: Algorithm, state: State, now: Timestamp) -> usize {
    keys.iter().filter(|key| key.algorithm == algorithm && key.instants.state(now) == state).count()
}

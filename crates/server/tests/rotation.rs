//! A year of weekly key rotation, over HTTP, on servers whose clocks disagree.
//!
//! Three servers on one database, their clocks four minutes behind, right, and four minutes ahead. An operator whose
//! clock is right turns the keys, with the shortest lead that lets verifiers cache for an hour. Whatever any server
//! signs, at any time, must verify with every copy of the key set that somebody may still hold.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::collections::BTreeSet;

use common::verifiers::{CACHED_FOR, SKEWS, Verifiers, around};
use common::{TestClient, TestServer, declaration, have_same_keys, manual_clock, registered_for_jwt};
use harness::{TestDatabase, eventually};
use jiff::{SignedDuration, Timestamp};
use jose::SigningAlgorithm;
use store::{ACCESS_TOKEN_SET, Clock, Declaration, ID_TOKEN_SET, StoredRotation};

const PERIOD: u64 = 168 * 3600;

struct Year {
    clock: Clock,
    servers: Vec<TestServer>,
    client: TestClient,
    verifiers: Verifiers,
    moments: BTreeSet<Timestamp>,
}

impl Year {
    async fn begin(database: &TestDatabase) -> Self {
        let clock = manual_clock();
        let mut servers = Vec::new();
        for skew in SKEWS {
            let skewed = clock.skewed(SignedDuration::from_mins(skew));
            servers.push(TestServer::start(database, skewed).await);
        }
        let client = TestClient::create(&servers[1].store, "orders", registered_for_jwt()).await;
        let (verifiers, moments) = Default::default();
        Self { clock, servers, client, verifiers, moments }
    }

    /// Turns what is due, and waits until every server has heard of it. Notes the moments at which anything happens.
    async fn operate(&mut self) {
        let exact = &self.servers[1].store;
        let mut changed = false;
        for set in [ID_TOKEN_SET, ACCESS_TOKEN_SET] {
            let turn = exact.declare_key_set(&weekly(set)).await.unwrap();
            changed |= !turn.plan.is_empty();
            let of_keys = turn.after.keys.iter().flat_map(|key| {
                let instants = key.schedule.instants;
                [Some(instants.active_at), instants.retired_at, instants.removed_at]
            });
            let all = of_keys.chain([turn.plan.next_instant]).flatten();
            self.moments.extend(all.flat_map(around));
        }
        for server in self.servers.iter().filter(|_| changed) {
            eventually("every server has the keys", async || have_same_keys(exact, &server.store).await)
                .await;
        }
    }

    /// Goes on to the next moment that is noted, or twelve hours.
    fn step(&mut self) {
        let now = self.clock.now();
        self.moments = self.moments.split_off(&(now + SignedDuration::from_secs(1)));
        let regular = now + SignedDuration::from_hours(12);
        self.clock.set(self.moments.first().copied().map_or(regular, |noted| noted.min(regular)));
    }
}

fn weekly(set: &str) -> Declaration {
    let mut declared = declaration(set, SigningAlgorithm::Es256, StoredRotation::Period(PERIOD));
    declared.policy.publish_before = CACHED_FOR + 310;
    declared
}

async fn live_through(database: &TestDatabase) {
    let mut year = Year::begin(database).await;
    let end = year.clock.now() + SignedDuration::from_hours(365 * 24);
    while year.clock.now() < end {
        year.operate().await;
        let now = year.clock.now();
        year.verifiers.publish(now, &year.servers).await;
        year.verifiers.sign(now, &year.servers, &year.client).await;
        year.step();
    }
    assert_eq!(year.verifiers.signed_by.len(), 53, "each week had its key");
}

#[tokio::test]
async fn through_a_year_of_rotation_every_verifier_knows_every_key() {
    live_through(&TestDatabase::postgres().await).await;
}

#[tokio::test]
async fn and_so_it_is_on_sqlite() {
    live_through(&TestDatabase::sqlite()).await;
}

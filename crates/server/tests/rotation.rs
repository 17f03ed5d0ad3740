//! A year of weekly key rotation, over HTTP, on servers whose clocks disagree.
//!
//! Three servers on one database, their clocks four minutes behind, right, and four minutes ahead. An operator whose
//! clock is right turns the keys, with the shortest lead that lets verifiers cache for an hour. Whatever any server
//! signs, at any time, must verify with every copy of the key set that somebody may still hold.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::collections::{BTreeSet, HashSet};

use common::{TestClient, TestServer, declaration, have_same_keys, header, manual_clock, registered_for_jwt};
use harness::{TestDatabase, eventually};
use jiff::{SignedDuration, Timestamp};
use jose::SigningAlgorithm;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::Value;
use store::{ACCESS_TOKEN_SET, Clock, Declaration, ID_TOKEN_SET, StoredRotation};

const PERIOD: u64 = 168 * 3600;
const CACHED_FOR: u64 = 3600;

/// What the servers' clocks are off by, in minutes.
const SKEWS: [i64; 3] = [-4, 0, 4];

/// A copy of the key set that a verifier may use until it is stale.
struct Held {
    keys: JwkSet,
    fresh_until: Timestamp,
}

/// A token that has not ended yet.
struct Live {
    kid: String,
    ends: Timestamp,
}

struct Year {
    clock: Clock,
    servers: Vec<TestServer>,
    client: TestClient,
    held: Vec<Held>,
    live: Vec<Live>,
    signed_by: HashSet<String>,
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
        let (held, live, signed_by, moments) = Default::default();
        Self { clock, servers, client, held, live, signed_by, moments }
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

    /// Each server is asked for a copy of the key set: every token that lives has its key in it.
    async fn publish(&mut self) {
        let now = self.clock.now();
        self.live.retain(|token| now < token.ends);
        self.held.retain(|copy| now < copy.fresh_until);
        for server in &self.servers {
            let response = server.get("/.well-known/jwks.json").await;
            assert_eq!(header(&response, "cache-control"), format!("public, max-age={CACHED_FOR}"));
            let keys: JwkSet = response.json().await.unwrap();
            for token in &self.live {
                assert!(keys.find(&token.kid).is_some(), "{now}: a token outlives its key");
            }
            self.held.push(Held { keys, fresh_until: now + std::time::Duration::from_secs(CACHED_FOR) });
        }
    }

    /// Each server signs a token: its key is in every copy that is held, and verifies it.
    async fn sign(&mut self) {
        let now = self.clock.now();
        for server in &self.servers {
            let jwt = server.access_token(&self.client).await;
            let kid = decode_header(&jwt).unwrap().kid.unwrap();
            for copy in &self.held {
                assert!(copy.keys.find(&kid).is_some(), "{now}: a verifier does not know {kid}");
            }
            let claims = verify(&jwt, &self.held[0].keys);
            assert_eq!(claims["client_id"], "orders");
            let ends = Timestamp::from_second(claims["exp"].as_i64().unwrap()).unwrap();
            self.signed_by.insert(kid.clone());
            self.live.push(Live { kid, ends });
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

/// Before, at and after an instant, by each of the clocks.
fn around(instant: Timestamp) -> impl Iterator<Item = Timestamp> {
    let by_clock = move |skew| instant - SignedDuration::from_mins(skew);
    let seconds = [-1, 0, 1].map(SignedDuration::from_secs);
    SKEWS.into_iter().flat_map(move |skew| seconds.map(|second| by_clock(skew) + second))
}

fn verify(jwt: &str, keys: &JwkSet) -> Value {
    let header = decode_header(jwt).unwrap();
    let mut validation = Validation::new(header.alg);
    // Time is the test's.
    (validation.validate_exp, validation.validate_aud) = (false, false);
    let key = DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).unwrap()).unwrap();
    decode(jwt, &key, &validation).unwrap().claims
}

async fn live_through(database: &TestDatabase) {
    let mut year = Year::begin(database).await;
    let end = year.clock.now() + SignedDuration::from_hours(365 * 24);
    while year.clock.now() < end {
        year.operate().await;
        year.publish().await;
        year.sign().await;
        year.step();
    }
    assert_eq!(year.signed_by.len(), 53, "each week had its key");
}

#[tokio::test]
async fn through_a_year_of_rotation_every_verifier_knows_every_key() {
    live_through(&TestDatabase::postgres().await).await;
}

#[tokio::test]
async fn and_so_it_is_on_sqlite() {
    live_through(&TestDatabase::sqlite()).await;
}

//! A full turn of declared key sets, on three servers whose clocks disagree.

use std::collections::BTreeSet;

use crate::common::verifiers::{SKEWS, Verifiers, around};
use crate::common::{TestClient, TestServer, have_same_keys, manual_clock, registered_for_jwt};
use crate::operated::Declared;
use crd::{JsonWebKeySet, KeyState};
use harness::{TestDatabase, eventually};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use store::{ACCESS_TOKEN_SET, Clock, ID_TOKEN_SET};

const PERIOD: SignedDuration = SignedDuration::from_hours(168);
/// An hour in which verifiers may keep a copy, and a little for clocks that disagree.
const PUBLISHED_BEFORE: SignedDuration = SignedDuration::from_mins(66);
const SECOND: SignedDuration = SignedDuration::from_secs(1);

struct Installation {
    clock: Clock,
    declared: Declared,
    servers: Vec<TestServer>,
    client: TestClient,
    verifiers: Verifiers,
    /// When something happens, as far as is known.
    moments: BTreeSet<Timestamp>,
}

impl Installation {
    async fn begin(database: &TestDatabase) -> Self {
        let clock = manual_clock();
        let declared = Declared::on(&database.open(clock.clone()).await).await;
        let rotation = json!({"period": "168h", "publishBefore": "66m"});
        for set in [ID_TOKEN_SET, ACCESS_TOKEN_SET] {
            declared
                .create::<JsonWebKeySet>(set, json!({"algorithms": ["ES256"], "rotation": rotation}))
                .await;
        }
        let mut servers = Vec::new();
        for skew in SKEWS {
            servers.push(TestServer::start(database, clock.skewed(SignedDuration::from_mins(skew))).await);
        }
        let client = TestClient::create(&servers[1].store, "orders", registered_for_jwt()).await;
        let (verifiers, moments) = Default::default();
        Self { clock, declared, servers, client, verifiers, moments }
    }

    /// At one moment: the operator looks, verifiers fetch copies, and every server signs. The end of what the slowest clock
    /// dates.
    async fn live(&mut self) -> Timestamp {
        self.declared.turn_keys(2).await;
        let now = self.clock.now();
        let set = self.declared.key_set(ACCESS_TOKEN_SET).await;
        let status = set.status.unwrap();
        let of_keys = status.keys.iter().flat_map(|key| [key.active_at, key.retired_at, key.removed_at]);
        let instants = of_keys.chain([status.next_rotation_time]).flatten().map(crd::StatusTime::get);
        let published = status.next_rotation_time.map(|at| at.get() - PUBLISHED_BEFORE);
        self.moments.extend(instants.chain(published).flat_map(around));
        let (first, others) = self.servers.split_first().unwrap();
        for other in others {
            eventually("all have the same keys", async || have_same_keys(&first.store, &other.store).await)
                .await;
        }
        self.verifiers.publish(now, &self.servers).await;
        self.verifiers.sign(now, &self.servers, &self.client).await[0]
    }

    /// Goes to the next moment, if there is one before `end`.
    fn step(&mut self, end: Timestamp) -> bool {
        self.moments = self.moments.split_off(&(self.clock.now() + SECOND));
        let next = self.moments.first().copied().filter(|next| *next < end);
        if let Some(next) = next {
            self.clock.set(next);
        }
        next.is_some()
    }

    async fn kids(&self, state: KeyState) -> Vec<String> {
        let keys = self.declared.key_set(ACCESS_TOKEN_SET).await.status.unwrap().keys;
        keys.into_iter().filter(|key| key.state == state).map(|key| key.kid).collect()
    }

    /// How many servers publish a key.
    async fn publishing(&self, kid: &str) -> usize {
        let mut count = 0;
        for server in &self.servers {
            let keys: Value = server.get("/.well-known/jwks.json").await.json().await.unwrap();
            count += keys["keys"].as_array().unwrap().iter().filter(|key| key["kid"] == kid).count();
        }
        count
    }
}

/// Scenarios 23 and 24.
#[tokio::test]
async fn through_a_declared_turn_every_verifier_knows_every_key_and_no_token_outlives_its_own() {
    let database = TestDatabase::postgres().await;
    let mut all = Installation::begin(&database).await;
    let began = all.clock.now();
    all.live().await;
    let first = all.kids(KeyState::Active).await.remove(0);
    let turn = began + PERIOD;
    // Up to the last second in which the slowest clock signs by the first key.
    let last = turn + SignedDuration::from_mins(4) - SECOND;
    all.moments.insert(last);
    let mut late = began;
    while all.clock.now() < last && all.step(turn + PERIOD) {
        late = all.live().await;
        let announced = all.kids(KeyState::Next).await;
        let ahead = all.clock.now() >= turn - PUBLISHED_BEFORE && all.clock.now() < turn;
        assert_eq!(
            announced.len(),
            usize::from(ahead),
            "announced exactly so long before: {}",
            all.clock.now()
        );
    }
    assert_eq!(all.clock.now(), last);
    assert_eq!(all.verifiers.signed_by.len(), 2, "some clocks have turned, and one has not");
    assert!(all.verifiers.live_by(&first) > 0);

    // What was signed in that second verifies until its last.
    assert_eq!(late, turn - SECOND + SignedDuration::from_hours(1));
    all.moments.insert(late - SECOND);
    while all.clock.now() < late - SECOND && all.step(turn + PERIOD) {
        all.live().await;
    }
    assert_eq!((all.clock.now(), all.publishing(&first).await), (late - SECOND, SKEWS.len()));
    assert!(all.verifiers.live_by(&first) > 0);
    // And then the key leaves.
    while all.kids(KeyState::Retired).await.contains(&first) && all.step(turn + PERIOD) {
        all.live().await;
    }
    let gone = async || all.publishing(&first).await == 0;
    eventually("the key is not published any more", gone).await;
    assert!(all.clock.now() < turn + SignedDuration::from_hours(3), "{}", all.clock.now());
}

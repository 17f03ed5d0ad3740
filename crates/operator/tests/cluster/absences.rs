//! Nobody turns keys for a while: what is due then is one step, and verifiers are told of it in time.

use crd::{JsonWebKeySet, KeyState, KeyStatus, StatusTime};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use store::ACCESS_TOKEN_SET;

use crate::resource::Handle;
use crate::world::World;

const HOUR: SignedDuration = SignedDuration::from_hours(1);
/// How long a key signs.
const PERIOD: i32 = 168;
/// How long before that it is published.
const LEAD: i32 = 24;

fn keys(set: &JsonWebKeySet, state: KeyState) -> Vec<KeyStatus> {
    let keys = &set.status.as_ref().unwrap().keys;
    keys.iter().filter(|key| key.state == state).cloned().collect()
}

fn only(set: &JsonWebKeySet, state: KeyState) -> KeyStatus {
    let mut keys = keys(set, state);
    assert_eq!(keys.len(), 1, "{state:?}: {keys:?}");
    keys.remove(0)
}

fn at(time: Option<StatusTime>) -> Timestamp {
    time.unwrap().get()
}

impl World {
    /// A set whose first key signs from now on.
    async fn weekly_set(&self) -> (Handle<'_, JsonWebKeySet>, KeyStatus) {
        self.start().await;
        let set = self.jwks(ACCESS_TOKEN_SET);
        let rotation = json!({"period": format!("{PERIOD}h"), "publishBefore": format!("{LEAD}h")});
        set.create(json!({"algorithms": ["ES256"], "rotation": rotation})).await;
        let first = only(&set.ready().await, KeyState::Active);
        (set, first)
    }

    /// The key that a server signs with now: servers need no operator for that.
    async fn signs_with(&self) -> String {
        let keys = self.store.keys().await.unwrap();
        keys.signing_key(ACCESS_TOKEN_SET, None, self.now()).unwrap().signer.key_id().to_string()
    }

    async fn publishes(&self, kid: &str) -> bool {
        let keys = self.store.keys().await.unwrap().published(&[], self.now());
        serde_json::to_value(keys).unwrap()["keys"].as_array().unwrap().iter().any(|key| key["kid"] == kid)
    }
}

/// Scenario 27: over the instant of a turn that was announced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announced_turn_happens_without_anybody() {
    let world = World::on_postgres().await;
    let began = world.now();
    let (set, first) = world.weekly_set().await;
    world.advance(HOUR * (PERIOD - LEAD));
    world.resync(1).await;
    let announced = set.until("a next key", |set| !keys(set, KeyState::Next).is_empty()).await;
    let next = only(&announced, KeyState::Next);
    world.stop().await;

    world.advance(HOUR * LEAD - SignedDuration::from_secs(1));
    assert_eq!(world.signs_with().await, first.kid);
    world.advance(SignedDuration::from_secs(1));
    assert_eq!(world.signs_with().await, next.kid, "nobody turned it");
    assert!(world.publishes(&first.kid).await, "what it signed still verifies");
    world.advance(HOUR * 6);
    let shown = set.get().await.unwrap();
    assert_eq!(only(&shown, KeyState::Active).kid, first.kid, "nobody told it either");

    world.start().await;
    let told =
        set.until("told", |set| set.status.as_ref().unwrap().active_key_id.as_ref() == Some(&next.kid)).await;
    assert!(keys(&told, KeyState::Next).is_empty());
    assert_eq!(at(only(&told, KeyState::Active).active_at), began + HOUR * PERIOD);
    assert_eq!(at(told.status.unwrap().next_rotation_time), began + HOUR * (2 * PERIOD), "the rhythm stays");
    world.finish().await;
}

/// Scenario 27: over turns that nobody could announce.
async fn long_absence(periods: i32) {
    let world = World::on_postgres().await;
    let (set, first) = world.weekly_set().await;
    world.stop().await;
    world.advance(HOUR * (periods * PERIOD + 5));
    assert_eq!(world.signs_with().await, first.kid, "there is no other");
    assert!(world.publishes(&first.kid).await);

    let back = world.now();
    world.start().await;
    let announced = set.until("a next key", |set| !keys(set, KeyState::Next).is_empty()).await;
    let next = only(&announced, KeyState::Next);
    assert_eq!(at(next.published_at), back);
    assert!(at(next.active_at) >= back + HOUR * LEAD, "verifiers have the whole time to learn of it");
    assert_eq!(only(&announced, KeyState::Active).kid, first.kid);
    world.resync(1).await;
    assert_eq!(set.get().await.unwrap().status.unwrap().keys.len(), 2, "one step, however many were missed");
    world.advance(HOUR * LEAD - SignedDuration::from_secs(1));
    assert_eq!(world.signs_with().await, first.kid);
    world.advance(SignedDuration::from_secs(1));
    assert_eq!(world.signs_with().await, next.kid);
    world.resync(1).await;
    let turned = |set: &JsonWebKeySet| set.status.as_ref().unwrap().active_key_id.as_ref() == Some(&next.kid);
    let turned = set.until("the turn is told", turned).await;
    assert!(keys(&turned, KeyState::Next).is_empty(), "the following one has its time");
    assert_eq!(only(&turned, KeyState::Retired).kid, first.kid);
    assert!(at(turned.status.unwrap().next_rotation_time) > world.now() + HOUR * LEAD);
    set.tells(&["KeyActivated", "KeyPublished", "RotationOverdue", "KeyActivated", "KeyRetired"]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_missed_turn_the_next_key_is_announced_first() {
    long_absence(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_ten_missed_turns_there_is_one_step() {
    long_absence(10).await;
}

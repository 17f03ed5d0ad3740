//! Key sets.

use crd::{ConditionType, DeletionPolicy, JsonWebKeySet, KeyState, Reason, StatusTime};
use jiff::SignedDuration;
use jose::{Algorithm, SigningAlgorithm};
use kube::ResourceExt;
use serde_json::json;
use store::{ACCESS_TOKEN_SET, ID_TOKEN_SET};

use crate::resource::{Handle, Kind};
use crate::world::World;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

fn kids(key_set: &JsonWebKeySet, state: KeyState) -> Vec<String> {
    let keys = &key_set.status.as_ref().unwrap().keys;
    keys.iter().filter(|key| key.state == state).map(|key| key.kid.clone()).collect()
}

fn active(key_set: &JsonWebKeySet) -> Option<String> {
    key_set.status.as_ref()?.active_key_id.clone()
}

async fn published(world: &World, kid: &str) -> bool {
    let keys = world.store.keys().await.unwrap().published(&[], world.now());
    serde_json::to_value(keys).unwrap()["keys"].as_array().unwrap().iter().any(|key| key["kid"] == kid)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_key_signs_at_once_and_the_next_one_is_announced() {
    let world = World::on_postgres().await;
    world.start().await;
    let set = world.jwks(ID_TOKEN_SET);
    let rotation = json!({"period": "168h", "publishBefore": "24h"});
    set.create(json!({"algorithms": ["ES256"], "rotation": rotation})).await;
    let first = set.ready().await;
    let first_kid = active(&first).unwrap();
    assert!(published(&world, &first_kid).await);
    let registry = world.store.keys().await.unwrap();
    assert_eq!(registry.signing_algorithms(ID_TOKEN_SET, world.now()), [SigningAlgorithm::Es256]);
    let status = first.status.as_ref().unwrap();
    let turn = world.now() + 168 * HOUR;
    assert_eq!(status.next_rotation_time.map(StatusTime::get), Some(turn));
    set.tells(&["KeyActivated"]).await;

    world.advance(144 * HOUR);
    world.resync(1).await;
    let announced = set.until("a next key", |set| !kids(set, KeyState::Next).is_empty()).await;
    let next_kid = kids(&announced, KeyState::Next).remove(0);
    assert!(published(&world, &next_kid).await);
    assert_eq!(active(&announced), Some(first_kid.clone()));
    world.advance(24 * HOUR);
    world.resync(1).await;
    let turned = set.until("the turn is told", |set| active(set).as_ref() == Some(&next_kid)).await;
    assert_eq!(kids(&turned, KeyState::Retired), std::slice::from_ref(&first_kid));
    assert!(published(&world, &first_kid).await, "what it signed still verifies");
    world.advance(2 * HOUR);
    world.resync(1).await;
    set.until("the former key is gone", |set| kids(set, KeyState::Retired).is_empty()).await;
    assert!(!published(&world, &first_kid).await);
    set.tells(&["KeyActivated", "KeyPublished", "KeyActivated", "KeyRetired", "KeyRemoved"]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_algorithm_begins_its_line_and_the_former_one_ends() {
    let world = World::new().await;
    world.start().await;
    let set = world.jwks(ACCESS_TOKEN_SET);
    let rotation = json!({"period": "168h", "publishBefore": "24h"});
    set.create(json!({"algorithms": ["RS256"], "rsaBits": 2048, "rotation": rotation})).await;
    let rsa = active(&set.ready().await).unwrap();
    set.edit(json!({"algorithms": ["ES256", "EdDSA"], "rsaBits": null})).await;
    let both = set.until("two next keys", |set| kids(set, KeyState::Next).len() == 2).await;
    assert_eq!(active(&both).as_ref(), Some(&rsa), "the new ones are not known to verifiers yet");
    let registry = world.store.keys().await.unwrap();
    assert!(registry.signing_key(ACCESS_TOKEN_SET, None, world.now()).is_some());
    assert!(both.is_ready());
    world.advance(24 * HOUR);
    world.resync(1).await;
    let turned = set.until("the new lines sign", |set| kids(set, KeyState::Active).len() == 2).await;
    assert_eq!(kids(&turned, KeyState::Retired), [rsa]);
    let stored = world.store.read_key_set(ACCESS_TOKEN_SET).await.unwrap().unwrap();
    let algorithms = stored.policy.algorithms;
    let wanted = [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa].map(Algorithm::Signing);
    assert_eq!(algorithms, wanted);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_size_holds_from_the_next_key_on() {
    let world = World::new().await;
    world.start().await;
    let set = world.jwks(ID_TOKEN_SET);
    set.create(json!({"rsaBits": 2048, "rotation": {"policy": "Manual", "publishBefore": "1h"}})).await;
    let first = active(&set.ready().await).unwrap();
    let modulus = async |kid: &str| {
        let keys = world.store.keys().await.unwrap().published(&[], world.now());
        let keys = serde_json::to_value(keys).unwrap();
        let key = keys["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid).unwrap().clone();
        // Base64 of so many bits.
        key["n"].as_str().unwrap().len() * 6 / 1024 * 1024
    };
    assert_eq!(modulus(&first).await, 2048);
    set.edit(json!({"rsaBits": 3072})).await;
    set.ready().await;
    world.resync(1).await;
    assert_eq!(set.get().await.unwrap().status.unwrap().keys.len(), 1, "an edit of the size is no turn");
    world.advance(HOUR);
    set.annotate("keywright.dev/rotate", "1").await;
    let announced = set.until("a next key", |set| !kids(set, KeyState::Next).is_empty()).await;
    assert_eq!(modulus(&kids(&announced, KeyState::Next)[0]).await, 3072);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_and_revocations_turn_keys() {
    let world = World::new().await;
    world.start().await;
    let set = world.jwks(ID_TOKEN_SET);
    let spec = json!({"algorithms": ["ES256"], "rotation": {"policy": "Manual", "publishBefore": "24h"}});
    // Requests that stand there from the beginning are none.
    let standing = json!({"keywright.dev/rotate": "0", "keywright.dev/rotate-now": "0"});
    set.create_with(spec, standing).await;
    let first = active(&set.ready().await).unwrap();
    world.resync(1).await;
    assert_eq!(kids(&set.get().await.unwrap(), KeyState::Next).len(), 0);

    world.advance(HOUR);
    set.annotate("keywright.dev/rotate", "1").await;
    let announced = set.until("a next key", |set| !kids(set, KeyState::Next).is_empty()).await;
    let second = kids(&announced, KeyState::Next).remove(0);
    assert_eq!(active(&announced), Some(first.clone()));
    world.resync(1).await;
    let still = kids(&set.get().await.unwrap(), KeyState::Next);
    assert_eq!(still, std::slice::from_ref(&second), "one request, one key");
    world.advance(24 * HOUR);
    world.resync(1).await;
    set.until("the turn", |set| active(set).as_ref() == Some(&second)).await;

    world.advance(HOUR);
    set.annotate("keywright.dev/rotate-now", "1").await;
    let hurried = set.until("a turn at once", |set| active(set).is_some_and(|kid| kid != second)).await;
    let third = active(&hurried).unwrap();
    assert!(kids(&hurried, KeyState::Retired).contains(&second));
    assert_eq!(hurried.status.as_ref().unwrap().last_handled_rotate_now.as_deref(), Some("1"));
    assert_eq!(hurried.status.as_ref().unwrap().last_handled_rotate.as_deref(), Some("1"));

    set.edit(json!({"revokedKeyIds": [third, "never-heard-of"]})).await;
    let revoked = set.until("another signs", |set| active(set).is_some_and(|kid| kid != third)).await;
    assert!(!published(&world, &third).await, "a revoked key is gone at once");
    assert!(published(&world, &active(&revoked).unwrap()).await);
    assert!(revoked.is_ready());
    world.resync(1).await;
    world.resync(1).await;
    assert_eq!(active(&set.get().await.unwrap()), active(&revoked));
    let told: Vec<_> = set.events().await.into_iter().map(|(reason, _)| reason).collect();
    assert_eq!(told.iter().filter(|reason| *reason == "KeyRevoked").count(), 1, "{told:?}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_set_outlives_its_resource_and_is_taken_up_again() {
    let world = World::new().await;
    world.start().await;
    let set = world.jwks(ID_TOKEN_SET);
    let spec = json!({"algorithms": ["ES256"]});
    set.create(spec.clone()).await;
    let before = set.ready().await;
    assert_eq!(before.spec.deletion_policy, DeletionPolicy::Orphan);
    assert!(before.finalizers().is_empty());
    set.delete().await;
    set.gone().await;
    assert!(published(&world, &active(&before).unwrap()).await);
    set.create(spec).await;
    let after = set.ready().await;
    assert_eq!(active(&after), active(&before));
    assert_eq!(after.status.unwrap().keys.len(), 1);

    // One of two resources has a set.
    world.jwks("rival").create(json!({"algorithms": ["ES256"], "set": ID_TOKEN_SET})).await;
    let rival = world.jwks("rival").stands(Reason::SetConflict).await;
    let message = &rival.condition(&ConditionType::Ready).unwrap().message;
    assert!(message.contains(&format!("{}/{ID_TOKEN_SET}", world.namespace)), "{message}");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_own_sets_are_not_deleted_and_others_are() {
    let world = World::new().await;
    world.start().await;
    let spec = json!({"algorithms": ["ES256"], "deletionPolicy": "Delete"});
    let (own, other) = (world.jwks(ID_TOKEN_SET), world.jwks("other"));
    for set in [&own, &other] {
        set.create(spec.clone()).await;
        assert_eq!(set.ready().await.finalizers(), ["keywright.dev/key-set"]);
        set.delete().await;
    }
    other.gone().await;
    assert!(world.store.read_key_set("other").await.unwrap().is_none());
    own.stands(Reason::Terminating).await;
    own.tells(&["KeyActivated", "DeletionBlocked"]).await;
    assert!(world.store.read_key_set(ID_TOKEN_SET).await.unwrap().is_some());
    own.edit(json!({"deletionPolicy": "Orphan"})).await;
    own.gone().await;
    assert!(world.store.read_key_set(ID_TOKEN_SET).await.unwrap().is_some());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_cannot_take_the_servers_keys() {
    let world = World::new().await;
    world.start().await;
    let tenant = world.cluster.namespace().await;
    let set = Handle::<JsonWebKeySet>::new(&world, &tenant, ID_TOKEN_SET);
    set.create(json!({"algorithms": ["ES256"], "instance": world.namespace})).await;
    let refused = set.stands(Reason::NamespaceNotAllowed).await;
    assert!(refused.condition(&ConditionType::Stalled).is_some());
    assert!(world.store.read_key_sets().await.unwrap().is_empty());
    set.delete().await;
    set.gone().await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_sets_that_nobody_declares_are_made() {
    let world = World::new().await;
    let set = world.jwks(ID_TOKEN_SET);
    set.create(json!({"algorithms": ["ES256"]})).await;
    // A tenant's does not count.
    let tenant = world.cluster.namespace().await;
    let theirs = Handle::<JsonWebKeySet>::new(&world, &tenant, ACCESS_TOKEN_SET);
    theirs.create(json!({"algorithms": ["ES256"], "instance": world.namespace})).await;
    world.start_with(world.config.clone(), true).await;
    let made = async || world.store.read_key_set(ACCESS_TOKEN_SET).await.unwrap();
    let made = world.until("the access token set", made).await;
    assert_eq!(made.policy, store::KeySetPolicy::undeclared(SigningAlgorithm::Rs256));
    assert_eq!(made.manager, None);
    set.ready().await;
    let declared = world.store.read_key_set(ID_TOKEN_SET).await.unwrap().unwrap();
    assert_eq!(declared.policy.algorithms, [Algorithm::Signing(SigningAlgorithm::Es256)]);
    assert_eq!(declared.keys.len(), 1);
    assert!(world.store.keys().await.unwrap().is_complete(world.now()));
    world.finish().await;
}

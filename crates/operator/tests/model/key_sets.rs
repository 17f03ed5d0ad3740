//! The reconciler of key sets: crashes, requests, owners and deletion.

use crd::{JsonWebKeySet, JsonWebKeySetStatus, Reason, names};
use jiff::SignedDuration;
use kube::ResourceExt;
use operator::{ObjectError, Outcome};
use serde_json::{Value, json};
use store::ID_TOKEN_SET;

use crate::memory::Fault;
use crate::world::{NAMESPACE, World};

const NAME: &str = "invoices";

/// ES256 keys that turn each 100 hours, published 10 hours ahead.
fn spec(more: Value) -> Value {
    let rotation = json!({"period": "100h", "publishBefore": "10h", "retainAfter": "20h"});
    let mut spec = json!({"algorithms": ["ES256"], "rotation": rotation});
    let Value::Object(fields) = more else { return spec };
    for (name, value) in fields {
        spec[name] = value;
    }
    spec
}

impl World {
    fn key_set(&self, name: &str) -> JsonWebKeySet {
        self.objects.key_set(NAMESPACE, name).unwrap()
    }

    fn set_status(&self, name: &str) -> JsonWebKeySetStatus {
        self.key_set(name).status.unwrap()
    }

    async fn turn(&self, name: &str) -> Outcome {
        self.key_sets().reconcile(&self.key_set(name)).await
    }

    fn annotate(&self, annotation: &str, value: &str) {
        self.objects.edit_key_set(NAMESPACE, NAME, |key_set| {
            key_set.annotations_mut().insert(annotation.into(), value.into());
        });
    }

    fn set_told(&self, name: &str) -> (Reason, String) {
        let ready = self.set_status(name).conditions[0].clone();
        (ready.reason, ready.message)
    }

    async fn kids(&self, set: &str) -> Vec<String> {
        let set = self.store.read_key_set(set).await.unwrap();
        let mut kids: Vec<_> =
            set.into_iter().flat_map(|set| set.keys).map(|key| key.schedule.kid.to_string()).collect();
        kids.sort();
        kids
    }
}

#[tokio::test]
async fn a_turn_survives_a_crash_between_any_two_writes() {
    for hours in [0, 90, 100, 120] {
        let world = World::new().await;
        for writes in 0..=3 {
            let name = format!("{NAME}-{writes}");
            world.objects.declare_key_set(NAMESPACE, &name, spec(json!({"deletionPolicy": "Delete"})));
            for step in [0, 90, 100].into_iter().filter(|step| *step < hours) {
                world.clock.set(World::start() + SignedDuration::from_hours(step));
                world.turn(&name).await;
            }
            world.clock.set(World::start() + SignedDuration::from_hours(hours));
            let (reconciler, key_set) = (world.key_sets(), world.key_set(&name));
            world.die_after(writes, Box::pin(reconciler.reconcile(&key_set))).await;
            assert!(matches!(world.turn(&name).await, Outcome::Settled { .. }));
            let (kids, status) = (world.kids(&name).await, world.set_status(&name));
            let mut told: Vec<_> = status.keys.iter().map(|key| key.kid.clone()).collect();
            told.sort();
            assert_eq!(told, kids, "{hours} {writes}");
            assert_eq!(kids.len(), if matches!(hours, 90 | 100) { 2 } else { 1 }, "{hours} {writes}");
            let before = world.writes().await;
            world.turn(&name).await;
            assert_eq!(world.writes().await, before, "{hours} {writes}: nothing is left to do");
            world.clock.set(World::start());
        }
    }
}

#[tokio::test]
async fn a_status_that_could_not_be_written_is_written_by_the_next_turn() {
    for after in [false, true] {
        let world = World::new().await;
        world.objects.declare_key_set(NAMESPACE, NAME, spec(json!({})));
        let calls = 2; // an event, then the status
        world.objects.fail(Fault { call: calls, after, error: ObjectError::Unavailable("reset".into()) });
        assert!(matches!(world.turn(NAME).await, Outcome::Failed { .. }));
        let kids = world.kids(NAME).await;
        assert!(matches!(world.turn(NAME).await, Outcome::Settled { .. }));
        assert_eq!(world.kids(NAME).await, kids);
        assert_eq!(world.set_status(NAME).keys.len(), 1);
        assert_eq!(world.objects.reasons(NAME), ["KeyActivated"]);
    }
}

/// Somebody labels the resource while it is worked on, or the API server is away for a moment.
#[tokio::test]
async fn a_status_that_was_refused_repeats_no_event() {
    for error in [ObjectError::Raced, ObjectError::Unavailable("reset".into())] {
        let world = World::new().await;
        let reconciler = world.key_sets();
        world.objects.declare_key_set(NAMESPACE, NAME, spec(json!({})));
        reconciler.reconcile(&world.key_set(NAME)).await;
        for (hours, told) in [(90, ["KeyPublished"].as_slice()), (10, &["KeyActivated", "KeyRetired"])] {
            world.advance(hours);
            world.objects.forget_events();
            world.objects.refuse("write status", error.clone());
            for _ in 0..3 {
                let outcome = reconciler.reconcile(&world.key_set(NAME)).await;
                match &error {
                    ObjectError::Raced => assert_eq!(outcome, Outcome::Raced),
                    _ => assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}"),
                }
            }
            world.objects.allow_all();
            let outcome = reconciler.reconcile(&world.key_set(NAME)).await;
            assert!(matches!(outcome, Outcome::Settled { .. }), "{outcome:?}");
            let mut reasons = world.objects.reasons(NAME);
            reasons.sort();
            assert_eq!(reasons, told);
        }
    }
}

#[tokio::test]
async fn two_standing_requests_are_handled_once_each() {
    let world = World::new().await;
    world.objects.declare_key_set(NAMESPACE, NAME, spec(json!({})));
    world.annotate(names::ROTATE, "seen-first");
    world.annotate(names::ROTATE_NOW, "seen-first");
    world.turn(NAME).await;
    assert_eq!(world.kids(NAME).await.len(), 1, "what stands there at first is no request");
    world.annotate(names::ROTATE, "a");
    world.annotate(names::ROTATE_NOW, "b");
    world.advance(1);
    world.turn(NAME).await;
    world.advance(1);
    world.turn(NAME).await;
    let kids = world.kids(NAME).await;
    for _ in 0..5 {
        world.advance(1);
        let before = world.writes().await;
        world.turn(NAME).await;
        assert_eq!(world.writes().await, before);
    }
    assert_eq!(world.kids(NAME).await, kids);
    let status = world.set_status(NAME);
    assert_eq!(
        (status.last_handled_rotate.as_deref(), status.last_handled_rotate_now.as_deref()),
        (Some("a"), Some("b"))
    );
}

#[tokio::test]
async fn the_next_look_is_when_the_next_key_is_due() {
    let world = World::new().await;
    world.objects.declare_key_set(NAMESPACE, NAME, spec(json!({})));
    let start = world.now();
    let publication = start + SignedDuration::from_hours(90);
    assert_eq!(world.turn(NAME).await, Outcome::Settled { again_at: Some(publication) });
    world.clock.set(publication);
    let activation = start + SignedDuration::from_hours(100);
    assert_eq!(world.turn(NAME).await, Outcome::Settled { again_at: Some(activation) });
}

#[tokio::test]
async fn a_set_has_one_owner_and_the_other_one_says_so_once() {
    let world = World::new().await;
    world.objects.declare_key_set(NAMESPACE, NAME, spec(json!({})));
    world.turn(NAME).await;
    let kids = world.kids(NAME).await;
    let rival = spec(json!({"set": NAME, "revokedKeyIds": kids, "deletionPolicy": "Delete"}));
    world.objects.declare_key_set(NAMESPACE, "rival", rival);
    for _ in 0..3 {
        assert_eq!(world.turn("rival").await, Outcome::Waiting { reason: Reason::SetConflict });
    }
    assert_eq!(
        world.set_told("rival"),
        (Reason::SetConflict, "set invoices belongs to shop/invoices".into())
    );
    assert_eq!(world.objects.reasons("rival"), ["Conflict"]);
    assert_eq!(world.kids(NAME).await, kids, "it revokes nothing");
    world.objects.delete(NAMESPACE, "rival", world.now());
    world.turn("rival").await;
    assert!(world.objects.key_set(NAMESPACE, "rival").is_none());
    assert_eq!(world.kids(NAME).await, kids, "and deletes nothing");
}

#[tokio::test]
async fn the_set_that_the_server_signs_with_cannot_be_deleted_by_its_owner() {
    let world = World::new().await;
    world.objects.declare_key_set(NAMESPACE, ID_TOKEN_SET, spec(json!({"deletionPolicy": "Delete"})));
    world.turn(ID_TOKEN_SET).await;
    let rival = spec(json!({"set": ID_TOKEN_SET, "deletionPolicy": "Delete"}));
    world.objects.declare_key_set(NAMESPACE, "rival", rival);
    world.turn("rival").await;
    let kids = world.kids(ID_TOKEN_SET).await;
    for name in ["rival", ID_TOKEN_SET] {
        world.objects.delete(NAMESPACE, name, world.now());
    }
    world.turn("rival").await;
    assert!(world.objects.key_set(NAMESPACE, "rival").is_none(), "it is not its set");
    for _ in 0..3 {
        assert_eq!(world.turn(ID_TOKEN_SET).await, Outcome::Waiting { reason: Reason::Terminating });
    }
    let blocked =
        world.objects.reasons(ID_TOKEN_SET).into_iter().filter(|reason| reason == "DeletionBlocked");
    assert_eq!(blocked.count(), 1);
    assert_eq!(world.kids(ID_TOKEN_SET).await, kids);
    world.objects.edit_key_set(NAMESPACE, ID_TOKEN_SET, |key_set| {
        key_set.spec.deletion_policy = crd::DeletionPolicy::Orphan;
    });
    world.turn(ID_TOKEN_SET).await;
    assert!(world.objects.key_set(NAMESPACE, ID_TOKEN_SET).is_none());
    assert_eq!(world.kids(ID_TOKEN_SET).await, kids);
}

#[tokio::test]
async fn a_set_that_is_kept_goes_on_under_the_resource_of_the_same_name() {
    let world = World::new().await;
    world.objects.declare_key_set(NAMESPACE, NAME, spec(json!({})));
    world.turn(NAME).await;
    let kids = world.kids(NAME).await;
    world.objects.delete(NAMESPACE, NAME, world.now());
    assert!(world.objects.key_set(NAMESPACE, NAME).is_none());
    world.objects.declare_key_set(NAMESPACE, NAME, spec(json!({})));
    world.objects.forget_events();
    world.turn(NAME).await;
    assert_eq!(world.kids(NAME).await, kids);
    assert_eq!(world.objects.reasons(NAME), [""; 0], "it was there before");
}

#[tokio::test]
async fn key_sets_of_other_namespaces_and_instances_change_nothing() {
    let world = World::new().await;
    world.objects.declare_key_set("attic", ID_TOKEN_SET, spec(json!({"deletionPolicy": "Delete"})));
    let theirs = || world.objects.key_set("attic", ID_TOKEN_SET).unwrap();
    for _ in 0..2 {
        let outcome = world.key_sets().reconcile(&theirs()).await;
        assert_eq!(outcome, Outcome::Waiting { reason: Reason::NamespaceNotAllowed });
    }
    assert!(theirs().finalizers().is_empty());
    world.objects.declare_key_set(NAMESPACE, ID_TOKEN_SET, spec(json!({"instance": "other"})));
    assert_eq!(world.turn(ID_TOKEN_SET).await, Outcome::Nothing);
    assert_eq!(world.key_set(ID_TOKEN_SET).status, None);
    assert!(world.store.read_key_set(ID_TOKEN_SET).await.unwrap().is_none());
    assert_eq!(world.objects.log(), [format!("write status of {ID_TOKEN_SET}")]);
}

#[tokio::test]
async fn an_invalid_spec_leaves_the_keys_as_they_are() {
    let world = World::new().await;
    world.objects.declare_key_set(NAMESPACE, NAME, spec(json!({})));
    world.turn(NAME).await;
    let (kids, keys) = (world.kids(NAME).await, world.set_status(NAME).keys);
    world.objects.edit_key_set(NAMESPACE, NAME, |key_set| {
        let rotation = json!({"schedule": "0 0,6 * * *", "publishBefore": "12h"});
        key_set.spec.rotation = serde_json::from_value(rotation).unwrap();
    });
    for _ in 0..2 {
        assert_eq!(world.turn(NAME).await, Outcome::Waiting { reason: Reason::InvalidSpec });
    }
    assert_eq!(world.kids(NAME).await, kids);
    assert_eq!(world.set_status(NAME).keys, keys);
    let (_, message) = world.set_told(NAME);
    assert!(message.starts_with("spec.rotation.schedule: "), "{message}");
}

impl World {
    fn backup(&self) -> Option<Value> {
        let secret = self.objects.secret(NAMESPACE, "backup")?;
        serde_json::from_str(&crate::world::entry(&secret, names::EXPORT_KEY)?).ok()
    }

    async fn lose_all_sets(&self) {
        self.sql("DELETE FROM keys").await;
        self.sql("DELETE FROM key_sets").await;
    }

    /// What of a set has to survive: names, instants and private halves.
    async fn life(&self) -> Vec<(String, jose::schedule::Instants, bool)> {
        let set = self.store.read_key_set(NAME).await.unwrap().unwrap();
        let mut life: Vec<_> = set
            .keys
            .iter()
            .map(|key| {
                let private = self.store.private_jwk(NAME, key).unwrap().is_some();
                (key.schedule.kid.to_string(), key.schedule.instants, private)
            })
            .collect();
        life.sort_by(|a, b| a.0.cmp(&b.0));
        life
    }
}

fn exported(private: bool) -> Value {
    spec(json!({"export": {"secretName": "backup", "privateKeys": private}}))
}

/// Scenario 31, with an export: whenever the database is lost, the set goes on as if nothing had happened.
#[tokio::test]
async fn a_set_that_was_exported_with_its_private_keys_survives_the_database() {
    let world = World::new().await;
    world.objects.declare_key_set(NAMESPACE, NAME, exported(true));
    for hours in [0, 50, 90, 95, 100, 105, 120, 190] {
        world.clock.set(World::start() + SignedDuration::from_hours(hours));
        world.turn(NAME).await;
        let before = world.life().await;
        world.lose_all_sets().await;
        world.objects.forget_events();
        assert!(matches!(world.turn(NAME).await, Outcome::Settled { .. }), "{hours}");
        assert_eq!(world.life().await, before, "{hours}");
        assert_eq!(world.objects.reasons(NAME), ["Restored"], "{hours}");
        assert_eq!(world.set_told(NAME).0, Reason::Synced);
        let writes = world.writes().await;
        world.turn(NAME).await;
        assert_eq!(world.writes().await, writes, "{hours}: nothing is left to do");
    }
}

/// Scenario 31: a database that is put back to an older state gets back what it lost, and nothing else.
#[tokio::test]
async fn a_database_that_is_older_than_the_export_gets_the_newest_keys_from_it() {
    for (then, now) in [(0, 95), (0, 105), (50, 205), (95, 310)] {
        let world = World::new().await;
        world.objects.declare_key_set(NAMESPACE, NAME, exported(true));
        let mut copy = None;
        for hours in [0, 50, 90, 95, 100, 105, 190, 200, 205, 290, 300, 310].into_iter().filter(|h| *h <= now)
        {
            world.clock.set(World::start() + SignedDuration::from_hours(hours));
            world.turn(NAME).await;
            if hours == then {
                copy = Some(world.copy().await);
            }
        }
        let before = world.life().await;
        world.roll_back(&copy.unwrap()).await;
        let stranger =
            jose::PrivateKey::generate(jose::SigningAlgorithm::Es256.into(), jose::RsaBits::B2048).unwrap();
        let mut document = world.backup().unwrap();
        let mut key: Value = serde_json::from_str(&stranger.to_jwk().unwrap()).unwrap();
        (key["iat"], key["nbf"]) = (document["keys"][0]["iat"].clone(), document["keys"][0]["nbf"].clone());
        document["keys"].as_array_mut().unwrap().push(key);
        world.objects.edit_secret(NAMESPACE, "backup", |secret| {
            crate::world::set(secret, names::EXPORT_KEY, document.to_string().as_bytes());
        });
        world.objects.forget_events();
        assert!(matches!(world.turn(NAME).await, Outcome::Settled { .. }), "{then} {now}");
        let after = world.life().await;
        for (kid, instants, private) in &before {
            let found = after.iter().find(|(other, ..)| other == kid);
            let (_, now_has, signs) = found.unwrap_or_else(|| panic!("{then} {now}: {kid} is lost"));
            assert_eq!(now_has.active_at, instants.active_at, "{then} {now}");
            assert!(*signs || !private, "{then} {now}: {kid} no longer signs");
        }
        assert!(!after.iter().any(|(kid, ..)| *kid == stranger.key_id().to_string()), "{then} {now}");
        assert!(world.objects.reasons(NAME).contains(&"Restored".to_owned()), "{then} {now}");
        assert!(!world.objects.reasons(NAME).contains(&"KeysLost".to_owned()), "{then} {now}");
        let writes = world.writes().await;
        world.turn(NAME).await;
        assert_eq!(world.writes().await, writes, "{then} {now}: nothing is left to do");
    }
}

/// The server makes the sets that it signs with where there are none, perhaps before anybody restores a lost one.
#[tokio::test]
async fn a_set_that_a_server_made_in_the_place_of_a_lost_one_gets_the_lost_keys() {
    for without_status in [false, true] {
        let world = World::new().await;
        world.objects.declare_key_set(NAMESPACE, ID_TOKEN_SET, exported(true));
        for hours in [0, 90, 101] {
            world.clock.set(World::start() + SignedDuration::from_hours(hours));
            world.turn(ID_TOKEN_SET).await;
        }
        let lost = world.kids(ID_TOKEN_SET).await;
        world.lose_all_sets().await;
        world.store.ensure_token_set(ID_TOKEN_SET).await.unwrap();
        let made = world.kids(ID_TOKEN_SET).await;
        if without_status {
            world.objects.edit_key_set(NAMESPACE, ID_TOKEN_SET, |key_set| key_set.status = None);
        }
        world.objects.forget_events();
        assert!(matches!(world.turn(ID_TOKEN_SET).await, Outcome::Settled { .. }));
        let kids = world.kids(ID_TOKEN_SET).await;
        assert_eq!((lost.len(), made.len(), kids.len()), (2, 1, 3));
        assert!(lost.iter().chain(&made).all(|kid| kids.contains(kid)), "{kids:?}");
        let backup = world.backup().unwrap();
        let keys = backup["keys"].as_array().unwrap();
        let with_private_half = keys.iter().filter(|key| !key["d"].is_null()).count();
        assert_eq!((keys.len(), with_private_half), (3, 2), "but for the one that had retired long ago");
        let told = world.objects.reasons(ID_TOKEN_SET);
        assert_eq!(told[0], "Restored", "{told:?}");
        assert!(!told.contains(&"KeysLost".to_owned()), "{told:?}");
        let writes = world.writes().await;
        world.turn(ID_TOKEN_SET).await;
        assert_eq!(world.writes().await, writes, "nothing is left to do");
    }
}

/// Nobody lost it: a set that was there before its resource takes nothing from a Secret that somebody left there.
#[tokio::test]
async fn a_set_that_is_older_than_a_backup_takes_no_key_from_it() {
    let world = World::new().await;
    world.objects.declare_key_set(NAMESPACE, ID_TOKEN_SET, exported(true));
    world.turn(ID_TOKEN_SET).await;
    let backup = world.objects.secret(NAMESPACE, "backup").unwrap();
    let theirs = world.kids(ID_TOKEN_SET).await.remove(0);
    let world = World::new().await;
    world.clock.set(World::start() - SignedDuration::from_hours(1));
    world.store.ensure_token_set(ID_TOKEN_SET).await.unwrap();
    world.clock.set(World::start());
    world.objects.put_secret(backup);
    world.objects.declare_key_set(NAMESPACE, ID_TOKEN_SET, exported(true));
    assert!(matches!(world.turn(ID_TOKEN_SET).await, Outcome::Settled { .. }));
    assert!(!world.kids(ID_TOKEN_SET).await.contains(&theirs));
    assert!(!world.objects.reasons(ID_TOKEN_SET).contains(&"Restored".to_owned()));
}

/// It is the API server's storage that was put back, not the database: what has left since then stays away.
#[tokio::test]
async fn an_api_server_that_is_older_than_the_database_brings_no_key_back() {
    // The retired key and the one that signs.
    for nth in 0..2 {
        let world = World::new().await;
        world.objects.declare_key_set(NAMESPACE, NAME, exported(true));
        for hours in [0, 90, 100] {
            world.clock.set(World::start() + SignedDuration::from_hours(hours));
            world.turn(NAME).await;
        }
        let then = (world.key_set(NAME), world.objects.secret(NAMESPACE, "backup").unwrap());
        let leaked = world.kids(NAME).await.swap_remove(nth);
        world.objects.edit_key_set(NAMESPACE, NAME, |set| set.spec.revoked_key_ids = vec![leaked.clone()]);
        world.turn(NAME).await;
        assert!(!world.kids(NAME).await.contains(&leaked), "{nth}");

        world.objects.edit_key_set(NAMESPACE, NAME, |set| {
            (set.spec, set.status) = (then.0.spec.clone(), then.0.status.clone());
        });
        world.objects.edit_secret(NAMESPACE, "backup", |secret| {
            secret.data.clone_from(&then.1.data);
            secret.metadata.annotations.clone_from(&then.1.metadata.annotations);
        });
        assert!(matches!(world.turn(NAME).await, Outcome::Settled { .. }), "{nth}");
        assert!(!world.kids(NAME).await.contains(&leaked), "{nth}: what was revoked is back");
    }
}

#[tokio::test]
async fn nobody_puts_another_key_under_the_name_of_one_that_was_lost() {
    let world = World::new().await;
    world.objects.declare_key_set(NAMESPACE, NAME, exported(true));
    world.turn(NAME).await;
    let copy = world.copy().await;
    world.clock.set(World::start() + SignedDuration::from_hours(90));
    world.turn(NAME).await;
    let lost: Vec<_> = world.set_status(NAME).keys.iter().map(|key| key.kid.clone()).collect();
    world.roll_back(&copy).await;
    let kept = world.kids(NAME).await;
    let mut document = world.backup().unwrap();
    let forged =
        jose::PrivateKey::generate(jose::SigningAlgorithm::Es256.into(), jose::RsaBits::B2048).unwrap();
    let forged: Value = serde_json::from_str(&forged.to_jwk().unwrap()).unwrap();
    for entry in document["keys"].as_array_mut().unwrap() {
        for member in ["x", "y", "d"] {
            entry[member] = forged[member].clone();
        }
    }
    world.objects.edit_secret(NAMESPACE, "backup", |secret| {
        crate::world::set(secret, names::EXPORT_KEY, document.to_string().as_bytes());
    });
    assert!(matches!(world.turn(NAME).await, Outcome::Settled { .. }));
    let kids = world.kids(NAME).await;
    assert_eq!((lost.len(), kept.len()), (2, 1));
    assert!(kids.len() == 2 && kids.contains(&kept[0]), "another next key was made: {kids:?}");
    assert!(kids.iter().all(|kid| kept.contains(kid) || !lost.contains(kid)), "{kids:?}");
}

/// Scenario 31, without private keys to restore from.
#[tokio::test]
async fn without_an_export_of_private_keys_a_lost_set_is_told_of_and_made_anew() {
    for spec in [spec(json!({})), exported(false)] {
        let world = World::new().await;
        world.objects.declare_key_set(NAMESPACE, NAME, spec);
        world.turn(NAME).await;
        let before = world.kids(NAME).await;
        world.lose_all_sets().await;
        world.objects.forget_events();
        world.turn(NAME).await;
        assert_ne!(world.kids(NAME).await, before);
        assert_eq!(world.objects.reasons(NAME), ["KeyActivated", "KeysLost"]);
    }
}

/// Scenario 31: while the database has keys, it alone counts.
#[tokio::test]
async fn an_export_that_is_changed_or_deleted_is_written_again_and_never_read() {
    let world = World::new().await;
    world.objects.declare_key_set(NAMESPACE, NAME, exported(true));
    world.turn(NAME).await;
    let (life, backup) = (world.life().await, world.backup().unwrap());
    assert_eq!(world.objects.reasons(NAME), ["SecretCreated", "KeyActivated"]);
    let other =
        jose::PrivateKey::generate(jose::SigningAlgorithm::Es256.into(), jose::RsaBits::B2048).unwrap();
    let forged = format!("{{\"keys\":[{}]}}", *other.to_jwk().unwrap());
    for (text, told) in [(&*forged, "SecretTampered"), ("", "SecretTampered"), ("deleted", "SecretRecreated")]
    {
        world.objects.forget_events();
        if text == "deleted" {
            world.objects.delete_secret(NAMESPACE, "backup");
        } else {
            world.objects.edit_secret(NAMESPACE, "backup", |secret| {
                crate::world::set(secret, names::EXPORT_KEY, text.as_bytes());
            });
        }
        world.turn(NAME).await;
        assert_eq!((world.life().await, world.backup().unwrap()), (life.clone(), backup.clone()));
        assert_eq!(world.objects.reasons(NAME), [told]);
    }
    // A backup that is damaged when it is needed restores nothing, and is replaced.
    world.objects.edit_secret(NAMESPACE, "backup", |secret| {
        crate::world::set(secret, names::EXPORT_KEY, b"{\"keys\": [{\"kty\": \"EC\"}]}");
    });
    world.lose_all_sets().await;
    world.turn(NAME).await;
    assert_ne!(world.life().await, life);
    assert_eq!(world.backup().unwrap()["keys"][0]["kid"], world.kids(NAME).await[0].as_str());
    assert!(world.objects.reasons(NAME).contains(&"KeysLost".to_owned()));
}

#[tokio::test]
async fn a_set_that_is_to_stay_at_the_last_moment_keeps_its_backup() {
    for goes in [true, false] {
        let world = World::new().await;
        let mut spec = exported(true);
        spec["deletionPolicy"] = "Delete".into();
        world.objects.declare_key_set(NAMESPACE, NAME, spec);
        world.turn(NAME).await;
        let backup = world.backup();
        if !goes {
            world.objects.edit_key_set(NAMESPACE, NAME, |key_set| {
                key_set.spec.deletion_policy = crd::DeletionPolicy::Orphan;
            });
        }
        world.objects.delete(NAMESPACE, NAME, world.now());
        world.turn(NAME).await;
        assert!(world.objects.key_set(NAMESPACE, NAME).is_none());
        world.objects.collect_garbage();
        assert_eq!(world.backup(), backup.filter(|_| !goes));
        assert_eq!(world.kids(NAME).await.is_empty(), goes);
    }
}

#[tokio::test]
async fn a_public_export_holds_no_private_key_and_a_foreign_secret_is_not_written() {
    let world = World::new().await;
    let theirs = crate::world::somebodys("backup", "app.kubernetes.io/managed-by", &[("theirs", "theirs")]);
    world.objects.put_secret(theirs);
    let before = world.objects.secret(NAMESPACE, "backup");
    world.objects.declare_key_set(NAMESPACE, NAME, exported(false));
    world.turn(NAME).await;
    assert_eq!(world.objects.secret(NAMESPACE, "backup"), before);
    assert_eq!(world.set_told(NAME).0, Reason::SecretConflict);
    assert_eq!(world.kids(NAME).await.len(), 1, "the keys turn all the same");

    world.objects.delete_secret(NAMESPACE, "backup");
    world.turn(NAME).await;
    assert_eq!(world.set_told(NAME).0, Reason::Synced);
    let key = world.backup().unwrap()["keys"][0].clone();
    assert!(key["d"].is_null() && !key["x"].is_null(), "only the public half");
}

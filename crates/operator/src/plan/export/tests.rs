use crd::Reason;
use jiff::SignedDuration;
use jose::{PrivateKey, RsaBits, SigningAlgorithm};

use super::*;

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

/// Published, active, retired and removed, in hours from now.
fn instants(published: i64, active: i64, retired: Option<i64>, removed: Option<i64>) -> Instants {
    let at = |hours| now() + SignedDuration::from_hours(hours);
    Instants {
        published_at: at(published),
        active_at: at(active),
        retired_at: retired.map(at),
        removed_at: removed.map(at),
    }
}

fn pair() -> PrivateKey {
    PrivateKey::generate(SigningAlgorithm::Es256.into(), RsaBits::B2048).unwrap()
}

/// A set in the midst of its life: retired, active and next key, and one that is over.
fn life() -> Vec<(PrivateKey, Instants)> {
    [
        instants(-100, -90, Some(-1), Some(20)),
        instants(-10, -1, Some(90), Some(110)),
        instants(0, 90, None, None),
        instants(-300, -290, Some(-90), Some(0)),
    ]
    .map(|instants| (pair(), instants))
    .into()
}

fn exported_keys(life: &[(PrivateKey, Instants)], private: bool) -> Vec<ExportedKey> {
    let jwk = |key: &PrivateKey| {
        if private {
            key.to_jwk().unwrap()
        } else {
            Zeroizing::new(serde_json::to_string(key.public_jwk()).unwrap())
        }
    };
    life.iter().map(|(key, instants)| ExportedKey { jwk: jwk(key), instants: *instants }).collect()
}

#[test]
fn a_backup_reads_back_with_all_instants_and_without_what_is_over() {
    let life = life();
    let document = document(exported_keys(&life, true), true, now()).unwrap();
    let restored = restorable(&document, now()).unwrap().keys;
    let ids: Vec<_> = restored.iter().map(|restored| restored.key.key_id()).collect();
    assert_eq!(ids, [life[1].0.key_id(), life[2].0.key_id(), life[0].0.key_id()], "the active one first");
    for restored in &restored {
        let (key, instants) =
            life.iter().find(|(key, _)| key.key_id() == restored.key.key_id()).expect("one of them");
        assert_eq!(restored.instants, *instants);
        assert_eq!(restored.key.private().unwrap().to_jwk().unwrap(), key.to_jwk().unwrap());
    }
    let later = now() + SignedDuration::from_hours(50);
    assert_eq!(restorable(&document, later).unwrap().keys.len(), 2, "it is over by then");
}

#[test]
fn public_keys_are_exported_as_any_verifier_reads_them_and_restore_nothing() {
    let life = life();
    let document = document(exported_keys(&life, false), false, now()).unwrap();
    let set: Value = serde_json::from_str(&document).unwrap();
    for key in set["keys"].as_array().unwrap() {
        let mut members: Vec<_> = key.as_object().unwrap().keys().cloned().collect();
        members.sort();
        assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    }
    let with_instants = super::document(exported_keys(&life, false), true, now()).unwrap();
    assert!(restorable(&with_instants, now()).unwrap().keys.is_empty());
}

#[test]
fn a_damaged_backup_is_refused_without_quoting_it() {
    let whole = document(exported_keys(&life()[..1], true), true, now()).unwrap();
    let whole: Value = serde_json::from_str(&whole).unwrap();
    let secret = whole["keys"][0]["d"].as_str().unwrap().to_owned();
    let without = |member: &str| {
        let mut damaged = whole.clone();
        damaged["keys"][0].as_object_mut().unwrap().remove(member);
        damaged.to_string()
    };
    let other = {
        let mut damaged = whole.clone();
        damaged["keys"][0]["x"] = "AAAA".into();
        damaged.to_string()
    };
    for document in [without("iat"), without("nbf"), other] {
        let backup = restorable(&document, now()).unwrap();
        assert!(backup.keys.is_empty() && backup.damaged.len() == 1);
        assert!(!backup.damaged[0].contains(&secret), "{}", backup.damaged[0]);
    }
    for document in ["{", "{}", "[]"] {
        restorable(document, now()).unwrap_err();
    }
}

#[test]
fn a_key_that_cannot_be_read_spoils_no_other() {
    let mut written: Value =
        serde_json::from_str(&document(exported_keys(&life(), true), true, now()).unwrap()).unwrap();
    let all = written["keys"].as_array().unwrap().len();
    let first = written["keys"][0].clone();
    written["keys"][all - 1]["x"] = "AAAA".into();
    written["keys"].as_array_mut().unwrap().push(first);
    let backup = restorable(&written.to_string(), now()).unwrap();
    assert_eq!((backup.keys.len(), backup.damaged.len()), (all - 1, 2));
    assert!(backup.damaged[0].starts_with(&format!("entry {all}: ")), "{:?}", backup.damaged);
    assert_eq!(backup.damaged[1], format!("entry {} has the name of another one", all + 1));
}

fn key_set(spec: Value) -> JsonWebKeySet {
    let mut key_set = JsonWebKeySet::new("invoices", serde_json::from_value(spec).unwrap());
    key_set.metadata.namespace = Some("keywright".into());
    key_set.metadata.uid = Some("uid-1".into());
    key_set
}

#[test]
fn the_secret_is_owned_where_the_set_goes_with_its_resource() {
    let export = json!({"secretName": "backup"});
    let kept = desired(&key_set(json!({"export": export})), "{}", None).unwrap();
    assert!(kept.owner_references().is_empty(), "a set that is kept keeps its backup");
    let goes = key_set(json!({"export": export, "deletionPolicy": "Delete"}));
    assert_eq!(desired(&goes, "{}", None).unwrap().owner_references()[0].uid, "uid-1");
    assert!(desired(&key_set(json!({})), "{}", None).is_none());
}

#[test]
fn an_emptied_backup_is_told_of_like_any_other_that_cannot_be_read() {
    let ours = key_set(json!({"export": {"secretName": "backup", "privateKeys": true}}));
    let emptied = desired(&ours, "", None).unwrap();
    let backup = backup(&ours, Loss::Set, &emptied, now()).unwrap();
    assert!(backup.keys.is_empty() && backup.damaged.len() == 1, "{:?}", backup.damaged);
}

#[test]
fn somebody_elses_secret_is_neither_written_nor_read() {
    let ours = key_set(json!({"export": {"secretName": "backup"}}));
    let written = desired(&ours, "{}", None).unwrap();
    assert_eq!(refuse(&ours, &written), None);
    let edited = |edit: &dyn Fn(&mut Secret)| {
        let mut secret = written.clone();
        edit(&mut secret);
        refuse(&ours, &secret).map(|unusable| unusable.reason)
    };
    let annotations = |text: &str| Some([(WRITTEN_FOR.to_owned(), text.to_owned())].into());
    let unmarked = |secret: &mut Secret| (secret.metadata.labels, secret.metadata.annotations) = (None, None);
    assert_eq!(edited(&unmarked), Some(Reason::SecretConflict));
    // A client's of the same name.
    let client = |secret: &mut Secret| secret.metadata.annotations = annotations("invoices");
    assert_eq!(edited(&client), Some(Reason::SecretConflict));
    let owned = |secret: &mut Secret| {
        secret.metadata.owner_references = key_set(json!({}))
            .controller_owner_ref(&())
            .map(|owner| vec![OwnerReference { uid: "2".into(), ..owner }]);
    };
    assert_eq!(edited(&owned), Some(Reason::SecretConflict));
    assert_eq!(edited(&|secret| secret.type_ = Some("tls".into())), Some(Reason::SecretInvalid));
    // What a crash leaves behind: an empty one with the label.
    assert_eq!(edited(&|secret| secret.metadata.annotations = None), None);
}

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use crd::JsonWebKeySetSpec;
use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use oauth::Issuer;
use serde_json::{Value, json};

use super::*;
use crate::ClientKind;

fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn key_set(name: &str, spec: Value) -> JsonWebKeySet {
    let spec: JsonWebKeySetSpec = serde_json::from_value(spec).unwrap();
    let mut key_set = JsonWebKeySet::new(name, spec);
    key_set.metadata.namespace = Some("keys".into());
    key_set.metadata.uid = Some("uid-1".into());
    key_set
}

fn me(name: &str) -> ResourceRef {
    ResourceRef { cluster: "c".into(), namespace: "keys".into(), name: name.into(), uid: "uid-1".into() }
}

fn settings(allowed: Option<&[&str]>) -> Settings {
    Settings {
        instance: "default".into(),
        cluster: "c".into(),
        clients: ClientKind::Ours,
        key_set_namespaces: allowed.map(|names| names.iter().map(|name| (*name).to_owned()).collect()),
        adoption_namespaces: None,
        finalizer_timeout: crate::settings::FINALIZER_TIMEOUT,
        allow_mass_deletion: false,
        issuer: Issuer::parse("https://id.example.com/").unwrap(),
        subject_types: oauth::SubjectTypes::default(),
    }
}

fn step(key_set: &JsonWebKeySet, allowed: Option<&[&str]>) -> Step {
    plan(key_set, &me(key_set.metadata.name.as_deref().unwrap()), &settings(allowed), now())
}

fn declared(spec: Value) -> Declaration {
    match step(&key_set("invoices", spec), None) {
        Step::Declare(declaration) => *declaration,
        other => panic!("{other:?}"),
    }
}

/// Why a set of this name cannot be.
fn problem(name: &str, spec: Value) -> String {
    match step(&key_set(name, spec), None) {
        Step::Invalid(problem) => problem,
        other => panic!("{other:?}"),
    }
}

fn with_finalizer(mut key_set: JsonWebKeySet) -> JsonWebKeySet {
    key_set.metadata.finalizers = Some(vec!["example.com/other".into(), names::KEY_SET_FINALIZER.into()]);
    key_set
}

fn deleted(mut key_set: JsonWebKeySet) -> JsonWebKeySet {
    key_set.metadata.deletion_timestamp = Some(Time(now()));
    key_set
}

#[test]
fn only_key_sets_of_allowed_namespaces_are_honoured() {
    let token_set = key_set(ID_TOKEN_SET, json!({}));
    for (allowed, honoured) in [
        (None, true),
        (Some(&["keys"][..]), true),
        (Some(&["keywright", "keys"]), true),
        (Some(&["keywright"]), false),
        (Some(&["key", "keys-2"]), false),
        (Some(&[]), false),
    ] {
        let step = step(&token_set, allowed);
        assert_eq!(matches!(step, Step::Declare(_)), honoured, "{allowed:?} {step:?}");
        assert_eq!(matches!(step, Step::NotHonoured), !honoured, "{allowed:?} {step:?}");
    }
}

#[test]
fn a_finalizer_is_there_where_the_set_is_to_be_deleted_and_nowhere_else() {
    let delete = || key_set("invoices", json!({"deletionPolicy": "Delete"}));
    let orphan = || key_set("invoices", json!({}));
    assert!(matches!(step(&delete(), None), Step::AddFinalizer));
    assert!(matches!(step(&with_finalizer(delete()), None), Step::Declare(_)));
    assert!(matches!(step(&with_finalizer(orphan()), None), Step::RemoveFinalizer));
    assert!(matches!(step(&orphan(), None), Step::Declare(_)));
    assert!(matches!(step(&delete(), Some(&[])), Step::NotHonoured), "it will never be deleted");
}

#[test]
fn deletion_takes_the_set_but_not_one_that_the_server_signs_with() {
    let delete = |name| deleted(with_finalizer(key_set(name, json!({"deletionPolicy": "Delete"}))));
    assert!(matches!(step(&delete("invoices"), None), Step::Delete));
    for set in [ID_TOKEN_SET, ACCESS_TOKEN_SET] {
        assert!(matches!(step(&delete(set), None), Step::RefuseDeletion));
        let renamed = json!({"deletionPolicy": "Delete", "set": set});
        let renamed = deleted(with_finalizer(key_set("invoices", renamed)));
        assert!(matches!(step(&renamed, None), Step::RefuseDeletion), "the set's name counts");
        let orphan = deleted(with_finalizer(key_set(set, json!({}))));
        assert!(matches!(step(&orphan, None), Step::RemoveFinalizer), "it stays");
        assert!(matches!(step(&delete(set), Some(&[])), Step::RemoveFinalizer), "it was never made");
    }
    let gone = deleted(key_set("invoices", json!({"deletionPolicy": "Delete"})));
    assert!(matches!(step(&gone, None), Step::Gone));
}

#[test]
fn an_empty_spec_declares_the_default_set() {
    let declaration = declared(json!({}));
    assert_eq!(declaration.set, "invoices");
    assert_eq!(declaration.key_use, jose::KeyUse::Sig);
    assert_eq!(declaration.policy, KeySetPolicy::undeclared(jose::SigningAlgorithm::Rs256));
    assert_eq!(declaration.manager, me("invoices"));
    assert_eq!((declaration.rotate, declaration.rotate_now), (None, None));
    assert!(declaration.revoked.is_empty());
}

#[test]
fn every_field_is_declared() {
    let declaration = declared(json!({
        "set": "mail",
        "use": "enc",
        "algorithms": ["RSA-OAEP-256", "ECDH-ES"],
        "rsaBits": 3072,
        "suspend": true,
        "rotation": {"schedule": "0 3 1 * *", "timeZone": "Europe/Berlin", "publishBefore": "36h", "retainAfter": "2h"},
        "revokedKeyIds": ["a", "b"],
    }));
    assert_eq!(declaration.set, "mail");
    assert_eq!(declaration.key_use, jose::KeyUse::Enc);
    let policy = declaration.policy;
    let algorithms: Vec<_> = policy.algorithms.iter().map(ToString::to_string).collect();
    assert_eq!(algorithms, ["RSA-OAEP-256", "ECDH-ES"]);
    assert_eq!(u32::from(policy.rsa_bits), 3072);
    assert!(policy.suspended);
    assert_eq!((policy.publish_before, policy.retain_after), (36 * 3600, 2 * 3600));
    let cron = StoredRotation::Cron { schedule: "0 3 1 * *".into(), time_zone: Some("Europe/Berlin".into()) };
    assert_eq!(policy.rotation, cron);
    assert_eq!(declaration.revoked, [KeyId::from("a"), KeyId::from("b")]);
}

#[test]
fn a_set_turns_by_the_clock_or_on_request() {
    for (rotation, expected) in [
        (json!({"period": "90m"}), StoredRotation::Period(5400)),
        (json!({"policy": "Manual"}), StoredRotation::Manual),
        (
            json!({"schedule": "0 0 * * *", "publishBefore": "1h"}),
            StoredRotation::Cron { schedule: "0 0 * * *".into(), time_zone: Some("UTC".into()) },
        ),
    ] {
        assert_eq!(declared(json!({"rotation": rotation})).policy.rotation, expected);
    }
    for rotation in [
        json!({}),
        json!({"period": "1h", "schedule": "0 0 * * *"}),
        json!({"policy": "Manual", "period": "1h"}),
    ] {
        let problem = problem("invoices", json!({"rotation": rotation}));
        assert_eq!(problem, "spec.rotation: set exactly one of period and schedule");
    }
}

#[test]
fn standing_requests_are_declared_as_they_stand() {
    let mut key_set = key_set("invoices", json!({}));
    let annotations =
        [(names::ROTATE, "monday"), (names::ROTATE_NOW, "tuesday"), (names::ROTATE_SECRET, "no")];
    key_set.metadata.annotations = Some(annotations.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    let Step::Declare(declaration) = step(&key_set, None) else { panic!() };
    assert_eq!(declaration.rotate.as_deref(), Some("monday"));
    assert_eq!(declaration.rotate_now.as_deref(), Some("tuesday"));
}

#[test]
fn a_schedule_that_cannot_be_names_the_field_and_why() {
    let schedule = |schedule: &str, zone: &str, before: &str| json!({"rotation": {"schedule": schedule, "timeZone": zone, "publishBefore": before}});
    for (spec, words) in [
        (schedule("every monday", "UTC", "1h"), &["\"every monday\"", "cron"][..]),
        (schedule("0 0 30 2 *", "UTC", "1h"), &["\"0 0 30 2 *\"", "never comes"]),
        (schedule("0 0 0 * * *", "UTC", "1h"), &["cron expression of five fields"]),
        (schedule("0 0 * * *", "Europe/Gotham", "1h"), &["timeZone \"Europe/Gotham\""]),
        (
            schedule("0 0,6 * * *", "UTC", "12h"),
            &["2026-03-02T00:00:00+00:00", "2026-03-02T06:00:00+00:00", "publishBefore (12h)"],
        ),
        // 23 hours, on the day on which the clocks go forward.
        (
            schedule("30 12 * * *", "Europe/Berlin", "24h"),
            &["2026-03-28T12:30:00+01:00", "2026-03-29T12:30:00+02:00"],
        ),
    ] {
        let problem = problem("invoices", spec);
        assert!(problem.starts_with("spec.rotation.schedule: "), "{problem}");
        for word in words {
            assert!(problem.contains(word), "{word} in {problem}");
        }
    }
}

#[test]
fn a_schedule_stays_valid_as_time_goes_by() {
    let key_set =
        key_set("invoices", json!({"rotation": {"schedule": "0 3 * * 1", "timeZone": "Europe/Berlin"}}));
    for month in 0..12 {
        let then = now() + SignedDuration::from_hours(24 * 31 * month);
        declaration(&key_set, &me("invoices"), then).unwrap();
    }
}

#[test]
fn token_sets_need_keys_that_sign() {
    let encryption = json!({"use": "enc", "algorithms": ["ECDH-ES"]});
    for set in [ID_TOKEN_SET, ACCESS_TOKEN_SET] {
        let problem = problem(set, encryption.clone());
        assert_eq!(problem, format!("spec.use: the set {set} signs tokens, so it needs use sig"));
        let mut renamed = encryption.clone();
        renamed["set"] = set.into();
        assert!(self::problem("invoices", renamed).starts_with("spec.use: "));
    }
    assert_eq!(declared(encryption).key_use, jose::KeyUse::Enc);
}

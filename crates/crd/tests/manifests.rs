//! Manifests are judged as the API server judges them.
#![expect(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

use std::{fs, path::Path, time::Duration};

use keywright_crd::{GoDuration, ManifestError, OAuth2ClientStatus, Resource, Validator};
use proptest::prelude::*;
use serde_json::{Value, json};

fn manifest(kind: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "keywright.dev/v1alpha1", "kind": kind, "metadata": {"name": "case"}, "spec": spec,
    })
}

fn client(spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec.as_object_mut().unwrap().entry("grantTypes").or_insert(json!(["client_credentials"]));
    manifest("OAuth2Client", &spec)
}

/// The problems, one per line; empty if the manifest is accepted.
fn judge(validator: &Validator, manifest: &Value, old: Option<&Resource>) -> String {
    match validator.parse(manifest, old) {
        Ok(_) => String::new(),
        Err(ManifestError::Invalid { problems, .. }) => {
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
        }
        Err(error @ ManifestError::UnknownKind { .. }) => error.to_string(),
    }
}

/// The table was checked on an API server; one row is a name, a kind, a spec, and a part of the
/// refusal, empty for what is accepted.
#[test]
fn every_case_has_the_verdict_of_the_api_server() {
    let cases: Vec<(String, String, Value, String)> =
        serde_yaml::from_str(include_str!("cases.yaml")).unwrap();
    assert!(cases.len() > 50);
    let validator = Validator::new();
    for (name, kind, spec, fragment) in cases {
        let verdict = judge(&validator, &manifest(&kind, &spec), None);
        assert_eq!(verdict.is_empty(), fragment.is_empty(), "{name}: {verdict}");
        assert!(verdict.contains(&fragment), "{name}: {verdict}");
    }
}

#[test]
fn problems_are_worded_as_by_the_api_server() {
    let validator = Validator::new();
    let unchecked = "\nsome validation rules were not checked because the object was invalid; correct the existing \
                     errors to complete validation";
    let blocking: &[(Value, &str)] = &[
        (json!({"secretRotation": {}}), "spec.secretRotation.period: Required value"),
        (json!({"jwks": {"keys": [{}]}}), "spec.jwks.keys[0].kty: Required value"),
        (
            json!({"jwks": {"keys": [{"kty": "EC", "d": "x"}]}}),
            "spec.jwks.keys[0].d: Too long: may not be more than 0 bytes",
        ),
        (
            json!({"secret": {"labels": {"a/b.c": "b".repeat(64)}}}),
            "spec.secret.labels.a/b.c: Too long: may not be more than 63 bytes",
        ),
        (
            json!({"contacts": (0..65).map(|n| n.to_string()).collect::<Vec<_>>()}),
            "spec.contacts: Too many: 65: must have at most 64 items",
        ),
        (
            json!({"adopt": "yes"}),
            r#"spec.adopt: Invalid value: "string": spec.adopt in body must be of type boolean: "string""#,
        ),
        (
            json!({"scopes": [null]}),
            r#"spec.scopes[0]: Invalid value: "null": spec.scopes[0] in body must be of type string: "null""#,
        ),
        (
            json!({"deletionPolicy": "Keep"}),
            r#"spec.deletionPolicy: Unsupported value: "Keep": supported values: "Delete", "Orphan""#,
        ),
    ];
    for (spec, wanted) in blocking {
        assert_eq!(judge(&validator, &client(spec), None), format!("{wanted}{unchecked}"));
    }
    let others: &[(Value, &str)] = &[
        (
            json!({"grantTypes": []}),
            "spec.grantTypes: Invalid value: 0: spec.grantTypes in body should have at least 1 items",
        ),
        (
            json!({"clientId": ""}),
            r#"spec.clientId: Invalid value: "": spec.clientId in body should be at least 1 chars long"#,
        ),
        (
            json!({"clientId": "a b"}),
            r#"spec.clientId: Invalid value: "a b": spec.clientId in body should match '^[!-~]+$'"#,
        ),
        (json!({"scopes": ["a", "b", "a", "a"]}), r#"spec.scopes[2]: Duplicate value: "a""#),
        (json!({"foo": 1, "adopt": 1}), r#"unknown field "spec.foo""#),
        (json!({"jwks": {"keys": [{"kty": "EC"}], "x5u": ""}}), r#"unknown field "spec.jwks.x5u""#),
        (
            json!({"secret": {"keys": {"clientId": "a", "clientSecret": "a"}}}),
            "spec.secret.keys: Invalid value: the keys must differ",
        ),
    ];
    for (spec, wanted) in others {
        let verdict = judge(&validator, &client(spec), None);
        assert!(verdict.lines().any(|line| line == *wanted), "{wanted}\n{verdict}");
    }
}

#[test]
fn what_is_around_the_spec_is_checked_too() {
    let good = client(&json!({}));
    let with = |pointer: &str, value: Value| {
        let mut manifest = good.clone();
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        manifest.pointer_mut(parent).unwrap()[field] = value;
        manifest
    };
    let cases = [
        (with("/zzz", json!(1)), r#"unknown field "zzz""#),
        (with("/metadata/lables", json!({})), r#"unknown field "metadata.lables""#),
        (with("/metadata", json!({})), "metadata.name: Required value"),
        (with("/metadata/name", json!("Bad_Name")), r#"metadata.name: Invalid value: "Bad_Name""#),
        (with("/metadata/name", json!("a".repeat(201))), "metadata.name must be at most 200 characters"),
        (with("/metadata/labels", json!({"a": 5})), "metadata: Invalid value: invalid type: integer"),
        (with("/spec", Value::Null), "spec: Required value"),
        (with("/kind", json!("Secret")), r#"no matches for kind "Secret""#),
        (with("/apiVersion", json!("keywright.dev/v9")), r#"in version "keywright.dev/v9""#),
        (json!([good.clone()]), r#"no matches for kind """#),
    ];
    let validator = Validator::new();
    for (manifest, wanted) in cases {
        let verdict = judge(&validator, &manifest, None);
        assert!(verdict.contains(wanted), "{wanted}: {verdict}");
    }
}

#[test]
fn null_is_the_same_as_absent() {
    let validator = Validator::new();
    let bare = client(&json!({}));
    let nulls =
        client(&json!({"suspend": null, "clientName": null, "scopes": null, "secret": {"keys": null}}));
    assert_eq!(validator.parse(&nulls, None), validator.parse(&bare, None));
}

proptest! {
    /// The rules read durations with another parser than the types do.
    #[test]
    fn rules_and_types_read_durations_alike(period in "([0-9]{1,5}(h|m|s)){1,4}", overlap in "[0-9]{1,5}(h|m|s)") {
        let rotation = client(&json!({"secretRotation": {"period": period, "overlap": overlap}}));
        let [period, overlap] = [period, overlap].map(|text| text.parse::<GoDuration>().unwrap().get());
        let verdict = VALIDATOR.with(|validator| judge(validator, &rotation, None));
        prop_assert_eq!(verdict.contains("period must be at least 1m"), period < Duration::from_mins(1));
        prop_assert_eq!(verdict.contains("overlap must be shorter than period"), overlap >= period);
    }
}

thread_local! {
    static VALIDATOR: Validator = Validator::new();
}

#[test]
fn a_duration_that_no_clock_can_hold_is_cut() {
    let validator = Validator::new();
    let endless = format!("{}h", "9".repeat(31));
    let manifest = client(&json!({
        "secretRotation": {"period": endless, "overlap": "1h"},
        "lifespans": {"clientCredentials": {"accessToken": endless}},
    }));
    let Ok(Resource::OAuth2Client(client)) = validator.parse(&manifest, None) else { panic!("refused") };
    let period = client.spec.secret_rotation.unwrap().period;
    assert_eq!((period.as_str(), period.get()), (endless.as_str(), Duration::from_millis(u64::MAX)));
}

#[test]
fn what_is_fixed_cannot_change() {
    let validator = Validator::new();
    let accepted = |manifest: &Value| validator.parse(manifest, None).unwrap();
    let mut named = accepted(&client(&json!({"clientId": "c1"})));
    let Resource::OAuth2Client(resource) = &mut named else { unreachable!() };
    resource.status = Some(OAuth2ClientStatus { client_id: Some("c1".to_owned()), ..Default::default() });
    let mut unnamed = accepted(&client(&json!({})));
    let Resource::OAuth2Client(resource) = &mut unnamed else { unreachable!() };
    resource.status = Some(OAuth2ClientStatus { client_id: Some("c1".to_owned()), ..Default::default() });
    let set = |spec: Value| manifest("JsonWebKeySet", &spec);
    let mut keys = accepted(&set(json!({})));
    let Resource::JsonWebKeySet(resource) = &mut keys else { unreachable!() };
    resource.status = Some(serde_json::from_value(json!({"set": "t"})).unwrap());

    let cases = [
        (&named, client(&json!({"clientId": "c1"})), ""),
        (&named, client(&json!({"clientId": "c1", "status": {}})), "unknown field"),
        (
            &named,
            client(&json!({"clientId": "c1", "instance": "b"})),
            "spec.instance: Invalid value: instance is immutable",
        ),
        (&named, client(&json!({})), "spec: Invalid value: clientId cannot be removed"),
        (&named, client(&json!({"clientId": "c2"})), "spec.clientId: Forbidden: clientId cannot change once"),
        (
            &unnamed,
            client(&json!({"clientId": "c2"})),
            "spec.clientId: Forbidden: clientId cannot change once",
        ),
        (&unnamed, client(&json!({"clientId": "c1"})), ""),
        (
            &keys,
            set(json!({"use": "enc", "algorithms": ["ECDH-ES"]})),
            "spec.use: Invalid value: use is immutable",
        ),
        (&keys, set(json!({"set": "u"})), "spec.set: Forbidden: set cannot change once keys exist"),
        (&keys, set(json!({"set": "t"})), ""),
        // A resource of another kind is no predecessor.
        (&keys, client(&json!({"instance": "b"})), ""),
    ];
    for (old, new, wanted) in cases {
        let verdict = judge(&validator, &new, Some(old));
        assert_eq!(verdict.is_empty(), wanted.is_empty(), "{wanted}: {verdict}");
        assert!(verdict.contains(wanted), "{wanted}: {verdict}");
    }
}

#[test]
fn a_manifest_cannot_set_the_status() {
    let validator = Validator::new();
    let mut forged = client(&json!({}));
    forged["status"] = json!({"clientId": "forged"});
    let Resource::OAuth2Client(resource) = validator.parse(&forged, None).unwrap() else { unreachable!() };
    assert_eq!(resource.status, None);
}

#[test]
fn a_validator_is_shared_among_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Validator>();
}

#[test]
fn every_sample_is_accepted() {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/samples"));
    let validator = Validator::new();
    let mut resources = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        for document in serde_yaml::Deserializer::from_str(&fs::read_to_string(&file).unwrap()) {
            let document: Value = serde::Deserialize::deserialize(document).unwrap();
            if document["kind"] == "Secret" || document["kind"] == "Kustomization" {
                continue;
            }
            if let Err(error) = validator.parse(&document, None) {
                panic!("{}: {error}", file.display());
            }
            resources += 1;
        }
    }
    assert!(resources > 4);
}

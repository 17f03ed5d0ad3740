//! The defaults of the types are those of the schema.
#![expect(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

use keywright_crd::{
    GoDuration, JsonWebKeySet, JsonWebKeySetSpec, OAuth2Client, OAuth2ClientSpec, Rotation, RsaBits, Turn,
    crds,
};
use kube::core::cel::apply_defaults;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// What an API server makes of a spec.
fn by_schema(plural: &str, spec: &Value) -> Value {
    let crd = crds().into_iter().find(|crd| crd.spec.names.plural == plural).unwrap();
    let schema = json!(crd.spec.versions[0].schema)["openAPIV3Schema"]["properties"]["spec"].clone();
    apply_defaults(&schema, spec)
}

/// What the types make of a spec.
fn by_types<T: DeserializeOwned + Serialize>(spec: &Value) -> Value {
    json!(serde_json::from_value::<T>(spec.clone()).unwrap())
}

#[test]
fn types_and_schema_have_the_same_defaults() {
    let clients = [
        json!({}),
        json!({"secret": {}}),
        json!({"secret": {"keys": {}, "name": "s"}}),
        json!({"secret": {"source": "Reference", "keys": {"issuer": "ISSUER"}}}),
        json!({"secretRotation": {"period": "720h"}}),
        json!({"lifespans": {"implicit": {}}}),
    ];
    for spec in clients {
        assert_eq!(by_types::<OAuth2ClientSpec>(&spec), by_schema("oauth2clients", &spec), "{spec}");
    }
    let key_sets = [
        json!({}),
        json!({"rotation": {}}),
        json!({"rotation": {"policy": "Manual"}}),
        json!({"export": {"secretName": "s"}}),
    ];
    for spec in key_sets {
        assert_eq!(by_types::<JsonWebKeySetSpec>(&spec), by_schema("jsonwebkeysets", &spec), "{spec}");
    }
}

#[test]
fn rsa_keys_have_4096_bits_unless_the_spec_says_otherwise() {
    let bits = |spec: Value| serde_json::from_value::<JsonWebKeySetSpec>(spec).unwrap().rsa_bits();
    assert_eq!(bits(json!({})), RsaBits::B4096);
    assert_eq!(bits(json!({"rsaBits": 2048})), RsaBits::B2048);
}

#[test]
fn names_that_a_spec_leaves_out_come_from_the_name_of_the_resource() {
    let resource = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "keywright.dev/v1alpha1", "kind": kind, "spec": spec,
            "metadata": {"name": "a", "annotations": {"keywright.dev/rotate-secret": "1", "keywright.dev/rotate": "2"}},
        })
    };
    let client = |spec| serde_json::from_value::<OAuth2Client>(resource("OAuth2Client", spec)).unwrap();
    for (spec, name, others) in [
        (json!({}), "a-oauth2-client", ["a", "b-oauth2-client", "-oauth2-client"]),
        (json!({"secret": {"name": "s"}}), "s", ["a-oauth2-client", "s-oauth2-client", ""]),
    ] {
        let client = client(spec);
        assert_eq!(client.secret_name(), name);
        assert!(client.names_secret(name));
        assert!(!others.iter().any(|other| client.names_secret(other)), "{name}");
    }
    assert_eq!(client(json!({})).rotation_request(), Some("1"));
    let set = |spec| serde_json::from_value::<JsonWebKeySet>(resource("JsonWebKeySet", spec)).unwrap();
    assert_eq!(set(json!({})).set_name(), "a");
    assert_eq!(set(json!({"set": "b"})).set_name(), "b");
    assert_eq!((set(json!({})).rotate_request(), set(json!({})).rotate_now_request()), (Some("2"), None));
}

#[test]
fn a_rotation_names_one_thing_that_turns_the_keys() {
    let turn = |rotation: Value| {
        let rotation = serde_json::from_value::<Rotation>(rotation).unwrap();
        rotation.turn().map(|turn| format!("{turn:?}"))
    };
    let period = "720h".parse::<GoDuration>().unwrap();
    assert_eq!(turn(json!({"period": "720h"})), Some(format!("{:?}", Turn::Period(&period))));
    let schedule = Turn::Schedule { expression: "0 3 1 * *", time_zone: "UTC" };
    assert_eq!(turn(json!({"schedule": "0 3 1 * *"})), Some(format!("{schedule:?}")));
    assert_eq!(turn(json!({"policy": "Manual"})), Some("Manual".to_owned()));
    assert_eq!(turn(json!({})), None);
}

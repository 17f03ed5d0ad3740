//! Manifests: any is judged without a panic, and one that is accepted stays accepted as it was stored.
#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use crd::{Resource, Validator};
use libfuzzer_sys::fuzz_target;
use oauth::go_duration::GoDuration;
use serde::Deserialize;
use serde_json::{Value, json};

static VALIDATOR: LazyLock<Validator> = LazyLock::new(Validator::new);

/// Manifests to begin with: the samples, and the cases of the definitions' own tests.
static MANIFESTS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let samples = [
        include_str!("../../config/samples/access-token-keys.yaml"),
        include_str!("../../config/samples/client-credentials.yaml"),
        include_str!("../../config/samples/id-token-keys.yaml"),
        include_str!("../../config/samples/public-client.yaml"),
        include_str!("../../config/samples/web-app.yaml"),
    ];
    let sample = |text| serde_yaml::from_str(text).expect("a sample");
    let cases: Vec<(String, String, Value, String)> =
        serde_yaml::from_str(include_str!("../../crates/crd/tests/cases.yaml")).expect("a table");
    let case = |(_, kind, spec, _)| json!({"apiVersion": "keywright.dev/v1alpha1", "kind": kind, "metadata": {"name": "case"}, "spec": spec});
    samples.into_iter().map(sample).chain(cases.into_iter().map(case)).collect()
});

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    manifest: u8,
    /// What was there before.
    before: Option<u8>,
    changes: Vec<Change<'a>>,
    text: &'a str,
}

/// A change of the manifest: a field, and what it is set to.
#[derive(Arbitrary, Debug)]
struct Change<'a> {
    field: u16,
    to: To<'a>,
}

#[derive(Arbitrary, Debug)]
enum To<'a> {
    Text(&'a str),
    Number(i64),
    Flag(bool),
    Null,
    Gone,
    /// Anything, as YAML.
    Parsed(&'a str),
    /// A list of texts.
    List(Vec<&'a str>),
    /// The same field of another manifest.
    FieldOf(u8),
}

/// The paths of all fields of all manifests.
static FIELDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let mut fields = Vec::new();
    MANIFESTS.iter().for_each(|manifest| paths(manifest, "", &mut fields));
    fields.sort();
    fields.dedup();
    fields
});

fn paths(value: &Value, path: &str, fields: &mut Vec<String>) {
    fields.push(path.to_owned());
    match value {
        Value::Object(object) => {
            object.iter().for_each(|(name, value)| paths(value, &format!("{path}/{name}"), fields));
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(i, value)| paths(value, &format!("{path}/{i}"), fields));
        }
        _ => {}
    }
}

fn manifest(index: u8) -> &'static Value {
    &MANIFESTS[usize::from(index) % MANIFESTS.len()]
}

fn change(value: &mut Value, Change { field, to }: &Change<'_>) {
    let path = &FIELDS[usize::from(*field) % FIELDS.len()];
    let Some((parent, name)) = path.rsplit_once('/') else { return };
    let to = match to {
        To::Text(text) => json!(text),
        To::Number(number) => json!(number),
        To::Flag(flag) => json!(flag),
        To::Null => Value::Null,
        To::Gone => {
            if let Some(parent) = value.pointer_mut(parent).and_then(Value::as_object_mut) {
                parent.remove(name);
            }
            return;
        }
        To::Parsed(text) => serde_yaml::from_str(text).unwrap_or_default(),
        To::List(texts) => json!(texts),
        To::FieldOf(other) => manifest(*other).pointer(path).cloned().unwrap_or_default(),
    };
    match value.pointer_mut(parent) {
        Some(Value::Object(object)) => drop(object.insert(name.to_owned(), to)),
        Some(Value::Array(list)) => list.push(to),
        _ => {}
    }
}

fn judge(manifest: &Value, old: Option<&Resource>) {
    let resource = match VALIDATOR.parse(manifest, old) {
        Ok(resource) => resource,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let stored = json!(resource);
    let again = VALIDATOR.parse(&stored, Some(&resource));
    assert_eq!(again.as_ref().map(|again| json!(again)), Ok(stored), "from {manifest}");
}

fn duration(text: &str) {
    let Ok(coarse) = text.parse::<crd::GoDuration>() else { return };
    assert_eq!(coarse.as_str(), text);
    // Where both read it, they read the same, down to what a 64-bit number of milliseconds can hold.
    if let Ok(fine) = text.parse::<GoDuration>()
        && fine.0.as_millis() < u64::MAX.into()
    {
        assert_eq!(fine.0, coarse.get(), "{text}");
    }
}

fuzz_target!(|input: Input<'_>| {
    duration(input.text);
    for document in serde_yaml::Deserializer::from_str(input.text).take(8) {
        let Ok(document) = Value::deserialize(document) else { break };
        judge(&document, None);
    }
    let mut changed = manifest(input.manifest).clone();
    for next in &input.changes {
        change(&mut changed, next);
    }
    let old = input.before.and_then(|before| VALIDATOR.parse(manifest(before), None).ok());
    judge(&changed, old.as_ref());
});

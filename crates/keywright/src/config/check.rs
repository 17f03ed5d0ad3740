//! The merged layers, checked against the schema.

use std::collections::BTreeSet;

use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use super::layer::{Layers, pointer};
use super::notice::Notice;
use super::schema::{Node, Schema, Service};
use super::suggestion::suggest;

/// Longest value that a message repeats, in characters.
const LONGEST: usize = 60;

/// The outcome of a check.
#[derive(Debug)]
pub(super) struct Checked {
    /// What the layers set, without the values that are wrong.
    pub values: Value,
    pub problems: Vec<Notice>,
    pub warnings: Vec<Notice>,
}

/// Checks the keys and their values.
pub(super) fn check(schema: &Schema, layers: &Layers) -> Checked {
    let mut values = layers.merged();
    let (problems, wrong) = violations(schema, layers, &values);
    let warnings = not_served(schema, layers, &values);
    for path in wrong {
        remove(&mut values, &path);
    }
    Checked { values, problems, warnings }
}

/// The problems, and the paths of the values that must not be used.
fn violations(schema: &Schema, layers: &Layers, values: &Value) -> (Vec<Notice>, BTreeSet<Vec<String>>) {
    let mut problems = Vec::new();
    let mut wrong = BTreeSet::new();
    for violation in validator(schema).iter_errors(values) {
        let at = violation.instance_path().as_str();
        let path = parts(at);
        match violation.kind() {
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                for name in unexpected {
                    let inside = format!("{at}/{}", escape(name));
                    let message = format!("unknown key; {}", suggest(schema, &path, name));
                    let key = dotted(&path, Some(name));
                    problems.push(Notice { origin: layers.origin(&inside), key, message });
                }
            }
            ValidationErrorKind::Required { property } => {
                let inside = [path.clone(), vec![property.as_str().unwrap_or_default().to_owned()]].concat();
                let expected =
                    schema.along(&inside).last().map_or_else(String::new, |node| node.expectation());
                let message = format!("missing; must be {expected}");
                problems.push(Notice { origin: layers.origin(at), key: dotted(&inside, None), message });
                wrong.insert(path);
            }
            _ if wrong.contains(&path) => {}
            _ => {
                let message = describe(schema, &path, violation.instance());
                problems.push(Notice { origin: layers.origin(at), key: dotted(&path, None), message });
                wrong.insert(path);
            }
        }
    }
    (problems, wrong)
}

#[expect(clippy::expect_used, reason = "the schema is part of the program, and every test builds it")]
fn validator(schema: &Schema) -> jsonschema::Validator {
    jsonschema::options()
        .should_validate_formats(true)
        .build(schema.document())
        .expect("schema.json is a JSON schema")
}

/// What is wrong with a value at a path.
fn describe(schema: &Schema, path: &[String], value: &Value) -> String {
    let nodes = schema.along(path);
    let node = nodes.last().copied().unwrap_or_else(|| schema.root());
    wrong_value(&nodes, value, &node.expectation())
}

/// `found …, must be …`. The value of a secret is not repeated. `nodes` are the schemas on the way to the value.
pub(super) fn wrong_value(nodes: &[Node<'_>], value: &Value, expected: &str) -> String {
    let secret =
        nodes.iter().any(|node| node.is_secret()) || nodes.last().is_some_and(|node| node.holds_secret());
    let found = match value {
        Value::Null => "nothing (null)".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        // A URL may hold a password.
        Value::String(text) if secret || text.contains('@') => "a string (not shown)".to_owned(),
        Value::Number(_) if secret => "a number (not shown)".to_owned(),
        Value::String(text) if text.chars().count() > LONGEST => {
            format!("{:?}…", text.chars().take(LONGEST).collect::<String>())
        }
        value => value.to_string(),
    };
    format!("found {found}, must be {expected}")
}

/// A warning for each key that is set and that has no effect. Where a key acts, its parts do.
fn not_served(schema: &Schema, layers: &Layers, values: &Value) -> Vec<Notice> {
    let mut warnings: Vec<Notice> = Vec::new();
    let mut acts = None;
    for leaf in schema.leaves() {
        let is_part = |whole: &String| leaf.name.starts_with(&format!("{whole}."));
        if acts.as_ref().is_some_and(is_part) {
            continue;
        }
        if leaf.node.service() == Service::Served {
            acts = Some(leaf.name);
            continue;
        }
        let at = pointer(&leaf.name);
        let covered = warnings.last().is_some_and(|last| leaf.name.starts_with(&format!("{}.", last.key)));
        if values.pointer(&at).is_none() || covered {
            continue;
        }
        if let Some(message) = idle(leaf.node) {
            warnings.push(Notice { origin: layers.origin(&at), key: leaf.name, message });
        }
    }
    warnings
}

/// Why a key has no effect; `None` where it has one, or there is nothing it could act on.
pub(super) fn idle(node: Node<'_>) -> Option<String> {
    match node.service() {
        Service::Served | Service::Harmless => None,
        Service::Unneeded => {
            let why = node.text("description").unwrap_or_default().trim_end_matches('.');
            Some(format!("accepted, and has no effect: {}", lower_first(why)))
        }
        Service::NotYet => Some("accepted, but not served yet: it has no effect".to_owned()),
    }
}

fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().into_iter().flat_map(char::to_lowercase);
    first.chain(characters).collect()
}

/// Removes the value at a path; an item takes its list with it.
fn remove(values: &mut Value, path: &[String]) {
    let Some((last, parents)) = path.split_last() else { return };
    let parent = parents.iter().try_fold(&mut *values, |value, part| value.get_mut(part));
    match parent {
        Some(Value::Object(object)) => {
            object.remove(last);
        }
        Some(Value::Array(_)) => remove(values, parents),
        _ => {}
    }
}

/// The parts of a JSON pointer (RFC 6901).
fn parts(pointer: &str) -> Vec<String> {
    pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect()
}

fn escape(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1")
}

fn dotted(path: &[String], name: Option<&str>) -> String {
    path.iter().map(String::as_str).chain(name).collect::<Vec<_>>().join(".")
}

//! `schema.json` as a tree to walk along.

use serde_json::{Map, Value};

const SOURCE: &str = include_str!("schema.json");

/// The description of all keys.
#[derive(Debug)]
pub(super) struct Schema(Value);

/// The schema of one value. A keyword beside a `$ref` wins over the same keyword behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node<'s> {
    root: &'s Value,
    own: &'s Value,
    target: Option<&'s Value>,
}

/// A key.
#[derive(Debug)]
pub(super) struct Key<'s> {
    /// Its parts, joined by dots.
    pub name: String,
    /// Its schema.
    pub node: Node<'s>,
}

impl Key<'_> {
    /// The name of the environment variable that sets it.
    pub fn variable(&self) -> String {
        self.name.replace('.', "_").to_ascii_uppercase()
    }
}

/// Whether a key does anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// It acts.
    Served,
    /// There is nothing it could act on.
    Harmless,
    /// This server does without what it sets, for the reason that its description gives.
    Unneeded,
    /// It should act, but does not yet.
    NotYet,
}

impl Schema {
    #[expect(clippy::expect_used, reason = "the schema is part of the program, and every test reads it")]
    pub fn new() -> Self {
        Self(serde_json::from_str(SOURCE).expect("schema.json is JSON"))
    }

    /// The schema as a document.
    pub fn document(&self) -> &Value {
        &self.0
    }

    /// The schema of the whole configuration.
    pub fn root(&self) -> Node<'_> {
        Node::new(&self.0, &self.0)
    }

    /// The schemas on the way to `path`, from the root on; ends early where no schema describes a part.
    pub fn along(&self, path: &[String]) -> Vec<Node<'_>> {
        let mut nodes = vec![self.root()];
        for part in path {
            match nodes.last().and_then(|node| node.child(part)) {
                Some(node) => nodes.push(node),
                None => break,
            }
        }
        nodes
    }

    /// All keys that hold a value, in alphabetical order; one that may be an object or a plain value comes before its
    /// parts.
    pub fn leaves(&self) -> Vec<Key<'_>> {
        let is_leaf = |node: Node<'_>| node.properties().is_none() || node.types().contains(&"string");
        self.keys().into_iter().filter(|key| is_leaf(key.node)).collect()
    }

    /// All keys, in alphabetical order, whatever order serde_json keeps.
    pub fn keys(&self) -> Vec<Key<'_>> {
        let mut keys = Vec::new();
        collect("", self.root(), &mut keys);
        keys.sort_by(|a, b| a.name.cmp(&b.name));
        keys
    }

    /// The default of `key`.
    pub fn default(&self, key: &str) -> Option<&Value> {
        let path: Vec<String> = key.split('.').map(str::to_owned).collect();
        let nodes = self.along(&path);
        if nodes.len() <= path.len() {
            return None;
        }
        nodes.last().and_then(|node| node.get("default"))
    }
}

fn collect<'s>(parent: &str, node: Node<'s>, keys: &mut Vec<Key<'s>>) {
    for name in node.names() {
        if let Some(node) = node.child(name) {
            let name = if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") };
            collect(&name, node, keys);
            keys.push(Key { name, node });
        }
    }
}

impl<'s> Node<'s> {
    fn new(root: &'s Value, own: &'s Value) -> Self {
        let reference = own.get("$ref").and_then(Value::as_str);
        let target = reference.and_then(|reference| root.pointer(reference.trim_start_matches('#')));
        Self { root, own, target }
    }

    /// The value of a keyword.
    pub fn get(self, keyword: &str) -> Option<&'s Value> {
        self.own.get(keyword).or_else(|| self.target?.get(keyword))
    }

    /// The value of a keyword that holds text.
    pub fn text(self, keyword: &str) -> Option<&'s str> {
        self.get(keyword)?.as_str()
    }

    fn properties(self) -> Option<&'s Map<String, Value>> {
        self.get("properties")?.as_object()
    }

    /// The names of an object's keys, in alphabetical order.
    pub fn names(self) -> Vec<&'s str> {
        let mut names: Vec<&str> =
            self.properties().into_iter().flat_map(Map::keys).map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// The schema of a key of an object, or of an item of a list.
    pub fn child(self, part: &str) -> Option<Self> {
        let property = self.properties().and_then(|properties| properties.get(part));
        let other = || self.get("additionalProperties").filter(|schema| schema.is_object());
        let item = || self.get("items").filter(|_| part.parse::<usize>().is_ok());
        property.or_else(other).or_else(item).map(|own| Self::new(self.root, own))
    }

    /// The JSON types that the value may have; those of an enumeration's values where only that is given.
    pub fn types(self) -> Vec<&'s str> {
        match self.get("type") {
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).collect(),
            _ if self.get("enum").is_some() => vec!["string"],
            _ => Vec::new(),
        }
    }

    /// Whether the value itself, or any value inside it, is a secret.
    pub fn holds_secret(self) -> bool {
        self.is_secret()
            || self.names().into_iter().filter_map(|name| self.child(name)).any(Self::holds_secret)
    }

    /// Whether the value as a whole is a secret.
    pub fn is_secret(self) -> bool {
        self.get("x-secret") == Some(&Value::Bool(true))
    }

    /// Whether the key does anything.
    pub fn service(self) -> Service {
        match self.text("x-keywright") {
            Some("served") => Service::Served,
            Some("harmless") => Service::Harmless,
            Some("unneeded") => Service::Unneeded,
            _ => Service::NotYet,
        }
    }

    /// What would be right here, in words.
    pub fn expectation(self) -> String {
        if let Some(words) = self.text("x-expects") {
            return words.to_owned();
        }
        if let Some(choices) = self.get("enum").and_then(Value::as_array) {
            let choices = choices.iter().filter_map(Value::as_str).filter(|choice| !choice.is_empty());
            return format!("one of {}", choices.collect::<Vec<_>>().join(", "));
        }
        let limit = |keyword| self.get(keyword).and_then(Value::as_i64);
        match self.types().first() {
            Some(&"boolean") => "true or false".to_owned(),
            Some(&"integer") => range("a whole number", limit("minimum"), limit("maximum")),
            Some(&"number") => range("a number", limit("minimum"), limit("maximum")),
            Some(&"string") => match limit("minLength") {
                None => "a string".to_owned(),
                Some(1) => "a string that is not empty".to_owned(),
                Some(least) => format!("a string of at least {least} characters"),
            },
            Some(&"array") => {
                let some =
                    if limit("minItems").is_some() { "a list with at least one item" } else { "a list" };
                let item = self.child("0").map_or_else(String::new, Self::expectation);
                format!("{some}, each item {item}")
            }
            _ => "an object".to_owned(),
        }
    }
}

fn range(what: &str, minimum: Option<i64>, maximum: Option<i64>) -> String {
    match (minimum, maximum) {
        (Some(minimum), Some(maximum)) => format!("{what} from {minimum} to {maximum}"),
        (Some(minimum), None) => format!("{what} of at least {minimum}"),
        (None, Some(maximum)) => format!("{what} of at most {maximum}"),
        (None, None) => what.to_owned(),
    }
}

//! The layers of a configuration, one for each source.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use super::notice::{Notice, Origin};

/// What one source sets.
#[derive(Debug)]
pub(super) struct Layer {
    origin: Origin,
    /// The variables that the values come from, by JSON pointer; empty for other sources.
    variables: BTreeMap<String, String>,
    value: Value,
}

/// All layers, the weakest first.
#[derive(Debug, Default)]
pub(super) struct Layers(Vec<Layer>);

impl Layer {
    /// A layer whose values all have one origin.
    pub fn new(origin: Origin, value: Value) -> Self {
        Self { origin, variables: BTreeMap::new(), value }
    }

    /// The layer of the environment; `variables` names the variable for each JSON pointer that is set.
    pub fn of_environment(variables: BTreeMap<String, String>, value: Value) -> Self {
        Self { origin: Origin::Variable("environment".to_owned()), variables, value }
    }

    /// Reads a file in the format that its name's ending says.
    pub fn from_file(path: &Path) -> Result<Self, Notice> {
        let origin = Origin::File(path.to_owned());
        let problem = |message: String| Notice { origin: Some(origin.clone()), key: String::new(), message };
        let text = fs::read_to_string(path).map_err(|e| problem(format!("cannot be read: {e}")))?;
        let value = match path.extension().and_then(|ending| ending.to_str()) {
            Some("yaml" | "yml") => yaml(&text),
            Some("json") => serde_json::from_str(&text).map_err(|e| e.to_string()),
            Some("toml") => toml(&text),
            _ => return Err(problem("the file's name must end in .yaml, .yml, .json or .toml".to_owned())),
        };
        match value.map_err(|e| problem(format!("cannot be parsed: {e}")))? {
            // A file in which everything is commented out.
            Value::Null => Ok(Self::new(origin, Value::Object(Map::new()))),
            value @ Value::Object(_) => Ok(Self::new(origin, value)),
            _ => Err(problem("the file must hold an object, keys and their values".to_owned())),
        }
    }

    fn origin_of(&self, pointer: &str) -> Origin {
        let mut part = pointer;
        loop {
            if let Some(name) = self.variables.get(part) {
                return Origin::Variable(name.clone());
            }
            match part.rsplit_once('/') {
                Some((parent, _)) => part = parent,
                None => return self.origin.clone(),
            }
        }
    }
}

fn yaml(text: &str) -> Result<Value, String> {
    // By way of YAML's own value, which knows merge keys and refuses a key that is given twice.
    let mut value: serde_yaml::Value = serde_yaml::from_str(text).map_err(|e| e.to_string())?;
    value.apply_merge().map_err(|e| e.to_string())?;
    serde_json::to_value(value).map_err(|e| e.to_string())
}

fn toml(text: &str) -> Result<Value, String> {
    toml::from_str(text).map_err(|e| {
        // The error's full text would repeat the line, and with it perhaps a secret.
        let start = e.span().map_or(0, |span| span.start);
        let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count() + 1;
        format!("{} at line {line}", e.message())
    })
}

impl Layers {
    pub fn push(&mut self, layer: Layer) {
        self.0.push(layer);
    }

    /// All layers in one: objects merge, anything else replaces.
    pub fn merged(&self) -> Value {
        let mut merged = Value::Object(Map::new());
        for layer in &self.0 {
            merge(&mut merged, layer.value.clone());
        }
        merged
    }

    /// Where the value at a JSON pointer comes from.
    pub fn origin(&self, pointer: &str) -> Option<Origin> {
        let layer = self.0.iter().rev().find(|layer| layer.value.pointer(pointer).is_some())?;
        Some(layer.origin_of(pointer))
    }
}

/// Lays `over` on top of `base`.
pub(super) fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

/// The JSON pointer of a key.
pub(super) fn pointer(key: &str) -> String {
    format!("/{}", key.replace('.', "/"))
}

//! The environment as a layer of the configuration.
//!
//! A key's variable is its path in capitals, joined by `_`: `serve.public.port` is `SERVE_PUBLIC_PORT`. As the names
//! come from the schema, a `_` inside a key is not ambiguous. A secret may also come from the file that the variable
//! with `_FILE` at its end names. An empty variable counts as not set.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::layer::{Layer, pointer};
use super::list;
use super::notice::{Notice, Origin};
use super::schema::{Key, Node, Schema};
use super::system_secret;

/// The key whose file may be absent at the first start.
const SYSTEM_SECRET: &str = "secrets.system";

/// What the environment sets.
#[derive(Debug)]
pub(super) struct Environment {
    pub layer: Layer,
    pub problems: Vec<Notice>,
    pub warnings: Vec<Notice>,
    /// The file that `SECRETS_SYSTEM_FILE` names, where there is none yet.
    pub absent_system_secret: Option<PathBuf>,
}

/// Reads the variables that the schema knows, and the files that they name.
pub(super) fn read(schema: &Schema, variables: HashMap<String, String>) -> Environment {
    let mut reader = Reader {
        variables: variables.into_iter().filter(|(_, text)| !text.trim().is_empty()).collect(),
        value: Map::new(),
        sources: BTreeMap::new(),
        problems: Vec::new(),
        warnings: Vec::new(),
        absent_system_secret: None,
    };
    for leaf in schema.leaves() {
        reader.leaf(&leaf);
    }
    Environment {
        layer: Layer::of_environment(reader.sources, Value::Object(reader.value)),
        problems: reader.problems,
        warnings: reader.warnings,
        absent_system_secret: reader.absent_system_secret,
    }
}

struct Reader {
    variables: HashMap<String, String>,
    value: Map<String, Value>,
    /// The variable of each JSON pointer that is set.
    sources: BTreeMap<String, String>,
    problems: Vec<Notice>,
    warnings: Vec<Notice>,
    absent_system_secret: Option<PathBuf>,
}

/// The text of a variable, or of the file that it names.
struct Given {
    variable: String,
    text: String,
}

impl Reader {
    fn leaf(&mut self, leaf: &Key<'_>) {
        let name = leaf.variable();
        let whole = self.given(leaf, &name);
        let items = if leaf.node.types().contains(&"array") { self.items(leaf, &name) } else { Vec::new() };
        match (whole, items.first()) {
            (None, None) => {}
            (Some(whole), None) => {
                self.sources.insert(pointer(&leaf.name), whole.variable);
                set(&mut self.value, &leaf.name, parse(leaf.node, &whole.text));
            }
            (None, Some(_)) => {
                for (index, item) in items.iter().enumerate() {
                    self.sources.insert(format!("{}/{index}", pointer(&leaf.name)), item.variable.clone());
                }
                let list = items.into_iter().map(|item| Value::String(item.text)).collect();
                set(&mut self.value, &leaf.name, Value::Array(list));
            }
            (Some(whole), Some(item)) => {
                self.conflict(&leaf.name, &whole.variable, &item.variable);
            }
        }
    }

    /// The items of a list that are given one by one: `SECRETS_SYSTEM_0`, `SECRETS_SYSTEM_1`, …
    fn items(&mut self, leaf: &Key<'_>, name: &str) -> Vec<Given> {
        let mut items = Vec::new();
        while let Some(item) = self.given(leaf, &format!("{name}_{}", items.len())) {
            items.push(item);
        }
        let missing = format!("{name}_{}", items.len());
        let later = self.variables.keys().filter_map(|variable| {
            let index = variable.strip_prefix(name)?.strip_prefix('_')?;
            index.parse::<usize>().ok().filter(|index| *index > items.len()).map(|_| variable.clone())
        });
        if let Some(later) = later.min() {
            self.problem(
                later,
                &leaf.name,
                format!("items are numbered from 0 without gaps, but {missing} is not set"),
            );
        }
        items
    }

    fn given(&mut self, leaf: &Key<'_>, name: &str) -> Option<Given> {
        let text = self.variables.get(name).cloned();
        let file_variable = format!("{name}_FILE");
        let file = self.variables.get(&file_variable).filter(|_| leaf.node.is_secret()).map(PathBuf::from);
        match (text, file) {
            (Some(text), None) => Some(Given { variable: name.to_owned(), text }),
            (None, Some(path)) => {
                let text = self.secret_file(leaf, &file_variable, &path)?;
                Some(Given { variable: file_variable, text })
            }
            (Some(_), Some(_)) => {
                self.conflict(&leaf.name, name, &file_variable);
                None
            }
            (None, None) => None,
        }
    }

    fn secret_file(&mut self, leaf: &Key<'_>, variable: &str, path: &Path) -> Option<String> {
        let problem = match system_secret::read_file(path) {
            Ok(text) if text.trim().is_empty() => format!("{} is empty", path.display()),
            Ok(text) => {
                if leaf.name == SYSTEM_SECRET {
                    self.warnings.extend(system_secret::permission_warning(path, variable));
                }
                return Some(text.to_string());
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound && leaf.name == SYSTEM_SECRET => {
                self.absent_system_secret = Some(path.to_owned());
                return None;
            }
            Err(e) => format!("{} cannot be read: {e}", path.display()),
        };
        self.problem(variable.to_owned(), &leaf.name, problem);
        None
    }

    fn conflict(&mut self, key: &str, one: &str, other: &str) {
        self.problem(one.to_owned(), key, format!("{other} is set too; set only one of them"));
    }

    fn problem(&mut self, variable: String, key: &str, message: String) {
        let origin = Some(Origin::Variable(variable));
        self.problems.push(Notice { origin, key: key.to_owned(), message });
    }
}

fn set(object: &mut Map<String, Value>, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            object.insert(key.to_owned(), value);
        }
        Some((first, rest)) => {
            let inner = object.entry(first).or_insert(Value::Null);
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            if let Value::Object(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

/// The text as a value of a type that the schema allows. A text that is none stays a string, and the check against
/// the schema says what would be right.
fn parse(node: Node<'_>, text: &str) -> Value {
    let types = node.types();
    let text = if types == ["string"] { text } else { text.trim() };
    let as_text = || Value::String(text.to_owned());
    if types.contains(&"array") && !text.starts_with('[') {
        return list::items(text).into_iter().map(Value::String).collect();
    }
    if types.contains(&"string") && !(types.contains(&"object") && text.starts_with('{')) {
        return as_text();
    }
    if types.contains(&"boolean") {
        return match text.to_ascii_lowercase().as_str() {
            "1" | "t" | "true" => Value::Bool(true),
            "0" | "f" | "false" => Value::Bool(false),
            _ => as_text(),
        };
    }
    serde_json::from_str(text).unwrap_or_else(|_| as_text())
}

//! Key sets, by the admin API.

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};

use super::connection::{self, Connection, segment};
use super::key_files;
use super::output::{self, Columns};
use crate::cli::api::{ApiArgs, CreateKeyArgs, GetKeysArgs, ImportKeysArgs, KeySetsArgs};

const KEYS: &str = "/admin/keys";
const COLUMNS: Columns =
    &[("SET ID", "set"), ("KEY ID", "kid"), ("ALGORITHM", "alg"), ("USE", "use"), ("KEY TYPE", "kty")];

/// The members of a private or a symmetric key (RFC 7518 §6.2.2, §6.3.2, §6.4).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

pub(super) async fn create(args: &CreateKeyArgs) -> Result<()> {
    let connection = Connection::new(&args.api)?;
    let mut wanted = json!({"alg": args.alg, "use": args.key_use});
    if let Some(kid) = &args.kid {
        wanted["kid"] = json!(kid);
    }
    let request = connection.request(Method::POST, &path(&args.set)).json(&wanted);
    let created = KeySet::of(&args.set, connection.json(request).await?, args.public);
    created.print(&args.api)
}

pub(super) async fn get(args: &GetKeysArgs) -> Result<()> {
    let KeySetsArgs { sets, api } = &args.sets;
    let connection = Connection::new(api)?;
    let mut found = Vec::new();
    for set in sets {
        let answer = connection.json(connection.request(Method::GET, &path(set))).await;
        found.push(KeySet::of(set, answer.with_context(|| set.clone())?, args.public));
    }
    if let [set] = &found[..] {
        return set.print(api);
    }
    let documents: Vec<Value> = found.iter().map(KeySet::document).collect();
    let rows: Vec<Value> = found.iter().flat_map(KeySet::rows).collect();
    output::several(api, COLUMNS, "kid", (&rows, &json!(documents)))
}

pub(super) async fn delete(args: &KeySetsArgs) -> Result<()> {
    connection::delete_each(&args.api, KEYS, &args.sets, "key sets").await
}

/// All files are read before the first key is sent.
pub(super) async fn import(args: &ImportKeysArgs) -> Result<()> {
    let connection = Connection::new(&args.api)?;
    let mut keys = Vec::new();
    for file in &args.files {
        let name = file.display().to_string();
        let bytes = std::fs::read(file).with_context(|| name.clone())?;
        let read = key_files::read(&bytes, args.alg.as_deref(), args.key_use.as_deref());
        keys.extend(read.with_context(|| name)?);
    }
    let mut imported = Vec::new();
    for jwk in keys {
        let kid = jwk["kid"].as_str().unwrap_or_default().to_owned();
        let request = connection.request(Method::PUT, &format!("{}/{}", path(&args.set), segment(&kid)));
        let stored = connection.json(request.json(&jwk)).await;
        imported.push(stored.with_context(|| format!("{kid} (after {})", imported.len()))?);
    }
    // What was sent is known here: private halves are not printed again.
    KeySet::of(&args.set, json!({"keys": imported}), true).print(&args.api)
}

fn path(set: &str) -> String {
    format!("{KEYS}/{}", segment(set))
}

/// A set and its keys.
struct KeySet {
    set: String,
    keys: Vec<Value>,
}

impl KeySet {
    fn of(set: &str, mut answer: Value, public: bool) -> Self {
        let mut keys = match answer["keys"].take() {
            Value::Array(keys) => keys,
            _ => Vec::new(),
        };
        for key in keys.iter_mut().filter_map(Value::as_object_mut).filter(|_| public) {
            key.retain(|member, _| !PRIVATE.contains(&member.as_str()));
        }
        Self { set: set.to_owned(), keys }
    }

    fn document(&self) -> Value {
        json!({"set": self.set, "keys": self.keys})
    }

    fn rows(&self) -> Vec<Value> {
        let named = |key: &Value| {
            let mut row = key.clone();
            row["set"] = json!(self.set);
            row
        };
        self.keys.iter().map(named).collect()
    }

    fn print(&self, api: &ApiArgs) -> Result<()> {
        output::several(api, COLUMNS, "kid", (&self.rows(), &self.document()))
    }
}

//! `keywright convert`: Hydra Maester's resources as ours.

use std::collections::HashMap;
use std::fs;
use std::io::Read;

use anyhow::{Context, Result, bail};
use crd::{SecretKeys, Validator, maester};
use k8s_openapi::api::core::v1::Secret;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{complain, print};
use crate::cli::ConvertArgs;

/// What the manifests hold.
#[derive(Default)]
struct Manifests {
    clients: Vec<Value>,
    /// By namespace and name.
    secrets: HashMap<(String, String), Secret>,
    others: usize,
}

/// Prints each resource of Maester's as one of ours, and on standard error what is to be done by hand.
///
/// # Errors
/// Where a file cannot be read, and, after all others were printed, where a resource cannot be taken over.
pub fn run(args: &ConvertArgs) -> Result<()> {
    let mut manifests = Manifests::default();
    for text in texts(args)? {
        manifests.add_all(&text)?;
    }
    let mut documents = Vec::new();
    let mut refused = 0;
    for client in &manifests.clients {
        let name = name_of(client);
        match converted(client, &manifests, args) {
            Ok((document, notices)) => {
                documents.push(serde_yaml::to_string(&document)?);
                for notice in notices {
                    complain(&format!("{}/{}: {notice}", name.0, name.1));
                }
            }
            Err(problem) => {
                refused += 1;
                complain(&format!("{}/{} is not converted: {problem}", name.0, name.1));
            }
        }
    }
    if manifests.others > 0 {
        complain(&format!("{} manifests of other kinds are left out", manifests.others));
    }
    print(&documents.join("---\n"))?;
    match (refused, documents.len()) {
        (0, 0) => bail!("there is no OAuth2Client of {} among the manifests", maester::API_VERSION),
        (0, _) => Ok(()),
        (refused, _) => bail!("{refused} of {} clients are not converted", manifests.clients.len()),
    }
}

fn texts(args: &ConvertArgs) -> Result<Vec<String>> {
    if args.files.is_empty() {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input")?;
        return Ok(vec![text]);
    }
    let read =
        |file: &std::path::PathBuf| fs::read_to_string(file).with_context(|| file.display().to_string());
    args.files.iter().map(read).collect()
}

impl Manifests {
    fn add_all(&mut self, text: &str) -> Result<()> {
        for document in serde_yaml::Deserializer::from_str(text) {
            self.add(Value::deserialize(document)?)?;
        }
        Ok(())
    }

    fn add(&mut self, mut manifest: Value) -> Result<()> {
        let is =
            |api_version: &str, kind: &str| manifest["apiVersion"] == api_version && manifest["kind"] == kind;
        if manifest.is_null() {
        } else if is("v1", "List") || is(maester::API_VERSION, "OAuth2ClientList") {
            let Value::Array(items) = manifest["items"].take() else { return Ok(()) };
            items.into_iter().try_for_each(|item| self.add(item))?;
        } else if is(maester::API_VERSION, "OAuth2Client") {
            self.clients.push(manifest);
        } else if is("v1", "Secret") {
            let name = name_of(&manifest);
            // Serde's message would quote the value that it did not expect.
            let Ok(secret) = serde_json::from_value(manifest) else {
                bail!("the Secret {}/{} is malformed", name.0, name.1);
            };
            self.secrets.insert(name, secret);
        } else {
            self.others += 1;
        }
        Ok(())
    }
}

/// The resource, valid and without what is the default anyway, and what is to be done by hand.
fn converted(
    client: &Value,
    manifests: &Manifests,
    args: &ConvertArgs,
) -> Result<(Value, Vec<String>), String> {
    let from = maester::OAuth2Client::deserialize(client).map_err(|error| error.to_string())?;
    let keys = SecretKeys::from(&args.keys);
    let (namespace, _) = name_of(client);
    let secret = manifests.secrets.get(&(namespace, from.spec.secret_name.clone()));
    let mut native = maester::convert(&from, secret, &keys).map_err(|error| error.to_string())?;
    native.client.spec.instance.clone_from(&args.instance);
    let mut document = json!(native.client);
    Validator::new().parse(&document, None).map_err(|error| error.to_string())?;
    if let Value::Object(fields) = &mut document {
        fields.retain(|_, value| !value.is_null());
    }
    if let Some(Value::Object(spec)) = document.get_mut("spec") {
        let mut defaults = defaults();
        // The one that readers look for.
        defaults.remove("grantTypes");
        remove_defaults(spec, &defaults);
    }
    Ok((document, native.notices))
}

/// What a spec says that says nothing.
fn defaults() -> Map<String, Value> {
    let nothing = serde_json::from_value::<crd::OAuth2ClientSpec>(json!({}));
    match nothing.map(|spec| json!(spec)) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

fn remove_defaults(fields: &mut Map<String, Value>, defaults: &Map<String, Value>) {
    for (name, default) in defaults {
        if let (Some(Value::Object(inner)), Value::Object(default)) = (fields.get_mut(name), default) {
            remove_defaults(inner, default);
        }
        let is_default = |value: &Value| value == default || *value == json!({});
        if fields.get(name).is_some_and(is_default) {
            fields.remove(name);
        }
    }
}

/// The namespace, empty where none is written, and the name.
fn name_of(manifest: &Value) -> (String, String) {
    let text = |field: &str| manifest["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

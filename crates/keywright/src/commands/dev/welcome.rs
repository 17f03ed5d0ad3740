//! What `dev` prints once everything stands: the issuer, the resources, and how to get a token.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use ::operator::source::folder::{DataFolder, Report, Row};
use crd::{GrantType, OAuth2Client, TokenEndpointAuthMethod};

use super::{sample_app, users};
use crate::config::Config;

/// What the text is about, beside how the resources stand.
pub(super) struct Welcome<'a> {
    /// The configuration.
    pub(super) config: &'a Config,
    /// Where Secrets are.
    pub(super) data: &'a DataFolder,
    /// Where the sample app listens.
    pub(super) sample_app: Option<SocketAddr>,
    /// Whether the default users can log in.
    pub(super) has_default_users: bool,
}

impl Welcome<'_> {
    /// The whole text.
    pub(super) fn text(&self, report: &Report) -> String {
        let mut text = format!("\nIssuer: {}\n\n", self.config.urls.issuer);
        text.push_str(&table(&report.rows));
        for problem in &report.problems {
            // Writing to a String cannot fail; so below.
            let _ = writeln!(text, "\nnot applied: {problem}");
        }
        if let Some(address) = self.sample_app.filter(|_| report.rows.iter().any(is_sample_app)) {
            let hint = if self.has_default_users { format!(" {}", users::HINT) } else { String::new() };
            let _ = writeln!(text, "\nLog in with a browser{hint}:\n\n  http://{address}/");
        }
        if let Some(client) = report.rows.iter().find_map(|row| TokenClient::of(row, self.data)) {
            text.push_str(&client.command(self.config));
        }
        text.push_str("\nEdit the manifests and see them take effect. Ctrl-C stops.\n\n");
        text
    }
}

/// True for the client that the sample app is, once it stands.
fn is_sample_app(row: &Row) -> bool {
    let (namespace, name) = sample_app::RESOURCE;
    let is_it = row.key.kind == "OAuth2Client" && row.key.namespace == namespace && row.key.name == name;
    is_it && row.ready == "True"
}

fn table(rows: &[Row]) -> String {
    let width = |of: fn(&Row) -> usize, head: &str| rows.iter().map(of).max().unwrap_or(0).max(head.len());
    let kind = width(|row| row.key.kind.len(), "KIND");
    let name = width(|row| row.key.namespace.len() + 1 + row.key.name.len(), "NAME");
    let mut text = format!("{:kind$}  {:name$}  {:7}  REASON\n", "KIND", "NAME", "READY");
    for row in rows {
        let full_name = format!("{}/{}", row.key.namespace, row.key.name);
        let _ = write!(text, "{:kind$}  {full_name:name$}  {:7}  {}", row.key.kind, row.ready, row.reason);
        // What is well needs no words.
        if row.ready != "True" {
            let _ = write!(text, ": {}", row.message);
        }
        text.push('\n');
    }
    text
}

/// A client that can get a token with what stands in its Secret.
struct TokenClient {
    name: String,
    secret: PathBuf,
    id_key: String,
    secret_key: String,
}

impl TokenClient {
    fn of(row: &Row, data: &DataFolder) -> Option<Self> {
        if row.key.kind != "OAuth2Client" || row.ready != "True" {
            return None;
        }
        let path = data.resource_path(&row.key.namespace, row.key.kind, &row.key.name);
        let client: OAuth2Client = serde_yaml::from_str(&std::fs::read_to_string(path).ok()?).ok()?;
        let secret = data.secret_path(&row.key.namespace, &client.secret_name());
        let gets_tokens = client.spec.grant_types.contains(&GrantType::ClientCredentials)
            && client.spec.token_endpoint_auth_method == TokenEndpointAuthMethod::ClientSecretBasic
            && secret.exists();
        let keys = client.spec.secret.keys;
        gets_tokens.then(|| Self {
            name: row.key.name.clone(),
            secret,
            id_key: keys.client_id,
            secret_key: keys.client_secret,
        })
    }

    /// A command line that gets a token. It holds no credential: it reads the Secret's file.
    fn command(&self, config: &Config) -> String {
        let Self { name, secret, id_key, secret_key } = self;
        let (secret, url) = (secret.display(), config.urls.public.join("oauth2/token"));
        format!(
            "\nGet a token as {name}:\n\n  \
             secret='{secret}'\n  \
             value() {{ sed -n \"s/^  $1: *[\\\"']*\\([^\\\"']*\\).*/\\1/p\" \"$secret\" | base64 -d; }}\n  \
             curl -s -u \"$(value {id_key}):$(value {secret_key})\" -d grant_type=client_credentials {url}\n"
        )
    }
}

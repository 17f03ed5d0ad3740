//! Tests of [`load`], one file for each question.

mod environment;
mod files;
mod messages;
mod rules;
mod schema;
mod system_secret;

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Config, ConfigError, Loaded, Sources, load};

/// What a start needs, as variables.
const NEEDED: [(&str, &str); 3] = [
    ("DSN", "postgres://hydra:pw@db:5432/hydra"),
    ("URLS_SELF_ISSUER", "https://id.example.com"),
    ("SECRETS_SYSTEM", "0123456789abcdef"),
];

/// Sources of one test; starts empty.
struct Given {
    directory: TempDir,
    files: Vec<PathBuf>,
    flags: Value,
    variables: Vec<(String, String)>,
}

impl Given {
    fn nothing() -> Self {
        Self {
            directory: TempDir::new().unwrap(),
            files: Vec::new(),
            flags: json!({}),
            variables: Vec::new(),
        }
    }

    /// What a start needs, and these variables; they come later and so win.
    fn variables(more: &[(&str, &str)]) -> Self {
        NEEDED.iter().chain(more).fold(Self::nothing(), |given, (name, text)| given.variable(name, text))
    }

    /// What a start needs, and a YAML file.
    fn yaml(text: &str) -> Self {
        Self::variables(&[]).file("keywright.yaml", text)
    }

    fn variable(mut self, name: &str, text: &str) -> Self {
        self.variables.push((name.to_owned(), text.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.variables.retain(|(variable, _)| variable != name);
        self
    }

    fn file(mut self, name: &str, text: &str) -> Self {
        self.files.push(self.write(name, text));
        self
    }

    fn flags(mut self, flags: Value) -> Self {
        self.flags = flags;
        self
    }

    /// Writes a file that is no configuration file.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        load(Sources {
            files: self.files.clone(),
            flags: self.flags.clone(),
            environment: self.variables.clone(),
        })
    }

    #[track_caller]
    fn config(&self) -> Config {
        self.load().unwrap().config
    }

    #[track_caller]
    fn warnings(&self) -> Vec<String> {
        self.load().unwrap().warnings.iter().map(|warning| self.plain(&warning.to_string())).collect()
    }

    #[track_caller]
    fn problems(&self) -> Vec<String> {
        let error = self.load().unwrap_err();
        error.problems.iter().map(|problem| self.plain(&problem.to_string())).collect()
    }

    /// The text without the test's folder.
    fn plain(&self, text: &str) -> String {
        text.replace(&format!("{}/", self.directory.path().display()), "")
    }
}

#[test]
fn what_is_needed_is_enough_and_the_rest_is_the_default() {
    let given = Given::variables(&[]);
    assert_eq!(given.warnings(), Vec::<String>::new());
    let config = given.config();
    assert_eq!(config.urls.issuer.as_str(), "https://id.example.com");
    assert_eq!(config.urls.public, config.urls.issuer);
    assert_eq!(config.secrets.system.len(), 1);
    let listeners = [&config.serve.public, &config.serve.admin, &config.serve.operator];
    assert_eq!(listeners.map(ToString::to_string), ["0.0.0.0:4444", "0.0.0.0:4445", "0.0.0.0:4447"]);
    assert_eq!(config.ttl.access_token.as_secs(), 3600);
    assert_eq!(config.webfinger.broadcast_keys, ["hydra.openid.id-token"]);
    assert_eq!((config.log.level, config.log.format), (tracing::Level::INFO, None));
    assert!(config.keys.autocreate && !config.dev);
}

#[test]
fn all_problems_are_reported_at_once() {
    let problems = Given::nothing()
        .file("a.yaml", "serve: {public: {prot: 1, port: 0}}\nttl: {access_token: soon}\n")
        .variable("URLS_SELF_ISSUER", "http://id.example.com")
        .file("missing.txt", "")
        .problems();
    let expected = [
        "missing.txt: the file's name must end in",
        "a.yaml: serve.public.prot: unknown key",
        "a.yaml: serve.public.port: found 0",
        "a.yaml: ttl.access_token: found \"soon\"",
        "dsn: missing",
        "URLS_SELF_ISSUER: urls.self.issuer: found \"http://id.example.com\", must be an https URL",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for start in expected {
        assert!(problems.iter().any(|problem| problem.starts_with(start)), "{start} in {problems:#?}");
    }
}

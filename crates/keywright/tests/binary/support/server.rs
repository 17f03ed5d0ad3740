//! `keywright serve` as a process of its own.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::{Process, free_port};

/// A running server, and its ports.
pub struct Server {
    pub process: Process,
    /// Port of the public API.
    pub public: u16,
    /// Port of the admin API.
    pub admin: u16,
}

impl Server {
    /// Starts `serve all` on a database, with further variables.
    pub fn start(dsn: &str, more: &[(&'static str, &str)]) -> Self {
        Self::start_so(&[], dsn, more)
    }

    /// The same, with further arguments.
    pub fn start_so(arguments: &[&str], dsn: &str, more: &[(&'static str, &str)]) -> Self {
        Self::start_as(&[&["serve", "all"], arguments].concat(), dsn, more)
    }

    /// The same with another command.
    pub fn start_as(command: &[&str], dsn: &str, more: &[(&'static str, &str)]) -> Self {
        let (public, admin) = (free_port(), free_port());
        let mut variables = vec![
            ("DSN", dsn.to_owned()),
            ("URLS_SELF_ISSUER", "https://id.example.com".to_owned()),
            ("SECRETS_SYSTEM", "a-system-secret-for-tests-only".to_owned()),
            ("SERVE_PUBLIC_HOST", "127.0.0.1".to_owned()),
            ("SERVE_PUBLIC_PORT", public.to_string()),
            ("SERVE_ADMIN_HOST", "127.0.0.1".to_owned()),
            ("SERVE_ADMIN_PORT", admin.to_string()),
        ];
        variables.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Self { process: Process::start(command, &variables), public, admin }
    }

    /// The status of a document; `None` where nobody answers.
    pub async fn status(&self, port: u16, path: &str) -> Option<u16> {
        let answer = reqwest::get(format!("http://127.0.0.1:{port}{path}")).await.ok()?;
        Some(answer.status().as_u16())
    }

    /// Whether both its APIs are ready.
    pub async fn is_ready(&self) -> bool {
        self.status(self.public, "/health/ready").await == Some(200)
            && self.status(self.admin, "/admin/health/ready").await == Some(200)
    }

    /// The ids of the published keys.
    pub async fn key_ids(&self) -> BTreeSet<String> {
        let url = format!("http://127.0.0.1:{}/.well-known/jwks.json", self.public);
        let set: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
        let keys = set["keys"].as_array().unwrap().iter();
        keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    /// Ends it, and it ends well.
    pub async fn stops(self) {
        self.process.signal("TERM");
        let ended = self.process.ended(Duration::from_secs(10)).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}

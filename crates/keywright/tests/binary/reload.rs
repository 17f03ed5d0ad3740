//! Files that change while `serve` runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Process, eventually, free_port, run};

/// A server with a configuration file and a certificate, in a folder of its own.
struct Configured {
    folder: TempDir,
    process: Process,
    public: u16,
    admin: u16,
    text: String,
}

impl Configured {
    fn start(with_tls: Option<&CertifiedKey<KeyPair>>) -> Self {
        let folder = TempDir::new().unwrap();
        let (public, admin) = (free_port(), free_port());
        let mut text = format!(
            "dsn: sqlite://{}\nurls: {{self: {{issuer: 'https://id.example.com/'}}, login: /one}}\n\
             serve:\n  admin: {{host: 127.0.0.1, port: {admin}}}\n  public:\n    host: 127.0.0.1\n    port: {public}\n",
            folder.path().join("keywright.db").display(),
        );
        if let Some(certificate) = with_tls {
            write_pair(folder.path(), certificate);
            let (cert, key) = pair(folder.path());
            let (cert, key) = (cert.display(), key.display());
            let tls = format!("    tls: {{enabled: true, cert: {{path: {cert}}}, key: {{path: {key}}}}}\n");
            text.push_str(&tls);
        }
        let file = folder.path().join("keywright.yaml");
        fs::write(&file, &text).unwrap();
        let arguments = ["serve", "all", "-c", file.to_str().unwrap()];
        let variables = [("SECRETS_SYSTEM", "a-system-secret-for-tests-only".to_owned())];
        Self { process: Process::start(&arguments, &variables), folder, public, admin, text }
    }

    fn write(&self, text: &str) {
        fs::write(self.folder.path().join("keywright.yaml"), text).unwrap();
    }

    /// The issuer of the discovery document.
    async fn issuer(&self) -> Option<String> {
        let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let url = format!("http://127.0.0.1:{}/.well-known/openid-configuration", self.public);
        let document: Value = client.get(url).send().await.ok()?.json().await.ok()?;
        Some(document["issuer"].as_str()?.to_owned())
    }

    fn logged(&self, words: &str) -> bool {
        self.process.stderr().contains(words)
    }

    async fn metric(&self, series: &str) -> Option<String> {
        let url = format!("http://127.0.0.1:{}/admin/metrics/prometheus", self.admin);
        let text = reqwest::get(url).await.ok()?.text().await.ok()?;
        text.lines().find_map(|line| Some(line.strip_prefix(series)?.trim().to_owned()))
    }

    async fn stops(self) {
        self.process.signal("TERM");
        let ended = self.process.ended(Duration::from_secs(10)).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}

fn certificate() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["localhost".to_owned()]).unwrap()
}

fn pair(folder: &Path) -> (PathBuf, PathBuf) {
    (folder.join("tls.crt"), folder.join("tls.key"))
}

fn write_pair(folder: &Path, certificate: &CertifiedKey<KeyPair>) {
    let (cert, key) = pair(folder);
    fs::write(key, certificate.signing_key.serialize_pem()).unwrap();
    fs::write(cert, certificate.cert.pem()).unwrap();
}

/// Whether the port is served with this very certificate.
async fn serves(port: u16, certificate: &CertifiedKey<KeyPair>) -> bool {
    let root = reqwest::Certificate::from_pem(certificate.cert.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().tls_certs_only([root]).build().unwrap();
    let answer = client.get(format!("https://localhost:{port}/health/alive")).send().await;
    answer.is_ok_and(|answer| answer.status() == 200)
}

#[tokio::test]
async fn a_changed_configuration_is_taken_over_and_what_needs_a_restart_is_named() {
    let server = Configured::start(None);
    let issuer = async |issuer: &str| server.issuer().await.as_deref() == Some(issuer);
    eventually("it serves", || issuer("https://id.example.com/")).await;

    let changed = server.text.replace("id.example.com", "new.example.com");
    let changed = changed.replace(&format!("port: {}", server.admin), "port: 1");
    server.write(&format!("{changed}log: {{level: debug}}\n"));
    eventually("the new issuer is in force", || issuer("https://new.example.com/")).await;
    eventually("it says so", async || server.logged("the changed configuration is in force")).await;
    assert!(server.logged("\"keys\":\"serve.admin.port\""), "{}", server.process.stderr());

    server.write("urls: {self: {isuer: https://x/}}");
    eventually("it says what is wrong", async || server.logged("did you mean urls.self.issuer?")).await;
    assert!(server.logged("the former one stays in force"));
    assert!(issuer("https://new.example.com/").await);
    let refused = "keywright_reloads_total{what=\"configuration\",outcome=\"refused\"}";
    assert_eq!(server.metric(refused).await.as_deref(), Some("1"));

    server.write(&server.text);
    eventually("the first issuer is back", || issuer("https://id.example.com/")).await;
    server.stops().await;
}

#[tokio::test]
async fn a_changed_certificate_is_taken_over_and_a_bad_one_is_not() {
    let (first, second) = (certificate(), certificate());
    let server = Configured::start(Some(&first));
    eventually("it serves", || serves(server.public, &first)).await;
    write_pair(server.folder.path(), &second);
    eventually("the second certificate is in use", || serves(server.public, &second)).await;

    fs::write(pair(server.folder.path()).0, "nonsense").unwrap();
    eventually("it says what is wrong", async || server.logged("serve.public.tls.cert.path")).await;
    assert!(server.logged("a changed certificate is not used; the former one stays"));
    assert!(serves(server.public, &second).await);
    write_pair(server.folder.path(), &first);
    eventually("the first certificate is back", || serves(server.public, &first)).await;
    server.stops().await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_stops_the_start() {
    let folder = TempDir::new().unwrap();
    let (one, other) = (certificate(), certificate());
    write_pair(folder.path(), &one);
    fs::write(pair(folder.path()).1, other.signing_key.serialize_pem()).unwrap();
    let (cert, key) = pair(folder.path());
    let absent = folder.path().join("absent");
    for (cert, key, fragment) in [
        (&cert, &key, "serve.tls.key.path: "),
        (&absent, &key, "serve.tls.cert.path: "),
        (&key, &key, "serve.tls.cert.path: "),
    ] {
        let variables = [
            ("DSN", "memory".to_owned()),
            ("SECRETS_SYSTEM", "a-system-secret-for-tests-only".to_owned()),
            ("SERVE_TLS_ENABLED", "true".to_owned()),
            ("SERVE_TLS_CERT_PATH", cert.display().to_string()),
            ("SERVE_TLS_KEY_PATH", key.display().to_string()),
        ];
        let ended = run(&["serve"], &variables).await;
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        assert!(ended.stderr.contains(fragment) && !ended.stderr.contains("-----"), "{}", ended.stderr);
    }
}

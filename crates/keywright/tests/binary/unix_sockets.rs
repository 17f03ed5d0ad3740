//! Both APIs on unix sockets.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::dev::client;
use crate::support::{Dev, Process, eventually};

struct Sockets {
    folder: TempDir,
}

impl Sockets {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    fn public(&self) -> PathBuf {
        self.folder.path().join("public.sock")
    }

    fn admin(&self) -> PathBuf {
        self.folder.path().join("admin.sock")
    }

    /// What `serve` needs.
    fn variables(&self) -> Vec<(&'static str, String)> {
        let dsn = format!("sqlite://{}", self.folder.path().join("keywright.db").display());
        let mut variables = self.hosts();
        variables.extend([
            ("DSN", dsn),
            ("URLS_SELF_ISSUER", "https://id.example.com".to_owned()),
            ("SECRETS_SYSTEM", "a-system-secret-for-tests-only".to_owned()),
            ("KEYS_ALGORITHM", "ES256".to_owned()),
        ]);
        variables
    }

    fn hosts(&self) -> Vec<(&'static str, String)> {
        vec![
            ("SERVE_PUBLIC_HOST", format!("unix:{}", self.public().display())),
            ("SERVE_PUBLIC_SOCKET_MODE", "432".to_owned()),
            ("SERVE_ADMIN_HOST", format!("unix:{}", self.admin().display())),
            ("SERVE_ADMIN_SOCKET_MODE", "384".to_owned()),
        ]
    }

    fn serve(&self) -> Process {
        Process::start(&["serve"], &self.variables())
    }

    async fn ready(&self) {
        eventually("both sockets answer", || async {
            status(&self.public(), "/health/ready").await == Some(200)
                && status(&self.admin(), "/admin/health/ready").await == Some(200)
        })
        .await;
    }
}

async fn status(socket: &Path, path: &str) -> Option<u16> {
    let http = reqwest::Client::builder().unix_socket(socket).build().unwrap();
    let answer = http.get(format!("http://localhost{path}")).send().await.ok()?;
    Some(answer.status().as_u16())
}

fn mode(socket: &Path) -> u32 {
    fs::metadata(socket).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn serve_listens_on_sockets_and_removes_them() {
    let sockets = Sockets::new();
    let process = sockets.serve();
    sockets.ready().await;
    assert_eq!((mode(&sockets.public()), mode(&sockets.admin())), (0o660, 0o600));
    assert_eq!(status(&sockets.public(), "/admin/clients").await, Some(404), "each API is apart");
    assert_eq!(status(&sockets.admin(), "/admin/clients").await, Some(200));
    process.signal("TERM");
    let ended = process.ended(Duration::from_secs(10)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("unix:{}", sockets.public().display())), "{}", ended.stderr);
    assert!(!sockets.public().exists() && !sockets.admin().exists());
}

#[tokio::test]
async fn what_a_killed_process_leaves_is_replaced_and_what_is_in_use_is_not() {
    let sockets = Sockets::new();
    let process = sockets.serve();
    sockets.ready().await;
    process.kill().await;
    assert!(sockets.public().exists(), "nobody tidied up");
    let _process = sockets.serve();
    sockets.ready().await;

    let inode = fs::metadata(sockets.public()).unwrap().ino();
    let second = sockets.serve().ended(Duration::from_secs(10)).await;
    assert_eq!(second.code, Some(1));
    assert!(second.stderr.contains("serve.public: cannot listen on unix:"), "{}", second.stderr);
    assert!(second.stderr.contains("another process listens there"), "{}", second.stderr);
    assert_eq!(fs::metadata(sockets.public()).unwrap().ino(), inode);
    sockets.ready().await;
}

#[tokio::test]
async fn an_owner_that_does_not_exist_stops_the_start() {
    let sockets = Sockets::new();
    let mut variables = sockets.variables();
    variables.push(("SERVE_ADMIN_SOCKET_OWNER", "no-such-user".to_owned()));
    let ended = Process::start(&["serve"], &variables).ended(Duration::from_secs(10)).await;
    assert_eq!(ended.code, Some(1));
    let why = "serve.admin.socket: owner: \"no-such-user\" is not in /etc/passwd";
    assert!(ended.stderr.contains(why), "{}", ended.stderr);
    assert!(!sockets.public().exists() && !sockets.admin().exists(), "what was bound is not left behind");
}

#[tokio::test]
async fn dev_listens_on_sockets_too() {
    let sockets = Sockets::new();
    let mut dev = Dev::prepared();
    dev.variables = sockets.hosts();
    dev.write("client.yaml", &client("a", &[]));
    dev.start().await;
    let http = reqwest::Client::builder().unix_socket(sockets.public()).build().unwrap();
    let request = http.post("http://localhost/oauth2/token").basic_auth("a", Some(dev.client_secret("a")));
    let answer = request.form(&[("grant_type", "client_credentials")]).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(dev.stop().await.code, Some(0));
    assert!(!sockets.public().exists() && !sockets.admin().exists());
}

//! What `dev` prints, and why it does not start.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;

use crate::support::dev::{self, client};
use crate::support::{Dev, Process, free_port, run};

/// The lines that are to be pasted into a shell.
fn pasted(welcome: &str) -> String {
    let (_, rest) = welcome.split_once("Get a token as ").expect("there is a client that gets tokens");
    let (_, rest) = rest.split_once(":\n").unwrap();
    rest.split_once("\nEdit the manifests").unwrap().0.to_owned()
}

/// Runs them, and gives the token.
fn token_by_shell(welcome: &str) -> String {
    let output = std::process::Command::new("sh").args(["-euc", &pasted(welcome)]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    let answer: Value =
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text:?} {complaints:?}"));
    answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test]
async fn the_samples_work_and_the_printed_command_gets_a_token() {
    let mut dev = Dev::prepared();
    dev.remove("key-sets.yaml");
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/samples")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        dev.write(&name, &fs::read_to_string(&path).unwrap());
    }
    dev.start().await;
    let welcome = dev.process().stdout();
    assert!(welcome.contains(&format!("\nIssuer: http://127.0.0.1:{}\n", dev.public)), "{welcome}");
    let rows: Vec<Vec<&str>> = welcome.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(rows.contains(&vec!["KIND", "NAME", "READY", "REASON"]), "{welcome}");
    for (kind, name) in [
        ("JsonWebKeySet", "default/hydra.jwt.access-token"),
        ("JsonWebKeySet", "default/hydra.openid.id-token"),
        ("OAuth2Client", "default/orders-service"),
        ("OAuth2Client", "default/reports"),
        ("OAuth2Client", "default/sample-app"),
        ("OAuth2Client", "default/shop"),
        ("OAuth2Client", "default/shop-mobile"),
        ("OAuth2Client", "default/television"),
    ] {
        assert!(rows.contains(&vec![kind, name, "True", "Synced"]), "{name}: {welcome}");
    }
    assert!(dev.is_active(&token_by_shell(&welcome)).await);
    assert!(!welcome.contains(&dev.client_secret("orders-service")));
}

#[tokio::test]
async fn the_printed_command_knows_a_secrets_own_name_and_keys() {
    let own = client(
        "own",
        &["secret: {name: my.secret, keys: {clientId: client.id, clientSecret: client_secret}}"],
    );
    let dev = Dev::started(&[("own.yaml", own)]).await;
    let token = token_by_shell(&dev.process().stdout());
    assert!(dev.is_active(&token).await);
}

#[tokio::test]
async fn a_resource_that_is_not_ready_is_told_with_its_reason() {
    let waits = client("waits", &["secret: {source: Reference, name: theirs}"]);
    let dev = Dev::started(&[("waits.yaml", waits), ("wrong.yaml", client("wrong", &["scope: a"]))]).await;
    let welcome = dev.process().stdout();
    let row = welcome.lines().find(|line| line.contains("default/waits")).unwrap_or_default();
    assert!(row.contains("False") && row.contains("SecretNotFound: waiting for Secret theirs"), "{welcome}");
    assert!(welcome.contains("wrong.yaml: the OAuth2Client \"wrong\" is invalid"), "{welcome}");
    assert!(!welcome.contains("Get a token as"), "{welcome}");
}

#[tokio::test]
async fn other_databases_and_secrets_of_the_environment_are_left_alone() {
    let mut dev = Dev::prepared();
    let elsewhere = dev.elsewhere("elsewhere").display().to_string();
    dev.variables = vec![
        ("DSN", format!("sqlite://{elsewhere}")),
        ("DB_LISTEN_DSN", "postgres://nobody@127.0.0.1:1/none".to_owned()),
        ("DB_REPLICA_DSN", "postgres://nobody@127.0.0.1:1/none".to_owned()),
        ("SECRETS_SYSTEM", "the-secret-of-another-installation".to_owned()),
    ];
    dev.start().await;
    assert!(dev.data().join("keywright.db").exists() && dev.data().join("system-secret").exists());
    assert!(!Path::new(&elsewhere).exists());
}

#[tokio::test]
async fn all_files_are_their_owners_alone() {
    let dev = Dev::started(&[("a.yaml", client("a", &[]))]).await;
    let files = dev::files(&dev.data());
    assert!(files.contains(&dev.secret_file("a-oauth2-client")) && files.len() > 5, "{files:?}");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    for file in &files {
        assert_eq!(mode(file), 0o600, "{}", file.display());
        let folders = file.ancestors().skip(1).take_while(|folder| folder.starts_with(dev.data()));
        folders.for_each(|folder| assert_eq!(mode(folder), 0o700, "{}", folder.display()));
    }
}

#[tokio::test]
async fn what_cannot_be_served_is_told_with_exit_code_1() {
    let dev = Dev::prepared();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (manifests, data) = (dev.manifests().display().to_string(), dev.data().display().to_string());
    let missing = dev.elsewhere("missing").display().to_string();
    let file = dev.manifests().join("key-sets.yaml").display().to_string();
    let shared = dev.elsewhere("shared");
    fs::create_dir(&shared).unwrap();
    fs::set_permissions(&shared, fs::Permissions::from_mode(0o755)).unwrap();
    let shared = shared.display().to_string();
    let cases = [
        (&manifests, &shared, free_port(), format!("chmod 700 {shared}")),
        (&missing, &data, free_port(), format!("the manifests in {missing}")),
        (&manifests, &file, free_port(), file.clone()),
        (&manifests, &data, port, format!("serve.public: cannot listen on 127.0.0.1:{port}")),
    ];
    for (manifests, data, port, message) in cases {
        let variables =
            [("SERVE_PUBLIC_PORT", port.to_string()), ("SERVE_ADMIN_PORT", free_port().to_string())];
        let ended =
            run(&["dev", "--manifests", manifests, "--data", data, "--sample-app", "off"], &variables).await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(&message), "{message}: {}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
}

#[tokio::test]
async fn a_folder_of_manifests_may_hold_the_data() {
    let dev = Dev::prepared();
    let (public, admin) = (free_port(), free_port());
    dev.write("a.yaml", &client("a", &[]));
    let data = dev.manifests().join("data");
    let mut arguments = vec!["dev".into(), "--manifests".into(), dev.manifests(), "--data".into()];
    arguments.extend([data.clone(), "--sample-app".into(), "off".into()]);
    let variables = [("SERVE_PUBLIC_PORT", public.to_string()), ("SERVE_ADMIN_PORT", admin.to_string())];
    for _ in 0..2 {
        let process = Process::start(&arguments, &variables);
        crate::support::eventually("it is up", || async { process.stdout().contains("Ctrl-C stops.") }).await;
        assert!(process.stdout().contains("Get a token as a:"), "{}", process.stdout());
        assert!(!process.stdout().contains("not applied"), "{}", process.stdout());
        process.signal("INT");
        assert_eq!(process.ended(std::time::Duration::from_secs(15)).await.code, Some(0));
    }
}

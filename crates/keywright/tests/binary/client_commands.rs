//! The commands that ask a running server.

use std::fs;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::process::Ended;
use crate::support::{Dev, run};

/// Runs a command against the admin API, or the public one.
async fn ask(port: u16, arguments: &[&str], more: &[(&'static str, &str)]) -> Ended {
    let mut variables = vec![("ORY_SDK_URL", format!("http://127.0.0.1:{port}"))];
    variables.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    run(arguments, &variables).await
}

async fn json(port: u16, arguments: &[&str]) -> Value {
    let ended = ask(port, &[arguments, &["--format", "json"]].concat(), &[]).await;
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

#[tokio::test]
async fn a_client_is_made_shown_changed_used_and_deleted() {
    let dev = Dev::started(&[]).await;
    let (admin, public) = (dev.admin, dev.public);
    let created = json(
        admin,
        &[
            "create",
            "oauth2-client",
            "--id",
            "shop/1",
            "--name",
            "Shop",
            "--grant-type",
            "client_credentials",
            "--scope",
            "read,write",
            "--metadata",
            "{\"team\": 7}",
        ],
    )
    .await;
    let secret = created["client_secret"].as_str().unwrap();
    assert_eq!(
        (created["client_id"].as_str(), created["scope"].as_str()),
        (Some("shop/1"), Some("read write"))
    );
    let shown = json(admin, &["get", "client", "shop/1"]).await;
    assert_eq!((&shown["client_name"], &shown["metadata"]["team"]), (&"Shop".into(), &7.into()));

    let changed = json(admin, &["update", "client", "shop/1", "--name", "New"]).await;
    assert_eq!((&changed["client_name"], &changed["scope"]), (&"New".into(), &"read write".into()));
    let nothing = ask(admin, &["update", "client", "shop/1"], &[]).await;
    assert!(nothing.code == Some(1) && nothing.stderr.contains("nothing to change"), "{nothing:?}");

    let credentials = [("OAUTH2_CLIENT_ID", "shop/1"), ("OAUTH2_CLIENT_SECRET", secret)];
    let perform = ["perform", "client-credentials", "--scope", "read", "--quiet"];
    let token = ask(public, &perform, &credentials).await;
    assert_eq!(token.code, Some(0), "{}", token.stderr);
    let token = token.stdout.trim();
    let told = json(admin, &["introspect", "token", token]).await;
    assert_eq!((&told["active"], &told["scope"]), (&true.into(), &"read".into()));
    assert_eq!(json(admin, &["introspect", "token", token, "--scope", "write"]).await["active"], false);
    assert_eq!(ask(public, &["revoke", "token", token], &credentials).await.code, Some(0));
    assert_eq!(json(admin, &["introspect", "token", token]).await["active"], false);

    let deleted = ask(admin, &["delete", "client", "absent", "shop/1"], &[]).await;
    assert_eq!((deleted.code, deleted.stdout.as_str()), (Some(1), "shop/1\n"), "{}", deleted.stderr);
    assert!(deleted.stderr.contains("1 of 2 clients were not deleted"), "{}", deleted.stderr);
    let gone = ask(admin, &["get", "client", "shop/1"], &[]).await;
    assert!(gone.code == Some(1) && gone.stderr.contains("404"), "{gone:?}");
}

#[tokio::test]
async fn clients_come_from_files_and_are_listed_page_by_page() {
    let dev = Dev::started(&[]).await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("clients.json");
    fs::write(&file, r#"[{"client_id": "a", "scope": "x"}, {"client_id": "b"}]"#).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(json(dev.admin, &["import", "client", file]).await.as_array().unwrap().len(), 2);
    let again = ask(dev.admin, &["import", "client", file], &[]).await;
    assert!(again.code == Some(1) && again.stderr.contains("409"), "{again:?}");

    let first = json(dev.admin, &["list", "oauth2-clients", "--page-size", "1"]).await;
    assert_eq!((&first["items"][0]["client_id"], &first["is_last_page"]), (&"a".into(), &false.into()));
    let next = first["next_page_token"].as_str().unwrap();
    let second = json(dev.admin, &["list", "clients", "--page-size", "1", "--page-token", next]).await;
    assert_eq!(second["items"][0]["client_id"], "b");

    let table = ask(dev.admin, &["list", "clients"], &[]).await.stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("CLIENT ID  CLIENT SECRET") && lines[1].starts_with("a  "), "{table}");
    assert_eq!(ask(dev.admin, &["list", "clients", "-q"], &[]).await.stdout, "a\nb\n");
    let yaml = ask(dev.admin, &["get", "client", "a", "--format", "yaml"], &[]).await.stdout;
    assert!(yaml.contains("client_id: a\n"), "{yaml}");
    let pointed = ask(dev.admin, &["get", "client", "a", "--format", "jsonpointer=/scope"], &[]).await;
    assert_eq!(pointed.stdout, "x\n");
    let unknown = ask(dev.admin, &["get", "client", "a", "--format", "xml"], &[]).await;
    assert!(unknown.code == Some(1) && unknown.stderr.contains("--format must be"), "{unknown:?}");
}

#[tokio::test]
async fn without_a_server_the_commands_say_so() {
    let ended = run(&["list", "clients"], &[]).await;
    assert!(ended.code == Some(1) && ended.stderr.contains("ORY_SDK_URL"), "{ended:?}");
    let ended = run(&["list", "clients", "-e", "http://127.0.0.1:1"], &[]).await;
    assert!(
        ended.code == Some(1) && ended.stderr.contains("http://127.0.0.1:1 does not answer"),
        "{ended:?}"
    );
    let ended = run(&["list", "clients", "-e", "http://127.0.0.1:1", "-H", "hush-hush"], &[]).await;
    assert!(ended.code == Some(1) && !ended.stderr.contains("hush-hush"), "{ended:?}");
    assert_eq!(run(&["list", "nonsense"], &[]).await.code, Some(2));
}

#[tokio::test]
async fn the_janitor_works_once_and_shells_learn_the_commands() {
    let folder = TempDir::new().unwrap();
    let dsn = format!("sqlite://{}", folder.path().join("keywright.db").display());
    let variables = [("SECRETS_SYSTEM", "a-system-secret-for-tests-only".to_owned()), ("DSN", dsn)];
    let ended = run(&["janitor", "-e", "--tokens", "--grants", "--limit", "5"], &variables).await;
    assert!(ended.code == Some(0) && ended.stdout.contains("by itself"), "{ended:?}");
    let script = run(&["completion", "bash"], &[]).await;
    assert!(script.code == Some(0) && script.stdout.contains("client-credentials"), "{}", script.stderr);
}

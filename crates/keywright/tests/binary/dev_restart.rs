//! `dev` stops cleanly and goes on where it was, also after a loss.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::SystemTime;

use crate::support::dev::{self, client};
use crate::support::{Dev, eventually};

/// Secrets and resources, each with its content and the time when it was written.
fn written(dev: &Dev) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let files = ["secrets", "resources"].map(|folder| dev::files(&dev.data().join(folder))).concat();
    let entry = |file: PathBuf| {
        let modified = fs::metadata(&file).unwrap().modified().unwrap();
        (file.clone(), (fs::read(&file).unwrap(), modified))
    };
    files.into_iter().map(entry).collect()
}

fn manifests() -> Vec<(&'static str, String)> {
    let anonymous = client("anonymous", &[]).replace("  clientId: anonymous\n", "");
    let web = client(
        "web",
        &[
            "redirectUris: ['https://web.example.com/cb']",
            "lifespans: {clientCredentials: {accessToken: 90m}}",
        ],
    );
    let orphan = client("orphan", &["deletionPolicy: Orphan", "secretRotation: {period: 720h, overlap: 1h}"]);
    let referenced = client("referenced", &["secret: {source: Reference, name: theirs}"]);
    let theirs = "apiVersion: v1\nkind: Secret\nmetadata: {name: theirs, labels: {keywright.dev/oauth2-client: \"true\"}}\n\
                  stringData: {CLIENT_SECRET: chosen-by-somebody-of-thirty-two-chars}\n";
    vec![
        ("clients.yaml", [client("a", &["scopes: [read]"]), anonymous, web, orphan].join("---\n")),
        ("referenced.yaml", format!("{referenced}---\n{theirs}")),
        ("suspended.yaml", client("suspended", &["suspend: true"])),
        ("invalid.yaml", client("invalid", &["scope: x"])),
    ]
}

#[tokio::test]
async fn a_restart_changes_nothing() {
    let mut dev = Dev::started(&manifests()).await;
    let secret = dev.client_secret("a");
    let token = dev.token("a", &secret).await.unwrap();
    let (files, keys) = (written(&dev), dev.key_ids().await);
    assert_eq!(files.len(), 4 + 8, "{:?}", files.keys());
    assert_eq!(keys.len(), 2);
    for _ in 0..2 {
        let ended = dev.stop().await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        dev.start().await;
        assert!(dev.is_active(&token).await);
        dev.token("a", &secret).await.unwrap();
        assert_eq!(dev.key_ids().await, keys);
        // What was seen to after all resources had been looked at.
        dev.write("late.yaml", &client("late", &[]));
        dev.stands("late", "True", "Synced").await;
        dev.remove("late.yaml");
        eventually("it is gone", || async { !dev.resource_file("OAuth2Client", "late").exists() }).await;
        for (file, (content, modified)) in written(&dev) {
            let (before, when) = files.get(&file).unwrap_or_else(|| panic!("{} is new", file.display()));
            assert_eq!(String::from_utf8_lossy(&content), String::from_utf8_lossy(before));
            assert_eq!(modified, *when, "{} was written again", file.display());
        }
        let log = dev.process().stderr();
        let events = log.lines().filter(|line| line.contains("reason=") && !line.contains("default/late"));
        assert_eq!(events.collect::<Vec<_>>(), Vec::<&str>::new());
    }
}

#[tokio::test]
async fn a_signal_stops_it_in_time_with_connections_open() {
    let mut dev = Dev::started(&[("a.yaml", client("a", &[]))]).await;
    dev.token("a", &dev.client_secret("a")).await.unwrap();
    let ended = dev.stop().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("stopping"), "{}", ended.stderr);

    // In the middle of its start.
    dev.launch();
    eventually("it listens", || async {
        tokio::net::TcpStream::connect(("127.0.0.1", dev.public)).await.is_ok()
    })
    .await;
    assert_eq!(dev.stop().await.code, Some(0));

    dev.start().await;
    assert_eq!(dev.stop_by("TERM").await.code, Some(0));
}

#[tokio::test]
async fn what_was_changed_while_it_was_down_is_seen_to_at_the_start() {
    let mut dev = Dev::started(&[("a.yaml", client("a", &[])), ("b.yaml", client("b", &[]))]).await;
    let (a, b) = (dev.client_secret("a"), dev.client_secret("b"));
    dev.stop().await;
    dev.write("a.yaml", &client("a", &["scopes: [read]"]));
    fs::remove_file(dev.secret_file("a-oauth2-client")).unwrap();
    dev.remove("b.yaml");
    dev.start().await;
    dev.token_for("a", &a, "read").await.unwrap();
    dev.token_for("a", &dev.client_secret("a"), "read").await.unwrap();
    assert_eq!(dev.token("b", &b).await, Err("invalid_client".to_owned()));
    assert!(!dev.secret_file("b-oauth2-client").exists());
}

/// Of Secrets, resources and the database, any one may be lost.
#[tokio::test]
async fn a_loss_of_one_part_changes_no_id_and_breaks_no_secret() {
    let anonymous = client("a", &[]).replace("  clientId: a\n", "");
    let mut dev = Dev::started(&[("a.yaml", anonymous), ("b.yaml", client("b", &[]))]).await;
    let credentials = |dev: &Dev, name: &str| {
        let secret = dev.secret(&format!("{name}-oauth2-client")).unwrap();
        (secret["CLIENT_ID"].clone(), secret["CLIENT_SECRET"].clone())
    };
    let before = [credentials(&dev, "a"), credentials(&dev, "b")];
    let database = ["keywright.db", "keywright.db-wal", "keywright.db-shm"];
    for lost in ["resources", "secrets", "database"] {
        let latest = [credentials(&dev, "a"), credentials(&dev, "b")];
        dev.stop().await;
        if lost == "database" {
            // The files of a log may be gone already.
            for file in database {
                let _ = fs::remove_file(dev.data().join(file));
            }
        } else {
            fs::remove_dir_all(dev.data().join(lost)).unwrap();
        }
        dev.start().await;
        for (index, name) in ["a", "b"].into_iter().enumerate() {
            dev.stands(name, "True", "Synced").await;
            let (id, secret) = credentials(&dev, name);
            assert_eq!(id, before[index].0, "{name} without its {lost}");
            dev.token(&id, &secret).await.unwrap();
            dev.token(&id, &latest[index].1).await.expect("what a workload holds works on");
            assert_eq!(secret == latest[index].1, lost != "secrets", "{name} without its {lost}");
        }
    }
}

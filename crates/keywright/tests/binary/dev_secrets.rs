//! The Secrets of a data folder are made right at once, and no credential stops working early.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::support::dev::client;
use crate::support::{Dev, at_once, eventually};

/// Waits until a client's Secret holds another secret than it did, and both work.
async fn is_replaced(dev: &Dev, name: &str, former: &str) -> String {
    let secret = || {
        let mut secret = dev.secret(&format!("{name}-oauth2-client"))?;
        secret.remove("CLIENT_SECRET").filter(|secret| secret.len() == 26 && secret != former)
    };
    at_once(&format!("{name} has a new secret"), || async { secret().is_some() }).await;
    let next = secret().unwrap();
    dev.token(name, former).await.expect("the former secret works on");
    dev.token(name, &next).await.expect("the new secret works");
    assert_eq!(dev.secret(&format!("{name}-oauth2-client")).unwrap()["CLIENT_ID"], name);
    next
}

fn rewrite(file: &Path, change: impl FnOnce(String) -> String) {
    let text = fs::read_to_string(file).unwrap();
    let changed = change(text.clone());
    assert_ne!(text, changed);
    fs::write(file, changed).unwrap();
}

#[tokio::test]
async fn a_deleted_secret_is_made_anew() {
    let dev = Dev::started(&[("a.yaml", client("a", &[]))]).await;
    let first = dev.client_secret("a");
    fs::remove_file(dev.secret_file("a-oauth2-client")).unwrap();
    let second = is_replaced(&dev, "a", &first).await;
    dev.logs("reason=SecretRecreated").await;

    // All of them, folder and all, together with a change of a manifest.
    fs::remove_dir_all(dev.data().join("secrets")).unwrap();
    dev.write("b.yaml", &client("b", &[]));
    is_replaced(&dev, "a", &second).await;
    dev.token("a", &first).await.unwrap();
    dev.stands("b", "True", "Synced").await;
    dev.token("b", &dev.client_secret("b")).await.unwrap();
}

#[tokio::test]
async fn a_secret_that_was_tampered_with_is_made_right() {
    let names = ["value", "key", "garbage", "emptied", "truncated"];
    let manifests: Vec<_> = names.iter().map(|name| client(name, &[])).collect();
    let dev = Dev::started(&[("all.yaml", manifests.join("---\n"))]).await;
    let former = names.map(|name| dev.client_secret(name));
    let file = |name: &str| dev.secret_file(&format!("{name}-oauth2-client"));
    let line = |text: &str| {
        let line = text.lines().find(|line| line.contains("CLIENT_SECRET")).unwrap();
        format!("{line}\n")
    };
    let chosen = "a-secret-that-somebody-chose";
    rewrite(&file("value"), |text| {
        text.replace(&line(&text), &format!("  CLIENT_SECRET: {}\n", STANDARD.encode(chosen)))
    });
    rewrite(&file("key"), |text| text.replace(&line(&text), ""));
    rewrite(&file("garbage"), |_| "{{{ no YAML".to_owned());
    rewrite(&file("emptied"), |_| String::new());
    rewrite(&file("truncated"), |text| {
        text.split_at(text.find("CLIENT_SECRET: ").unwrap() + 25).0.to_owned()
    });
    for (name, former) in names.iter().zip(&former) {
        is_replaced(&dev, name, former).await;
        dev.stands(name, "True", "Synced").await;
    }
    assert_eq!(dev.token("value", chosen).await, Err("invalid_client".to_owned()));
    dev.logs("reason=SecretTampered").await;
}

#[tokio::test]
async fn an_id_in_a_secret_is_corrected_without_a_new_secret() {
    let dev = Dev::started(&[("a.yaml", client("a", &[]))]).await;
    let secret = dev.client_secret("a");
    let (file, other) = (dev.secret_file("a-oauth2-client"), STANDARD.encode("other"));
    rewrite(&file, |text| {
        text.replace(&format!("CLIENT_ID: {}", STANDARD.encode("a")), &format!("CLIENT_ID: {other}"))
    });
    let id = || dev.secret("a-oauth2-client").and_then(|mut secret| secret.remove("CLIENT_ID"));
    at_once("the id is right again", || async { id().as_deref() == Some("a") }).await;
    assert_eq!(dev.client_secret("a"), secret);
}

#[tokio::test]
async fn one_who_keeps_deleting_a_secret_makes_no_secrets_without_end() {
    let dev = Dev::started(&[("a.yaml", client("a", &[]))]).await;
    let mut secrets = vec![dev.client_secret("a")];
    for _ in 0..2 {
        fs::remove_file(dev.secret_file("a-oauth2-client")).unwrap();
        secrets.push(is_replaced(&dev, "a", secrets.last().unwrap()).await);
    }
    fs::remove_file(dev.secret_file("a-oauth2-client")).unwrap();
    let stands = dev.stands("a", "False", "SecretNotFound").await;
    assert!(stands.message.contains("it is seen to at"), "{stands:?}");
    for secret in &secrets {
        dev.token("a", secret).await.unwrap();
    }
}

fn referenced(name: &str, value: &str, opted_in: bool) -> String {
    let labels = if opted_in { "labels: {keywright.dev/oauth2-client: \"true\"}, " } else { "" };
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{{labels}name: {name}}}\nstringData: {{CLIENT_ID: a, CLIENT_SECRET: {value}}}\n"
    )
}

#[tokio::test]
async fn a_referenced_secret_is_waited_for_and_followed() {
    let dev = Dev::started(&[("a.yaml", client("a", &["secret: {source: Reference, name: theirs}"]))]).await;
    dev.stands("a", "False", "SecretNotFound").await;
    let (first, second) = ("the-first-secret-of-thirty-two-chars", "the-second-secret-of-thirty-two-char");

    dev.write("theirs.yaml", &referenced("theirs", first, false));
    let stands = dev.stands("a", "False", "SecretNotOptedIn").await;
    assert!(stands.message.contains("needs the label keywright.dev/oauth2-client"), "{stands:?}");
    assert_eq!(dev.token("a", first).await, Err("invalid_client".to_owned()));

    dev.write("theirs.yaml", &referenced("theirs", first, true));
    dev.stands("a", "True", "Synced").await;
    dev.token("a", first).await.unwrap();

    dev.write("theirs.yaml", &referenced("theirs", second, true));
    at_once("the new secret works", || async { dev.token("a", second).await.is_ok() }).await;
    dev.token("a", first).await.expect("the former one works on");

    dev.write("theirs.yaml", &referenced("theirs", "short", true));
    let stands = dev.stands("a", "False", "SecretInvalid").await;
    assert!(stands.message.contains("too short") && !stands.message.contains("\"short\""), "{stands:?}");
    dev.remove("theirs.yaml");
    dev.stands("a", "False", "SecretNotFound").await;
    dev.token("a", second).await.expect("the client goes on with what it has");
    assert!(!dev.secret_file("theirs").exists(), "a referenced Secret is never written");
}

#[tokio::test]
async fn a_secret_that_belongs_to_another_client_is_left_alone() {
    let named = |name: &str| client(name, &["secret: {name: shared}"]);
    let dev = Dev::started(&[("a.yaml", named("a"))]).await;
    let secret = dev.secret("shared").unwrap();
    dev.write("b.yaml", &named("b"));
    let stands = dev.stands("b", "False", "SecretConflict").await;
    assert_eq!(stands.message, "Secret shared belongs to OAuth2Client a");
    assert_eq!(dev.secret("shared").unwrap(), secret);
    dev.remove("a.yaml");
    dev.stands("b", "True", "Synced").await;
    assert_eq!(dev.secret("shared").unwrap()["CLIENT_ID"], "b");
}

#[tokio::test]
async fn a_rotation_that_is_asked_for_overlaps() {
    let asked = |nonce: &str| {
        let annotation = format!("  name: a\n  annotations: {{keywright.dev/rotate-secret: {nonce}}}\n");
        client("a", &[]).replace("  name: a\n", &annotation)
    };
    let dev = Dev::started(&[("a.yaml", client("a", &[]))]).await;
    let first = dev.client_secret("a");
    dev.write("a.yaml", &asked("once"));
    is_replaced(&dev, "a", &first).await;
    // The same request is not a new one, however often its file is written.
    let second = dev.client_secret("a");
    dev.write("a.yaml", &asked("once"));
    dev.write("b.yaml", &client("b", &[]));
    dev.stands("b", "True", "Synced").await;
    assert_eq!(dev.client_secret("a"), second);
    let handled = || async {
        dev.resource("OAuth2Client", "a")["status"]["secretRotation"]["lastHandledRequest"] == "once"
    };
    eventually("the request counts as handled", handled).await;
}

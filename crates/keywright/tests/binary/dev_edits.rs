//! Edits of manifests take effect while `dev` runs.

use std::fs;

use crate::support::dev::client;
use crate::support::{Dev, at_once, eventually};

#[tokio::test]
async fn a_manifest_takes_effect_within_a_second() {
    let dev = Dev::started(&[]).await;

    dev.write("a.yaml", &client("a", &["scopes: [read]"]));
    let secret = || dev.secret("a-oauth2-client").and_then(|mut secret| secret.remove("CLIENT_SECRET"));
    let added = || async {
        let Some(secret) = secret() else { return false };
        dev.token("a", &secret).await.is_ok()
    };
    at_once("a new client gets tokens", added).await;

    let secret = secret().unwrap();
    assert_eq!(dev.token_for("a", &secret, "write").await, Err("invalid_scope".to_owned()));
    dev.write("a.yaml", &client("a", &["scopes: [write]"]));
    at_once("an added scope is granted", || async { dev.token_for("a", &secret, "write").await.is_ok() })
        .await;
    assert_eq!(dev.token_for("a", &secret, "read").await, Err("invalid_scope".to_owned()));
    let token = dev.token_for("a", &secret, "write").await.unwrap();
    assert!(dev.is_active(&token).await);

    dev.remove("a.yaml");
    let gone = || async { dev.token("a", &secret).await == Err("invalid_client".to_owned()) };
    at_once("a removed client gets no more tokens", gone).await;
    assert!(!dev.is_active(&token).await, "its tokens end with it");
    let files = [dev.secret_file("a-oauth2-client"), dev.resource_file("OAuth2Client", "a")];
    at_once("its files are gone", || async { files.iter().all(|file| !file.exists()) }).await;
}

#[tokio::test]
async fn a_client_that_comes_back_under_its_id_is_another_one() {
    let dev = Dev::started(&[("a.yaml", client("a", &[]))]).await;
    let first = dev.client_secret("a");
    let token = dev.token("a", &first).await.unwrap();
    dev.remove("a.yaml");
    eventually("it is gone", || async { !dev.resource_file("OAuth2Client", "a").exists() }).await;
    dev.write("a.yaml", &client("a", &[]));
    eventually("it is back", || async { dev.ready("a").status == "True" }).await;
    assert_eq!(dev.token("a", &first).await, Err("invalid_client".to_owned()));
    assert!(!dev.is_active(&token).await);
    dev.token("a", &dev.client_secret("a")).await.unwrap();
}

#[tokio::test]
async fn a_manifest_without_a_namespace_is_in_default() {
    let elsewhere = client("b", &[]).replace("  name: b\n", "  name: b\n  namespace: shop\n");
    let dev = Dev::started(&[("a.yaml", client("a", &[])), ("b.yaml", elsewhere)]).await;
    assert!(dev.data().join("secrets/default/a-oauth2-client.yaml").exists());
    assert!(dev.data().join("secrets/shop/b-oauth2-client.yaml").exists());
    assert!(dev.data().join("resources/shop/oauth2client/b.yaml").exists());
    assert_eq!(dev.resource("OAuth2Client", "a")["metadata"]["namespace"], "default");
}

#[tokio::test]
async fn an_orphan_keeps_its_secret_and_its_row() {
    let mut dev = Dev::started(&[("a.yaml", client("a", &["deletionPolicy: Orphan"]))]).await;
    let secret = dev.client_secret("a");
    let token = dev.token("a", &secret).await.unwrap();
    dev.remove("a.yaml");
    eventually("the resource is gone", || async { !dev.resource_file("OAuth2Client", "a").exists() }).await;
    dev.stop().await;
    dev.start().await;
    assert_eq!(dev.client_secret("a"), secret);
    dev.token("a", &secret).await.unwrap();
    assert!(dev.is_active(&token).await);

    // Declared again, it goes on with what it had.
    dev.write("a.yaml", &client("a", &["scopes: [read]"]));
    dev.stands("a", "True", "Synced").await;
    assert_eq!(dev.client_secret("a"), secret);
    dev.token_for("a", &secret, "read").await.unwrap();
}

#[tokio::test]
async fn a_suspended_client_stays_as_it_is() {
    let dev = Dev::started(&[("a.yaml", client("a", &["scopes: [read]"]))]).await;
    let secret = dev.client_secret("a");
    dev.write("a.yaml", &client("a", &["scopes: [write]", "suspend: true"]));
    dev.stands("a", "Unknown", "Suspended").await;
    dev.token_for("a", &secret, "read").await.unwrap();
    assert_eq!(dev.token_for("a", &secret, "write").await, Err("invalid_scope".to_owned()));
    fs::remove_file(dev.secret_file("a-oauth2-client")).unwrap();
    // Something else that was seen after it.
    dev.write("b.yaml", &client("b", &[]));
    dev.stands("b", "True", "Synced").await;
    assert!(!dev.secret_file("a-oauth2-client").exists());

    dev.write("a.yaml", &client("a", &["scopes: [write]"]));
    dev.stands("a", "True", "Synced").await;
    dev.token_for("a", &dev.client_secret("a"), "write").await.unwrap();
}

#[tokio::test]
async fn the_folder_being_away_for_a_moment_deletes_nothing() {
    let dev = Dev::started(&[("a.yaml", client("a", &[]))]).await;
    let secret = dev.client_secret("a");
    let away = dev.elsewhere("away");
    fs::rename(dev.manifests(), &away).unwrap();
    dev.logs("its resources stay").await;
    dev.token("a", &secret).await.unwrap();
    fs::rename(&away, dev.manifests()).unwrap();
    dev.write("b.yaml", &client("b", &[]));
    dev.stands("b", "True", "Synced").await;
    dev.token("a", &secret).await.unwrap();

    // Another folder takes its place, as a version control system does it.
    let next = dev.elsewhere("next");
    fs::create_dir(&next).unwrap();
    for file in ["a.yaml", "key-sets.yaml"] {
        fs::copy(dev.manifests().join(file), next.join(file)).unwrap();
    }
    fs::rename(dev.manifests(), &away).unwrap();
    fs::rename(&next, dev.manifests()).unwrap();
    eventually("b is gone", || async { !dev.secret_file("b-oauth2-client").exists() }).await;
    dev.write("c.yaml", &client("c", &[]));
    dev.stands("c", "True", "Synced").await;
    assert_eq!(dev.client_secret("a"), secret);
}

#[tokio::test]
async fn a_client_id_that_nobody_chose_is_made_and_stays() {
    let anonymous = |more: &str| client("a", &[more]).replace("  clientId: a\n", "");
    let dev = Dev::started(&[("a.yaml", anonymous("scopes: [read]"))]).await;
    let id = dev.secret("a-oauth2-client").unwrap()["CLIENT_ID"].clone();
    assert_eq!(dev.resource("OAuth2Client", "a")["status"]["clientId"], *id);
    assert_eq!(id.len(), 36, "{id} is a UUID");
    dev.write("a.yaml", &anonymous("scopes: [write]"));
    let secret = dev.client_secret("a");
    at_once("the edit has taken effect", || async { dev.token_for(&id, &secret, "write").await.is_ok() })
        .await;
    dev.write("a.yaml", &client("a", &[]));
    dev.logs("clientId cannot change").await;
    assert_eq!(dev.secret("a-oauth2-client").unwrap()["CLIENT_ID"], id);
}

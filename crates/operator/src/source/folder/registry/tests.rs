//! What an API server would guarantee.

use std::sync::atomic::{AtomicBool, Ordering};

use crd::{OAuth2ClientSpec, OAuth2ClientStatus};
use tempfile::TempDir;

use super::*;

fn declared(name: &str, client_name: &str) -> BTreeMap<Key, Declared> {
    let spec: OAuth2ClientSpec = serde_json::from_value(serde_json::json!({
        "grantTypes": ["client_credentials"], "clientName": client_name,
    }))
    .unwrap();
    let mut client = OAuth2Client::new(name, spec);
    client.metadata.namespace = Some("default".to_owned());
    let resource = Resource::OAuth2Client(Box::new(client));
    BTreeMap::from([(Key::of(&resource), Declared { resource, file: "a.yaml".into() })])
}

fn client(resource: &Resource) -> &OAuth2Client {
    let Resource::OAuth2Client(client) = resource else { panic!("{resource:?}") };
    client
}

fn open(root: &TempDir) -> (DataFolder, Registry) {
    let data = DataFolder::open(root.path().join("data")).unwrap();
    let registry = Registry::open(&data, store::Clock::system());
    (data, registry)
}

#[test]
fn an_edit_and_a_status_that_come_at_once_both_stay() {
    let root = TempDir::new().unwrap();
    let (data, registry) = open(&root);
    let key = declared("a", "").into_keys().next().unwrap();
    registry.apply(&declared("a", "0"), &data);
    let done = AtomicBool::new(false);
    let written = std::thread::scope(|scope| {
        let reconciler = scope.spawn(|| {
            let mut written = 0;
            while !done.load(Ordering::SeqCst) {
                written += 1;
                let status = |resource: &mut Resource| {
                    let Resource::OAuth2Client(client) = resource else { unreachable!() };
                    client.status =
                        Some(OAuth2ClientStatus { observed_generation: Some(written), ..Default::default() });
                };
                registry.change(&key, &data, status).unwrap();
            }
            written
        });
        for edit in 1..=200 {
            // As read from the folder a moment ago: without the status of now.
            registry.apply(&declared("a", &edit.to_string()), &data);
        }
        done.store(true, Ordering::SeqCst);
        reconciler.join().unwrap()
    });
    for registry in [registry, open(&root).1] {
        let resource = registry.get(&key).unwrap();
        assert_eq!(client(&resource).spec.client_name.as_deref(), Some("200"));
        assert_eq!(client(&resource).metadata.generation, Some(201));
        assert_eq!(client(&resource).status.as_ref().unwrap().observed_generation, Some(written));
    }
}

#[test]
fn a_status_does_not_bring_back_what_is_gone() {
    let root = TempDir::new().unwrap();
    let (data, registry) = open(&root);
    let key = declared("a", "").into_keys().next().unwrap();
    for _ in 0..100 {
        registry.apply(&declared("a", ""), &data);
        std::thread::scope(|scope| {
            scope.spawn(|| registry.change(&key, &data, |_| {}).unwrap());
            registry.apply(&BTreeMap::new(), &data);
        });
        assert_eq!(registry.get(&key), None);
        assert_eq!(open(&root).1.keys(), []);
    }
}

#[test]
fn what_says_the_same_is_not_written() {
    let root = TempDir::new().unwrap();
    let (data, registry) = open(&root);
    assert_eq!(registry.apply(&declared("a", ""), &data).len(), 1);
    let (_, again) = open(&root);
    assert_eq!(again.resources(), registry.resources());
    assert_eq!(again.apply(&declared("a", ""), &data), []);
    let key = declared("a", "").into_keys().next().unwrap();
    let written = std::fs::metadata(path(&key, &data)).unwrap().modified().unwrap();
    again.apply(&declared("a", ""), &data);
    assert_eq!(std::fs::metadata(path(&key, &data)).unwrap().modified().unwrap(), written);
}

#[test]
fn a_secret_goes_with_its_owner_even_where_it_is_spoilt() {
    let root = TempDir::new().unwrap();
    let (data, registry) = open(&root);
    let file = data.secret_path("default", "a-oauth2-client");
    let secret = |uid: &str| {
        serde_json::json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"ownerReferences": [
            {"apiVersion": "keywright.dev/v1alpha1", "kind": "OAuth2Client", "name": "a", "uid": uid, "controller": true},
        ]}})
    };
    let key = declared("a", "").into_keys().next().unwrap();
    for (content, goes) in [
        (None, true),
        (Some(serde_json::json!("no Secret any more")), true),
        (Some(secret("somebody else")), false),
    ] {
        registry.apply(&declared("a", ""), &data);
        let uid = client(&registry.get(&key).unwrap()).metadata.uid.clone().unwrap();
        DataFolder::write(&file, &content.unwrap_or_else(|| secret(&uid))).unwrap();
        registry.apply(&BTreeMap::new(), &data);
        assert_eq!(file.exists(), !goes);
    }
}

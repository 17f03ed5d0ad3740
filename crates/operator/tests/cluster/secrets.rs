//! Secrets that somebody edits, deletes or brings.

use std::collections::BTreeMap;

use crd::{ConditionType, OAuth2Client, Reason, StatusTime};
use jiff::SignedDuration;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::core::ObjectMeta;
use serde_json::{Value, json};
use store::SecretState;

use crate::resource::Kind;
use crate::world::{World, entries, entry};

const NAME: &str = "orders-oauth2-client";

/// Waits until the Secret holds a working secret again that is not the former one.
async fn replaced(world: &World, client: &OAuth2Client, former: &oauth::ClientSecret) -> oauth::ClientSecret {
    let present = async || {
        let secret = world.secret(NAME).await?;
        let value = oauth::ClientSecret::new(entry(&secret, "CLIENT_SECRET")?);
        let id = oauth::ClientId::parse(entry(&secret, "CLIENT_ID")?).unwrap();
        (value != *former && world.lets_in(&(id, value.clone())).await).then_some(value)
    };
    let value = world.until("another secret that works", present).await;
    let id = client.status.as_ref().unwrap().client_id.clone();
    assert_eq!(entry(&world.secret(NAME).await.unwrap(), "CLIENT_ID"), id, "the id stays");
    value
}

async fn edit(world: &World, patch: Value) {
    world.patch_secret(NAME, patch).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_secret_comes_back_and_the_former_one_works_until_the_overlap_ends() {
    let world = World::new().await;
    world.start().await;
    let client = world.ready_service("orders").await;
    let (id, former) = world.credentials(&client).await;
    world.delete_secret(NAME).await;
    let value = replaced(&world, &client, &former).await;
    assert!(world.lets_in(&(id.clone(), former.clone())).await);
    world.oac("orders").tells(&["Created", "SecretRecreated"]).await;
    let expiry = |client: &OAuth2Client| {
        let rotation = client.status.as_ref()?.secret_rotation.as_ref()?;
        rotation.previous_secret_expires_at.map(StatusTime::get)
    };
    let until = world.now() + SignedDuration::from_hours(24);
    world.oac("orders").until("the overlap is told", |client| expiry(client) == Some(until)).await;

    world.advance(SignedDuration::from_secs(24 * 3600 - 1));
    assert!(world.lets_in(&(id.clone(), former.clone())).await);
    world.advance(SignedDuration::from_secs(1));
    assert!(!world.lets_in(&(id.clone(), former)).await);
    assert!(world.lets_in(&(id, value)).await);
    world.resync(1).await;
    world.oac("orders").until("no overlap is told", |client| expiry(client).is_none()).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tampered_secret_is_made_right() {
    let world = World::new().await;
    world.start().await;
    let client = world.ready_service("orders").await;
    let (id, first) = world.credentials(&client).await;
    let wrong = |text: &str| serde_json::to_value(ByteString(text.as_bytes().to_vec())).unwrap();

    edit(&world, json!({"data": {"CLIENT_SECRET": wrong("something-else-altogether")}})).await;
    let second = replaced(&world, &client, &first).await;
    assert!(world.lets_in(&(id.clone(), first.clone())).await, "workloads may still hold it");
    edit(&world, json!({"data": {"CLIENT_SECRET": null}})).await;
    let third = replaced(&world, &client, &second).await;
    assert!(world.lets_in(&(id.clone(), second)).await);

    // The id, and only the id: the secret is right as it is.
    edit(&world, json!({"data": {"CLIENT_ID": wrong("another")}})).await;
    let right = async || (entry(&world.secret(NAME).await?, "CLIENT_ID")? == id.as_str()).then_some(());
    world.until("the right id", right).await;
    // Our label and our reference too, one after the other: without both it would be somebody else's.
    for taken in [json!({"labels": {"keywright.dev/managed": null}}), json!({"ownerReferences": null})] {
        edit(&world, json!({"metadata": taken})).await;
        let restored = async || {
            let secret = world.secret(NAME).await?;
            let labelled = secret.labels().contains_key("keywright.dev/managed");
            (labelled && secret.owner_references().len() == 1).then_some(())
        };
        world.until("label and owner", restored).await;
    }
    assert_eq!(world.credentials(&client).await.1, third);

    // What is not ours is not touched.
    let theirs = json!({
        "metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}},
        "data": {"CA": wrong("certificate")},
    });
    edit(&world, theirs).await;
    world.resync(1).await;
    let secret = world.secret(NAME).await.unwrap();
    assert_eq!(entries(&secret), ["CA", "CLIENT_ID", "CLIENT_SECRET"]);
    assert_eq!((&*secret.labels()["team"], &*secret.annotations()["note"]), ("a", "b"));
    assert_eq!(world.credentials(&client).await.1, third);
    let tampered = ["Created", "SecretTampered", "SecretTampered"];
    world.oac("orders").tells(&tampered).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_secret_of_another_type_is_named_as_the_obstacle() {
    let world = World::new().await;
    world.start().await;
    let client = world.ready_service("orders").await;
    let (id, former) = world.credentials(&client).await;
    // The type cannot be changed in place.
    world.stop().await;
    world.delete_secret(NAME).await;
    let label = ("keywright.dev/managed".to_owned(), "true".to_owned());
    let other = Secret {
        metadata: ObjectMeta {
            name: Some(NAME.to_owned()),
            labels: Some([label].into()),
            ..ObjectMeta::default()
        },
        type_: Some("example.com/other".to_owned()),
        ..Secret::default()
    };
    let other = world.create_secret(&other).await;
    world.start().await;
    let stuck = world.oac("orders").stands(Reason::SecretInvalid).await;
    let message = &stuck.condition(&ConditionType::SecretReady).unwrap().message;
    assert!(message.contains("example.com/other"), "{message}");
    assert_eq!(world.secret(NAME).await.unwrap(), other);
    assert!(world.lets_in(&(id, former.clone())).await, "the client goes on with what it has");
    world.delete_secret(NAME).await;
    world.oac("orders").ready().await;
    replaced(&world, &client, &former).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_labels_and_annotations_follow_the_spec() {
    let world = World::new().await;
    world.start().await;
    let orders = world.oac("orders");
    let secret = json!({
        "keys": {"clientId": "id", "clientSecret": "CLIENT_SECRET", "issuer": "url"},
        "labels": {"app": "orders"},
        "annotations": {"reloader": "true"},
    });
    orders.create(json!({"grantTypes": ["client_credentials"], "secret": secret})).await;
    orders.ready().await;
    let before = world.secret(NAME).await.unwrap();
    assert_eq!(entries(&before), ["CLIENT_SECRET", "id", "url"]);
    assert_eq!((&*before.labels()["app"], &*before.annotations()["reloader"]), ("orders", "true"));

    let renamed = json!({
        "keys": {"clientId": "CLIENT_ID", "issuer": null}, "labels": null, "annotations": null,
    });
    orders.edit(json!({"secret": renamed})).await;
    orders.ready().await;
    let after = world.secret(NAME).await.unwrap();
    assert_eq!(entries(&after), ["CLIENT_ID", "CLIENT_SECRET"], "nothing is left under a former name");
    assert_eq!(entry(&after, "CLIENT_SECRET"), entry(&before, "CLIENT_SECRET"));
    assert!(!after.labels().contains_key("app"));
    world.finish().await;
}

fn referenced(label: bool, value: &str) -> Secret {
    let labels =
        label.then(|| BTreeMap::from([("keywright.dev/oauth2-client".to_owned(), "true".to_owned())]));
    Secret {
        metadata: ObjectMeta { name: Some("mine".to_owned()), labels, ..ObjectMeta::default() },
        data: Some([("CLIENT_SECRET".to_owned(), ByteString(value.as_bytes().to_vec()))].into()),
        ..Secret::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_referenced_secret_is_awaited_then_read_and_never_written() {
    let world = World::new().await;
    world.start().await;
    let orders = world.oac("orders");
    let reference = json!({"source": "Reference", "name": "mine"});
    orders.create(json!({"grantTypes": ["client_credentials"], "secret": reference})).await;
    orders.stands(Reason::SecretNotFound).await;

    let first = "a-value-that-somebody-chose";
    world.create_secret(&referenced(false, first)).await;
    orders.touch().await;
    let refused = orders.stands(Reason::SecretNotOptedIn).await;
    let message = &refused.condition(&ConditionType::SecretReady).unwrap().message;
    assert!(message.contains("keywright.dev/oauth2-client"), "{message}");
    let opt_in = json!({"metadata": {"labels": {"keywright.dev/oauth2-client": "true"}}});
    let written = world.patch_secret("mine", opt_in).await;
    let client = orders.ready().await;
    let id = oauth::ClientId::parse(client.status.unwrap().client_id.unwrap()).unwrap();
    let with = |value: &str| (id.clone(), oauth::ClientSecret::new(value.to_owned()));
    assert!(world.lets_in(&with(first)).await);

    let short = json!({"stringData": {"CLIENT_SECRET": "short"}});
    world.patch_secret("mine", short).await;
    orders.stands(Reason::SecretInvalid).await;
    assert!(world.lets_in(&with(first)).await, "the client goes on with what it has");

    let second = "another-value-that-somebody-chose";
    let change = json!({"stringData": {"CLIENT_SECRET": second}});
    world.patch_secret("mine", change).await;
    orders.ready().await;
    assert!(world.lets_in(&with(second)).await && world.lets_in(&with(first)).await);
    world.advance(SignedDuration::from_hours(24));
    assert!(world.lets_in(&with(second)).await && !world.lets_in(&with(first)).await);

    let now = world.secret("mine").await.unwrap();
    assert_eq!(now.owner_references(), written.owner_references());
    assert_eq!(entries(&now), ["CLIENT_SECRET"]);
    let writes = world.cluster.writes(&world.namespace).await;
    let ours = |write: &&harness::cluster::Write| {
        write.resource == "secrets" && write.user_agent == crate::world::OPERATOR
    };
    assert_eq!(writes.iter().filter(ours).count(), 0);
    let row = world.row(&id).await.unwrap();
    assert_eq!(row.secrets.iter().filter(|secret| secret.state == SecretState::Current).count(), 1);
    for told in [first, second] {
        assert!(!world.told(&world.namespace).await.contains(told));
        assert!(!crate::log::LOG.text().contains(told));
    }
    world.finish().await;
}

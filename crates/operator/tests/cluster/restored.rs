//! The API server's storage is put back to an older snapshot.

use std::path::Path;
use std::time::{Duration, Instant};

use crd::OAuth2Client;
use harness::{TestCluster, TestDatabase};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ListParams, PatchParams};
use serde_json::json;
use tokio::process::Command;
use tokio::time::interval;

use crate::log::LOG;
use crate::resource::Kind;
use crate::world::{World, merge};

async fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("--recursive").arg(from).arg(to).status().await.unwrap();
    assert!(copied.success());
}

/// The version that the API server is at.
async fn version(world: &World) -> u64 {
    let clients = Api::<OAuth2Client>::all(world.client.clone());
    let list = clients.list(&ListParams::default()).await.unwrap();
    list.metadata.resource_version.unwrap().parse().unwrap()
}

/// Longer than the operator takes from one look at the version to the next.
const BETWEEN_LOOKS: Duration = Duration::from_secs(21);

/// Many small changes, so that the operator has seen a version with which those after the restore do not catch up soon.
async fn churn(world: &World) {
    let maps = Api::<ConfigMap>::namespaced(world.client.clone(), &world.namespace);
    maps.create(&kube::api::PostParams::default(), &named("churn")).await.unwrap();
    let (began, mut pace) = (Instant::now(), interval(Duration::from_millis(50)));
    let mut n = 0;
    while began.elapsed() < BETWEEN_LOOKS || n < 300 {
        let change = merge(json!({"data": {"n": n.to_string()}}));
        maps.patch("churn", &PatchParams::default(), &change).await.unwrap();
        n += 1;
        pace.tick().await;
    }
}

fn named(name: &str) -> ConfigMap {
    serde_json::from_value(json!({"metadata": {"name": name}})).unwrap()
}

async fn scope_is(world: &World, id: &oauth::ClientId, scope: &str) {
    let is = async || {
        let row = world.row(id).await?;
        (row.metadata.scope.to_string() == scope).then_some(())
    };
    world.until(&format!("the scope {scope}"), is).await;
}

/// Scenario 36.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_older_snapshot_brings_back_is_declared_again_and_what_it_lacks_is_swept() {
    let cluster = TestCluster::own().await;
    let database = TestDatabase::postgres().await;
    let options = database.options();
    let world = World::on_cluster(cluster, database, options).await;
    world.start().await;
    let mut credentials = Vec::new();
    for name in ["kept", "edited", "deleted", "rotated"] {
        let client = world.ready_service(name).await;
        credentials.push(world.credentials(&client).await);
    }
    let [kept, edited, deleted, rotated] = credentials.try_into().unwrap();
    world.rest().await;

    cluster.kill().await;
    let snapshot = cluster.storage().with_file_name("snapshot");
    copy(&cluster.storage(), &snapshot).await;
    cluster.restart().await;
    world.oac("edited").edit(json!({"scopes": ["write"]})).await;
    scope_is(&world, &edited.0, "write").await;
    world.oac("deleted").delete().await;
    world.oac("deleted").gone().await;
    world.oac("rotated").annotate("keywright.dev/rotate-secret", "1").await;
    let client = world.oac("rotated").get().await.unwrap();
    let newer = async || world.present_credentials(&client).await.filter(|now| *now != rotated);
    world.until("a rotation", newer).await;
    let new = world.ready_service("new").await;
    let new = world.credentials(&new).await;
    world.rest().await;
    churn(&world).await;
    let before = version(&world).await;

    cluster.kill().await;
    tokio::fs::remove_dir_all(cluster.storage()).await.unwrap();
    tokio::fs::rename(&snapshot, cluster.storage()).await.unwrap();
    cluster.restart().await;
    assert!(version(&world).await < before, "the versions went back");

    // What happens now has versions below those that the watches had reached.
    world.oac("after").create(json!({"grantTypes": ["client_credentials"]})).await;
    world.delete_secret("kept-oauth2-client").await;
    world.oac("after").ready().await;
    assert!(LOG.text().contains("went back to an older state"));
    let client = world.oac("kept").get().await.unwrap();
    let again = async || world.present_credentials(&client).await;
    let again = world.until("a Secret again", again).await;
    assert_eq!(again.0, kept.0);
    scope_is(&world, &edited.0, "read").await;
    let back = async || world.lets_in(&deleted).await.then_some(());
    world.until("a client that was deleted after the snapshot is there again", back).await;
    let client = world.oac("rotated").get().await.unwrap();
    let works = async || {
        let found = world.present_credentials(&client).await?;
        world.lets_in(&found).await.then_some(())
    };
    world.until("what stands in the Secret works", works).await;
    for name in ["kept", "edited", "deleted", "rotated"] {
        assert!(world.oac(name).ready().await.is_ready());
    }

    // Nobody declares it any more, as far as the API server knows.
    assert!(world.oac("new").get().await.is_none());
    assert!(world.row(&new.0).await.is_some());
    world.advance(SignedDuration::from_mins(20));
    world.resync(5).await;
    world.until("it is swept", async || world.row(&new.0).await.is_none().then_some(())).await;
    world.finish().await;
    cluster.stop().await;
}

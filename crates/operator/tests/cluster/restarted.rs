//! The API server restarts while there is much to do.

use std::time::Duration;

use harness::{TestCluster, TestDatabase};
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::task::JoinSet;

use crate::resource::Kind;
use crate::world::World;

const CLIENTS: usize = 200;
/// How many are created at once.
const CREATORS: usize = 8;

/// Creates clients, each until the API server has it.
fn create_all(world: &World) -> JoinSet<()> {
    let mut creators = JoinSet::new();
    for creator in 0..CREATORS {
        let api = Api::<crd::OAuth2Client>::namespaced(world.client.clone(), &world.namespace);
        let instance = world.namespace.clone();
        creators.spawn(async move {
            for n in (creator..CLIENTS).step_by(CREATORS) {
                let spec = json!({"instance": instance, "grantTypes": ["client_credentials"]});
                let resource = json!({
                    "apiVersion": "keywright.dev/v1alpha1", "kind": "OAuth2Client",
                    "metadata": {"name": format!("client-{n}")}, "spec": spec,
                });
                let resource = serde_json::from_value(resource).unwrap();
                while let Err(error) = api.create(&PostParams::default(), &resource).await {
                    // It was there, and its answer was not.
                    if matches!(&error, kube::Error::Api(status) if status.code == 409) {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        });
    }
    creators
}

/// How many of the clients are ready; `None` while the API server does not say.
async fn ready(world: &World) -> Option<usize> {
    let api = Api::<crd::OAuth2Client>::namespaced(world.client.clone(), &world.namespace);
    let clients = api.list(&ListParams::default()).await.ok()?.items;
    Some(clients.iter().filter(|client| client.is_ready()).count())
}

/// Scenario 35: the API server dies twice in the midst of it, and what it had stored stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_created_around_restarts_of_the_api_server_is_made_once() {
    let cluster = TestCluster::own().await;
    let database = TestDatabase::postgres().await;
    let options = database.options();
    let world = World::on_cluster(cluster, database, options).await;
    world.start().await;
    let mut creators = create_all(&world);
    let some = async |least: usize| {
        world.until("it is at work", async || ready(&world).await.filter(|count| *count >= least)).await
    };
    assert!(some(10).await < CLIENTS, "there is more to do");
    cluster.kill().await;
    cluster.restart().await;
    assert!(some(30).await < CLIENTS, "there is more to do");
    cluster.kill().await;
    assert!(ready(&world).await.is_none(), "it is gone");
    cluster.restart().await;
    while let Some(created) = creators.join_next().await {
        created.unwrap();
    }
    some(CLIENTS).await;
    world.rest().await;

    let cluster_id = world.context.settings.cluster.clone();
    assert_eq!(world.store.managed_clients(&cluster_id).await.unwrap().len(), CLIENTS, "no row twice");
    let secrets = world.secrets().list(&ListParams::default()).await.unwrap().items;
    assert_eq!(secrets.len(), CLIENTS);
    for name in ["client-0", "client-57", "client-199"] {
        let client = world.oac(name).get().await.unwrap();
        assert!(world.lets_in(&world.credentials(&client).await).await, "{}", client.name_any());
    }
    world.finish().await;
    cluster.stop().await;
}

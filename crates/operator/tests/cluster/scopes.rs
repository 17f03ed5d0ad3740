//! An operator that looks after some namespaces only.

use crd::OAuth2Client;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PatchParams;
use kube::{Api, Client};
use operator::source::cluster::{Options, Scope};
use serde_json::json;

use crate::resource::{Handle, Kind};
use crate::world::{World, merge};

fn service(world: &World) -> serde_json::Value {
    json!({"grantTypes": ["client_credentials"], "instance": world.namespace})
}

async fn label(client: &Client, namespace: &str, team: Option<&str>) {
    let labels = merge(json!({"metadata": {"labels": {"example.com/team": team}}}));
    let namespaces = Api::<Namespace>::all(client.clone());
    namespaces.patch(namespace, &PatchParams::default(), &labels).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespaces_that_are_not_watched_are_left_alone() {
    let world = World::new().await;
    let (watched, other) = (world.cluster.namespace().await, world.cluster.namespace().await);
    let scope = Scope::Namespaces(vec![world.namespace.clone(), watched.clone()]);
    world.start_so(world.config.clone(), Options { scope, ..Options::default() }).await;
    let here = world.ready_service("orders").await;
    let there: Handle<'_, OAuth2Client> = Handle::new(&world, &watched, "orders");
    let elsewhere: Handle<'_, OAuth2Client> = Handle::new(&world, &other, "orders");
    elsewhere.create(service(&world)).await;
    there.create(service(&world)).await;
    assert!(there.ready().await.is_ready());
    // A Secret of each namespace is watched, too.
    let former = world.credentials(&here).await;
    world.delete_secret(&here.secret_name()).await;
    let renewed = async || world.present_credentials(&here).await.filter(|now| *now != former);
    world.until("a Secret again", renewed).await;
    world.rest().await;
    assert!(elsewhere.get().await.unwrap().status.is_none());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn namespaces_are_looked_after_from_when_a_selector_selects_them() {
    let world = World::new().await;
    let other = world.cluster.namespace().await;
    let team = world.namespace.clone();
    label(&world.client, &world.namespace, Some(&team)).await;
    let own = world.cluster.namespace().await;
    let scope = Scope::Selector { labels: format!("example.com/team={team}"), own: own.clone() };
    world.start_so(world.config.clone(), Options { scope, ..Options::default() }).await;
    let elsewhere: Handle<'_, OAuth2Client> = Handle::new(&world, &other, "elsewhere");
    elsewhere.create(service(&world)).await;
    world.ready_service("orders").await;
    world.rest().await;
    assert!(elsewhere.get().await.unwrap().status.is_none());
    let beside_the_operator: Handle<'_, OAuth2Client> = Handle::new(&world, &own, "beside");
    beside_the_operator.create(service(&world)).await;
    beside_the_operator.ready().await;

    label(&world.client, &other, Some(&team)).await;
    elsewhere.ready().await;
    label(&world.client, &other, None).await;
    let unlabelled = async || {
        world.rest().await;
        elsewhere.touch().await;
        let before = world.reconciliations();
        world.rest().await;
        (world.reconciliations() == before).then_some(())
    };
    world.until("it is left alone", unlabelled).await;
    world.finish().await;
}

//! The API server goes away, or takes rights away, and comes back.

use crd::{ConditionType, OAuth2Client, Reason};
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use crate::log::LOG;
use crate::proxy::Proxy;
use crate::resource::Kind;
use crate::rights;
use crate::world::{World, entries};

fn concerns_status(rule: &PolicyRule) -> bool {
    rule.resources.iter().flatten().any(|resource| resource.ends_with("/status"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_while_it_could_not_be_reached_is_caught_up_with() {
    let world = World::new().await;
    let (proxy, config) = Proxy::before_api_server(&world.config).await;
    world.start_with(config, false).await;
    for name in ["edited", "deleted", "stripped"] {
        world.ready_service(name).await;
    }
    let stripped = world.oac("stripped").get().await.unwrap();
    let former = world.credentials(&stripped).await;

    proxy.cut();
    world.until("it tries in vain", async || (proxy.refused() > 2).then_some(())).await;
    world.oac("edited").edit(json!({"scopes": ["write"]})).await;
    world.oac("deleted").delete().await;
    world.delete_secret("stripped-oauth2-client").await;
    world.oac("new").create(json!({"grantTypes": ["client_credentials"]})).await;
    world.advance(jiff::SignedDuration::from_hours(1));
    assert!(world.lets_in(&former).await, "the server is not affected");

    proxy.restore();
    world.oac("new").ready().await;
    world.oac("deleted").gone().await;
    let edited = world.oac("edited").ready().await;
    let id = world.credentials(&edited).await.0;
    assert_eq!(world.row(&id).await.unwrap().metadata.scope.to_string(), "write");
    let renewed = async || world.present_credentials(&stripped).await;
    let renewed = world.until("another Secret", renewed).await;
    assert_eq!(renewed.0, former.0);
    world.oac("stripped").ready().await;
    assert!(world.lets_in(&renewed).await);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_that_are_taken_away_are_missed_in_the_status_and_used_when_they_are_back() {
    let world = World::new().await;
    let config = rights::as_account(&world, "revocable").await;
    let all = rights::bind(&world, "revocable", |_| true).await;
    world.start_with(config.clone(), false).await;
    world.ready_service("before").await;

    let roles = Api::<ClusterRole>::all(world.client.clone());
    let set_rules = async |rules| {
        let patch = Patch::Merge(json!({"rules": rules}));
        roles.patch("revocable", &PatchParams::default(), &patch).await.unwrap();
    };
    let without = all.iter().filter(|rule| !rights::concerns_secrets(rule)).cloned().collect::<Vec<_>>();
    set_rules(without).await;
    let client = Client::try_from(config).unwrap();
    let secrets = Api::<k8s_openapi::api::core::v1::Secret>::namespaced(client.clone(), &world.namespace);
    world.until("the rights are gone", async || secrets.get_opt("any").await.is_err().then_some(())).await;
    world.oac("after").create(json!({"grantTypes": ["client_credentials"]})).await;
    let told = |client: &OAuth2Client| {
        let ready = client.condition(&ConditionType::Ready);
        ready.is_some_and(|ready| ready.message.contains("forbidden") && ready.reason == Reason::Progressing)
    };
    world.oac("after").until("it says what it may not do", told).await;

    set_rules(all.clone()).await;
    world.oac("after").ready().await;
    world.oac("before").ready().await;

    // Without the right to say how things stand it goes on all the same.
    let without = all.iter().filter(|rule| !concerns_status(rule)).cloned().collect::<Vec<_>>();
    assert!(without.len() < all.len());
    set_rules(without).await;
    let silent = world.oac("silent");
    let clients = Api::<OAuth2Client>::namespaced(client, &world.namespace);
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    let nothing = Patch::Merge(json!({"status": {}}));
    let denied = async || clients.patch_status("before", &dry, &nothing).await.is_err().then_some(());
    world.until("the rights are gone", denied).await;
    silent.create(json!({"grantTypes": ["client_credentials"]})).await;
    let written =
        async || world.secret("silent-oauth2-client").await.filter(|secret| !entries(secret).is_empty());
    world.until("a Secret", written).await;
    let said = async || {
        let told = LOG.lines_with(&world.namespace);
        told.lines().any(|line| line.contains("silent") && line.contains("forbidden")).then_some(())
    };
    world.until("it says what it may not do", said).await;
    assert!(silent.get().await.unwrap().status.is_none());
    set_rules(all).await;
    silent.touch().await;
    let ready = silent.ready().await;
    assert!(world.lets_in(&world.credentials(&ready).await).await);
    world.finish().await;
}

//! Secrets that the API server does not let in: each is told in the status, and tried again.

use crd::{ConditionStatus, ConditionType, OAuth2Client, Reason};
use k8s_openapi::api::core::v1::{Namespace, ResourceQuota};
use kube::Api;
use kube::api::{DeleteParams, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::resource::{Handle, Kind};
use crate::webhook::Webhook;
use crate::world::{World, entries, merge};

fn service() -> Value {
    json!({"grantTypes": ["client_credentials"], "scopes": ["read"]})
}

impl Handle<'_, OAuth2Client> {
    /// Waits until the status says of the Secret, and of the whole, what stands in the way.
    async fn is_refused(&self, why: &str) -> OAuth2Client {
        let told = |client: &OAuth2Client| {
            [ConditionType::SecretReady, ConditionType::Ready].iter().all(|type_| {
                client.condition(type_).is_some_and(|condition| {
                    condition.status == ConditionStatus::False && condition.message.contains(why)
                })
            })
        };
        self.until(why, told).await
    }
}

/// Scenario 44: an external webhook.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_refuses_is_quoted_without_the_secret() {
    let world = World::new().await;
    let webhook = Webhook::install(&world).await;
    let refused = webhook.refused();
    world.start().await;
    let orders = world.oac("orders");
    orders.create(service()).await;
    let stuck = orders.is_refused("the vault has no room for … here").await;
    assert!(webhook.refused() > refused, "it was asked");
    assert_eq!(stuck.reason(), Some(&Reason::Progressing));
    assert!(stuck.condition(&ConditionType::Stalled).is_none(), "an edit is not what helps");
    let secret = world.secret("orders-oauth2-client").await;
    assert!(secret.is_none_or(|secret| entries(&secret).is_empty()));

    // It could say yes again at any time, or not be there at all.
    webhook.die();
    orders.touch().await;
    orders.is_refused("failed calling webhook").await;
    webhook.remove(&world).await;
    orders.touch().await;
    let client = orders.ready().await;
    assert!(world.lets_in(&world.credentials(&client).await).await);
    orders.tells(&["Created"]).await;
    world.finish().await;
}

/// Scenario 45: no Secret more. Nobody computes what is used here, so the test says it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_that_is_used_up_is_told_and_waited_for() {
    let world = World::new().await;
    world.start().await;
    world.ready_service("before").await;
    let quotas = Api::<ResourceQuota>::namespaced(world.client.clone(), &world.namespace);
    let quota = json!({"metadata": {"name": "few"}, "spec": {"hard": {"count/secrets": "1"}}});
    let quota: ResourceQuota = serde_json::from_value(quota).unwrap();
    quotas.create(&PostParams::default(), &quota).await.unwrap();
    let used = async |hard: &str| {
        let limits = json!({
            "spec": {"hard": {"count/secrets": hard}},
            "status": {"hard": {"count/secrets": hard}, "used": {"count/secrets": "1"}},
        });
        quotas.patch("few", &PatchParams::default(), &merge(limits.clone())).await.unwrap();
        quotas.patch_status("few", &PatchParams::default(), &merge(limits)).await.unwrap();
    };
    used("1").await;
    let probe = serde_json::from_value(json!({"metadata": {"name": "probe"}})).unwrap();
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let in_force = async || world.secrets().create(&dry, &probe).await.is_err().then_some(());
    world.until("the quota is in force", in_force).await;

    let orders = world.oac("orders");
    orders.create(service()).await;
    orders.is_refused("exceeded quota: few").await;
    assert!(world.secret("orders-oauth2-client").await.is_none());
    // Who has a Secret goes on, and what is declared of it arrives.
    world.oac("before").edit(json!({"scopes": ["write"]})).await;
    let before = world.oac("before").ready().await;
    assert!(world.lets_in(&world.credentials(&before).await).await);
    used("10").await;
    world.until("there is room", async || world.secrets().create(&dry, &probe).await.ok()).await;
    orders.touch().await;
    let client = orders.ready().await;
    assert!(world.lets_in(&world.credentials(&client).await).await);
    world.finish().await;
}

/// Scenario 45: a namespace on its way out takes no new Secrets, and lets its resources go. Nobody ends it here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_namespace_that_ends_nothing_is_made_and_everything_is_let_go() {
    let world = World::new().await;
    world.start().await;
    let ready = world.ready_service("ready").await;
    let credentials = world.credentials(&ready).await;
    world.stop().await;
    let late = world.oac("late");
    late.create(service()).await;
    let namespaces = Api::<Namespace>::all(world.client.clone());
    namespaces.delete(&world.namespace, &DeleteParams::default()).await.unwrap();
    let phase = async || {
        let namespace = namespaces.get(&world.namespace).await.unwrap();
        (namespace.status?.phase? == "Terminating").then_some(())
    };
    world.until("it ends", phase).await;
    world.start().await;
    late.is_refused("it is being terminated").await;
    assert!(world.lets_in(&credentials).await, "who is still there goes on");
    // As the namespace's controller does it.
    for name in ["ready", "late"] {
        world.oac(name).delete().await;
        world.oac(name).gone().await;
    }
    assert!(world.row(&credentials.0).await.is_none());
    world.finish().await;
}

/// Scenario 45: names that the Secret's name leaves no room for are refused at the door; the longest others work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_names_work_and_longer_ones_are_refused_when_they_are_applied() {
    let world = World::new().await;
    world.start().await;
    let longest = format!("{}{}", "a.".repeat(80), "b".repeat(40));
    assert_eq!(longest.len(), 200);
    let client = world.ready_service(&longest).await;
    let credentials = world.credentials(&client).await;
    assert!(world.lets_in(&credentials).await);
    world.oac(&longest).tells(&["Created"]).await;

    let longer = json!({
        "apiVersion": "keywright.dev/v1alpha1", "kind": "OAuth2Client",
        "metadata": {"name": format!("{longest}c")}, "spec": service(),
    });
    let arguments = ["--namespace", &*world.namespace, "apply", "-f", "-"];
    let output = world.cluster.kubectl(&arguments, &longer.to_string()).await;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && error.contains("at most 200 characters"), "{error}");
    world.oac(&longest).delete().await;
    world.oac(&longest).gone().await;
    assert!(world.row(&credentials.0).await.is_none());
    world.finish().await;
}

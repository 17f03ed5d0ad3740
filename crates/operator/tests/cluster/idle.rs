//! Nothing is written where nothing changed.

use crd::{JsonWebKeySet, OAuth2Client};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use operator::metrics::{KeyLabels, ResourceLabels};
use serde_json::json;

use crate::world::{OPERATOR, World};

async fn versions<K>(world: &World) -> Vec<(String, Option<String>)>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api = Api::<K>::namespaced(world.client.clone(), &world.namespace);
    let objects = api.list(&ListParams::default()).await.unwrap().items;
    objects.iter().map(|object| (object.name_any(), object.resource_version())).collect()
}

async fn all_versions(world: &World) -> Vec<(String, Option<String>)> {
    let mut all = versions::<OAuth2Client>(world).await;
    all.extend(versions::<JsonWebKeySet>(world).await);
    all.extend(versions::<Secret>(world).await);
    all
}

/// How many requests of the operator have changed something so far, or tried to.
async fn writes(world: &World) -> usize {
    let writes = world.cluster.writes(&world.namespace).await;
    writes.iter().filter(|write| write.user_agent == OPERATOR).count()
}

/// How many resources [`settle_one_of_each`] makes.
const RESOURCES: u64 = 7;

/// Resources that stand in each way in which one can stand for long.
async fn settle_one_of_each(world: &World) {
    world.ready_service("service").await;
    let rotation = json!({"period": "720h"});
    let spec = json!({"redirectUris": ["https://a/cb"], "secretRotation": rotation, "clientId": "x.y"});
    world.oac("named").create(spec).await;
    let public = json!({"redirectUris": ["https://a/cb"], "tokenEndpointAuthMethod": "none"});
    world.oac("public").create(public).await;
    let waiting = json!({"source": "Reference", "name": "absent"});
    world.oac("waiting").create(json!({"redirectUris": ["https://a/cb"], "secret": waiting})).await;
    world.jwks("set").create(json!({"algorithms": ["ES256", "EdDSA"]})).await;
    world.jwks("impossible").create(json!({"rotation": {"schedule": "61 * * * *"}})).await;
    for name in ["named", "public"] {
        world.oac(name).ready().await;
    }
    world.oac("rival").create(json!({"redirectUris": ["https://b/cb"], "clientId": "x.y"})).await;
    world.oac("waiting").stands(crd::Reason::SecretNotFound).await;
    world.oac("rival").stands(crd::Reason::ClientIdConflict).await;
    world.jwks("set").ready().await;
    world.jwks("impossible").stands(crd::Reason::InvalidSpec).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_settled_is_read_and_never_written() {
    let world = World::new().await;
    world.start().await;
    settle_one_of_each(&world).await;
    // Another controller's condition, before all of ours.
    let foreign = json!([{
        "type": "example.com/Audited", "status": "True", "reason": "Audited", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]);
    for name in ["service", "waiting"] {
        let status = json!({
            "apiVersion": "keywright.dev/v1alpha1", "kind": "OAuth2Client", "metadata": {"name": name},
            "status": {"conditions": foreign},
        });
        let params = PatchParams::apply("auditor");
        world.oac(name).api.patch_status(name, &params, &Patch::Apply(status)).await.unwrap();
    }
    world.resync(RESOURCES).await;
    world.rest().await;

    let (before, written) = (all_versions(&world).await, writes(&world).await);
    let statements = world.store.statements();
    assert!(written > 10, "the audit log tells of the operator: {written}");
    for _ in 0..3 {
        world.resync(RESOURCES).await;
        world.rest().await;
    }
    assert_eq!(all_versions(&world).await, before);
    assert_eq!(writes(&world).await, written);
    assert!(
        world.store.statements() - statements <= 3 * 3 * RESOURCES + 10,
        "{}",
        world.store.statements() - statements
    );

    // The database was away, for a moment: all are looked at, and nothing is found.
    let reconciled = world.reconciliations();
    world.context.gate.close();
    world
        .until("all seen anew", async || (world.reconciliations() >= reconciled + RESOURCES).then_some(()))
        .await;
    assert_eq!(all_versions(&world).await, before);
    assert_eq!(writes(&world).await, written);

    let audited = |client: &OAuth2Client| {
        let conditions = &client.status.as_ref().unwrap().conditions;
        conditions.iter().any(|condition| condition.type_.as_str() == "example.com/Audited")
    };
    world.oac("service").edit(json!({"clientName": "Service"})).await;
    let edited = world.oac("service").ready().await;
    assert!(audited(&edited), "it is still theirs");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metrics_say_how_all_resources_stand() {
    let world = World::new().await;
    world.start().await;
    settle_one_of_each(&world).await;
    world.advance(jiff::SignedDuration::from_hours(1));
    let metrics = &world.context.metrics;
    let counted = |kind: &str, ready: &str, reason: &str| {
        let labels = ResourceLabels { kind: kind.into(), ready: ready.into(), reason: reason.into() };
        metrics.resources.get_or_create(&labels).get()
    };
    let all = async || {
        let counts = [
            counted("OAuth2Client", "True", "Synced"),
            counted("OAuth2Client", "False", "SecretNotFound"),
            counted("OAuth2Client", "False", "ClientIdConflict"),
            counted("JsonWebKeySet", "True", "Synced"),
            counted("JsonWebKeySet", "False", "InvalidSpec"),
        ];
        (counts == [3, 1, 1, 1, 1]).then_some(())
    };
    world.until("all are counted", all).await;
    let active = KeyLabels { set: "set".to_owned(), state: "Active".to_owned() };
    let age = async || (metrics.key_age.get_or_create(&active).get() == 3600).then_some(());
    world.until("the keys are an hour old", age).await;
    world.oac("rival").delete().await;
    let fewer = async || (counted("OAuth2Client", "False", "ClientIdConflict") == 0).then_some(());
    world.until("one is gone", fewer).await;
    world.finish().await;
}

//! What the reconcilers are promised of the API server: see [`Objects`].

use crd::{Condition, ConditionStatus, ConditionType, OAuth2Client, OAuth2ClientStatus, Reason, names};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, Resource, ResourceExt};
use operator::{ObjectError, Objects, objects::ResourceView};
use serde_json::{Value, json};

use crate::resource::Kind;
use crate::world::{World, entries, entry};

fn secret(world: &World, version: Option<String>, data: &[(&str, &str)]) -> Secret {
    let label = (names::MANAGED.to_owned(), names::LABEL_TRUE.to_owned());
    let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
    Secret {
        metadata: ObjectMeta {
            name: Some("credentials".to_owned()),
            namespace: Some(world.namespace.clone()),
            labels: Some([label].into()),
            resource_version: version,
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        data: Some(data.iter().map(|(key, value)| ((*key).to_owned(), bytes(value))).collect()),
        ..Secret::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_who_write_a_secret_one_is_told_that_it_lost() {
    let world = World::new().await;
    let objects = &*world.context.objects;
    assert!(objects.secret(&world.namespace, "credentials").await.unwrap().is_none());
    objects.write_secret(&secret(&world, None, &[("a", "1"), ("b", "1")])).await.unwrap();
    let raced = objects.write_secret(&secret(&world, None, &[("a", "2")])).await;
    assert!(matches!(raced, Err(ObjectError::Raced)), "it exists: {raced:?}");

    let version = world.secret("credentials").await.unwrap().resource_version();
    world.patch_secret("credentials", json!({"stringData": {"c": "theirs"}})).await;
    let raced = objects.write_secret(&secret(&world, version, &[("a", "3")])).await;
    assert!(matches!(raced, Err(ObjectError::Raced)), "it changed: {raced:?}");
    let version = world.secret("credentials").await.unwrap().resource_version();
    objects.write_secret(&secret(&world, version, &[("a", "3")])).await.unwrap();
    let now = world.secret("credentials").await.unwrap();
    assert_eq!(entries(&now), ["a", "c"], "ours that is no longer wanted goes, theirs stays");
    assert_eq!(entry(&now, "a").as_deref(), Some("3"));

    world.delete_secret("credentials").await;
    let mut late = secret(&world, now.resource_version(), &[("a", "4")]);
    late.metadata.uid = now.uid();
    let raced = objects.write_secret(&late).await;
    assert!(matches!(raced, Err(ObjectError::Raced)), "it is gone: {raced:?}");
    assert!(world.secret("credentials").await.is_none());

    let mut nowhere = secret(&world, None, &[("a", "1")]);
    nowhere.metadata.namespace = Some("no-such-namespace".to_owned());
    let refused = objects.write_secret(&nowhere).await;
    assert!(
        matches!(&refused, Err(ObjectError::Refused(why)) if why.contains("no-such-namespace")),
        "{refused:?}"
    );
    let mut config = world.config.clone();
    config.cluster_url = "https://127.0.0.1:1".parse().unwrap();
    let away = operator::source::cluster::ClusterObjects::new(kube::Client::try_from(config).unwrap());
    let unreachable = away.secret(&world.namespace, "credentials").await;
    assert!(
        matches!(&unreachable, Err(ObjectError::Unavailable(why)) if why.contains("refused")),
        "{unreachable:?}"
    );
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn finalizers_are_changed_on_the_very_object_that_was_read() {
    let world = World::new().await;
    let objects = &*world.context.objects;
    let orders = world.oac("orders");
    let read = orders.create(json!({"grantTypes": ["client_credentials"]})).await;
    let view = ResourceView::Client(&read);
    let ours = names::CLIENT_FINALIZER;
    assert_eq!(objects.add_finalizer(view, ours).await.unwrap().finalizers, [ours]);
    assert_eq!(objects.add_finalizer(view, ours).await.unwrap().finalizers, [ours], "as good as once");
    orders.patch(json!({"metadata": {"finalizers": ["example.com/a", ours, "example.com/b"]}})).await;
    // The list is another by now, and ours stands elsewhere in it.
    let stale = OAuth2Client {
        metadata: ObjectMeta { finalizers: Some(vec![ours.to_owned()]), ..read.metadata.clone() },
        ..read.clone()
    };
    let left = objects.remove_finalizer(ResourceView::Client(&stale), ours).await.unwrap();
    assert_eq!(left.finalizers, ["example.com/a", "example.com/b"]);
    assert_eq!(objects.add_finalizer(view, ours).await.unwrap().finalizers.len(), 3);

    orders.delete().await;
    orders.patch(json!({"metadata": {"finalizers": ["example.com/a"]}})).await;
    let late = objects.add_finalizer(view, ours).await;
    assert!(matches!(late, Err(ObjectError::Raced)), "none is added to what is going: {late:?}");
    orders.patch(json!({"metadata": {"finalizers": null}})).await;
    orders.gone().await;
    assert!(
        objects.remove_finalizer(ResourceView::Client(&stale), ours).await.unwrap().finalizers.is_empty()
    );

    // Another resource of the same name is not the one that was read.
    let spec = json!({"grantTypes": ["client_credentials"]});
    let again = orders.create(spec).await;
    orders.patch(json!({"metadata": {"finalizers": [ours]}})).await;
    assert!(matches!(objects.add_finalizer(view, ours).await, Err(ObjectError::Raced)));
    assert!(
        objects.remove_finalizer(ResourceView::Client(&stale), ours).await.unwrap().finalizers.is_empty()
    );
    assert_eq!(orders.get().await.unwrap().finalizers(), [ours]);
    assert_ne!(again.uid(), read.uid());
    world.finish().await;
}

fn status(reason: &Reason, conditions: &[ConditionType]) -> OAuth2ClientStatus {
    let condition = |type_: &ConditionType| Condition {
        type_: type_.clone(),
        status: ConditionStatus::False,
        observed_generation: Some(1),
        last_transition_time: crate::world::START.parse::<jiff::Timestamp>().unwrap().into(),
        reason: reason.clone(),
        message: String::new(),
    };
    OAuth2ClientStatus { conditions: conditions.iter().map(condition).collect(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_is_written_to_the_very_object_and_leaves_others_conditions_alone() {
    let world = World::new().await;
    let objects = &*world.context.objects;
    let orders = world.oac("orders");
    let read = orders.create(json!({"grantTypes": ["client_credentials"]})).await;
    let theirs = ConditionType::Other("example.com/Audited".to_owned());
    let wanted = status(&Reason::InvalidSpec, &[ConditionType::Ready, ConditionType::Stalled, theirs]);
    objects.write_client_status(&read, &wanted).await.unwrap();
    let types = async || {
        let conditions = orders.get().await.unwrap().status.unwrap().conditions;
        conditions.into_iter().map(|condition| condition.type_.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(types().await, ["Ready", "Stalled"], "another's condition is not ours to write");
    let progressing = status(&Reason::Progressing, &[ConditionType::Ready]);
    let late = objects.write_client_status(&read, &progressing).await;
    assert!(matches!(late, Err(ObjectError::Raced)), "it is no longer what was read: {late:?}");
    assert_eq!(types().await, ["Ready", "Stalled"]);
    let now = orders.get().await.unwrap();
    objects.write_client_status(&now, &progressing).await.unwrap();
    assert_eq!(types().await, ["Ready"]);

    orders.delete().await;
    orders.gone().await;
    objects.write_client_status(&read, &wanted).await.unwrap();
    orders.create(json!({"grantTypes": ["client_credentials"]})).await;
    let raced = objects.write_client_status(&read, &wanted).await;
    assert!(matches!(raced, Err(ObjectError::Raced)), "{raced:?}");
    assert!(orders.get().await.unwrap().conditions().is_empty(), "nothing is written");
    world.finish().await;
}

/// Makes the API server refuse the world's Secrets of clients, and quote what is in them.
async fn refuse_secrets(world: &World) {
    let name = format!("refuse-{}", world.namespace);
    let policy: ValidatingAdmissionPolicy = from(json!({
        "metadata": {"name": name},
        "spec": {
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["secrets"],
            }]},
            "validations": [{
                "expression": "!has(object.data) || !('CLIENT_SECRET' in object.data)",
                "messageExpression": "'no room for ' + string(object.data['CLIENT_SECRET']) + ' here'",
            }],
        },
    }));
    let binding: ValidatingAdmissionPolicyBinding = from(json!({
        "metadata": {"name": name},
        "spec": {
            "policyName": name,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"matchLabels": {
                "kubernetes.io/metadata.name": world.namespace,
            }}},
        },
    }));
    Api::all(world.client.clone()).create(&PostParams::default(), &policy).await.unwrap();
    Api::all(world.client.clone()).create(&PostParams::default(), &binding).await.unwrap();
    let probe = secret(world, None, &[("CLIENT_SECRET", "anything")]);
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    let in_force = async || world.secrets().create(&dry, &probe).await.is_err().then_some(());
    world.until("the policy is in force", in_force).await;
}

fn from<K: serde::de::DeserializeOwned>(manifest: Value) -> K {
    serde_json::from_value(manifest).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_refuses_a_secret_is_quoted_without_the_secret() {
    let world = World::new().await;
    refuse_secrets(&world).await;
    let objects = &*world.context.objects;
    let refused = objects.write_secret(&secret(&world, None, &[("CLIENT_SECRET", "hunter2hunter2")])).await;
    let Err(ObjectError::Refused(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("no room for … here"), "{why}");

    world.start().await;
    let orders = world.oac("orders");
    orders.create(json!({"grantTypes": ["client_credentials"]})).await;
    let told = |client: &OAuth2Client| {
        let conditions = client.status.iter().flat_map(|status| &status.conditions);
        conditions.into_iter().any(|condition| condition.message.contains("no room for … here"))
    };
    let stuck = orders.until("the refusal is told", told).await;
    assert_eq!(stuck.meta().generation, Some(1));

    let policies = Api::<ValidatingAdmissionPolicyBinding>::all(world.client.clone());
    policies
        .delete(&format!("refuse-{}", world.namespace), &kube::api::DeleteParams::default())
        .await
        .unwrap();
    orders.ready().await;
    world.finish().await;
}

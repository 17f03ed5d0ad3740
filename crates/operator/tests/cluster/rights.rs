//! The operator with the rights of `config/rbac`, and no others.

use std::time::Duration;

use crd::Reason;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule};
use kube::api::{DeleteParams, PostParams};
use kube::config::AuthInfo;
use kube::core::ObjectMeta;
use kube::{Api, Client, Config};
use operator::plan::lease::Times;
use operator::source::cluster::{self, Election, Options};
use serde_json::json;
use tokio::sync::{OnceCell, watch};
use tokio_util::sync::CancellationToken;

use crate::log::LOG;
use crate::world::World;

static INSTALLED: OnceCell<()> = OnceCell::const_new();

/// Acts as a service account in the operator's namespace.
pub async fn as_account(world: &World, account: &str) -> Config {
    INSTALLED
        .get_or_init(async || {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/rbac");
            kubectl(world, &["apply", "--kustomize", folder]).await;
            for account in ["limited", "revocable", "electionless"] {
                kubectl(world, &["create", "serviceaccount", account, "--namespace", "keywright"]).await;
            }
        })
        .await;
    let token = kubectl(world, &["create", "token", account, "--namespace", "keywright"]).await;
    let mut config = world.config.clone();
    config.auth_info = AuthInfo::default();
    config.auth_info.token = Some(token.trim().to_owned().into());
    config
}

async fn kubectl(world: &World, arguments: &[&str]) -> String {
    let output = world.cluster.kubectl(arguments, "").await;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Gives an account those of the operator's rights that `keep` keeps, under its own name.
pub async fn bind(world: &World, account: &str, keep: impl Fn(&PolicyRule) -> bool) -> Vec<PolicyRule> {
    let roles = Api::<ClusterRole>::all(world.client.clone());
    let mut role = roles.get("keywright-operator").await.unwrap();
    role.metadata = ObjectMeta { name: Some(account.to_owned()), ..ObjectMeta::default() };
    let mut kept = role.rules.take().unwrap();
    kept.retain(keep);
    role.rules = Some(kept.clone());
    roles.create(&PostParams::default(), &role).await.unwrap();
    let binding = json!({
        "metadata": {"name": account},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": account},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": "keywright"}],
    });
    let binding: ClusterRoleBinding = serde_json::from_value(binding).unwrap();
    Api::all(world.client.clone()).create(&PostParams::default(), &binding).await.unwrap();
    kept
}

/// True for a rule about Secrets.
pub fn concerns_secrets(rule: &PolicyRule) -> bool {
    rule.resources.iter().flatten().any(|resource| resource == "secrets")
}

/// All that an operator does.
async fn works(world: &World) {
    let client = world.ready_service("orders").await;
    let orders = world.oac("orders");
    let first = world.credentials(&client).await;
    assert!(world.lets_in(&first).await);
    orders.annotate("keywright.dev/rotate-secret", "1").await;
    let rotated = async || (world.credentials(&client).await != first).then_some(());
    world.until("a rotation", rotated).await;
    orders.tells(&["Created", "SecretRotated"]).await;
    world.jwks("keys").create(json!({"algorithms": ["ES256"], "deletionPolicy": "Delete"})).await;
    world.jwks("keys").ready().await;
    world.jwks("keys").delete().await;
    world.jwks("keys").gone().await;
    let referenced = json!({"source": "Reference", "name": "absent"});
    world.oac("waiting").create(json!({"grantTypes": ["client_credentials"], "secret": referenced})).await;
    world.oac("waiting").stands(Reason::SecretNotFound).await;
}

async fn ends(world: &World) {
    for name in ["orders", "waiting"] {
        world.oac(name).delete().await;
        world.oac(name).gone().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_declared_rights_are_enough() {
    let world = World::new().await;
    let config = as_account(&world, "keywright-operator").await;
    let client = Client::try_from(config.clone()).unwrap();
    let secrets = Api::<k8s_openapi::api::core::v1::Secret>::namespaced(client.clone(), &world.namespace);
    let refused = secrets.delete("any", &DeleteParams::default()).await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 403), "it is no administrator");
    let uid = cluster::cluster_uid(&client).await.unwrap();
    assert_eq!(uid, world.context.settings.cluster);
    world.start_with(config, false).await;
    works(&world).await;
    world.secret("orders-oauth2-client").await.unwrap();
    world.delete_secret("orders-oauth2-client").await;
    let again = async || world.secret("orders-oauth2-client").await;
    world.until("the deletion is noticed", again).await;
    ends(&world).await;
    let denied = world.cluster.writes(&world.namespace).await;
    assert!(!denied.iter().any(|write| write.status == 403 && write.verb != "delete"), "{denied:?}");
    world.finish().await;
}

/// The Lease of the instance `default` in the operator's own namespace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_declared_rights_are_enough_to_be_elected_and_for_no_other_lease() {
    let world = World::new().await;
    let mut config = as_account(&world, "keywright-operator").await;
    config.default_namespace = "keywright".to_owned();
    let client = Client::try_from(config.clone()).unwrap();
    let leases = Api::<Lease>::namespaced(client.clone(), "keywright");
    let refused = leases.get_opt("kube-scheduler").await;
    assert!(matches!(refused, Err(kube::Error::Api(status)) if status.code == 403));
    let election = Election {
        namespace: "keywright".to_owned(),
        lease: "keywright-default".to_owned(),
        identity: "here".to_owned(),
        times: Times { valid: Duration::from_millis(100), ..Times::default() },
    };
    for _ in 0..2 {
        let (ready, _is_ready) = watch::channel(false);
        let shutdown = CancellationToken::new();
        let options = Options { election: Some(election.clone()), ..Options::default() };
        let run = cluster::run(client.clone(), world.context.clone(), options, ready, shutdown.clone());
        let running = tokio::spawn(run);
        let held = async || {
            let spec = leases.get_opt("keywright-default").await.unwrap()?.spec?;
            (spec.holder_identity.as_deref() == Some("here")).then_some(())
        };
        world.until("it is elected", held).await;
        shutdown.cancel();
        running.await.unwrap().unwrap();
        let released = leases.get("keywright-default").await.unwrap().spec.unwrap();
        assert_eq!((released.holder_identity, released.lease_duration_seconds), (None, Some(1)));
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_to_watch_secrets_it_works_but_for_tampering() {
    let world = World::new().await;
    let config = as_account(&world, "limited").await;
    let rights =
        bind(&world, "limited", |rule| !(concerns_secrets(rule) && rule.verbs.contains(&"list".to_owned())));
    assert!(rights.await.iter().any(concerns_secrets));
    world.start_with(config, false).await;
    works(&world).await;
    let said = async || LOG.text().contains("cannot watch").then_some(());
    world.until("it says that it cannot watch", said).await;
    let orders = world.oac("orders");
    let former = world.credentials(&orders.get().await.unwrap()).await;
    world.delete_secret("orders-oauth2-client").await;
    world.resync(2).await;
    let renewed = world.credentials(&orders.ready().await).await;
    assert_ne!(renewed, former);
    ends(&world).await;
    world.finish().await;
}

//! Resources on a real API server, and an operator for them in this process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crd::{Condition, ConditionStatus, ConditionType, JsonWebKeySet, OAuth2Client};
use harness::{TestCluster, eventually};
use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use oauth::{ClientId, ClientSecret, Issuer};
use operator::metrics::ReconcileLabels;
use operator::reconcile::Context;
use operator::source::cluster::{self, ClusterError, ClusterObjects};
use prometheus_client::registry::Registry;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use store::Store;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::common::{ISSUER, TestClient, resource};

/// A namespace, and an instance that is called as it.
pub struct Declared {
    client: Client,
    namespace: String,
    context: Context<ClusterObjects>,
}

/// An operator at work.
pub struct Operating {
    task: JoinHandle<Result<(), ClusterError>>,
    shutdown: CancellationToken,
}

impl Declared {
    /// Nothing declared yet, on a database.
    pub async fn on(store: &Store) -> Self {
        let cluster = TestCluster::shared().await;
        let (client, namespace) = (cluster.client().await, cluster.namespace().await);
        let settings = operator::Settings {
            instance: namespace.clone(),
            cluster: cluster::cluster_uid(&client).await.unwrap(),
            clients: operator::ClientKind::Ours,
            key_set_namespaces: Some(vec![namespace.clone()]),
            adoption_namespaces: Some(vec![namespace.clone()]),
            finalizer_timeout: operator::settings::FINALIZER_TIMEOUT,
            allow_mass_deletion: false,
            issuer: Issuer::parse(ISSUER).unwrap(),
            subject_types: oauth::SubjectTypes::default(),
        };
        let objects = Arc::new(ClusterObjects::new(client.clone()));
        let metrics = operator::Metrics::new(&mut Registry::default());
        let context = Context::new(store.clone(), objects, settings, metrics);
        Self { client, namespace, context }
    }

    /// Declares a client or a key set.
    pub async fn create<K>(&self, name: &str, mut spec: Value)
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + Serialize
            + DeserializeOwned,
    {
        spec["instance"] = self.namespace.clone().into();
        let resource = json!({
            "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": {"name": name}, "spec": spec,
        });
        let resource: K = serde_json::from_value(resource).unwrap();
        let api = Api::<K>::namespaced(self.client.clone(), &self.namespace);
        api.create(&PostParams::default(), &resource).await.unwrap();
    }

    /// Keeps credentials of somebody's own for a client to refer to.
    pub async fn create_opted_in(&self, name: &str, entries: &[(&str, &str)]) {
        let entries: BTreeMap<_, _> = entries.iter().copied().collect();
        let labels = json!({crd::names::SECRET_OPT_IN: crd::names::LABEL_TRUE});
        let secret = json!({"metadata": {"name": name, "labels": labels}, "stringData": entries});
        let secret: Secret = serde_json::from_value(secret).unwrap();
        let api = Api::<Secret>::namespaced(self.client.clone(), &self.namespace);
        api.create(&PostParams::default(), &secret).await.unwrap();
    }

    /// Starts an operator.
    pub fn operate(&self) -> Operating {
        let (ready, _) = watch::channel(false);
        let shutdown = CancellationToken::new();
        let (client, context, options) =
            (self.client.clone(), self.context.clone(), cluster::Options::default());
        let task = tokio::spawn(cluster::run(client, context, options, ready, shutdown.clone()));
        Operating { task, shutdown }
    }

    /// Lets an operator look at all key sets, of which there are so many, once.
    pub async fn turn_keys(&self, sets: u64) {
        let labels = ReconcileLabels { kind: "JsonWebKeySet", result: "settled" };
        let settled = || self.context.metrics.reconcile.get_or_create(&labels).get();
        let before = settled();
        let operating = self.operate();
        eventually("all key sets are looked at", async || settled() >= before + sets).await;
        operating.stop().await;
    }

    /// A key set as it stands.
    pub async fn key_set(&self, name: &str) -> JsonWebKeySet {
        Api::namespaced(self.client.clone(), &self.namespace).get(name).await.unwrap()
    }

    /// Waits until a key set is ready.
    pub async fn ready_key_set(&self, name: &str) {
        let ready = async || {
            let status = self.key_set(name).await.status;
            status.is_some_and(|status| is_ready(&status.conditions))
        };
        eventually("the key set is ready", ready).await;
    }

    /// Waits until a client is ready, and reads its Secret as an application would.
    pub async fn credentials(&self, name: &str) -> TestClient {
        let api = Api::<OAuth2Client>::namespaced(self.client.clone(), &self.namespace);
        let status = async || api.get(name).await.unwrap().status.unwrap_or_default();
        eventually("the client is ready", async || is_ready(&status().await.conditions)).await;
        let secret = status().await.secret_name.unwrap();
        let secrets = Api::<Secret>::namespaced(self.client.clone(), &self.namespace);
        let data = secrets.get(&secret).await.unwrap().data.unwrap();
        let data: BTreeMap<String, String> =
            data.into_iter().map(|(key, value)| (key, String::from_utf8(value.0).unwrap())).collect();
        TestClient {
            id: ClientId::parse(data["CLIENT_ID"].clone()).unwrap(),
            secret: ClientSecret::new(data.get("CLIENT_SECRET").cloned().unwrap_or_default()),
            manager: resource(name),
        }
    }
}

impl Operating {
    /// Lets it finish what is under way.
    pub async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(Duration::from_mins(1), self.task).await.unwrap().unwrap().unwrap();
    }
}

fn is_ready(conditions: &[Condition]) -> bool {
    let ready = conditions.iter().find(|condition| condition.type_ == ConditionType::Ready);
    ready.is_some_and(|ready| ready.status == ConditionStatus::True)
}

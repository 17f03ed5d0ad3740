//! `operator` as processes of their own, on a real API server: one leads.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crd::{ConditionStatus, ConditionType, OAuth2Client};
use harness::{TestCluster, TestDatabase};
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Process, free_port};

/// How long a Lease lasts, and the longest that it may take until another one leads.
const LEASE: Duration = Duration::from_secs(15);
const PATIENCE: Duration = Duration::from_secs(40);

/// A namespace, an instance and a database.
struct Place {
    cluster: &'static TestCluster,
    namespace: String,
    database: TestDatabase,
    folder: TempDir,
    clients: Api<OAuth2Client>,
}

/// One operator.
struct Operator {
    user: &'static str,
    port: u16,
    process: Process,
}

impl Place {
    async fn new() -> Self {
        let cluster = TestCluster::shared().await;
        let namespace = cluster.namespace().await;
        let clients = Api::namespaced(cluster.client().await, &namespace);
        let (database, folder) = (TestDatabase::postgres().await, TempDir::new().unwrap());
        Self { cluster, namespace, database, folder, clients }
    }

    /// Starts an operator that the audit log knows as `user`, and waits until it is ready.
    async fn operator(&self, user: &'static str) -> Operator {
        let mut file: Value =
            serde_yaml::from_slice(&std::fs::read(self.cluster.kubeconfig()).unwrap()).unwrap();
        file["users"][0]["user"]["as"] = user.into();
        file["users"][0]["user"]["as-groups"] = json!(["system:masters"]);
        let kubeconfig = self.folder.path().join(user);
        std::fs::write(&kubeconfig, serde_yaml::to_string(&file).unwrap()).unwrap();
        let port = free_port();
        let variables = [
            ("KUBECONFIG", kubeconfig.display().to_string()),
            ("DSN", self.database.url.clone()),
            ("SECRETS_SYSTEM", harness::database::SYSTEM_SECRET.to_owned()),
            ("URLS_SELF_ISSUER", "https://id.example.com".to_owned()),
            ("SERVE_OPERATOR_HOST", "127.0.0.1".to_owned()),
            ("SERVE_OPERATOR_PORT", port.to_string()),
            ("POD_NAME", user.to_owned()),
        ];
        let arguments = ["operator", "--instance", &self.namespace, "--namespace", &self.namespace];
        let operator = Operator { user, port, process: Process::start(&arguments, &variables) };
        operator.until("it is ready", || operator.answers("/readyz", "ok")).await;
        operator
    }

    async fn create(&self, name: &str) {
        let client = json!({
            "apiVersion": "keywright.dev/v1alpha1",
            "kind": "OAuth2Client",
            "metadata": {"name": name},
            "spec": {"instance": self.namespace, "grantTypes": ["client_credentials"]},
        });
        let client = serde_json::from_value(client).unwrap();
        self.clients.create(&PostParams::default(), &client).await.unwrap();
    }

    async fn is_ready(&self, name: &str) -> bool {
        let status = self.clients.get(name).await.unwrap().status.unwrap_or_default();
        let ready = status.condition(&ConditionType::Ready);
        ready.is_some_and(|ready| ready.status == ConditionStatus::True)
    }

    /// How many requests each operator made that change something, but for the Lease.
    async fn writes(&self) -> BTreeMap<String, usize> {
        let mut writes = BTreeMap::new();
        for write in self.cluster.writes(&self.namespace).await {
            if write.resource != "leases" {
                *writes.entry(write.user).or_default() += 1;
            }
        }
        writes
    }
}

impl Operator {
    async fn answers(&self, path: &str, text: &str) -> bool {
        let Ok(answer) = reqwest::get(format!("http://127.0.0.1:{}{path}", self.port)).await else {
            return false;
        };
        answer.status() == 200 && answer.text().await.is_ok_and(|body| body.contains(text))
    }

    async fn leads(&self) -> bool {
        self.answers("/metrics", "\nleader 1\n").await
    }

    /// Waits until something holds, and tells how long that took.
    async fn until<F: Future<Output = bool>>(&self, what: &str, holds: impl Fn() -> F) -> Duration {
        let began = Instant::now();
        while !holds().await {
            assert!(began.elapsed() < PATIENCE, "{}: not {what}\n{}", self.user, self.process.stderr());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        began.elapsed()
    }
}

/// Scenario 40.
#[tokio::test]
async fn a_leader_that_stood_still_writes_nothing_and_one_that_died_is_followed() {
    let place = Place::new().await;
    let first = place.operator("first").await;
    first.until("leading", || first.leads()).await;
    let second = place.operator("second").await;
    place.create("before").await;
    first.until("at work", || place.is_ready("before")).await;
    assert_eq!(place.writes().await.get("second"), None, "a standby writes nothing");

    // It stops in the midst of its work.
    for n in 0..10 {
        place.create(&format!("half-done-{n}")).await;
    }
    first.until("in the midst", || place.is_ready("half-done-0")).await;
    first.process.signal("STOP");
    let took = second.until("leading", || second.leads()).await;
    assert!(took < LEASE + Duration::from_secs(2), "{took:?}");
    for n in 0..10 {
        let name = format!("half-done-{n}");
        second.until("it goes on", || place.is_ready(&name)).await;
    }
    // What the first one finds in its watches when it goes on.
    place.create("meanwhile").await;
    second.until("at work", || place.is_ready("meanwhile")).await;
    first.process.signal("CONT");
    first.until("it notices", || async { first.process.stderr().contains("no longer leading") }).await;
    first.until("a standby, and ready", || first.answers("/readyz", "ok")).await;
    place.create("afterwards").await;
    second.until("at work", || place.is_ready("afterwards")).await;
    // What it had handed to its connection before it stood still may arrive when it goes on; that is of what it knew then,
    // and what it writes into rows and Secrets names the versions that it read. It begins nothing more.
    let late = ["meanwhile", "afterwards"];
    let is_late = |name: &str| late.iter().any(|late| name.starts_with(late));
    let writes = place.cluster.writes(&place.namespace).await;
    let others: Vec<_> =
        writes.iter().filter(|write| is_late(&write.name) && write.user == "first").collect();
    assert!(others.is_empty(), "who stood still began something: {others:?}");
    let by_second = writes.iter().filter(|write| is_late(&write.name) && write.user == "second").count();
    assert!(by_second > 0, "the log has such names");

    let killed = second.process.kill().await;
    assert_eq!(killed.code, None);
    let took = first.until("leading", || first.leads()).await;
    assert!(took < LEASE + Duration::from_secs(2), "{took:?}");
    place.create("successor").await;
    first.until("at work", || place.is_ready("successor")).await;

    let third = place.operator("third").await;
    first.process.signal("TERM");
    let began = Instant::now();
    let ended = first.process.ended(Duration::from_secs(10)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    third.until("leading", || third.leads()).await;
    assert!(began.elapsed() < Duration::from_secs(2), "released: {:?}", began.elapsed());
    third.process.signal("TERM");
    assert_eq!(third.process.ended(Duration::from_secs(10)).await.code, Some(0));
}

//! What a test has for itself: objects in memory, a SQLite database, a clock, and reconcilers.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crd::{ConditionType, OAuth2Client, Reason};
use harness::TestDatabase;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use oauth::client::SecretCheck;
use oauth::{ClientId, ClientSecret, Issuer};
use operator::database_gate::DatabaseGate;
use operator::reconcile::Context;
use operator::{ClientReconciler, KeySetReconciler, Metrics, Outcome, Settings};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use store::{Clock, SecretState, Store, StoredClient};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::clock_work;
use crate::memory::Memory;

/// The namespace of all resources that name none.
pub const NAMESPACE: &str = "shop";
/// When the clock stands at first.
const START: &str = "2026-03-01T12:00:00Z";
/// The cluster's name in the database.
pub const CLUSTER: &str = "cluster-1";

/// The tables of which resources own rows. What refers to them goes with them.
const TABLES: [&str; 4] = ["clients", "client_secrets", "key_sets", "keys"];

/// A test's own world.
pub struct World {
    database: TestDatabase,
    pub store: Store,
    pub clock: Clock,
    pub objects: Arc<Memory>,
    pub gate: DatabaseGate,
    copies: TempDir,
    commits: Mutex<Commits>,
    /// What to say where something is wrong.
    pub story: RefCell<String>,
}

/// Counts the transactions of the database that changed something, from outside.
struct Commits {
    connection: AnyConnection,
    version: i64,
    seen: u64,
}

impl World {
    pub async fn new() -> Self {
        let database = TestDatabase::sqlite();
        let clock = Clock::manual(START.parse().unwrap());
        let store = database.open(clock.clone()).await;
        let connection = AnyConnection::connect(&database.url).await.unwrap();
        Self {
            database,
            store,
            clock,
            objects: Arc::default(),
            gate: DatabaseGate::new(),
            copies: TempDir::new().unwrap(),
            commits: Mutex::new(Commits { connection, version: 0, seen: 0 }),
            story: RefCell::default(),
        }
    }

    /// The database as a process sees it whose clock is wrong.
    pub async fn another_store(&self, skew: SignedDuration) -> Store {
        self.database.open(self.clock.skewed(skew)).await
    }

    /// What an operator's process has. Each call is a process of its own.
    pub fn context(&self) -> Context<Memory> {
        context(&self.store, &self.objects, &self.gate)
    }

    pub fn clients(&self) -> ClientReconciler<Memory> {
        ClientReconciler::new(self.context())
    }

    pub fn key_sets(&self) -> KeySetReconciler<Memory> {
        KeySetReconciler::new(self.context())
    }

    /// When the clock stood at first.
    pub fn start() -> Timestamp {
        START.parse().unwrap()
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn advance(&self, hours: i64) {
        self.clock.advance(SignedDuration::from_hours(hours));
    }

    /// A service's client; `spec` overrides its fields.
    pub fn declare(&self, name: &str, spec: Value) {
        self.objects.declare_client(NAMESPACE, name, service(spec));
    }

    pub fn client(&self, name: &str) -> Option<OAuth2Client> {
        self.objects.client(NAMESPACE, name)
    }

    /// Reconciles a client once, as a process that has just started.
    pub async fn reconcile(&self, name: &str) -> Outcome {
        self.reconcile_in(NAMESPACE, name).await
    }

    pub async fn reconcile_in(&self, namespace: &str, name: &str) -> Outcome {
        match self.objects.client(namespace, name) {
            // It is large: a test that awaits it often would be, too.
            Some(client) => Box::pin(self.clients().reconcile(&client)).await,
            None => Outcome::Nothing,
        }
    }

    /// Reconciles a client until it stays as it is, as one process that has just started.
    pub async fn settle(&self, name: &str) -> Outcome {
        let reconciler = self.clients();
        let mut before = self.writes().await;
        for _ in 0..5 {
            let Some(client) = self.client(name) else { return Outcome::Nothing };
            let outcome = Box::pin(reconciler.reconcile(&client)).await;
            let after = self.writes().await;
            if after == before && !matches!(outcome, Outcome::Failed { .. } | Outcome::Raced) {
                return outcome;
            }
            before = after;
        }
        panic!("it does not settle:\n{}\n{}", self.story.borrow(), self.objects.log().join("\n"));
    }

    /// Settles a client that is to be ready then.
    pub async fn ready(&self, name: &str) {
        let outcome = self.settle(name).await;
        let told = self.told(name);
        assert_eq!(told.0, Some(Reason::Synced), "{} {outcome:?}\n{}", told.1, self.story.borrow());
        assert!(matches!(outcome, Outcome::Settled { .. }), "{outcome:?}");
    }

    /// The reason of a client's `Ready`, and its message.
    pub fn told(&self, name: &str) -> (Option<Reason>, String) {
        let status = self.client(name).and_then(|client| client.status);
        let ready = status.and_then(|status| status.condition(&ConditionType::Ready).cloned());
        ready.map_or((None, String::new()), |ready| (Some(ready.reason), ready.message))
    }

    pub fn id(&self, name: &str) -> ClientId {
        ClientId::parse(self.client(name).unwrap().status.unwrap().client_id.unwrap()).unwrap()
    }

    pub async fn row(&self, name: &str) -> StoredClient {
        self.store.read_client(&self.id(name)).await.unwrap().unwrap()
    }

    /// The Secret of the usual name.
    pub fn secret(&self, name: &str) -> Option<Secret> {
        self.objects.secret(NAMESPACE, &secret_name(name))
    }

    /// The client secret in a client's Secret.
    pub fn value(&self, name: &str) -> Option<String> {
        entry(&self.secret(name)?, "CLIENT_SECRET")
    }

    pub async fn authenticates(&self, name: &str, value: &str) -> bool {
        authenticates(&self.store, &self.row(name).await, value)
    }

    /// How many secrets work now.
    pub async fn live(&self, name: &str) -> usize {
        let now = self.now();
        self.row(name).await.secrets.iter().filter(|s| s.expires_at.is_none_or(|at| now < at)).count()
    }

    /// How many secrets work on their way into the Secret.
    pub async fn pending(&self, name: &str) -> usize {
        self.row(name).await.secrets.iter().filter(|s| s.state == SecretState::Pending).count()
    }

    /// Lets a probe open the gate.
    pub async fn open_gate(&self) {
        let opened = async {
            let _ = self.gate.subscribe().wait_for(|open| *open).await;
        };
        tokio::select! {
            () = self.gate.probe(&self.store) => {}
            () = opened => {}
        }
    }

    /// All writes so far: those of objects, and the database's transactions.
    pub async fn writes(&self) -> u64 {
        let mut commits = self.commits.lock().await;
        let row = sqlx::query("PRAGMA data_version").fetch_one(&mut commits.connection).await.unwrap();
        let version: i64 = row.get(0);
        if commits.version != version {
            commits.version = version;
            commits.seen += 1;
        }
        commits.seen + self.objects.writes()
    }

    /// Runs a statement past the store.
    pub async fn sql(&self, statement: &str) -> Vec<AnyRow> {
        let mut commits = self.commits.lock().await;
        let statement = AssertSqlSafe(statement.to_owned());
        sqlx::query(statement).fetch_all(&mut commits.connection).await.unwrap()
    }

    /// Empties the database of all that resources declare.
    pub async fn empty(&self) {
        for table in TABLES {
            self.sql(&format!("DELETE FROM main.{table}")).await;
        }
    }

    /// Copies the database as it is now.
    pub async fn copy(&self) -> PathBuf {
        let path = self.copies.path().join(uuid::Uuid::new_v4().to_string());
        self.sql(&format!("VACUUM INTO '{}'", path.display())).await;
        path
    }

    /// What resources declare is again in the database what it was when this copy was made.
    pub async fn roll_back(&self, copy: &Path) {
        self.sql(&format!("ATTACH '{}' AS copy", copy.display())).await;
        self.empty().await;
        for table in TABLES {
            self.sql(&format!("INSERT INTO main.{table} SELECT * FROM copy.{table}")).await;
        }
        self.sql("DETACH copy").await;
    }

    /// Lets a process work until it has made so many writes, and ends it there. False where it was done before.
    pub async fn die_after<T>(&self, writes: u64, work: impl Future<Output = T>) -> bool {
        let end = self.writes().await + writes;
        clock_work::until(work, async || self.writes().await >= end).await.is_none()
    }
}

/// What an operator's process has.
pub fn context(store: &Store, objects: &Arc<Memory>, gate: &DatabaseGate) -> Context<Memory> {
    let settings = Settings {
        instance: "default".into(),
        cluster: CLUSTER.into(),
        clients: operator::ClientKind::Ours,
        key_set_namespaces: Some(vec![NAMESPACE.into()]),
        adoption_namespaces: Some(vec![NAMESPACE.into()]),
        finalizer_timeout: operator::settings::FINALIZER_TIMEOUT,
        allow_mass_deletion: false,
        issuer: Issuer::parse("https://id.example.com/").unwrap(),
        subject_types: oauth::SubjectTypes::default(),
    };
    let metrics = Metrics::new(&mut Registry::default());
    Context { gate: gate.clone(), ..Context::new(store.clone(), objects.clone(), settings, metrics) }
}

/// A service's client; `spec` overrides its fields.
pub fn service(spec: Value) -> Value {
    let mut whole = json!({"grantTypes": ["client_credentials"], "scopes": ["read"]});
    let Value::Object(fields) = spec else { return whole };
    for (name, value) in fields {
        whole[name] = value;
    }
    whole
}

pub fn secret_name(client: &str) -> String {
    format!("{client}-oauth2-client")
}

/// An entry of a Secret.
pub fn entry(secret: &Secret, key: &str) -> Option<String> {
    String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone()).ok()
}

/// A Secret that somebody wrote.
pub fn somebodys(name: &str, label: &str, entries: &[(&str, &str)]) -> Secret {
    let labels: Value = [(label.to_owned(), json!("true"))].into_iter().collect();
    let mut secret: Secret =
        serde_json::from_value(json!({"metadata": {"name": name, "namespace": NAMESPACE, "labels": labels}}))
            .unwrap();
    secret.type_ = Some("Opaque".into());
    for (key, value) in entries {
        set(&mut secret, key, value.as_bytes());
    }
    secret
}

/// Writes an entry of a Secret.
pub fn set(secret: &mut Secret, key: &str, value: &[u8]) {
    secret.data.get_or_insert_default().insert(key.into(), k8s_openapi::ByteString(value.to_vec()));
}

/// Whether a client secret opens a client, as the server sees it.
pub fn authenticates(store: &Store, row: &StoredClient, value: &str) -> bool {
    let (client, presented) = (row.to_client(), ClientSecret::new(value));
    match client.check_secret(store.ring(), &presented, store.clock().now()) {
        SecretCheck::Match => true,
        SecretCheck::Mismatch => false,
        SecretCheck::Slow(hashes) => {
            hashes.iter().any(|hash| hash.verify(store.ring(), &client.id, client.incarnation, &presented))
        }
    }
}

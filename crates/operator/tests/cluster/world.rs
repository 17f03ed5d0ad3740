//! What a test of the operator has for itself.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

use crd::{JsonWebKeySet, OAuth2Client, Reason};
use harness::{TestCluster, TestDatabase};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, PatchParams, PostParams};
use kube::{Api, Client, Config, ResourceExt};
use oauth::subject_identifier::PairwiseSalt;
use oauth::{AccessToken, ClientId, ClientSecret, Form, Issuer, SubjectTypes};
use operator::metrics::ReconcileLabels;
use operator::reconcile::Context;
use operator::source::cluster::{self, ClusterError, ClusterObjects};
use operator::{Metrics, Settings};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use sqlx::Connection;
use store::{Clock, Store, StoredClient};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::log::LOG;
use crate::proxy::Proxy;
use crate::resource::Handle;

/// When every test begins.
pub const START: &str = "2026-03-01T12:00:00Z";
/// The issuer in Secrets.
pub const ISSUER: &str = "https://id.example.com";
/// By what the audit log tells the operator's requests from a test's.
pub const OPERATOR: &str = "keywright-operator";
/// The longest that anything may take here.
const PATIENCE: Duration = Duration::from_mins(2);

/// A namespace, an instance, a database, and an operator for them.
pub struct World {
    pub cluster: &'static TestCluster,
    pub client: Client,
    pub namespace: String,
    pub clock: Clock,
    pub store: Store,
    pub context: Context<ClusterObjects>,
    /// How the operator reaches the API server.
    pub config: Config,
    pub database: TestDatabase,
    running: Mutex<Option<Running>>,
    /// Every client secret that was seen in a Secret.
    secrets: Mutex<HashSet<String>>,
}

struct Running {
    task: JoinHandle<Result<(), ClusterError>>,
    shutdown: CancellationToken,
    config: Config,
}

impl World {
    /// On SQLite.
    pub async fn new() -> Self {
        let database = TestDatabase::sqlite();
        let options = database.options();
        Self::on(database, options).await
    }

    /// On PostgreSQL.
    pub async fn on_postgres() -> Self {
        let database = TestDatabase::postgres().await;
        let options = database.options();
        Self::on(database, options).await
    }

    /// On a database that is reached by these options.
    pub async fn on(database: TestDatabase, options: store::Options) -> Self {
        Self::on_cluster(TestCluster::shared().await, database, options).await
    }

    /// The same on another cluster than most tests'.
    pub async fn on_cluster(
        cluster: &'static TestCluster,
        database: TestDatabase,
        options: store::Options,
    ) -> Self {
        LazyLock::force(&LOG);
        let namespace = cluster.namespace().await;
        let clock = Clock::manual(START.parse().unwrap());
        let store = Store::open(options, clock.clone(), jose::Entropy::system()).await.unwrap();
        let mut config = cluster.config().await;
        config.headers.push(("user-agent".parse().unwrap(), OPERATOR.parse().unwrap()));
        let client = cluster.client().await;
        let settings = Settings {
            instance: namespace.clone(),
            cluster: cluster::cluster_uid(&client).await.unwrap(),
            clients: operator::ClientKind::Ours,
            key_set_namespaces: Some(vec![namespace.clone()]),
            adoption_namespaces: Some(vec![namespace.clone()]),
            finalizer_timeout: operator::settings::FINALIZER_TIMEOUT,
            allow_mass_deletion: false,
            issuer: Issuer::parse(ISSUER).unwrap(),
            subject_types: SubjectTypes {
                public: true,
                pairwise: PairwiseSalt::new("a-salt-for-tests".into()),
            },
        };
        let objects = Arc::new(ClusterObjects::new(Client::try_from(config.clone()).unwrap()));
        let metrics = Metrics::new(&mut Registry::default());
        let context = Context::new(store.clone(), objects, settings, metrics);
        let (running, secrets) = (Mutex::default(), Mutex::default());
        Self { cluster, client, namespace, clock, store, context, config, database, running, secrets }
    }

    /// The database is lost, and an empty one takes its place. No operator may run.
    pub async fn lose_database(&mut self) {
        assert!(self.running.lock().unwrap().is_none());
        self.database = TestDatabase::sqlite();
        self.store = self.database.open(self.clock.clone()).await;
        self.context = Context { store: self.store.clone(), ..self.context.clone() };
    }

    /// Starts the operator, and waits until it knows all resources.
    pub async fn start(&self) {
        self.start_with(self.config.clone(), false).await;
    }

    /// The same with other rights, and perhaps with the server's key sets.
    pub async fn start_with(&self, config: Config, autocreate: bool) {
        self.start_so(config, cluster::Options { autocreate, ..cluster::Options::default() }).await;
    }

    /// The same in another way.
    pub async fn start_so(&self, config: Config, options: cluster::Options) {
        let (ready, mut is_ready) = watch::channel(false);
        let shutdown = CancellationToken::new();
        let client = Client::try_from(config.clone()).unwrap();
        let objects = Arc::new(ClusterObjects::new(client.clone()));
        let context = Context { objects, ..self.context.clone() };
        let task = tokio::spawn(cluster::run(client, context, options, ready, shutdown.clone()));
        tokio::time::timeout(PATIENCE, is_ready.wait_for(|ready| *ready)).await.unwrap().unwrap();
        let before = self.running.lock().unwrap().replace(Running { task, shutdown, config });
        assert!(before.is_none(), "one operator at a time");
    }

    /// Stops the operator, which finishes what is under way.
    pub async fn stop(&self) {
        let running = self.running.lock().unwrap().take();
        if let Some(Running { task, shutdown, .. }) = running {
            shutdown.cancel();
            tokio::time::timeout(PATIENCE, task).await.unwrap().unwrap().unwrap();
        }
    }

    /// Stops the operator wherever it is, as kill -9 would.
    pub async fn kill(&self) {
        let running = self.running.lock().unwrap().take();
        if let Some(Running { task, .. }) = running {
            task.abort();
            assert!(task.await.unwrap_err().is_cancelled());
        }
    }

    /// Ends the test: stops the operator, and looks for secrets where none may be.
    pub async fn finish(self) {
        self.stop().await;
        let mut told = self.told(&self.namespace).await;
        told.push_str(&LOG.text());
        let secrets = self.secrets.lock().unwrap();
        for secret in secrets.iter() {
            assert!(!told.contains(secret.as_str()), "a client secret was told");
        }
        for member in ["\"d\":", "\"p\":", "\"dp\":"] {
            assert!(!told.contains(member), "a private key was told");
        }
    }

    /// All that the operator tells in a namespace: resources with their statuses, and events.
    pub async fn told(&self, namespace: &str) -> String {
        let list = ListParams::default();
        let clients =
            Api::<OAuth2Client>::namespaced(self.client.clone(), namespace).list(&list).await.unwrap();
        let sets =
            Api::<JsonWebKeySet>::namespaced(self.client.clone(), namespace).list(&list).await.unwrap();
        let events = Api::<Event>::namespaced(self.client.clone(), namespace).list(&list).await.unwrap();
        json!([clients.items, sets.items, events.items]).to_string()
    }

    /// A client in the test's namespace.
    pub fn oac(&self, name: &str) -> Handle<'_, OAuth2Client> {
        Handle::new(self, &self.namespace, name)
    }

    /// A key set in the test's namespace.
    pub fn jwks(&self, name: &str) -> Handle<'_, JsonWebKeySet> {
        Handle::new(self, &self.namespace, name)
    }

    /// A client for a service, created and ready.
    pub async fn ready_service(&self, name: &str) -> OAuth2Client {
        let service = self.oac(name);
        service.create(json!({"grantTypes": ["client_credentials"], "scopes": ["read"]})).await;
        service.ready().await
    }

    /// So many of them at once; their names.
    pub async fn ready_services(&self, count: usize) -> Vec<String> {
        let names: Vec<String> = (0..count).map(|n| format!("client-{n}")).collect();
        for name in &names {
            self.oac(name).create(json!({"grantTypes": ["client_credentials"]})).await;
        }
        for name in &names {
            self.oac(name).ready().await;
        }
        names
    }

    /// On PostgreSQL, behind a proxy that cuts the operator off, with a client whose deletion waits for that.
    pub async fn with_a_blocked_deletion() -> (Self, Proxy, OAuth2Client, (ClientId, ClientSecret)) {
        let database = TestDatabase::postgres().await;
        let (proxy, options) = Proxy::before_database(&database).await;
        let world = Self::on(database, options).await;
        world.start().await;
        let client = world.ready_service("orders").await;
        let credentials = world.credentials(&client).await;
        let orders = world.oac("orders");
        proxy.cut();
        assert!(world.store.ping().await.is_err(), "the database is away");
        orders.delete().await;
        let blocked = orders.stands(Reason::Terminating).await;
        orders.tells(&["Created", "DeletionBlocked"]).await;
        (world, proxy, blocked, credentials)
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn advance(&self, by: SignedDuration) {
        self.clock.advance(by);
    }

    /// Waits until something holds; says what it waited for, and how things stand, where it does not.
    pub async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look().await {
                return found;
            }
            if Instant::now() > deadline {
                eprintln!("{}", self.told(&self.namespace).await);
                eprintln!("{}", LOG.lines_with(&self.namespace));
                panic!("not within {PATIENCE:?}: {what}");
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// Runs a statement past the store, as somebody with the database's password would.
    pub async fn sql(&self, statement: String) -> u64 {
        let mut connection = sqlx::AnyConnection::connect(&self.database.url).await.unwrap();
        let done = sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
        done.rows_affected()
    }

    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub async fn create_secret(&self, secret: &Secret) -> Secret {
        self.secrets().create(&PostParams::default(), secret).await.unwrap()
    }

    /// Merges into a Secret.
    pub async fn patch_secret(&self, name: &str, patch: Value) -> Secret {
        self.secrets().patch(name, &PatchParams::default(), &merge(patch)).await.unwrap()
    }

    /// Deletes a Secret, if it is there.
    pub async fn delete_secret(&self, name: &str) {
        match self.secrets().delete(name, &DeleteParams::default()).await {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Deletes the Secrets whose client is gone, as the garbage collector would.
    pub async fn collect_garbage(&self) {
        let list = ListParams::default();
        let secrets = self.secrets().list(&list).await.unwrap();
        // What was not there after its Secret was seen is gone.
        let clients = Api::<OAuth2Client>::namespaced(self.client.clone(), &self.namespace);
        let uids: Vec<_> =
            clients.list(&list).await.unwrap().items.iter().filter_map(ResourceExt::uid).collect();
        for secret in secrets.items {
            let owners = secret.owner_references();
            if !owners.is_empty() && owners.iter().all(|owner| !uids.contains(&owner.uid)) {
                self.delete_secret(&secret.name_any()).await;
            }
        }
    }

    pub async fn secret(&self, name: &str) -> Option<Secret> {
        let secret = self.secrets().get_opt(name).await.unwrap();
        self.secrets
            .lock()
            .unwrap()
            .extend(secret.as_ref().and_then(|secret| entry(secret, "CLIENT_SECRET")));
        secret
    }

    /// The client id and secret that a client's Secret holds under the usual keys.
    pub async fn credentials(&self, client: &OAuth2Client) -> (ClientId, ClientSecret) {
        self.present_credentials(client).await.expect("a Secret with credentials")
    }

    /// The same, where the Secret is there and holds both.
    pub async fn present_credentials(&self, client: &OAuth2Client) -> Option<(ClientId, ClientSecret)> {
        let secret = self.secret(&client.secret_name()).await?;
        let id = entry(&secret, "CLIENT_ID")?;
        Some((ClientId::parse(id).unwrap(), ClientSecret::new(entry(&secret, "CLIENT_SECRET")?)))
    }

    pub async fn row(&self, id: &ClientId) -> Option<StoredClient> {
        self.store.read_client(id).await.unwrap()
    }

    /// True where an application would be let in with these credentials, and its token be valid.
    pub async fn lets_in(&self, (id, secret): &(ClientId, ClientSecret)) -> bool {
        let Some(client) = self.store.fresh_client(id).await.unwrap() else { return false };
        let now = self.now();
        if !authenticates(&self.store, &client, secret, now) {
            return false;
        }
        let policy = oauth::client_credentials::Policy {
            scope_strategy: oauth::ScopeStrategy::Exact,
            default_to_registered_scope: true,
        };
        let form = Form::parse(b"").unwrap();
        let issue = oauth::client_credentials::decide(&client, &form, policy).unwrap();
        let lifetime = self.database.options().lifetimes.access_token;
        let times = (now, now + SignedDuration::try_from(lifetime).unwrap());
        let token =
            AccessToken::for_client(&client, issue.scope, issue.audience, times, self.store.entropy());
        let written = token.seal(self.store.ring(), self.store.entropy()).unwrap().sign(self.store.ring());
        let opened = AccessToken::open(self.store.ring(), &written).unwrap();
        let state = self.store.token_state(&client.id, opened.id).await.unwrap();
        state.is_some_and(|state| state.incarnation == client.incarnation && !state.revoked)
    }

    /// How often the operator reconciled so far.
    pub fn reconciliations(&self) -> u64 {
        let mut sum = 0;
        for kind in ["OAuth2Client", "JsonWebKeySet"] {
            for result in ["settled", "waiting", "failed", "database_away", "nothing"] {
                sum += self.context.metrics.reconcile.get_or_create(&ReconcileLabels { kind, result }).get();
            }
        }
        sum
    }

    /// Waits until the operator rests: what it wrote itself makes it look once more.
    pub async fn rest(&self) {
        let mut since = (self.reconciliations(), Instant::now());
        let rests = async || {
            let reconciliations = self.reconciliations();
            if reconciliations != since.0 {
                since = (reconciliations, Instant::now());
            }
            // Several times the pause in which it collects changes.
            (since.1.elapsed() > Duration::from_millis(500)).then_some(())
        };
        self.until("rest", rests).await;
    }

    /// Has all resources reconciled once more, by an operator that begins anew, and waits until that is done for
    /// `resources` of them.
    pub async fn resync(&self, resources: u64) {
        let config = self.running.lock().unwrap().as_ref().expect("an operator").config.clone();
        self.stop().await;
        let before = self.reconciliations();
        self.start_with(config, false).await;
        self.until("a resync", async || (self.reconciliations() >= before + resources).then_some(())).await;
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(Running { task, .. }) = self.running.lock().unwrap().take() {
            task.abort();
        }
    }
}

fn authenticates(store: &Store, client: &oauth::Client, secret: &ClientSecret, now: Timestamp) -> bool {
    use oauth::client::SecretCheck;
    match client.check_secret(store.ring(), secret, now) {
        SecretCheck::Match => true,
        SecretCheck::Mismatch => false,
        SecretCheck::Slow(hashes) => {
            hashes.into_iter().any(|hash| hash.verify(store.ring(), &client.id, client.incarnation, secret))
        }
    }
}

/// An entry of a Secret, as text.
pub fn entry(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref()?.get(key)?;
    Some(String::from_utf8(bytes.0.clone()).unwrap())
}

/// The names of a Secret's entries.
pub fn entries(secret: &Secret) -> Vec<&str> {
    secret.data.iter().flatten().map(|(key, _)| key.as_str()).collect()
}

/// A patch that merges.
pub fn merge(patch: Value) -> kube::api::Patch<Value> {
    kube::api::Patch::Merge(patch)
}

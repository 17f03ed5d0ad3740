//! A real Kubernetes API server, one for each test process, with the custom resources installed.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::ObjectMeta;
use kube::runtime::{conditions, wait::await_condition};
use kube::{Api, Client, Config, ResourceExt};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::OnceCell;

use crate::eventually;

/// An API server that ends with this process. Tests share it, each in a namespace of its own.
pub struct TestCluster {
    folder: PathBuf,
    binaries: PathBuf,
    names: AtomicU32,
    /// What it was started with beside the usual.
    options: &'static [(&'static str, &'static str)],
}

/// A request that changed something, as the API server's audit log has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// The plural, and the subresource where there is one: `secrets`, `oauth2clients/status`.
    pub resource: String,
    /// The object's name; empty where the request did not say.
    pub name: String,
    /// The program that asked.
    pub user_agent: String,
    /// The user as whom it asked.
    pub user: String,
    /// When the request came in; as text, such times sort.
    pub at: String,
    /// The HTTP status.
    pub status: u64,
}

static SHARED: OnceCell<TestCluster> = OnceCell::const_new();

impl TestCluster {
    /// The process's API server, started by the first one who asks.
    ///
    /// # Panics
    /// Where it cannot be started; `e2e/cluster/README.md` says what it needs.
    pub async fn shared() -> &'static Self {
        SHARED.get_or_init(|| Self::start(&[])).await
    }

    /// Another one, which collects garbage and ends namespaces as a whole cluster does.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub async fn shared_with_controllers() -> &'static Self {
        static SHARED: OnceCell<TestCluster> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::start(&[("CONTROLLER_MANAGER", "1")])).await
    }

    /// An API server for one test alone, which may do with it what others would not survive. [`Self::stop`] ends it
    /// before this process does.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub async fn own() -> &'static Self {
        Box::leak(Box::new(Self::start(&[]).await))
    }

    #[expect(clippy::expect_used, reason = "a test cannot go on without its API server")]
    async fn start(options: &'static [(&'static str, &'static str)]) -> Self {
        // `down.sh`, which runs when this process ends, removes it.
        let folder = tempfile::Builder::new().prefix("keywright-cluster-").tempdir();
        let folder = folder.expect("a temporary folder").keep();
        let binaries = script("build.sh", &[], &folder, &[]).await;
        script("up.sh", &[], &folder, options).await;
        let cluster = Self { folder, binaries, names: AtomicU32::new(1), options };
        cluster.install_definitions().await;
        cluster
    }

    /// Ends it at once, as if its machine failed. What it had stored stays, for [`Self::restart`].
    ///
    /// # Panics
    /// Where that fails.
    pub async fn kill(&self) {
        script("down.sh", &["--keep-data"], &self.folder, self.options).await;
    }

    /// Starts it again where it was killed: on the same address, with the same credentials.
    ///
    /// # Panics
    /// Where it does not start.
    pub async fn restart(&self) {
        script("up.sh", &[], &self.folder, self.options).await;
    }

    /// Ends it for good.
    ///
    /// # Panics
    /// Where that fails.
    pub async fn stop(&self) {
        script("down.sh", &[], &self.folder, self.options).await;
    }

    /// The folder of what it has stored; to be copied or replaced only while it is killed.
    pub fn storage(&self) -> PathBuf {
        self.folder.join("etcd")
    }

    /// Installs the custom resources, and waits until they are served.
    ///
    /// # Panics
    /// Where they are there already.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its API server")]
    pub async fn install_definitions(&self) {
        let api = Api::<CustomResourceDefinition>::all(self.client().await);
        for definition in crd::crds().into_iter().chain([crd::maester::crd()]) {
            api.create(&PostParams::default(), &definition).await.expect("a definition is installed");
            let established = conditions::is_crd_established();
            let name = definition.name_any();
            await_condition(api.clone(), &name, established).await.expect("a definition is served");
        }
    }

    /// A client with all rights, for this runtime.
    ///
    /// # Panics
    /// Never: the kubeconfig was written by `up.sh`.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its API server")]
    pub async fn client(&self) -> Client {
        Client::try_from(self.config().await).expect("a client")
    }

    /// How clients reach the API server, for tests that change something about that.
    ///
    /// # Panics
    /// Never: the kubeconfig was written by `up.sh`.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its API server")]
    pub async fn config(&self) -> Config {
        let file = Kubeconfig::read_from(self.kubeconfig()).expect("a kubeconfig");
        Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.expect("a context")
    }

    /// The kubeconfig of an administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// A fresh namespace.
    ///
    /// # Panics
    /// Where the API server does not make it.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its namespace")]
    pub async fn namespace(&self) -> String {
        let name = format!("test-{}", self.names.fetch_add(1, Ordering::SeqCst));
        let namespace = Namespace { metadata: named(&name), ..Namespace::default() };
        let api = Api::<Namespace>::all(self.client().await);
        api.create(&PostParams::default(), &namespace).await.expect("a namespace");
        name
    }

    /// Runs kubectl as an administrator, with `input` as its standard input.
    ///
    /// # Panics
    /// Where it cannot be run; what it says is for the caller to judge.
    #[expect(clippy::expect_used, reason = "a test cannot go on without kubectl")]
    pub async fn kubectl(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(self.binaries.join("kubectl"))
            .arg("--kubeconfig")
            .arg(self.kubeconfig())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("kubectl runs");
        let mut stdin = child.stdin.take().expect("it was piped");
        // It may end without having read all of it, and says why.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        child.wait_with_output().await.expect("kubectl ends")
    }

    /// All requests so far that changed something in a namespace, tests' own among them.
    ///
    /// An entry may be late: this makes one of its own and waits for that.
    ///
    /// # Panics
    /// Where the audit log cannot be read.
    #[expect(clippy::expect_used, reason = "a test cannot go on without the audit log")]
    pub async fn writes(&self, namespace: &str) -> Vec<Write> {
        let marker = format!("marker-{}", self.names.fetch_add(1, Ordering::SeqCst));
        let api = Api::<ConfigMap>::namespaced(self.client().await, namespace);
        let object = ConfigMap { metadata: named(&marker), ..ConfigMap::default() };
        api.create(&PostParams::default(), &object).await.expect("a marker");
        let log = self.folder.join("audit.log");
        let read = || async { tokio::fs::read_to_string(&log).await.expect("an audit log") };
        let logged =
            || async { parse_writes(&read().await, namespace).iter().any(|write| write.name == marker) };
        eventually("the marker is in the audit log", logged).await;
        let mut writes = parse_writes(&read().await, namespace);
        writes.retain(|write| write.resource != "configmaps");
        writes
    }
}

/// Runs one of the cluster's scripts, and gives what it printed.
#[expect(clippy::expect_used, reason = "a test cannot go on without its API server")]
async fn script(name: &str, arguments: &[&str], folder: &Path, options: &[(&str, &str)]) -> PathBuf {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cluster");
    let output = Command::new(scripts.join(name))
        .args(arguments)
        .envs(options.iter().copied())
        .env("DIR", folder)
        .env("AUDIT", "1")
        .env("OWNER_PID", std::process::id().to_string())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .await
        .expect("the script runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}: {error}", output.status);
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() }
}

fn parse_writes(log: &str, namespace: &str) -> Vec<Write> {
    let quoted = format!("\"{namespace}\"");
    let lines = log.lines().filter(|line| line.contains(&quoted));
    let entries = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    entries.filter_map(|entry| write_in(&entry, namespace)).collect()
}

fn write_in(entry: &Value, namespace: &str) -> Option<Write> {
    let text = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let verb = text("/verb");
    let writes = matches!(verb.as_str(), "create" | "update" | "patch" | "delete" | "deletecollection");
    if !writes || text("/objectRef/namespace") != namespace || text("/stage") != "ResponseComplete" {
        return None;
    }
    let mut resource = text("/objectRef/resource");
    let subresource = text("/objectRef/subresource");
    if !subresource.is_empty() {
        resource = format!("{resource}/{subresource}");
    }
    let status = entry.pointer("/responseStatus/code").and_then(Value::as_u64).unwrap_or_default();
    let impersonated = text("/impersonatedUser/username");
    Some(Write {
        verb,
        resource,
        name: text("/objectRef/name"),
        user_agent: text("/userAgent"),
        user: if impersonated.is_empty() { text("/user/username") } else { impersonated },
        at: text("/requestReceivedTimestamp"),
        status,
    })
}

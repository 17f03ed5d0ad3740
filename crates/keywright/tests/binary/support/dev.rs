//! `keywright dev` on folders of its own.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tempfile::TempDir;

use super::process::Ended;
use super::{Process, eventually, free_port};

/// Key sets that are made in no time.
const KEY_SETS: &str = "\
apiVersion: keywright.dev/v1alpha1
kind: JsonWebKeySet
metadata: {name: hydra.openid.id-token}
spec: {algorithms: [ES256]}
---
apiVersion: keywright.dev/v1alpha1
kind: JsonWebKeySet
metadata: {name: hydra.jwt.access-token}
spec: {algorithms: [ES256]}
";

/// Folders, ports and, between [`Dev::start`] and its end, a process.
pub struct Dev {
    root: TempDir,
    /// Port of the public API.
    pub public: u16,
    /// Port of the admin API.
    pub admin: u16,
    /// Port of the sample app.
    pub sample_app: u16,
    /// Further arguments of the process.
    pub arguments: Vec<String>,
    /// Further variables of the process.
    pub variables: Vec<(&'static str, String)>,
    process: Option<Process>,
    http: reqwest::Client,
}

/// A resource's `Ready` condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ready {
    pub status: String,
    pub reason: String,
    pub message: String,
    /// The generation that it is about is the resource's.
    pub is_current: bool,
}

/// A manifest of a client for the client credentials grant, whose id is its name. `more` are further lines of its spec.
pub fn client(name: &str, more: &[&str]) -> String {
    let head = format!(
        "apiVersion: keywright.dev/v1alpha1\nkind: OAuth2Client\nmetadata:\n  name: {name}\nspec:\n  \
         clientId: {name}\n  grantTypes: [client_credentials]\n"
    );
    more.iter().fold(head, |text, line| text + "  " + line + "\n")
}

/// A manifest of the client `shop`, with which people log in.
pub fn shop(redirect_uri: &str) -> String {
    format!(
        "apiVersion: keywright.dev/v1alpha1\nkind: OAuth2Client\nmetadata: {{name: shop}}\nspec:\n  \
         clientId: shop\n  grantTypes: [authorization_code, refresh_token]\n  \
         redirectUris: [{redirect_uri}]\n  scopes: [openid, offline_access]\n"
    )
}

impl Dev {
    /// Folders with nothing in them but key sets.
    pub fn prepared() -> Self {
        let dev = Self {
            root: TempDir::new().unwrap(),
            public: free_port(),
            admin: free_port(),
            sample_app: free_port(),
            arguments: Vec::new(),
            variables: Vec::new(),
            process: None,
            http: reqwest::Client::new(),
        };
        fs::create_dir(dev.manifests()).unwrap();
        dev.write("key-sets.yaml", KEY_SETS);
        dev
    }

    /// The process, on the given manifests.
    pub async fn started(manifests: &[(&str, String)]) -> Self {
        let mut dev = Self::prepared();
        for (file, text) in manifests {
            dev.write(file, text);
        }
        dev.start().await;
        dev
    }

    /// The folder of the manifests.
    pub fn manifests(&self) -> PathBuf {
        self.root.path().join("manifests")
    }

    /// The data folder; its name needs quotes.
    pub fn data(&self) -> PathBuf {
        self.root.path().join("the data")
    }

    /// Another place on the same file system.
    pub fn elsewhere(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Writes a manifest as a careful editor does: whole, by a rename.
    pub fn write(&self, file: &str, text: &str) {
        let mut written = tempfile::NamedTempFile::new_in(self.manifests()).unwrap();
        written.write_all(text.as_bytes()).unwrap();
        written.persist(self.manifests().join(file)).unwrap();
    }

    /// Removes a manifest.
    pub fn remove(&self, file: &str) {
        fs::remove_file(self.manifests().join(file)).unwrap();
    }

    /// Starts the process without waiting for anything.
    pub fn launch(&mut self) {
        let mut arguments = vec!["dev".into(), "--manifests".into(), self.manifests()];
        arguments.extend(["--data".into(), self.data(), "--sample-app".into()]);
        arguments.push(format!("127.0.0.1:{}", self.sample_app).into());
        arguments.extend(self.arguments.iter().map(PathBuf::from));
        let mut variables = vec![
            ("SERVE_PUBLIC_PORT", self.public.to_string()),
            ("SERVE_ADMIN_PORT", self.admin.to_string()),
        ];
        variables.extend(self.variables.clone());
        self.process = Some(Process::start(&arguments, &variables));
    }

    /// Starts the process, and waits until it has looked at all resources.
    pub async fn start(&mut self) {
        self.launch();
        self.welcomed().await;
    }

    /// Waits until the process has looked at all resources.
    pub async fn welcomed(&mut self) {
        loop {
            let process = self.process.as_mut().expect("the process was started");
            let runs = process.runs();
            if process.stdout().contains("Ctrl-C stops.") {
                return;
            }
            assert!(runs, "it ended:\n{}\n{}", process.stdout(), process.stderr());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The running process.
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("the process was started")
    }

    /// Stops the process as Ctrl-C does.
    pub async fn stop(&mut self) -> Ended {
        self.stop_by("INT").await
    }

    /// Stops the process by a signal.
    pub async fn stop_by(&mut self, signal: &str) -> Ended {
        let process = self.process.take().expect("the process was started");
        process.signal(signal);
        // Less than what requests under way may take: none of them holds it up.
        process.ended(Duration::from_secs(15)).await
    }

    /// Ends the process without a chance to tidy up.
    pub async fn kill(&mut self) -> Ended {
        self.process.take().expect("the process was started").kill().await
    }

    /// Waits until the log holds a text.
    pub async fn logs(&self, text: &str) {
        let logged = || async { self.process().stderr().contains(text) };
        let begin = std::time::Instant::now();
        while !logged().await {
            let log = self.process().stderr();
            assert!(begin.elapsed() < Duration::from_secs(30), "{text:?} is not in the log:\n{log}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The resource's file, which is there as long as the resource is.
    pub fn resource_file(&self, kind: &str, name: &str) -> PathBuf {
        self.data().join(format!("resources/default/{}/{name}.yaml", kind.to_lowercase()))
    }

    /// The resource with its status; `null` where it is not there.
    pub fn resource(&self, kind: &str, name: &str) -> Value {
        fs::read(self.resource_file(kind, name))
            .map_or(Value::Null, |bytes| serde_yaml::from_slice(&bytes).unwrap())
    }

    /// How a client stands.
    pub fn ready(&self, name: &str) -> Ready {
        let resource = self.resource("OAuth2Client", name);
        let conditions = resource["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let condition = conditions.into_iter().find(|condition| condition["type"] == "Ready");
        let condition = condition.unwrap_or_default();
        let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        Ready {
            status: text("status"),
            reason: text("reason"),
            message: text("message"),
            is_current: condition["observedGeneration"] == resource["metadata"]["generation"],
        }
    }

    /// Waits until a client stands so.
    pub async fn stands(&self, name: &str, status: &str, reason: &str) -> Ready {
        let what = format!("{name} is {status} because of {reason}");
        let holds = || async {
            let ready = self.ready(name);
            ready.is_current && (ready.status.as_str(), ready.reason.as_str()) == (status, reason)
        };
        let stands = tokio::time::timeout(Duration::from_secs(20), eventually(&what, holds)).await.is_ok();
        assert!(stands, "not {what}, but {:?}:\n{}", self.ready(name), self.process().stderr());
        self.ready(name)
    }

    /// The file of a Secret.
    pub fn secret_file(&self, name: &str) -> PathBuf {
        self.data().join(format!("secrets/default/{name}.yaml"))
    }

    /// The entries of a Secret; `None` where there is none, or its file holds none.
    pub fn secret(&self, name: &str) -> Option<BTreeMap<String, String>> {
        let secret: Value = serde_yaml::from_slice(&fs::read(self.secret_file(name)).ok()?).ok()?;
        let decode = |(key, value): (&String, &Value)| {
            Some((key.clone(), String::from_utf8(STANDARD.decode(value.as_str()?).ok()?).ok()?))
        };
        secret["data"].as_object()?.iter().map(decode).collect()
    }

    /// The secret of a client that is declared by [`client`].
    ///
    /// # Panics
    /// Where it has none.
    pub fn client_secret(&self, name: &str) -> String {
        let secret = self.secret(&format!("{name}-oauth2-client")).expect("the client has a Secret");
        secret.get("CLIENT_SECRET").expect("the Secret holds a client secret").clone()
    }

    /// A URL of the public API.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.public)
    }

    /// A URL of the admin API.
    pub fn admin_url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.admin)
    }

    /// Posts a form.
    pub fn post(&self, url: String, form: &[(&str, &str)]) -> reqwest::RequestBuilder {
        self.http.post(url).form(form)
    }

    /// The body of a document.
    pub async fn get(&self, url: String) -> String {
        self.http.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// Asks for a token. Gives what the server answers.
    pub async fn answer(&self, id: &str, secret: &str, scope: &str) -> Value {
        let form = [("grant_type", "client_credentials"), ("scope", scope)];
        let request = self.post(self.url("/oauth2/token"), &form).basic_auth(id, Some(secret));
        request.send().await.unwrap().json().await.unwrap()
    }

    /// A token, or the error code.
    pub async fn token(&self, id: &str, secret: &str) -> Result<String, String> {
        self.token_for(id, secret, "").await
    }

    /// A token for a scope, or the error code.
    pub async fn token_for(&self, id: &str, secret: &str, scope: &str) -> Result<String, String> {
        let answer = self.answer(id, secret, scope).await;
        match answer["access_token"].as_str() {
            Some(token) => Ok(token.to_owned()),
            None => Err(answer["error"].as_str().unwrap_or_default().to_owned()),
        }
    }

    /// Whether a token is active.
    pub async fn is_active(&self, token: &str) -> bool {
        let request = self.post(self.admin_url("/admin/oauth2/introspect"), &[("token", token)]);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        answer["active"] == true
    }

    /// The ids of the published keys.
    pub async fn key_ids(&self) -> Vec<String> {
        let set: Value = serde_json::from_str(&self.get(self.url("/.well-known/jwks.json")).await).unwrap();
        let keys = set["keys"].as_array().unwrap();
        let mut ids: Vec<_> = keys.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    }
}

/// All files below a folder.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

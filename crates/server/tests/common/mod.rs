//! Servers on real sockets, and what they serve.

#![allow(dead_code, reason = "each test program uses its own part of this")]

pub mod browser;
pub mod device;
pub mod doors;
pub mod receiver;
pub mod signing;
pub mod silent_proxy;
pub mod verifiers;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use harness::{TestDatabase, eventually};
use jiff::Timestamp;
use jose::{Algorithm, Entropy, KeyUse, RsaBits, SigningAlgorithm};
use oauth::client_credentials::Policy;
use oauth::discovery::DiscoveryPolicy;
use oauth::jwt_access_token::ClaimsPolicy;
use oauth::{
    AccessTokenStrategy, ClientId, ClientSecret, ClientSecretHash, Incarnation, Issuer, Lifetimes,
    ScopeStrategy, SubjectTypes, UserCodeFormat,
};
use prometheus_client::registry::Registry;
use reqwest::Response;
use serde_json::{Value, json};
use server::{
    AuthorizationTimes, CookieSettings, ListenerLimits, Metrics, OutboundPolicy, PageUrls, SameSite, Server,
    Settings, serve,
};
use store::{
    ACCESS_TOKEN_SET, Clock, Declaration, ID_TOKEN_SET, KeySetPolicy, NewClient, ResourceRef, Store,
    StoredRotation, Turn,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

pub const ISSUER: &str = "https://id.example.com/";

/// Both kinds of database, each new.
pub async fn databases() -> [TestDatabase; 2] {
    [TestDatabase::sqlite(), TestDatabase::postgres().await]
}

/// A clock that stands at a round time.
pub fn manual_clock() -> Clock {
    Clock::manual("2026-01-05T00:00:00Z".parse::<Timestamp>().unwrap())
}

pub fn settings() -> Settings {
    let hour = Duration::from_hours(1);
    Settings {
        issuer: Issuer::parse(ISSUER).unwrap(),
        public_url: Issuer::parse("https://id.example.com").unwrap(),
        lifetimes: Lifetimes { access_token: hour, id_token: hour },
        access_token_strategy: AccessTokenStrategy::Opaque,
        client_credentials: Policy {
            scope_strategy: ScopeStrategy::Wildcard,
            default_to_registered_scope: false,
        },
        jwt_bearer: oauth::jwt_bearer::Policy {
            max_ttl: Duration::from_hours(720),
            jti_optional: false,
            iat_optional: false,
            omit_assertion_audience: true,
        },
        authorization: oauth::authorization_request::Policy::default(),
        flow: AuthorizationTimes {
            login_consent_request: Duration::from_mins(30),
            device_user_code: Duration::from_mins(10),
            device_polling_interval: Duration::from_secs(5),
            auth_code: Duration::from_mins(10),
            authentication_session: Duration::from_hours(720),
            refresh_token: Some(Duration::from_hours(720)),
            rotation_grace: Duration::ZERO,
        },
        user_codes: UserCodeFormat::default(),
        pages: PageUrls {
            login: Some("https://pages.example.com/login".to_owned()),
            consent: Some("https://pages.example.com/consent".to_owned()),
            device_verification: Some("https://pages.example.com/device".to_owned()),
            device_success: Some("https://pages.example.com/done".to_owned()),
            error: Some("https://pages.example.com/error".to_owned()),
            ..PageUrls::default()
        },
        demonstration: None,
        cookies: CookieSettings {
            session: "ory_hydra_session".to_owned(),
            session_path: "/".to_owned(),
            login_csrf: "ory_hydra_login_csrf".to_owned(),
            consent_csrf: "ory_hydra_consent_csrf".to_owned(),
            device_csrf: "ory_hydra_device_csrf".to_owned(),
            domain: None,
            same_site: SameSite::Lax,
            secure: true,
        },
        jwt: ClaimsPolicy::default(),
        discovery: DiscoveryPolicy::default(),
        broadcast_keys: vec![ID_TOKEN_SET.to_owned()],
        outbound: OutboundPolicy::default(),
        subject_types: SubjectTypes::default(),
        dynamic_client_registration: false,
        identity_provider: None,
        hooks: server::Hooks::default(),
        default_client_scope: "offline_access offline openid".parse().unwrap(),
        expose_internal_errors: false,
        version: "v1.2.3".to_owned(),
        public: server::ApiSettings::default(),
        admin: server::ApiSettings::default(),
    }
}

/// A server with both its APIs listening; it ends with this value.
pub struct TestServer {
    pub store: Store,
    pub server: Server,
    pub public: SocketAddr,
    pub admin: SocketAddr,
    pub http: reqwest::Client,
    _shutdown: DropGuard,
    _database: Option<TestDatabase>,
}

impl TestServer {
    /// A server on a database, whose caches are in use when this returns.
    pub async fn start(database: &TestDatabase, clock: Clock) -> Self {
        let server = Self::with(database.open(clock).await, settings()).await;
        server.cached().await;
        server
    }

    /// A server with a SQLite database of its own, whose caches are in use when this returns.
    pub async fn alone(clock: Clock, settings: Settings) -> Self {
        let database = TestDatabase::sqlite();
        let server = Self::with(database.open(clock).await, settings).await;
        server.cached().await;
        Self { _database: Some(database), ..server }
    }

    /// A server with a store and settings of the test's own.
    pub async fn with(store: Store, settings: Settings) -> Self {
        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        let server = Server::new(store.clone(), settings, metrics, None).unwrap();
        let shutdown = CancellationToken::new();
        let public = listen(server.public_router(), ListenerLimits::default(), shutdown.clone()).await;
        let admin =
            listen(server.admin_router(Arc::new(registry)), ListenerLimits::default(), shutdown.clone())
                .await;
        let http = reqwest::Client::builder().build().unwrap();
        Self { store, server, public, admin, http, _shutdown: shutdown.drop_guard(), _database: None }
    }

    /// Waits until what is cached is used, and nothing that was changed so far is read anew any more.
    pub async fn cached(&self) {
        let now = Instant::now();
        eventually("the cache is trusted", async || self.store.has_heard_until(now)).await;
    }

    /// How many statements something takes, with what it gives.
    pub async fn costing<T>(&self, done: impl Future<Output = T>) -> (u64, T) {
        let before = self.store.statements();
        let value = done.await;
        (self.store.statements() - before, value)
    }

    pub fn public_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.public)
    }

    pub fn admin_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    /// Asks for a token with HTTP Basic.
    pub async fn request_token(&self, client: &TestClient, form: &[(&str, &str)]) -> Response {
        let form: Vec<_> = [("grant_type", "client_credentials")].iter().chain(form).collect();
        self.http
            .post(self.public_url("/oauth2/token"))
            .basic_auth(client.id.as_str(), Some(client.secret.expose()))
            .form(&form)
            .send()
            .await
            .unwrap()
    }

    /// Gets a token.
    pub async fn token(&self, client: &TestClient, form: &[(&str, &str)]) -> Value {
        let response = self.request_token(client, form).await;
        let (status, body) = (response.status(), response.text().await.unwrap());
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Gets an access token.
    pub async fn access_token(&self, client: &TestClient) -> String {
        self.token(client, &[]).await["access_token"].as_str().unwrap().to_owned()
    }

    /// True where a token can be had.
    pub async fn issues_to(&self, client: &TestClient) -> bool {
        self.request_token(client, &[]).await.status() == 200
    }

    pub async fn introspect(&self, form: &[(&str, &str)]) -> Value {
        let request = self.http.post(self.admin_url("/admin/oauth2/introspect")).form(form);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        response.json().await.unwrap()
    }

    pub async fn is_active(&self, token: &str) -> bool {
        self.introspect(&[("token", token)]).await["active"].as_bool().unwrap()
    }

    pub async fn revoke(&self, client: &TestClient, token: &str) -> Response {
        self.http
            .post(self.public_url("/oauth2/revoke"))
            .basic_auth(client.id.as_str(), Some(client.secret.expose()))
            .form(&[("token", token)])
            .send()
            .await
            .unwrap()
    }

    /// A published document of the public API.
    pub async fn get(&self, path: &str) -> Response {
        self.http.get(self.public_url(path)).send().await.unwrap()
    }

    /// The value of a metric's series, by its name and labels as they are written.
    pub async fn metric(&self, series: &str) -> Option<f64> {
        let text = self.http.get(self.admin_url("/admin/metrics/prometheus")).send().await.unwrap();
        let text = text.text().await.unwrap();
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }
}

/// Runs a statement past the store.
pub async fn sql(database: &TestDatabase, statement: &'static str) {
    use sqlx::{AnyConnection, Connection, Executor};
    let mut connection = AnyConnection::connect(&database.url).await.unwrap();
    connection.execute(statement).await.unwrap();
    connection.close().await.unwrap();
}

/// A header of an answer; empty where it is not there.
pub fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

/// Serves on a free port of loopback.
pub async fn listen(router: axum::Router, limits: ListenerLimits, shutdown: CancellationToken) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, router, limits, shutdown));
    address
}

/// A registered client, and the secret that it knows.
pub struct TestClient {
    pub id: ClientId,
    pub secret: ClientSecret,
    pub manager: ResourceRef,
}

/// What most tests' client has registered.
pub fn registered() -> Value {
    json!({
        "grant_types": ["client_credentials"],
        "scope": "read orders.*",
        "audience": ["https://api.example.com"],
    })
}

/// The same, with JWT access tokens.
pub fn registered_for_jwt() -> Value {
    let mut metadata = registered();
    metadata["access_token_strategy"] = json!("jwt");
    metadata
}

impl TestClient {
    /// Registers a client with a generated secret.
    pub async fn create(store: &Store, id: &str, metadata: Value) -> Self {
        Self::create_with(store, id, metadata, ClientSecret::generate(store.entropy()), false).await
    }

    /// Registers a client with a secret that somebody chose, stored as a slow hash.
    pub async fn create_chosen(store: &Store, id: &str, metadata: Value, secret: &str) -> Self {
        Self::create_with(store, id, metadata, ClientSecret::new(secret), true).await
    }

    async fn create_with(store: &Store, id: &str, metadata: Value, secret: ClientSecret, slow: bool) -> Self {
        let id = ClientId::parse(id).unwrap();
        let incarnation = Incarnation(i64::from_be_bytes(store.entropy().bytes()));
        let (ring, entropy) = (store.ring(), store.entropy());
        let hash = if slow {
            ClientSecretHash::of_chosen(ring, &id, incarnation, &secret, entropy).unwrap()
        } else {
            ClientSecretHash::of_generated(ring, &id, incarnation, &secret)
        };
        let manager = resource(id.as_str());
        let new = NewClient {
            id: id.clone(),
            incarnation,
            metadata: serde_json::from_value(metadata).unwrap(),
            manager: Some(manager.clone()),
            deleted_with_manager: false,
            spec_hash: String::new(),
            secret: Some(hash),
            handled_rotate_secret: None,
            self_registered: false,
        };
        store.create_client(&new).await.unwrap();
        Self { id, secret, manager }
    }

    /// The same client with another secret.
    pub fn with_secret(&self, secret: &str) -> Self {
        Self { id: self.id.clone(), secret: ClientSecret::new(secret), manager: self.manager.clone() }
    }

    pub async fn delete(&self, store: &Store) {
        assert!(store.delete_client(&self.id, &self.manager).await.unwrap());
    }

    /// Gives the client a further secret, which works beside the first.
    pub async fn add_secret(&self, store: &Store) -> Self {
        let row = store.read_client(&self.id).await.unwrap().unwrap();
        let secret = ClientSecret::generate(store.entropy());
        let hash = ClientSecretHash::of_generated(store.ring(), &self.id, row.incarnation, &secret);
        store.set_pending_secret(&row.fence(), &hash).await.unwrap();
        self.with_secret(secret.expose())
    }
}

pub fn resource(name: &str) -> ResourceRef {
    ResourceRef {
        cluster: "test".to_owned(),
        namespace: "default".to_owned(),
        name: name.to_owned(),
        uid: format!("uid-of-{name}"),
    }
}

/// What a resource would declare of a key set.
pub fn declaration(set: &str, algorithm: SigningAlgorithm, rotation: StoredRotation) -> Declaration {
    Declaration {
        set: set.to_owned(),
        key_use: KeyUse::Sig,
        policy: KeySetPolicy {
            algorithms: vec![Algorithm::Signing(algorithm)],
            rsa_bits: RsaBits::B2048,
            rotation,
            publish_before: 24 * 3600,
            retain_after: 0,
            suspended: false,
        },
        manager: resource(set),
        deleted_with_manager: false,
        rotate: None,
        rotate_now: None,
        revoked: Vec::new(),
    }
}

/// Makes both token sets with keys of an algorithm that is quick to make.
pub async fn make_token_sets(store: &Store, algorithm: SigningAlgorithm) -> [Turn; 2] {
    let declared = |set| declaration(set, algorithm, StoredRotation::Manual);
    let id = store.declare_key_set(&declared(ID_TOKEN_SET)).await.unwrap();
    [id, store.declare_key_set(&declared(ACCESS_TOKEN_SET)).await.unwrap()]
}

/// Opens a further store on a database whose changes it hears at `listen_url`.
pub async fn open_listening(database: &TestDatabase, clock: Clock, listen_url: String) -> Store {
    let mut options = database.options();
    options.listen_url = Some(listen_url);
    Store::open(options, clock, Entropy::system()).await.unwrap()
}

/// True where two stores hold the same versions of all key sets.
pub async fn have_same_keys(one: &Store, other: &Store) -> bool {
    let (one, other) = (one.keys().await.unwrap(), other.keys().await.unwrap());
    let versions = |keys: &store::KeyRegistry| -> Vec<(String, i64)> {
        keys.sets().iter().map(|set| (set.name.clone(), set.version)).collect()
    };
    versions(&one) == versions(&other)
}

/// Sends bytes and reads until the server closes the connection.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    read_to_end(&mut stream).await
}

/// Reads until the server closes the connection, for at most half a minute.
pub async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset loses nothing that was read before it.
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "the server keeps the connection: {}", String::from_utf8_lossy(&answer));
    String::from_utf8_lossy(&answer).into_owned()
}

/// Keeps the server at its own work until the guard is dropped.
pub fn at_work(server: &TestServer) -> DropGuard {
    let (server, shutdown) = (server.server.clone(), CancellationToken::new());
    let until = shutdown.clone();
    tokio::spawn(async move { server.maintain(false, until).await });
    shutdown.drop_guard()
}

//! What the tests of this crate share.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![expect(clippy::unwrap_used, reason = "a test cannot go on without these")]

pub mod grants;
pub mod proxy;

use std::sync::Arc;

use harness::TestDatabase;
use jiff::{SignedDuration, Timestamp};
use jose::{Algorithm, Entropy, KeyUse, RsaBits, SigningAlgorithm, SystemSecret};
use oauth::client::SecretCheck;
use oauth::{ClientId, ClientMetadata, ClientSecret, ClientSecretHash, Incarnation};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Connection};
use store::{
    Clock, Declaration, Error, KeySetPolicy, NewClient, Options, ResourceRef, Store, StoredClient,
    StoredRotation, Turn,
};

pub const ES256: Algorithm = Algorithm::Signing(SigningAlgorithm::Es256);
pub const EDDSA: Algorithm = Algorithm::Signing(SigningAlgorithm::EdDsa);

/// One database of each kind.
pub async fn databases() -> [TestDatabase; 2] {
    [TestDatabase::sqlite(), TestDatabase::postgres().await]
}

/// A clock that stands still until it is moved.
pub fn clock() -> Clock {
    Clock::manual("2026-01-01T00:00:00Z".parse().unwrap())
}

pub fn hours(hours: i64) -> SignedDuration {
    SignedDuration::from_hours(hours)
}

pub fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

/// How far an instant lies after the time of the store's clock.
pub fn ahead(store: &Store, instant: Timestamp) -> SignedDuration {
    instant.duration_since(store.clock().now())
}

pub async fn try_open(options: Options) -> Result<Store, Error> {
    Store::open(options, clock(), Entropy::system()).await
}

/// Options for a database with these system secrets instead.
pub fn with_secrets(database: &TestDatabase, secrets: &[&str]) -> Options {
    let secrets: Vec<_> = secrets.iter().map(|text| SystemSecret::new(*text).unwrap()).collect();
    Options { secrets: Arc::from(secrets), ..database.options() }
}

/// What `call` gives, and how many statements it took.
pub async fn costing<T>(store: &Store, call: impl Future<Output = T>) -> (T, u64) {
    let before = store.statements();
    let done = call.await;
    (done, store.statements() - before)
}

/// Runs statements past the store, and gives their rows.
pub async fn sql(database: &TestDatabase, statement: impl Into<String>) -> Vec<AnyRow> {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(&database.url).await.unwrap();
    let statement = AssertSqlSafe(statement.into());
    let rows = sqlx::raw_sql(statement).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    rows
}

/// The number that a statement gives.
pub async fn number(database: &TestDatabase, statement: impl Into<String>) -> i64 {
    use sqlx::Row;
    sql(database, statement).await[0].get(0)
}

pub fn client_id(text: &str) -> ClientId {
    ClientId::parse(text).unwrap()
}

/// A resource, with a uid of its own.
pub fn resource(name: &str) -> ResourceRef {
    ResourceRef {
        cluster: "cluster-1".into(),
        namespace: "team".into(),
        name: name.into(),
        uid: format!("uid of {name}"),
    }
}

pub fn named(name: &str) -> ClientMetadata {
    ClientMetadata { client_name: name.into(), ..ClientMetadata::default() }
}

/// A client of the resource of the same name, and its secret.
pub fn new_client(store: &Store, id: &str) -> (NewClient, ClientSecret) {
    let incarnation = Incarnation(i64::from_be_bytes(store.entropy().bytes()));
    let secret = ClientSecret::generate(store.entropy());
    let new = NewClient {
        id: client_id(id),
        incarnation,
        metadata: named("first"),
        manager: Some(resource(id)),
        deleted_with_manager: false,
        spec_hash: "digest".into(),
        secret: Some(ClientSecretHash::of_generated(store.ring(), &client_id(id), incarnation, &secret)),
        handled_rotate_secret: None,
        self_registered: false,
    };
    (new, secret)
}

/// The same without a resource.
pub fn new_unmanaged_client(store: &Store, id: &str) -> (NewClient, ClientSecret) {
    let (new, secret) = new_client(store, id);
    (NewClient { manager: None, spec_hash: String::new(), ..new }, secret)
}

/// Makes a client without a resource, and gives its row with its secret.
pub async fn create_unmanaged_client(store: &Store, id: &str) -> (StoredClient, ClientSecret) {
    let (new, secret) = new_unmanaged_client(store, id);
    store.create_client(&new).await.unwrap();
    (read(store, id).await, secret)
}

/// The resource that owns a client.
pub fn manager(row: &StoredClient) -> &ResourceRef {
    row.manager.as_ref().unwrap()
}

/// Makes a client, and gives its row with its secret.
pub async fn create_client(store: &Store, id: &str) -> (StoredClient, ClientSecret) {
    let (new, secret) = new_client(store, id);
    store.create_client(&new).await.unwrap();
    (read(store, id).await, secret)
}

/// The row of a client that exists.
pub async fn read(store: &Store, id: &str) -> StoredClient {
    store.read_client(&client_id(id)).await.unwrap().unwrap()
}

/// Whether a secret authenticates the client as the database has it now.
pub async fn authenticates(store: &Store, id: &str, secret: &ClientSecret) -> bool {
    let client = store.fresh_client(&client_id(id)).await.unwrap().unwrap();
    matches!(client.check_secret(store.ring(), secret, store.clock().now()), SecretCheck::Match)
}

/// A policy with one ES256 line, in hours.
pub fn every(period: u64, publish_before: u64) -> KeySetPolicy {
    KeySetPolicy {
        algorithms: vec![ES256],
        rsa_bits: RsaBits::B2048,
        rotation: StoredRotation::Period(period * 3600),
        publish_before: publish_before * 3600,
        retain_after: 0,
        suspended: false,
    }
}

/// A resource of the set's name that declares it, with no requests.
pub fn declaration(set: &str, policy: KeySetPolicy) -> Declaration {
    Declaration {
        set: set.into(),
        key_use: KeyUse::Sig,
        policy,
        manager: resource(set),
        deleted_with_manager: false,
        rotate: None,
        rotate_now: None,
        revoked: Vec::new(),
    }
}

pub async fn declare(store: &Store, declared: &Declaration) -> Turn {
    store.declare_key_set(declared).await.unwrap()
}

/// Lets go of a set, as if the server had made it.
pub async fn disown(database: &TestDatabase, set: &str) {
    let disown = format!(
        "UPDATE key_sets SET manager_cluster = NULL, manager_namespace = NULL, manager_name = NULL, \
         manager_uid = NULL WHERE name = '{set}'"
    );
    sql(database, disown).await;
}

//! A fresh database for each test, of both kinds.

use std::sync::Arc;
use std::time::Duration;

use jose::{Entropy, SigningAlgorithm, SystemSecret};
use oauth::Lifetimes;
use sqlx::{Connection, Executor, PgConnection};
use store::{Clock, Connections, Options, Store};
use tempfile::TempDir;

/// The system secret of every test database.
pub const SYSTEM_SECRET: &str = "a-system-secret-for-tests-only";

/// A database that is removed when this is dropped.
pub struct TestDatabase {
    /// Its URL.
    pub url: String,
    _cleanup: Cleanup,
}

enum Cleanup {
    Folder(#[expect(dead_code, reason = "kept for its drop")] TempDir),
    Postgres { server: String, name: String },
}

impl TestDatabase {
    /// A SQLite file.
    ///
    /// # Panics
    /// Where the temporary folder cannot be made.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its database")]
    pub fn sqlite() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("keywright.db").display());
        Self { url, _cleanup: Cleanup::Folder(folder) }
    }

    /// A database of its own on the PostgreSQL that `DATABASE_URL` names.
    ///
    /// # Panics
    /// Where there is none: `make test` brings one, and so does `e2e/postgres.sh cargo test`.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its database")]
    pub async fn postgres() -> Self {
        let server = std::env::var("DATABASE_URL")
            .expect("DATABASE_URL must name a PostgreSQL: run `make test`, or `e2e/postgres.sh cargo test`");
        Self::on(server).await
    }

    /// A database of its own on the PostgreSQL of a URL.
    ///
    /// # Panics
    /// Where that does not answer.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its database")]
    pub async fn on(server: String) -> Self {
        let name = format!("keywright_{}", uuid::Uuid::new_v4().simple());
        let mut connection = PgConnection::connect(&server).await.expect("the PostgreSQL of DATABASE_URL");
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        connection.execute(sqlx::raw_sql(create)).await.expect("CREATE DATABASE");
        let (base, query) = server.split_once('?').unwrap_or((&server, ""));
        let base = base.rsplit_once('/').map_or(base, |(base, _)| base);
        let url = if query.is_empty() { format!("{base}/{name}") } else { format!("{base}/{name}?{query}") };
        Self { url, _cleanup: Cleanup::Postgres { server, name } }
    }

    /// Options for this database that listen for changes.
    ///
    /// # Panics
    /// Never: the system secret is long enough.
    #[expect(clippy::expect_used, reason = "the constant is long enough")]
    pub fn options(&self) -> Options {
        let secret = SystemSecret::new(SYSTEM_SECRET).expect("16 characters");
        Options {
            database: Connections {
                url: self.url.clone(),
                max_connections: 8,
                max_lifetime: None,
                idle_timeout: None,
            },
            listen_url: Some(self.url.clone()),
            secrets: Arc::new([secret]),
            lifetimes: Lifetimes { access_token: Duration::from_hours(1), id_token: Duration::from_hours(1) },
            token_algorithm: SigningAlgorithm::Rs256,
            tracer: None,
            replica: None,
        }
    }

    /// The same for one that is reached by another URL; its changes are heard of by its own.
    pub fn options_at(&self, url: impl Into<String>) -> Options {
        let options = self.options();
        Options { database: Connections { url: url.into(), ..options.database }, ..options }
    }

    /// The same with at most so many connections.
    pub fn options_with(&self, max_connections: u32) -> Options {
        let options = self.options();
        Options { database: Connections { max_connections, ..options.database }, ..options }
    }

    /// Opens it, as one process would.
    ///
    /// # Panics
    /// Where that fails.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its database")]
    pub async fn open(&self, clock: Clock) -> Store {
        Store::open(self.options(), clock, Entropy::system()).await.expect("the store opens")
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        let Self::Postgres { server, name } = self else { return };
        let (server, name) = (std::mem::take(server), std::mem::take(name));
        // A thread with a runtime of its own: the test's may be gone, or be this very thread's.
        let (done, wait) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            let _done = done;
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
                return;
            };
            runtime.block_on(async {
                if let Ok(mut connection) = PgConnection::connect(&server).await {
                    let drop = sqlx::AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
                    let _ = connection.execute(sqlx::raw_sql(drop)).await;
                }
            });
        });
        // Not for long: where the test's runtime stands still for this while it opens a connection, PostgreSQL waits
        // for that one before it drops or creates any database, until the authentication times out after a minute.
        let _ = wait.recv_timeout(Duration::from_secs(1));
    }
}

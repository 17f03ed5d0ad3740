//! Migrations: one text for both databases, applied under a lock.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sqlx::migrate::{Migrate, Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Row, SqlSafeStr};

use crate::database::{Database, Dialect};
use crate::{Error, Options};

/// Every migration, in order. A published one never changes: expand first, contract in a later version.
const MIGRATIONS: [KnownMigration; 14] = [
    KnownMigration::of_both(1, "init", include_str!("../migrations/0001_init.sql")),
    KnownMigration::of_both(2, "grants", include_str!("../migrations/0002_grants.sql")),
    KnownMigration::of_one(
        Dialect::Sqlite,
        4,
        "cache_generation",
        include_str!("../migrations/0004_cache_generation.sqlite.sql"),
    ),
    KnownMigration::of_both(
        6,
        "device_authorizations",
        include_str!("../migrations/0006_device_authorizations.sql"),
    ),
    KnownMigration::of_both(7, "assertions", include_str!("../migrations/0007_assertions.sql")),
    KnownMigration::of_both(8, "logouts", include_str!("../migrations/0008_logouts.sql")),
    KnownMigration::of_both(9, "registration", include_str!("../migrations/0009_registration.sql")),
    KnownMigration::of_both(10, "imported", include_str!("../migrations/0010_imported.sql")),
    KnownMigration::of_both(11, "self_registered", include_str!("../migrations/0011_self_registered.sql")),
    KnownMigration::of_one(
        Dialect::Postgres,
        12,
        "managed_rows",
        include_str!("../migrations/0012_managed_rows.postgres.sql"),
    ),
    KnownMigration::of_one(
        Dialect::Sqlite,
        12,
        "managed_rows",
        include_str!("../migrations/0012_managed_rows.sqlite.sql"),
    ),
    KnownMigration::of_both(13, "imported_clients", include_str!("../migrations/0013_imported_clients.sql")),
    KnownMigration::of_both(14, "upkeep", include_str!("../migrations/0014_upkeep.sql")),
    KnownMigration::of_both(
        16,
        "identity_provider_sessions",
        include_str!("../migrations/0016_identity_provider_sessions.sql"),
    ),
];

/// A migration that this version has.
struct KnownMigration {
    version: i64,
    name: &'static str,
    sql: &'static str,
    /// The only kind of database that needs it.
    only: Option<Dialect>,
}

impl KnownMigration {
    const fn of_both(version: i64, name: &'static str, sql: &'static str) -> Self {
        Self { version, name, sql, only: None }
    }

    const fn of_one(only: Dialect, version: i64, name: &'static str, sql: &'static str) -> Self {
        Self { version, name, sql, only: Some(only) }
    }

    /// The migrations of a kind of database.
    fn of(dialect: Dialect) -> impl Iterator<Item = Self> {
        MIGRATIONS.into_iter().filter(move |migration| migration.only.is_none_or(|only| only == dialect))
    }
}

/// One migration, and whether it has been applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its number.
    pub version: i64,
    /// What it is for.
    pub name: String,
    /// True where the database has it.
    pub applied: bool,
}

/// Applies what is missing. Any number of processes may do so at once: one works, the others wait.
///
/// # Errors
/// [`Error::Unavailable`], or [`Error::Corrupt`] where a migration was applied that is not the same here.
pub async fn migrate(options: &Options) -> Result<(), Error> {
    apply(&options.pool()?, &options.database.url).await
}

/// The state of each migration.
///
/// # Errors
/// [`Error::Unavailable`] or [`Error::Statement`].
pub async fn status(options: &Options) -> Result<Vec<MigrationStatus>, Error> {
    let database = options.pool()?;
    let mut connection = database.pool().acquire().await?;
    connection.ensure_migrations_table("_sqlx_migrations").await?;
    let applied = connection.list_applied_migrations("_sqlx_migrations").await?;
    let status = |known: KnownMigration| MigrationStatus {
        version: known.version,
        name: known.name.to_owned(),
        applied: applied.iter().any(|applied| applied.version == known.version),
    };
    Ok(KnownMigration::of(database.dialect()).map(status).collect())
}

/// What opening a database would find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Nothing that was ever used: there are no tables, or nothing can have been sealed for them yet.
    Empty,
    /// It was used, and lacks migrations of this version.
    Behind,
    /// All is there: opening it would write nothing.
    Ready,
}

/// What opening the database would find. Nothing is written to find out.
///
/// # Errors
/// [`Error::Unavailable`].
pub async fn readiness(options: &Options) -> Result<Readiness, Error> {
    let database = options.pool()?;
    let applied = applied(&database).await?;
    if applied.is_empty() {
        return Ok(Readiness::Empty);
    }
    let root_key = database.fetch_optional(database.query("SELECT 1 FROM root_keys LIMIT 1")).await?;
    Ok(match root_key {
        None => Readiness::Empty,
        Some(_) if is_complete(&database, &applied) => Readiness::Ready,
        Some(_) => Readiness::Behind,
    })
}

/// True where a database has every migration of this version. The statement is not counted.
pub(crate) async fn has_all(database: &Database) -> Result<bool, Error> {
    Ok(is_complete(database, &applied(database).await?))
}

fn is_complete(database: &Database, applied: &[i64]) -> bool {
    KnownMigration::of(database.dialect()).all(|known| applied.contains(&known.version))
}

/// The migrations that a database has; none where it has no table of them.
async fn applied(database: &Database) -> Result<Vec<i64>, Error> {
    let versions = sqlx::query(AssertSqlSafe("SELECT version FROM _sqlx_migrations"));
    match database.fetch_all(versions).await {
        Err(Error::Statement(_)) => Ok(Vec::new()),
        rows => rows?.iter().map(|row| Ok(row.try_get(0)?)).collect(),
    }
}

pub(crate) async fn apply(database: &Database, url: &str) -> Result<(), Error> {
    let mut migrator = Migrator::with_migrations(migrations(database.dialect()));
    // Those of a newer version: migrations only add, and during a rollout, or after a rollback, an older one starts too.
    migrator.set_ignore_missing(true);
    // sqlx takes an advisory lock on PostgreSQL, and none on SQLite: there, a file beside the database is locked.
    let lock = match database.dialect() {
        Dialect::Postgres => None,
        Dialect::Sqlite => sqlite_lock(url).await?,
    };
    migrator.run(database.pool()).await?;
    drop(lock);
    Ok(())
}

fn migrations(dialect: Dialect) -> Vec<Migration> {
    let migration = |known: KnownMigration| {
        let sql = match dialect {
            Dialect::Postgres => known.sql.to_owned(),
            Dialect::Sqlite => known.sql.replace(" BYTEA", " BLOB").replace(" WITH (fillfactor = 80)", ""),
        };
        let sql = AssertSqlSafe(sql).into_sql_str();
        Migration::new(known.version, known.name.into(), MigrationType::Simple, sql, false)
    };
    KnownMigration::of(dialect).map(migration).collect()
}

async fn sqlite_lock(url: &str) -> Result<Option<File>, Error> {
    // sqlx says which file it is: the path may be encoded in the URL.
    let options: SqliteConnectOptions = url.parse()?;
    let path = options.get_filename().to_owned();
    if url.contains(":memory:") || url.contains("mode=memory") {
        return Ok(None);
    }
    let locked = tokio::task::spawn_blocking(move || {
        let private = |path: &Path| File::options().create(true).append(true).mode(0o600).open(path);
        let mut lock = path.clone().into_os_string();
        lock.push(".lock");
        let lock = private(Path::new(&lock))?;
        lock.lock()?;
        // SQLite gives its own files the mode of the database.
        private(&path)?;
        Ok::<_, std::io::Error>(lock)
    });
    let file = locked.await.map_err(|e| Error::Unavailable(e.to_string()))?;
    Ok(Some(file.map_err(|e| Error::Unavailable(format!("cannot lock the database file: {e}")))?))
}

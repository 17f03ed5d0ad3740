//! Migrations: one text for both databases, applied under a lock.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use sqlx::migrate::{Migrate, Migration, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, SqlSafeStr};

use crate::database::{Database, Dialect};
use crate::{Error, Options};

/// Every migration, in order. A published one never changes: expand first, contract in a later version.
const MIGRATIONS: [(i64, &str, &str); 2] = [
    (1, "init", include_str!("../migrations/0001_init.sql")),
    (2, "grants", include_str!("../migrations/0002_grants.sql")),
];

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
/// [`Error::Unavailable`], or [`Error::Corrupt`] where the database has migrations that this version does not know.
pub async fn migrate(options: &Options) -> Result<(), Error> {
    apply(&Database::new(options)?, &options.url).await
}

/// The state of each migration.
///
/// # Errors
/// [`Error::Unavailable`] or [`Error::Statement`].
pub async fn status(options: &Options) -> Result<Vec<MigrationStatus>, Error> {
    let database = Database::new(options)?;
    let mut connection = database.pool().acquire().await?;
    connection.ensure_migrations_table("_sqlx_migrations").await?;
    let applied = connection.list_applied_migrations("_sqlx_migrations").await?;
    let status = |&(version, name, _): &(i64, &str, &str)| MigrationStatus {
        version,
        name: name.to_owned(),
        applied: applied.iter().any(|known| known.version == version),
    };
    Ok(MIGRATIONS.iter().map(status).collect())
}

pub(crate) async fn apply(database: &Database, url: &str) -> Result<(), Error> {
    let migrator = Migrator::with_migrations(migrations(database.dialect()));
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
    let migration = |&(version, name, sql): &(i64, &'static str, &str)| {
        let sql = match dialect {
            Dialect::Postgres => sql.to_owned(),
            Dialect::Sqlite => sql.replace(" BYTEA", " BLOB").replace(" WITH (fillfactor = 80)", ""),
        };
        Migration::new(version, name.into(), MigrationType::Simple, AssertSqlSafe(sql).into_sql_str(), false)
    };
    MIGRATIONS.iter().map(migration).collect()
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

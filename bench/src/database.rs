//! What PostgreSQL tells of its work.

use anyhow::{Context, Result};
use sqlx::{Connection, PgConnection};

use crate::process;

/// A connection to the servers' database.
pub(crate) struct Database {
    connection: PgConnection,
    /// The process whose children all others are; `None` where it runs on another machine.
    postmaster: Option<u32>,
    counts_statements: bool,
}

/// What was used up to a moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Usage {
    pub(crate) processor_time: Option<std::time::Duration>,
    /// Statements, `BEGIN` and `COMMIT` among them.
    pub(crate) statements: Option<u64>,
    /// Bytes of the write-ahead log.
    pub(crate) wal: u64,
}

impl Database {
    /// Connects. Statements are counted where `pg_stat_statements` is loaded.
    pub(crate) async fn open(url: &str) -> Result<Self> {
        let mut connection = PgConnection::connect(url).await.context("cannot connect to the database")?;
        let backend: i32 = sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(&mut connection).await?;
        let postmaster = u32::try_from(backend).ok().filter(|pid| is_postgres(*pid));
        let extension = "CREATE EXTENSION IF NOT EXISTS pg_stat_statements";
        let loaded = sqlx::query(extension).execute(&mut connection).await.is_ok();
        let counts_statements = loaded && statements(&mut connection).await.is_ok();
        let postmaster = postmaster.map(process::parent).transpose()?;
        Ok(Self { connection, postmaster, counts_statements })
    }

    pub(crate) async fn usage(&mut self) -> Result<Usage> {
        let statements =
            if self.counts_statements { Some(statements(&mut self.connection).await?) } else { None };
        let wal: i64 = sqlx::query_scalar("SELECT CAST(pg_current_wal_lsn() - '0/0'::pg_lsn AS BIGINT)")
            .fetch_one(&mut self.connection)
            .await?;
        Ok(Usage {
            processor_time: self.postmaster.map(process::processor_time_of_family).transpose()?,
            statements,
            wal: u64::try_from(wal)?,
        })
    }
}

fn is_postgres(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("postgres"))
}

async fn statements(connection: &mut PgConnection) -> Result<u64> {
    let sum = "SELECT CAST(COALESCE(sum(calls), 0) AS BIGINT) FROM pg_stat_statements";
    let calls: i64 = sqlx::query_scalar(sum).fetch_one(connection).await?;
    Ok(u64::try_from(calls)?)
}

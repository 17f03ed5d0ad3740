//! The connection pool, and the counter of statements.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use opentelemetry::global::BoxedTracer;
use sqlx::any::{AnyArguments, AnyPoolOptions, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyPool, AssertSqlSafe, Connection, Executor};
use tokio::runtime::Handle;

use crate::at_hand::{AtHand, KEPT_FOR, Kept};
use crate::clock::{Clock, process_micros};
use crate::loan::Loan;
use crate::traces::StatementSpan;
use crate::{Connections, Error};

/// The longest that one statement may take before the database counts as away. It bounds a connection that a network
/// silently eats, which no error would ever report.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// Which database it is; most statements are the same for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL 14 or newer.
    Postgres,
    /// SQLite.
    Sqlite,
}

impl Dialect {
    /// The dialect that a database URL names.
    pub fn of(url: &str) -> Self {
        if url.starts_with("sqlite:") { Self::Sqlite } else { Self::Postgres }
    }
}

/// A pool of connections. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pool: AnyPool,
    at_hand: Arc<AtHand>,
    dialect: Dialect,
    statements: Arc<AtomicU64>,
    tracer: Option<Arc<BoxedTracer>>,
}

impl Database {
    /// Makes the pool. No connection is opened yet, so this succeeds while the database is away.
    pub(crate) fn new(options: &Connections, tracer: Option<Arc<BoxedTracer>>) -> Result<Self, Error> {
        let dialect = Dialect::of(&options.url);
        Self::beginning_with(prelude(dialect), dialect, options, tracer)
    }

    /// The same for a replica, which works on a statement for three seconds and then gives it up, also where nobody waits
    /// for it any more.
    pub(crate) fn replica(options: &Connections, tracer: Option<Arc<BoxedTracer>>) -> Result<Self, Error> {
        let dialect = Dialect::of(&options.url);
        let prelude = match dialect {
            Dialect::Postgres => "SET statement_timeout = '3s'",
            Dialect::Sqlite => prelude(dialect),
        };
        Self::beginning_with(prelude, dialect, options, tracer)
    }

    fn beginning_with(
        prelude: &'static str,
        dialect: Dialect,
        options: &Connections,
        tracer: Option<Arc<BoxedTracer>>,
    ) -> Result<Self, Error> {
        sqlx::any::install_default_drivers();
        let mut pool = AnyPoolOptions::new();
        if let Some(age) = options.max_lifetime {
            pool = pool.max_lifetime(age);
        }
        if let Some(idle) = options.idle_timeout {
            pool = pool.idle_timeout(idle);
        }
        let at_hand = Arc::<AtHand>::default();
        let losses = Arc::clone(&at_hand);
        let pool = pool
            .max_connections(options.max_connections)
            .acquire_timeout(Duration::from_secs(3))
            .test_before_acquire(false)
            .before_acquire(move |connection, meta| {
                let is_doubtful = meta.idle_for > KEPT_FOR || losses.was_loss_within(meta.idle_for);
                Box::pin(async move {
                    if is_doubtful {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_connect(move |connection, _| {
                Box::pin(async move {
                    connection.execute(AssertSqlSafe(prelude)).await?;
                    Ok(())
                })
            })
            .connect_lazy(&options.url)?;
        Ok(Self { pool, at_hand, dialect, statements: Arc::default(), tracer })
    }

    pub(crate) fn pool(&self) -> &AnyPool {
        &self.pool
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// How many statements were made so far. `BEGIN` and `COMMIT` are not counted, nor is the invalidation channel's
    /// own traffic.
    pub(crate) fn statements(&self) -> u64 {
        self.statements.load(Ordering::SeqCst)
    }

    /// The span of a statement that the caller is about to wait for.
    pub(crate) fn span(&self, operation: &'static str) -> StatementSpan {
        StatementSpan::begin(self.tracer.as_deref(), operation, self.dialect)
    }

    /// Starts a statement, and counts it.
    pub(crate) fn query(&self, sql: &'static str) -> Query<'static, Any, AnyArguments> {
        self.statements.fetch_add(1, Ordering::SeqCst);
        sqlx::query(AssertSqlSafe(sql))
    }

    /// Runs a statement that gives at most one row.
    ///
    /// It is read to its end: sqlx's own `fetch_optional` returns with the row, which a statement that writes gives
    /// before it commits.
    pub(crate) async fn fetch_optional(
        &self,
        query: Query<'static, Any, AnyArguments>,
    ) -> Result<Option<AnyRow>, Error> {
        Ok(self.fetch_all(query).await?.pop())
    }

    /// Runs a statement that gives rows.
    pub(crate) async fn fetch_all(
        &self,
        query: Query<'static, Any, AnyArguments>,
    ) -> Result<Vec<AnyRow>, Error> {
        let span = self.span("query");
        let rows = async {
            let mut loan = self.loan().await?;
            let rows = self.heeded(bounded(query.fetch_all(&mut *loan)).await)?;
            loan.done();
            Ok(rows)
        };
        span.end(rows.await)
    }

    /// Runs a statement, and tells how many rows it changed.
    pub(crate) async fn execute(&self, query: Query<'static, Any, AnyArguments>) -> Result<u64, Error> {
        let span = self.span("execute");
        let done = async {
            let mut loan = self.loan().await?;
            let done = self.heeded(bounded(query.execute(&mut *loan)).await)?;
            loan.done();
            Ok(done.rows_affected())
        };
        span.end(done.await)
    }

    /// Where the database was away for one connection, it may have been for all: the others are asked before they are
    /// used again, so that who repeats a statement does not meet the next one that is lost.
    fn heeded<T>(&self, done: Result<T, Error>) -> Result<T, Error> {
        if matches!(done, Err(Error::Unavailable(_))) {
            self.at_hand.lose(&Handle::current());
        }
        done
    }

    /// Lends a connection.
    pub(crate) async fn loan(&self) -> Result<Loan, Error> {
        let kept = match self.at_hand.take() {
            Ok(kept) => kept,
            Err(_waiting) => {
                let connection = bounded(self.pool.acquire()).await?;
                Kept { connection, taken: Instant::now() }
            }
        };
        Ok(Loan::new(kept, self.dialect, Arc::clone(&self.at_hand)))
    }

    /// Closes all connections, when their statements are done.
    pub(crate) async fn close(&self) {
        self.at_hand.close(&Handle::current());
        self.pool.close().await;
    }

    /// Samples the database's time into `clock`. SQLite shares the process's.
    pub(crate) async fn calibrate(&self, clock: &Clock) -> Result<(), Error> {
        if self.dialect == Dialect::Sqlite {
            return Ok(());
        }
        let query = self.query("SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)");
        // The connection first: waiting for one is no part of the round trip.
        let mut loan = self.loan().await?;
        let before = process_micros();
        let row = bounded(query.fetch_one(&mut *loan)).await?;
        clock.calibrate(before, sqlx::Row::try_get(&row, 0)?, process_micros());
        Ok(())
    }
}

/// What each new connection begins with.
fn prelude(dialect: Dialect) -> &'static str {
    match dialect {
        // A process that vanishes within a transaction, with no word to PostgreSQL, holds its locks for so long: as
        // long as it would wait for an answer itself.
        Dialect::Postgres => "SET idle_in_transaction_session_timeout = '10s'",
        Dialect::Sqlite => {
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000; \
             PRAGMA foreign_keys = ON"
        }
    }
}

/// Bounds a database call in time.
pub(crate) async fn bounded<T>(call: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Error> {
    match tokio::time::timeout(STATEMENT_TIMEOUT, call).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Error::Unavailable(format!("no answer in {} s", STATEMENT_TIMEOUT.as_secs()))),
    }
}

//! Lists are read from a copy of the database, where there is one.
//!
//! A copy lags behind. So nothing is asked of it that anything depends on: no code, no refresh, no revocation, no session
//! and no client of a request. Where it does not answer, lacks a migration, or refuses a statement, the database itself
//! is asked, and the copy is left alone until it has been looked at again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe};

use crate::database::Database;
use crate::{Error, Store, migrate};

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How long it may take for an answer. A caller who waits for a list has the time for the database itself after that.
const PATIENCE: Duration = Duration::from_secs(5);

const ROOT_KEYS: &str = "SELECT wrapped FROM root_keys ORDER BY generation";

/// A copy of the database, and what is known of it.
pub(crate) struct Replica {
    database: Database,
    /// Whether lists are read from it; `None` until it was looked at.
    used: Mutex<Option<bool>>,
}

impl Replica {
    pub(crate) fn new(database: Database) -> Self {
        Self { database, used: Mutex::default() }
    }

    /// Looks at it now and then, for ever. What this asks is not counted.
    pub(crate) async fn watch(self: Arc<Self>, original: Database) {
        loop {
            // While the database itself does not answer, nothing is learnt of its copy.
            if let Ok(keys) = in_time(root_keys(&original)).await {
                match in_time(self.check(&keys)).await {
                    Ok(()) => self.enter(),
                    Err(error) => self.leave(&error),
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Whether it is a copy, with all tables and columns that there are to be, of the database that has these root keys.
    async fn check(&self, keys: &[Vec<u8>]) -> Result<(), Error> {
        if !migrate::has_all(&self.database).await? {
            return Err(Error::corrupt("the replica has not all migrations yet"));
        }
        // The wrapped key is random, and no two databases have the same.
        if root_keys(&self.database).await? == keys {
            Ok(())
        } else {
            Err(Error::corrupt(
                "the replica has other root keys: it is a copy of another database, or far behind",
            ))
        }
    }

    /// What it answers; `None` where it is of no use now.
    async fn rows(&self, statement: &impl ListStatement) -> Option<Vec<AnyRow>> {
        if self.is_used() != Some(true) {
            return None;
        }
        let rows = in_time(self.database.fetch_all(statement(&self.database))).await;
        rows.inspect_err(|error| self.leave(error)).ok()
    }

    fn is_used(&self) -> Option<bool> {
        // No code that holds the lock panics.
        *self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether this is news.
    fn turn(&self, used: bool) -> bool {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).replace(used) != Some(used)
    }

    fn enter(&self) {
        if self.turn(true) {
            tracing::info!("lists are read from the replica");
        }
    }

    fn leave(&self, error: &Error) {
        if self.turn(false) {
            tracing::warn!(%error, "lists are read from the database itself: its replica cannot be used");
        }
    }
}

/// Makes a statement for the database that it is given.
pub(crate) trait ListStatement: Fn(&Database) -> Query<'static, Any, AnyArguments> {}

impl<F: Fn(&Database) -> Query<'static, Any, AnyArguments>> ListStatement for F {}

impl Store {
    /// Whether lists are read from the replica ([`Options::replica`](crate::Options::replica)); `None` where there is none,
    /// or it has not been looked at yet.
    pub fn is_replica_used(&self) -> Option<bool> {
        self.replica().and_then(Replica::is_used)
    }

    /// How many statements were sent to the replica for lists.
    pub fn replica_statements(&self) -> u64 {
        self.replica().map_or(0, |replica| replica.database.statements())
    }

    /// The rows of a list for people and their tools, from the replica where that can be used. They may be some time
    /// behind.
    pub(crate) async fn fetch_list(&self, statement: impl ListStatement) -> Result<Vec<AnyRow>, Error> {
        if let Some(replica) = self.replica()
            && let Some(rows) = replica.rows(&statement).await
        {
            return Ok(rows);
        }
        self.db().fetch_all(statement(self.db())).await
    }

    /// Closes its connections.
    pub(crate) async fn close_replica(&self) {
        if let Some(replica) = self.replica() {
            replica.database.close().await;
        }
    }
}

async fn in_time<T>(call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let late = |_| Error::Unavailable(format!("no answer in {} s", PATIENCE.as_secs()));
    tokio::time::timeout(PATIENCE, call).await.map_err(late)?
}

async fn root_keys(database: &Database) -> Result<Vec<Vec<u8>>, Error> {
    let rows = database.fetch_all(sqlx::query(AssertSqlSafe(ROOT_KEYS))).await?;
    rows.iter().map(|row| Ok(sqlx::Row::try_get(row, 0)?)).collect()
}

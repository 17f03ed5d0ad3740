//! Lists are read from a copy of the database, where there is one.
//!
//! A copy lags behind. So nothing is asked of it that anything depends on: no code, no refresh, no revocation, no session
//! and no client of a request. Where it does not answer, is too far behind, lacks a migration, or refuses a statement, the
//! database itself is asked, and the copy is left alone until it has been looked at again.
//!
//! How far it is behind tells a row that servers write into the database at each look: what the copy has of it was written
//! so long ago. No function of PostgreSQL is asked, which managed ones lack, and which know nothing of a copy that went its
//! own way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::FutureExt;
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, Row};

use crate::clock::Clock;
use crate::database::Database;
use crate::{Error, Store, migrate};

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// How long it may take for an answer, the wait for a connection included: longer than it works on a statement itself
/// ([`Database::replica`]). A caller who waits for a list has the time for the database itself after that.
const PATIENCE: Duration = Duration::from_secs(4);

/// Further behind it is of no use. It may well be 30 seconds behind where somebody else reads from it
/// (`max_standby_streaming_delay`).
const MOST_BEHIND: Duration = Duration::from_mins(1);

const ROOT_KEYS: &str = "SELECT wrapped FROM root_keys ORDER BY generation";

/// One row of each table of which there are lists: a table that is locked, or must not be read, is found out here.
const LISTED: &str = "SELECT (SELECT 1 FROM clients LIMIT 1), (SELECT 1 FROM grants LIMIT 1), \
    (SELECT 1 FROM consents LIMIT 1), (SELECT 1 FROM revocations LIMIT 1), \
    (SELECT 1 FROM trusted_issuers LIMIT 1)";

const LAST_BEAT: &str = "SELECT began_at FROM upkeep WHERE name = 'replica'";

const BEAT: &str = "INSERT INTO upkeep (name, began_at) VALUES ('replica', $1) \
    ON CONFLICT (name) DO UPDATE SET began_at = excluded.began_at WHERE upkeep.began_at <> excluded.began_at";

/// A copy of the database, and what is known of it.
pub(crate) struct Replica {
    database: Database,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Whether lists are read from it; `None` until it was looked at.
    used: Option<bool>,
    /// How far it was behind when it last said so.
    lag: Option<Duration>,
}

/// What there is in the database itself, and is to be in its copy.
struct Original {
    root_keys: Vec<Vec<u8>>,
    /// In seconds since the epoch; `None` before the first one.
    last_beat: Option<i64>,
}

impl Replica {
    pub(crate) fn new(database: Database) -> Self {
        Self { database, known: Mutex::default() }
    }

    /// Looks at it now and then, for ever. What this asks is not counted.
    pub(crate) async fn watch(self: Arc<Self>, database: Database, clock: Clock) {
        loop {
            let now = clock.now().as_second();
            // While the database itself does not answer, nothing is learnt of its copy.
            if let Ok(original) = in_time(Original::read(&database)).await {
                match in_time(self.check(&original, now)).await {
                    Ok(()) => self.enter(),
                    Err(error) => self.leave(&error),
                }
                // After the look, so that it has the time until the next one to arrive. One that is lost makes the copy
                // seem no younger.
                let beat = sqlx::query(AssertSqlSafe(BEAT)).bind(now);
                let _ = in_time(database.execute(beat)).await;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Whether it is a copy, with all tables and columns that there are to be, of the database that has these root keys;
    /// can be read, and is not too far behind.
    async fn check(&self, original: &Original, now: i64) -> Result<(), Error> {
        if !migrate::has_all(&self.database).await? {
            return Err(Error::corrupt("the replica has not all migrations yet"));
        }
        let here = Original::read(&self.database).await?;
        // The wrapped key is random, and no two databases have the same.
        if here.root_keys != original.root_keys {
            return Err(Error::corrupt(
                "the replica has other root keys: it is a copy of another database, or far behind",
            ));
        }
        let lag = here.lag_behind(original, now);
        self.known().lag = Some(lag);
        if lag > MOST_BEHIND {
            return Err(Error::Unavailable(format!("the replica is {} s behind", lag.as_secs())));
        }
        self.database.fetch_all(sqlx::query(AssertSqlSafe(LISTED))).await?;
        Ok(())
    }

    /// What it answers; `None` where it is of no use now.
    async fn rows(self: &Arc<Self>, statement: &impl ListStatement) -> Option<Vec<AnyRow>> {
        if self.is_used() != Some(true) {
            return None;
        }
        let (replica, query) = (Arc::clone(self), statement(&self.database));
        // By itself: also where the caller waits no longer, it is to be known that there was no answer.
        let answer = async move {
            let rows = in_time(replica.database.fetch_all(query)).await;
            rows.inspect_err(|error| replica.leave(error)).ok()
        };
        tokio::spawn(answer.with_context(Context::current())).await.ok().flatten()
    }

    fn is_used(&self) -> Option<bool> {
        self.known().used
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // No code that holds the lock panics.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says whether this is news.
    fn turn(&self, used: bool) -> bool {
        self.known().used.replace(used) != Some(used)
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

impl Original {
    async fn read(database: &Database) -> Result<Self, Error> {
        let rows = database.fetch_all(sqlx::query(AssertSqlSafe(ROOT_KEYS))).await?;
        let root_keys = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<_, Error>>()?;
        let beat = database.fetch_optional(sqlx::query(AssertSqlSafe(LAST_BEAT))).await?;
        Ok(Self { root_keys, last_beat: beat.map(|row| row.try_get(0)).transpose()? })
    }

    /// How far this copy is behind the original: it lacks some of what was written since.
    fn lag_behind(&self, original: &Self, now: i64) -> Duration {
        let Some(last) = original.last_beat else { return Duration::ZERO };
        let here = self.last_beat.unwrap_or(last.saturating_sub(1));
        let seconds = if here >= last { 0 } else { now.saturating_sub(here) };
        Duration::from_secs(seconds.try_into().unwrap_or(0))
    }
}

/// Makes a statement for the database that it is given.
pub(crate) trait ListStatement: Fn(&Database) -> Query<'static, Any, AnyArguments> {}

impl<F: Fn(&Database) -> Query<'static, Any, AnyArguments>> ListStatement for F {}

impl Store {
    /// Whether lists are read from the replica ([`Options::replica`](crate::Options::replica)); `None` where there is none,
    /// or it has not been looked at yet.
    pub fn is_replica_used(&self) -> Option<bool> {
        self.replica()?.is_used()
    }

    /// How far the replica was behind when it was last looked at and answered: nothing that was written before is missing
    /// there. Up to ten seconds too much, as it is measured by what servers write at each look. `None` where there is no
    /// replica, or it has not answered yet.
    pub fn replica_lag(&self) -> Option<Duration> {
        self.replica()?.known().lag
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_as_far_behind_as_the_last_beat_that_it_has() {
        let with = |last_beat| Original { root_keys: Vec::new(), last_beat };
        for (here, original, lag) in [
            (None, None, 0),
            (Some(90), None, 0),
            (Some(90), Some(90), 0),
            (Some(91), Some(90), 0),
            (Some(40), Some(90), 60),
            (None, Some(90), 11),
            (Some(120), Some(130), 0),
        ] {
            let expected = Duration::from_secs(lag);
            assert_eq!(with(here).lag_behind(&with(original), 100), expected, "{here:?} {original:?}");
        }
    }
}

//! A connection on loan from the pool.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, Connection, Transaction};
use tokio::runtime::Handle;

use crate::Error;
use crate::at_hand::{AtHand, Kept};
use crate::database::{Dialect, bounded};

/// How long a connection has to prove, when it comes back, that it still works.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// A connection that goes back to the pool when this is dropped, also where a caller went away in the middle of a
/// statement or a transaction.
///
/// The pool itself would wait without end for a connection to prove itself. One that a network silently eats would
/// keep its place until the operating system gives it up, a quarter of an hour later; a handful would fill the pool.
pub(crate) struct Loan {
    connection: Option<PoolConnection<Any>>,
    /// When it was taken from the pool.
    taken: Instant,
    dialect: Dialect,
    at_hand: Arc<AtHand>,
    is_done: bool,
}

impl Loan {
    pub(crate) fn new(Kept { connection, taken }: Kept, dialect: Dialect, at_hand: Arc<AtHand>) -> Self {
        Self { connection: Some(connection), taken, dialect, at_hand, is_done: false }
    }

    /// The statement has ended well, outside of any transaction: the connection can be used again as it is.
    pub(crate) fn done(mut self) {
        self.is_done = true;
    }

    /// Begins a transaction that writes.
    pub(crate) async fn begin(&mut self) -> Result<Transaction<'_, Any>, Error> {
        // SQLite: take the write lock at once. A deferred transaction that reads first could not upgrade later.
        match self.dialect {
            Dialect::Postgres => bounded(Connection::begin(&mut **self)).await,
            Dialect::Sqlite => bounded(Connection::begin_with(&mut **self, "BEGIN IMMEDIATE")).await,
        }
    }
}

#[expect(clippy::expect_used, reason = "the connection is only taken by drop")]
impl Deref for Loan {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        self.connection.as_ref().expect("taken by drop only")
    }
}

#[expect(clippy::expect_used, reason = "the connection is only taken by drop")]
impl DerefMut for Loan {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        self.connection.as_mut().expect("taken by drop only")
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let (Some(connection), Ok(runtime)) = (self.connection.take(), Handle::try_current()) else {
            return;
        };
        if self.is_done {
            self.at_hand.give(Kept { connection, taken: self.taken }, &runtime);
        } else {
            go_back(connection, &runtime);
        }
    }
}

/// What the pool does when a connection is dropped, in bounded time: then it is closed, and its place free.
pub(crate) fn go_back(mut connection: PoolConnection<Any>, runtime: &Handle) {
    let returned = connection.return_to_pool();
    runtime.spawn(tokio::time::timeout(RELEASE_TIMEOUT, returned));
}

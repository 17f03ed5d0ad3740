//! Statements of one kind that wait for the database go together.
//!
//! A lone statement goes at once; nothing waits for a timer. While as many batches are under way as may be, what comes
//! is collected, and goes as the next batch when one is done. So the busier the database, the fewer and the larger its
//! statements and commits.

use std::collections::{HashMap, HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use sqlx::any::AnyRow;
use tokio::sync::oneshot;

use crate::Error;
use crate::database::{Database, Dialect};
use crate::grants::bytes;
use crate::traces::StatementSpan;

/// The most calls in one statement. A power of two: there is one text for each, and each connection prepares it.
pub(crate) const MAX_BATCH: usize = 32;

/// How many batches of a kind may be under way. SQLite has one writer: there, those that write go one by one.
const BATCHES_UNDER_WAY: usize = 4;

/// The most calls of a kind that may wait.
const MAX_WAITING: usize = 2_048;

/// What is asked of one row, in a statement that can ask it of several.
pub(crate) trait Coalesced: Send + Sync + 'static {
    /// What it does, for its spans.
    const OPERATION: &'static str;

    /// True for a statement that writes.
    const WRITES: bool;

    /// What became of it.
    type Outcome: Send + 'static;

    /// The row that it is about: one statement asks each row once.
    fn key(&self) -> [u8; 16];

    /// Executes one statement for all of `batch`, whose keys differ and ascend and whose length is a power of two up to
    /// [`MAX_BATCH`]; gives an outcome for each, in their order.
    fn execute(
        database: &Database,
        batch: &[Self],
    ) -> impl Future<Output = Result<Vec<Self::Outcome>, Error>> + Send
    where
        Self: Sized;
}

/// The calls of one kind, on their way to the database.
pub(crate) struct Coalescer<C: Coalesced> {
    database: Database,
    line: Arc<Mutex<Line<C>>>,
}

struct Line<C: Coalesced> {
    waiting: VecDeque<Call<C>>,
    under_way: usize,
}

struct Call<C: Coalesced> {
    asked: C,
    answer: oneshot::Sender<Result<C::Outcome, Error>>,
}

impl<C: Coalesced> Coalescer<C> {
    pub(crate) fn new(database: Database) -> Self {
        let line = Line { waiting: VecDeque::new(), under_way: 0 };
        Self { database, line: Arc::new(Mutex::new(line)) }
    }

    /// Executes a call, alone or with others. A caller that goes away while its call waits takes it along; what was sent
    /// to the database is not cancelled.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where too many calls wait, or where it is not known what became of it; else what the
    /// database says of this very call.
    pub(crate) async fn call(&self, asked: C) -> Result<C::Outcome, Error> {
        let span = StatementSpan::begin(C::OPERATION, self.database.dialect());
        span.end(self.answer(asked).await)
    }

    async fn answer(&self, asked: C) -> Result<C::Outcome, Error> {
        let (answer, answered) = oneshot::channel();
        let starts = {
            let mut line = lock(&self.line);
            if line.waiting.len() >= MAX_WAITING {
                return Err(Error::Unavailable("too many statements are waiting".to_owned()));
            }
            line.waiting.push_back(Call { asked, answer });
            let starts = line.under_way < self.batches_under_way();
            line.under_way += usize::from(starts);
            starts
        };
        if starts {
            tokio::spawn(work(self.database.clone(), Arc::clone(&self.line)));
        }
        let gone = |_| Error::Unavailable("the statement was given up".to_owned());
        answered.await.map_err(gone)?
    }

    fn batches_under_way(&self) -> usize {
        if C::WRITES && self.database.dialect() == Dialect::Sqlite { 1 } else { BATCHES_UNDER_WAY }
    }
}

/// Executes batches until nothing waits.
async fn work<C: Coalesced>(database: Database, line: Arc<Mutex<Line<C>>>) {
    loop {
        let batch = {
            let mut line = lock(&line);
            let batch = next_batch(&mut line.waiting);
            if batch.is_empty() {
                // In the same moment as it is seen that nothing waits: whoever comes later starts anew.
                line.under_way -= 1;
                return;
            }
            batch
        };
        // A defect that ends one batch must not end the line with it: its callers learn that it was given up.
        if AssertUnwindSafe(execute(&database, batch)).catch_unwind().await.is_err() {
            tracing::error!("a statement for several callers ended in a panic");
        }
    }
}

/// The calls that waited for longest, one for each row, as many as there is a statement for.
fn next_batch<C: Coalesced>(waiting: &mut VecDeque<Call<C>>) -> Vec<Call<C>> {
    let (mut batch, mut others, mut keys) = (Vec::new(), VecDeque::new(), HashSet::new());
    // Nobody would use what a call got whose caller went away while it waited.
    for call in waiting.drain(..).filter(|call| !call.answer.is_closed()) {
        if batch.len() < MAX_BATCH && keys.insert(call.asked.key()) {
            batch.push(call);
        } else {
            others.push_back(call);
        }
    }
    let size = batch.len().checked_ilog2().map_or(0, |power| 1 << power);
    for call in batch.drain(size..).rev() {
        others.push_front(call);
    }
    *waiting = others;
    // Rows are locked in this order by every server, so that no two statements wait for each other.
    batch.sort_unstable_by_key(|call| call.asked.key());
    batch
}

async fn execute<C: Coalesced>(database: &Database, batch: Vec<Call<C>>) {
    let (asked, answers): (Vec<_>, Vec<_>) = batch.into_iter().map(|call| (call.asked, call.answer)).unzip();
    match C::execute(database, &asked).await {
        Ok(outcomes) => {
            for (answer, outcome) in answers.into_iter().zip(outcomes) {
                // A caller that went away wants no answer.
                let _ = answer.send(Ok(outcome));
            }
        }
        // The connection is lost or the database is busy: no more is asked of it. Callers may repeat what they asked.
        Err(Error::Unavailable(why)) => {
            for answer in answers {
                let _ = answer.send(Err(Error::Unavailable(why.clone())));
            }
        }
        Err(error) if asked.len() == 1 => {
            let _ = answers.into_iter().next().map(|answer| answer.send(Err(error)));
        }
        // One of them is at fault: the others do not suffer for it.
        Err(_) => {
            for (call, answer) in asked.iter().zip(answers) {
                let alone = C::execute(database, std::slice::from_ref(call)).await;
                let outcome = alone.and_then(|mut outcomes| {
                    outcomes.pop().ok_or_else(|| Error::corrupt("a statement without an outcome"))
                });
                let _ = answer.send(outcome);
            }
        }
    }
}

/// No code that holds the lock panics.
fn lock<T>(line: &Mutex<T>) -> MutexGuard<'_, T> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The rows of an answer by the key that column `index` holds.
pub(crate) fn by_key(rows: Vec<AnyRow>, index: usize) -> Result<HashMap<[u8; 16], AnyRow>, Error> {
    rows.into_iter().map(|row| Ok((bytes(&row, index)?, row))).collect()
}

/// The texts of a statement for each size of a batch: `before`, a list of rows with `columns` parameters each, `after`.
pub(crate) struct BatchText(Vec<String>);

impl BatchText {
    pub(crate) fn new(before: &str, columns: usize, after: &str) -> Self {
        let sizes = (0..=MAX_BATCH.ilog2()).map(|power| 1_usize << power);
        Self(sizes.map(|rows| format!("{before}{}{after}", values(rows, columns))).collect())
    }

    /// The text for a batch of so many calls.
    pub(crate) fn of(&self, calls: usize) -> &str {
        &self.0[calls.max(1).ilog2() as usize]
    }
}

/// `VALUES ($1, $2), ($3, $4)`.
fn values(rows: usize, columns: usize) -> String {
    let row = |row: usize| {
        let parameters: Vec<_> = (1..=columns).map(|column| format!("${}", row * columns + column)).collect();
        format!("({})", parameters.join(", "))
    };
    format!("VALUES {}", (0..rows).map(row).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests;

//! Statements of one kind that wait for the database go together.
//!
//! A lone statement goes at once; nothing waits for a timer. While as many batches are under way as may be, what comes
//! is collected, and goes as the next batch when one is done. So the busier the database, the fewer and the larger its
//! statements and commits.

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use sha2::{Digest, Sha256};
use sqlx::any::AnyRow;
use tokio::sync::oneshot;

use crate::Error;
use crate::database::{Database, Dialect};
use crate::grants::bytes;

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
    type Outcome: Clone + Send + 'static;

    /// The row that it is about: one statement asks each row once.
    fn key(&self) -> [u8; 16];

    /// True where a row of the answer to one is as good for the other. Calls that write have each their own.
    fn is_same(&self, _other: &Self) -> bool {
        false
    }

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

/// What is asked, and by whom: by several where they ask the same.
struct Call<C: Coalesced> {
    asked: C,
    answers: Vec<Answer<C>>,
}

type Answer<C> = oneshot::Sender<Result<<C as Coalesced>::Outcome, Error>>;

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
        let span = self.database.span(C::OPERATION);
        span.end(self.answer(asked).await)
    }

    async fn answer(&self, asked: C) -> Result<C::Outcome, Error> {
        let (answer, answered) = oneshot::channel();
        let starts = {
            let mut line = lock(&self.line);
            if line.waiting.len() >= MAX_WAITING {
                return Err(Error::Unavailable("too many statements are waiting".to_owned()));
            }
            line.waiting.push_back(Call { asked, answers: vec![answer] });
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

/// The calls that waited for longest, one for each row, as many as there is a statement for. Those that ask the same go
/// as one.
fn next_batch<C: Coalesced>(waiting: &mut VecDeque<Call<C>>) -> Vec<Call<C>> {
    let (mut batch, mut others) = (Vec::<Call<C>>::new(), VecDeque::new());
    let mut places: HashMap<_, usize> = HashMap::new();
    for mut call in waiting.drain(..) {
        // Nobody would use what a call got whose caller went away while it waited.
        call.answers.retain(|answer| !answer.is_closed());
        if call.answers.is_empty() {
            continue;
        }
        let key = call.asked.key();
        match places.get(&key) {
            Some(&place) if C::is_same(&batch[place].asked, &call.asked) => {
                batch[place].answers.append(&mut call.answers);
            }
            None if batch.len() < MAX_BATCH => {
                places.insert(key, batch.len());
                batch.push(call);
            }
            _ => others.push_back(call),
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
    let (asked, mut answers): (Vec<_>, Vec<_>) =
        batch.into_iter().map(|call| (call.asked, call.answers)).unzip();
    match C::execute(database, &asked).await {
        Ok(outcomes) => {
            for (answers, outcome) in answers.into_iter().zip(outcomes) {
                // A caller that went away wants no answer.
                for answer in answers {
                    let _ = answer.send(Ok(outcome.clone()));
                }
            }
        }
        // The connection is lost or the database is busy: no more is asked of it. Callers may repeat what they asked.
        Err(Error::Unavailable(why)) => {
            for answer in answers.into_iter().flatten() {
                let _ = answer.send(Err(Error::Unavailable(why.clone())));
            }
        }
        Err(error) if asked.len() == 1 && answers[0].len() == 1 => {
            let _ = answers[0].pop().map(|answer| answer.send(Err(error)));
        }
        // One of them is at fault: the others do not suffer for it.
        Err(_) => {
            for (call, answers) in asked.iter().zip(answers) {
                for answer in answers {
                    let _ = answer.send(alone(database, call).await);
                }
            }
        }
    }
}

/// Executes a call by itself.
async fn alone<C: Coalesced>(database: &Database, call: &C) -> Result<C::Outcome, Error> {
    let mut outcomes = C::execute(database, std::slice::from_ref(call)).await?;
    outcomes.pop().ok_or_else(|| Error::corrupt("a statement without an outcome"))
}

/// No code that holds the lock panics.
fn lock<T>(line: &Mutex<T>) -> MutexGuard<'_, T> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The key of a row whose own key is these texts.
pub(crate) fn key_of(texts: &[&str]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update(text.len().to_be_bytes());
        hash.update(text);
    }
    let mut key = [0; 16];
    key.copy_from_slice(&hash.finalize()[..16]);
    key
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

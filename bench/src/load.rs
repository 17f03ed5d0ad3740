//! A closed loop: each user begins its next operation when it has the answer to the last one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::cli::LoadArgs;
use crate::database::{Database, Usage};
use crate::operation::Operation;
use crate::report::{self, Measurement};
use crate::setup::Setup;
use crate::user::User;
use crate::{print, process, tell};

/// How long a latency may be to be told from longer ones, in microseconds.
const LONGEST: u64 = 60_000_000;

/// What is used up to a moment by all who take part.
struct Sample {
    servers: Duration,
    driver: Duration,
    database: Option<Usage>,
}

/// Measures one operation after the other, and prints a row for each.
pub(crate) async fn measure(args: &LoadArgs) -> Result<()> {
    let mut database = match &args.database {
        Some(url) => Some(Database::open(url).await?),
        None => None,
    };
    let setup = Arc::new(Setup::make(args).await?);
    let mut users = Vec::new();
    for number in 0..args.users {
        users.push(User::new(&setup, number).await?);
    }
    print(report::HEAD)?;
    let chosen = match args.operations.as_slice() {
        [] => Operation::value_variants(),
        chosen => chosen,
    };
    for operation in chosen {
        tell(operation.title());
        (users, _) = run(users, *operation, args.warm_up).await?;
        let before = Sample::take(args, database.as_mut()).await?;
        let began = Instant::now();
        let latencies;
        (users, latencies) = run(users, *operation, args.time).await?;
        let took = began.elapsed();
        let after = Sample::take(args, database.as_mut()).await?;
        let memory = process::resident_bytes(&args.pid)?;
        print(&before.until(&after, !args.pid.is_empty()).row(*operation, &latencies, took, memory))?;
    }
    Ok(())
}

/// Lets all users do an operation again and again for some time, and gives their latencies in microseconds. What is
/// under way when the time is over is finished and counted.
async fn run(users: Vec<User>, operation: Operation, time: Duration) -> Result<(Vec<User>, Histogram<u64>)> {
    let end = Instant::now() + time;
    let mut tasks = JoinSet::new();
    for user in users {
        tasks.spawn(keep_busy(user, operation, end));
    }
    let (mut users, mut latencies) = (Vec::new(), histogram()?);
    while let Some(done) = tasks.join_next().await {
        let (user, own) = done?.with_context(|| format!("{} failed", operation.title()))?;
        users.push(user);
        latencies.add(own)?;
    }
    Ok((users, latencies))
}

async fn keep_busy(mut user: User, operation: Operation, end: Instant) -> Result<(User, Histogram<u64>)> {
    let mut latencies = histogram()?;
    let mut began = Instant::now();
    while began < end {
        operation.perform(&mut user).await?;
        let now = Instant::now();
        latencies.saturating_record(u64::try_from((now - began).as_micros()).unwrap_or(u64::MAX));
        began = now;
    }
    Ok((user, latencies))
}

fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_max(LONGEST, 3)?)
}

impl Sample {
    async fn take(args: &LoadArgs, database: Option<&mut Database>) -> Result<Self> {
        Ok(Self {
            database: match database {
                Some(database) => Some(database.usage().await?),
                None => None,
            },
            servers: process::processor_time(&args.pid)?,
            driver: process::processor_time(&[std::process::id()])?,
        })
    }

    /// What was used between two samples.
    fn until(&self, later: &Self, servers_are_known: bool) -> Measurement {
        let database = self.database.zip(later.database);
        Measurement {
            servers: servers_are_known.then(|| later.servers.saturating_sub(self.servers)),
            driver: later.driver.saturating_sub(self.driver),
            database: database.and_then(|(earlier, later)| {
                Some(later.processor_time?.saturating_sub(earlier.processor_time?))
            }),
            statements: database
                .and_then(|(earlier, later)| Some(later.statements?.saturating_sub(earlier.statements?))),
            wal: database.map(|(earlier, later)| later.wal.saturating_sub(earlier.wal)),
        }
    }
}

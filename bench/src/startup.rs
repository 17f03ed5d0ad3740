//! How long a server takes until it is ready, and its memory when nobody asks it anything.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use http::StatusCode;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::cli::StartupArgs;
use crate::connections::{Api, Connections};
use crate::report::mebibytes;
use crate::{print, process};

/// How long a server may take.
const LONGEST: Duration = Duration::from_mins(1);

/// How often it is asked.
const PAUSE: Duration = Duration::from_micros(500);

/// Starts a server several times, and prints a row for them together. Memory is looked at after the last start.
pub(crate) async fn measure(args: &StartupArgs) -> Result<()> {
    let mut times = Vec::new();
    let mut memory = [0; 2];
    for start_number in 1..=args.times {
        ensure!(!is_ready(args.public).await, "something serves {} already", args.public);
        let began = Instant::now();
        let mut child = start(&args.command)?;
        timeout(LONGEST, ready(args.public, &mut child)).await.context("the server is not ready")??;
        times.push(began.elapsed());
        if start_number == args.times {
            sleep(args.idle).await;
            let pid = child.id().context("the server has ended")?;
            memory = [process::resident_bytes(&[pid])?, process::own_bytes(&[pid])?];
        }
        child.kill().await?;
    }
    times.sort_unstable();
    print(
        "| ready after ms, fastest | median | slowest | idle memory MiB | its own |\n|--:|--:|--:|--:|--:|",
    )?;
    let milliseconds = |time: Duration| format!("{:.0}", time.as_secs_f64() * 1000.0);
    let times = [times[0], times[times.len() / 2], times[times.len() - 1]].map(milliseconds);
    print(&format!("| {} | {} |", times.join(" | "), memory.map(mebibytes).join(" | ")))
}

fn start(command: &[String]) -> Result<Child> {
    let (program, arguments) = command.split_first().context("there is nothing to start")?;
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {program}"))
}

async fn ready(public: SocketAddr, child: &mut Child) -> Result<()> {
    while !is_ready(public).await {
        ensure!(child.try_wait()?.is_none(), "the server has ended");
        sleep(PAUSE).await;
    }
    Ok(())
}

async fn is_ready(public: SocketAddr) -> bool {
    let Ok(mut connections) = Connections::open(&[public], &[]).await else { return false };
    let answer = connections.get(Api::Public, "/health/ready").await;
    answer.is_ok_and(|answer| answer.expect(StatusCode::OK).is_ok())
}

//! A load driver that plays browser, login app and client against any server that speaks Hydra's API.
//!
//! `load` measures operations in a closed loop, `startup` the time until a server is ready and its memory then. What
//! is measured goes to standard output as rows of a Markdown table, everything else to standard error.

mod cli;
mod connections;
mod database;
mod load;
mod login;
mod operation;
mod process;
mod report;
mod setup;
mod startup;
mod user;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::cli::{Cli, Command};

/// The driver shares the machine with what it measures.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Load(args) => load::measure(&args).await,
        Command::Startup(args) => startup::measure(&args).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Writes a line of the result.
fn print(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

/// Says something to whoever watches.
fn tell(line: &str) {
    // There is nowhere left to say that this failed.
    let _ = writeln!(std::io::stderr(), "keywright-bench: {line}");
}

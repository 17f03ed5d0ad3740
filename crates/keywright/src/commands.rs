//! The commands.

mod api;
mod convert;
mod dev;
mod init;
mod janitor;
mod keys;
mod migrate;
mod operator;
mod serve;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory;

use crate::cli::{Cli, Command};

/// Runs a command; what goes wrong is told on standard error, with exit code 1.
pub async fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Serve(args) => serve::run(args).await,
        Command::Operator(args) => Box::pin(operator::run(args)).await,
        Command::Dev(args) => dev::run(args).await,
        Command::Init(args) => init::run(args).await,
        Command::Migrate(args) => migrate::run(args).await,
        Command::Keys(command) => keys::run(command).await,
        Command::Crds => print(&crd::crds_yaml()),
        Command::Convert(args) => convert::run(&args),
        Command::Create(command) => api::create(command).await,
        Command::Get(command) => api::get(command).await,
        Command::List(command) => api::list(command).await,
        Command::Update(command) => api::update(command).await,
        Command::Delete(command) => api::delete(command).await,
        Command::Import(command) => api::import(command).await,
        Command::Introspect(command) => api::introspect(command).await,
        Command::Revoke(command) => api::revoke(command).await,
        Command::Perform(command) => api::perform(command).await,
        Command::Janitor(args) => janitor::run(args).await,
        Command::Completion { shell } => completion(shell),
        Command::Version => print(&format!("v{}\n", env!("CARGO_PKG_VERSION"))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn completion(shell: clap_complete::Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "keywright", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Writes to standard output. A reader that has gone away (`| head`) is no error.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Says on standard error what to do next: standard output is for what the command gives.
fn tell(text: &str) {
    // Who does not listen is not told.
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Says what went wrong on standard error, whether or not the log has begun.
pub fn complain(message: &str) {
    // There is nowhere left to say that this failed.
    let _ = writeln!(std::io::stderr(), "keywright: {message}");
}

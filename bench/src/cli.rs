//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::operation::Operation;

/// Measures servers that speak Hydra's API.
#[derive(Debug, Parser)]
#[command(version, about, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Measure operations under load.
    Load(LoadArgs),
    /// Measure how long a server takes to be ready, and its memory when idle.
    Startup(StartupArgs),
}

#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// Addresses of the public APIs of all server processes. Requests take turns: a flow goes from one to the next.
    #[arg(long, value_name = "IP:PORT", value_delimiter = ',', required = true)]
    pub(crate) public: Vec<SocketAddr>,
    /// Addresses of their admin APIs.
    #[arg(long, value_name = "IP:PORT", value_delimiter = ',', required = true)]
    pub(crate) admin: Vec<SocketAddr>,
    /// Process ids of the servers, where they run on this machine: their processor time and memory are measured.
    #[arg(long, value_delimiter = ',')]
    pub(crate) pid: Vec<u32>,
    /// Their PostgreSQL, where they have one: its processor time (where it runs on this machine), statements and WAL are
    /// measured.
    #[arg(long, value_name = "URL", env = "BENCH_DATABASE_URL", hide_env_values = true)]
    pub(crate) database: Option<String>,
    /// What to measure, one after the other. Default: everything.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub(crate) operations: Vec<Operation>,
    /// How many users are busy at the same time.
    #[arg(long, default_value_t = 32)]
    pub(crate) users: usize,
    /// For how long each operation is measured.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) time: Duration,
    /// For how long it is done before that.
    #[arg(long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
    pub(crate) warm_up: Duration,
    /// The algorithm that the server's tokens must be signed with.
    #[arg(long)]
    pub(crate) algorithm: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct StartupArgs {
    /// Address of the public API.
    #[arg(long, value_name = "IP:PORT")]
    pub(crate) public: SocketAddr,
    /// How often it is started.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) times: u32,
    /// For how long the last one is left alone before its memory is looked at.
    #[arg(long, value_name = "SECONDS", default_value = "15", value_parser = seconds)]
    pub(crate) idle: Duration,
    /// The server's program and its arguments.
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<String>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "must be a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}

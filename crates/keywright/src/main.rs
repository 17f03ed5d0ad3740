//! The `keywright` binary: it parses the command line and runs one command.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use keywright::cli::Cli;
use keywright::commands;
use tokio::runtime::{Builder, Runtime};

/// musl's allocator is slow under threads, glibc's holds on to memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        commands::complain("another TLS provider is installed");
        return ExitCode::FAILURE;
    }
    match runtime() {
        Ok(runtime) => runtime.block_on(commands::run(cli)),
        Err(error) => {
            commands::complain(&format!("the runtime could not be started: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// What hashes passwords and unwraps keys has a thread of its own, whose memory, some 13 MiB, comes back when it ends.
const IDLE_THREADS_END: Duration = Duration::from_secs(1);

fn runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().thread_keep_alive(IDLE_THREADS_END).build()
}

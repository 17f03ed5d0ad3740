//! The `keywright` binary: it parses the command line and runs one command.

use std::process::ExitCode;

use clap::Parser;
use keywright::cli::Cli;
use keywright::commands;

/// musl's allocator is slow under threads, glibc's holds on to memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        commands::complain("another TLS provider is installed");
        return ExitCode::FAILURE;
    }
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(commands::run(cli)),
        Err(error) => {
            commands::complain(&format!("the runtime could not be started: {error}"));
            ExitCode::FAILURE
        }
    }
}

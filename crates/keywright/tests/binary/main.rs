//! The `keywright` binary, as a process of its own: command line, files, signals, ports.
//!
//! One program for all of them, so that they are linked once and run side by side. Those on PostgreSQL need
//! `DATABASE_URL` (`e2e/postgres.sh cargo test -p keywright`); one runs the command that `dev` prints, and so needs
//! `curl`; those of `operator` start an API server (`KEYWRIGHT_KUBE_ASSETS=$(e2e/cluster/build.sh)`).
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are not seen as tests")]

mod canaries;
mod client_commands;
mod commands;
mod configuration;
mod convert;
mod dev_crashes;
mod dev_device;
mod dev_edits;
mod dev_login;
mod dev_manifests;
mod dev_restart;
mod dev_sample_app;
mod dev_secrets;
mod dev_start;
mod faults;
mod import_hydra;
mod init;
mod operators;
mod reload;
mod serve;
mod support;
mod traces;
mod unix_sockets;

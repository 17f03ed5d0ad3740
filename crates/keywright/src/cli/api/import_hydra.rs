//! `keywright import hydra`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::ConfigArgs;

/// `keywright import hydra`.
#[derive(Debug, Args)]
pub struct ImportHydraArgs {
    /// Hydra's database, as its configuration names it: postgres://user:password@host:5432/hydra. It is only read.
    #[arg(long, env = "HYDRA_DSN", hide_env_values = true, value_name = "DSN")]
    pub from: String,
    /// File with an entry of Hydra's secrets.system; may be given several times. By default $HYDRA_SECRETS_SYSTEM, with
    /// commas between the entries.
    #[arg(long = "hydra-system-secret-file", value_name = "FILE")]
    pub secret_files: Vec<PathBuf>,
    /// Say what would be taken over, and write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// table, json, json-pretty, yaml or jsonpointer=/a/b.
    #[arg(long, default_value = "table")]
    pub format: String,
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigArgs,
}

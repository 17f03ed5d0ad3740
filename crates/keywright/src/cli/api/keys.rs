//! The commands for key sets.

use std::path::PathBuf;

use clap::Args;

use super::ApiArgs;

/// `keywright create jwk`.
#[derive(Debug, Args)]
pub struct CreateKeyArgs {
    /// The set's name.
    pub set: String,
    /// The key's name; by default its thumbprint.
    pub kid: Option<String>,
    /// The key's algorithm, such as RS256, ES256 or EdDSA.
    #[arg(long, default_value = "RS256")]
    pub alg: String,
    /// What the key is for: sig or enc.
    #[arg(long = "use", value_name = "USE", default_value = "sig")]
    pub key_use: String,
    /// Print the public half alone.
    #[arg(long)]
    pub public: bool,
    /// How the server is reached.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// `keywright get jwk`.
#[derive(Debug, Args)]
pub struct GetKeysArgs {
    /// The sets.
    #[command(flatten)]
    pub sets: KeySetsArgs,
    /// Print public halves alone.
    #[arg(long)]
    pub public: bool,
}

/// Which sets.
#[derive(Debug, Args)]
pub struct KeySetsArgs {
    /// Names of sets.
    #[arg(required = true, value_name = "SET")]
    pub sets: Vec<String>,
    /// How the server is reached.
    #[command(flatten)]
    pub api: ApiArgs,
}

/// `keywright import jwk`.
#[derive(Debug, Args)]
pub struct ImportKeysArgs {
    /// The set's name.
    pub set: String,
    /// Files with a JWK, a JWK set, or a key in PEM or DER.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The algorithm of keys that do not say; by default what their kind suggests (RS256, ES256, EdDSA ...).
    #[arg(long)]
    pub alg: Option<String>,
    /// What keys are for that do not say: sig or enc.
    #[arg(long = "use", value_name = "USE")]
    pub key_use: Option<String>,
    /// How the server is reached.
    #[command(flatten)]
    pub api: ApiArgs,
}

//! The configuration: Ory Hydra's keys and environment variables, and a few of our own.
//!
//! ```text
//!  files ─▶ flags ─▶ environment          later layers win; objects merge, lists and values replace
//!                        │
//!                        ▼
//!             checked against schema.json  unknown keys, wrong values; the defaults are there too
//!                        │
//!                        ▼
//!                     [`Config`]           parsed once, in types
//! ```
//!
//! `schema.json` is the one description of all keys: it gives the names of the variables, their types, the defaults,
//! which values are secret, and which keys act today. [`load`] reads nothing but its arguments and the files that
//! they name, and reports every problem it finds, not only the first.

mod check;
mod cors;
mod dsn;
mod environment;
mod issuer;
mod layer;
pub(crate) mod list;
mod notice;
mod parse;
mod reader;
#[cfg(test)]
mod reference;
mod restart;
mod schema;
mod settings;
mod suggestion;
mod system_secret;
#[cfg(test)]
mod tests;
mod tls;
mod traces;

use std::path::PathBuf;

use serde_json::Value;

pub use cors::Cors;
pub use dsn::{Dsn, DsnError, PoolOptions, PostgresDsn};
pub use notice::{ConfigError, Notice, Origin};
pub use restart::RestartKeys;
pub use settings::{
    Clients, Config, CookieName, Cookies, Discovery, Host, JwtStrategy, Keys, Listener, Log, LogFormat,
    OAuth2, RefreshTokenLifetime, SameSite, Secrets, Serve, SocketOwner, Strategies, TraceProvider, Tracing,
    Ttl, Urls, Webfinger,
};
pub use system_secret::{SystemSecretError, new_system_secret};
pub use tls::{Pem, Tls};

use layer::{Layer, Layers};
use reader::Reader;
use schema::Schema;

/// What a configuration is made from.
#[derive(Debug)]
pub struct Sources<E> {
    /// Files in YAML, JSON or TOML, told apart by their names' endings; a later one wins.
    pub files: Vec<PathBuf>,
    /// What the command line sets, in the form of a file: `{"dev": true}`. It wins over files.
    pub flags: Value,
    /// Names and values of environment variables. They win over all else; unknown ones are ignored.
    pub environment: E,
}

/// A configuration and what there is to say about it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is accepted although it is not as it should be, for the log.
    pub warnings: Vec<Notice>,
    /// What the keys say that take effect at the start alone.
    pub restart: RestartKeys,
}

/// Reads the configuration from its sources.
///
/// # Errors
/// [`ConfigError`] with every problem in the sources. No message holds the value of a secret.
pub fn load<E>(sources: Sources<E>) -> Result<Loaded, ConfigError>
where
    E: IntoIterator<Item = (String, String)>,
{
    let schema = Schema::new();
    let mut problems = Vec::new();
    let mut layers = Layers::default();
    for path in &sources.files {
        match Layer::from_file(path) {
            Ok(layer) => layers.push(layer),
            Err(problem) => problems.push(problem),
        }
    }
    layers.push(Layer::new(Origin::Flags, sources.flags));
    let environment = environment::read(&schema, sources.environment.into_iter().collect());
    problems.extend(environment.problems);
    layers.push(environment.layer);

    let checked = check::check(&schema, &layers);
    problems.extend(checked.problems);
    let mut warnings = environment.warnings;
    warnings.extend(checked.warnings);
    let restart = RestartKeys::of(&schema, &checked.values);
    let reader = Reader { schema: &schema, layers: &layers, values: checked.values, problems, warnings };
    let (config, warnings) = parse::parse(reader, environment.absent_system_secret)?;
    Ok(Loaded { config, warnings, restart })
}

//! What can go wrong with the database, by what the caller does about it.

use jose::KeyId;

use crate::ResourceRef;

/// An error of the store. No variant holds a value from a row or a bound parameter.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is away, overloaded or shutting down: try again later.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Another writer was first: read again and decide anew.
    #[error("another writer changed the row first")]
    Raced,
    /// The row belongs to another resource.
    #[error("it belongs to {0}")]
    Conflict(Box<ResourceRef>),
    /// The row belongs to no resource, and was not made to be taken over.
    #[error("it exists and belongs to no resource")]
    Unmanaged,
    /// None of the configured system secrets opens the database's root key.
    #[error(
        "none of the secrets in secrets.system opens this database's root key; configure the secret with which the \
         database was first used (after a rotation, keep it in the list)"
    )]
    WrongSystemSecret,
    /// The schema is newer or older than this program, or something in a row cannot be read.
    #[error("the database holds what this version cannot read: {0}")]
    Corrupt(String),
    /// A key's row cannot be read, so that its set cannot be turned: a plan that does not know of a key would replace
    /// it, and leave its private half where it is. Somebody has to say that it is lost.
    #[error(
        "the key {kid} of set {set} cannot be read: restore its row, or name it in spec.revokedKeyIds to have it \
         removed and replaced"
    )]
    UnreadableKey {
        /// The set.
        set: String,
        /// The key.
        kid: KeyId,
    },
    /// The statement itself failed: a defect, not weather.
    #[error("a database statement failed: {0}")]
    Statement(String),
    /// The database that is to be taken over cannot be read: it is away, or no Ory Hydra's.
    #[error("Hydra's database cannot be read: {0}")]
    Hydra(String),
    /// None of the secrets that were given opens anything that Hydra sealed.
    #[error(
        "none of the given secrets opens what Hydra sealed: give secrets.system of its configuration, all of its \
         entries where it was replaced"
    )]
    WrongHydraSecret,
    /// A key could not be made, parsed, sealed or opened.
    #[error(transparent)]
    Key(#[from] jose::Error),
}

impl Error {
    /// True where the same call may succeed later with nothing changed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Raced)
    }

    /// A column whose value cannot be read. It is named, and its value is not: errors go to logs and statuses.
    pub(crate) fn unreadable<E>(column: &'static str) -> impl FnOnce(E) -> Self {
        move |_| Self::Corrupt(format!("column {column}"))
    }

    /// [`Self::Corrupt`], which says `what`; no value that is secret.
    pub fn corrupt(what: impl std::fmt::Display) -> Self {
        Self::Corrupt(what.to_string())
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match &error {
            E::Io(_) | E::Tls(_) | E::PoolTimedOut | E::PoolClosed | E::WorkerCrashed | E::Protocol(_) => {
                Self::Unavailable(error.to_string())
            }
            E::Database(database) => {
                let code = database.code().unwrap_or_default();
                let text = format!("{} ({code})", database.message());
                if is_weather(&code) { Self::Unavailable(text) } else { Self::Statement(text) }
            }
            E::ColumnDecode { .. } | E::Decode(_) | E::ColumnNotFound(_) | E::TypeNotFound { .. } => {
                Self::Corrupt(error.to_string())
            }
            _ => Self::Statement(error.to_string()),
        }
    }
}

impl From<sqlx::migrate::MigrateError> for Error {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(error)
            | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => error.into(),
            other => Self::Corrupt(other.to_string()),
        }
    }
}

/// SQLSTATE classes that pass by themselves (08 connection, 25006 read-only, 25P03 idle for too long in a transaction,
/// 40 rollback, 53 resources, 55P03 lock, 57 intervention), and SQLite's BUSY (5), LOCKED (6), READONLY (8), IOERR (10)
/// and FULL (13), by primary code.
fn is_weather(code: &str) -> bool {
    match code.parse::<u32>() {
        Ok(sqlite) if code.len() < 5 => matches!(sqlite & 0xff, 5 | 6 | 8 | 10 | 13),
        _ => ["08", "25006", "25P03", "40", "53", "55P03", "57"].iter().any(|class| code.starts_with(class)),
    }
}

#[cfg(test)]
mod tests {
    use super::is_weather;

    #[test]
    fn weather_is_told_from_defects_by_code() {
        for transient in
            ["08006", "57P01", "40001", "40P01", "53300", "55P03", "25006", "25P03", "5", "261", "517", "10"]
        {
            assert!(is_weather(transient), "{transient}");
        }
        for defect in ["23505", "42P01", "22P02", "1", "19", "2067", ""] {
            assert!(!is_weather(defect), "{defect}");
        }
    }
}

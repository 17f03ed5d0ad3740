//! The data source name: which database, and how.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use oauth::go_duration::GoDuration;
use percent_encoding::percent_decode_str;
use url::Url;
use zeroize::Zeroizing;

/// A database, in Hydra's notation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dsn {
    /// `postgres://…`.
    Postgres(PostgresDsn),
    /// `sqlite:///path`: a file. Query parameters such as `_fk` change nothing.
    Sqlite(PathBuf),
    /// `memory`: a database that ends with the process.
    Memory,
}

/// A PostgreSQL database.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresDsn {
    url: Zeroizing<String>,
    pool: PoolOptions,
}

/// Sizes and times of the connection pool; `None` leaves them to the pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolOptions {
    /// `max_conns`: most connections.
    pub max_connections: Option<u32>,
    /// `max_conn_lifetime`: a connection is replaced at this age.
    pub max_lifetime: Option<Duration>,
    /// `max_conn_idle_time`: an idle connection is closed after this time.
    pub idle_timeout: Option<Duration>,
}

/// A text is no data source name. Says what would be right and never repeats the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the data source name must be {0}")]
pub struct DsnError(String);

/// All forms that are supported, for messages.
pub(super) const SUPPORTED: &str = "postgres://user:password@host:port/database, sqlite:///path or memory";

/// What most often makes a URL other than it was meant.
const ENCODED: &str = "characters such as / # ? @ in user and password must be percent-encoded";

impl DsnError {
    /// What would be right.
    pub fn expected(&self) -> &str {
        &self.0
    }
}

impl PostgresDsn {
    /// The URL for the driver, without the parameters that are about the pool. It may hold a password.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What the parameters say about the pool.
    pub fn pool(&self) -> PoolOptions {
        self.pool
    }

    fn parse(text: &str) -> Result<Self, DsnError> {
        let mut url = Url::parse(text)
            .map_err(|e| DsnError(format!("postgres://user:password@host:port/database ({e}; {ENCODED})")))?;
        if is_cut_within_credentials(&url) {
            return Err(DsnError(format!("postgres://user:password@host:port/database ({ENCODED})")));
        }
        let mut pool = PoolOptions::default();
        let mut driver = Vec::new();
        for (name, value) in url.query_pairs() {
            match name.as_ref() {
                "max_conns" => pool.max_connections = count(&name, &value)?,
                "max_conn_lifetime" => pool.max_lifetime = time(&name, &value)?,
                "max_conn_idle_time" => pool.idle_timeout = time(&name, &value)?,
                // The pool closes idle connections by time, not by number.
                "max_idle_conns" => {}
                _ => driver.push((name.into_owned(), value.into_owned())),
            }
        }
        url.set_query(None);
        if !driver.is_empty() {
            url.query_pairs_mut().extend_pairs(driver);
        }
        Ok(Self { url: Zeroizing::new(url.into()), pool })
    }
}

/// True where a character of the user or the password has ended the authority too early: `postgres://u:12/34@host/x`
/// would be the host `u` with a path that holds half of the password, and paths are shown.
fn is_cut_within_credentials(url: &Url) -> bool {
    let has_user = !url.username().is_empty() || url.password().is_some();
    url.path().contains('@')
        || url.fragment().is_some()
        || (!has_user && url.query().is_some_and(|query| query.contains('@')))
}

/// Without password and parameters.
impl fmt::Debug for PostgresDsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(url) = Url::parse(&self.url) else { return f.write_str("postgres://…") };
        write!(f, "postgres://{}", url.host_str().unwrap_or_default())?;
        url.port().map_or(Ok(()), |port| write!(f, ":{port}"))?;
        f.write_str(url.path())
    }
}

impl FromStr for Dsn {
    type Err = DsnError;

    fn from_str(text: &str) -> Result<Self, DsnError> {
        if text == "memory" {
            return Ok(Self::Memory);
        }
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        match scheme {
            "postgres" | "postgresql" => PostgresDsn::parse(text).map(Self::Postgres),
            "sqlite" | "sqlite3" => sqlite(&text[scheme.len() + 1..]),
            "mysql" => Err(DsnError(format!("{SUPPORTED}; MySQL is not supported"))),
            "cockroach" | "cockroachdb" | "crdb" => {
                Err(DsnError(format!("{SUPPORTED}; CockroachDB is not supported")))
            }
            _ => Err(DsnError(SUPPORTED.to_owned())),
        }
    }
}

/// What stands behind `sqlite:`. Two slashes belong to the notation: `sqlite:///a` is `/a`, `sqlite://a` is `a`.
fn sqlite(rest: &str) -> Result<Dsn, DsnError> {
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let rest = rest.strip_prefix("file:").unwrap_or(rest);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let in_memory = url::form_urlencoded::parse(query.as_bytes())
        .any(|(name, value)| name == "mode" && value == "memory");
    if path == ":memory:" || in_memory {
        return Ok(Dsn::Memory);
    }
    let path = percent_decode_str(path).decode_utf8().map_err(|_| DsnError("a path in UTF-8".to_owned()))?;
    if path.is_empty() || path.ends_with('/') {
        return Err(DsnError("sqlite:///path, with the path of a file".to_owned()));
    }
    Ok(Dsn::Sqlite(PathBuf::from(path.into_owned())))
}

/// A number; 0 is none, as in Hydra.
fn count(name: &str, text: &str) -> Result<Option<u32>, DsnError> {
    let number: u32 = text.parse().map_err(|_| DsnError(format!("a DSN whose {name} is a whole number")))?;
    Ok((number > 0).then_some(number))
}

/// A duration; 0 is none, as in Hydra.
fn time(name: &str, text: &str) -> Result<Option<Duration>, DsnError> {
    if text == "0" {
        return Ok(None);
    }
    let duration: GoDuration =
        text.parse().map_err(|_| DsnError(format!("a DSN whose {name} is a duration such as 30m")))?;
    Ok((!duration.0.is_zero()).then_some(duration.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postgres(text: &str) -> PostgresDsn {
        match text.parse() {
            Ok(Dsn::Postgres(dsn)) => dsn,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn sqlite_and_memory_are_told_apart() {
        for (text, dsn) in [
            ("memory", Dsn::Memory),
            ("sqlite://:memory:", Dsn::Memory),
            ("sqlite://file::memory:?cache=shared", Dsn::Memory),
            ("sqlite://keys?mode=memory&_fk=true", Dsn::Memory),
            ("sqlite:///var/lib/k/db.sqlite?_fk=true", Dsn::Sqlite("/var/lib/k/db.sqlite".into())),
            ("sqlite:///a%20b.db", Dsn::Sqlite("/a b.db".into())),
            ("sqlite://data/db.sqlite", Dsn::Sqlite("data/db.sqlite".into())),
            ("sqlite:db.sqlite", Dsn::Sqlite("db.sqlite".into())),
        ] {
            assert_eq!(text.parse(), Ok(dsn), "{text}");
        }
    }

    #[test]
    fn the_pools_parameters_do_not_reach_the_driver() {
        let dsn = postgres(
            "postgres://u:p%40ss@db:5432/hydra?sslmode=verify-full&max_conns=20&max_idle_conns=4\
             &max_conn_lifetime=30m&max_conn_idle_time=0&options=-c%20search_path%3Dx",
        );
        let expected = "postgres://u:p%40ss@db:5432/hydra?sslmode=verify-full&options=-c+search_path%3Dx";
        assert_eq!(dsn.url(), expected);
        let pool = PoolOptions {
            max_connections: Some(20),
            max_lifetime: Some(Duration::from_mins(30)),
            idle_timeout: None,
        };
        assert_eq!(dsn.pool(), pool);
        assert_eq!(postgres("postgresql://db/x?max_conns=0").url(), "postgresql://db/x");
        let with_at = "postgres://u:p@db/a%40b?application_name=c@d";
        assert_eq!(postgres(with_at).url(), "postgres://u:p@db/a%40b?application_name=c%40d");
    }

    #[test]
    fn what_is_no_dsn_is_refused_without_repeating_it() {
        for (text, fragment) in [
            ("mysql://u:canary@tcp(db:3306)/x", "MySQL is not supported"),
            ("cockroach://u:canary@db:26257/x", "CockroachDB is not supported"),
            ("canary", "postgres://user"),
            ("canary://x", "postgres://user"),
            ("sqlite://", "path of a file"),
            ("sqlite:///canary/", "path of a file"),
            ("postgres://u:canary#1@db:port/x", "percent-encoded"),
            ("postgres://u:12/canary@db/x", "percent-encoded"),
            ("postgres://canary/1@db/x", "percent-encoded"),
            ("postgres://canary?1@db/x", "percent-encoded"),
            ("postgres://canary#1@db/x", "percent-encoded"),
            ("postgres://u:p@db/x#canary", "percent-encoded"),
            ("postgres://db/x?max_conns=canary", "max_conns is a whole number"),
            ("postgres://db/x?max_conn_lifetime=canary", "max_conn_lifetime is a duration"),
        ] {
            let error = text.parse::<Dsn>().unwrap_err().to_string();
            assert!(error.contains(fragment) && !error.contains("canary"), "{text}: {error}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let shown = format!("{:?}", postgres("postgres://u:canary@db:5432/hydra?password=canary"));
        assert_eq!(shown, "postgres://db:5432/hydra");
    }
}

//! What is said about a configuration: problems that stop the start, and warnings.

use std::fmt;
use std::path::PathBuf;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A configuration file.
    File(PathBuf),
    /// The command line.
    Flags,
    /// The environment variable of this name.
    Variable(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Flags => f.write_str("command line"),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

/// One problem or warning. It never holds the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Where the value comes from; `None` where it was not given.
    pub origin: Option<Origin>,
    /// The key, its parts joined by dots; empty where the notice is about a whole file.
    pub key: String,
    /// What was found and what would be right.
    pub message: String,
}

/// `origin: key: message`, as compilers write it.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// The configuration cannot be used; holds every problem that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The problems, at least one.
    pub problems: Vec<Notice>,
}

impl std::error::Error for ConfigError {}

/// One line for each problem.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is not valid:")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

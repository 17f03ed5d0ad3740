//! The system secret's file: read where it is, made where nobody else could need the same secret.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jose::{Entropy, SystemSecret};
use zeroize::Zeroizing;

use super::notice::{Notice, Origin};
use super::settings::Config;

const KEY: &str = "secrets.system";
/// Name of the file beside a SQLite database and in [`STATE_DIRECTORY`].
const FILE_NAME: &str = "system-secret";
const STATE_DIRECTORY: &str = "/var/lib/keywright";

/// Why there is no system secret.
#[derive(Debug, thiserror::Error)]
pub enum SystemSecretError {
    /// None is configured, and the process must not make one.
    #[error(
        "secrets.system is missing: set SECRETS_SYSTEM or SECRETS_SYSTEM_FILE, or secrets.system in a file, to a \
         secret of at least {least} characters that all processes share (only a process whose urls.self.issuer is a \
         loopback URL makes one by itself)",
        least = SystemSecret::MIN_CHARS
    )]
    Missing,
    /// The file cannot be made or read.
    #[error("the system secret's file {} cannot be made or read (SECRETS_SYSTEM_FILE names another): {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What failed.
        source: io::Error,
    },
    /// The file holds too short a secret.
    #[error("the system secret in {} is too short: at least {least} characters", path.display(), least = SystemSecret::MIN_CHARS)]
    Weak {
        /// The file.
        path: PathBuf,
    },
}

impl Config {
    /// Sees to it that there is a system secret: where none is configured and the issuer is a loopback URL, reads the
    /// file in which an earlier process has left one, or makes it (mode 0600). That file is the one that
    /// `SECRETS_SYSTEM_FILE` names, else `system-secret` beside the SQLite database, else
    /// `/var/lib/keywright/system-secret`. The notices say which file is used; they are for the log.
    ///
    /// Of several processes that start at once one makes the file and all use it. Call it before anything is sealed.
    ///
    /// # Errors
    /// [`SystemSecretError`]; its text names the setting.
    pub fn ensure_system_secret(&mut self, entropy: &Entropy) -> Result<Vec<Notice>, SystemSecretError> {
        if !self.secrets.system.is_empty() {
            return Ok(Vec::new());
        }
        let path = self.secrets.own_file.clone().ok_or(SystemSecretError::Missing)?;
        let failed = |source| SystemSecretError::File { path: path.clone(), source };
        let made = make(&path, entropy).map_err(failed)?;
        let text = read_file(&path).map_err(failed)?;
        let secret =
            SystemSecret::new(text.as_str()).map_err(|_| SystemSecretError::Weak { path: path.clone() })?;
        self.secrets.system.push(secret);

        let done = if made { "a new one was made in" } else { "the one is used that was made in" };
        let message = format!(
            "not set; {done} {}. Keep this file: the database cannot be read without it",
            path.display()
        );
        let notice = Notice { origin: None, key: KEY.to_owned(), message };
        Ok([Some(notice), permission_warning(&path, "SECRETS_SYSTEM_FILE")].into_iter().flatten().collect())
    }
}

/// The file in which a process makes a system secret when it is not told where.
pub(super) fn default_file(database: Option<&Path>) -> PathBuf {
    database.map_or_else(
        || Path::new(STATE_DIRECTORY).join(FILE_NAME),
        |database| database.with_file_name(FILE_NAME),
    )
}

/// A new system secret: 256 random bits.
pub fn new_system_secret(entropy: &Entropy) -> Zeroizing<String> {
    Zeroizing::new(URL_SAFE_NO_PAD.encode(*Zeroizing::new(entropy.bytes::<32>())))
}

/// The text of a secret's file, without the line break at its end.
pub(super) fn read_file(path: &Path) -> io::Result<Zeroizing<String>> {
    let text = Zeroizing::new(fs::read_to_string(path)?);
    Ok(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

/// A warning where others than its owner may use the system secret's file.
pub(super) fn permission_warning(path: &Path, variable: &str) -> Option<Notice> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then(|| Notice {
        origin: Some(Origin::Variable(variable.to_owned())),
        key: KEY.to_owned(),
        message: format!("{} has mode {mode:04o}; only its owner should have access (0600)", path.display()),
    })
}

/// Makes the file unless it is there; says whether this call has made it.
///
/// The secret is written to a file of another name first, which then takes its name only if no file has it: another
/// process sees no file or a whole one, and the first to take the name wins.
fn make(path: &Path, entropy: &Entropy) -> io::Result<bool> {
    if path.try_exists()? {
        return Ok(false);
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let secret = new_system_secret(entropy);
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    writeln!(file, "{}", secret.as_str())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => {}
        Err(lost) if lost.error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(e) => return Err(e.error),
    }
    File::open(directory)?.sync_all()?;
    Ok(true)
}

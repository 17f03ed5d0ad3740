//! A unix socket to listen on.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// How long another process may hold the lock on the folder. Whoever starts beside this one holds it for moments.
const LOCK_LIMIT: Duration = Duration::from_secs(10);

/// How often the lock is tried.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Whose a socket is, and who may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketAccess {
    /// The user's number; `None` for the process's own.
    pub owner: Option<u32>,
    /// The group's number; `None` for the process's own.
    pub group: Option<u32>,
    /// The permissions, such as `0o660`.
    pub mode: u32,
}

/// A unix socket that is bound. Its file goes when the last clone is dropped, unless another socket has taken its place.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    file: Arc<SocketFile>,
}

#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// Device and inode, by which it is told from another one at its path.
    identity: (u64, u64),
}

impl UnixSocket {
    /// Binds a socket. One that is there already is replaced where nobody listens on it.
    ///
    /// The socket is reachable from the first moment under its own permissions: it is made in a folder that is closed
    /// to others, and moved to its place when all is set. Two processes that start at once do so one after the other,
    /// so that the second one sees that the first one listens.
    ///
    /// # Errors
    /// [`ErrorKind::AddrInUse`] where another process listens there; [`ErrorKind::AlreadyExists`] where there is
    /// something else than a socket; [`ErrorKind::TimedOut`] where another process holds a lock on the folder for ten
    /// seconds, for which this waits; or what the system says.
    pub fn bind(path: &Path, access: SocketAccess) -> io::Result<Self> {
        Self::bind_within(LOCK_LIMIT, path, access)
    }

    fn bind_within(limit: Duration, path: &Path, access: SocketAccess) -> io::Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder =
            folder.ok_or_else(|| io::Error::new(ErrorKind::InvalidInput, "the path names no socket"))?;
        // Given back when it is closed, also by a process that is killed.
        let _lock = locked(folder, limit)?;
        make_way(path)?;
        // Whatever the process's umask leaves open.
        let closed = Permissions::from_mode(0o700);
        let made =
            tempfile::Builder::new().prefix(".").rand_bytes(4).permissions(closed).tempdir_in(folder)?;
        let new = made.path().join("s");
        let listener = UnixListener::bind(&new)?;
        listener.set_nonblocking(true)?;
        chown(&new, access.owner, access.group)?;
        fs::set_permissions(&new, Permissions::from_mode(access.mode))?;
        let identity = identity(&new)?;
        fs::rename(&new, path)?;
        Ok(Self { listener, file: Arc::new(SocketFile { path: path.to_owned(), identity }) })
    }

    /// The same socket once more.
    ///
    /// # Errors
    /// What the system says.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { listener: self.listener.try_clone()?, file: Arc::clone(&self.file) })
    }

    /// The listener for the reactor, and what keeps its file in place.
    pub(crate) fn into_parts(self) -> io::Result<(tokio::net::UnixListener, impl Send + Sync + use<>)> {
        Ok((tokio::net::UnixListener::from_std(self.listener)?, self.file))
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|there| there == self.identity) {
            // Where it cannot be removed, the next start replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The folder, locked. Anybody who may read it can lock it, hence the limit.
fn locked(folder: &Path, limit: Duration) -> io::Result<File> {
    let file = File::open(folder)?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if began.elapsed() < limit => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => {
                let why = format!("another process holds a lock (flock) on the folder {}", folder.display());
                return Err(io::Error::new(ErrorKind::TimedOut, why));
            }
        }
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

/// Refuses to take a path where somebody listens, or where something else is. What is left is replaced.
fn make_way(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(there) if !there.file_type().is_socket() => {
            Err(io::Error::new(ErrorKind::AlreadyExists, "there is a file that is no socket"))
        }
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(error),
            Ok(_) => Err(io::Error::new(ErrorKind::AddrInUse, "another process listens there")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCESS: SocketAccess = SocketAccess { owner: None, group: None, mode: 0o620 };

    #[test]
    fn a_socket_has_its_permissions_and_goes_with_its_last_clone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("public.sock");
        let socket = UnixSocket::bind(&path, ACCESS).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o620);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left there");
        let clone = socket.try_clone().unwrap();
        drop(socket);
        UnixStream::connect(&path).unwrap();
        drop(clone);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_one_in_use_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("public.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "what a process that was killed leaves behind");
        let socket = UnixSocket::bind(&path, ACCESS).unwrap();
        let error = UnixSocket::bind(&path, ACCESS).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        // Another one that took the place stays.
        fs::remove_file(&path).unwrap();
        let other = UnixListener::bind(&path).unwrap();
        drop(socket);
        UnixStream::connect(&path).unwrap();
        drop(other);
    }

    #[test]
    fn a_file_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        fs::write(&path, "kept").unwrap();
        assert_eq!(UnixSocket::bind(&path, ACCESS).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
        assert!(UnixSocket::bind(&folder.path().join("no/such.sock"), ACCESS).is_err());
    }

    #[test]
    fn a_folder_that_somebody_keeps_locked_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("public.sock");
        let held = File::open(folder.path()).unwrap();
        held.lock().unwrap();
        let error = UnixSocket::bind_within(Duration::from_millis(50), &path, ACCESS).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().contains(folder.path().to_str().unwrap()), "{error}");
        drop(held);
        UnixSocket::bind(&path, ACCESS).unwrap();
    }

    #[test]
    fn of_several_that_start_at_once_one_listens() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("public.sock");
        drop(UnixListener::bind(&path).unwrap());
        let bind = || UnixSocket::bind(&path, ACCESS).ok();
        let bound: Vec<_> = thread::scope(|scope| {
            let starting: Vec<_> = (0..8).map(|_| scope.spawn(bind)).collect();
            starting.into_iter().filter_map(|start| start.join().unwrap()).collect()
        });
        assert_eq!(bound.len(), 1);
        UnixStream::connect(&path).unwrap();
    }
}

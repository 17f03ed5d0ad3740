//! Watching files that may be replaced while the process runs: the configuration, certificates.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// How long the files must be quiet before they are read: an editor writes in several steps.
const DEBOUNCE: Duration = Duration::from_millis(300);

/// How often files are looked at that nothing was heard of: not every file system tells of changes.
const POLL: Duration = Duration::from_mins(1);

/// The link that Kubernetes turns when a mounted ConfigMap or Secret changes.
const KUBERNETES_LINK: &str = "..data";

/// Tells when any of some files may have changed.
pub struct FileWatch {
    _watcher: Option<RecommendedWatcher>,
    events: mpsc::UnboundedReceiver<()>,
}

impl FileWatch {
    /// Watches the folders that the files are in: a file that is replaced is another one, which no watch of the former
    /// would see. Where watching is not possible, the files are looked at each minute.
    pub fn new(files: &[PathBuf]) -> Self {
        let (sender, events) = mpsc::unbounded_channel();
        let names = names(files);
        let heard = move |event: Result<Event, notify::Error>| {
            let concerns = |path: &PathBuf| path.file_name().is_some_and(|name| names.contains(name));
            let counts = event.is_ok_and(|event| {
                !event.kind.is_access() && (event.need_rescan() || event.paths.iter().any(concerns))
            });
            if counts {
                // The receiver is gone at shutdown only.
                let _ = sender.send(());
            }
        };
        let watch = || {
            let mut watcher = notify::recommended_watcher(heard)?;
            for folder in folders(files) {
                watcher.watch(&folder, RecursiveMode::NonRecursive)?;
            }
            Ok::<_, notify::Error>(watcher)
        };
        let watcher = watch();
        if let Err(error) = &watcher {
            tracing::warn!(%error, "files cannot be watched, and are looked at each minute");
        }
        Self { _watcher: watcher.ok(), events }
    }

    /// Waits until the files may have changed, and are quiet.
    pub async fn changed(&mut self) {
        tokio::select! {
            Some(()) = self.events.recv() => {
                // Changes that go on are waited for, but not for ever.
                let quiet = async { while timeout(DEBOUNCE, self.events.recv()).await.is_ok_and(|e| e.is_some()) {} };
                let _ = timeout(10 * DEBOUNCE, quiet).await;
            }
            () = sleep(POLL) => {}
        }
    }
}

/// The names under which a change of the files shows.
fn names(files: &[PathBuf]) -> BTreeSet<OsString> {
    let named = |path: &Path| path.file_name().map(OsString::from);
    let own = files.iter().filter_map(|file| named(file));
    let targets = files.iter().filter_map(|file| named(&file.canonicalize().ok()?));
    own.chain(targets).chain([KUBERNETES_LINK.into()]).collect()
}

/// The folders that the files, and what they are links to, are in.
fn folders(files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let parent = |path: PathBuf| path.parent().map(Path::to_path_buf);
    let own = files.iter().filter_map(|file| parent(std::path::absolute(file).ok()?));
    let targets = files.iter().filter_map(|file| parent(file.canonicalize().ok()?));
    own.chain(targets).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    async fn told(watch: &mut FileWatch) {
        timeout(Duration::from_secs(20), watch.changed()).await.expect("a change is told of");
    }

    #[tokio::test]
    async fn a_file_is_watched_however_it_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keywright.yaml");
        fs::write(&file, "a: 1").unwrap();
        let mut watch = FileWatch::new(std::slice::from_ref(&file));
        fs::write(&file, "a: 2").unwrap();
        told(&mut watch).await;
        let new = folder.path().join("new");
        fs::write(&new, "a: 3").unwrap();
        fs::rename(&new, &file).unwrap();
        told(&mut watch).await;
        fs::write(&file, "a: 4").unwrap();
        told(&mut watch).await;
    }

    #[tokio::test]
    async fn a_mounted_folder_of_kubernetes_is_watched() {
        let mount = tempfile::tempdir().unwrap();
        for version in ["..1", "..2"] {
            fs::create_dir(mount.path().join(version)).unwrap();
            fs::write(mount.path().join(version).join("tls.crt"), version).unwrap();
        }
        symlink("..1", mount.path().join("..data")).unwrap();
        symlink("..data/tls.crt", mount.path().join("tls.crt")).unwrap();
        let mut watch = FileWatch::new(&[mount.path().join("tls.crt")]);
        symlink("..2", mount.path().join("..data_tmp")).unwrap();
        fs::rename(mount.path().join("..data_tmp"), mount.path().join("..data")).unwrap();
        told(&mut watch).await;
        assert_eq!(fs::read_to_string(mount.path().join("tls.crt")).unwrap(), "..2");
    }
}

//! Watching the folders.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::data::DataFolder;

/// How long a folder must be quiet before it is read: an editor writes a file in several steps.
const DEBOUNCE: Duration = Duration::from_millis(300);

/// How long a change waits at most for a folder that does not become quiet.
const LONGEST_WAIT: Duration = Duration::from_millis(600);

/// How often a folder that is gone is looked for.
const RETRY: Duration = Duration::from_millis(500);

/// What changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Changed {
    /// The manifests.
    pub(super) manifests: bool,
    /// The Secrets.
    pub(super) secrets: bool,
    /// A folder itself: what was watched may be another folder now, or none.
    root: bool,
}

/// Changes that are not told of yet.
#[derive(Debug)]
struct Pending {
    changed: Changed,
    first: Instant,
    last: Instant,
}

impl Pending {
    fn ripe_at(&self) -> Instant {
        (self.last + DEBOUNCE).min(self.first + LONGEST_WAIT)
    }
}

/// Watches the manifests and the Secrets.
///
/// A debouncer that matches creations with removals would not do: a file that was read between the two would never
/// be read again.
pub(super) struct Watch {
    watcher: RecommendedWatcher,
    folders: [PathBuf; 2],
    events: mpsc::UnboundedReceiver<Changed>,
    pending: Option<Pending>,
    /// When to look again for a folder that is gone.
    retry_at: Option<Instant>,
}

impl Watch {
    /// Watches the folder of the manifests, and that of the Secrets.
    pub(super) fn new(manifests: &Path, data: &DataFolder) -> Result<Self, notify::Error> {
        let (sender, events) = mpsc::unbounded_channel();
        let folders = [absolute(manifests), absolute(&data.secrets_dir())];
        let (places, data) = (folders.clone(), absolute(data.path()));
        let mut watcher = notify::recommended_watcher(move |event: Result<Event, notify::Error>| {
            let changed = changed(event, &places, &data);
            if changed != Changed::default() {
                // The receiver is gone at shutdown only.
                let _ = sender.send(changed);
            }
        })?;
        for folder in &folders {
            watcher.watch(folder, RecursiveMode::Recursive)?;
        }
        Ok(Self { watcher, folders, events, pending: None, retry_at: None })
    }

    /// Waits for a change. Nothing is lost when the future is dropped.
    pub(super) async fn changed(&mut self) -> Changed {
        loop {
            let wake_at = self.pending.as_ref().map(Pending::ripe_at).into_iter().chain(self.retry_at).min();
            let far = || Instant::now() + LONGEST_WAIT;
            tokio::select! {
                // Where the watcher's thread is gone, resyncs go on.
                Some(changed) = self.events.recv() => self.note(changed),
                () = sleep_until(wake_at.unwrap_or_else(far)), if wake_at.is_some() => {
                    if let Some(changed) = self.take_ripe() {
                        return changed;
                    }
                }
                else => std::future::pending().await,
            }
        }
    }

    fn note(&mut self, changed: Changed) {
        let now = Instant::now();
        let pending =
            self.pending.get_or_insert(Pending { changed: Changed::default(), first: now, last: now });
        pending.last = now;
        pending.changed.manifests |= changed.manifests;
        pending.changed.secrets |= changed.secrets;
        pending.changed.root |= changed.root;
    }

    fn take_ripe(&mut self) -> Option<Changed> {
        let now = Instant::now();
        if self.pending.as_ref().is_some_and(|pending| pending.ripe_at() <= now) {
            let changed = self.pending.take()?.changed;
            if changed.root {
                self.watch_anew();
            }
            return Some(changed);
        }
        if self.retry_at.is_some_and(|at| at <= now) {
            self.watch_anew();
            let is_back = self.retry_at.is_none();
            return is_back.then_some(Changed { manifests: true, secrets: true, root: true });
        }
        None
    }

    /// A watch stays with the folder that it was made for, wherever that goes. This one is made for what has the
    /// name now.
    fn watch_anew(&mut self) {
        self.retry_at = None;
        for folder in &self.folders {
            // One that is gone is not watched any more.
            let _ = self.watcher.unwatch(folder);
            if self.watcher.watch(folder, RecursiveMode::Recursive).is_err() {
                self.retry_at = Some(Instant::now() + RETRY);
            }
        }
    }
}

fn changed(event: Result<Event, notify::Error>, [manifests, secrets]: &[PathBuf; 2], data: &Path) -> Changed {
    let everything = Changed { manifests: true, secrets: true, root: false };
    // Events were lost: anything may have changed.
    let Ok(event) = event else { return everything };
    if event.need_rescan() {
        return everything;
    }
    // Reading a file is an event too, and reading is what follows a change.
    if event.kind.is_access() {
        return Changed::default();
    }
    let any = |is: &dyn Fn(&Path) -> bool| event.paths.iter().any(|path| is(path));
    Changed {
        // The data folder may lie among the manifests.
        manifests: any(&|path| path.starts_with(manifests) && !path.starts_with(data)),
        secrets: any(&|path| path.starts_with(secrets)),
        root: any(&|path| path == manifests || path == secrets),
    }
}

fn absolute(folder: &Path) -> PathBuf {
    folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    async fn told(watch: &mut Watch) -> Changed {
        tokio::time::timeout(Duration::from_secs(10), watch.changed()).await.expect("a change")
    }

    /// Waits until nothing is told of any more.
    async fn calm(watch: &mut Watch) {
        while tokio::time::timeout(LONGEST_WAIT + DEBOUNCE, watch.changed()).await.is_ok() {}
    }

    fn folders() -> (tempfile::TempDir, PathBuf, DataFolder) {
        let root = tempfile::tempdir().unwrap();
        let manifests = root.path().join("manifests");
        fs::create_dir(&manifests).unwrap();
        let data = DataFolder::open(root.path().join("data")).unwrap();
        (root, manifests, data)
    }

    #[tokio::test]
    async fn a_change_of_both_folders_is_one_of_both() {
        let (_root, manifests, data) = folders();
        let mut watch = Watch::new(&manifests, &data).unwrap();
        fs::write(manifests.join("a.yaml"), "").unwrap();
        let changed = told(&mut watch).await;
        assert!(changed.manifests && !changed.secrets);
        fs::write(data.secrets_dir().join("a.yaml"), "").unwrap();
        let changed = told(&mut watch).await;
        assert!(!changed.manifests && changed.secrets);
        fs::write(data.secrets_dir().join("a.yaml"), "").unwrap();
        fs::write(manifests.join("a.yaml"), "").unwrap();
        let changed = told(&mut watch).await;
        assert!(changed.manifests && changed.secrets);
    }

    #[tokio::test]
    async fn reading_is_no_change_and_neither_is_the_database() {
        let root = tempfile::tempdir().unwrap();
        let data = DataFolder::open(root.path().join("data")).unwrap();
        fs::write(root.path().join("a.yaml"), "").unwrap();
        let mut watch = Watch::new(root.path(), &data).unwrap();
        fs::read(root.path().join("a.yaml")).unwrap();
        fs::write(data.path().join("keywright.db"), "").unwrap();
        // Only then something that counts: it is the first to be told of.
        fs::write(data.secrets_dir().join("a.yaml"), "").unwrap();
        assert!(!told(&mut watch).await.manifests);
    }

    #[tokio::test]
    async fn a_file_that_came_and_went_is_told_of() {
        let (_root, manifests, data) = folders();
        let mut watch = Watch::new(&manifests, &data).unwrap();
        fs::write(manifests.join("a.yaml"), "").unwrap();
        fs::remove_file(manifests.join("a.yaml")).unwrap();
        assert!(told(&mut watch).await.manifests);
    }

    #[tokio::test]
    async fn a_folder_that_never_rests_is_told_of_all_the_same() {
        let (_root, manifests, data) = folders();
        let mut watch = Watch::new(&manifests, &data).unwrap();
        let file = manifests.join("a.yaml");
        let writing = tokio::spawn(async move {
            loop {
                fs::write(&file, "").unwrap();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(told(&mut watch).await.manifests);
        assert!(told(&mut watch).await.manifests);
        writing.abort();
    }

    #[tokio::test]
    async fn a_folder_is_watched_whichever_has_its_name() {
        let (root, manifests, data) = folders();
        let mut watch = Watch::new(&manifests, &data).unwrap();
        let away = root.path().join("away");

        fs::rename(&manifests, &away).unwrap();
        assert!(told(&mut watch).await.manifests);
        fs::create_dir(&manifests).unwrap();
        assert!(told(&mut watch).await.manifests, "a folder that is back is read");
        calm(&mut watch).await;
        fs::write(manifests.join("a.yaml"), "").unwrap();
        assert!(told(&mut watch).await.manifests, "and watched");

        // Replaced faster than anybody looks.
        calm(&mut watch).await;
        fs::remove_dir_all(&manifests).unwrap();
        fs::rename(&away, &manifests).unwrap();
        assert!(told(&mut watch).await.manifests);
        calm(&mut watch).await;
        fs::write(manifests.join("b.yaml"), "").unwrap();
        assert!(told(&mut watch).await.manifests);

        calm(&mut watch).await;
        fs::remove_dir_all(data.secrets_dir()).unwrap();
        assert!(told(&mut watch).await.secrets);
    }
}

//! Watching the folders.

use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::RecursiveMode;
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};
use tokio::sync::mpsc;

/// How long a folder must be quiet before it is read: an editor writes a file in several steps.
const DEBOUNCE: Duration = Duration::from_millis(300);

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Changed {
    /// The manifests, and not only Secrets.
    pub(super) manifests: bool,
}

/// Watches the manifests and the Secrets.
pub(super) struct Watch {
    _debouncer: Debouncer<notify::RecommendedWatcher, RecommendedCache>,
    events: mpsc::UnboundedReceiver<Changed>,
}

impl Watch {
    /// Watches folders; the first of them holds the manifests.
    pub(super) fn new(folders: &[&Path]) -> Result<Self, notify::Error> {
        let (sender, events) = mpsc::unbounded_channel();
        let manifests = folders.first().map(|folder| absolute(folder)).unwrap_or_default();
        let others: Vec<PathBuf> = folders.iter().skip(1).map(|folder| absolute(folder)).collect();
        let mut debouncer = new_debouncer(DEBOUNCE, None, move |result: DebounceEventResult| {
            let elsewhere = |path: &PathBuf| others.iter().any(|other| path.starts_with(other));
            let manifests = match &result {
                // Reading a file is an event too, and reading is what follows a change.
                Ok(events) => {
                    let mut events = events.iter().filter(|event| !event.kind.is_access()).peekable();
                    if events.peek().is_none() {
                        return;
                    }
                    events.any(|event| {
                        event.paths.iter().any(|path| path.starts_with(&manifests) && !elsewhere(path))
                    })
                }
                // Events were lost: anything may have changed.
                Err(_) => true,
            };
            // The receiver is gone at shutdown only.
            let _ = sender.send(Changed { manifests });
        })?;
        for folder in folders {
            debouncer.watch(absolute(folder), RecursiveMode::Recursive)?;
        }
        Ok(Self { _debouncer: debouncer, events })
    }

    /// Waits for a change.
    pub(super) async fn changed(&mut self) -> Changed {
        match self.events.recv().await {
            Some(mut changed) => {
                while let Ok(more) = self.events.try_recv() {
                    changed.manifests |= more.manifests;
                }
                changed
            }
            // The watcher's thread is gone; resyncs go on.
            None => std::future::pending().await,
        }
    }
}

fn absolute(folder: &Path) -> PathBuf {
    folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf())
}

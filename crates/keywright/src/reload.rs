//! Taking over changes of the configuration and of certificates while the process runs.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::certificate::Certificate;
use crate::config::{Config, Loaded, RestartKeys};
use crate::file_watch::FileWatch;
use crate::telemetry::LogLevel;
use crate::wiring;

/// How often what was taken over, and how often it could not be.
#[derive(Debug, Clone)]
pub struct ReloadMetrics(Family<Labels, Counter>);

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    what: &'static str,
    outcome: &'static str,
}

impl ReloadMetrics {
    /// Makes the metrics and registers them.
    pub fn new(registry: &mut Registry) -> Self {
        let family = Family::default();
        registry.register("keywright_reloads", "Changed files by what became of them", family.clone());
        Self(family)
    }

    fn count(&self, what: &'static str, outcome: &'static str) {
        self.0.get_or_create(&Labels { what, outcome }).inc();
    }
}

/// The configuration's files, and what they held.
pub struct SourceFiles {
    files: Vec<PathBuf>,
    digest: [u8; 32],
}

impl SourceFiles {
    /// The files as they are now; to be called before they are read.
    pub fn now(files: &[PathBuf]) -> Self {
        Self { files: files.to_owned(), digest: digest(files) }
    }
}

/// What is watched, and what is done with it.
pub struct Reload {
    /// The configuration's files.
    pub sources: SourceFiles,
    /// What the process started with of the keys that take effect at the start alone.
    pub started_with: RestartKeys,
    /// What is in force.
    pub current: Arc<Config>,
    /// Reads the configuration again.
    pub load: Box<dyn Fn() -> Result<Loaded> + Send>,
    /// Puts it in force.
    pub apply: Box<dyn Fn(&Config) + Send>,
    /// The log's level.
    pub level: LogLevel,
    /// The listeners' certificates.
    pub certificates: Vec<Certificate>,
    /// What is counted.
    pub metrics: ReloadMetrics,
}

impl Reload {
    /// Watches until `shutdown` is cancelled.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut files = self.sources.files.clone();
        files.extend(self.certificates.iter().flat_map(Certificate::files));
        if files.is_empty() {
            return;
        }
        let mut watch = FileWatch::new(&files);
        loop {
            // The first look is for what has changed since the start, before there was a watch.
            self.certificates();
            let now = digest(&self.sources.files);
            if now != self.sources.digest {
                self.sources.digest = now;
                self.configuration();
            }
            if shutdown.run_until_cancelled(watch.changed()).await.is_none() {
                return;
            }
        }
    }

    fn certificates(&mut self) {
        for certificate in &mut self.certificates {
            match certificate.reload() {
                Ok(true) => {
                    tracing::info!("a changed certificate is in use");
                    self.metrics.count("certificate", "applied");
                }
                Ok(false) => {}
                Err(error) => {
                    let error = format!("{error:#}");
                    tracing::error!(error, "a changed certificate is not used; the former one stays");
                    self.metrics.count("certificate", "refused");
                }
            }
        }
    }

    fn configuration(&mut self) {
        let mut loaded = match (self.load)() {
            Ok(loaded) => loaded,
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(
                    error,
                    "the changed configuration is not used; the former one stays in force"
                );
                self.metrics.count("configuration", "refused");
                return;
            }
        };
        loaded.warnings.iter().for_each(wiring::warn);
        let keys = loaded.restart.differing(&self.started_with);
        if !keys.is_empty() {
            tracing::warn!(
                keys = keys.join(", "),
                "these changed keys take effect when the process is restarted"
            );
        }
        loaded.config.keep_until_restart(&self.current);
        self.level.set(loaded.config.log.level);
        (self.apply)(&loaded.config);
        self.current = Arc::new(loaded.config);
        tracing::info!("the changed configuration is in force");
        self.metrics.count("configuration", "applied");
    }
}

/// Of what the files hold; one that cannot be read counts as another one, and loading it says why.
fn digest(files: &[PathBuf]) -> [u8; 32] {
    let mut digest = Sha256::new();
    for file in files {
        let content = std::fs::read(file).map(Sha256::digest);
        digest.update([u8::from(content.is_ok())]);
        digest.update(content.unwrap_or_default());
    }
    digest.finalize().into()
}

//! The log.

use std::io::IsTerminal;

use tracing::Level;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use crate::config::{Log, LogFormat};

/// The level of the log, which may change while the process runs.
#[derive(Debug, Clone)]
pub struct LogLevel(reload::Handle<EnvFilter, Registry>);

impl LogLevel {
    /// Logs from this level on.
    pub fn set(&self, level: Level) {
        // It fails where another log was started first, in a test.
        let _ = self.0.reload(filter(level));
    }
}

/// Starts the log on standard error. `fallback` is the form where the configuration names none.
///
/// A log that cannot be written, because its disk is full or its reader gone, ends nothing: its lines are lost.
pub fn start(log: Log, fallback: LogFormat) -> LogLevel {
    let (filter, level) = reload::Layer::new(filter(log.level));
    let lines = fmt::layer()
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let lines = match log.format.unwrap_or(fallback) {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
        LogFormat::JsonPretty => lines.json().pretty().boxed(),
    };
    // A second start, in a test, keeps the first.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    LogLevel(level)
}

/// Libraries are heard from `warn` on: at `debug`, some would print what they send and receive.
fn filter(level: Level) -> EnvFilter {
    let level = level.as_str().to_lowercase();
    let ours = ["keywright", "server", "operator", "store", "oauth", "jose", "crd"];
    let directives: Vec<String> = ours.iter().map(|name| format!("{name}={level}")).collect();
    EnvFilter::new(format!("warn,{}", directives.join(",")))
}

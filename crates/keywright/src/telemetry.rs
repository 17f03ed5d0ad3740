//! The log.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

/// Starts the log on standard error. `fallback` is the form where the configuration names none.
///
/// A log that cannot be written, because its disk is full or its reader gone, ends nothing: its lines are lost.
///
/// Libraries are heard from `warn` on: at `debug`, some would print what they send and receive.
pub fn start(log: Log, fallback: LogFormat) {
    let level = log.level.as_str().to_lowercase();
    let ours = ["keywright", "server", "operator", "store", "oauth", "jose", "crd"];
    let directives: Vec<String> = ours.iter().map(|name| format!("{name}={level}")).collect();
    let filter = EnvFilter::new(format!("warn,{}", directives.join(",")));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    // A second start, in a test, keeps the first.
    let _ = match log.format.unwrap_or(fallback) {
        LogFormat::Text => builder.finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_span_list(false).finish().try_init(),
        LogFormat::JsonPretty => builder.json().pretty().finish().try_init(),
    };
}

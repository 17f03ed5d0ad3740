//! How many files the process may have open, sockets among them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use server::ListenerLimits;

/// What the process keeps for its database, files and outgoing connections.
const RESERVED: u64 = 256;

/// Raises the limit to what the system allows, and shares it out: no listener can take the others' places, so health
/// checks are answered whatever comes in on the public port.
pub fn listener_limits(listeners: u64) -> ListenerLimits {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let open_files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let defaults = ListenerLimits::default();
    let connections = places(open_files, listeners, defaults.connections);
    if connections < defaults.connections {
        tracing::warn!(connections, "few files may be open (ulimit -n), so few connections are accepted");
    }
    ListenerLimits { connections, ..defaults }
}

/// `None` for `open_files` means that there is no limit.
fn places(open_files: Option<u64>, listeners: u64, wanted: usize) -> usize {
    let Some(open_files) = open_files else { return wanted };
    let each = open_files.saturating_sub(RESERVED) / listeners.max(1);
    usize::try_from(each).unwrap_or(usize::MAX).clamp(16, wanted)
}

#[cfg(test)]
mod tests {
    use super::places;

    #[test]
    fn listeners_share_what_may_be_open() {
        assert_eq!(places(None, 2, 10_000), 10_000);
        assert_eq!(places(Some(1_000_000), 2, 10_000), 10_000);
        assert_eq!(places(Some(1024), 2, 10_000), 384);
        assert_eq!(places(Some(64), 2, 10_000), 16);
    }
}

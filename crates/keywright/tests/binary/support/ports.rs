//! Free ports.

use std::fs::{self, File};
use std::net::TcpListener;
use std::ops::Range;
use std::sync::Mutex;

use jose::Entropy;

/// Below those that the system gives to whoever connects somewhere, and beside those of `e2e/lib.sh`: nobody gets one of
/// these by chance while its process is restarted.
const RANGE: Range<u16> = 10_000..20_000;

/// The locks of those that were given away, held for as long as these tests run: other test programs may run beside them.
static GIVEN: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A port on which nobody listens, and that nobody else is given.
pub fn free_port() -> u16 {
    let locks = std::env::temp_dir().join("keywright-test-ports");
    fs::create_dir_all(&locks).unwrap();
    loop {
        let random = u16::from_be_bytes(Entropy::system().bytes());
        let port = RANGE.start + random % (RANGE.end - RANGE.start);
        let lock = File::create(locks.join(port.to_string())).unwrap();
        if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            GIVEN.lock().unwrap().push(lock);
            return port;
        }
    }
}

//! The binary as a process.

use std::ffi::OsStr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// A running process, killed when this is dropped.
pub struct Process {
    child: Child,
    stdout: Captured,
    stderr: Captured,
}

/// What a process that has ended said.
#[derive(Debug)]
pub struct Ended {
    /// The exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

struct Captured {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Captured {
    fn from(mut stream: impl AsyncRead + Unpin + Send + 'static) -> Self {
        let bytes = Arc::<Mutex<Vec<u8>>>::default();
        let captured = bytes.clone();
        let reader = tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                captured.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        });
        Self { bytes, reader }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }
}

/// The command: nothing of this process's environment but the PATH, and these variables.
fn command<A: AsRef<OsStr>>(arguments: &[A], variables: &[(&str, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keywright"));
    command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.envs(variables.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs the binary to its end.
pub async fn run<A: AsRef<OsStr>>(arguments: &[A], variables: &[(&str, String)]) -> Ended {
    Process::start(arguments, variables).ended(Duration::from_secs(30)).await
}

impl Process {
    /// Starts the binary.
    pub fn start<A: AsRef<OsStr>>(arguments: &[A], variables: &[(&str, String)]) -> Self {
        let mut child = command(arguments, variables).spawn().unwrap();
        let stdout = Captured::from(child.stdout.take().unwrap());
        let stderr = Captured::from(child.stderr.take().unwrap());
        Self { child, stdout, stderr }
    }

    /// What it wrote to standard output so far.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it wrote to standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().expect("the process runs").to_string();
        let sent =
            std::process::Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", name, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// Where it takes longer than `limit`.
    pub async fn ended(mut self, limit: Duration) -> Ended {
        let waited = tokio::time::timeout(limit, self.child.wait()).await;
        let Ok(status) = waited else {
            panic!("still running after {limit:?}:\n{}\n{}", self.stdout(), self.stderr())
        };
        for reader in [&mut self.stdout.reader, &mut self.stderr.reader] {
            reader.await.unwrap();
        }
        Ended { code: status.unwrap().code(), stdout: self.stdout(), stderr: self.stderr() }
    }

    /// Ends it at once, as if the machine stopped.
    pub async fn kill(mut self) -> Ended {
        // It may have ended by itself.
        let _ = self.child.start_kill();
        self.ended(Duration::from_secs(30)).await
    }
}

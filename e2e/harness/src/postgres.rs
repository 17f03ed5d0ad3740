//! A PostgreSQL server of a test's own: one that nobody else writes to, and that may be killed.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use sqlx::{Connection, PgConnection};
use tokio::fs;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::eventually;

/// A server that ends with this value, with all that it holds.
pub struct TestPostgres {
    /// The URL of a database of it, with all rights.
    pub url: String,
    /// The folder of its data.
    data: PathBuf,
    /// `postgres.sh`, which stops the server when its standard input is closed.
    _script: Child,
}

impl TestPostgres {
    /// Starts a server. `options` are further ones of the program, such as `-c autovacuum=off`.
    ///
    /// # Panics
    /// Where PostgreSQL's programs are missing, or do not start.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its database")]
    pub async fn start(options: &str) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../postgres.sh");
        let mut script = Command::new(script)
            .args(["sh", "-c", "echo \"$DATABASE_URL\"; exec cat >/dev/null"])
            .env_remove("DATABASE_URL")
            .env("POSTGRES_OPTIONS", options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("postgres.sh runs");
        let mut lines = BufReader::new(script.stdout.take().expect("it was piped")).lines();
        let url = lines.next_line().await.expect("postgres.sh writes").expect("postgres.sh starts a server");
        let mut connection = PgConnection::connect(&url).await.expect("the server answers");
        let data = sqlx::query_scalar::<_, String>("SHOW data_directory").fetch_one(&mut connection).await;
        connection.close().await.expect("the connection is closed");
        Self { url, data: data.expect("SHOW data_directory").into(), _script: script }
    }

    /// Ends the server at once, as if its machine failed; what it had committed stays.
    ///
    /// # Panics
    /// Where it does not run.
    #[expect(clippy::expect_used, reason = "a test cannot go on where this fails")]
    pub async fn kill(&self) {
        let file = fs::read_to_string(self.data.join("postmaster.pid")).await.expect("the server runs");
        let process = file.lines().next().expect("the first line is the process");
        let killed = Command::new("sh").args(["-c", "kill -s KILL \"$0\"", process]).status().await;
        assert!(killed.expect("kill runs").success(), "the server runs");
    }

    /// Starts the server again, with the options that it had, and waits until it takes connections.
    ///
    /// # Panics
    /// Where it does not start within half a minute.
    #[expect(clippy::expect_used, reason = "a test cannot go on where this fails")]
    pub async fn restart(&self) {
        let owner = fs::metadata(&self.data).await.expect("the data folder is there");
        let command = fs::read_to_string(self.data.join("postmaster.opts")).await.expect("it ran before");
        let program = Path::new(command.split_whitespace().next().expect("it names its program"));
        let restart = async || {
            Command::new(program.with_file_name("pg_ctl"))
                .args(["restart", "--silent", "--wait", "--pgdata"])
                .arg(&self.data)
                .arg("--log")
                .arg(self.data.with_file_name("server.log"))
                .current_dir("/")
                .uid(owner.uid())
                .gid(owner.gid())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .await
                .is_ok_and(|status| status.success())
        };
        // It refuses as long as a process of the killed one is left.
        eventually("PostgreSQL starts again", restart).await;
    }
}

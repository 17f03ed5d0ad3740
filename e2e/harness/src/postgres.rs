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
        let command = fs::read_to_string(self.data.join("postmaster.opts")).await.expect("it ran before");
        let program = Path::new(command.split_whitespace().next().expect("it names its program"));
        let restart = async || {
            let mut restart = as_owner_of(&self.data, &program.with_file_name("pg_ctl"));
            restart.args(["restart", "--silent", "--wait", "--pgdata"]).arg(&self.data);
            restart.arg("--log").arg(self.data.with_file_name("server.log"));
            restart.status().await.is_ok_and(|status| status.success())
        };
        // It refuses as long as a process of the killed one is left.
        eventually("PostgreSQL starts again", restart).await;
    }

    /// Starts a replica of the server, which follows it.
    ///
    /// # Panics
    /// Where it does not start.
    #[expect(clippy::expect_used, reason = "a test cannot go on where this fails")]
    pub async fn replica(&self) -> TestReplica {
        let command = fs::read_to_string(self.data.join("postmaster.opts")).await.expect("the server runs");
        let programs = Path::new(command.split_whitespace().next().expect("it names its program"))
            .parent()
            .expect("the program lies in a folder")
            .to_owned();
        // Removed with the server's own folder, which is beside it.
        let data = self.data.with_file_name("replica");
        let mut copy = as_owner_of(&self.data, &programs.join("pg_basebackup"));
        copy.args([
            "--write-recovery-conf",
            "--checkpoint=fast",
            "--no-sync",
            "--dbname",
            &self.url,
            "--pgdata",
        ]);
        assert!(
            copy.arg(&data).status().await.expect("pg_basebackup runs").success(),
            "it copies the server"
        );
        let replica = TestReplica { programs, data };
        replica.start().await;
        replica
    }
}

/// A replica of a [`TestPostgres`], on a unix socket; it ends with this value, which must be dropped before its original.
pub struct TestReplica {
    programs: PathBuf,
    data: PathBuf,
}

impl TestReplica {
    /// Where it has the database of a URL of the original.
    ///
    /// # Panics
    /// Where that is no such URL.
    #[expect(clippy::expect_used, reason = "a test cannot go on where this fails")]
    pub fn url_of(&self, original: &str) -> String {
        let (user, rest) = original.split_once('@').expect("it has a user");
        let (_, database) = rest.split_once('/').expect("it has a database");
        format!("{user}@localhost/{database}?host={}", self.data.display())
    }

    /// Starts it again.
    ///
    /// # Panics
    /// Where that fails.
    #[expect(clippy::expect_used, reason = "a test cannot go on where this fails")]
    pub async fn start(&self) {
        let mut start = as_owner_of(&self.data, &self.programs.join("pg_ctl"));
        start.args(["start", "--silent", "--wait", "--pgdata"]).arg(&self.data);
        start.arg("--log").arg(self.data.with_file_name("replica.log"));
        // No fewer connections than the original has, else it would not follow.
        let options = format!(
            "-c listen_addresses= -c unix_socket_directories={} -c max_connections=200 -c fsync=off",
            self.data.display()
        );
        let started = start.args(["--options", &options]).status().await.expect("pg_ctl runs");
        assert!(started.success(), "the replica starts");
    }

    /// Ends it at once.
    pub fn stop(&self) {
        let mut stop = as_owner_of(&self.data, &self.programs.join("pg_ctl"));
        stop.args(["stop", "--silent", "--mode", "immediate", "--pgdata"]).arg(&self.data);
        // It may have been stopped before.
        let _ = stop.as_std_mut().status();
    }
}

impl Drop for TestReplica {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A program of PostgreSQL's, which refuses to run as root.
#[expect(clippy::expect_used, reason = "a test cannot go on without its database")]
fn as_owner_of(data: &Path, program: &Path) -> Command {
    let owner = std::fs::metadata(data).expect("the data folder is there");
    let mut command = Command::new(program);
    command.current_dir("/").uid(owner.uid()).gid(owner.gid());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

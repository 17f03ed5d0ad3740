//! `keywright import hydra`.

use std::fs;

use harness::TestHydra;
use serde_json::Value;
use sqlx::{Connection, Executor, SqliteConnection};
use tempfile::TempDir;

use crate::support::run;

struct Here {
    folder: TempDir,
    variables: Vec<(&'static str, String)>,
}

/// A database of ours that is not there yet.
fn here() -> Here {
    let folder = TempDir::new().unwrap();
    let dsn = format!("sqlite://{}", folder.path().join("keywright.db").display());
    let variables = vec![("SECRETS_SYSTEM", "a-system-secret-for-tests-only".to_owned()), ("DSN", dsn)];
    Here { folder, variables }
}

#[tokio::test]
async fn a_dry_run_says_what_a_run_then_does_and_a_second_run_does_nothing() {
    let (hydra, Here { folder, mut variables }) = (TestHydra::start().await, here());
    variables.push(("HYDRA_SECRETS_SYSTEM", hydra.secrets.join(",")));
    let import = ["import", "hydra", "--from", hydra.url()];
    let dry = run(&[&import[..], &["--dry-run"]].concat(), &variables).await;
    assert_eq!(dry.code, Some(0), "{}", dry.stderr);
    assert!(dry.stdout.contains("nothing was written"), "{}", dry.stdout);
    let clients = dry.stdout.lines().find(|line| line.starts_with("clients")).unwrap();
    assert_eq!(clients.split_whitespace().collect::<Vec<_>>(), ["clients", "5", "5", "0", "0", "0"]);
    assert!(dry.stdout.contains("symmetric sym-1"), "{}", dry.stdout);
    assert!(!folder.path().join("keywright.db").exists());

    let files: Vec<String> = (hydra.secrets.iter().enumerate())
        .map(|(index, secret)| {
            let file = folder.path().join(format!("secret-{index}"));
            fs::write(&file, format!("{secret}\n")).unwrap();
            format!("--hydra-system-secret-file={}", file.display())
        })
        .collect();
    variables.pop();
    let mut import: Vec<&str> = import.to_vec();
    import.extend(files.iter().map(String::as_str));
    import.extend(["--format", "json"]);
    for taken_over in [5, 0] {
        let done = run(&import, &variables).await;
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        let report: Value = serde_json::from_str(&done.stdout).unwrap();
        assert_eq!(report["counts"][0]["taken_over"], taken_over, "{report}");
        assert_eq!(report["dry_run"], false);
        assert!(
            hydra.secrets.iter().all(|secret| !done.stdout.contains(secret) && !done.stderr.contains(secret))
        );
    }
    import.push("--dry-run");
    let dry = run(&import, &variables).await;
    let report: Value = serde_json::from_str(&dry.stdout).unwrap();
    assert_eq!(report["counts"][0]["here_already"], 5, "{report}");

    // As an older version left it: what is there cannot be said before it was migrated.
    let url = format!("sqlite://{}", folder.path().join("keywright.db").display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    let last = "DELETE FROM _sqlx_migrations WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)";
    database.execute(last).await.unwrap();
    database.close().await.unwrap();
    let behind = run(&import, &variables).await;
    assert_eq!(behind.code, Some(1), "{}", behind.stdout);
    assert!(behind.stderr.contains("keywright migrate sql up"), "{}", behind.stderr);
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_named_before_anything_is_written() {
    let (hydra, Here { folder, variables }) = (TestHydra::start().await, here());
    let import = ["import", "hydra", "--from", hydra.url()];
    let with = |secret: &str| [&variables[..], &[("HYDRA_SECRETS_SYSTEM", secret.to_owned())]].concat();
    let missing = run(&import, &variables).await;
    assert!(missing.code == Some(1) && missing.stderr.contains("HYDRA_SECRETS_SYSTEM"), "{missing:?}");
    assert!(!folder.path().join("keywright.db").exists());
    let wrong = run(&import, &with("not-the-secret-of-hydra")).await;
    assert!(wrong.code == Some(1) && wrong.stderr.contains("none of the given secrets opens"), "{wrong:?}");
    assert!(!wrong.stderr.contains("not-the-secret"), "{wrong:?}");
    let no_hydra = harness::TestDatabase::postgres().await;
    let empty = run(&["import", "hydra", "--from", &no_hydra.url], &with("not-the-secret-of-hydra")).await;
    assert!(empty.code == Some(1) && empty.stderr.contains("no Ory Hydra 2"), "{empty:?}");
    let mysql =
        run(&["import", "hydra", "--from", "mysql://u:hush@db/x"], &with("not-the-secret-of-hydra")).await;
    assert!(
        mysql.code == Some(1) && mysql.stderr.contains("--from: ") && !mysql.stderr.contains("hush"),
        "{mysql:?}"
    );
}

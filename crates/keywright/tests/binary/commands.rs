//! The commands that end by themselves.

use std::fs;
use std::path::Path;

use harness::TestDatabase;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::run;

const SECRET: (&str, &str) = ("SECRETS_SYSTEM", "a-system-secret-for-tests-only");

fn documents(yaml: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(yaml).map(|document| Value::deserialize(document).unwrap()).collect()
}

#[tokio::test]
async fn crds_prints_what_the_folder_holds() {
    let ended = run(&["crds"], &[]).await;
    assert_eq!((ended.code, &*ended.stderr), (Some(0), ""));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds");
    let mut kept: Vec<Value> = Vec::new();
    for name in ["jsonwebkeysets.yaml", "oauth2clients.yaml"] {
        kept.extend(documents(&fs::read_to_string(folder.join(name)).unwrap()));
    }
    let mut printed = documents(&ended.stdout);
    let name = |definition: &Value| definition["metadata"]["name"].to_string();
    printed.sort_by_key(name);
    kept.sort_by_key(name);
    assert_eq!(printed.len(), 2);
    assert_eq!(printed, kept);
}

#[tokio::test]
async fn version_prints_the_version() {
    let ended = run(&["version"], &[]).await;
    assert_eq!(ended.code, Some(0));
    assert_eq!(ended.stdout, format!("v{}\n", env!("CARGO_PKG_VERSION")));
}

/// `(version, state)` of each migration.
fn states(listing: &str) -> Vec<(String, String)> {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    listing.lines().map(words).map(|words| (words[0].clone(), words[1].clone())).collect()
}

#[tokio::test]
async fn migrations_are_applied_and_listed_however_they_are_written() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str| format!("sqlite://{}", folder.path().join(name).display());
    let secret = (SECRET.0, SECRET.1.to_owned());
    let postgres = TestDatabase::postgres().await;
    let flags = [
        (vec!["migrate", "sql", "-e", "--yes"], None),
        (vec!["migrate", "sql", "up", "-e", "-y"], None),
        (vec!["migrate", "sql"], None),
        (vec!["migrate", "sql", "up"], Some(())),
        (vec!["migrate", "sql", "--yes"], Some(())),
        (vec!["migrate", "sql", "-e", "--yes"], Some(())),
    ];
    for (index, (mut arguments, on_the_line)) in flags.into_iter().enumerate() {
        let dsn = if index == 0 { postgres.url.clone() } else { file(&format!("{index}.db")) };
        let mut variables = vec![secret.clone()];
        if on_the_line.is_some() {
            arguments.push(&dsn);
            // One that is given wins over the environment's.
            variables.push(("DSN", file("of-the-environment.db")));
        } else {
            variables.push(("DSN", dsn.clone()));
        }
        let status = run(&["migrate", "sql", "status", &dsn], &[]).await;
        assert_eq!(status.code, Some(0), "{status:?}");
        let before = states(&status.stdout);
        assert!(!before.is_empty() && before.iter().all(|(_, state)| state == "pending"), "{before:?}");

        for _ in 0..2 {
            let ended = run(&arguments, &variables).await;
            assert_eq!((ended.code, &*ended.stdout), (Some(0), "The database is up to date.\n"), "{ended:?}");
        }
        let after = states(&run(&["migrate", "sql", "status", &dsn], &[]).await.stdout);
        assert_eq!(after.len(), before.len());
        assert!(after.iter().all(|(_, state)| state == "applied"), "{after:?}");
    }
    assert!(!folder.path().join("of-the-environment.db").exists());
}

#[tokio::test]
async fn without_the_system_secret_there_is_no_root_key_and_it_says_so() {
    let database = TestDatabase::postgres().await;
    let ended = run(&["migrate", "sql", "-e", "--yes"], &[("DSN", database.url.clone())]).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(
        ended.stdout.contains("No system secret is configured, so no root key was made"),
        "{}",
        ended.stdout
    );
    // The first process that has one makes it; another one does not fit.
    let with = |secret: &str| [("DSN", database.url.clone()), ("SECRETS_SYSTEM", secret.to_owned())];
    assert_eq!(run(&["migrate", "sql"], &with(SECRET.1)).await.code, Some(0));
    let ended = run(&["migrate", "sql"], &with("another-system-secret")).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(!ended.stderr.contains("another-system-secret"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error() {
    let script = format!("'{}' crds | head -n 1", env!("CARGO_BIN_EXE_keywright"));
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[tokio::test]
async fn the_root_key_is_wrapped_anew_before_the_former_secret_goes() {
    let folder = TempDir::new().unwrap();
    let dsn = format!("sqlite://{}", folder.path().join("keywright.db").display());
    let with = |secrets: &str| [("DSN", dsn.clone()), ("SECRETS_SYSTEM", secrets.to_owned())];
    let (old, new) = (SECRET.1, "the-system-secret-that-comes-after");
    let reseal = async |secrets: &str| run(&["keys", "reseal"], &with(secrets)).await;
    assert!(reseal(old).await.stdout.contains("There is no root key yet"));
    assert_eq!(run(&["migrate", "sql"], &with(old)).await.code, Some(0));
    let without = reseal(new).await;
    assert_eq!(without.code, Some(1));
    assert!(without.stderr.contains("must also hold the former secret"), "{}", without.stderr);
    let both = format!("{new},{old}");
    assert!(reseal(&both).await.stdout.contains("is wrapped by the first"));
    assert!(reseal(&both).await.stdout.contains("already"));
    assert_eq!(run(&["migrate", "sql"], &with(new)).await.code, Some(0));
    assert_eq!(run(&["migrate", "sql"], &with(old)).await.code, Some(1));
}

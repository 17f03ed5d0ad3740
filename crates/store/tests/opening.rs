//! Opening a database: migrations, the root key, the clock.

mod common;

use common::{client_id, clock, create_client, databases, number, sql, try_open, with_secrets};
use harness::TestDatabase;
use harness::database::SYSTEM_SECRET;
use jiff::SignedDuration;
use jose::SealPurpose;
use oauth::client::SecretCheck;
use oauth::{AccessToken, ScopeSet};
use store::{Clock, Error, Options, Readiness, Store};

fn seal(store: &Store) -> Vec<u8> {
    store.ring().seal(SealPurpose::AccessToken, b"sealed", store.entropy().bytes())
}

fn opens(store: &Store, sealed: &[u8]) -> bool {
    store.ring().open(SealPurpose::AccessToken, sealed).is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_processes_open_an_empty_database_at_once() {
    for database in databases().await {
        let opening: Vec<_> = (0..8).map(|_| tokio::spawn(try_open(database.options()))).collect();
        let mut stores = Vec::new();
        for opening in opening {
            stores.push(opening.await.unwrap().unwrap());
        }
        assert_eq!(number(&database, "SELECT COUNT(*) FROM root_keys").await, 1);
        for store in &stores {
            let sealed = seal(store);
            assert!(stores.iter().all(|other| opens(other, &sealed)), "all have the same keys");
        }
        let status = store::status(&database.options()).await.unwrap();
        assert!(!status.is_empty() && status.iter().all(|migration| migration.applied));
    }
}

#[tokio::test]
async fn migrations_are_pending_until_they_are_applied_and_need_no_secret() {
    for database in databases().await {
        let options = Options { listen_url: None, ..with_secrets(&database, &[]) };
        let status = store::status(&options).await.unwrap();
        assert!(!status.is_empty() && status.iter().all(|migration| !migration.applied));
        for _ in 0..2 {
            store::migrate(&options).await.unwrap();
        }
        assert!(store::status(&options).await.unwrap().iter().all(|migration| migration.applied));
        assert_eq!(number(&database, "SELECT COUNT(*) FROM root_keys").await, 0);
        assert!(matches!(try_open(options).await, Err(Error::WrongSystemSecret)), "nothing wraps a root key");
    }
}

/// During a rollout, and after it was rolled back: migrations only add.
#[tokio::test]
async fn a_database_of_a_newer_version_is_served_and_one_with_another_history_is_refused() {
    for database in databases().await {
        database.open(clock()).await.close().await;
        sql(
            &database,
            "INSERT INTO _sqlx_migrations SELECT 9999, description, installed_on, success, checksum, execution_time \
             FROM _sqlx_migrations WHERE version = 1",
        )
        .await;
        let store = try_open(database.options()).await.unwrap();
        create_client(&store, "orders").await;
        store.close().await;
        sql(
            &database,
            "UPDATE _sqlx_migrations SET checksum = (SELECT checksum FROM _sqlx_migrations WHERE version = 2) \
             WHERE version = 1",
        )
        .await;
        let refused = try_open(database.options()).await;
        assert!(matches!(refused, Err(Error::Corrupt(_))), "{:?}", refused.err());
    }
}

#[tokio::test]
async fn it_is_told_what_opening_would_find() {
    for database in databases().await {
        let (options, bare) = (database.options(), with_secrets(&database, &[]));
        let found = async || store::readiness(&options).await.unwrap();
        assert_eq!(found().await, Readiness::Empty);
        store::migrate(&bare).await.unwrap();
        assert_eq!(found().await, Readiness::Empty, "nothing was sealed yet");
        try_open(options.clone()).await.unwrap().close().await;
        assert_eq!(found().await, Readiness::Ready);
        let last = "DELETE FROM _sqlx_migrations WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)";
        sql(&database, last).await;
        assert_eq!(found().await, Readiness::Behind);
    }
}

#[tokio::test]
async fn a_folder_may_have_any_name() {
    let folder = tempfile::Builder::new().prefix("keywright 100% ü").tempdir().unwrap();
    let mut url = url::Url::from_file_path(folder.path().join("keywright.db")).unwrap();
    url.set_query(Some("mode=rwc"));
    let url = url.as_str().replacen("file:", "sqlite:", 1);
    let options = Options { listen_url: Some(url.clone()), ..TestDatabase::sqlite().options_at(url) };
    let store = try_open(options).await.unwrap();
    create_client(&store, "orders").await;
    harness::eventually("the file is watched", async || store.is_cache_trusted()).await;
    assert!(folder.path().join("keywright.db").exists());
}

#[tokio::test]
async fn nobody_else_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}?mode=rwc", folder.path().join("keywright.db").display());
    let store =
        try_open(Options { listen_url: None, ..TestDatabase::sqlite().options_at(url) }).await.unwrap();
    create_client(&store, "orders").await;
    let mut files = 0;
    for file in std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{file:?}");
        files += 1;
    }
    assert!(files >= 3, "the database, its log and its lock");
}

#[tokio::test]
async fn only_a_system_secret_that_wrapped_the_root_key_opens_the_database() {
    for database in databases().await {
        let sealed = seal(&database.open(clock()).await);
        let wrong = "quite another secret";
        for (secrets, right) in [
            (vec![SYSTEM_SECRET], true),
            (vec![wrong, SYSTEM_SECRET], true),
            (vec![SYSTEM_SECRET, wrong], true),
            (vec![wrong], false),
            (vec![wrong, "and one more of them"], false),
            (vec![], false),
        ] {
            match try_open(with_secrets(&database, &secrets)).await {
                Ok(store) => assert!(right && opens(&store, &sealed), "{secrets:?}"),
                Err(error) => {
                    assert!(!right && matches!(error, Error::WrongSystemSecret), "{secrets:?}: {error}");
                    assert!(!error.to_string().contains(wrong));
                }
            }
        }
    }
}

#[tokio::test]
async fn installations_that_share_a_system_secret_do_not_accept_each_others_tokens() {
    for (one, other) in databases().await.into_iter().zip(databases().await) {
        let (one, other) = (one.open(clock()).await, other.open(clock()).await);
        let (row, secret) = create_client(&one, "orders").await;
        let now = one.clock().now();
        let lifetime = (now, now + SignedDuration::from_hours(1));
        let client = row.to_client();
        let token =
            AccessToken::for_client(&client, ScopeSet::default(), Vec::new(), lifetime, one.entropy());
        let key = token.seal(one.ring(), one.entropy()).unwrap();
        let text = key.sign(one.ring());
        assert!(AccessToken::open(one.ring(), &text).is_ok());
        assert!(AccessToken::open(other.ring(), &text).is_err());
        // Nor does a row that is carried over authenticate anybody.
        assert!(matches!(client.check_secret(one.ring(), &secret, now), SecretCheck::Match));
        assert!(matches!(client.check_secret(other.ring(), &secret, now), SecretCheck::Mismatch));
    }
}

#[tokio::test]
async fn the_clock_follows_the_databases() {
    let system = Clock::system();
    let sqlite = TestDatabase::sqlite();
    let process_time = system.now();
    let store = sqlite.open(Clock::system()).await;
    let off = store.clock().now().duration_since(process_time);
    assert!((-2..30).contains(&off.as_secs()), "a file has the process's time: {off}");

    // A server whose clock is an hour ahead: its `clock_timestamp` is found before the built-in one.
    let postgres = TestDatabase::postgres().await;
    sql(&postgres, "CREATE SCHEMA ahead").await;
    sql(
        &postgres,
        "CREATE FUNCTION ahead.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS \
         'SELECT pg_catalog.clock_timestamp() + interval ''1 hour'''",
    )
    .await;
    sql(
        &postgres,
        "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = ahead, pg_catalog', \
         current_database()); END $$",
    )
    .await;
    let (before, store) = (system.now(), postgres.open(Clock::system()).await);
    let ahead = store.clock().now().duration_since(before).as_secs();
    assert!((3598..3630).contains(&ahead), "{ahead}");
    assert!(store.read_client(&client_id("orders")).await.unwrap().is_none());

    let manual = clock();
    let stands_still = manual.now();
    assert_eq!(postgres.open(manual).await.clock().now(), stands_still);
}

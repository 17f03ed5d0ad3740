//! Opening a database.

use harness::TestDatabase;
use store::Clock;

#[tokio::test]
async fn a_new_database_is_migrated_and_gets_a_root_key_that_opens_again() {
    for database in [TestDatabase::sqlite(), TestDatabase::postgres().await] {
        let first = database.open(Clock::system()).await;
        let sealed = first.ring().seal(jose::SealPurpose::AccessToken, b"x", [0; 24]);
        let second = database.open(Clock::system()).await;
        assert_eq!(second.ring().open(jose::SealPurpose::AccessToken, &sealed).unwrap().as_slice(), b"x");
    }
}

#[tokio::test]
async fn a_missing_set_is_made_once() {
    for database in [TestDatabase::sqlite(), TestDatabase::postgres().await] {
        let store = database.open(Clock::system()).await;
        let (a, b) = tokio::join!(store.ensure_token_sets(), store.ensure_token_sets());
        a.unwrap();
        b.unwrap();
        let keys = store.keys().await.unwrap();
        assert!(keys.is_complete(store.clock().now()));
        assert_eq!(keys.published(&[], store.clock().now()).keys.len(), 2);
    }
}

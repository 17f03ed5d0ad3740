//! What is told to a caller is committed.

mod common;

use common::grants::{new_grant, rotation};
use common::{clock, create_client, databases, number, sql};
use harness::TestDatabase;
use store::Redemption;

/// Lets every statement on `grants` succeed and its commit fail: it gives its rows first, and the error after them.
async fn let_commits_fail(database: &TestDatabase) {
    let statements: &[&str] = if database.url.starts_with("sqlite:") {
        &[
            "CREATE TABLE nobody (id INTEGER PRIMARY KEY)",
            "CREATE TABLE orphans (parent INTEGER REFERENCES nobody (id) DEFERRABLE INITIALLY DEFERRED)",
            "CREATE TRIGGER on_insert AFTER INSERT ON grants BEGIN INSERT INTO orphans VALUES (1); END",
            "CREATE TRIGGER on_update AFTER UPDATE ON grants BEGIN INSERT INTO orphans VALUES (1); END",
        ]
    } else {
        &[
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$",
            "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT OR UPDATE ON grants \
             DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()",
        ]
    };
    for statement in statements {
        sql(database, *statement).await;
    }
}

#[tokio::test]
async fn nothing_is_told_of_a_write_before_it_is_committed() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        let exchanged = new_grant(&store, &client, "alice");
        assert_eq!(store.redeem_code(&exchanged).await.unwrap(), Redemption::Redeemed);
        let_commits_fail(&database).await;

        let told = store.redeem_code(&new_grant(&store, &client, "bob")).await;
        assert!(told.is_err(), "{told:?}");
        let told = store.rotate_refresh_token(&rotation(&store, &exchanged, 0)).await;
        assert!(told.is_err(), "{told:?}");
        let held = "SELECT COUNT(*) FROM grants WHERE generation = 0 AND subject = 'alice'";
        assert_eq!(number(&database, held).await, 1);
        assert_eq!(number(&database, "SELECT COUNT(*) FROM grants").await, 1);
    }
}

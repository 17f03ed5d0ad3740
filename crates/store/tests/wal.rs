//! What PostgreSQL writes to its log for what happens most often: the log is what a busy database waits for.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::grants::{new_grant, rotation, word};
use common::{create_client, number, sql};
use harness::{TestDatabase, TestPostgres};
use store::{NewGrant, Options, Redemption, Store, StoredClient};

/// How many of each are counted.
const TIMES: i64 = 1000;

/// What was granted is sealed in so many bytes, where the scopes and claims are those of most applications.
const CONTENT: usize = 400;

/// How much was logged so far, in bytes.
async fn logged(database: &TestDatabase) -> i64 {
    number(database, "SELECT CAST(pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') AS BIGINT)").await
}

/// So many exchanges, one after the other.
async fn exchange(store: &Store, client: &StoredClient) -> Vec<NewGrant> {
    let mut grants = Vec::new();
    for index in 0..TIMES {
        let content = vec![7; CONTENT];
        let grant = NewGrant { content, ..new_grant(store, client, &format!("person {index}")) };
        assert_eq!(store.redeem_code(&grant).await.unwrap(), Redemption::Redeemed);
        grants.push(grant);
    }
    grants
}

/// A refresh of each, one after the other.
async fn refresh(store: &Store, grants: &[NewGrant], generation: i64) {
    for grant in grants {
        let outcome = store.rotate_refresh_token(&rotation(store, grant, generation)).await.unwrap();
        assert_eq!(word(&outcome), "rotated");
    }
}

#[tokio::test]
async fn an_exchange_logs_a_kilobyte_and_a_half_and_a_refresh_not_even_half_of_that() {
    // Nobody else writes there, and no page is logged whole (`postgres.sh` sees to that).
    let postgres = TestPostgres::start("-c autovacuum=off").await;
    let database = TestDatabase::on(postgres.url.clone()).await;
    let store = common::try_open(Options { listen_url: None, ..database.options() }).await.unwrap();
    let (client, _) = create_client(&store, "orders").await;
    let warm = exchange(&store, &client).await;
    refresh(&store, &warm, 0).await;
    sql(&database, "CHECKPOINT").await;

    let before = logged(&database).await;
    let grants = exchange(&store, &client).await;
    let exchanged = logged(&database).await;
    refresh(&store, &grants, 0).await;
    let refreshed = logged(&database).await;
    let (exchange, refresh) = ((exchanged - before) / TIMES, (refreshed - exchanged) / TIMES);
    // No less than the content, or it was not counted.
    assert!((400..=1500).contains(&exchange), "{exchange} bytes for an exchange");
    assert!((100..=600).contains(&refresh), "{refresh} bytes for a refresh");
}

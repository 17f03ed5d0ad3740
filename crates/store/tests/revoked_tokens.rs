//! Single tokens that were revoked.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::{client_id, clock, costing, create_client, databases, hours, minutes, number, sql};
use oauth::introspect::is_live;
use oauth::{AccessToken, ScopeSet, TokenId};
use store::{PurgeWalk, Store, StoredClient};

fn issue(store: &Store, row: &StoredClient) -> AccessToken {
    let now = store.clock().now();
    let lifetime = (now, now + hours(1));
    AccessToken::for_client(&row.to_client(), ScopeSet::default(), Vec::new(), lifetime, store.entropy())
}

async fn live(store: &Store, token: &AccessToken) -> bool {
    let (state, statements) = costing(store, store.token_state(&client_id("orders"), token.id)).await;
    assert_eq!(statements, 1, "never from memory, and never more than one");
    is_live(token, state.unwrap(), store.clock().now())
}

#[tokio::test]
async fn a_revoked_token_is_dead_on_every_server_at_once_and_the_others_live() {
    for database in databases().await {
        let (a, b) = (database.open(clock()).await, database.open(clock()).await);
        let (row, _) = create_client(&a, "orders").await;
        let (one, other) = (issue(&a, &row), issue(&a, &row));
        assert!(live(&b, &one).await && live(&b, &other).await);
        for _ in 0..2 {
            let (done, statements) = costing(&a, a.revoke_token(one.id, one.expires_at)).await;
            done.unwrap();
            assert_eq!(statements, 1);
            assert!(!live(&b, &one).await && live(&b, &other).await);
        }
    }
}

#[tokio::test]
async fn tokens_die_with_their_client_and_do_not_come_back_with_its_id() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (row, _) = create_client(&store, "orders").await;
        let token = issue(&store, &row);
        store.delete_client(&row.id, row.manager.as_ref().unwrap()).await.unwrap();
        assert!(store.token_state(&row.id, token.id).await.unwrap().is_none());
        let (again, _) = create_client(&store, "orders").await;
        assert!(!live(&store, &token).await);
        assert!(live(&store, &issue(&store, &again)).await);

        let token = issue(&store, &again);
        sql(&database, "UPDATE clients SET epoch = epoch + 1").await;
        assert!(!live(&store, &token).await, "all of its tokens were revoked");
    }
}

#[tokio::test]
async fn what_has_expired_is_forgotten_bit_by_bit() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let now = store.clock().now();
        let fill = format!(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) \
             INSERT INTO revoked_tokens (id, expires_at) SELECT {}, {} FROM n",
            if database.url.starts_with("sqlite") {
                "CAST(i AS BLOB)"
            } else {
                "CAST(CAST(i AS TEXT) AS BYTEA)"
            },
            now.as_second(),
        );
        sql(&database, fill).await;
        store.revoke_token(TokenId([1; 16]), now + hours(1)).await.unwrap();

        let left = async || number(&database, "SELECT COUNT(*) FROM revoked_tokens").await;
        let mut walk = PurgeWalk::default();
        store.clock().advance(minutes(10));
        assert!(!store.purge(&mut walk).await.unwrap());
        assert_eq!(left().await, 1501, "a server whose clock is behind may still ask for it");
        store.clock().advance(minutes(1));
        assert!(store.purge(&mut walk).await.unwrap(), "there may be more");
        assert_eq!(left().await, 501);
        assert!(!store.purge(&mut walk).await.unwrap());
        assert_eq!(left().await, 1, "it has not expired");
    }
}

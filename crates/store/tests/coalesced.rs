//! Calls that wait for the database together share statements, and each gets its own answer.

mod common;

use common::grants::{TOKEN, new_grant, rotation, word};
use common::{clock, create_client, databases};
use futures::future::join_all;
use oauth::TokenId;
use store::{Error, Redemption, RefreshOutcome};

/// Enough that most wait, whatever may be under way at once.
const CALLS: usize = 100;

#[tokio::test]
async fn refreshes_that_wait_together_share_statements_and_each_learns_its_own_outcome() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        let mut grants = Vec::new();
        for index in 0..CALLS {
            let grant = new_grant(&store, &client, &format!("person {index}"));
            assert_eq!(store.redeem_code(&grant).await.unwrap(), Redemption::Redeemed);
            grants.push(grant);
        }
        // Every fourth token was replaced long ago, every fourth names a grant that there is not.
        for grant in grants.iter().step_by(4) {
            store.rotate_refresh_token(&rotation(&store, grant, 0)).await.unwrap();
        }
        let rotations: Vec<_> = grants
            .iter()
            .enumerate()
            .map(|(index, grant)| {
                let mut rotation = rotation(&store, grant, 0);
                if index % 4 == 1 {
                    rotation.generation = 7;
                }
                rotation
            })
            .collect();
        let before = store.statements();
        let outcomes = join_all(rotations.iter().map(|rotation| store.rotate_refresh_token(rotation))).await;
        let statements = store.statements() - before;
        assert!(statements < CALLS as u64 / 4, "{statements} statements");
        for (index, outcome) in outcomes.into_iter().enumerate() {
            let outcome = outcome.unwrap();
            let expected = ["reused", "refused", "rotated", "rotated"][index % 4];
            assert_eq!(word(&outcome), expected, "{index}");
            if let RefreshOutcome::Rotated(grant) = outcome {
                assert_eq!(grant.subject, format!("person {index}"));
                assert_eq!(grant.nonce, rotations[index].nonce);
            }
        }
    }
}

#[tokio::test]
async fn one_token_presented_by_many_at_once_is_used_once_and_its_reuse_is_seen() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        let grant = new_grant(&store, &client, "alice");
        store.redeem_code(&grant).await.unwrap();
        let rotations: Vec<_> = (0..CALLS).map(|_| rotation(&store, &grant, 0)).collect();
        let outcomes = join_all(rotations.iter().map(|rotation| store.rotate_refresh_token(rotation))).await;
        let words: Vec<_> = outcomes.iter().map(|outcome| word(outcome.as_ref().unwrap())).collect();
        assert_eq!(words.iter().filter(|word| **word == "rotated").count(), 1, "{words:?}");
        assert_eq!(words.iter().filter(|word| **word == "reused").count(), 1, "{words:?}");
        assert!(store.grant_state(grant.id, TOKEN).await.unwrap().unwrap().revoked);
    }
}

#[tokio::test]
async fn tokens_that_are_looked_up_together_are_each_answered_for_themselves() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        let mut grants = Vec::new();
        for index in 0..CALLS {
            let grant = new_grant(&store, &client, &format!("person {index}"));
            if index % 2 == 0 {
                store.redeem_code(&grant).await.unwrap();
            }
            grants.push(grant);
        }
        let token = |index: usize| TokenId([u8::try_from(index).unwrap(); 16]);
        store.revoke_token(token(2), store.clock().now()).await.unwrap();
        let before = store.statements();
        let states = join_all(
            grants.iter().enumerate().map(|(index, grant)| store.grant_state(grant.id, token(index))),
        )
        .await;
        assert!(store.statements() - before < CALLS as u64 / 4);
        for (index, state) in states.into_iter().enumerate() {
            let state = state.unwrap();
            assert_eq!(state.is_some(), index % 2 == 0, "{index}");
            if let Some(state) = state {
                assert_eq!(state.subject, format!("person {index}"));
                assert_eq!(state.revoked, index == 2);
            }
        }
        let of_client = join_all((0..CALLS).map(|index| store.token_state(&client.id, token(index)))).await;
        for (index, state) in of_client.into_iter().enumerate() {
            assert_eq!(state.unwrap().unwrap().revoked, index == 2);
        }
    }
}

#[tokio::test]
async fn one_exchange_that_the_database_refuses_spoils_no_other() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        let mut grants: Vec<_> =
            (0..CALLS).map(|index| new_grant(&store, &client, &format!("person {index}"))).collect();
        // The rows of both are refused by a rule of the table, with all of their statement.
        let refuse = if database.url.starts_with("sqlite:") {
            "CREATE TRIGGER refuse BEFORE INSERT ON grants WHEN new.subject = 'refused' \
             BEGIN SELECT RAISE(ABORT, 'refused'); END"
        } else {
            "ALTER TABLE grants ADD CHECK (subject <> 'refused')"
        };
        common::sql(&database, refuse).await;
        grants[7].subject = "refused".into();
        grants[70].subject = "refused".into();
        let codes = join_all(grants.iter().map(|grant| store.redeem_code(grant))).await;
        for (index, outcome) in codes.into_iter().enumerate() {
            match index {
                7 | 70 => assert!(matches!(outcome, Err(Error::Statement(_))), "{outcome:?}"),
                _ => assert_eq!(outcome.unwrap(), Redemption::Redeemed, "{index}"),
            }
        }
    }
}

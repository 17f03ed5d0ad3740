//! Calls that wait for the database together share statements, and each gets its own answer.

mod common;

use common::grants::{TOKEN, new_consent, new_grant, new_login, rotation, word};
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
async fn look_ups_of_one_token_share_a_row() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        let (alice, now) = (new_grant(&store, &client, "alice"), store.clock().now());
        store.redeem_code(&alice).await.unwrap();
        let bob = new_grant(&store, &client, "bob");
        store.redeem_code(&bob).await.unwrap();
        let before = store.statements();
        // One name for tokens of two grants: who asks for the one is not answered for the other.
        let states = join_all((0..1000).map(|index| {
            let grant = if index == 500 { bob.id } else { alice.id };
            store.grant_state(grant, TOKEN)
        }));
        let states = states.await;
        let own = join_all((0..1000).map(|_| store.token_state(&client.id, TOKEN))).await;
        let subjects = join_all((0..1000).map(|index| {
            let subject = if index == 500 { "bob" } else { "alice" };
            store.subject_token_state(&client.id, TOKEN, subject, now)
        }));
        let subjects = subjects.await;
        let statements = store.statements() - before;
        assert!(statements <= 24, "{statements} statements");
        for (index, state) in states.into_iter().enumerate() {
            assert_eq!(state.unwrap().unwrap().subject, if index == 500 { "bob" } else { "alice" });
        }
        assert!(own.into_iter().chain(subjects).all(|state| !state.unwrap().unwrap().revoked));
    }
}

#[tokio::test]
async fn tokens_for_subjects_that_are_looked_up_together_are_each_answered_for_themselves() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        let (token, now) = (|index: usize| TokenId([u8::try_from(index).unwrap(); 16]), store.clock().now());
        let subject = |index| format!("person {index}");
        store.revoke_token(token(2), now).await.unwrap();
        store.revoke_subject(&subject(3), None).await.unwrap();
        store.revoke_subject(&subject(4), Some(&client.id)).await.unwrap();
        let later = now + common::minutes(1);
        let before = store.statements();
        let states = join_all((0..CALLS).map(|index| {
            let (store, client, at) = (&store, &client, if index % 2 == 0 { now } else { later });
            async move { store.subject_token_state(&client.id, token(index), &subject(index), at).await }
        }));
        let states = states.await;
        assert!(store.statements() - before < CALLS as u64 / 4);
        for (index, state) in states.into_iter().enumerate() {
            assert_eq!(state.unwrap().unwrap().revoked, [2, 4].contains(&index), "{index}");
        }
    }
}

#[tokio::test]
async fn logins_and_consents_that_are_remembered_together_share_statements_and_each_is_its_own() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        let grants: Vec<_> =
            (0..CALLS).map(|index| new_grant(&store, &client, &format!("person {index}"))).collect();
        store.revoke_session(grants[5].session_id.unwrap()).await.unwrap();
        store.end_logins_of("person 6").await.unwrap();
        store.revoke_subject("person 7", None).await.unwrap();
        store.revoke_grant(grants[8].id, &client.id, grants[8].expires_at).await.unwrap();
        let logins: Vec<_> = grants.iter().map(|grant| new_login(&store, grant)).collect();
        let consents: Vec<_> = grants.iter().map(|grant| new_consent(&store, grant)).collect();

        let before = store.statements();
        let remembered = join_all(logins.iter().map(|login| store.remember_login(login))).await;
        let statements = store.statements() - before;
        assert!(statements < CALLS as u64 / 4, "{statements} statements");
        for (index, remembered) in remembered.into_iter().enumerate() {
            assert_eq!(remembered.unwrap(), ![5, 6].contains(&index), "{index}");
            let session = store.login_session(logins[index].id).await.unwrap();
            assert_eq!(session.map(|session| session.content).is_some(), ![5, 6].contains(&index), "{index}");
        }

        let before = store.statements();
        let done = join_all(consents.iter().map(|consent| store.remember_consent(consent))).await;
        assert!(done.into_iter().all(|done| done.is_ok()));
        let found = join_all(
            consents.iter().map(|new| store.remembered_consent(&new.subject, &client.id, client.incarnation)),
        )
        .await;
        let statements = store.statements() - before;
        assert!(statements < CALLS as u64 / 2, "{statements} statements");
        for (index, found) in found.into_iter().enumerate() {
            let wanted = (![7, 8].contains(&index)).then(|| consents[index].consent.clone());
            assert_eq!(found.unwrap(), wanted, "{index}");
        }
    }
}

#[tokio::test]
async fn of_consents_of_one_user_at_once_the_last_one_stays() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        let consents: Vec<_> = (0..CALLS)
            .map(|index| {
                let mut new = new_consent(&store, &new_grant(&store, &client, "alice"));
                new.consent.granted_at += common::minutes(i64::try_from(index % 10).unwrap());
                new
            })
            .collect();
        let done = join_all(consents.iter().map(|consent| store.remember_consent(consent))).await;
        assert!(done.into_iter().all(|done| done.is_ok()));
        let kept = store.remembered_consent("alice", &client.id, client.incarnation).await.unwrap().unwrap();
        assert_eq!(kept.granted_at, store.clock().now() + common::minutes(9));
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

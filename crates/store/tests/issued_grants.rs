//! Grants that an authorization response writes, and the exchange of its code afterwards.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::grants::{TOKEN, by_another, new_grant, rotation, rows, state, word};
use common::{clock, costing, create_client, databases, hours, minutes, sql};
use harness::TestDatabase;
use store::{MAX_FLOW_AGE, NewGrant, Redemption, Store};

/// Writes a response's grant with one statement.
async fn issue(store: &Store, grant: &NewGrant) -> bool {
    let (done, statements) = costing(store, store.issue_grant(grant)).await;
    assert_eq!(statements, 1);
    done.unwrap()
}

/// Another response to the same flow.
fn another_response(store: &Store, grant: &NewGrant) -> NewGrant {
    NewGrant { code_id: store.entropy().bytes(), ..grant.clone() }
}

#[tokio::test]
async fn the_code_of_a_hybrid_response_redeems_its_grant_once() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        let grant = new_grant(&store, &client, "alice");
        let short = NewGrant { expires_at: grant.expires_at - hours(20), ..grant.clone() };
        for attempt in 0..3 {
            assert!(issue(&store, &short).await, "attempt {attempt}: an answer was lost");
        }
        let written = state(&store, &grant).await;
        assert_eq!((&written.subject, &written.content), (&grant.subject, &grant.content));
        assert_eq!((written.generation, written.revoked), (0, false));
        let early = store.rotate_refresh_token(&rotation(&store, &grant, 0)).await.unwrap();
        assert_eq!(word(&early), "refused", "there is no refresh token before the exchange");

        store.clock().advance(minutes(1));
        for attempt in 0..2 {
            let redeemed = store.redeem_code(&grant).await.unwrap();
            assert_eq!(redeemed, Redemption::Redeemed, "attempt {attempt}");
        }
        assert_eq!(
            rows(&database).await[0].1[2],
            Some(grant.expires_at.as_second()),
            "it is kept for longer"
        );
        assert!(!store.issue_grant(&grant).await.unwrap(), "the response is not given once more");
        let rotated = store.rotate_refresh_token(&rotation(&store, &grant, 0)).await.unwrap();
        assert_eq!(word(&rotated), "rotated");
        let reused = store.redeem_code(&by_another(&store, &grant)).await.unwrap();
        assert_eq!(reused, Redemption::Reused);
        assert!(state(&store, &grant).await.revoked);
    }
}

#[tokio::test]
async fn a_second_response_to_a_flow_and_its_code_touch_nothing() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        let grant = new_grant(&store, &client, "alice");
        let second = another_response(&store, &grant);
        assert!(issue(&store, &grant).await);
        for exchanged in [false, true] {
            if exchanged {
                assert_eq!(store.redeem_code(&grant).await.unwrap(), Redemption::Redeemed);
            }
            let before = rows(&database).await;
            store.clock().advance(minutes(1));
            assert!(!issue(&store, &second).await);
            assert_eq!(store.redeem_code(&second).await.unwrap(), Redemption::Refused);
            assert_eq!(rows(&database).await, before);
            assert!(!state(&store, &grant).await.revoked);
        }
    }
}

/// Ends a grant in one of all ways.
async fn end(how: &str, store: &Store, database: &TestDatabase, grant: &NewGrant) {
    match how {
        "grant" => store.revoke_grant(grant.id, &grant.client_id, grant.expires_at).await.unwrap(),
        "subject" => store.revoke_subject(&grant.subject, None).await.unwrap(),
        "subject at the client" => {
            store.revoke_subject(&grant.subject, Some(&grant.client_id)).await.unwrap();
        }
        "session" => store.revoke_session(grant.session_id.unwrap()).await.unwrap(),
        "epoch" => drop(sql(database, "UPDATE clients SET epoch = epoch + 1").await),
        _ => drop(sql(database, "DELETE FROM clients").await),
    }
}

#[tokio::test]
async fn what_ends_a_grant_before_the_response_or_between_it_and_the_exchange_holds() {
    for database in databases().await {
        for how in ["grant", "subject", "subject at the client", "session", "epoch", "client"] {
            let store = database.open(clock()).await;
            for table in ["grants", "revocations", "clients"] {
                sql(&database, format!("DELETE FROM {table}")).await;
            }
            let (client, _) = create_client(&store, "orders").await;
            let (early, late) = (new_grant(&store, &client, "alice"), new_grant(&store, &client, "alice"));
            let late = NewGrant { session_id: early.session_id, ..late };
            assert!(issue(&store, &early).await, "{how}");
            store.clock().advance(minutes(1));
            end(how, &store, &database, &early).await;
            if how == "grant" {
                end(how, &store, &database, &late).await;
            }
            let before = rows(&database).await;
            assert_eq!(store.redeem_code(&early).await.unwrap(), Redemption::Refused, "{how}");
            assert!(!issue(&store, &early).await, "{how}");
            assert!(!issue(&store, &late).await, "{how}");
            assert_eq!(rows(&database).await, before, "{how}");
            let live = store.grant_state(early.id, TOKEN).await.unwrap();
            let live = live.is_some_and(|state| !state.revoked && state.epoch == state.grant_epoch);
            assert!(!live, "{how}");
            store.close().await;
        }
    }
}

#[tokio::test]
async fn a_response_to_a_flow_that_took_too_long_is_refused_unasked() {
    let database = TestDatabase::sqlite();
    let store = database.open(clock()).await;
    let (client, _) = create_client(&store, "orders").await;
    let grant = new_grant(&store, &client, "alice");
    store.clock().advance(MAX_FLOW_AGE + minutes(1));
    let (done, statements) = costing(&store, store.issue_grant(&grant)).await;
    assert_eq!((done.unwrap(), statements), (false, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_hundred_responses_to_one_flow_on_three_servers_one_is_given() {
    let database = TestDatabase::postgres().await;
    let clock = clock();
    let stores =
        [database.open(clock.clone()).await, database.open(clock.clone()).await, database.open(clock).await];
    let (client, _) = create_client(&stores[0], "orders").await;
    let grant = new_grant(&stores[0], &client, "alice");
    let responses: Vec<_> = (0..200)
        .map(|index| {
            let store = stores[index % 3].clone();
            let response = another_response(&store, &grant);
            tokio::spawn(async move { store.issue_grant(&response).await.unwrap() })
        })
        .collect();
    let mut given = 0;
    for response in responses {
        given += usize::from(response.await.unwrap());
    }
    assert_eq!(given, 1);
    assert!(!state(&stores[2], &grant).await.revoked);
}

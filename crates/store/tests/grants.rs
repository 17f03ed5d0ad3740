//! Exchanging codes, what is known of a grant, and its revocation.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::grants::{TOKEN, by_another, new_grant, rows, state};
use common::{clock, costing, create_client, databases, hours, minutes, number, sql};
use harness::TestDatabase;
use oauth::{GrantId, SessionId, TokenId};
use store::{MAX_FLOW_AGE, NewGrant, Redemption, Store, StoredClient};

/// Exchanges a code with one statement.
async fn redeem(store: &Store, grant: &NewGrant) -> Redemption {
    let (done, statements) = costing(store, store.redeem_code(grant)).await;
    assert_eq!(statements, 1);
    done.unwrap()
}

#[tokio::test]
async fn an_exchanged_code_leaves_a_grant_as_it_was_given() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        let full = new_grant(&store, &client, "alice");
        let bare = NewGrant { session_id: None, refresh: None, ..new_grant(&store, &client, "bob ✓") };
        for grant in [full, bare] {
            let (before, _) = costing(&store, store.grant_state(grant.id, TOKEN)).await;
            assert_eq!(before.unwrap(), None);
            assert_eq!(redeem(&store, &grant).await, Redemption::Redeemed);
            let (after, statements) = costing(&store, store.grant_state(grant.id, TOKEN)).await;
            assert_eq!(statements, 1);
            let after = after.unwrap().unwrap();
            assert_eq!((&after.client_id, &after.subject), (&grant.client_id, &grant.subject));
            assert_eq!((after.session_id, &after.content), (grant.session_id, &grant.content));
            assert_eq!((after.incarnation, after.epoch), (client.incarnation, client.epoch));
            assert_eq!((after.grant_incarnation, after.grant_epoch), (grant.incarnation, grant.epoch));
            assert_eq!((after.generation, after.rotated_at, after.revoked), (0, None, false));
        }
    }
}

#[tokio::test]
async fn a_code_is_exchanged_once_and_its_reuse_revokes_the_grant() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        let grant = new_grant(&store, &client, "alice");
        for attempt in 0..3 {
            assert_eq!(
                redeem(&store, &grant).await,
                Redemption::Redeemed,
                "attempt {attempt}: an answer was lost"
            );
        }
        assert!(!state(&store, &grant).await.revoked);
        assert_eq!(rows(&database).await.len(), 1);

        store.clock().advance(minutes(1));
        assert_eq!(redeem(&store, &by_another(&store, &grant)).await, Redemption::Reused);
        assert!(state(&store, &grant).await.revoked);
        let dead = rows(&database).await;
        for late in [grant.clone(), by_another(&store, &grant)] {
            store.clock().advance(minutes(1));
            assert_eq!(redeem(&store, &late).await, Redemption::Refused);
        }
        assert_eq!(rows(&database).await, dead, "the tombstone is as it was");
    }
}

/// What happens to a flow before its code is exchanged, and what the exchange comes to.
const HAPPENINGS: [(&str, Redemption); 15] = [
    ("nothing", Redemption::Redeemed),
    ("the grant was revoked", Redemption::Refused),
    ("another code of the grant was exchanged", Redemption::Refused),
    ("the subject was revoked", Redemption::Refused),
    ("the subject was revoked at the client", Redemption::Refused),
    ("the subject was revoked after the flow started", Redemption::Refused),
    ("the session was revoked", Redemption::Refused),
    ("the session was revoked before the flow started", Redemption::Refused),
    ("the client was deleted", Redemption::Refused),
    ("the client was created again", Redemption::Refused),
    ("all tokens of the client were revoked", Redemption::Refused),
    ("the subject was revoked before the flow started", Redemption::Redeemed),
    ("another subject was revoked", Redemption::Redeemed),
    ("the subject was revoked at another client", Redemption::Redeemed),
    ("another session was revoked", Redemption::Redeemed),
];

/// Makes it happen; the flow is to start at the time of the clock or later.
async fn happen(what: &str, store: &Store, database: &TestDatabase, client: &StoredClient) -> NewGrant {
    let grant = new_grant(store, client, "alice");
    let later = || {
        store.clock().advance(minutes(1));
        let started_at = store.clock().now();
        NewGrant { started_at, ..grant.clone() }
    };
    match what {
        "nothing" => {}
        "the grant was revoked" => {
            store.revoke_grant(grant.id, &grant.client_id, grant.expires_at).await.unwrap();
        }
        "another code of the grant was exchanged" => {
            let code_id = store.entropy().bytes();
            redeem(store, &NewGrant { code_id, ..grant.clone() }).await;
        }
        "the subject was revoked" => store.revoke_subject("alice", None).await.unwrap(),
        "the subject was revoked at the client" => {
            store.revoke_subject("alice", Some(&client.id)).await.unwrap();
        }
        "the subject was revoked after the flow started" => {
            store.clock().advance(minutes(5));
            store.revoke_subject("alice", None).await.unwrap();
            store.clock().advance(minutes(5));
        }
        "the session was revoked" => store.revoke_session(grant.session_id.unwrap()).await.unwrap(),
        "the session was revoked before the flow started" => {
            store.revoke_session(grant.session_id.unwrap()).await.unwrap();
            return later();
        }
        "the client was deleted" => {
            store.delete_client(&client.id, client.manager.as_ref().unwrap()).await.unwrap();
        }
        "the client was created again" => {
            store.delete_client(&client.id, client.manager.as_ref().unwrap()).await.unwrap();
            create_client(store, client.id.as_str()).await;
        }
        "all tokens of the client were revoked" => {
            sql(database, "UPDATE clients SET epoch = epoch + 1").await;
        }
        "the subject was revoked before the flow started" => {
            store.revoke_subject("alice", None).await.unwrap();
            store.revoke_subject("alice", Some(&client.id)).await.unwrap();
            return later();
        }
        "another subject was revoked" => {
            for other in ["alic", "alicee", "orders alice", "", "client:orders alice"] {
                store.revoke_subject(other, None).await.unwrap();
                store.revoke_subject(other, Some(&client.id)).await.unwrap();
            }
        }
        "the subject was revoked at another client" => {
            store.revoke_subject("alice", Some(&common::client_id("order"))).await.unwrap();
        }
        "another session was revoked" => {
            store.revoke_session(SessionId::new(store.entropy())).await.unwrap();
        }
        _ => panic!("{what}"),
    }
    grant
}

#[tokio::test]
async fn what_happens_before_the_exchange_decides_and_a_refusal_touches_nothing() {
    for database in databases().await {
        for (what, expected) in HAPPENINGS {
            let store = database.open(clock()).await;
            for table in ["grants", "revocations", "clients"] {
                sql(&database, format!("DELETE FROM {table}")).await;
            }
            let (client, _) = create_client(&store, "orders").await;
            let grant = happen(what, &store, &database, &client).await;
            let before = rows(&database).await;
            assert_eq!(redeem(&store, &grant).await, expected, "{what}");
            let untouched = rows(&database).await == before;
            assert_eq!(untouched, expected == Redemption::Refused, "{what}");
            store.close().await;
        }
    }
}

#[tokio::test]
async fn a_flow_without_a_session_is_hit_by_its_subject_only() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        let grant = NewGrant { session_id: None, ..new_grant(&store, &client, "alice") };
        store.revoke_session(SessionId::new(store.entropy())).await.unwrap();
        assert_eq!(redeem(&store, &grant).await, Redemption::Redeemed);
        store.revoke_subject("alice", Some(&client.id)).await.unwrap();
        assert!(state(&store, &grant).await.revoked);
    }
}

#[tokio::test]
async fn a_flow_that_took_longer_than_revocations_are_kept_for_is_refused_unasked() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        let grant = new_grant(&store, &client, "alice");
        store.clock().advance(MAX_FLOW_AGE);
        let in_time = NewGrant { id: GrantId::new(store.clock().now(), store.entropy()), ..grant.clone() };
        assert_eq!(redeem(&store, &in_time).await, Redemption::Redeemed);
        store.clock().advance(minutes(1));
        let (done, statements) = costing(&store, store.redeem_code(&grant)).await;
        assert_eq!((done.unwrap(), statements), (Redemption::Refused, 0));
    }
}

#[tokio::test]
async fn a_grant_is_revoked_before_and_after_its_code_is_exchanged() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        let (early, late) = (new_grant(&store, &client, "alice"), new_grant(&store, &client, "alice"));
        redeem(&store, &late).await;
        for grant in [&early, &late] {
            for _ in 0..2 {
                let revoke = store.revoke_grant(grant.id, &grant.client_id, grant.expires_at);
                let (done, statements) = costing(&store, revoke).await;
                done.unwrap();
                assert_eq!(statements, 1);
                assert!(state(&store, grant).await.revoked);
                store.clock().advance(minutes(1));
            }
            assert_eq!(redeem(&store, grant).await, Redemption::Refused);
        }
        let tombstone = state(&store, &early).await;
        assert_eq!((tombstone.subject.as_str(), tombstone.content.len()), ("", 0));
        assert_eq!(state(&store, &late).await.content, late.content);

        // A tombstone is kept for as long as the longest that anybody knows of.
        let kept = async || number(&database, "SELECT MIN(expires_at) FROM grants").await;
        assert_eq!(kept().await, early.expires_at.as_second());
        for grant in [&early, &late] {
            for ahead in [hours(30), hours(1)] {
                store.revoke_grant(grant.id, &grant.client_id, grant.started_at + ahead).await.unwrap();
            }
        }
        assert_eq!(kept().await, (early.started_at + hours(30)).as_second());
    }
}

#[tokio::test]
async fn a_grant_is_told_revoked_from_the_moment_that_anything_hits_it() {
    for database in databases().await {
        let (a, b) = (database.open(clock()).await, database.open(clock()).await);
        let (client, _) = create_client(&a, "orders").await;
        for hit in ["grant", "token", "subject", "subject at the client", "session", "epoch", "client"] {
            let client = common::read(&a, client.id.as_str()).await;
            let (grant, other) = (new_grant(&a, &client, hit), new_grant(&a, &client, "somebody"));
            let token = TokenId(a.entropy().bytes());
            redeem(&a, &grant).await;
            redeem(&a, &other).await;
            let dead = async |grant: &NewGrant| match b.grant_state(grant.id, token).await.unwrap() {
                None => true,
                Some(state) => state.revoked || state.epoch != state.grant_epoch,
            };
            assert!(!dead(&grant).await && !dead(&other).await);
            match hit {
                "grant" => a.revoke_grant(grant.id, &client.id, grant.expires_at).await.unwrap(),
                "token" => a.revoke_token(token, grant.expires_at).await.unwrap(),
                "subject" => a.revoke_subject(hit, None).await.unwrap(),
                "subject at the client" => a.revoke_subject(hit, Some(&client.id)).await.unwrap(),
                "session" => a.revoke_session(grant.session_id.unwrap()).await.unwrap(),
                "epoch" => drop(sql(&database, "UPDATE clients SET epoch = epoch + 1").await),
                _ => assert!(a.delete_client(&client.id, client.manager.as_ref().unwrap()).await.unwrap()),
            }
            assert!(dead(&grant).await, "{hit}");
            assert_eq!(dead(&other).await, ["token", "epoch", "client"].contains(&hit), "{hit}");
            let by_another_token = b.grant_state(grant.id, TOKEN).await.unwrap();
            assert_eq!(
                by_another_token.is_some_and(|state| !state.revoked),
                ["token", "epoch"].contains(&hit)
            );
        }
    }
}

#[tokio::test]
async fn tokens_of_a_client_that_was_created_again_under_the_id_do_not_come_back() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        let grant = new_grant(&store, &client, "alice");
        redeem(&store, &grant).await;
        store.delete_client(&client.id, client.manager.as_ref().unwrap()).await.unwrap();
        let (again, _) = create_client(&store, "orders").await;
        let state = state(&store, &grant).await;
        assert_eq!((state.incarnation, state.grant_incarnation), (again.incarnation, client.incarnation));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_two_hundred_exchanges_of_one_code_on_three_servers_one_succeeds_and_the_grant_is_dead() {
    let database = TestDatabase::postgres().await;
    let clock = clock();
    let stores =
        [database.open(clock.clone()).await, database.open(clock.clone()).await, database.open(clock).await];
    let (client, _) = create_client(&stores[0], "orders").await;
    let grant = new_grant(&stores[0], &client, "alice");
    let exchanges: Vec<_> = (0..200)
        .map(|index| {
            let store = stores[index % 3].clone();
            let grant = by_another(&store, &grant);
            tokio::spawn(async move { store.redeem_code(&grant).await.unwrap() })
        })
        .collect();
    let mut outcomes = Vec::new();
    for exchange in exchanges {
        outcomes.push(exchange.await.unwrap());
    }
    let count = |outcome| outcomes.iter().filter(|is| **is == outcome).count();
    assert_eq!(count(Redemption::Redeemed), 1);
    assert_eq!(count(Redemption::Reused), 1, "the first reuse revokes, and the others find it so");
    assert_eq!(count(Redemption::Refused), 198);
    assert!(state(&stores[2], &grant).await.revoked);
}

//! Revocations by subject and by session, against what is under way, and how they are forgotten.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::grants::{new_grant, rotation, state};
use common::{clock, create_client, databases, hours, minutes, number, sql};
use harness::TestDatabase;
use store::{
    GrantState, MAX_FLOW_AGE, NewGrant, NewLogin, PurgeWalk, Redemption, RefreshOutcome, Store, StoredClient,
};

/// Purges until nothing is left to do.
async fn purge(store: &Store) {
    let mut walk = PurgeWalk::default();
    while store.purge(&mut walk).await.unwrap() {}
}

/// How many rows a table has, or those of it that fit.
async fn count(database: &TestDatabase, of: &str) -> i64 {
    number(database, format!("SELECT COUNT(*) FROM {of}")).await
}

#[tokio::test]
async fn a_revocation_is_one_statement_and_one_row_however_often_it_is_said() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        let session = new_grant(&store, &client, "alice").session_id.unwrap();
        for _ in 0..3 {
            let before = store.statements();
            store.revoke_subject("alice", None).await.unwrap();
            store.revoke_subject("alice", Some(&client.id)).await.unwrap();
            store.revoke_session(session).await.unwrap();
            assert_eq!(store.statements() - before, 3);
            store.clock().advance(minutes(1));
        }
        assert_eq!(count(&database, "revocations").await, 3);
    }
}

#[tokio::test]
async fn a_server_whose_clock_is_behind_takes_nothing_back() {
    for database in databases().await {
        let clock = clock();
        let (store, late) =
            (database.open(clock.clone()).await, database.open(clock.skewed(minutes(-4))).await);
        let (client, _) = create_client(&store, "orders").await;
        let grant = new_grant(&store, &client, "alice");
        store.redeem_code(&grant).await.unwrap();
        store.revoke_subject("alice", None).await.unwrap();
        late.revoke_subject("alice", None).await.unwrap();
        assert!(state(&store, &grant).await.revoked);
        store.clock().advance(minutes(1));
        let next = new_grant(&store, &client, "alice");
        assert_eq!(store.redeem_code(&next).await.unwrap(), Redemption::Redeemed);
    }
}

#[tokio::test]
async fn a_revocation_is_forgotten_only_when_what_it_hits_is_marked_itself() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        let (other_client, _) = create_client(&store, "shop").await;
        let long = |subject: &str, client: &StoredClient| NewGrant {
            expires_at: store.clock().now() + hours(1000),
            ..new_grant(&store, client, subject)
        };
        let mut hit = vec![long("alice", &client), long("alice", &other_client), long("bob", &client)];
        hit.push(NewGrant { session_id: hit[2].session_id, ..long("carol", &client) });
        let spared = [long("bob", &other_client), long("dave", &client)];
        for grant in hit.iter().chain(&spared) {
            assert_eq!(store.redeem_code(grant).await.unwrap(), Redemption::Redeemed);
        }
        store.revoke_subject("alice", None).await.unwrap();
        store.revoke_subject("bob", Some(&client.id)).await.unwrap();
        store.revoke_session(hit[2].session_id.unwrap()).await.unwrap();
        store.clock().advance(minutes(1));
        let later = long("alice", &client);
        store.redeem_code(&later).await.unwrap();

        store.clock().advance(MAX_FLOW_AGE);
        purge(&store).await;
        assert_eq!(count(&database, "revocations").await, 3, "codes from before may be under way");
        assert_eq!(count(&database, "grants WHERE revoked_at IS NOT NULL").await, 0);
        store.clock().advance(hours(2));
        purge(&store).await;
        assert_eq!(count(&database, "revocations").await, 0);
        assert_eq!(count(&database, "grants").await, 7);
        for grant in &hit {
            assert!(state(&store, grant).await.revoked, "{}", grant.subject);
        }
        for grant in spared.iter().chain([&later]) {
            assert!(!state(&store, grant).await.revoked, "{}", grant.subject);
        }
    }
}

#[tokio::test]
async fn a_revocation_that_hits_more_than_one_bite_is_forgotten_after_the_last() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        let grant =
            NewGrant { expires_at: store.clock().now() + hours(1000), ..new_grant(&store, &client, "alice") };
        store.redeem_code(&grant).await.unwrap();
        let copy = "INSERT INTO grants (id, client_id, incarnation, epoch, subject, started_at, created_at, \
                    generation, expires_at) SELECT CAST(CAST(1000000000000000 + i AS TEXT) AS BYTEA), client_id, incarnation, epoch, \
                    subject, started_at, created_at, 0, expires_at FROM grants, n WHERE subject = 'alice'";
        let copy =
            if database.url.starts_with("sqlite") { copy.replace("BYTEA", "BLOB") } else { copy.into() };
        let numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) ";
        sql(&database, format!("{numbers}{copy}")).await;
        store.revoke_subject("alice", None).await.unwrap();
        store.clock().advance(hours(26));

        let mut walk = PurgeWalk::default();
        let marked = async || count(&database, "grants WHERE revoked_at IS NOT NULL").await;
        assert!(store.purge(&mut walk).await.unwrap(), "there is more");
        assert_eq!((marked().await, count(&database, "revocations").await), (1000, 1));
        while store.purge(&mut walk).await.unwrap() {}
        assert_eq!((marked().await, count(&database, "revocations").await), (1501, 0));
    }
}

#[tokio::test]
async fn the_login_of_a_revoked_session_is_gone_when_the_revocation_is() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        let id = new_grant(&store, &client, "alice").session_id.unwrap();
        let expires_at = store.clock().now() + hours(1000);
        let login = NewLogin {
            id,
            subject: "alice".into(),
            content: vec![1],
            started_at: store.clock().now(),
            expires_at,
            identity_provider_session: None,
        };
        store.revoke_session(id).await.unwrap();
        store.remember_login(&login).await.unwrap();
        store.clock().advance(hours(26));
        purge(&store).await;
        assert_eq!(count(&database, "revocations").await, 0);
        assert_eq!(store.session_and_consent(id, &client.id, client.incarnation).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_revocation_that_is_said_again_before_it_is_forgotten_stays() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        store.revoke_subject("alice", None).await.unwrap();
        store.clock().advance(hours(20));
        let grant = new_grant(&store, &client, "alice");
        store.redeem_code(&grant).await.unwrap();
        store.revoke_subject("alice", None).await.unwrap();
        store.clock().advance(hours(10));
        purge(&store).await;
        assert_eq!(count(&database, "revocations").await, 1);
        assert!(state(&store, &grant).await.revoked);
    }
}

#[tokio::test]
async fn a_revocation_that_is_said_again_counts_though_the_first_was_to_be_kept_for_longer() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        store.revoke_subject("alice", None).await.unwrap();
        // As where something had been imported by then.
        sql(&database, "UPDATE revocations SET expires_at = expires_at + 2592000").await;
        let kept_until = number(&database, "SELECT expires_at FROM revocations").await;
        store.clock().advance(hours(1));
        let grant = new_grant(&store, &client, "alice");
        store.redeem_code(&grant).await.unwrap();
        store.clock().advance(hours(1));
        store.revoke_subject("alice", None).await.unwrap();
        assert!(state(&store, &grant).await.revoked);
        assert_eq!(number(&database, "SELECT expires_at FROM revocations").await, kept_until);
    }
}

/// How many ways there are to revoke.
const KINDS: usize = 6;

/// Something is revoked while codes are exchanged and tokens refreshed; which one, by turns.
async fn revoke(store: &Store, grant: &NewGrant, turn: usize) {
    match turn % KINDS {
        0 => store.revoke_subject(&grant.subject, None).await,
        1 => store.revoke_subject(&grant.subject, Some(&grant.client_id)).await,
        2 => store.revoke_session(grant.session_id.unwrap()).await,
        3 => store.revoke_grant(grant.id, &grant.client_id, grant.expires_at).await,
        4 => store.revoke_consent(grant.id).await,
        _ => store.revoke_client_tokens(&grant.client_id).await.map(|known| assert!(known)),
    }
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_race_of_a_revocation_with_an_exchange_and_refreshes_leaves_a_live_grant() {
    for database in databases().await {
        let clock = clock();
        let (a, b) = (database.open(clock.clone()).await, database.open(clock).await);
        let mut grants = Vec::new();
        let (mut exchanged, mut refused, mut refreshed) = (0, 0, 0);
        for turn in 0..1000 {
            let long = a.clock().now() + hours(1000);
            // Each has a client of its own: one of the revocations ends all that a client was given.
            let (client, _) = create_client(&a, &format!("client-{turn}")).await;
            let grant = NewGrant { expires_at: long, ..new_grant(&a, &client, &format!("person {turn}")) };
            let early = (turn / KINDS).is_multiple_of(2);
            if early {
                a.redeem_code(&grant).await.unwrap();
            }
            let flow = {
                let (a, grant) = (a.clone(), grant.clone());
                tokio::spawn(async move {
                    let redeemed = a.redeem_code(&grant).await.unwrap();
                    let rotation = rotation(&a, &grant, 0);
                    (redeemed, a.rotate_refresh_token(&rotation).await.unwrap())
                })
            };
            let revocation = {
                let (b, grant) = (b.clone(), grant.clone());
                tokio::spawn(async move {
                    // By turns a little later.
                    for _ in 0..turn % 50 {
                        tokio::task::yield_now().await;
                    }
                    if turn % 3 == 0 {
                        b.ping().await.unwrap();
                    }
                    revoke(&b, &grant, turn).await;
                })
            };
            let (redeemed, rotated) = flow.await.unwrap();
            revocation.await.unwrap();
            match redeemed {
                Redemption::Redeemed => exchanged += 1,
                Redemption::Refused => refused += 1,
                Redemption::Reused => panic!("it was one operation"),
            }
            refreshed += usize::from(matches!(rotated, RefreshOutcome::Rotated(_)));
            let after = b.rotate_refresh_token(&rotation(&b, &grant, 1)).await.unwrap();
            assert_eq!(after, RefreshOutcome::Refused, "turn {turn}");
            let known = b.grant_state(grant.id, common::grants::TOKEN).await.unwrap();
            let is_dead = |state: GrantState| state.revoked || state.epoch != state.grant_epoch;
            assert!(known.is_none_or(is_dead), "turn {turn}");
            grants.push(grant);
        }
        assert!(exchanged > 0 && refused > 0 && refreshed > 0, "{exchanged} {refused} {refreshed}");

        // Nor does any come back when the revocations are forgotten.
        a.clock().advance(hours(26));
        purge(&a).await;
        assert_eq!(count(&database, "revocations").await, 0);
        let alive =
            "grants g JOIN clients c ON c.id = g.client_id AND c.epoch = g.epoch WHERE revoked_at IS NULL";
        assert_eq!(count(&database, alive).await, 0);
        for grant in &grants {
            assert_eq!(b.redeem_code(grant).await.unwrap(), Redemption::Refused);
        }
    }
}

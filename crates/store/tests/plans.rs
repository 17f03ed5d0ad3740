//! How PostgreSQL executes what requests cost: by indexes alone, and refreshes within one page where it has room.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::grants::{TOKEN, by_another, new_device_authorization, new_grant, remember, rotation, word};
use common::{clock, create_client, hours, sql};
use futures::future::join_all;
use harness::{TestDatabase, eventually};
use oauth::assertion::SingleUse;
use oauth::imported_token::HydraTokenKind;
use oauth::{AssertionId, HydraToken, TokenId};
use sqlx::Row;
use store::{DeviceDecision, LogoutRecipient, NewGrant, Redemption, Store, StoredClient};

/// How often each statement is executed: the planner turns to a generic plan after a few times.
const TIMES: i64 = 30;

/// Fills every table with so many rows that reading one whole would cost more than any index.
async fn fill(database: &TestDatabase) {
    let n = "FROM generate_series(1, 5000) n(i)";
    let id = "decode(md5(CAST(i AS TEXT)), 'hex')";
    for fill in [
        format!(
            "INSERT INTO clients (id, incarnation, epoch, metadata, version, created_at, updated_at) \
                 SELECT 'client ' || i, i, 0, '{{}}', 1, 0, 0 {n}"
        ),
        format!(
            "INSERT INTO grants (id, client_id, incarnation, epoch, subject, session_id, code_id, operation, \
                 content, started_at, created_at, generation, expires_at) SELECT {id}, 'client ' || i, i, 0, \
                 'person ' || i % 1000, 'session ' || i, {id}, {id}, {id}, 0, 0, 0, 0 {n}"
        ),
        format!("INSERT INTO revocations (key, before, expires_at) SELECT 'subject:person ' || i, 0, i {n}"),
        format!("INSERT INTO revoked_tokens (id, expires_at) SELECT {id}, i {n}"),
        format!(
            "INSERT INTO login_sessions (id, subject, content, created_at, expires_at) \
                 SELECT 'session ' || i, 'person ' || i % 1000, {id}, 0, i {n}"
        ),
        format!(
            "INSERT INTO consents (subject, client_id, incarnation, consent_request_id, content, granted_at) \
                 SELECT 'person ' || i % 1000, 'client ' || i, i, {id}, {id}, 0 {n}"
        ),
        format!(
            "INSERT INTO logouts (key, client_id, incarnation, session_id, subject, ended_at, due_at, attempts, \
                 expires_at) SELECT 'session:session ' || i, 'client ' || i, i, md5(CAST(i AS TEXT)), \
                 'person ' || i % 1000, 0, 4000000000, 0, i {n}"
        ),
        format!("INSERT INTO parked (id, content, expires_at) SELECT {id}, {id}, i {n}"),
        format!("INSERT INTO imported (id, content, expires_at) SELECT {id}, {id}, i {n}"),
        format!("INSERT INTO used_assertions (id, expires_at) SELECT {id}, i {n}"),
        format!(
            "INSERT INTO trusted_issuers (id, identity, issuer, content, expires_at) \
                 SELECT {id}, {id}, 'issuer ' || i, {id}, i {n}"
        ),
        format!(
            "INSERT INTO device_authorizations (id, user_code, state, content, expires_at) \
                 SELECT {id}, {id}, 'pending', {id}, i {n}"
        ),
    ] {
        sql(database, fill).await;
    }
    sql(database, "ANALYZE").await;
}

/// Each statement that a request may cost, for one person.
async fn requests(store: &Store, client: &StoredClient, subject: &str) {
    let now = store.clock().now();
    let grant = new_grant(store, client, subject);
    let (id, expires_at) = (grant.session_id.unwrap(), now + hours(1));
    remember(store, &grant, expires_at, None).await;
    let (_, consent) = store.session_and_consent(id, &client.id, client.incarnation).await.unwrap().unwrap();
    assert!(consent.is_some());
    assert!(store.remembered_consent(subject, &client.id, client.incarnation).await.unwrap().is_some());
    assert_eq!(store.consent_sessions(subject, None, 10).await.unwrap().sessions.len(), 1);
    store.park(grant.code_id, vec![1], expires_at).await.unwrap();
    assert!(store.parked(grant.code_id).await.unwrap().is_some());

    let hybrid = new_grant(store, client, subject);
    assert!(store.issue_grant(&hybrid).await.unwrap());
    assert_eq!(store.redeem_code(&hybrid).await.unwrap(), Redemption::Redeemed);
    let asked = new_device_authorization(store, expires_at);
    assert!(store.begin_device_authorization(&asked).await.unwrap());
    assert!(store.device_request(asked.user_code).await.unwrap().is_some());
    assert!(store.accept_user_code(asked.user_code, asked.id).await.unwrap().is_some());
    assert!(store.grant_device(asked.id, vec![1]).await.unwrap());
    store.deny_device(asked.id).await.unwrap();
    assert_eq!(store.device_decision(asked.id).await.unwrap(), Some(DeviceDecision::Granted(vec![1])));
    assert!(!store.reject_user_code(asked.user_code).await.unwrap());
    let of_device = new_grant(store, client, subject);
    assert!(store.redeem_device(&of_device).await.unwrap());

    assert_eq!(store.redeem_code(&grant).await.unwrap(), Redemption::Redeemed);
    let stolen = new_grant(store, client, subject);
    assert_eq!(store.redeem_code(&stolen).await.unwrap(), Redemption::Redeemed);
    assert_eq!(store.redeem_code(&by_another(store, &stolen)).await.unwrap(), Redemption::Reused);
    for (generation, expected) in [(0, "rotated"), (1, "rotated"), (1, "reused")] {
        let outcome = store.rotate_refresh_token(&rotation(store, &grant, generation)).await.unwrap();
        assert_eq!(word(&outcome), expected);
        assert!(store.grant_state(grant.id, TOKEN).await.unwrap().is_some());
    }
    let used = SingleUse { id: AssertionId(grant.code_id), expires_at };
    assert!(store.use_assertion(used).await.unwrap());
    assert!(store.trusted_issuers_named([[1; 16], [2; 16]]).await.unwrap().is_empty());
    let of_one = store.trusted_issuers_of("issuer 1", None, 100).await.unwrap();
    assert!(of_one.issuers.is_empty(), "nothing there opens");
    let own = TokenId(store.entropy().bytes());
    store.revoke_token(own, expires_at).await.unwrap();
    assert!(store.token_state(&client.id, own).await.unwrap().unwrap().revoked);
    let hydras = format!("ory_rt_{0}.{0}", "A".repeat(43));
    let hydras = HydraToken::parse(HydraTokenKind::Refresh, &hydras).unwrap();
    assert!(store.imported_token(&hydras).await.unwrap().is_none());
    assert!(store.subject_token_state(&client.id, TOKEN, subject, now).await.unwrap().is_some());

    store.revoke_grant(grant.id, &client.id, expires_at).await.unwrap();
    store.revoke_subject(subject, None).await.unwrap();
    store.revoke_subject(subject, Some(&client.id)).await.unwrap();
    store.revoke_session(id).await.unwrap();
    store.forget_consents(subject, Some(&client.id)).await.unwrap();
    store.forget_consents(subject, None).await.unwrap();
    store.revoke_consent(grant.id).await.unwrap();
    store.forget_login(id).await.unwrap();
    store.end_login(id).await.unwrap();
    store.end_unremembered_login(id, &client.id).await.unwrap();
    store.end_logins_of(subject).await.unwrap();
    let busy = [LogoutRecipient::Client(client.id.clone())];
    for due in store.claim_logouts(4, &busy).await.unwrap() {
        store.postpone_logout(&due, 1, now).await.unwrap();
        store.settle_logout(&due).await.unwrap();
    }
}

/// The same statements with many calls in each.
async fn requests_together(store: &Store, client: &StoredClient) {
    let grants: Vec<_> =
        (0..100).map(|index| new_grant(store, client, &format!("one of many {index}"))).collect();
    for grant in &grants {
        assert_eq!(store.redeem_code(grant).await.unwrap(), Redemption::Redeemed);
    }
    let rotations: Vec<_> = grants.iter().map(|grant| rotation(store, grant, 0)).collect();
    let tokens: Vec<_> = (0..100).map(|index| TokenId([index; 16])).collect();
    for _ in 0..TIMES {
        join_all(rotations.iter().map(|rotation| store.rotate_refresh_token(rotation))).await;
        join_all(grants.iter().zip(&tokens).map(|(grant, token)| store.grant_state(grant.id, *token))).await;
        join_all(tokens.iter().map(|token| store.token_state(&client.id, *token))).await;
    }
}

/// Of each table: its name, how often it was read whole, how many of its index entries were read.
async fn reads(database: &TestDatabase) -> Vec<(String, i64, i64)> {
    let select = "SELECT CAST(t.relname AS TEXT), t.seq_scan, CAST(SUM(i.idx_tup_read) AS BIGINT) \
                  FROM pg_stat_user_tables t JOIN pg_stat_user_indexes i USING (relid) \
                  WHERE t.relname IN ('grants', 'clients', 'revocations', 'revoked_tokens', 'login_sessions', \
                  'consents', 'parked', 'used_assertions', 'trusted_issuers', 'logouts', 'imported', \
                  'device_authorizations') GROUP BY 1, 2 ORDER BY 1";
    sql(database, select).await.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

/// Closes a store and waits until its connections have told their statistics, which they do at their end.
async fn settled(store: Store, database: &TestDatabase) {
    store.close().await;
    drop(store);
    let others = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
                  AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    eventually("all connections are closed", async || common::number(database, others).await == 0).await;
}

#[tokio::test]
async fn no_request_reads_a_table_but_by_an_index() {
    let database = TestDatabase::postgres().await;
    let store = database.open(clock()).await;
    let (client, _) = create_client(&store, "orders").await;
    fill(&database).await;
    settled(store, &database).await;
    let before = reads(&database).await;
    assert_eq!(before.len(), 12);

    let options = store::Options { listen_url: None, ..database.options_with(1) };
    let store = common::try_open(options).await.unwrap();
    for index in 0..TIMES {
        requests(&store, &client, &format!("somebody {index}")).await;
    }
    settled(store, &database).await;
    for (before, after) in before.into_iter().zip(reads(&database).await) {
        assert_eq!(after.1, before.1, "{} was read whole", after.0);
        let entries = (after.2 - before.2) / TIMES;
        assert!(entries <= 40, "{}: {entries} entries each time", after.0);
    }
}

#[tokio::test]
async fn requests_that_share_statements_read_no_large_table_but_by_an_index() {
    let database = TestDatabase::postgres().await;
    let store = database.open(clock()).await;
    let (client, _) = create_client(&store, "orders").await;
    fill(&database).await;
    settled(store, &database).await;
    let before = reads(&database).await;

    let store = database.open(clock()).await;
    requests_together(&store, &client).await;
    settled(store, &database).await;
    for (before, after) in before.into_iter().zip(reads(&database).await) {
        // Where clients are few, reading them all costs less than looking up each.
        if after.0 != "clients" {
            assert_eq!(after.1, before.1, "{} was read whole", after.0);
        }
    }
}

#[tokio::test]
async fn most_refreshes_touch_no_index_even_in_a_burst() {
    let database = TestDatabase::postgres().await;
    let store = database.open(clock()).await;
    let (client, _) = create_client(&store, "orders").await;
    let mut grants = Vec::new();
    for index in 0..300 {
        let content = vec![7; 400];
        let grant = NewGrant { content, ..new_grant(&store, &client, &format!("person {index}")) };
        store.redeem_code(&grant).await.unwrap();
        grants.push(grant);
    }
    for generation in 0..10 {
        for grant in &grants {
            let outcome = store.rotate_refresh_token(&rotation(&store, grant, generation)).await.unwrap();
            assert_eq!(word(&outcome), "rotated");
        }
    }
    settled(store, &database).await;
    let row =
        &sql(&database, "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'grants'")
            .await[0];
    let (updated, hot): (i64, i64) = (row.get(0), row.get(1));
    assert_eq!(updated, 3000);
    // All of a page one after the other is the worst case: what was replaced just now cannot always be reclaimed yet,
    // the less the more transactions go on in the other databases of this server.
    assert!(hot * 100 >= updated * 70, "{hot} of {updated}");
}

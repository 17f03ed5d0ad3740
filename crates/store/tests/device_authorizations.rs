//! What devices ask for: each step one statement, each decision once.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::grants::{by_another, new_device_authorization, new_grant, state};
use common::{clock, costing, create_client, databases, minutes};
use futures::future::join_all;
use jiff::SignedDuration;
use oauth::GrantId;
use oauth::user_code::UserCodeHash;
use store::{DeviceDecision, NewDeviceAuthorization, NewGrant, Store};

const SECOND: SignedDuration = SignedDuration::from_secs(1);

async fn begun(store: &Store) -> NewDeviceAuthorization {
    let asked = new_device_authorization(store, store.clock().now() + minutes(10));
    assert!(store.begin_device_authorization(&asked).await.unwrap());
    asked
}

fn visit(byte: u8) -> GrantId {
    GrantId::from_bytes([byte; 16])
}

#[tokio::test]
async fn each_step_is_one_statement() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let asked = new_device_authorization(&store, store.clock().now() + minutes(10));
        let (id, code) = (asked.id, asked.user_code);
        let (done, statements) = costing(&store, store.begin_device_authorization(&asked)).await;
        assert_eq!((done.unwrap(), statements), (true, 1));
        let (decision, statements) = costing(&store, store.device_decision(id)).await;
        assert_eq!((decision.unwrap(), statements), (Some(DeviceDecision::Pending), 1));
        let (found, statements) = costing(&store, store.device_request(code)).await;
        let found = found.unwrap().unwrap();
        assert_eq!(
            (found.id, &found.content, found.expires_at, statements),
            (id, &asked.content, asked.expires_at, 1)
        );
        let (accepted, statements) = costing(&store, store.accept_user_code(code, visit(1))).await;
        assert_eq!((accepted.unwrap(), statements), (Some(found), 1));
        let (granted, statements) = costing(&store, store.grant_device(id, vec![0, 255])).await;
        assert_eq!((granted.unwrap(), statements), (true, 1));
        let decision = store.device_decision(id).await.unwrap();
        assert_eq!(decision, Some(DeviceDecision::Granted(vec![0, 255])));
        assert_eq!(store.device_decision(visit(9)).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_user_code_that_is_taken_is_not_given_to_another_device() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let first = begun(&store).await;
        let second = new_device_authorization(&store, first.expires_at);
        let same = NewDeviceAuthorization { user_code: first.user_code, ..second.clone() };
        assert!(!store.begin_device_authorization(&same).await.unwrap());
        assert_eq!(store.device_decision(same.id).await.unwrap(), None);
        assert!(store.begin_device_authorization(&second).await.unwrap());
    }
}

#[tokio::test]
async fn of_visits_that_enter_a_code_at_once_one_gets_it() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let asked = begun(&store).await;
        let entered = join_all((0..8).map(|byte| store.accept_user_code(asked.user_code, visit(byte)))).await;
        let won: Vec<_> =
            entered.into_iter().enumerate().filter(|(_, got)| got.as_ref().unwrap().is_some()).collect();
        let [(winner, _)] = &won[..] else { panic!("{won:?}") };
        let again = |byte: usize| store.accept_user_code(asked.user_code, visit(u8::try_from(byte).unwrap()));
        assert!(again(*winner).await.unwrap().is_some(), "an answer that was lost is given again");
        assert!(again(winner + 1).await.unwrap().is_none());
        assert!(store.device_request(asked.user_code).await.unwrap().is_none());
        assert!(!store.reject_user_code(asked.user_code).await.unwrap());
        store.grant_device(asked.id, vec![1]).await.unwrap();
        assert!(again(*winner).await.unwrap().is_none(), "somebody has decided");
    }
}

#[tokio::test]
async fn who_decides_first_decides() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let asked = begun(&store).await;
        assert!(!store.grant_device(asked.id, vec![1]).await.unwrap(), "no code was entered");
        store.deny_device(asked.id).await.unwrap();
        assert_eq!(store.device_decision(asked.id).await.unwrap(), Some(DeviceDecision::Pending));
        store.accept_user_code(asked.user_code, visit(1)).await.unwrap();
        assert!(store.grant_device(asked.id, vec![1]).await.unwrap());
        assert!(!store.grant_device(asked.id, vec![2]).await.unwrap());
        store.deny_device(asked.id).await.unwrap();
        assert_eq!(store.device_decision(asked.id).await.unwrap(), Some(DeviceDecision::Granted(vec![1])));

        let [denied, rejected] = [begun(&store).await, begun(&store).await];
        store.accept_user_code(denied.user_code, visit(1)).await.unwrap();
        store.deny_device(denied.id).await.unwrap();
        assert!(store.reject_user_code(rejected.user_code).await.unwrap());
        for asked in [denied, rejected] {
            assert_eq!(store.device_decision(asked.id).await.unwrap(), Some(DeviceDecision::Denied));
            assert!(store.accept_user_code(asked.user_code, visit(1)).await.unwrap().is_none());
            assert!(!store.grant_device(asked.id, vec![1]).await.unwrap());
        }
    }
}

#[tokio::test]
async fn nobody_decides_about_what_has_expired() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let [asked, entered] = [begun(&store).await, begun(&store).await];
        store.clock().advance(minutes(10) - SECOND);
        assert!(store.device_request(asked.user_code).await.unwrap().is_some());
        assert!(store.accept_user_code(entered.user_code, visit(1)).await.unwrap().is_some());
        store.clock().advance(SECOND);
        assert!(store.device_request(asked.user_code).await.unwrap().is_none());
        assert!(store.accept_user_code(asked.user_code, visit(1)).await.unwrap().is_none());
        assert!(store.accept_user_code(entered.user_code, visit(1)).await.unwrap().is_none());
        assert!(!store.reject_user_code(asked.user_code).await.unwrap());
        assert!(!store.grant_device(entered.id, vec![1]).await.unwrap());
        assert!(store.device_request(UserCodeHash([7; 32])).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn what_was_granted_is_redeemed_once_and_a_second_time_revokes_nothing() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "tv").await;
        let grant = new_grant(&store, &client, "alice");
        let others: Vec<NewGrant> = (0..8).map(|_| by_another(&store, &grant)).collect();
        let redeemed = join_all(others.iter().map(|grant| store.redeem_device(grant))).await;
        let won: Vec<_> = others.iter().zip(redeemed).filter(|(_, won)| *won.as_ref().unwrap()).collect();
        let [(winner, _)] = &won[..] else { panic!("{} won", won.len()) };
        let (again, statements) = costing(&store, store.redeem_device(winner)).await;
        assert_eq!((again.unwrap(), statements), (true, 1), "an answer that was lost is given again");
        assert!(!store.redeem_device(&by_another(&store, &grant)).await.unwrap());
        assert!(!state(&store, &grant).await.revoked);
        store.revoke_grant(grant.id, &client.id, grant.expires_at).await.unwrap();
        assert!(!store.redeem_device(winner).await.unwrap());
    }
}

#[tokio::test]
async fn a_revocation_since_the_device_asked_keeps_it_from_its_tokens() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "tv").await;
        let [by_subject, by_pair, by_session, by_grant] =
            ["alice", "bob", "carol", "dave"].map(|subject| new_grant(&store, &client, subject));
        store.clock().advance(SECOND);
        store.revoke_subject("alice", None).await.unwrap();
        store.revoke_subject("bob", Some(&client.id)).await.unwrap();
        store.revoke_session(by_session.session_id.unwrap()).await.unwrap();
        store.revoke_grant(by_grant.id, &client.id, by_grant.expires_at).await.unwrap();
        for grant in [by_subject, by_pair, by_session, by_grant] {
            assert!(!store.redeem_device(&grant).await.unwrap(), "{}", grant.subject);
        }
        store.clock().advance(SECOND);
        assert!(store.redeem_device(&new_grant(&store, &client, "alice")).await.unwrap());
    }
}

//! The ends of logins, and the clients that are told of them.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use std::collections::BTreeSet;

use common::grants::{new_grant, remember};
use common::{ahead, clock, costing, create_client, databases, hours, manager, new_client, number, read};
use jiff::SignedDuration;
use oauth::{LogoutUri, SessionId};
use store::{DueLogout, NewGrant, PurgeWalk, Redemption, Store, StoredClient, TOLD_FOR};

const BACK: &str = "https://app.example.com/back";

/// A client that is told in these ways.
async fn told(store: &Store, id: &str, back: bool, front: bool) -> StoredClient {
    let (mut new, _) = new_client(store, id);
    let uri = |is_told: bool| is_told.then(|| LogoutUri::parse(BACK).unwrap());
    new.metadata.backchannel_logout_uri = uri(back);
    new.metadata.frontchannel_logout_uri = uri(front);
    store.create_client(&new).await.unwrap();
    read(store, id).await
}

/// What somebody granted a client in a session.
async fn granted(store: &Store, client: &StoredClient, subject: &str, session: SessionId) -> NewGrant {
    let grant = NewGrant { session_id: Some(session), ..new_grant(store, client, subject) };
    assert_eq!(store.redeem_code(&grant).await.unwrap(), Redemption::Redeemed);
    grant
}

fn session(store: &Store) -> SessionId {
    SessionId::new(store.entropy())
}

async fn claimed(store: &Store) -> Vec<DueLogout> {
    let (due, statements) = costing(store, store.claim_logouts(10, &[])).await;
    assert_eq!(statements, 1);
    due.unwrap()
}

fn names(due: &[DueLogout]) -> Vec<(String, SessionId, String)> {
    let mut names: Vec<_> =
        due.iter().map(|due| (due.client_id.to_string(), due.session_id, due.subject.clone())).collect();
    names.sort_by_key(|(client, session, _)| (client.clone(), session.to_string()));
    names
}

#[tokio::test]
async fn one_statement_ends_a_login_and_says_who_is_to_be_told() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (mail, shop) = (told(&store, "mail", true, false).await, told(&store, "shop", false, true).await);
        let (both, (silent, _)) =
            (told(&store, "both", true, true).await, create_client(&store, "silent").await);
        let (id, other) = (session(&store), session(&store));
        for client in [&mail, &shop, &both, &both, &silent] {
            granted(&store, client, "alice", id).await;
        }
        let grant = granted(&store, &mail, "alice", other).await;
        remember(&store, &grant, store.clock().now() + hours(1), None).await;

        let (clients, statements) = costing(&store, store.end_login(id)).await;
        let clients: BTreeSet<_> = clients.unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(statements, 1);
        assert_eq!(clients, BTreeSet::from(["both", "mail", "shop"].map(str::to_owned)));
        assert!(store.login_session(other).await.unwrap().is_some(), "another login goes on");
        let due = claimed(&store).await;
        let alice = |client: &str| (client.to_owned(), id, "alice".to_owned());
        assert_eq!(names(&due), [alice("both"), alice("mail")], "the browser tells the third");
        assert!(due.iter().all(|due| due.attempts == 1 && ahead(&store, due.expires_at) == TOLD_FOR));
        assert_eq!(due.iter().find(|due| due.client_id == mail.id).unwrap().incarnation, mail.incarnation);
    }
}

#[tokio::test]
async fn all_logins_of_a_subject_end_and_each_is_told_once() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (mail, shop) = (told(&store, "mail", true, false).await, told(&store, "shop", true, false).await);
        let (one, two, bobs) = (session(&store), session(&store), session(&store));
        for (client, subject, id) in [
            (&mail, "alice", one),
            (&mail, "alice", one),
            (&shop, "alice", one),
            (&mail, "alice", two),
            (&mail, "bob", bobs),
        ] {
            let grant = granted(&store, client, subject, id).await;
            remember(&store, &grant, store.clock().now() + hours(1), None).await;
        }
        let (done, statements) = costing(&store, store.end_logins_of("alice")).await;
        done.unwrap();
        assert_eq!(statements, 1);
        for (id, is_left) in [(one, false), (two, false), (bobs, true)] {
            assert_eq!(store.login_session(id).await.unwrap().is_some(), is_left);
        }
        let due = claimed(&store).await;
        let told: BTreeSet<_> =
            due.iter().map(|due| (due.client_id.as_str(), due.session_id.to_string())).collect();
        let expected =
            [("mail", one), ("mail", two), ("shop", one)].map(|(client, id)| (client, id.to_string()));
        assert_eq!((told, due.len()), (BTreeSet::from(expected), 3));
    }
}

#[tokio::test]
async fn a_login_that_no_browser_remembers_is_told_once_to_its_client_and_others_are_not() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let mail = told(&store, "mail", true, false).await;
        let shop = told(&store, "shop", true, false).await;
        let (forgotten, remembered) = (session(&store), session(&store));
        granted(&store, &mail, "alice", forgotten).await;
        granted(&store, &shop, "alice", forgotten).await;
        let grant = granted(&store, &mail, "alice", remembered).await;
        remember(&store, &grant, store.clock().now() + hours(1), None).await;
        for id in [remembered, session(&store)] {
            store.end_unremembered_login(id, &mail.id).await.unwrap();
            assert!(claimed(&store).await.is_empty());
        }
        assert!(store.login_session(remembered).await.unwrap().is_some());
        for is_told in [true, false] {
            let (done, statements) = costing(&store, store.end_unremembered_login(forgotten, &mail.id)).await;
            done.unwrap();
            assert_eq!(statements, 1);
            let due = claimed(&store).await;
            assert_eq!(due.len(), usize::from(is_told), "{due:?}");
            assert!(due.iter().all(|due| due.client_id == mail.id));
        }
    }
}

#[tokio::test]
async fn a_login_that_another_one_replaced_is_no_logout() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let mail = told(&store, "mail", true, false).await;
        let grant = granted(&store, &mail, "alice", session(&store)).await;
        remember(&store, &grant, store.clock().now() + hours(1), None).await;
        store.forget_login(grant.session_id.unwrap()).await.unwrap();
        assert!(store.login_session(grant.session_id.unwrap()).await.unwrap().is_none());
        assert!(claimed(&store).await.is_empty());
    }
}

#[tokio::test]
async fn a_client_is_one_servers_at_a_time_and_comes_back_when_that_is_gone() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let mail = told(&store, "mail", true, false).await;
        granted(&store, &mail, "alice", session(&store)).await;
        store.end_logins_of("alice").await.unwrap();
        let first = claimed(&store).await.pop().unwrap();
        store.clock().advance(SignedDuration::from_secs(59));
        assert!(claimed(&store).await.is_empty(), "it is under way");
        store.clock().advance(SignedDuration::from_secs(1));
        let second = claimed(&store).await.pop().unwrap();
        assert_eq!(second.attempts, 2);
        // Whoever was late changes nothing any more.
        store.settle_logout(&first).await.unwrap();
        store.postpone_logout(&first, 1, store.clock().now()).await.unwrap();
        assert!(claimed(&store).await.is_empty());
        store.postpone_logout(&second, 2, store.clock().now() + hours(2)).await.unwrap();
        store.clock().advance(hours(2) - SignedDuration::from_secs(1));
        assert!(claimed(&store).await.is_empty());
        store.clock().advance(SignedDuration::from_secs(1));
        let third = claimed(&store).await.pop().unwrap();
        assert_eq!(third.attempts, 3);
        let (done, statements) = costing(&store, store.settle_logout(&third)).await;
        done.unwrap();
        assert_eq!(statements, 1);
        assert_eq!(number(&database, "SELECT COUNT(*) FROM logouts WHERE client_id <> ''").await, 0);
    }
}

#[tokio::test]
async fn servers_that_claim_at_once_never_get_the_same() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let mail = told(&store, "mail", true, false).await;
        for _ in 0..40 {
            granted(&store, &mail, "alice", session(&store)).await;
        }
        store.end_logins_of("alice").await.unwrap();
        let claims = (0..8).map(|_| async {
            let mut all = Vec::new();
            loop {
                match store.claim_logouts(3, &[]).await.unwrap() {
                    none if none.is_empty() => return all,
                    some => all.extend(some),
                }
            }
        });
        let all = futures::future::join_all(claims).await.concat();
        let sessions: BTreeSet<_> = all.iter().map(|due| due.session_id.to_string()).collect();
        assert_eq!((all.len(), sessions.len()), (40, 40));
    }
}

#[tokio::test]
async fn a_busy_client_and_one_that_is_gone_hold_up_nobody() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let mut clients = Vec::new();
        let id = session(&store);
        for name in ["slow", "gone", "quick"] {
            clients.push(told(&store, name, true, false).await);
            granted(&store, clients.last().unwrap(), "alice", id).await;
        }
        assert!(store.delete_client(&clients[1].id, manager(&clients[1])).await.unwrap());
        store.end_login(id).await.unwrap();
        let due = store.claim_logouts(10, &[clients[0].id.clone()]).await.unwrap();
        assert_eq!(due.iter().map(|due| due.client_id.as_str()).collect::<Vec<_>>(), ["quick"]);
        assert_eq!(claimed(&store).await.len(), 1, "the slow one waited");
    }
}

#[tokio::test]
async fn an_end_is_kept_for_a_day_and_its_login_goes_with_it() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let mail = told(&store, "mail", true, false).await;
        for subject in ["alice", "bob"] {
            let grant = granted(&store, &mail, subject, session(&store)).await;
            remember(&store, &grant, store.clock().now() + hours(100), None).await;
            match subject {
                "alice" => drop(store.end_login(grant.session_id.unwrap()).await.unwrap()),
                _ => store.end_logins_of(subject).await.unwrap(),
            }
        }
        store.clock().advance(hours(1));
        let later = granted(&store, &mail, "bob", session(&store)).await;
        remember(&store, &later, store.clock().now() + hours(100), None).await;
        store.clock().advance(hours(24));
        let count = async || {
            while store.purge(&mut PurgeWalk::default()).await.unwrap() {}
            let ends = number(&database, "SELECT COUNT(*) FROM logouts WHERE client_id = ''").await;
            (ends, number(&database, "SELECT COUNT(*) FROM login_sessions").await)
        };
        assert_eq!(count().await, (2, 3), "what is ended stays ended meanwhile");
        store.clock().advance(hours(1));
        assert_eq!(count().await, (0, 1));
        assert!(store.login_session(later.session_id.unwrap()).await.unwrap().is_some());
    }
}

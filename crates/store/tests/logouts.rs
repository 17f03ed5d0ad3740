//! The ends of logins, and the clients that are told of them.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use std::collections::BTreeSet;

use common::grants::{new_grant, new_login, remember};
use common::{ahead, clock, costing, create_client, databases, hours, manager, new_client, number, read};
use jiff::SignedDuration;
use oauth::{IdentityProviderSessionId, LogoutUri, SessionId};
use store::{
    DueLogout, LogoutNotice, LogoutRecipient, NewGrant, NewLogin, PurgeWalk, Redemption, Store, StoredClient,
    TOLD_FOR,
};

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
    let mut names: Vec<_> = due
        .iter()
        .map(|due| match &due.notice {
            LogoutNotice::Client { client_id, session_id, subject, .. } => {
                (client_id.to_string(), *session_id, subject.clone())
            }
            LogoutNotice::IdentityProvider(id) => panic!("no client is told, but of {id:?}"),
        })
        .collect();
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
        assert!(
            due.iter().any(|due| matches!(&due.notice, LogoutNotice::Client { client_id, incarnation, .. }
            if *client_id == mail.id && *incarnation == mail.incarnation))
        );
    }
}

/// Remembers a login of Alice that was made in this session at the identity provider, for an hour.
async fn made_in(store: &Store, client: &StoredClient, id: SessionId, provider: Option<&str>) {
    let grant = NewGrant { session_id: Some(id), ..new_grant(store, client, "alice") };
    let identity_provider_session =
        provider.map(|provider| IdentityProviderSessionId::parse(provider).unwrap());
    let login = NewLogin { identity_provider_session, ..new_login(store, &grant) };
    let (remembered, statements) = costing(store, store.remember_login(&login)).await;
    assert!(remembered.unwrap());
    assert_eq!(statements, 1);
}

#[tokio::test]
async fn the_identity_provider_is_told_once_of_the_end_of_a_login_that_is_remembered() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "app").await;
        let [ended, extended, replaced, expired, of_subject, without] =
            std::array::from_fn(|_| session(&store));
        for (id, provider) in [(ended, "a"), (extended, "b"), (replaced, "c"), (of_subject, "d")] {
            made_in(&store, &client, id, Some(provider)).await;
        }
        for (id, provider) in [(extended, None), (replaced, Some("new")), (without, None)] {
            made_in(&store, &client, id, provider).await;
        }
        for (id, told) in
            [(ended, Some("a")), (extended, Some("b")), (replaced, Some("new")), (without, None)]
        {
            // Once more is as good as once.
            for told in [told, None] {
                let (clients, statements) = costing(&store, store.end_login(id)).await;
                assert_eq!((clients.unwrap().len(), statements), (0, 1));
                let busy = store.claim_logouts(10, &[LogoutRecipient::IdentityProvider]).await.unwrap();
                assert!(busy.is_empty(), "it is passed over while it is slow");
                let due = claimed(&store).await;
                let expected = told
                    .map(|id| LogoutNotice::IdentityProvider(IdentityProviderSessionId::parse(id).unwrap()));
                assert_eq!(
                    due.iter().map(|due| due.notice.clone()).collect::<Vec<_>>(),
                    Vec::from_iter(expected)
                );
                for due in due {
                    assert_eq!(ahead(&store, due.expires_at), TOLD_FOR);
                    store.postpone_logout(&due, 1, store.clock().now()).await.unwrap();
                    let again = claimed(&store).await.pop().unwrap();
                    assert_eq!((again.attempts, &again.notice), (2, &due.notice));
                    store.settle_logout(&again).await.unwrap();
                }
            }
        }
        store.end_logins_of("alice").await.unwrap();
        store.end_login(of_subject).await.unwrap();
        assert!(claimed(&store).await.is_empty(), "it had ended with all of its subject's");
        store.clock().advance(SignedDuration::from_secs(1));
        made_in(&store, &client, expired, Some("e")).await;
        store.clock().advance(hours(1));
        store.end_login(expired).await.unwrap();
        assert!(claimed(&store).await.is_empty());
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
            names(&due).into_iter().map(|(client, id, _)| (client, id.to_string())).collect();
        let expected = [("mail", one), ("mail", two), ("shop", one)]
            .map(|(client, id)| (client.to_owned(), id.to_string()));
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
            assert!(names(&due).iter().all(|(client, ..)| client == "mail"));
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
        let sessions: BTreeSet<_> = names(&all).iter().map(|(_, id, _)| id.to_string()).collect();
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
        let busy = [LogoutRecipient::Client(clients[0].id.clone())];
        let due = store.claim_logouts(10, &busy).await.unwrap();
        assert_eq!(names(&due).iter().map(|(client, ..)| client.as_str()).collect::<Vec<_>>(), ["quick"]);
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

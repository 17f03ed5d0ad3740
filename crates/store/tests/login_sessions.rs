//! Remembered logins.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::{client_id, clock, costing, databases, hours, minutes, number};
use jiff::SignedDuration;
use oauth::{GrantId, Incarnation, SessionId};
use store::{NewConsent, NewLogin, Store, StoredConsent, StoredSession};

const CLIENT: Incarnation = Incarnation(7);

fn login(store: &Store, subject: &str) -> NewLogin {
    NewLogin {
        id: SessionId::new(store.entropy()),
        subject: subject.into(),
        content: format!("{subject}, sealed").into_bytes(),
        started_at: store.clock().now(),
        expires_at: store.clock().now() + hours(1),
        identity_provider_session: None,
    }
}

async fn remember(store: &Store, login: &NewLogin) {
    let (done, statements) = costing(store, store.remember_login(login)).await;
    assert!(done.unwrap(), "it was not ended");
    assert_eq!(statements, 1);
}

/// The session and the consent to `orders`, by one statement.
async fn both(store: &Store, id: SessionId) -> Option<(StoredSession, Option<StoredConsent>)> {
    let orders = client_id("orders");
    let (found, statements) = costing(store, store.session_and_consent(id, &orders, CLIENT)).await;
    assert_eq!(statements, 1);
    found.unwrap()
}

#[tokio::test]
async fn a_login_is_remembered_until_it_expires() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (alice, bob) = (login(&store, "alice"), login(&store, "bob"));
        remember(&store, &alice).await;
        remember(&store, &bob).await;
        let (session, consent) = both(&store, alice.id).await.unwrap();
        let expected = StoredSession {
            subject: "alice".into(),
            content: b"alice, sealed".to_vec(),
            created_at: store.clock().now(),
            expires_at: alice.expires_at,
        };
        assert_eq!((session, consent), (expected, None));
        assert_eq!(both(&store, SessionId::new(store.entropy())).await, None);
        store.clock().advance(hours(1) - SignedDuration::from_secs(1));
        assert!(both(&store, alice.id).await.is_some());
        store.clock().advance(SignedDuration::from_secs(1));
        assert_eq!(both(&store, alice.id).await, None);
    }
}

#[tokio::test]
async fn another_login_in_the_session_overwrites_it() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let began = store.clock().now();
        let first = login(&store, "alice");
        remember(&store, &first).await;
        store.clock().advance(minutes(1));
        let second = NewLogin { id: first.id, ..login(&store, "bob") };
        remember(&store, &second).await;
        let (session, _) = both(&store, first.id).await.unwrap();
        assert_eq!((session.subject.as_str(), session.created_at), ("bob", began));
        assert_eq!((session.content, session.expires_at), (second.content, second.expires_at));
        assert_eq!(number(&database, "SELECT COUNT(*) FROM login_sessions").await, 1);
    }
}

#[tokio::test]
async fn a_login_is_forgotten_by_its_id_or_with_all_of_its_subject() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let [one, two, three, bob] = ["alice", "alice", "alice", "bob"].map(|subject| login(&store, subject));
        for login in [&one, &two, &three, &bob] {
            remember(&store, login).await;
        }
        let (done, statements) = costing(&store, store.forget_login(one.id)).await;
        done.unwrap();
        assert_eq!(statements, 1);
        assert!(both(&store, one.id).await.is_none() && both(&store, two.id).await.is_some());
        let (done, statements) = costing(&store, store.end_logins_of("alice")).await;
        done.unwrap();
        assert_eq!(statements, 1);
        assert!(both(&store, two.id).await.is_none() && both(&store, three.id).await.is_none());
        assert!(both(&store, bob.id).await.is_some());
        store.forget_login(one.id).await.unwrap();
        store.end_logins_of("nobody").await.unwrap();
    }
}

#[tokio::test]
async fn a_login_that_was_ended_does_not_come_back() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let [one, two] = [login(&store, "alice"), login(&store, "alice")];
        remember(&store, &one).await;
        store.forget_login(one.id).await.unwrap();
        assert!(!store.remember_login(&one).await.unwrap(), "by its id");
        store.end_logins_of("alice").await.unwrap();
        assert!(!store.remember_login(&two).await.unwrap(), "of a flow that was under way");
        assert!(both(&store, one.id).await.is_none() && both(&store, two.id).await.is_none());
        store.clock().advance(minutes(1));
        remember(&store, &login(&store, "alice")).await;
        remember(&store, &login(&store, "bob")).await;
    }
}

#[tokio::test]
async fn a_revoked_session_is_over_whatever_is_remembered_later() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (alice, bob) = (login(&store, "alice"), login(&store, "alice"));
        remember(&store, &alice).await;
        remember(&store, &bob).await;
        store.revoke_session(alice.id).await.unwrap();
        assert_eq!(both(&store, alice.id).await, None);
        store.clock().advance(minutes(1));
        assert!(!store.remember_login(&alice).await.unwrap());
        assert_eq!(both(&store, alice.id).await, None, "a login that was under way does not bring it back");
        store.revoke_subject("alice", None).await.unwrap();
        assert!(both(&store, bob.id).await.is_some(), "revoking what was granted logs nobody out");
    }
}

#[tokio::test]
async fn the_consent_comes_with_the_session_where_it_fits_client_and_time() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let now = store.clock().now();
        let alice = login(&store, "alice");
        remember(&store, &alice).await;
        let consent = |client: &str| StoredConsent {
            client_id: client_id(client),
            incarnation: CLIENT,
            consent_request_id: GrantId::new(now, store.entropy()),
            content: b"sealed".to_vec(),
            granted_at: now,
            expires_at: Some(now + minutes(30)),
        };
        let give = async |subject: &str, consent: StoredConsent| {
            store
                .remember_consent(&NewConsent {
                    subject: subject.into(),
                    started_at: consent.granted_at,
                    consent,
                })
                .await
                .unwrap();
        };
        give("alice", consent("shop")).await;
        give("bob", consent("orders")).await;
        assert_eq!(both(&store, alice.id).await.unwrap().1, None, "another client's, and another subject's");
        give("alice", StoredConsent { incarnation: Incarnation(6), ..consent("orders") }).await;
        assert_eq!(both(&store, alice.id).await.unwrap().1, None, "it was created again since");
        let fits = consent("orders");
        give("alice", fits.clone()).await;
        assert_eq!(both(&store, alice.id).await.unwrap().1, Some(fits.clone()));
        store.clock().advance(minutes(30));
        assert_eq!(both(&store, alice.id).await.unwrap().1, None, "it has expired");
        let for_ever = StoredConsent { expires_at: None, ..fits };
        give("alice", for_ever.clone()).await;
        assert_eq!(both(&store, alice.id).await.unwrap().1, Some(for_ever));
    }
}

//! Remembered consents.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::{clock, costing, create_client, databases, hours, minutes};
use oauth::{ClientId, GrantId, Incarnation};
use store::{NewConsent, Store, StoredClient, StoredConsent};

/// A consent that is given to a client now, for ever.
fn consent(store: &Store, client: &StoredClient) -> StoredConsent {
    let now = store.clock().now();
    StoredConsent {
        client_id: client.id.clone(),
        incarnation: client.incarnation,
        consent_request_id: GrantId::new(now, store.entropy()),
        content: store.entropy().bytes::<32>().to_vec(),
        granted_at: now,
        expires_at: None,
    }
}

async fn remember(store: &Store, subject: &str, consent: &StoredConsent) {
    let new =
        NewConsent { subject: subject.into(), started_at: consent.granted_at, consent: consent.clone() };
    let (done, statements) = costing(store, store.remember_consent(&new)).await;
    done.unwrap();
    assert_eq!(statements, 1);
}

async fn remembered(store: &Store, subject: &str, client: &StoredClient) -> Option<StoredConsent> {
    let call = store.remembered_consent(subject, &client.id, client.incarnation);
    let (found, statements) = costing(store, call).await;
    assert_eq!(statements, 1);
    found.unwrap()
}

async fn forget(store: &Store, subject: &str, client: Option<&ClientId>) {
    let (done, statements) = costing(store, store.forget_consents(subject, client)).await;
    done.unwrap();
    assert_eq!(statements, 1);
}

#[tokio::test]
async fn a_consent_is_remembered_for_its_subject_client_and_time() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (orders, _) = create_client(&store, "orders").await;
        let (shop, _) = create_client(&store, "shop").await;
        let for_an_hour =
            StoredConsent { expires_at: Some(store.clock().now() + hours(1)), ..consent(&store, &orders) };
        let for_ever = consent(&store, &shop);
        remember(&store, "alice", &for_an_hour).await;
        remember(&store, "alice", &for_ever).await;
        assert_eq!(remembered(&store, "alice", &orders).await, Some(for_an_hour));
        assert_eq!(remembered(&store, "alice", &shop).await, Some(for_ever.clone()));
        assert_eq!(remembered(&store, "bob", &orders).await, None);
        let again = StoredClient { incarnation: Incarnation(orders.incarnation.0 ^ 1), ..orders.clone() };
        assert_eq!(remembered(&store, "alice", &again).await, None, "the client was created again");
        store.clock().advance(hours(1));
        assert_eq!(remembered(&store, "alice", &orders).await, None);
        assert_eq!(remembered(&store, "alice", &shop).await, Some(for_ever));
    }
}

#[tokio::test]
async fn of_two_consents_the_later_one_stays_in_whatever_order_they_arrive() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (orders, _) = create_client(&store, "orders").await;
        let earlier = consent(&store, &orders);
        store.clock().advance(minutes(1));
        let later = consent(&store, &orders);
        for (subject, order) in [("alice", [&earlier, &later]), ("bob", [&later, &earlier])] {
            for consent in order {
                remember(&store, subject, consent).await;
            }
            assert_eq!(remembered(&store, subject, &orders).await.as_ref(), Some(&later));
        }
    }
}

#[tokio::test]
async fn a_consent_from_before_a_revocation_is_not_remembered_any_more() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (orders, _) = create_client(&store, "orders").await;
        let (shop, _) = create_client(&store, "shop").await;
        let under_way = [consent(&store, &orders), consent(&store, &shop)];
        store.revoke_subject("alice", Some(&orders.id)).await.unwrap();
        store.revoke_subject("bob", None).await.unwrap();
        store.clock().advance(minutes(1));
        for (subject, kept) in [("alice", [false, true]), ("bob", [false, false]), ("carol", [true, true])] {
            for (client, (consent, kept)) in [&orders, &shop].into_iter().zip(under_way.iter().zip(kept)) {
                remember(&store, subject, consent).await;
                assert_eq!(
                    remembered(&store, subject, client).await.is_some(),
                    kept,
                    "{subject} {}",
                    client.id
                );
            }
        }
        let later = consent(&store, &orders);
        remember(&store, "alice", &later).await;
        assert_eq!(remembered(&store, "alice", &orders).await, Some(later));
    }
}

#[tokio::test]
async fn consents_are_forgotten_at_one_client_or_at_all() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let mut clients = Vec::new();
        for id in ["orders", "orders2", "shop"] {
            clients.push(create_client(&store, id).await.0);
        }
        for subject in ["alice", "bob"] {
            for client in &clients {
                remember(&store, subject, &consent(&store, client)).await;
            }
        }
        let left = async |subject: &str| {
            let mut left = Vec::new();
            for client in &clients {
                left.push(remembered(&store, subject, client).await.is_some());
            }
            left
        };
        forget(&store, "alice", Some(&clients[0].id)).await;
        assert_eq!(left("alice").await, [false, true, true]);
        forget(&store, "alice", None).await;
        assert_eq!(left("alice").await, [false, false, false]);
        assert_eq!(left("bob").await, [true, true, true]);
        forget(&store, "nobody", None).await;
    }
}

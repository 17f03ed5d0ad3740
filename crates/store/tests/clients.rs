//! Clients and their secrets.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::{
    authenticates, client_id, clock, create_client, databases, hours, manager, named, new_client, number,
    read, resource,
};
use jiff::SignedDuration;
use oauth::{ClientSecret, ClientSecretHash};
use serde_json::json;
use store::{Error, Promotion, ResourceRef, SecretState, Store, StoredClient};

/// A fresh secret for a client, with its hash.
fn another(store: &Store, row: &StoredClient) -> (ClientSecret, ClientSecretHash) {
    let secret = ClientSecret::generate(store.entropy());
    let hash = ClientSecretHash::of_generated(store.ring(), &row.id, row.incarnation, &secret);
    (secret, hash)
}

fn promotion(store: &Store, hash: &ClientSecretHash, overlap: SignedDuration) -> Promotion {
    Promotion {
        hash: hash.clone(),
        previous_expires_at: store.clock().now() + overlap,
        handled_rotate_secret: Some("nonce".into()),
    }
}

/// Rotates the secret of a client as the operator does.
async fn rotate(store: &Store, id: &str, overlap: SignedDuration) -> ClientSecret {
    let row = read(store, id).await;
    let (secret, hash) = another(store, &row);
    store.set_pending_secret(&row.fence(), &hash).await.unwrap();
    let fence = read(store, id).await.fence();
    store.promote_secret(&fence, &promotion(store, &hash, overlap)).await.unwrap();
    secret
}

/// The states of a client's secrets, in alphabetical order.
fn states(row: &StoredClient) -> Vec<SecretState> {
    let mut states: Vec<_> = row.secrets.iter().map(|secret| secret.state).collect();
    states.sort_by_key(|state| format!("{state:?}"));
    states
}

#[tokio::test]
async fn a_client_reads_back_as_it_was_created() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (mut new, secret) = new_client(&store, "orders");
        new.metadata = serde_json::from_value(json!({
            "client_name": "Orders ✓",
            "grant_types": ["client_credentials"],
            "scope": "read write",
            "audience": ["https://api.example.com"],
            "client_credentials_grant_access_token_lifespan": "31h",
            "redirect_uris": ["https://app.example.com/cb"],
        }))
        .unwrap();
        new.handled_rotate_secret = Some("standing".into());
        store.create_client(&new).await.unwrap();

        let by_id = read(&store, "orders").await;
        let by_manager = store.read_managed_client(&resource("orders")).await.unwrap().unwrap();
        for row in [by_id, by_manager] {
            assert_eq!((&row.id, row.incarnation, row.epoch), (&new.id, new.incarnation, 0));
            assert_eq!((&row.metadata, &row.manager), (&new.metadata, &new.manager));
            assert_eq!(row.spec_hash, new.spec_hash);
            assert_eq!(row.handled_rotate_secret, new.handled_rotate_secret);
            assert_eq!(row.secret_rotated_at, Some(store.clock().now()));
            assert_eq!(states(&row), [SecretState::Current]);
            assert_eq!(row.secrets[0].expires_at, None);
        }
        assert!(authenticates(&store, "orders", &secret).await);
        assert!(store.read_client(&client_id("absent")).await.unwrap().is_none());
        assert!(store.read_managed_client(&resource("absent")).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn a_client_without_a_secret_has_none_and_can_get_one_later() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (mut new, _) = new_client(&store, "public");
        new.secret = None;
        store.create_client(&new).await.unwrap();
        let row = read(&store, "public").await;
        assert_eq!((row.secrets.len(), row.secret_rotated_at), (0, None));
        let secret = rotate(&store, "public", hours(1)).await;
        assert!(authenticates(&store, "public", &secret).await);
        assert_eq!(states(&read(&store, "public").await), [SecretState::Current]);
    }
}

#[tokio::test]
async fn an_id_that_another_resource_holds_is_a_conflict_that_names_the_holder() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (held, _) = create_client(&store, "orders").await;
        let (mut new, _) = new_client(&store, "orders");
        for (namespace, name) in [("team", "late"), ("other-team", "orders")] {
            let elsewhere = ResourceRef { namespace: namespace.into(), ..resource(name) };
            new.manager = Some(elsewhere);
            let Err(Error::Conflict(holder)) = store.create_client(&new).await else { panic!("no conflict") };
            assert_eq!((*holder).to_string(), "team/orders");
        }
        let row = read(&store, "orders").await;
        assert_eq!(
            (row.version, row.incarnation),
            (held.version, held.incarnation),
            "the loser wrote nothing"
        );

        new.manager = Some(resource("orders"));
        assert!(
            matches!(store.create_client(&new).await, Err(Error::Raced)),
            "it is this resource's already"
        );
    }
}

#[tokio::test]
async fn of_two_writers_who_read_the_same_version_one_is_told_to_read_again() {
    for database in databases().await {
        let (a, b) = (database.open(clock()).await, database.open(clock()).await);
        create_client(&a, "orders").await;
        for turn in 0..20 {
            let row = read(&a, "orders").await;
            let fence = row.fence();
            let (by_a, by_b) = (named(&format!("a{turn}")), named(&format!("b{turn}")));
            let (first, second) = tokio::join!(
                a.update_client(&fence, &by_a, manager(&row), "a"),
                b.update_client(&fence, &by_b, manager(&row), "b"),
            );
            let written = match (first, second) {
                (Ok(()), Err(Error::Raced)) => by_a,
                (Err(Error::Raced), Ok(())) => by_b,
                other => panic!("{other:?}"),
            };
            let after = read(&a, "orders").await;
            assert_eq!((after.metadata, after.version), (written, row.version + 1));
        }
    }
}

#[tokio::test]
async fn every_write_is_refused_at_an_older_version_and_changes_nothing() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (row, secret) = create_client(&store, "orders").await;
        let stale = row.fence();
        let (_, hash) = another(&store, &row);
        store.set_pending_secret(&stale, &hash).await.unwrap();
        let before = read(&store, "orders").await;

        let (_, other) = another(&store, &row);
        let refused = [
            store.update_client(&stale, &named("x"), manager(&row), "x").await,
            store.set_pending_secret(&stale, &other).await,
            store.promote_secret(&stale, &promotion(&store, &hash, hours(1))).await,
            store.remove_secrets(&stale).await,
        ];
        for refused in refused {
            assert!(matches!(refused, Err(Error::Raced)), "{refused:?}");
        }
        // A promotion of what is not there leaves no half of itself either.
        let absent = promotion(&store, &other, hours(1));
        assert!(matches!(store.promote_secret(&before.fence(), &absent).await, Err(Error::Raced)));

        let after = read(&store, "orders").await;
        assert_eq!((after.version, &after.metadata), (before.version, &before.metadata));
        assert_eq!(states(&after), [SecretState::Current, SecretState::Pending]);
        assert!(after.secrets.iter().all(|secret| secret.expires_at.is_none()));
        assert!(authenticates(&store, "orders", &secret).await);
    }
}

#[tokio::test]
async fn a_fence_from_before_a_deletion_does_not_fit_the_row_that_was_made_anew() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (old, _) = create_client(&store, "orders").await;
        assert!(store.delete_client(&old.id, manager(&old)).await.unwrap());
        let (mut new, _) = new_client(&store, "orders");
        new.manager = Some(resource("successor"));
        store.create_client(&new).await.unwrap();
        let late = store.update_client(&old.fence(), &named("late"), manager(&old), "late").await;
        assert!(matches!(late, Err(Error::Raced)), "{late:?}");
        assert_eq!(read(&store, "orders").await.manager, Some(resource("successor")));
    }
}

#[tokio::test]
async fn a_resource_that_was_created_again_takes_its_row_over() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (row, secret) = create_client(&store, "orders").await;
        let mut again = manager(&row).clone();
        again.uid = "the uid of the one that was created again".into();
        assert!(row.is_of(&again));
        store.update_client(&row.fence(), &named("second"), &again, "digest 2").await.unwrap();

        let after = store.read_managed_client(&again).await.unwrap().unwrap();
        assert_eq!((after.incarnation, after.spec_hash.as_str()), (row.incarnation, "digest 2"));
        assert!(store.read_managed_client(manager(&row)).await.unwrap().is_none());
        assert!(authenticates(&store, "orders", &secret).await, "its credentials work on");
    }
}

#[tokio::test]
async fn a_pending_secret_authenticates_at_once_and_a_second_one_replaces_it() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (row, current) = create_client(&store, "orders").await;
        let (first, first_hash) = another(&store, &row);
        let (second, second_hash) = another(&store, &row);
        store.set_pending_secret(&row.fence(), &first_hash).await.unwrap();
        assert!(authenticates(&store, "orders", &first).await);
        store.set_pending_secret(&read(&store, "orders").await.fence(), &second_hash).await.unwrap();
        assert!(authenticates(&store, "orders", &second).await);
        assert!(!authenticates(&store, "orders", &first).await);
        assert!(authenticates(&store, "orders", &current).await);
        assert_eq!(states(&read(&store, "orders").await), [SecretState::Current, SecretState::Pending]);
    }
}

#[tokio::test]
async fn promotion_gives_the_former_secret_its_expiry_and_forgets_what_has_expired() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (_, first) = create_client(&store, "orders").await;
        store.clock().advance(hours(1));
        let second = rotate(&store, "orders", hours(24)).await;
        let row = read(&store, "orders").await;
        assert_eq!(row.secret_rotated_at, Some(store.clock().now()));
        assert_eq!(row.handled_rotate_secret.as_deref(), Some("nonce"));
        let former = row.secrets.iter().find(|secret| secret.state == SecretState::Previous).unwrap();
        assert_eq!(former.expires_at, Some(store.clock().now() + hours(24)));

        assert!(authenticates(&store, "orders", &first).await);
        store.clock().advance(hours(24));
        assert!(!authenticates(&store, "orders", &first).await, "its overlap is over");
        assert!(authenticates(&store, "orders", &second).await);

        let third = rotate(&store, "orders", SignedDuration::ZERO).await;
        assert_eq!(
            states(&read(&store, "orders").await),
            [SecretState::Current],
            "both former ones are gone"
        );
        assert!(authenticates(&store, "orders", &third).await);
        assert_eq!(number(&database, "SELECT COUNT(*) FROM client_secrets").await, 1);
    }
}

#[tokio::test]
async fn a_promotion_that_is_repeated_does_not_let_the_current_secret_expire() {
    for database in databases().await {
        let store = database.open(clock()).await;
        create_client(&store, "orders").await;
        let secret = rotate(&store, "orders", hours(1)).await;
        let row = read(&store, "orders").await;
        let current = row.secrets.iter().find(|secret| secret.state == SecretState::Current).unwrap();
        // As after a crash, by somebody who has not seen that it was done.
        let again = promotion(&store, &current.hash, hours(2));
        store.promote_secret(&row.fence(), &again).await.unwrap();

        let row = read(&store, "orders").await;
        let expiries: Vec<_> = row.secrets.iter().map(|secret| (secret.state, secret.expires_at)).collect();
        let an_hour_on = store.clock().now() + hours(1);
        let expected = [(SecretState::Previous, Some(an_hour_on)), (SecretState::Current, None)];
        assert!(
            expected.iter().all(|secret| expiries.contains(secret)) && expiries.len() == 2,
            "{expiries:?}"
        );
        store.clock().advance(hours(100));
        assert!(authenticates(&store, "orders", &secret).await);
    }
}

#[tokio::test]
async fn a_former_secret_that_returns_is_made_pending_again() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (row, first) = create_client(&store, "orders").await;
        rotate(&store, "orders", hours(1)).await;
        store.clock().advance(hours(2));
        assert!(!authenticates(&store, "orders", &first).await);

        let hash = ClientSecretHash::of_generated(store.ring(), &row.id, row.incarnation, &first);
        store.set_pending_secret(&read(&store, "orders").await.fence(), &hash).await.unwrap();
        assert!(authenticates(&store, "orders", &first).await);
        let fence = read(&store, "orders").await.fence();
        store.promote_secret(&fence, &promotion(&store, &hash, hours(1))).await.unwrap();
        store.clock().advance(hours(2));
        assert!(authenticates(&store, "orders", &first).await);

        // The current one stays that, whatever is done with its hash.
        store.set_pending_secret(&read(&store, "orders").await.fence(), &hash).await.unwrap();
        assert_eq!(states(&read(&store, "orders").await), [SecretState::Current, SecretState::Previous]);
    }
}

#[tokio::test]
async fn a_client_whose_secrets_are_removed_has_none() {
    for database in databases().await {
        let store = database.open(clock()).await;
        create_client(&store, "orders").await;
        let secret = rotate(&store, "orders", hours(1)).await;
        store.remove_secrets(&read(&store, "orders").await.fence()).await.unwrap();
        assert!(!authenticates(&store, "orders", &secret).await);
        assert_eq!(read(&store, "orders").await.secrets.len(), 0);
    }
}

#[tokio::test]
async fn only_its_owner_deletes_a_client_and_its_secrets_go_with_it() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (row, _) = create_client(&store, "orders").await;
        rotate(&store, "orders", hours(1)).await;
        create_client(&store, "other").await;
        for stranger in [
            resource("other"),
            ResourceRef { cluster: "cluster-2".into(), ..manager(&row).clone() },
            ResourceRef { namespace: "other-team".into(), ..manager(&row).clone() },
        ] {
            assert!(!store.delete_client(&row.id, &stranger).await.unwrap());
        }
        assert!(store.delete_client(&row.id, manager(&row)).await.unwrap());
        assert!(!store.delete_client(&row.id, manager(&row)).await.unwrap(), "it is gone already");
        assert!(store.read_client(&row.id).await.unwrap().is_none());
        assert_eq!(number(&database, "SELECT COUNT(*) FROM client_secrets").await, 1, "the other client's");
    }
}

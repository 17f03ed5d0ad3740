//! Clients that no resource owns.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::{
    authenticates, client_id, clock, costing, create_client, create_unmanaged_client, databases, hours,
    manager, named, new_client, new_unmanaged_client, number, read, resource,
};
use oauth::{ClientMetadata, ClientSecret, ClientSecretHash};
use serde_json::json;
use store::{ClientFilter, Error, SecretChange, SecretState, Store, StoredClient};

fn another(store: &Store, row: &StoredClient) -> (ClientSecret, ClientSecretHash) {
    let secret = ClientSecret::generate(store.entropy());
    let hash = ClientSecretHash::of_generated(store.ring(), &row.id, row.incarnation, &secret);
    (secret, hash)
}

async fn rotate(store: &Store, id: &str) -> ClientSecret {
    let row = read(store, id).await;
    let (secret, hash) = another(store, &row);
    store.rotate_secret(&row.fence(), &hash).await.unwrap();
    secret
}

/// Which of these secrets authenticate.
async fn valid(store: &Store, id: &str, secrets: &[ClientSecret]) -> Vec<bool> {
    let mut valid = Vec::new();
    for secret in secrets {
        valid.push(authenticates(store, id, secret).await);
    }
    valid
}

#[tokio::test]
async fn a_client_without_a_resource_reads_back_as_such_with_its_times() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (row, secret) = create_unmanaged_client(&store, "orders").await;
        assert_eq!((&row.manager, row.spec_hash.as_str()), (&None, ""));
        let created = store.clock().now();
        assert_eq!((row.created_at, row.updated_at), (created, created));
        assert!(!store.client(&row.id).await.unwrap().unwrap().declared);
        assert!(authenticates(&store, "orders", &secret).await);

        store.clock().advance(hours(1));
        store.replace_client(&row.fence(), &named("second"), &SecretChange::Keep, (1, false)).await.unwrap();
        let row = read(&store, "orders").await;
        assert_eq!((row.created_at, row.updated_at), (created, created + hours(1)));
        assert_eq!(row.metadata, named("second"));
        assert!(authenticates(&store, "orders", &secret).await, "its secret stays");

        let (managed, _) = create_client(&store, "declared").await;
        assert!(store.client(&managed.id).await.unwrap().unwrap().declared);
    }
}

#[tokio::test]
async fn an_id_is_created_once_and_the_loser_is_told_whose_it_is() {
    for database in databases().await {
        let store = database.open(clock()).await;
        create_unmanaged_client(&store, "admins").await;
        create_client(&store, "declared").await;
        let by_resource = store.create_client(&new_client(&store, "admins").0).await;
        assert!(matches!(by_resource, Err(Error::Unmanaged)), "{by_resource:?}");
        let by_admin = store.create_client(&new_unmanaged_client(&store, "admins").0).await;
        assert!(matches!(by_admin, Err(Error::Unmanaged)), "{by_admin:?}");
        let Err(Error::Conflict(holder)) =
            store.create_client(&new_unmanaged_client(&store, "declared").0).await
        else {
            panic!("no conflict")
        };
        assert_eq!(*holder, resource("declared"));
        assert_eq!(number(&database, "SELECT COUNT(*) FROM clients").await, 2);
    }
}

#[tokio::test]
async fn a_resources_client_is_neither_replaced_nor_deleted_as_one_without() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (row, secret) = create_client(&store, "orders").await;
        let replaced =
            store.replace_client(&row.fence(), &named("x"), &SecretChange::Remove, (1, false)).await;
        assert!(matches!(replaced, Err(Error::Raced)), "{replaced:?}");
        let Err(Error::Conflict(holder)) = store.delete_unmanaged_client(&row.id).await else {
            panic!("no conflict")
        };
        assert_eq!(&*holder, manager(&row));
        assert_eq!(read(&store, "orders").await.version, row.version);
        assert!(authenticates(&store, "orders", &secret).await);

        let (own, _) = create_unmanaged_client(&store, "own").await;
        assert!(!store.delete_client(&own.id, &resource("own")).await.unwrap(), "nor the other way round");
        assert!(store.delete_unmanaged_client(&own.id).await.unwrap());
        assert!(!store.delete_unmanaged_client(&own.id).await.unwrap());
        assert_eq!(number(&database, "SELECT COUNT(*) FROM client_secrets").await, 1);
    }
}

#[tokio::test]
async fn replacing_keeps_replaces_or_removes_the_secrets() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (row, first) = create_unmanaged_client(&store, "orders").await;
        let second = rotate(&store, "orders").await;
        assert_eq!(valid(&store, "orders", &[first.clone(), second.clone()]).await, [true, true]);

        let (third, hash) = another(&store, &row);
        store.clock().advance(hours(1));
        let fence = read(&store, "orders").await.fence();
        store.replace_client(&fence, &named("x"), &SecretChange::Replace(hash), (1, false)).await.unwrap();
        let all = [first, second, third];
        assert_eq!(valid(&store, "orders", &all).await, [false, false, true]);
        assert_eq!(read(&store, "orders").await.secret_rotated_at, Some(store.clock().now()));

        let stale = store.replace_client(&fence, &named("y"), &SecretChange::Remove, (1, false)).await;
        assert!(matches!(stale, Err(Error::Raced)), "{stale:?}");
        assert_eq!(valid(&store, "orders", &all).await, [false, false, true], "nothing of it was done");

        let fence = read(&store, "orders").await.fence();
        store.replace_client(&fence, &named("y"), &SecretChange::Remove, (1, false)).await.unwrap();
        assert_eq!(valid(&store, "orders", &all).await, [false; 3]);
    }
}

#[tokio::test]
async fn the_five_newest_former_secrets_stay_valid_until_they_are_dropped() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (_, first) = create_unmanaged_client(&store, "orders").await;
        let mut secrets = vec![first];
        // All within one second of the clock.
        for _ in 0..7 {
            secrets.push(rotate(&store, "orders").await);
        }
        let expected = [false, false, true, true, true, true, true, true];
        assert_eq!(valid(&store, "orders", &secrets).await, expected);
        store.clock().advance(hours(10_000));
        assert_eq!(valid(&store, "orders", &secrets).await, expected, "they do not expire");

        let row = read(&store, "orders").await;
        store.drop_former_secrets(&row.fence()).await.unwrap();
        let late = store.drop_former_secrets(&row.fence()).await;
        assert!(matches!(late, Err(Error::Raced)), "{late:?}");
        let mut expected = [false; 8];
        expected[7] = true;
        assert_eq!(valid(&store, "orders", &secrets).await, expected);
        let row = read(&store, "orders").await;
        assert_eq!(row.secrets.iter().map(|secret| secret.state).collect::<Vec<_>>(), [SecretState::Current]);
    }
}

#[tokio::test]
async fn rotations_that_race_are_done_one_after_the_other() {
    for database in databases().await {
        let (a, b) = (database.open(clock()).await, database.open(clock()).await);
        let (row, _) = create_unmanaged_client(&a, "orders").await;
        let ((first, by_a), (second, by_b)) = (another(&a, &row), another(&b, &row));
        let fence = row.fence();
        let done = tokio::join!(a.rotate_secret(&fence, &by_a), b.rotate_secret(&fence, &by_b));
        let winner = match done {
            (Ok(()), Err(Error::Raced)) => [true, false],
            (Err(Error::Raced), Ok(())) => [false, true],
            other => panic!("{other:?}"),
        };
        assert_eq!(valid(&a, "orders", &[first, second]).await, winner);
    }
}

#[tokio::test]
async fn clients_are_listed_page_by_page_in_one_statement_each() {
    for database in databases().await {
        let store = database.open(clock()).await;
        for id in ["d", "a", "c", "b", "e"] {
            create_unmanaged_client(&store, id).await;
        }
        let (mut after, mut pages) = (String::new(), Vec::new());
        loop {
            let all = ClientFilter::default();
            let (page, statements) = costing(&store, store.list_clients(&after, 2, &all)).await;
            assert_eq!(statements, 1);
            let page = page.unwrap();
            pages.push(page.clients.iter().map(|client| client.id.to_string()).collect::<String>());
            match page.next {
                Some(next) => after = next,
                None => break,
            }
        }
        assert_eq!(pages, ["ab", "cd", "e"]);
        let page = store.list_clients("", 5, &ClientFilter::default()).await.unwrap();
        assert_eq!((page.clients.len(), page.next), (5, None), "a page that is just full is the last one");
        let row = read(&store, "a").await;
        assert_eq!(page.clients[0].metadata, row.metadata);
        assert_eq!(
            (page.clients[0].created_at, page.clients[0].updated_at),
            (row.created_at, row.updated_at)
        );
    }
}

#[tokio::test]
async fn filters_match_exactly_whatever_characters_they_hold() {
    let awkward =
        ["Orders", "orders", "100%", "a_b", "a!b", "a\\b", "say \"hi\"", "Ä ✓", "a\nb", "%", "_", "'"];
    for database in databases().await {
        let store = database.open(clock()).await;
        for (index, name) in awkward.iter().enumerate() {
            let (mut new, _) = new_unmanaged_client(&store, &format!("client-{index:02}"));
            new.metadata = ClientMetadata {
                other: json!({"owner": name}).as_object().unwrap().clone(),
                ..named(&format!("name {name}"))
            };
            store.create_client(&new).await.unwrap();
        }
        // What only looks alike, deeper in the document, is no match.
        let (mut decoy, _) = new_unmanaged_client(&store, "decoy");
        let deeper = json!({"metadata": {"client_name": "name 100%", "owner": "100%"}});
        decoy.metadata = ClientMetadata { other: deeper.as_object().unwrap().clone(), ..named("other") };
        store.create_client(&decoy).await.unwrap();

        for (index, name) in awkward.iter().enumerate() {
            let (by_name, by_owner) = (Some(format!("name {name}")), Some((*name).to_owned()));
            for filter in [
                ClientFilter { client_name: by_name.clone(), owner: None },
                ClientFilter { client_name: None, owner: by_owner.clone() },
                ClientFilter { client_name: by_name, owner: by_owner },
            ] {
                let page = store.list_clients("", 100, &filter).await.unwrap();
                let found: Vec<_> = page.clients.into_iter().map(|client| client.id).collect();
                assert_eq!(found, [client_id(&format!("client-{index:02}"))], "{filter:?}");
            }
        }
        let both = ClientFilter { client_name: Some("name a_b".into()), owner: Some("a!b".into()) };
        assert!(store.list_clients("", 100, &both).await.unwrap().clients.is_empty());
    }
}

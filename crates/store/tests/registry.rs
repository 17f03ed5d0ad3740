//! Key sets as servers use them.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::{EDDSA, ES256, clock, databases, declaration, declare, disown, every, hours, minutes};
use jiff::Timestamp;
use jose::{EncryptionAlgorithm, KeyId, KeyUse, SigningAlgorithm};
use serde_json::json;
use store::{ACCESS_TOKEN_SET, ID_TOKEN_SET, KeyRegistry, Store};

fn published(keys: &KeyRegistry, broadcast: &[String], now: Timestamp) -> Vec<KeyId> {
    keys.published(broadcast, now).keys.iter().map(|key| key.kid().unwrap().clone()).collect()
}

fn signing(keys: &KeyRegistry, wanted: Option<SigningAlgorithm>, now: Timestamp) -> Option<KeyId> {
    keys.signing_key(ACCESS_TOKEN_SET, wanted, now).map(|key| key.signer.key_id().clone())
}

/// Signs with the key of now, and checks it with what is published.
async fn sign_and_verify(store: &Store) {
    let (keys, now) = (store.keys().await.unwrap(), store.clock().now());
    let key = keys.signing_key(ACCESS_TOKEN_SET, None, now).unwrap();
    let jws = key.signer.sign("at+jwt", &json!({"sub": "orders"})).unwrap();
    let verifier = keys.verifier(key.signer.key_id(), now).unwrap();
    assert!(verifier.verify(&jws).is_ok());
}

#[tokio::test]
async fn a_key_is_published_signs_verifies_and_goes_by_the_clock_alone() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let declared = declaration(ACCESS_TOKEN_SET, every(168, 24));
        declare(&store, &declared).await;
        let (keys, now) = (store.keys().await.unwrap(), store.clock().now());
        let first = signing(&keys, None, now).unwrap();
        assert_eq!(published(&keys, &[], now), std::slice::from_ref(&first));
        sign_and_verify(&store).await;
        let old_token = {
            let key = keys.signing_key(ACCESS_TOKEN_SET, None, now).unwrap();
            assert_eq!(key.removed_at, None, "nobody knows yet");
            key.signer.sign("at+jwt", &json!({"sub": "orders"})).unwrap()
        };

        store.clock().advance(hours(144));
        let turn = declare(&store, &declared).await;
        let activation = turn.plan.create[0].instants.active_at;
        let keys = store.keys().await.unwrap();
        // From here on nothing is written: the registry is the one that was loaded now.
        let at = |offset| activation + minutes(offset);
        let second = signing(&keys, None, activation).unwrap();
        assert_ne!(second, first);
        for (offset, signs, order) in [
            (-60, &first, vec![&first, &second]),
            (0, &second, vec![&second, &first]),
            (74, &second, vec![&second, &first]),
            (75, &second, vec![&second]),
        ] {
            assert_eq!(signing(&keys, None, at(offset)).as_ref(), Some(signs), "{offset}");
            assert_eq!(published(&keys, &[], at(offset)).iter().collect::<Vec<_>>(), order, "{offset}");
            assert_eq!(keys.verifier(&first, at(offset)).is_some(), order.contains(&&first), "{offset}");
        }
        let removed_at = keys.signing_key(ACCESS_TOKEN_SET, None, at(-1)).unwrap().removed_at;
        assert_eq!(removed_at, Some(at(75)));
        assert!(keys.verifier(&first, at(74)).unwrap().verify(&old_token).is_ok());

        // With its private half destroyed it verifies still.
        store.clock().set(at(30));
        declare(&store, &declared).await;
        let keys = store.keys().await.unwrap();
        assert!(keys.verifier(&first, at(30)).unwrap().verify(&old_token).is_ok());
        sign_and_verify(&store).await;
    }
}

#[tokio::test]
async fn the_wanted_algorithm_signs_where_the_set_has_it() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let mut declared = declaration(ACCESS_TOKEN_SET, every(168, 24));
        declared.policy.algorithms = vec![ES256, EDDSA];
        declare(&store, &declared).await;
        let (keys, now) = (store.keys().await.unwrap(), store.clock().now());
        let algorithm = |wanted| keys.signing_key(ACCESS_TOKEN_SET, wanted, now).unwrap().signer.algorithm();
        assert_eq!(algorithm(None), SigningAlgorithm::Es256);
        assert_eq!(algorithm(Some(SigningAlgorithm::EdDsa)), SigningAlgorithm::EdDsa);
        assert_eq!(algorithm(Some(SigningAlgorithm::Rs256)), SigningAlgorithm::Es256, "the set has none");
        assert_eq!(
            keys.signing_algorithms(ACCESS_TOKEN_SET, now),
            [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa]
        );
        assert!(!keys.is_complete(now), "there is no set for ID tokens");
        declare(&store, &declaration(ID_TOKEN_SET, every(168, 24))).await;
        assert!(store.keys().await.unwrap().is_complete(now));
    }
}

#[tokio::test]
async fn a_token_set_that_comes_to_be_for_encryption_signs_as_long_as_it_has_signing_keys() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let mut declared = declaration(ACCESS_TOKEN_SET, every(168, 24));
        declare(&store, &declared).await;
        store.clock().advance(minutes(1));
        declared.key_use = KeyUse::Enc;
        declared.policy.algorithms = vec![EncryptionAlgorithm::EcdhEs.into()];
        let after = declare(&store, &declared).await.after;
        assert_eq!(after.key_use, KeyUse::Enc);
        sign_and_verify(&store).await;
        store.clock().advance(hours(26));
        declare(&store, &declared).await;
        let (keys, now) = (store.keys().await.unwrap(), store.clock().now());
        assert_eq!(signing(&keys, None, now), None);
        assert_eq!(published(&keys, &[], now).len(), 1, "the encryption key is published");
    }
}

#[tokio::test]
async fn declared_token_and_broadcast_sets_are_published_and_the_shortest_lead_bounds_the_caching() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let empty = store.keys().await.unwrap();
        assert_eq!(empty.max_age(&[]), jiff::SignedDuration::ZERO);
        for (set, lead) in [(ACCESS_TOKEN_SET, 24), ("declared", 24), ("server-made", 1)] {
            declare(&store, &declaration(set, every(168, lead))).await;
        }
        disown(&database, ACCESS_TOKEN_SET).await;
        disown(&database, "server-made").await;
        // Reads past the memory: the sets were let go of behind the store's back.
        let store = database.open(store.clock().clone()).await;
        let (keys, now) = (store.keys().await.unwrap(), store.clock().now());
        assert_eq!(keys.sets().len(), 3);
        assert_eq!(published(&keys, &[], now).len(), 2);
        assert_eq!(keys.max_age(&[]), hours(1));
        let broadcast = ["server-made".to_owned()];
        assert_eq!(published(&keys, &broadcast, now).len(), 3);
        assert_eq!(keys.max_age(&broadcast), hours(1) - minutes(5) - jiff::SignedDuration::from_secs(10));
    }
}

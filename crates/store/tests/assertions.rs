//! Assertions are used once; their issuers are trusted by what is sealed.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use std::fmt::Write;

use common::{clock, costing, create_client, databases, hours, number, sql};
use jiff::SignedDuration;
use jose::{PrivateKey, RsaBits, SigningAlgorithm};
use oauth::assertion::SingleUse;
use oauth::trusted_issuer::TrustRequest;
use oauth::{AssertionId, TokenId, TrustedIssuer};
use serde_json::json;
use store::{PurgeWalk, Store};

fn trusted(store: &Store, issuer: &str, subject: Option<&str>, key: &PrivateKey) -> TrustedIssuer {
    let request: TrustRequest = serde_json::from_value(json!({
        "issuer": issuer, "subject": subject, "allow_any_subject": subject.is_none(), "scope": ["read"],
        "jwk": key.public_jwk(), "expires_at": store.clock().now() + hours(1),
    }))
    .unwrap();
    store.clock().advance(SignedDuration::from_secs(1));
    TrustedIssuer::new(request, store.clock().now(), store.entropy()).unwrap()
}

fn key() -> PrivateKey {
    PrivateKey::generate(SigningAlgorithm::Es256.into(), RsaBits::B2048).unwrap()
}

#[tokio::test]
async fn an_assertion_is_used_once_by_whomever() {
    for database in databases().await {
        let (one, other) = (database.open(clock()).await, database.open(clock()).await);
        let expires_at = one.clock().now() + hours(1);
        let used = move |id: u8| SingleUse { id: AssertionId([id; 16]), expires_at };
        let attempts = (0..20).map(|i| {
            let store = if i % 2 == 0 { one.clone() } else { other.clone() };
            tokio::spawn(async move { store.use_assertion(used(1)).await.unwrap() })
        });
        let mut first = 0;
        for attempt in attempts.collect::<Vec<_>>() {
            first += usize::from(attempt.await.unwrap());
        }
        assert_eq!(first, 1);
        assert_eq!(costing(&one, one.use_assertion(used(2))).await.1, 1);
        assert!(!other.use_assertion(used(2)).await.unwrap());
    }
}

#[tokio::test]
async fn an_issuer_is_trusted_once_for_each_key_and_subject() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let key = key();
        let alice = trusted(&store, "https://a", Some("alice"), &key);
        assert!(store.trust_issuer(&alice).await.unwrap());
        assert!(!store.trust_issuer(&trusted(&store, "https://a", Some("alice"), &key)).await.unwrap());
        let rest =
            [trusted(&store, "https://a", None, &key), trusted(&store, "https://b", Some("alice"), &key)];
        for issuer in &rest {
            assert!(store.trust_issuer(issuer).await.unwrap());
        }
        assert_eq!(store.trusted_issuer(*alice.id.as_bytes()).await.unwrap(), Some(alice.clone()));
        let names = [alice.identity(), rest[0].identity()];
        let (known, cost) = costing(&store, store.trusted_issuers_named(names)).await;
        assert_eq!((cost, known.unwrap()), (1, vec![alice.clone(), rest[0].clone()]));
        let one = store.trusted_issuers_named([alice.identity(), [0; 16]]).await.unwrap();
        assert_eq!(one, std::slice::from_ref(&alice));

        let page = store.list_trusted_issuers(None, 2, None).await.unwrap();
        assert_eq!(page.issuers, [alice.clone(), rest[0].clone()]);
        let last = store.list_trusted_issuers(page.next, 2, None).await.unwrap();
        assert_eq!((last.issuers, last.next), (vec![rest[1].clone()], None));
        let of_b = store.list_trusted_issuers(None, 2, Some("https://b")).await.unwrap();
        assert_eq!(of_b.issuers, [rest[1].clone()]);

        assert!(store.distrust_issuer(*alice.id.as_bytes()).await.unwrap());
        assert!(!store.distrust_issuer(*alice.id.as_bytes()).await.unwrap());
        assert_eq!(store.trusted_issuer(*alice.id.as_bytes()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn whoever_writes_to_the_table_makes_nobody_trusted() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let thief = harness::TestDatabase::sqlite().open(clock()).await;
        let issuer = trusted(&store, "https://a", Some("alice"), &key());
        store.trust_issuer(&issuer).await.unwrap();
        let foreign = trusted(&thief, "https://evil", None, &key()).seal(thief.ring(), thief.entropy());
        let mut hex = String::new();
        for byte in foreign {
            write!(hex, "{byte:02x}").unwrap();
        }
        let literal =
            if database.url.starts_with("sqlite") { format!("x'{hex}'") } else { format!("'\\x{hex}'") };
        sql(&database, format!("UPDATE trusted_issuers SET content = {literal}")).await;
        assert_eq!(store.trusted_issuers_named([issuer.identity(); 2]).await.unwrap(), []);
        assert_eq!(store.trusted_issuer(*issuer.id.as_bytes()).await.unwrap(), None);
    }
}

#[tokio::test]
async fn what_has_expired_is_forgotten() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let expires_at = store.clock().now() + hours(1);
        store.use_assertion(SingleUse { id: AssertionId([1; 16]), expires_at }).await.unwrap();
        store.trust_issuer(&trusted(&store, "https://a", None, &key())).await.unwrap();
        for (after, left) in [(hours(1), 1), (hours(1), 0)] {
            store.clock().advance(after);
            while store.purge(&mut PurgeWalk::default()).await.unwrap() {}
            for table in ["used_assertions", "trusted_issuers"] {
                assert_eq!(number(&database, format!("SELECT COUNT(*) FROM {table}")).await, left, "{table}");
            }
        }
    }
}

#[tokio::test]
async fn a_token_for_a_subject_dies_with_the_subjects_grants() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let (client, _) = create_client(&store, "orders").await;
        let (other, _) = create_client(&store, "other").await;
        let token = TokenId([1; 16]);
        let issued_at = store.clock().now();
        let state = async |client: &oauth::ClientId, subject: &'static str| {
            let (state, cost) =
                costing(&store, store.subject_token_state(client, token, subject, issued_at)).await;
            assert_eq!(cost, 1);
            state.unwrap().unwrap().revoked
        };
        assert!(!state(&client.id, "alice").await);
        store.revoke_subject("alice", Some(&client.id)).await.unwrap();
        assert!(state(&client.id, "alice").await && !state(&other.id, "alice").await);
        store.revoke_subject("alice", None).await.unwrap();
        assert!(state(&other.id, "alice").await && !state(&other.id, "bob").await);
        store.clock().advance(SignedDuration::from_secs(1));
        let later = store.clock().now();
        let again = store.subject_token_state(&client.id, token, "alice", later).await.unwrap().unwrap();
        assert!(!again.revoked, "what is issued afterwards lives");
        store.revoke_token(token, later + hours(1)).await.unwrap();
        assert!(state(&client.id, "bob").await);
    }
}

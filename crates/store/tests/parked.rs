//! Parked values.

mod common;

use common::{clock, costing, databases, minutes};
use jiff::SignedDuration;

#[tokio::test]
async fn a_parked_value_is_given_until_it_expires() {
    for database in databases().await {
        let store = database.open(clock()).await;
        let expires_at = store.clock().now() + minutes(30);
        for (id, content) in [([1; 16], vec![0, 255, 7]), ([2; 16], vec![3; 100_000])] {
            let (done, statements) = costing(&store, store.park(id, content.clone(), expires_at)).await;
            done.unwrap();
            assert_eq!(statements, 1);
            for _ in 0..2 {
                let (found, statements) = costing(&store, store.parked(id)).await;
                assert_eq!((found.unwrap(), statements), (Some(content.clone()), 1));
            }
        }
        assert_eq!(store.parked([3; 16]).await.unwrap(), None);
        store.park([1; 16], vec![9], expires_at).await.unwrap();
        assert_eq!(store.parked([1; 16]).await.unwrap(), Some(vec![0, 255, 7]), "the first one stays");
        store.clock().advance(minutes(30) - SignedDuration::from_secs(1));
        assert!(store.parked([1; 16]).await.unwrap().is_some());
        store.clock().advance(SignedDuration::from_secs(1));
        assert_eq!(store.parked([1; 16]).await.unwrap(), None);
    }
}

//! Two operators at once on one resource, as while one takes over from the other: every interleaving ends well.

use jose::Entropy;
use operator::Outcome;
use serde_json::json;

use crate::changes::{Case, all};
use crate::clock_work::interleaved;
use crate::world::{NAMESPACE, World};

/// How many interleavings of each change.
const TRIES: u64 = 5;

/// Who of two goes next.
fn coin(seed: u64) -> impl FnMut() -> bool {
    let entropy = Entropy::seeded(seed);
    move || entropy.bytes::<1>()[0] & 1 == 0
}

#[tokio::test]
async fn two_operators_at_once_end_as_one_would() {
    let world = World::new().await;
    for change in all() {
        for seed in 0..TRIES {
            let name = format!("{change:?}-{seed}").to_lowercase();
            let case = Case::new(&world, change, name).await;
            let client = world.client(&case.name).unwrap();
            let (a, b) = (world.clients(), world.clients());
            interleaved(Box::pin(a.reconcile(&client)), Box::pin(b.reconcile(&client)), coin(seed)).await;
            // What one of them began and the other one found may count as an attempt that failed.
            case.check(2).await;
        }
    }
}

#[tokio::test]
async fn two_operators_make_one_client_and_one_secret_of_a_new_resource() {
    let world = World::new().await;
    for seed in 0..2 * TRIES {
        let name = format!("orders-{seed}");
        world.declare(&name, json!({}));
        let client = world.client(&name).unwrap();
        let (a, b) = (world.clients(), world.clients());
        interleaved(Box::pin(a.reconcile(&client)), Box::pin(b.reconcile(&client)), coin(seed)).await;
        world.ready(&name).await;
        let uid = client.metadata.uid.unwrap();
        let rows = world.sql(&format!("SELECT id FROM clients WHERE manager_uid = '{uid}'")).await;
        assert_eq!(rows.len(), 1, "{seed}");
        let secrets = world.objects.values(&crate::world::secret_name(&name));
        assert_eq!(secrets.len(), 1, "{seed}: one value was ever in the Secret");
        assert!(world.authenticates(&name, &secrets[0]).await, "{seed}");
        assert_eq!(world.live(&name).await, 1, "{seed}");
    }
}

#[tokio::test]
async fn two_operators_give_a_set_one_next_key() {
    let world = World::new().await;
    let rotation = json!({"period": "100h", "publishBefore": "10h"});
    world.objects.declare_key_set(
        NAMESPACE,
        "invoices",
        json!({"algorithms": ["ES256"], "rotation": rotation}),
    );
    let key_set = || world.objects.key_set(NAMESPACE, "invoices").unwrap();
    world.key_sets().reconcile(&key_set()).await;
    for seed in 0..2 * TRIES {
        world.advance(90);
        let (a, b) = (world.key_sets(), world.key_sets());
        let (first, present) = (key_set(), key_set());
        let (a, b) =
            interleaved(Box::pin(a.reconcile(&first)), Box::pin(b.reconcile(&present)), coin(seed)).await;
        // Of two that tell how the set stands, one may find that it was told already; it looks again.
        let settled =
            [&a, &b].into_iter().filter(|outcome| matches!(outcome, Outcome::Settled { .. })).count();
        assert!(settled >= 1, "{a:?} {b:?}");
        let set = world.store.read_key_set("invoices").await.unwrap().unwrap();
        let next = set.keys.iter().filter(|key| key.schedule.instants.active_at > world.now()).count();
        assert_eq!(next, 1, "{seed}");
        world.advance(10);
        world.key_sets().reconcile(&key_set()).await;
    }
}

//! The database goes away, and comes back.

use std::time::{Duration, Instant};

use crd::{ConditionStatus, ConditionType, Reason};
use harness::{TestDatabase, eventually};
use jiff::SignedDuration;
use operator::database_gate::DatabaseGate;
use operator::{ClientReconciler, KeySetReconciler, Outcome};
use serde_json::json;
use store::Clock;
use tokio_util::task::AbortOnDropHandle;

use crate::memory::Memory;
use crate::proxy::Proxy;
use crate::world::{NAMESPACE, World, authenticates, context, entry, secret_name, service};

const CLIENTS: usize = 20;

fn statuses(objects: &Memory) -> usize {
    objects.log().iter().filter(|write| write.starts_with("write status")).count()
}

#[tokio::test]
async fn a_database_that_is_away_is_told_once_and_asked_by_one() {
    let database = TestDatabase::postgres().await;
    let (proxy, options) = Proxy::before_database(&database).await;
    let clock = Clock::manual("2026-03-01T12:00:00Z".parse().unwrap());
    let store = store::Store::open(options, clock, jose::Entropy::system()).await.unwrap();
    let (objects, gate) = (std::sync::Arc::<Memory>::default(), DatabaseGate::new());
    let context = context(&store, &objects, &gate);
    let (clients, key_sets) = (ClientReconciler::new(context.clone()), KeySetReconciler::new(context));
    let names: Vec<String> = (0..CLIENTS).map(|n| format!("client-{n}")).collect();
    for name in &names {
        objects.declare_client(NAMESPACE, name, service(json!({})));
    }
    objects.declare_key_set(NAMESPACE, "invoices", json!({"algorithms": ["ES256"]}));
    let all = async || {
        let mut outcomes = Vec::new();
        for name in &names {
            outcomes.push(clients.reconcile(&objects.client(NAMESPACE, name).unwrap()).await);
        }
        outcomes.push(key_sets.reconcile(&objects.key_set(NAMESPACE, "invoices").unwrap()).await);
        outcomes
    };
    assert!(all().await.iter().all(|outcome| matches!(outcome, Outcome::Settled { .. })));
    let told = statuses(&objects);
    assert_eq!(told, CLIENTS + 1);

    proxy.cut();
    let asked = store.statements();
    assert!(all().await.iter().all(|outcome| *outcome == Outcome::DatabaseAway));
    assert!(!gate.is_open());
    assert_eq!(store.statements(), asked + 1, "the first one closed the gate for all");
    assert_eq!(statuses(&objects), told + CLIENTS + 1);
    for _ in 0..3 {
        assert!(all().await.iter().all(|outcome| *outcome == Outcome::DatabaseAway));
    }
    assert_eq!(store.statements(), asked + 1, "nobody asks while it is closed");
    assert_eq!(statuses(&objects), told + CLIENTS + 1, "each is told once");
    let away = objects.client(NAMESPACE, &names[0]).unwrap().status.unwrap();
    let ready = away.condition(&ConditionType::Ready).unwrap();
    assert_eq!((ready.status, &ready.reason), (ConditionStatus::False, &Reason::DatabaseUnavailable));
    assert!(!ready.message.contains("127.0.0.1"), "{}", ready.message);
    let secret_ready = away.condition(&ConditionType::SecretReady).unwrap();
    assert_eq!(secret_ready.status, ConditionStatus::True, "nobody took the Secret away");

    proxy.restore();
    let (probing, probed) = (gate.clone(), store.clone());
    let _probe = AbortOnDropHandle::new(tokio::spawn(async move { probing.probe(&probed).await }));
    eventually("the gate opens", async || gate.is_open()).await;
    assert!(all().await.iter().all(|outcome| matches!(outcome, Outcome::Settled { .. })));
    assert_eq!(statuses(&objects), told + 2 * (CLIENTS + 1));
    for name in &names {
        let status = objects.client(NAMESPACE, name).unwrap().status.unwrap();
        let id = status.client_id.unwrap().try_into().unwrap();
        let row = store.read_client(&id).await.unwrap().unwrap();
        let secret = objects.secret(NAMESPACE, &secret_name(name)).unwrap();
        assert!(authenticates(&store, &row, &entry(&secret, "CLIENT_SECRET").unwrap()));
    }
}

#[tokio::test]
async fn a_deletion_waits_for_the_database_and_says_so_once() {
    let world = World::new().await;
    world.declare("orders", json!({}));
    world.ready("orders").await;
    let id = world.id("orders");
    world.objects.declare_key_set(
        NAMESPACE,
        "invoices",
        json!({"algorithms": ["ES256"], "deletionPolicy": "Delete"}),
    );
    let key_set = || world.objects.key_set(NAMESPACE, "invoices");
    world.key_sets().reconcile(&key_set().unwrap()).await;
    world.gate.close();
    world.objects.forget_events();
    for name in ["orders", "invoices"] {
        world.objects.delete(NAMESPACE, name, world.now());
    }
    let before = world.objects.writes();
    let blocked = Outcome::DeletionBlocked { again_at: world.now() + SignedDuration::from_mins(10) };
    for _ in 0..3 {
        assert_eq!(world.reconcile("orders").await, blocked);
        assert_eq!(world.key_sets().reconcile(&key_set().unwrap()).await, blocked);
    }
    assert_eq!(world.objects.writes(), before + 2);
    assert_eq!(world.objects.reasons("invoices"), ["DeletionBlocked"]);
    assert_eq!(world.told("orders").0, Some(Reason::Terminating));
    assert_eq!(world.objects.reasons("orders"), ["DeletionBlocked"]);
    assert!(!world.gate.is_open(), "waiting at a closed gate is no reason to open it");
    world.open_gate().await;
    world.settle("orders").await;
    world.key_sets().reconcile(&key_set().unwrap()).await;
    assert!(world.client("orders").is_none() && key_set().is_none());
    assert!(world.store.read_client(&id).await.unwrap().is_none());
    assert!(world.store.read_key_set("invoices").await.unwrap().is_none());
}

#[tokio::test]
async fn a_deletion_that_has_waited_long_enough_does_without_the_database() {
    let world = World::new().await;
    world.declare("orders", json!({}));
    world.ready("orders").await;
    let id = world.id("orders");
    let set = |name, policy| {
        let spec = json!({"algorithms": ["ES256"], "deletionPolicy": policy});
        world.objects.declare_key_set(NAMESPACE, name, spec);
    };
    set("invoices", "Delete");
    set(store::ID_TOKEN_SET, "Delete");
    let key_set = |name: &str| world.objects.key_set(NAMESPACE, name);
    for name in ["invoices", store::ID_TOKEN_SET] {
        world.key_sets().reconcile(&key_set(name).unwrap()).await;
    }
    world.gate.close();
    for name in ["orders", "invoices", store::ID_TOKEN_SET] {
        world.objects.delete(NAMESPACE, name, world.now());
    }
    world.clock.advance(SignedDuration::from_mins(10) - SignedDuration::from_secs(1));
    world.reconcile("orders").await;
    assert!(world.client("orders").is_some(), "not before its time");
    world.clock.advance(SignedDuration::from_secs(1));
    assert_eq!(world.reconcile("orders").await, Outcome::Nothing);
    for name in ["invoices", store::ID_TOKEN_SET] {
        world.key_sets().reconcile(&key_set(name).unwrap()).await;
    }
    assert!(world.client("orders").is_none() && key_set("invoices").is_none());
    assert!(key_set(store::ID_TOKEN_SET).is_some(), "the server signs with it");
    assert_eq!(world.objects.reasons("orders").last().unwrap(), "Orphaned");
    assert!(!world.gate.is_open());
    // What a sweep needs to know of what was left behind.
    let client = world.store.managed_clients(crate::world::CLUSTER).await.unwrap().remove(0);
    assert_eq!((client.key.as_str(), client.deleted_with_manager), (id.as_str(), true));
    let sets = world.store.managed_key_sets(crate::world::CLUSTER).await.unwrap();
    let invoices = sets.iter().find(|set| set.key == "invoices").unwrap();
    assert!(invoices.deleted_with_manager);
    assert!(world.store.delete_orphaned_key_set(invoices).await.unwrap());
    assert!(!world.store.delete_orphaned_key_set(invoices).await.unwrap(), "it is gone");
    let stale = store::ManagedRow { version: client.version - 1, ..client.clone() };
    assert!(!world.store.delete_orphaned_client(&stale).await.unwrap(), "it is another by now");
    assert!(world.store.delete_orphaned_client(&client).await.unwrap());
    assert!(world.store.read_client(&id).await.unwrap().is_none());
}

#[tokio::test]
async fn waiting_at_the_gate_does_not_close_it() {
    let world = World::new().await;
    world.declare("orders", json!({}));
    world.gate.close();
    let client = world.client("orders").unwrap();
    let reconciler = world.clients();
    let mut waiting = std::pin::pin!(reconciler.reconcile(&client));
    // It has met the closed gate, and is about to say so, when the gate opens.
    assert!(futures::poll!(&mut waiting).is_pending());
    world.open_gate().await;
    assert_eq!(waiting.await, Outcome::DatabaseAway);
    assert!(world.gate.is_open());
}

/// It answers the probe, and nothing else: one that became read-only, for instance.
#[tokio::test]
async fn a_gate_that_is_closed_again_at_once_opens_less_and_less_often() {
    let world = World::new().await;
    let (gate, store) = (world.gate.clone(), world.store.clone());
    let _probe = AbortOnDropHandle::new(tokio::spawn(async move { gate.probe(&store).await }));
    let mut changes = world.gate.subscribe();
    let mut waits = Vec::new();
    for _ in 0..3 {
        let closed = Instant::now();
        world.gate.close();
        changes.wait_for(|open| *open).await.unwrap();
        waits.push(closed.elapsed());
    }
    assert!(waits[1] >= Duration::from_secs(1), "{waits:?}");
    assert!(waits[2] >= Duration::from_secs(2), "{waits:?}");
}

//! The operators of a year, and its time.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use operator::applied::Place;
use operator::database_gate::DatabaseGate;
use operator::plan::sweep::{Present, candidates, is_orphan};
use operator::{ClientReconciler, KeySetReconciler, Outcome};
use store::{ManagedRow, ResourceRef, Store};

use super::clients::Holders;
use super::events::{CLIENTS, SETS};
use super::keys::Verifiers;
use crate::memory::Memory;
use crate::world::{CLUSTER, NAMESPACE, World, context};

/// By how much the clocks of the operators' machines are off, in minutes: less than what is tolerated.
pub const SKEWS: [i64; 3] = [0, -4, 4];
/// How soon an operator looks again that looks too early.
const SOON: SignedDuration = SignedDuration::from_mins(1);

/// Which resource, clients first.
pub type Slot = usize;
/// A reconciliation that stands still.
pub type Frozen = Pin<Box<dyn Future<Output = Outcome>>>;

pub struct Life {
    pub world: World,
    /// One for each clock.
    pub stores: Vec<Store>,
    pub leader: Operator,
    pub frozen: Vec<Frozen>,
    /// When each resource is to be looked at, as its last reconciliation said.
    due: BTreeMap<Slot, Timestamp>,
    pub holders: Holders,
    pub verifiers: Verifiers,
    /// A copy of the database.
    pub copy: Option<std::path::PathBuf>,
}

/// An operator's process.
#[derive(Clone)]
pub struct Operator {
    pub clients: Arc<ClientReconciler<Memory>>,
    pub key_sets: Arc<KeySetReconciler<Memory>>,
    skew: SignedDuration,
}

impl Operator {
    /// A process that has just started on the machine of this clock.
    pub fn new(objects: &Arc<Memory>, gate: &DatabaseGate, stores: &[Store], machine: usize) -> Self {
        let context = context(&stores[machine], objects, gate);
        Self {
            clients: Arc::new(ClientReconciler::new(context.clone())),
            key_sets: Arc::new(KeySetReconciler::new(context)),
            skew: SignedDuration::from_mins(SKEWS[machine]),
        }
    }
}

impl Life {
    pub async fn new() -> Self {
        let world = World::new().await;
        let mut stores = Vec::new();
        for minutes in SKEWS {
            stores.push(world.another_store(SignedDuration::from_mins(minutes)).await);
        }
        let leader = Operator::new(&world.objects, &world.gate, &stores, 0);
        Self {
            world,
            stores,
            leader,
            frozen: Vec::new(),
            due: BTreeMap::new(),
            holders: Holders::default(),
            verifiers: Verifiers::default(),
            copy: None,
        }
    }

    pub fn had_its_year(&self) {
        let days = self.world.now().duration_since(World::start()).as_hours() / 24;
        assert!(days > 100, "{days} days");
    }

    pub fn slots() -> std::ops::Range<Slot> {
        0..CLIENTS.len() + SETS.len()
    }

    /// Another process leads, on the machine of this clock.
    pub fn lead(&mut self, machine: usize) {
        self.leader = Operator::new(&self.world.objects, &self.world.gate, &self.stores, machine);
    }

    /// The work on one resource, which owns all that it needs.
    pub fn reconciliation(&self, operator: &Operator, slot: Slot) -> Option<Frozen> {
        let objects = &self.world.objects;
        if let Some((namespace, name)) = CLIENTS.get(slot) {
            let (client, reconciler) = (objects.client(namespace, name)?, operator.clients.clone());
            return Some(Box::pin(async move { reconciler.reconcile(&client).await }));
        }
        let (name, _) = SETS[slot - CLIENTS.len()];
        let (set, reconciler) = (objects.key_set(NAMESPACE, name)?, operator.key_sets.clone());
        Some(Box::pin(async move { reconciler.reconcile(&set).await }))
    }

    /// The leader looks at one resource.
    pub async fn work(&mut self, slot: Slot) -> Outcome {
        let Some(work) = self.reconciliation(&self.leader, slot) else {
            self.due.remove(&slot);
            return Outcome::Nothing;
        };
        let outcome = work.await;
        let again_at = match &outcome {
            Outcome::Settled { again_at } => *again_at,
            Outcome::DeletionBlocked { again_at } => Some(*again_at),
            _ => None,
        };
        // By the clock of that machine.
        let again_at = again_at.map(|at| (at - self.leader.skew).max(self.world.now() + SOON));
        match again_at {
            Some(at) => self.due.insert(slot, at),
            None => self.due.remove(&slot),
        };
        self.look().await;
        outcome
    }

    /// The leader looks at all resources once.
    pub async fn work_all(&mut self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for slot in Self::slots() {
            outcomes.push(self.work(slot).await);
        }
        outcomes
    }

    /// Time passes, and the leader does what is due.
    pub async fn live(&mut self, hours: i64) {
        let end = self.world.now() + SignedDuration::from_hours(hours);
        loop {
            let next = self.due.iter().map(|(slot, at)| (*at, *slot)).min();
            let Some((at, slot)) = next.filter(|(at, _)| *at <= end) else { break };
            self.pass_until(at).await;
            self.work(slot).await;
        }
        self.pass_until(end).await;
    }

    /// Time passes, and nobody does anything; servers sign and verify.
    pub async fn pass_until(&mut self, end: Timestamp) {
        let sets = self.world.store.read_key_sets().await.unwrap();
        self.verifiers.pass(&sets, self.world.now(), end, self.longest_token().await, &self.world.story);
        self.world.clock.set(end.max(self.world.now()));
        self.world.objects.collect_garbage();
        self.look().await;
    }

    /// What servers and workloads see now.
    pub async fn look(&mut self) {
        let sets = self.world.store.read_key_sets().await.unwrap();
        let (now, longest) = (self.world.now(), self.longest_token().await);
        self.verifiers.look(&sets, now, longest, &self.world.story);
        self.holders.look(&self.world).await;
    }

    async fn longest_token(&self) -> SignedDuration {
        let rows = self.world.sql("SELECT MAX(longest_access_token) FROM clients").await;
        let longest: Option<i64> = sqlx::Row::get(&rows[0], 0);
        SignedDuration::from_secs(longest.unwrap_or(0).max(3600))
    }

    /// What the leader does once an hour: rows whose resource is gone go.
    pub async fn sweep(&self) {
        let (store, objects) = (&self.world.store, &self.world.objects);
        let place = |meta: &kube::core::ObjectMeta| Place {
            namespace: meta.namespace.clone().unwrap(),
            name: meta.name.clone().unwrap(),
        };
        let uid = |meta: &kube::core::ObjectMeta| meta.uid.clone().unwrap();
        let rows = store.managed_clients(CLUSTER).await.unwrap();
        let live = objects.clients();
        let present: Present = live.iter().map(|c| (place(&c.metadata), uid(&c.metadata))).collect();
        for row in candidates(&rows, &present, self.world.now()) {
            let found = objects.client(&row.manager.namespace, &row.manager.name);
            let status = found.as_ref().and_then(|client| client.status.as_ref()?.client_id.as_deref());
            let found = found.as_ref().map(|client| (client.metadata.uid.as_deref().unwrap(), status));
            if is_orphan(row, found) {
                store.delete_orphaned_client(row).await.unwrap();
            }
        }
        let rows = store.managed_key_sets(CLUSTER).await.unwrap();
        let live = objects.key_sets();
        let present: Present = live.iter().map(|s| (place(&s.metadata), uid(&s.metadata))).collect();
        for row in candidates(&rows, &present, self.world.now()) {
            let found = objects.key_set(&row.manager.namespace, &row.manager.name);
            let status = found.as_ref().and_then(|set| set.status.as_ref()?.set.as_deref());
            let found = found.as_ref().map(|set| (set.metadata.uid.as_deref().unwrap(), status));
            if is_orphan(row, found) {
                store.delete_orphaned_key_set(row).await.unwrap();
            }
        }
    }

    /// True where the resource that a row names is there.
    pub fn is_there(&self, row: &ManagedRow) -> bool {
        let ResourceRef { namespace, name, .. } = &row.manager;
        let objects = &self.world.objects;
        objects.client(namespace, name).is_some() || objects.key_set(namespace, name).is_some()
    }
}

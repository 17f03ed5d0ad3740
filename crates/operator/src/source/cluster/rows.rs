//! The database's side: rows that somebody changed are put right, and those whose resource is gone are deleted.
//!
//! The database tells of each change. Once an hour all rows are compared, by one statement for each kind, should it have
//! told of something to nobody. Only the leader looks.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crd::{JsonWebKeySet, OAuth2Client, maester};
use futures::StreamExt;
use kube::runtime::reflector::{ObjectRef, Store as Known};
use kube::{Api, Client, Resource, ResourceExt};
use oauth::ClientId;
use store::{Changed, Error, ManagedRow, Store};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::again::Again;
use super::answer::answer;
use super::attempts::Attempts;
use super::kind::Kind;
use super::objects::ClusterObjects;
use super::of_maester::MaesterReconciler;
use super::requeue::spread;
use super::scope::Scope;
use super::watches::Watched;
use super::worker::Losers;
use crate::applied::{Applied, Place};
use crate::leadership::Leadership;
use crate::metrics::OrphanLabels;
use crate::plan::sweep::{Present, are_too_many, candidates, is_orphan};
use crate::reconcile::Context;

/// How long a change waits for others.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// The pause between two comparisons of all rows: our own writes are told of, too.
const PAUSE: Duration = Duration::from_secs(1);

/// From so many changed clients on, all rows are compared.
const MANY: usize = 1000;

/// What is known of one kind of resource, and the way into its queues.
pub(super) struct Side<K: Kind> {
    pub(super) known: Vec<Known<Watched<K>>>,
    pub(super) again: Again<K>,
    pub(super) attempts: Arc<Attempts<ObjectRef<Watched<K>>>>,
}

/// Looks after rows.
pub(super) struct Rows {
    pub(super) client: Client,
    pub(super) context: Context<ClusterObjects>,
    pub(super) leadership: Leadership,
    pub(super) scope: Scope,
    /// The time between two comparisons of all rows.
    pub(super) every: Duration,
    /// Each is true while a watch of Secrets fails: then nobody tells of what happens to them.
    pub(super) blind: Vec<Arc<AtomicBool>>,
    pub(super) clients: Side<OAuth2Client>,
    pub(super) key_sets: Side<JsonWebKeySet>,
    /// Where Hydra Maester's resources are looked after.
    pub(super) maester: Option<(Arc<MaesterReconciler>, Side<maester::OAuth2Client>)>,
}

/// What may have changed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Touched {
    /// These clients.
    clients: BTreeSet<ClientId>,
    /// Any client.
    all_clients: bool,
    /// Any key set.
    key_sets: bool,
}

impl Touched {
    fn anything() -> Self {
        Self { all_clients: true, key_sets: true, ..Self::default() }
    }

    fn add(&mut self, more: Self) {
        self.clients.extend(more.clients);
        self.all_clients |= more.all_clients || self.clients.len() > MANY;
        self.key_sets |= more.key_sets;
    }
}

impl Rows {
    /// Waits until all resources are known.
    pub(super) async fn all_known(&self) {
        self.clients.all_known().await;
        self.key_sets.all_known().await;
        if let Some((_, side)) = &self.maester {
            side.all_known().await;
        }
    }

    /// Looks after rows, from when all resources are known. Never ends.
    pub(super) async fn look_after(&self) {
        let mut terms = Box::pin(self.leadership.terms());
        let mut changes = self.context.store.changes();
        let mut next = Instant::now() + self.every;
        let mut free_at = Instant::now();
        loop {
            let touched = tokio::select! {
                touched = self.touched(&mut changes, free_at) => touched,
                Some(()) = terms.next() => {
                    next = Instant::now();
                    continue;
                }
                () = tokio::time::sleep_until(next) => {
                    next = Instant::now() + spread(self.every, self.context.store.entropy());
                    self.leadership.during(self.resync()).await;
                    continue;
                }
            };
            if touched != Touched::default() && self.context.gate.is_open() {
                free_at = Instant::now() + PAUSE;
                let compared = self.leadership.during(self.compare(touched)).await;
                self.told(compared.unwrap_or(Ok(())));
            }
        }
    }

    /// Waits for changes of rows that are known, and a little for more of them.
    async fn touched(&self, changes: &mut Receiver<Changed>, free_at: Instant) -> Touched {
        let mut touched = self.concerns(changes.recv().await);
        let until = free_at.max(Instant::now() + DEBOUNCE);
        while let Ok(change) = tokio::time::timeout_at(until, changes.recv()).await {
            touched.add(self.concerns(change));
        }
        touched
    }

    fn concerns(&self, change: Result<Changed, RecvError>) -> Touched {
        match change {
            Ok(Changed::Client(id)) => {
                let mut applied = vec![&self.context.applied_clients];
                applied.extend(self.maester.iter().map(|(maester, _)| maester.applied()));
                let is_known = applied.iter().any(|all| all.knows(id.as_str()));
                Touched { clients: is_known.then_some(id).into_iter().collect(), ..Touched::default() }
            }
            Ok(Changed::KeySets) => Touched { key_sets: true, ..Touched::default() },
            Ok(Changed::Everything) | Err(RecvError::Lagged(_) | RecvError::Closed) => Touched::anything(),
        }
    }

    /// Has the resources looked at whose rows are not what they were. Of clients, which may be many and are told of one by
    /// one, no other rows are read than those that may have changed: our own writes are told of as well, and while much is
    /// written, that is each second.
    async fn compare(&self, touched: Touched) -> Result<(), Error> {
        let (store, cluster) = (&self.context.store, &self.context.settings.cluster);
        let applied = &self.context.applied_clients;
        if touched.all_clients {
            self.clients.look_at(applied.drifted(&store.managed_clients(cluster).await?));
            if let Some((maester, side)) = &self.maester {
                let rows = store.managed_clients(&maester.cluster()).await?;
                side.look_at(maester.applied().drifted(&rows));
            }
        } else if !touched.clients.is_empty() {
            let rows = store.managed_clients_of(&touched.clients).await?;
            let ids: HashSet<&str> = touched.clients.iter().map(ClientId::as_str).collect();
            let drifted = |applied: &Applied, cluster: &str| {
                let of_cluster = |row: &&ManagedRow| row.manager.cluster == cluster;
                let rows: Vec<_> = rows.iter().filter(of_cluster).cloned().collect();
                applied.drifted_among(&rows, |key| ids.contains(key))
            };
            self.clients.look_at(drifted(applied, cluster));
            if let Some((maester, side)) = &self.maester {
                side.look_at(drifted(maester.applied(), &maester.cluster()));
            }
        }
        if touched.key_sets {
            let rows = store.managed_key_sets(cluster).await?;
            self.key_sets.look_at(self.context.applied_key_sets.drifted(&rows));
        }
        Ok(())
    }

    /// Compares all, and sweeps.
    async fn resync(&self) {
        self.context.gate.opened().await;
        if self.blind.iter().any(|blind| blind.load(Ordering::Relaxed)) {
            self.clients.look_at_all();
            self.key_sets.look_at_all();
        }
        if let Some((_, side)) = &self.maester {
            // Nobody tells of the Secrets that others keep.
            side.look_at_all();
        }
        self.told(self.compare_and_sweep().await);
    }

    async fn compare_and_sweep(&self) -> Result<(), Error> {
        let Context { store, settings, applied_clients, applied_key_sets, .. } = &self.context;
        self.sweep(&self.clients, applied_clients, store.managed_clients(&settings.cluster).await?).await?;
        if let Some((maester, side)) = &self.maester {
            self.sweep(side, maester.applied(), store.managed_clients(&maester.cluster()).await?).await?;
        }
        self.sweep(&self.key_sets, applied_key_sets, store.managed_key_sets(&settings.cluster).await?).await
    }

    /// Has the resources of a kind looked at whose rows are not what they were, and deletes the rows of those that are
    /// gone.
    async fn sweep<K: Kind + HasRow>(
        &self,
        side: &Side<K>,
        applied: &Applied,
        rows: Vec<ManagedRow>,
    ) -> Result<(), Error> {
        side.look_at(applied.drifted(&rows));
        let kind = kind_label::<K>();
        for row in self.orphans(side, &self.in_scope(rows)).await {
            if K::delete_orphan(&self.context.store, &row).await? {
                tracing::info!(kind, key = row.key, manager = %row.manager, "deleted: its resource is gone");
                self.context
                    .metrics
                    .orphans_removed
                    .get_or_create(&OrphanLabels { kind: kind.clone() })
                    .inc();
            }
        }
        Ok(())
    }

    /// The rows of resources that can be looked up.
    fn in_scope(&self, mut rows: Vec<ManagedRow>) -> Vec<ManagedRow> {
        if let Scope::Namespaces(names) = &self.scope {
            rows.retain(|row| names.contains(&row.manager.namespace));
        }
        rows
    }

    /// The rows whose resources are gone, each looked up just now.
    async fn orphans<K: Kind + HasRow>(&self, side: &Side<K>, rows: &[ManagedRow]) -> Vec<ManagedRow> {
        let now = self.context.store.clock().now();
        let mut orphans = Vec::new();
        for row in candidates(rows, &side.present(), now) {
            match self.is_gone::<K>(row).await {
                Ok(true) => orphans.push(row.clone()),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, manager = %row.manager, "not known whether it is gone"),
            }
        }
        let kind = kind_label::<K>();
        let refused = !self.context.settings.allow_mass_deletion && are_too_many(orphans.len(), rows.len());
        if refused {
            tracing::error!(
                kind,
                "{} of {} rows have lost their resource, which is too many to be deleted unasked: if that is meant, \
                 start the operator once with --allow-mass-deletion",
                orphans.len(),
                rows.len()
            );
        }
        let left = if refused { std::mem::take(&mut orphans).len() } else { 0 };
        let left = i64::try_from(left).unwrap_or(i64::MAX);
        self.context.metrics.orphans.get_or_create(&OrphanLabels { kind }).set(left);
        orphans
    }

    /// Looks a row's resource up: true where it is gone.
    async fn is_gone<K: Kind + HasRow>(&self, row: &ManagedRow) -> Result<bool, crate::ObjectError> {
        let api = Api::<K>::namespaced(self.client.clone(), &row.manager.namespace);
        let live = answer(api.get_opt(&row.manager.name)).await?;
        let uid = live.as_ref().and_then(ResourceExt::uid);
        Ok(is_orphan(row, uid.as_deref().map(|uid| (uid, live.as_ref().and_then(HasRow::row)))))
    }

    fn told(&self, done: Result<(), Error>) {
        if let Err(error) = done {
            tracing::warn!(%error, "the rows could not be compared");
            self.context.metrics.db_errors.inc();
            if error.is_transient() {
                self.context.gate.close();
            }
        }
    }
}

impl<K: Kind> Side<K> {
    /// Waits one by one, and so with the waker of the whole task: a store wakes only one of those who wait for it, and the
    /// queue waits as well.
    async fn all_known(&self) {
        for known in &self.known {
            // A writer lives in its queue, as long as `run` does.
            let _ = known.wait_until_ready().await;
        }
    }

    fn look_at(&self, drifted: BTreeSet<Place>) {
        for place in drifted {
            tracing::info!(kind = %K::kind(&()), namespace = place.namespace, name = place.name, "its row was changed");
            self.again.look_at(ObjectRef::new(&place.name).within(&place.namespace));
        }
    }

    /// Has those looked at who lost against another resource, whenever it is called.
    pub(super) fn losers(&self) -> Losers {
        let (again, attempts) = (self.again.clone(), self.attempts.clone());
        Arc::new(move || {
            for loser in attempts.losers() {
                again.look_at(loser);
            }
        })
    }

    fn look_at_all(&self) {
        for resource in self.known.iter().flat_map(Known::state) {
            self.again.look_at(ObjectRef::from_obj(&*resource));
        }
    }

    fn present(&self) -> Present {
        let all = self.known.iter().flat_map(Known::state);
        all.map(|resource| {
            let meta = resource.meta();
            let (namespace, name) = (meta.namespace.clone(), meta.name.clone());
            let place = Place { namespace: namespace.unwrap_or_default(), name: name.unwrap_or_default() };
            (place, meta.uid.clone().unwrap_or_default())
        })
        .collect()
    }
}

/// The kind, with its group where that is not ours: two groups have an `OAuth2Client`.
pub(super) fn kind_label<K: Kind>() -> String {
    let (kind, group) = (K::kind(&()), K::group(&()));
    if group == crd::names::GROUP { kind.into_owned() } else { format!("{kind}.{group}") }
}

/// A resource whose status names its row.
pub(super) trait HasRow {
    /// The client's id or the set's name, from when there is one.
    fn row(&self) -> Option<&str>;

    /// Deletes the row of a resource that is gone. False where it has changed meanwhile.
    fn delete_orphan(store: &Store, row: &ManagedRow) -> impl Future<Output = Result<bool, Error>> + Send;
}

impl HasRow for OAuth2Client {
    fn row(&self) -> Option<&str> {
        self.status.as_ref()?.client_id.as_deref()
    }

    async fn delete_orphan(store: &Store, row: &ManagedRow) -> Result<bool, Error> {
        store.delete_orphaned_client(row).await
    }
}

impl HasRow for JsonWebKeySet {
    fn row(&self) -> Option<&str> {
        self.status.as_ref()?.set.as_deref()
    }

    async fn delete_orphan(store: &Store, row: &ManagedRow) -> Result<bool, Error> {
        store.delete_orphaned_key_set(row).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_one_by_one_is_compared_alone_until_it_is_much() {
        let told = |ids: std::ops::Range<usize>| {
            let ids = ids.map(|n| ClientId::parse(format!("client-{n}")).unwrap());
            Touched { clients: ids.collect(), ..Touched::default() }
        };
        let mut touched = told(0..1);
        touched.add(told(0..1));
        touched.add(told(1..MANY));
        assert_eq!(touched, told(0..MANY));
        touched.add(Touched { key_sets: true, ..Touched::default() });
        assert!(touched.key_sets && !touched.all_clients);
        touched.add(told(0..MANY + 1));
        assert!(touched.all_clients);
        let mut touched = told(0..1);
        touched.add(Touched::anything());
        assert!(touched.all_clients && touched.key_sets);
    }
}

//! The operator's metrics.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// One kind of resource and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReconcileLabels {
    /// `OAuth2Client` or `JsonWebKeySet`.
    pub kind: &'static str,
    /// [`crate::Outcome::result`].
    pub result: &'static str,
}

/// How resources stand.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub struct ResourceLabels {
    /// `OAuth2Client` or `JsonWebKeySet`; one of another group has its name behind a dot.
    pub kind: String,
    /// The status of `Ready`; `Unknown` where there is none yet.
    pub ready: String,
    /// Its reason, likewise.
    pub reason: String,
}

/// Keys of a set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub struct KeyLabels {
    /// The set's name.
    pub set: String,
    /// `Next`, `Active` or `Retired`.
    pub state: String,
}

/// A kind of resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct KindLabels {
    /// `OAuth2Client` or `JsonWebKeySet`; with its group where that is not ours.
    pub kind: String,
}

/// Rows of a kind of resource.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OrphanLabels {
    /// `OAuth2Client` or `JsonWebKeySet`.
    pub kind: String,
}

/// A key set.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SetLabels {
    /// Its name.
    pub set: String,
}

/// The operator's metrics. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Reconciliations, by kind and result.
    pub reconcile: Family<ReconcileLabels, Counter>,
    /// How long they took.
    pub reconcile_seconds: Histogram,
    /// Resources that are to be looked at now, and wait for their turn.
    pub queue_depth: Family<KindLabels, Gauge>,
    /// Client secrets that were rotated.
    pub secret_rotations: Counter,
    /// Rows that were found changed and put right.
    pub drift_corrections: Counter,
    /// Resources that lost against another.
    pub conflicts: Counter,
    /// Turns of keys that failed.
    pub jwk_rotation_failures: Family<SetLabels, Counter>,
    /// When the next key becomes active, in seconds since the epoch.
    pub next_rotation: Family<SetLabels, Gauge>,
    /// Database errors that reconcilers met.
    pub db_errors: Counter,
    /// Resources, by how they stand.
    pub resources: Family<ResourceLabels, Gauge>,
    /// For how long the oldest key of a set has been in a state, in seconds.
    pub key_age: Family<KeyLabels, Gauge>,
    /// Rows that lost their resource, and were too many to be deleted unasked.
    pub orphans: Family<OrphanLabels, Gauge>,
    /// Rows that were deleted because their resource was gone.
    pub orphans_removed: Family<OrphanLabels, Counter>,
    /// 1 while this process leads, else 0.
    pub leader: Gauge,
}

impl Metrics {
    /// Makes the metrics and registers them. The registry's exporter adds `_total` to counters.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            reconcile: Family::default(),
            reconcile_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            queue_depth: Family::default(),
            secret_rotations: Counter::default(),
            drift_corrections: Counter::default(),
            conflicts: Counter::default(),
            jwk_rotation_failures: Family::default(),
            next_rotation: Family::default(),
            db_errors: Counter::default(),
            resources: Family::default(),
            key_age: Family::default(),
            orphans: Family::default(),
            orphans_removed: Family::default(),
            leader: Gauge::default(),
        };
        registry.register("reconcile", "Reconciliations", metrics.reconcile.clone());
        registry.register("reconcile_seconds", "Time of a reconciliation", metrics.reconcile_seconds.clone());
        registry.register("queue_depth", "Resources that wait for their turn", metrics.queue_depth.clone());
        registry.register("secret_rotations", "Rotated client secrets", metrics.secret_rotations.clone());
        registry.register("drift_corrections", "Corrected rows", metrics.drift_corrections.clone());
        registry.register("conflicts", "Resources that lost against another", metrics.conflicts.clone());
        registry.register(
            "jwk_rotation_failures",
            "Failed turns of keys",
            metrics.jwk_rotation_failures.clone(),
        );
        registry.register(
            "next_rotation_timestamp_seconds",
            "When the next key becomes active",
            metrics.next_rotation.clone(),
        );
        registry.register("db_errors", "Database errors of reconcilers", metrics.db_errors.clone());
        registry.register(
            "orphans",
            "Rows without their resource, too many to delete",
            metrics.orphans.clone(),
        );
        registry.register("resources", "Resources by how they stand", metrics.resources.clone());
        registry.register("key_age_seconds", "Time of the oldest key in its state", metrics.key_age.clone());
        let removed = metrics.orphans_removed.clone();
        registry.register("orphans_removed", "Deleted rows whose resource was gone", removed);
        registry.register("leader", "1 while this process leads", metrics.leader.clone());
        metrics
    }
}

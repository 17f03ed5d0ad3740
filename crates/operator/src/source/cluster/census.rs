//! What the metrics say of all resources together. Only the leader says it, so that nothing is counted twice.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crd::{Condition, ConditionType, JsonWebKeySet, KeyState, OAuth2Client, maester};
use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

use super::kind::Kind;
use super::rows::{Rows, Side, kind_label};
use crate::metrics::{KeyLabels, KindLabels, ResourceLabels};

/// The pause between two counts.
const EVERY: Duration = Duration::from_secs(10);

impl Rows {
    /// Counts the resources, again and again. Never ends.
    pub(super) async fn count(&self) {
        let (mut resources, mut ages) = (BTreeSet::new(), BTreeSet::new());
        loop {
            let metrics = &self.context.metrics;
            let (mut counts, mut keys) = (BTreeMap::new(), BTreeMap::new());
            if self.leadership.leads() {
                tally(&self.clients, &mut counts);
                tally(&self.key_sets, &mut counts);
                if let Some((_, side)) = &self.maester {
                    tally(side, &mut counts);
                }
                keys = key_ages(&self.key_sets, self.context.store.clock().now());
            } else {
                // Whoever leads now counts anew.
                metrics.orphans.clear();
            }
            self.measure(&self.clients);
            self.measure(&self.key_sets);
            if let Some((_, side)) = &self.maester {
                self.measure(side);
            }
            publish(&metrics.resources, &mut resources, counts);
            publish(&metrics.key_age, &mut ages, keys);
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Says how many resources of a kind wait for their turn. Whoever does not lead drops what its queues bring.
    fn measure<K: Kind>(&self, side: &Side<K>) {
        let waiting = if self.leadership.leads() { side.attempts.waiting(Instant::now()) } else { 0 };
        let depth = self.context.metrics.queue_depth.get_or_create(&KindLabels { kind: kind_label::<K>() });
        depth.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }
}

/// Sets what is there now, and to zero what was and is no more.
fn publish<L>(family: &Family<L, Gauge>, told: &mut BTreeSet<L>, now: BTreeMap<L, i64>)
where
    L: EncodeLabelSet + Clone + Ord + std::hash::Hash + std::fmt::Debug + Send + Sync + 'static,
{
    for gone in told.iter().filter(|labels| !now.contains_key(labels)) {
        family.get_or_create(gone).set(0);
    }
    for (labels, value) in now {
        family.get_or_create(&labels).set(value);
        told.insert(labels);
    }
}

fn tally<K: Kind + Conditioned>(side: &Side<K>, counts: &mut BTreeMap<ResourceLabels, i64>) {
    for resource in side.known.iter().flat_map(kube::runtime::reflector::Store::state) {
        let Ok(resource) = &resource.0 else { continue };
        let (ready, reason) = resource.readiness().unwrap_or(("Unknown", "Unknown"));
        let labels =
            ResourceLabels { kind: kind_label::<K>(), ready: ready.to_owned(), reason: reason.to_owned() };
        *counts.entry(labels).or_default() += 1;
    }
}

/// For how long the oldest key of each set has been in each state.
fn key_ages(side: &Side<JsonWebKeySet>, now: Timestamp) -> BTreeMap<KeyLabels, i64> {
    let mut ages = BTreeMap::new();
    for key_set in side.known.iter().flat_map(kube::runtime::reflector::Store::state) {
        let Ok(key_set) = &key_set.0 else { continue };
        for key in key_set.status.iter().flat_map(|status| &status.keys) {
            let since = match key.state {
                KeyState::Next => key.published_at,
                KeyState::Active => key.active_at,
                KeyState::Retired => key.retired_at,
            };
            let Some(since) = since else { continue };
            let labels = KeyLabels { set: key_set.set_name(), state: key.state.as_str().to_owned() };
            let age: &mut i64 = ages.entry(labels).or_default();
            *age = (*age).max(now.duration_since(since.get()).as_secs());
        }
    }
    ages
}

/// A resource that is ready or not.
pub(super) trait Conditioned {
    /// The status and the reason of its condition `Ready`, where it has one.
    fn readiness(&self) -> Option<(&str, &str)>;
}

fn ready(conditions: &[Condition]) -> Option<(&str, &str)> {
    let ready = conditions.iter().find(|condition| condition.type_ == ConditionType::Ready)?;
    Some((ready.status.as_str(), ready.reason.as_str()))
}

impl Conditioned for OAuth2Client {
    fn readiness(&self) -> Option<(&str, &str)> {
        ready(&self.status.as_ref()?.conditions)
    }
}

impl Conditioned for JsonWebKeySet {
    fn readiness(&self) -> Option<(&str, &str)> {
        ready(&self.status.as_ref()?.conditions)
    }
}

impl Conditioned for maester::OAuth2Client {
    fn readiness(&self) -> Option<(&str, &str)> {
        let conditions = &self.status.as_ref()?.conditions;
        let ready = conditions.iter().find(|condition| condition.type_ == ConditionType::Ready.as_str())?;
        Some((ready.status.as_str(), ready.reason.as_deref().unwrap_or("Unknown")))
    }
}

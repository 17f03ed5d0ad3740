//! The Lease: one of several operators of an instance leads, the others wait with warm watches.

use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, Client, ResourceExt};
use store::{Error, ManagedRow, Store};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answer::answer;
use super::objects::ClusterObjects;
use crate::ObjectError;
use crate::leadership::Leadership;
use crate::metrics::Metrics;
use crate::plan::lease::{Claim, Decision, RELEASED, Record, Times, decide};
use crate::plan::maester::maesters_cluster;
use crate::reconcile::Context;

/// The pause after somebody else was faster.
const AGAIN: Duration = Duration::from_millis(100);

/// Among whom the leader is elected.
#[derive(Debug, Clone)]
pub struct Election {
    /// The operator's own namespace, where the Lease is.
    pub namespace: String,
    /// The Lease's name, one for each instance.
    pub lease: String,
    /// Who this process is. No other one may be called so at the same time.
    pub identity: String,
    /// How long things take.
    pub times: Times,
}

/// A process that leads or would.
pub(super) struct Candidate {
    api: Api<Lease>,
    election: Election,
    leadership: Leadership,
    store: Store,
    /// How the database names the cluster.
    cluster: String,
    metrics: Metrics,
    /// The version of the Lease that was seen last, and since when it is this one.
    seen: Option<(Option<String>, Instant)>,
    /// The claim that this process wrote, or may have written.
    mine: Option<Claim>,
}

impl Candidate {
    pub(super) fn new(
        client: &Client,
        election: Election,
        leadership: Leadership,
        context: &Context<ClusterObjects>,
    ) -> Self {
        Self {
            api: Api::namespaced(client.clone(), &election.namespace),
            election,
            leadership,
            store: context.store.clone(),
            cluster: context.settings.cluster.clone(),
            metrics: context.metrics.clone(),
            seen: None,
            mine: None,
        }
    }

    /// Stands for election, and leads when elected, until `done`; then releases the Lease.
    pub(super) async fn run(self, done: CancellationToken) {
        let tell = tell(self.leadership.clone(), self.metrics.clone(), self.election.clone());
        tokio::select! {
            () = tell => {}
            () = self.stand(done) => {}
        }
    }

    async fn stand(mut self, done: CancellationToken) {
        loop {
            let pause = self.round().await;
            tokio::select! {
                () = done.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        self.release().await;
    }

    /// One look at the Lease, and what follows from it. How long to wait for the next one.
    async fn round(&mut self) -> Duration {
        let times = self.election.times;
        let lease = match self.call(self.api.get_opt(&self.election.lease)).await {
            Ok(lease) => lease,
            Err(error) => {
                tracing::warn!(%error, lease = self.election.lease, "the Lease cannot be read");
                return times.renew_every;
            }
        };
        let ever_led = lease.is_some() || self.seen.is_some() || self.has_been_led().await;
        let unchanged_since = self.see(lease.as_ref());
        let record = lease.as_ref().map(record);
        let now = Instant::now();
        match decide(record.as_ref(), ever_led, self.mine.as_ref(), &times, unchanged_since, now) {
            Decision::Wait(until) => {
                self.mine = None;
                self.leadership.step_down();
                (until - now).min(times.look_every)
            }
            Decision::Renew => {
                let Some(claim) = self.mine.clone() else { return AGAIN };
                self.write(lease, claim).await
            }
            Decision::Claim => {
                let now = Timestamp::from_microsecond(self.store.clock().now().as_microsecond());
                let acquired = now.unwrap_or(Timestamp::UNIX_EPOCH);
                self.write(lease, Claim { holder: self.election.identity.clone(), acquired }).await
            }
        }
    }

    /// Asked at the first look alone: true unless the database knows that no resource of the cluster was ever seen to,
    /// which is what a leader does. Then it is not from under one that the Lease is missing.
    async fn has_been_led(&self) -> bool {
        let (store, cluster, wait) = (&self.store, &self.cluster, self.election.times.valid / 2);
        !(are_none(wait, store.managed_clients(cluster)).await
            && are_none(wait, store.managed_clients(&maesters_cluster(cluster))).await
            && are_none(wait, store.managed_key_sets(cluster)).await)
    }

    /// Since when the Lease is as it is, as far as this process has seen.
    fn see(&mut self, lease: Option<&Lease>) -> Instant {
        let version = lease.and_then(ResourceExt::resource_version);
        match &self.seen {
            Some((seen, since)) if *seen == version => *since,
            _ => {
                let now = Instant::now();
                self.seen = Some((version, now));
                now
            }
        }
    }

    /// Writes a claim over what was read, or makes the Lease. The term counts from before the request.
    async fn write(&mut self, read: Option<Lease>, claim: Claim) -> Duration {
        let began = Instant::now();
        let lease = self.claimed(read.as_ref(), &claim);
        let params = PostParams::default();
        let written = match read {
            None => self.call(self.api.create(&params, &lease)).await,
            Some(_) => self.call(self.api.replace(&self.election.lease, &params, &lease)).await,
        };
        match written {
            Ok(lease) => {
                self.see(Some(&lease));
                self.mine = Some(claim);
                self.leadership.lead_until(began + self.election.times.valid);
                self.election.times.renew_every
            }
            Err(ObjectError::Raced) => AGAIN,
            Err(error) => {
                tracing::warn!(%error, lease = self.election.lease, "the Lease cannot be written");
                // It may have been, all the same.
                self.mine = Some(claim);
                self.election.times.renew_every
            }
        }
    }

    /// The Lease with a claim; the version that was read fences the write.
    fn claimed(&self, read: Option<&Lease>, claim: &Claim) -> Lease {
        let before = read.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let changes_hands = before.holder_identity.as_ref() != Some(&claim.holder);
        let mut lease = read.cloned().unwrap_or_else(|| Lease {
            metadata: ObjectMeta { name: Some(self.election.lease.clone()), ..ObjectMeta::default() },
            ..Lease::default()
        });
        lease.metadata.managed_fields = None;
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(claim.holder.clone()),
            acquire_time: Some(MicroTime(claim.acquired)),
            renew_time: Some(MicroTime(self.store.clock().now())),
            lease_duration_seconds: Some(whole_seconds(self.election.times.lasts)),
            lease_transitions: Some(
                before.lease_transitions.unwrap_or(0).saturating_add(i32::from(changes_hands)),
            ),
            ..before
        });
        lease
    }

    /// Lets the next one lead at once. What cannot be released expires.
    async fn release(mut self) {
        self.leadership.step_down();
        self.metrics.leader.set(0);
        let Some(mine) = self.mine.take() else { return };
        let read = self.call(self.api.get_opt(&self.election.lease)).await;
        let Ok(Some(mut lease)) = read else { return };
        if record(&lease).claim.as_ref() != Some(&mine) {
            return;
        }
        lease.metadata.managed_fields = None;
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
            spec.acquire_time = None;
            spec.renew_time = Some(MicroTime(self.store.clock().now()));
            spec.lease_duration_seconds = Some(whole_seconds(RELEASED));
        }
        let params = PostParams::default();
        let replaced = self.api.replace(&self.election.lease, &params, &lease);
        if let Err(error) = self.call(replaced).await {
            tracing::warn!(%error, lease = self.election.lease, "the Lease was not released");
        }
    }

    /// Waits for an answer, but no longer than a holder may write without one.
    async fn call<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, ObjectError> {
        let late = |_| ObjectError::Unavailable("no answer in time".to_owned());
        tokio::time::timeout(self.election.times.valid / 2, answer(call))
            .await
            .unwrap_or_else(|e| Err(late(e)))
    }
}

/// True where the database says in time that there is no such row.
async fn are_none(wait: Duration, rows: impl Future<Output = Result<Vec<ManagedRow>, Error>>) -> bool {
    matches!(tokio::time::timeout(wait, rows).await, Ok(Ok(rows)) if rows.is_empty())
}

/// Tells of the beginnings and ends of terms. Never ends.
async fn tell(leadership: Leadership, metrics: Metrics, election: Election) {
    let Election { lease, identity, .. } = &election;
    let mut terms = Box::pin(leadership.terms());
    while terms.next().await.is_some() {
        metrics.leader.set(1);
        tracing::info!(lease, identity, "leading");
        leadership.ended().await;
        metrics.leader.set(0);
        tracing::info!(lease, identity, "no longer leading");
    }
}

fn record(lease: &Lease) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    let holder = spec.holder_identity.filter(|holder| !holder.is_empty());
    let acquired = spec.acquire_time.map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    let seconds = u64::try_from(spec.lease_duration_seconds.unwrap_or(i32::MAX)).unwrap_or(0);
    Record { claim: holder.map(|holder| Claim { holder, acquired }), lasts: Duration::from_secs(seconds) }
}

fn whole_seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_secs()).unwrap_or(i32::MAX)
}

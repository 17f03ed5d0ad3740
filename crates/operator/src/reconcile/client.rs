//! The life of an `OAuth2Client`.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crd::{ConditionType, OAuth2Client, OAuth2ClientStatus, Reason, names};
use kube::{Resource, ResourceExt};
use oauth::{ClientId, ClientSecret};
use store::{ResourceRef, SecretState, StoredClient};

use super::{Context, Failing, Trouble, unsaid};
use crate::applied::Place;
use crate::apply::{Execution, Failure};
use crate::events::{Event, EventReason};
use crate::metrics::ReconcileLabels;
use crate::objects::{ObjectError, Objects, ResourceView};
use crate::outcome::Outcome;
use crate::plan::client::{Action, Gathered, Limits, Plan, Standing, goes_with, may_adopt, plan};
use crate::plan::client_id::{derived, is_generated, is_own};
use crate::plan::client_status;
use crate::plan::secret::{FoundSecret, judge};
use crate::told::Told;

/// How often a resource is planned anew in one reconciliation: once to act, once to see that nothing is left, and a
/// few more for races.
const ROUNDS: usize = 5;

/// Reconciles clients.
///
/// # Guarantees
/// * A crash at any point, and two reconcilers at once, lead to the same end: no credential that a workload may hold
///   stops working before its overlap has passed, and a rotation leaves no third one behind.
/// * Nothing is written where nothing changed.
/// * The status tells of the generation that was reconciled, and of a state that was seen after the last write.
///
/// # Caveats
/// Two at once know of each other only by what they wrote. One that finds a secret on its way leaves the other a
/// second or two; if that one is slower still, the value that it then writes into the Secret is replaced at once.
pub struct ClientReconciler<O> {
    context: Context<O>,
    /// The version of each row that was seen, or left, with a secret on its way into the Secret.
    unwritten: Mutex<HashMap<ClientId, i64>>,
    /// The events that statuses do not account for yet.
    told: Told,
}

impl<O: Objects> ClientReconciler<O> {
    /// A reconciler.
    pub fn new(context: Context<O>) -> Self {
        Self { context, unwritten: Mutex::default(), told: Told::default() }
    }

    /// Forgets a resource that is gone.
    pub fn forget(&self, place: &Place) {
        self.context.applied_clients.forget_place(place);
        self.told.forget(place);
    }

    /// Makes everything around one resource of ours what it declares.
    pub async fn reconcile(&self, client: &OAuth2Client) -> Outcome {
        self.reconcile_within(client, Limits::default()).await
    }

    /// The same for one that may not do all that ours may.
    pub async fn reconcile_within(&self, client: &OAuth2Client, limits: Limits) -> Outcome {
        if client.spec.instance != self.context.settings.instance {
            return Outcome::Nothing;
        }
        let started = Instant::now();
        let mut current = client.clone();
        let outcome = match self.settle(&mut current, limits).await {
            Ok(outcome) => outcome,
            Err(failure) => self.failed(&current, &failure).await,
        };
        let labels = ReconcileLabels { kind: "OAuth2Client", result: outcome.result() };
        self.context.metrics.reconcile.get_or_create(&labels).inc();
        self.context.metrics.reconcile_seconds.observe(started.elapsed().as_secs_f64());
        tracing::debug!(client = client_status::display(client), outcome = outcome.result(), "reconciled");
        outcome
    }

    async fn settle(&self, client: &mut OAuth2Client, limits: Limits) -> Result<Outcome, Failure> {
        let mut last = Failure::Undone;
        for _ in 0..ROUNDS {
            let gathered = self.gather(client, limits).await?;
            let planned = plan(&gathered);
            if planned.actions.is_empty() {
                return self.rest(&gathered, planned.standing).await;
            }
            if self.is_under_way(&gathered, &planned) {
                return Err(Failure::UnderWay);
            }
            let context = &self.context;
            let mut execution =
                Execution::new(&context.store, &*context.objects, &context.metrics, &gathered);
            let Err(failure) = execution.execute_all(client, planned.actions).await else { continue };
            // A secret that is on its way in this version of the row is this reconciler's own.
            if let Some(fence) = execution.into_fence() {
                self.unwritten().insert(fence.id, fence.version);
            }
            if !failure.is_race() {
                return Err(failure);
            }
            last = failure;
        }
        Err(last)
    }

    fn unwritten(&self) -> MutexGuard<'_, HashMap<ClientId, i64>> {
        // Each change is one insertion or removal, so a panic leaves the map whole.
        self.unwritten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True where a secret is on its way into the Secret already, and was not seen before: another reconciler may be
    /// about to write it, unless it has crashed, so that it is still there the next time.
    fn is_under_way(&self, gathered: &Gathered, planned: &Plan) -> bool {
        let mut unwritten = self.unwritten();
        let pending = gathered.row.as_ref().filter(|row| {
            row.secrets.iter().any(|secret| secret.state == SecretState::Pending)
                && planned.actions.iter().any(|action| matches!(action, Action::SetPending(_)))
        });
        let Some(row) = pending else {
            unwritten.remove(&gathered.id);
            return false;
        };
        unwritten.insert(row.id.clone(), row.version) != Some(row.version)
    }

    /// Reads everything that the plan depends on. The row comes before the Secret: where another reconciler is at
    /// work, this one then holds the older version of the row, and its first write is refused.
    async fn gather(&self, client: &OAuth2Client, limits: Limits) -> Result<Gathered, Failure> {
        let Context { store, objects, settings, gate, .. } = &self.context;
        if !gate.is_open() {
            return Err(Failure::GateClosed);
        }
        let me = reference(client, settings.clients_cluster());
        let fixed = fixed_id(client);
        let mut row = self.find_row(fixed.as_ref(), &me).await?;
        let object = objects.secret(&me.namespace, &client.secret_name()).await?;
        let secret = judge(client, object);
        let id = match (&row, fixed) {
            (Some(row), _) => row.id.clone(),
            (None, Some(fixed)) => fixed,
            (None, None) => {
                let (id, found) = self.unfixed_id(client, &me, &secret, limits).await?;
                row = found;
                id
            }
        };
        let matched = match (&row, secret.credentials().and_then(|found| found.secret.clone())) {
            (Some(row), Some(value)) => self.match_secret(row, value).await,
            _ => None,
        };
        let adopts = settings.adopts_in(&client.namespace().unwrap_or_default());
        let left_behind = match &row {
            Some(row) if !row.is_of(&me) && may_adopt(client, &me, row, adopts) => {
                self.is_left_behind(row).await?
            }
            _ => false,
        };
        Ok(Gathered {
            client: client.clone(),
            me,
            id,
            row,
            left_behind,
            limits,
            secret,
            matched,
            fresh: ClientSecret::generate(store.entropy()),
            issuer: settings.issuer.clone(),
            subject_types: settings.subject_types.clone(),
            adopts,
            now: store.clock().now(),
        })
    }

    /// True where a row's resource is gone and left it behind, as it had declared. Where that cannot be known, it is not.
    async fn is_left_behind(&self, row: &StoredClient) -> Result<bool, Failure> {
        let Some(holder) = row.manager.as_ref().filter(|_| !row.deleted_with_manager) else {
            return Ok(false);
        };
        let Some(kind) = self.context.settings.kind_of(holder) else { return Ok(false) };
        // Another one in its place finds the row again by its place.
        match self.context.objects.client_uid(kind, &holder.namespace, &holder.name).await {
            Ok(found) => Ok(found.is_none()),
            Err(ObjectError::Refused(_)) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// The row that this resource owns, under whatever id; else that of the id that is fixed, whoever owns it.
    async fn find_row(
        &self,
        fixed: Option<&ClientId>,
        me: &ResourceRef,
    ) -> Result<Option<StoredClient>, Failure> {
        let store = &self.context.store;
        let named = match fixed {
            Some(id) => store.read_client(id).await?,
            None => None,
        };
        if named.as_ref().is_some_and(|row| row.is_of(me)) {
            return Ok(named);
        }
        Ok(store.read_managed_client(me).await?.or(named))
    }

    /// The id of a client that neither spec nor status nor a row names: that in its Secret, else one derived from its
    /// uid.
    ///
    /// An id in a Secret is taken up where it is this place's already, or one that nobody chose: else whoever may
    /// write Secrets could take any id that is free, past the rules for `spec.clientId`.
    async fn unfixed_id(
        &self,
        client: &OAuth2Client,
        me: &ResourceRef,
        secret: &FoundSecret,
        limits: Limits,
    ) -> Result<(ClientId, Option<StoredClient>), Failure> {
        let store = &self.context.store;
        let written = secret.credentials().and_then(|found| found.client_id.clone());
        if let Some(id) = written.and_then(|id| ClientId::parse(id).ok()) {
            let row = store.read_client(&id).await?;
            let is_mine = row.as_ref().is_some_and(|row| row.is_of(me));
            let may_be_mine = || is_generated(&id) && (!limits.own_ids || is_own(&id, client));
            if is_mine || (row.is_none() && may_be_mine()) {
                return Ok((id, row));
            }
        }
        let id =
            ClientId::parse(derived(&me.uid)).map_err(|error| store::Error::Corrupt(error.to_string()))?;
        let row = store.read_client(&id).await?;
        Ok((id, row))
    }

    /// What a value is to the row's secrets, off the reactor: comparing with a chosen one takes milliseconds.
    async fn match_secret(&self, row: &StoredClient, value: ClientSecret) -> Option<SecretState> {
        let (store, row) = (self.context.store.clone(), row.clone());
        let now = store.clock().now();
        let matching = tokio::task::spawn_blocking(move || {
            let live = row.secrets.iter().filter(|secret| secret.expires_at.is_none_or(|at| now < at));
            let matches = |secret: &&store::StoredSecret| {
                secret.hash.verify(store.ring(), &row.id, row.incarnation, &value)
            };
            // A referenced value that came back is both a former one and the current one.
            live.filter(matches).map(|secret| secret.state).min_by_key(|state| match state {
                SecretState::Current => 0,
                SecretState::Pending => 1,
                SecretState::Previous => 2,
            })
        });
        matching.await.unwrap_or(None)
    }

    /// Nothing is left to do: writes the status where it differs.
    async fn rest(&self, gathered: &Gathered, standing: Standing) -> Result<Outcome, Failure> {
        let client = &gathered.client;
        if let Some(status) = client_status::status(gathered, &standing) {
            if let Standing::Conflict(holder) = &standing
                && ready_reason(client.status.as_ref()) != Some(&Reason::ClientIdConflict)
            {
                let event =
                    Event::new(EventReason::Conflict, format!("client {} is {holder}'s", gathered.id));
                if self.context.tell(&self.told, ResourceView::Client(client), event).await {
                    self.context.metrics.conflicts.inc();
                }
            }
            self.write_status(client, &status).await?;
        }
        match &gathered.row {
            Some(row) if row.is_of(&gathered.me) => {
                self.context.applied_clients.note(row.id.as_str(), &gathered.me, row.version);
            }
            // Whose row it is instead goes on looking after it.
            _ => self.context.applied_clients.forget(gathered.id.as_str(), &gathered.me),
        }
        Ok(match standing {
            Standing::Ready { again_at, .. } => Outcome::Settled { again_at },
            Standing::Suspended => Outcome::Settled { again_at: None },
            Standing::SecretUnusable(unusable) => Outcome::Waiting { reason: unusable.reason },
            Standing::Conflict(_) => Outcome::Waiting { reason: Reason::ClientIdConflict },
            Standing::Unmanaged(_) => Outcome::Waiting { reason: Reason::AdoptionRefused },
            Standing::Invalid(_) => Outcome::Waiting { reason: Reason::InvalidSpec },
            Standing::Gone => Outcome::Nothing,
        })
    }

    async fn write_status(
        &self,
        client: &OAuth2Client,
        status: &OAuth2ClientStatus,
    ) -> Result<(), ObjectError> {
        if client.status.as_ref() != Some(status) {
            self.context.objects.write_client_status(client, status).await?;
        }
        self.told.forget(&client.meta().into());
        Ok(())
    }

    /// Says in the status what failed, as far as that can be said.
    async fn failed(&self, client: &OAuth2Client, failure: &Failure) -> Outcome {
        let view = ResourceView::Client(client);
        let failing = Failing {
            resource: view,
            finalizer: names::CLIENT_FINALIZER,
            waits: goes_with(client),
            ready: ready_reason(client.status.as_ref()),
        };
        let (trouble, outcome) = self.context.fail(&self.told, failure, failing).await;
        let Some(Trouble { reason, message }) = trouble else { return outcome };
        let secret = matches!(failure, Failure::SecretWrite { .. });
        let now = self.context.store.clock().now();
        let status = client_status::failing(client, &reason, &message, secret, now);
        unsaid(outcome, self.write_status(client, &status).await, view)
    }
}

fn ready_reason(status: Option<&OAuth2ClientStatus>) -> Option<&Reason> {
    status?.condition(&ConditionType::Ready).map(|ready| &ready.reason)
}

/// The id that the resource's spec or, from when it has a client, its status names.
fn fixed_id(client: &OAuth2Client) -> Option<ClientId> {
    let status = client.status.as_ref().and_then(|status| status.client_id.as_deref());
    ClientId::parse(client.spec.client_id.as_deref().or(status)?).ok()
}

/// The resource, as the database names it.
pub(super) fn reference<K: Resource>(resource: &K, cluster: String) -> ResourceRef {
    ResourceRef {
        cluster,
        namespace: resource.namespace().unwrap_or_default(),
        name: resource.name_any(),
        uid: resource.uid().unwrap_or_default(),
    }
}

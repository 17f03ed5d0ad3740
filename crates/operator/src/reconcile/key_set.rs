//! The life of a `JsonWebKeySet`.

use std::time::Instant;

use crd::{ConditionType, DeletionPolicy, JsonWebKeySet, JsonWebKeySetStatus, Reason, names};
use kube::Resource;
use store::Declaration;

use super::client::reference;
use super::{Context, Failing, Trouble, unsaid};
use crate::applied::Place;
use crate::apply::Failure;
use crate::events::{Event, EventReason};
use crate::metrics::{ReconcileLabels, SetLabels};
use crate::objects::{ObjectError, Objects, ResourceView};
use crate::outcome::Outcome;
use crate::plan::key_set::{Step, is_token_set, plan};
use crate::plan::key_set_status;
use crate::told::Told;

/// How often a resource is looked at anew in one reconciliation: finalizers come before keys.
const ROUNDS: usize = 4;

/// Reconciles key sets.
///
/// # Guarantees
/// The turn of a set is one transaction, guarded by the set's version: a crash before it changes nothing, and one
/// after it loses no more than a status, which the next reconciliation writes.
pub struct KeySetReconciler<O> {
    pub(super) context: Context<O>,
    /// The events that statuses do not account for yet.
    told: Told,
}

impl<O: Objects> KeySetReconciler<O> {
    /// A reconciler.
    pub fn new(context: Context<O>) -> Self {
        Self { context, told: Told::default() }
    }

    /// Forgets a resource that is gone.
    pub fn forget(&self, place: &Place) {
        self.context.applied_key_sets.forget_place(place);
        self.told.forget(place);
    }

    /// Makes a set what its resource declares, at this time.
    pub async fn reconcile(&self, key_set: &JsonWebKeySet) -> Outcome {
        if key_set.spec.instance != self.context.settings.instance {
            return Outcome::Nothing;
        }
        let started = Instant::now();
        let mut current = key_set.clone();
        let outcome = match self.settle(&mut current).await {
            Ok(outcome) => outcome,
            Err(failure) => self.failed(&current, &failure).await,
        };
        let labels = ReconcileLabels { kind: "JsonWebKeySet", result: outcome.result() };
        self.context.metrics.reconcile.get_or_create(&labels).inc();
        self.context.metrics.reconcile_seconds.observe(started.elapsed().as_secs_f64());
        outcome
    }

    async fn settle(&self, key_set: &mut JsonWebKeySet) -> Result<Outcome, Failure> {
        let Context { store, objects, settings, gate, .. } = &self.context;
        if !gate.is_open() {
            return Err(Failure::GateClosed);
        }
        let me = reference(key_set, settings.cluster.clone());
        for _ in 0..ROUNDS {
            let view = ResourceView::KeySet(key_set);
            let written = match plan(key_set, &me, settings, store.clock().now()) {
                Step::AddFinalizer => objects.add_finalizer(view, names::KEY_SET_FINALIZER).await?,
                Step::RemoveFinalizer => {
                    // Without it a deletion is final, and the row must know by then that it stays.
                    store.keep_key_set(&key_set.set_name(), &me).await?;
                    self.disown_export(key_set).await?;
                    objects.remove_finalizer(view, names::KEY_SET_FINALIZER).await?
                }
                Step::Delete => {
                    store.delete_key_set(&key_set.set_name(), &me).await?;
                    objects.remove_finalizer(view, names::KEY_SET_FINALIZER).await?
                }
                Step::Gone => return Ok(Outcome::Nothing),
                Step::RefuseDeletion => match store.read_key_set(&key_set.set_name()).await? {
                    Some(set) if set.manager.as_ref().is_some_and(|holder| holder.same_place(&me)) => {
                        return self.refuse_deletion(key_set).await;
                    }
                    // It is not this resource that the server signs with.
                    _ => objects.remove_finalizer(view, names::KEY_SET_FINALIZER).await?,
                },
                Step::NotHonoured => {
                    let message = format!("key sets of the namespace {} are not honoured", me.namespace);
                    return self.wait(key_set, Reason::NamespaceNotAllowed, &message).await;
                }
                Step::Invalid(problem) => {
                    return self.wait(key_set, Reason::InvalidSpec, &problem).await;
                }
                Step::Declare(declaration) => return self.declare(key_set, &declaration).await,
            };
            written.note(key_set.meta_mut());
        }
        Err(Failure::Object(ObjectError::Raced))
    }

    async fn declare(&self, key_set: &JsonWebKeySet, declaration: &Declaration) -> Result<Outcome, Failure> {
        let store = &self.context.store;
        self.restore(key_set, declaration).await?;
        let turn = match store.declare_key_set(declaration).await {
            Ok(turn) => turn,
            Err(store::Error::Conflict(holder)) => {
                if ready_reason(key_set) != Some(&Reason::SetConflict) {
                    let event =
                        Event::new(EventReason::Conflict, format!("set {} is {holder}'s", declaration.set));
                    if self.context.tell(&self.told, ResourceView::KeySet(key_set), event).await {
                        self.context.metrics.conflicts.inc();
                    }
                }
                let message = format!("set {} belongs to {holder}", declaration.set);
                return self.wait(key_set, Reason::SetConflict, &message).await;
            }
            Err(error) => {
                let set = SetLabels { set: declaration.set.clone() };
                self.context.metrics.jwk_rotation_failures.get_or_create(&set).inc();
                return Err(error.into());
            }
        };
        let now = store.clock().now();
        self.context.applied_key_sets.note(&declaration.set, &declaration.manager, turn.after.version);
        let exported = self.export(key_set, &turn).await?;
        let status = key_set_status::after_turn(key_set, &turn, exported.as_ref().err(), now);
        for event in key_set_status::events(key_set, &turn, &status, now) {
            let corrects = event.reason == EventReason::DriftCorrected;
            if self.context.tell(&self.told, ResourceView::KeySet(key_set), event).await && corrects {
                self.context.metrics.drift_corrections.inc();
            }
        }
        self.write_status(key_set, &status).await?;
        if let Some(next) = turn.plan.next_turn {
            let set = SetLabels { set: declaration.set.clone() };
            self.context.metrics.next_rotation.get_or_create(&set).set(next.as_second());
        }
        Ok(Outcome::Settled { again_at: turn.plan.next_instant })
    }

    /// The server signs with this set: without it no token could be issued, and no issued one verified.
    async fn refuse_deletion(&self, key_set: &JsonWebKeySet) -> Result<Outcome, Failure> {
        let message = format!(
            "the server signs with set {}; set deletionPolicy: Orphan to let the resource go",
            key_set.set_name()
        );
        if ready_reason(key_set) != Some(&Reason::Terminating) {
            let event = Event::new(EventReason::DeletionBlocked, &*message);
            self.context.tell(&self.told, ResourceView::KeySet(key_set), event).await;
        }
        self.wait(key_set, Reason::Terminating, &message).await
    }

    async fn wait(&self, key_set: &JsonWebKeySet, reason: Reason, message: &str) -> Result<Outcome, Failure> {
        self.say(key_set, &reason, message).await?;
        Ok(Outcome::Waiting { reason })
    }

    /// Says in the status that the set is not as declared, and why.
    async fn say(&self, key_set: &JsonWebKeySet, reason: &Reason, message: &str) -> Result<(), ObjectError> {
        let now = self.context.store.clock().now();
        self.write_status(key_set, &key_set_status::failing(key_set, reason, message, now)).await
    }

    async fn write_status(
        &self,
        key_set: &JsonWebKeySet,
        status: &JsonWebKeySetStatus,
    ) -> Result<(), ObjectError> {
        if key_set.status.as_ref() != Some(status) {
            self.context.objects.write_key_set_status(key_set, status).await?;
        }
        self.told.forget(&key_set.meta().into());
        Ok(())
    }

    async fn failed(&self, key_set: &JsonWebKeySet, failure: &Failure) -> Outcome {
        let view = ResourceView::KeySet(key_set);
        let failing = Failing {
            resource: view,
            finalizer: names::KEY_SET_FINALIZER,
            waits: key_set.spec.deletion_policy == DeletionPolicy::Delete
                && !is_token_set(&key_set.set_name()),
            ready: ready_reason(key_set),
        };
        let (trouble, outcome) = self.context.fail(&self.told, failure, failing).await;
        let Some(Trouble { reason, message }) = trouble else { return outcome };
        unsaid(outcome, self.say(key_set, &reason, &message).await, view)
    }
}

fn ready_reason(key_set: &JsonWebKeySet) -> Option<&Reason> {
    key_set.status.as_ref()?.condition(&ConditionType::Ready).map(|ready| &ready.reason)
}

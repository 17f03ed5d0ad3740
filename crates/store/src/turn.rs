//! Turning the keys of a set: the schedule decides, this executes.

use std::time::Duration;

use jiff::Timestamp;
use jose::schedule::{self, Plan, Requests, lead_floor_after_shortening};
use jose::{Algorithm, KeyId, KeyUse, PrivateKey, RsaBits};
use sqlx::Row;

use crate::key_registry::{ACCESS_TOKEN_SET, ID_TOKEN_SET};
use crate::{Error, KeySetPolicy, ResourceRef, Store, StoredKeySet};

/// How often a turn is tried again after another writer was first.
const ATTEMPTS: usize = 5;

/// How long a due turn of a set that a resource owns is left to the operator, before a server does it by the set's
/// stored policy.
const OPERATOR_GRACE: i64 = 3600;

/// What is declared of a set, by a resource.
#[derive(Debug, Clone)]
pub struct Declaration {
    /// The set's name.
    pub set: String,
    /// What its keys are for.
    pub key_use: KeyUse,
    /// How they turn.
    pub policy: KeySetPolicy,
    /// The resource.
    pub manager: ResourceRef,
    /// True where the set goes with it.
    pub deleted_with_manager: bool,
    /// The resource's standing `rotate` request.
    pub rotate: Option<String>,
    /// The resource's standing `rotate-now` request.
    pub rotate_now: Option<String>,
    /// Compromised keys.
    pub revoked: Vec<KeyId>,
}

/// What a turn came to.
#[derive(Debug)]
pub struct Turn {
    /// The set before.
    pub before: StoredKeySet,
    /// The set after.
    pub after: StoredKeySet,
    /// What was done, and when to look again.
    pub plan: Plan,
}

/// One attempt, decided: the row as it is to be, and the plan for its keys.
struct Decision {
    set: StoredKeySet,
    plan: Plan,
    changed: bool,
}

impl Store {
    /// Makes a set what a resource declares, at the time of the store's clock. Nothing is written where nothing is to
    /// be done. Key generation runs on a blocking thread, outside any transaction.
    ///
    /// # Guarantees
    /// The write is a compare-and-set on the set's version, with the handled requests in the same transaction: of any
    /// number of rotators one wins, and the others see what it did. A resource takes over a set that no resource owns;
    /// requests that stand there at that moment count as handled. A key that cannot be read is neither replaced nor
    /// removed before it is declared revoked.
    ///
    /// # Errors
    /// [`Error::Conflict`] where another resource owns the set; [`Error::UnreadableKey`]; [`Error::Raced`] after
    /// repeated losses.
    pub async fn declare_key_set(&self, declared: &Declaration) -> Result<Turn, Error> {
        let lifetime = self.longest_lifetime(&declared.set).await?;
        for _ in 0..ATTEMPTS {
            let now = self.clock().now();
            let before = match self.read_key_set(&declared.set).await? {
                Some(row) => row,
                None => StoredKeySet::absent(&declared.set, declared.key_use, declared.policy.clone()),
            };
            let decision = decide(&before, declared, lifetime, now)?;
            match self.execute_turn(before, decision).await {
                Err(Error::Raced) => {}
                done => return done,
            }
        }
        Err(Error::Raced)
    }

    /// Makes the token sets that do not exist, by the default policy, each with a key that signs at once.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn ensure_token_sets(&self) -> Result<(), Error> {
        self.ensure_token_set(ID_TOKEN_SET).await?;
        self.ensure_token_set(ACCESS_TOKEN_SET).await
    }

    /// Makes one token set by the default policy, where it does not exist. Any number of processes may do so at once:
    /// one set comes of it.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn ensure_token_set(&self, name: &str) -> Result<(), Error> {
        if self.read_key_set(name).await?.is_some() {
            return Ok(());
        }
        let policy = KeySetPolicy::undeclared(self.token_algorithm());
        let absent = StoredKeySet::absent(name, KeyUse::Sig, policy);
        match self.turn_by_stored_policy(absent, &Requests::default()).await {
            // Another process made it meanwhile.
            Err(Error::Raced) => Ok(()),
            done => done.map(drop),
        }
    }

    /// Turns the sets that no resource owns by their stored policies, and those whose operator is an hour late.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; else that of the first set that cannot be turned, when the others have been.
    pub async fn turn_unattended_sets(&self) -> Result<(), Error> {
        let mut failed = None;
        for set in self.read_key_sets().await? {
            match self.turn_unattended(set).await {
                Ok(()) | Err(Error::Raced) => {}
                Err(error @ Error::Unavailable(_)) => return Err(error),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Turns a set that no resource owns on request: its next key is published, or compromised ones leave at once and are
    /// replaced. `None` where there is no such set.
    ///
    /// # Errors
    /// [`Error::Conflict`] where a resource owns the set; [`Error::UnreadableKey`]; [`Error::Raced`] after repeated losses.
    pub async fn turn_on_request(&self, name: &str, requests: &Requests<'_>) -> Result<Option<Turn>, Error> {
        for _ in 0..ATTEMPTS {
            let Some(before) = self.read_key_set(name).await? else { return Ok(None) };
            if let Some(holder) = before.manager {
                return Err(Error::Conflict(Box::new(holder)));
            }
            match self.turn_by_stored_policy(before, requests).await {
                Err(Error::Raced) => {}
                done => return done.map(Some),
            }
        }
        Err(Error::Raced)
    }

    async fn turn_unattended(&self, set: StoredKeySet) -> Result<(), Error> {
        if set.policy.is_by_hand() {
            return Ok(());
        }
        let late = Timestamp::from_second(self.clock().now().as_second() - OPERATOR_GRACE);
        if set.manager.is_some() && !self.is_due(&set, late.map_err(Error::corrupt)?).await? {
            return Ok(());
        }
        self.turn_by_stored_policy(set, &Requests::default()).await.map(drop)
    }

    /// True where the set's turn was due at `then` already.
    async fn is_due(&self, set: &StoredKeySet, then: Timestamp) -> Result<bool, Error> {
        let lifetime = self.longest_lifetime(&set.name).await?;
        let lifetime = set.lifetimes.observe(lifetime, then).effective(then);
        let policy = set.policy.schedule(lifetime, set.lead_floor).map_err(Error::corrupt)?;
        Ok(!schedule::plan(&policy, &set.scheduled(), &Requests::default(), then).is_empty())
    }

    async fn turn_by_stored_policy(
        &self,
        before: StoredKeySet,
        requests: &Requests<'_>,
    ) -> Result<Turn, Error> {
        before.check_readable(requests.revoked)?;
        let now = self.clock().now();
        let mut set = before.clone();
        set.lifetimes = before.lifetimes.observe(self.longest_lifetime(&set.name).await?, now);
        let policy =
            set.policy.schedule(set.lifetimes.effective(now), set.lead_floor).map_err(Error::corrupt)?;
        let mut plan = schedule::plan(&policy, &set.scheduled(), requests, now);
        // All of them are revoked; the schedule knows nothing of them.
        plan.remove.extend(before.unreadable.iter().cloned());
        let changed = set.version == 0 || set.lifetimes != before.lifetimes || !plan.is_empty();
        self.execute_turn(before, Decision { set, plan, changed }).await
    }

    async fn execute_turn(&self, before: StoredKeySet, decision: Decision) -> Result<Turn, Error> {
        let Decision { set, plan, changed } = decision;
        if !changed {
            return Ok(Turn { after: before.clone(), before, plan });
        }
        let algorithms = plan.create.iter().map(|new| new.algorithm).collect();
        let made = generate(algorithms, set.policy.rsa_bits).await?;
        self.write_key_set(&set, &plan, &made).await?;
        let after = self.read_key_set(&set.name).await?.ok_or(Error::Raced)?;
        Ok(Turn { before, after, plan })
    }

    /// The longest lifetime of what a set signs: the server's, and any client's own. One statement.
    pub(crate) async fn longest_lifetime(&self, set: &str) -> Result<Duration, Error> {
        let query = self.db().query("SELECT MAX(longest_access_token), MAX(longest_id_token) FROM clients");
        let row = self.db().fetch_optional(query).await?.ok_or_else(|| Error::corrupt("no aggregate"))?;
        let of = |index: usize| -> Result<Duration, Error> {
            let seconds = row.try_get::<Option<i64>, _>(index)?.unwrap_or(0);
            Ok(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
        };
        let lifetimes = self.lifetimes();
        Ok(match set {
            ID_TOKEN_SET => of(1)?.max(lifetimes.id_token),
            ACCESS_TOKEN_SET => of(0)?.max(lifetimes.access_token),
            // What applications sign with a set of their own is theirs to say, by retainAfter.
            _ => Duration::ZERO,
        })
    }
}

/// What the row and the keys are to be, for what is declared.
fn decide(
    before: &StoredKeySet,
    declared: &Declaration,
    lifetime: Duration,
    now: Timestamp,
) -> Result<Decision, Error> {
    if let Some(holder) = before.manager.as_ref().filter(|holder| !holder.same_place(&declared.manager)) {
        return Err(Error::Conflict(Box::new(holder.clone())));
    }
    before.check_readable(&declared.revoked)?;
    // Another uid in the same place is another resource, which has never been seen either.
    let first_seen = before.manager.as_ref() != Some(&declared.manager);
    let mut set = before.clone();
    set.key_use = declared.key_use;
    set.policy = declared.policy.clone();
    set.manager = Some(declared.manager.clone());
    set.deleted_with_manager = declared.deleted_with_manager;
    set.lead_floor = lead_floor(before, declared, now);
    set.lifetimes = before.lifetimes.observe(lifetime, now);
    let asked = |request: &Option<String>, handled: &Option<String>| {
        !first_seen && !declared.policy.suspended && request.is_some() && request != handled
    };
    let requests = Requests {
        rotate: asked(&declared.rotate, &before.handled_rotate),
        rotate_now: asked(&declared.rotate_now, &before.handled_rotate_now)
            || cannot_sign(before, declared, now),
        revoked: &declared.revoked,
    };
    if first_seen || requests.rotate {
        set.handled_rotate.clone_from(&declared.rotate);
    }
    if first_seen || requests.rotate_now {
        set.handled_rotate_now.clone_from(&declared.rotate_now);
    }
    let policy = set.policy.schedule(set.lifetimes.effective(now), set.lead_floor).map_err(Error::corrupt)?;
    let mut plan = schedule::plan(&policy, &before.scheduled(), &requests, now);
    // All of them are revoked; the schedule knows nothing of them.
    plan.remove.extend(before.unreadable.iter().cloned());
    let row_changed = set.row() != before.row();
    let changed = before.version == 0 || row_changed || !plan.is_empty();
    Ok(Decision { set, plan, changed })
}

/// True where a key that was put in by hand has the place of the one that signs, and has no private half.
fn cannot_sign(before: &StoredKeySet, declared: &Declaration, now: Timestamp) -> bool {
    let keys = before.scheduled();
    let signing = |line: &Algorithm| schedule::active_key(&keys, *line, now);
    let mut active = declared.policy.algorithms.iter().filter_map(signing);
    before.policy.is_by_hand() && active.any(|key| !key.has_private_half)
}

/// A shortened lead waits out the longer max-age that verifiers were told before.
fn lead_floor(before: &StoredKeySet, declared: &Declaration, now: Timestamp) -> Option<Timestamp> {
    let shortened = before.version > 0 && declared.policy.publish_before < before.policy.publish_before;
    let floor = shortened.then(|| lead_floor_after_shortening(now, before.policy.lead()));
    floor.max(before.lead_floor).filter(|floor| *floor > now)
}

async fn generate(algorithms: Vec<Algorithm>, bits: RsaBits) -> Result<Vec<PrivateKey>, Error> {
    if algorithms.is_empty() {
        return Ok(Vec::new());
    }
    let made = tokio::task::spawn_blocking(move || {
        algorithms
            .into_iter()
            .map(|algorithm| PrivateKey::generate(algorithm, bits))
            .collect::<Result<_, _>>()
    });
    Ok(made.await.map_err(|e| Error::Unavailable(e.to_string()))??)
}

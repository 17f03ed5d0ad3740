//! When a client's secret is replaced, and how long the former one still works.

use crd::{OAuth2Client, SecretSource};
use jiff::{SignedDuration, Timestamp};
use store::StoredClient;

use crate::outcome::RECHECK;

/// How long a replaced secret still works where the resource declares no rotation: workloads that mounted it need
/// time to notice.
pub const DEFAULT_OVERLAP: SignedDuration = SignedDuration::from_hours(24);

/// How many former secrets may work at the same time before the next replacement that nobody scheduled has to wait.
const UNHURRIED: usize = 2;

/// When the secret is to be rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    Now,
    At(Timestamp),
    Never,
}

/// When the generated secret is due: by its age or on request, but not while the previous one still works.
pub(super) fn due(client: &OAuth2Client, row: &StoredClient, now: Timestamp) -> Due {
    let spec = &client.spec;
    if spec.secret.source != SecretSource::Generate || !spec.token_endpoint_auth_method.uses_secret() {
        return Due::Never;
    }
    let asked = client.rotation_request();
    let at = if asked.is_some() && asked != row.handled_rotate_secret.as_deref() {
        Some(now)
    } else {
        let age = spec.secret_rotation.as_ref().zip(row.secret_rotated_at);
        age.map(|(rotation, last)| later(last, signed(rotation.period.get())))
    };
    let overlap_ends_at = previous_expires_at(row, now);
    match at.map(|at| overlap_ends_at.map_or(at, |end| at.max(end))) {
        Some(at) if at <= now => Due::Now,
        Some(at) => Due::At(at),
        None => Due::Never,
    }
}

/// Until when a previous secret still works.
pub(super) fn previous_expires_at(row: &StoredClient, now: Timestamp) -> Option<Timestamp> {
    row.secrets.iter().filter_map(|secret| secret.expires_at).filter(|at| *at > now).max()
}

/// The next instant at which something about the secret is to be done or told.
pub(super) fn next_due(client: &OAuth2Client, row: &StoredClient, now: Timestamp) -> Option<Timestamp> {
    let rotation = if let Due::At(at) = due(client, row, now) { Some(at) } else { None };
    // The end of an overlap changes the status.
    rotation.into_iter().chain(previous_expires_at(row, now)).min()
}

/// Until when the current secret works if it is replaced now.
pub(crate) fn former_expires_at(client: &OAuth2Client, now: Timestamp) -> Timestamp {
    let declared = client.spec.secret_rotation.as_ref();
    later(now, declared.map_or(DEFAULT_OVERLAP, |rotation| signed(rotation.overlap.get())))
}

/// When the secret may be replaced out of turn; `None` for now.
///
/// Somebody who keeps changing or deleting the Secret must not make secrets without end, each of which works for its
/// overlap: from the third one on each waits twice as long as the one before.
pub(super) fn replaceable_at(row: &StoredClient, now: Timestamp) -> Option<Timestamp> {
    let former = row.secrets.iter().filter(|secret| secret.expires_at.is_some_and(|at| at > now)).count();
    let doublings = u32::try_from(former.checked_sub(UNHURRIED)?).unwrap_or(u32::MAX);
    let pause = signed(RECHECK.saturating_mul(2_u32.saturating_pow(doublings)));
    // What happened in the future happened before the clock was set back: nobody knows how long ago.
    let last = row.secret_rotated_at.filter(|at| *at <= now)?;
    Some(later(last, pause)).filter(|at| *at > now)
}

fn later(instant: Timestamp, by: SignedDuration) -> Timestamp {
    instant.saturating_add(by).unwrap_or(Timestamp::MAX)
}

fn signed(duration: std::time::Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

#[cfg(test)]
mod tests;

//! The rotation schedule: which keys a set has, and when each is published, signs, retires and goes.
//!
//! ```text
//!  published_at ──publish_before──▶ active_at ──period or cron──▶ retired_at ──retain──▶ removed_at
//!     Next: published, not signing     Active: signs      Retired: verifies only       Removed: gone
//!                                                           └─ 10 min: private half destroyed
//!
//!  line RS256   ════ Active ════╗ Retired ──────────▶ gone
//!                       ── Next ╚════ Active ════╗ Retired ─────▶
//!  line ES256   ════ Active ════╗ Retired ──────────▶ gone
//!                       ── Next ╚════ Active ════╗ Retired ─────▶
//!                               a turn: all lines of the set together
//! ```
//!
//! A key set holds one line of keys per algorithm. All instants are absolute and stored with the key, so each
//! server knows by its own clock what a key is for ([`Instants::state`]): no message marks a turn, and none is
//! missed. What remains to be done is to write the next key in good time and to forget old ones, and
//! [`plan()`] says when: a pure function of the policy, the keys and the time.
//!
//! # Guarantees
//!
//! Given that each [`Plan`] is applied as a whole, against the very keys it was made from:
//!
//! * A line that has signed has exactly one active key at any time, until its algorithm is no longer declared
//!   and another line signs. A key retires only at the instant at which its successor begins.
//! * A key signs no sooner than `publish_before` after its publication, except where nothing else could sign
//!   (the first keys of a set, the replacement of a revoked one) or the user asked for it (`rotate_now`).
//!   A delay of the operator moves the turn; it never shortens that lead, nor does it lead to a series of
//!   turns that catch up.
//! * So no verifier that caches the published set for at most [`jwks_max_age`] meets an unknown key, and none
//!   that reads it anew misses the key of a valid token, as long as clocks are within [`CLOCK_TOLERANCE`].
//! * What is promised stays: neither a changed policy nor a late operator moves the activation of a published
//!   key, and `removed_at` only ever moves later, except for a revoked key. A key that was to retire goes on
//!   signing instead if its successor is revoked or its algorithm declared again.
//! * Planning again at the same time what has been applied yields an empty plan.
//!
//! # Caveats
//!
//! * With a `publish_before` of less than `CLOCK_TOLERANCE + PROPAGATION` verifiers must not cache at all, and a
//!   server whose clock is ahead can sign with a key before another server has published it.
//! * `retain` covers the tokens in circulation only if the caller does not lower it before the tokens issued
//!   under longer lifetimes have expired.

mod caching;
mod cron;
mod draft;
mod key;
mod plan;
mod policy;

#[cfg(test)]
mod tests;

pub use caching::{
    CLOCK_TOLERANCE, PROPAGATION, jwks_max_age, lead_floor_after_shortening, token_expiry_cap,
};
pub use cron::{Schedule, ScheduleError};
pub use key::{Instants, ScheduledKey, State, active_key};
pub use plan::{NewKey, Plan, plan};
pub use policy::{Policy, Requests, Rotation};

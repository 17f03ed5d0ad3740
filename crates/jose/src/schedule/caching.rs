//! How long verifiers may keep the published set, and what follows from it.

use jiff::{SignedDuration, Timestamp};

use super::key::{after, before};

/// How far the clocks of two servers, or of a server and a verifier, may be apart: 5 minutes.
pub const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_mins(5);

/// How long a written key may take until every server publishes it: 10 seconds.
pub const PROPAGATION: SignedDuration = SignedDuration::from_secs(10);

const LONGEST_MAX_AGE: SignedDuration = SignedDuration::from_hours(1);

/// The `max-age` with which the published set may be served (RFC 9111 §5.2.2.1), in whole seconds.
///
/// `shortest_publish_before` is the shortest of all the sets that are published together. A copy that was
/// fetched just before a new key appeared has expired when the first server, its clock ahead, signs with it.
pub fn jwks_max_age(shortest_publish_before: SignedDuration) -> SignedDuration {
    let margin = CLOCK_TOLERANCE + PROPAGATION;
    let longest = shortest_publish_before.saturating_sub(margin).clamp(SignedDuration::ZERO, LONGEST_MAX_AGE);
    SignedDuration::from_secs(longest.as_secs())
}

/// The earliest activation after `publish_before` was shortened at `changed_at`, for
/// [`Policy::lead_floor`](super::Policy::lead_floor): copies that were served with the old `max-age` must have expired.
pub fn lead_floor_after_shortening(changed_at: Timestamp, old_publish_before: SignedDuration) -> Timestamp {
    after(changed_at, jwks_max_age(old_publish_before) + CLOCK_TOLERANCE + PROPAGATION)
}

/// The latest `exp` of a token signed by a key that leaves at `removed_at`: a server whose clock is ahead
/// no longer publishes the key soon after.
pub fn token_expiry_cap(removed_at: Timestamp) -> Timestamp {
    before(removed_at, CLOCK_TOLERANCE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn max_age_leaves_room_for_clocks_and_propagation() {
        for (publish_before, max_age) in [
            (SignedDuration::ZERO, SignedDuration::ZERO),
            (SignedDuration::from_secs(310), SignedDuration::ZERO),
            (SignedDuration::from_secs(311), SignedDuration::from_secs(1)),
            (SignedDuration::from_millis(311_900), SignedDuration::from_secs(1)),
            (SignedDuration::from_mins(30), SignedDuration::from_secs(30 * 60 - 310)),
            (SignedDuration::from_secs(3600 + 310), SignedDuration::from_hours(1)),
            (SignedDuration::from_hours(24), SignedDuration::from_hours(1)),
            (SignedDuration::MAX, SignedDuration::from_hours(1)),
            (SignedDuration::MIN, SignedDuration::ZERO),
        ] {
            assert_eq!(jwks_max_age(publish_before), max_age, "{publish_before}");
        }
    }

    #[test]
    fn after_a_shortening_old_copies_expire_before_a_key_signs() {
        let changed_at = "2026-01-01T00:00:00Z".parse().unwrap();
        let floor = lead_floor_after_shortening(changed_at, SignedDuration::from_hours(24));
        assert_eq!(floor, "2026-01-01T01:05:10Z".parse().unwrap());
        let floor = lead_floor_after_shortening(changed_at, SignedDuration::from_mins(20));
        assert_eq!(floor, "2026-01-01T00:20:00Z".parse().unwrap());
    }

    #[test]
    fn a_token_expires_five_minutes_before_its_key_leaves() {
        let removed_at = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(token_expiry_cap(removed_at), "2025-12-31T23:55:00Z".parse().unwrap());
    }
}

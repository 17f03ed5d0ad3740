//! Guessing user codes is hopeless (RFC 8628 §5.1).
//!
//! A code of the usual form is one of 31⁸, some 40 bits, and lives for minutes. Under one challenge five wrong ones may
//! be entered, and from one network [`OF_ADDRESS`] in ten minutes, whatever their challenges. Where a thousand codes are
//! waiting all the time, whoever guesses from one network for a year hits one of them with a probability of 0.3 %; and
//! all that is won is that somebody's device works under the guesser's account.
//!
//! Each server counts for itself: with several, each of these numbers is to be multiplied.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use oauth::device_authorization::DeviceChallenge;
use oauth::{Error, ErrorCode, GrantId};

use crate::client_address::network;
use crate::recent::Recent;

/// How many wrong codes may be entered under one challenge.
const OF_CHALLENGE: u32 = 5;

/// How many wrong codes may come from one network within [`WINDOW`].
const OF_ADDRESS: u32 = 50;

/// How many may come from all whose address a proxy hides.
const OF_UNKNOWN: u32 = 1000;

const WINDOW: SignedDuration = SignedDuration::from_mins(10);

/// How many challenges, and how many networks, are remembered at least.
const REMEMBERED: usize = 50_000;

/// Counts the wrong user codes.
#[derive(Debug)]
pub(crate) struct UserCodeAttempts {
    challenges: Recent<GrantId, u32>,
    addresses: Recent<Option<IpAddr>, Window>,
}

/// The wrong codes of a network since an instant.
#[derive(Debug, Default)]
struct Window {
    began: Timestamp,
    count: u32,
}

impl UserCodeAttempts {
    pub(crate) fn new() -> Self {
        Self { challenges: Recent::new(REMEMBERED), addresses: Recent::new(REMEMBERED) }
    }

    /// Counts an attempt as wrong before it is made, so that no two that come at once are one; [`Self::forgive`] takes
    /// it back.
    ///
    /// # Errors
    /// `too_many_requests`: the code is not even looked up, be it right or wrong.
    pub(crate) fn begin(&self, challenge: &DeviceChallenge, now: Timestamp) -> Result<(), Error> {
        let limit = if challenge.address.is_some() { OF_ADDRESS } else { OF_UNKNOWN };
        let of_address = self.addresses.with(challenge.address.map(network), |window| {
            if now.duration_since(window.began) >= WINDOW {
                *window = Window { began: now, count: 0 };
            }
            take(&mut window.count, limit)
        });
        if !of_address {
            let why = "Too many wrong user codes were entered from this address: wait ten minutes.";
            return Err(Error::new(ErrorCode::TooManyRequests, why));
        }
        if !self.challenges.with(challenge.id, |count| take(count, OF_CHALLENGE)) {
            self.forgive_address(challenge);
            let why =
                "Too many wrong user codes were entered: begin again at the address that the device shows.";
            return Err(Error::new(ErrorCode::TooManyRequests, why));
        }
        Ok(())
    }

    /// The code of the attempt that was counted last was right.
    pub(crate) fn forgive(&self, challenge: &DeviceChallenge) {
        self.forgive_address(challenge);
        self.challenges.with(challenge.id, |count| *count = count.saturating_sub(1));
    }

    fn forgive_address(&self, challenge: &DeviceChallenge) {
        let back = |window: &mut Window| window.count = window.count.saturating_sub(1);
        self.addresses.with(challenge.address.map(network), back);
    }
}

/// One of at most so many; false where none is left.
fn take(count: &mut u32, limit: u32) -> bool {
    let is_left = *count < limit;
    *count += u32::from(is_left);
    is_left
}

#[cfg(test)]
mod tests {
    use super::*;
    use jose::Entropy;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn challenge(address: Option<&str>) -> DeviceChallenge {
        DeviceChallenge::new(address.map(|text| text.parse().unwrap()), at(0), &Entropy::system())
    }

    /// How many wrong codes are looked up of a thousand and some that come under challenges of five each.
    fn looked_up(attempts: &UserCodeAttempts, address: Option<&str>, now: Timestamp) -> usize {
        let of_one =
            |challenge: DeviceChallenge| (0..5).filter(|_| attempts.begin(&challenge, now).is_ok()).count();
        (0..210).map(|_| of_one(challenge(address))).sum()
    }

    #[test]
    fn five_wrong_codes_end_a_challenge_and_right_ones_do_not_count() {
        let attempts = UserCodeAttempts::new();
        let one = challenge(Some("192.0.2.1"));
        for _ in 0..20 {
            attempts.begin(&one, at(0)).unwrap();
            attempts.forgive(&one);
        }
        for _ in 0..5 {
            attempts.begin(&one, at(0)).unwrap();
        }
        let refused = attempts.begin(&one, at(0)).unwrap_err();
        assert_eq!(refused.code, ErrorCode::TooManyRequests);
        assert!(refused.description.contains("begin again"), "{refused}");
        assert!(attempts.begin(&challenge(Some("192.0.2.1")), at(0)).is_ok(), "another challenge");
    }

    #[test]
    fn one_network_guesses_fifty_times_in_ten_minutes_whatever_its_challenges() {
        let attempts = UserCodeAttempts::new();
        assert_eq!(looked_up(&attempts, Some("2001:db8:1::1"), at(0)), 50);
        assert_eq!(looked_up(&attempts, Some("2001:db8:1:ffff::1"), at(599)), 0, "the same network");
        assert_eq!(looked_up(&attempts, Some("2001:db8:2::1"), at(599)), 50, "another one");
        assert_eq!(looked_up(&attempts, Some("2001:db8:1::1"), at(600)), 50);
        assert_eq!(looked_up(&attempts, None, at(600)), 1000);
    }
}

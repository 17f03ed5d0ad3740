//! Relying parties that keep copies of the key set for as long as they may.

use std::collections::HashSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

use super::{TestClient, TestServer, header};

/// How long a copy may be kept, in seconds.
pub const CACHED_FOR: u64 = 3600;

/// What the servers' clocks are off by, in minutes.
pub const SKEWS: [i64; 3] = [-4, 0, 4];

/// A copy of the key set that a verifier may use until it is stale.
struct Held {
    keys: JwkSet,
    fresh_until: Timestamp,
}

/// A token that has not ended yet.
struct Live {
    kid: String,
    ends: Timestamp,
}

/// All copies and all tokens that somebody may still hold.
#[derive(Default)]
pub struct Verifiers {
    held: Vec<Held>,
    live: Vec<Live>,
    /// The keys by which anything was signed.
    pub signed_by: HashSet<String>,
}

impl Verifiers {
    /// Each server is asked for a copy of the key set: every token that lives has its key in it.
    pub async fn publish(&mut self, now: Timestamp, servers: &[TestServer]) {
        self.live.retain(|token| now < token.ends);
        self.held.retain(|copy| now < copy.fresh_until);
        for server in servers {
            let response = server.get("/.well-known/jwks.json").await;
            assert_eq!(header(&response, "cache-control"), format!("public, max-age={CACHED_FOR}"));
            let keys: JwkSet = response.json().await.unwrap();
            for token in &self.live {
                assert!(keys.find(&token.kid).is_some(), "{now}: a token outlives its key");
            }
            self.held.push(Held { keys, fresh_until: now + Duration::from_secs(CACHED_FOR) });
        }
    }

    /// Each server signs a token: its key is in every copy that is held, and verifies it. The ends of the tokens.
    pub async fn sign(
        &mut self,
        now: Timestamp,
        servers: &[TestServer],
        client: &TestClient,
    ) -> Vec<Timestamp> {
        let mut ends = Vec::new();
        for server in servers {
            let jwt = server.access_token(client).await;
            let kid = decode_header(&jwt).unwrap().kid.unwrap();
            for copy in &self.held {
                assert!(copy.keys.find(&kid).is_some(), "{now}: a verifier does not know {kid}");
            }
            let claims = verify(&jwt, &self.held[0].keys);
            assert_eq!(claims["client_id"], client.id.as_str());
            let end = Timestamp::from_second(claims["exp"].as_i64().unwrap()).unwrap();
            self.signed_by.insert(kid.clone());
            self.live.push(Live { kid, ends: end });
            ends.push(end);
        }
        ends
    }

    /// How many tokens a key signed that have not ended yet.
    pub fn live_by(&self, kid: &str) -> usize {
        self.live.iter().filter(|token| token.kid == kid).count()
    }
}

/// Before, at and after an instant, by each of the clocks.
pub fn around(instant: Timestamp) -> impl Iterator<Item = Timestamp> {
    let by_clock = move |skew| instant - SignedDuration::from_mins(skew);
    let seconds = [-1, 0, 1].map(SignedDuration::from_secs);
    SKEWS.into_iter().flat_map(move |skew| seconds.map(|second| by_clock(skew) + second))
}

fn verify(jwt: &str, keys: &JwkSet) -> Value {
    let header = decode_header(jwt).unwrap();
    let mut validation = Validation::new(header.alg);
    // Time is the test's.
    (validation.validate_exp, validation.validate_aud) = (false, false);
    let key = DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).unwrap()).unwrap();
    decode(jwt, &key, &validation).unwrap().claims
}

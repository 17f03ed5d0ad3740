//! Request ids: the caller's, where it sends a sane one, else a new one.

use http::{HeaderMap, HeaderName, HeaderValue};
use jose::Entropy;
use uuid::Builder;
use uuid::fmt::Hyphenated;

/// The header that carries the id, both ways.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a caller.
const MAX_LEN: usize = 128;

/// The id of a request, as it stands in its answer and in each line of the log.
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// The caller's id, else a random UUID.
    pub(crate) fn of(headers: &HeaderMap, entropy: &Entropy) -> Self {
        let given = headers.get(X_REQUEST_ID).filter(|value| is_sane(value.as_bytes()));
        Self(given.cloned().unwrap_or_else(|| random(entropy)))
    }

    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The id as a header's value.
    pub(crate) fn into_header(self) -> HeaderValue {
        self.0
    }
}

fn random(entropy: &Entropy) -> HeaderValue {
    let id = Builder::from_random_bytes(entropy.bytes()).into_uuid();
    let mut text = [0; Hyphenated::LENGTH];
    let text = id.hyphenated().encode_lower(&mut text);
    #[expect(clippy::expect_used, reason = "a UUID is hexadecimal digits and hyphens")]
    HeaderValue::from_str(text).expect("a UUID is a header value")
}

/// What ids of proxies and tracers are made of. Nothing else gets into the log.
fn is_sane(id: &[u8]) -> bool {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:+/=@".contains(b);
    (1..=MAX_LEN).contains(&id.len()) && id.iter().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_id_is_taken_and_any_other_replaced() {
        let entropy = Entropy::seeded(1);
        let long = "x".repeat(MAX_LEN + 1);
        let cases = [
            (Some("abc-123"), true),
            (Some("Root=1-67891233-abcdef012345678912345678"), true),
            (Some(""), false),
            (Some("a b"), false),
            (Some("a\"b"), false),
            (Some(long.as_str()), false),
            (None, false),
        ];
        for (given, taken) in cases {
            let mut headers = HeaderMap::new();
            if let Some(given) = given {
                headers.insert(X_REQUEST_ID, given.parse().unwrap());
            }
            let id = RequestId::of(&headers, &entropy);
            assert_eq!(Some(id.as_str()) == given, taken, "{given:?}");
            assert!(taken || uuid::Uuid::parse_str(id.as_str()).is_ok(), "{}", id.as_str());
        }
    }
}

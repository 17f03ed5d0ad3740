//! Assertions (RFC 7521 §5, RFC 7523 §3): signed statements by which clients authenticate, and by which issuers vouch
//! for subjects. Here is what both have in common: what they must say, and that each is good once.

use std::borrow::Cow;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// How far the clock of whoever signs may be ahead of this server's.
const CLOCK_SKEW: SignedDuration = SignedDuration::from_secs(60);

/// The longest issuer, subject or audience, in bytes.
const LONGEST_NAME: usize = 1024;

/// What is asked of an assertion.
pub(crate) struct Rules<'a> {
    /// The names of this server: its audience is one of them.
    pub(crate) audiences: &'a [String],
    /// How long it may be good, from when it was issued, else from now.
    pub(crate) longest: Duration,
    /// It may lack a `jti`.
    pub(crate) jti_optional: bool,
    /// It may lack an `iat`.
    pub(crate) iat_optional: bool,
}

/// What an assertion says. Who signed it is another question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assertion {
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) audience: Vec<String>,
    pub(crate) expires_at: Timestamp,
    pub(crate) jti: Option<String>,
}

/// What is wrong with an assertion, as a sentence.
pub(crate) type Fault = Cow<'static, str>;

impl Assertion {
    /// Reads the claims of an assertion, and checks all that they say by themselves.
    pub(crate) fn check(
        claims: &Map<String, Value>,
        rules: &Rules<'_>,
        now: Timestamp,
    ) -> Result<Self, Fault> {
        let (issuer, subject) = (name(claims, "iss")?, name(claims, "sub")?);
        let audience = audience(claims)?;
        if !audience.iter().any(|named| rules.audiences.contains(named)) {
            let own = rules.audiences.first().map(String::as_str).unwrap_or_default();
            return Err(format!("The aud of the assertion does not name this server: use {own}.").into());
        }
        let expires_at = times(claims, rules, now)?;
        let jti = claims.get("jti").and_then(Value::as_str).filter(|jti| !jti.is_empty()).map(str::to_owned);
        if jti.is_none() && !rules.jti_optional {
            return Err("The assertion has no jti, which makes it good for one use.".into());
        }
        Ok(Self { issuer, subject, audience, expires_at, jti })
    }
}

/// When the assertion ends, where that is neither past nor too far away.
fn times(claims: &Map<String, Value>, rules: &Rules<'_>, now: Timestamp) -> Result<Timestamp, Fault> {
    let expires_at = instant(claims, "exp")?.ok_or("The assertion has no exp.")?;
    let (not_before, issued_at) = (instant(claims, "nbf")?, instant(claims, "iat")?);
    let is_ahead = |at: Option<Timestamp>| at.is_some_and(|at| at.duration_since(now) > CLOCK_SKEW);
    if now >= expires_at {
        return Err("The assertion has expired.".into());
    }
    if is_ahead(not_before) {
        return Err("The assertion is not good yet, says its nbf.".into());
    }
    if is_ahead(issued_at) {
        return Err("The assertion was issued in the future, says its iat.".into());
    }
    if issued_at.is_none() && !rules.iat_optional {
        return Err("The assertion has no iat.".into());
    }
    let lifetime = expires_at.duration_since(issued_at.unwrap_or(now));
    if lifetime > SignedDuration::try_from(rules.longest).unwrap_or(SignedDuration::MAX) {
        return Err(format!("The assertion is good for longer than {} s.", rules.longest.as_secs()).into());
    }
    Ok(expires_at)
}

fn name(claims: &Map<String, Value>, claim: &str) -> Result<String, Fault> {
    match claims.get(claim).and_then(Value::as_str) {
        Some(text) if is_name(text) => Ok(text.to_owned()),
        Some(_) => {
            Err(format!("The {claim} of the assertion is empty, too long, or holds control characters.")
                .into())
        }
        None => Err(format!("The assertion has no {claim}.").into()),
    }
}

/// True for what may stand in a claim that names somebody, and in a column.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// One audience, or a list of them (RFC 7519 §4.1.3).
fn audience(claims: &Map<String, Value>) -> Result<Vec<String>, Fault> {
    let named = match claims.get("aud") {
        Some(Value::String(one)) => Some(vec![one.clone()]),
        Some(Value::Array(list)) => list.iter().map(|one| one.as_str().map(str::to_owned)).collect(),
        _ => None,
    };
    named.ok_or("The assertion has no aud.".into())
}

/// A NumericDate (RFC 7519 §2), which may have a fraction.
pub(crate) fn instant(claims: &Map<String, Value>, claim: &str) -> Result<Option<Timestamp>, Fault> {
    let Some(value) = claims.get(claim) else { return Ok(None) };
    let whole = value.as_i64().and_then(|seconds| Timestamp::from_second(seconds).ok());
    let parsed = whole.or_else(|| {
        let since = SignedDuration::try_from_secs_f64(value.as_f64()?).ok()?;
        Timestamp::UNIX_EPOCH.checked_add(since).ok()
    });
    parsed.map(Some).ok_or_else(|| format!("The {claim} of the assertion is no number of seconds.").into())
}

/// Names an assertion among all that were used: whose it is, and its `jti`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AssertionId(pub [u8; 16]);

impl AssertionId {
    /// An assertion by which a client authenticates. Nobody else's `jti` collides with it.
    pub(crate) fn of_client(client: &str, jti: &str) -> Self {
        Self(digest(&["client", client, jti]))
    }

    /// An assertion of a trusted issuer.
    pub(crate) fn of_issuer(issuer: &str, jti: &str) -> Self {
        Self(digest(&["issuer", issuer, jti]))
    }
}

/// Names a list of texts. Each goes in with its length.
pub(crate) fn digest(parts: &[&str]) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash.finalize()[..16]);
    digest
}

/// That an assertion was used, which is to be remembered until it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SingleUse {
    /// Names the assertion.
    pub id: AssertionId,
    /// When it ends.
    pub expires_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_800_000_000;

    fn checked(change: &Value, rules: &Rules<'_>) -> Result<Assertion, Fault> {
        let mut claims = json!({
            "iss": "a", "sub": "b", "aud": "https://id", "exp": NOW + 300, "iat": NOW, "jti": "1",
        });
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let mut claims = claims.as_object().unwrap().clone();
        claims.retain(|_, value| !value.is_null());
        Assertion::check(&claims, rules, Timestamp::from_second(NOW).unwrap())
    }

    #[test]
    fn an_assertion_is_for_this_server_and_for_a_short_time() {
        let audiences = ["https://id".to_owned(), "https://id/oauth2/token".to_owned()];
        let strict = || Rules {
            audiences: &audiences,
            longest: Duration::from_mins(10),
            jti_optional: false,
            iat_optional: false,
        };
        let cases = [
            (json!({}), None),
            (json!({"aud": ["https://other", "https://id/oauth2/token"]}), None),
            (json!({"exp": NOW + 300, "iat": NOW + 60, "nbf": NOW + 60}), None),
            (json!({"exp": 1_800_000_000.5}), None),
            (json!({"exp": NOW + 600}), None),
            (json!({"iss": null}), Some("no iss")),
            (json!({"sub": null}), Some("no sub")),
            (json!({"sub": ""}), Some("sub of the assertion is empty")),
            (json!({"iss": "a\u{0}"}), Some("control characters")),
            (json!({"sub": "x".repeat(1025)}), Some("too long")),
            (json!({"sub": 7}), Some("no sub")),
            (json!({"aud": null}), Some("no aud")),
            (json!({"aud": []}), Some("does not name this server")),
            (json!({"aud": [7]}), Some("no aud")),
            (json!({"aud": "https://id/"}), Some("use https://id.")),
            (json!({"exp": null}), Some("no exp")),
            (json!({"exp": "soon"}), Some("exp of the assertion is no number")),
            (json!({"exp": 1e300}), Some("exp of the assertion is no number")),
            (json!({"exp": NOW}), Some("expired")),
            (json!({"exp": NOW + 601}), Some("longer than 600 s")),
            (json!({"nbf": NOW + 61}), Some("nbf")),
            (json!({"iat": NOW + 61}), Some("iat")),
            (json!({"iat": null}), Some("no iat")),
            (json!({"jti": null}), Some("no jti")),
            (json!({"jti": ""}), Some("no jti")),
        ];
        for (change, fault) in cases {
            match (checked(&change, &strict()), fault) {
                (Ok(_), None) => {}
                (Err(why), Some(part)) => assert!(why.contains(part), "{change}: {why}"),
                (outcome, _) => panic!("{change}: {outcome:?}"),
            }
        }
        let lenient = Rules { jti_optional: true, iat_optional: true, ..strict() };
        let anonymous = checked(&json!({"jti": null, "iat": null}), &lenient).unwrap();
        assert_eq!(anonymous.jti, None);
        let endless = checked(&json!({"iat": null, "exp": NOW + 601}), &lenient);
        assert!(endless.unwrap_err().contains("longer than"), "without an iat, it counts from now");
    }

    #[test]
    fn nobody_uses_up_the_assertion_of_somebody_else() {
        let ids = [
            AssertionId::of_client("a", "bc"),
            AssertionId::of_client("ab", "c"),
            AssertionId::of_issuer("a", "bc"),
            AssertionId::of_client("a", "b"),
        ];
        for (index, id) in ids.iter().enumerate() {
            assert!(!ids[..index].contains(id));
        }
        assert_eq!(ids[0], AssertionId::of_client("a", "bc"));
    }
}

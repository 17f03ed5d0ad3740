//! Issuers of assertions that the server trusts (RFC 7523 §2.1, Hydra's admin API): for which subjects and scopes, and
//! with which key.

use jiff::Timestamp;
use jose::{Entropy, KeyRing, PublicJwk, SealPurpose, SigningAlgorithm, Verifier};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::{Builder, Uuid};

use crate::assertion::{digest, is_name};
use crate::registered_keys::public_key;
use crate::{Error, ErrorCode, Scope, ScopeSet, sealed};

/// A document that asks the server to trust an issuer (Hydra's `trustOAuth2JwtGrantIssuer`).
#[derive(Debug, Default, Deserialize)]
#[expect(missing_docs, reason = "the members have Hydra's names")]
#[serde(default)]
pub struct TrustRequest {
    pub issuer: Option<String>,
    pub subject: Option<String>,
    pub allow_any_subject: Option<bool>,
    pub scope: Option<Vec<Scope>>,
    pub jwk: Option<Value>,
    pub expires_at: Option<Timestamp>,
}

/// One key of an issuer that is trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedIssuer {
    /// Names this trust.
    pub id: Uuid,
    /// The issuer, as its assertions name it.
    pub issuer: String,
    /// For whom it is trusted; `None` means for anybody.
    pub subject: Option<String>,
    /// The scopes that may be asked for with its assertions.
    pub scope: ScopeSet,
    /// Its key, which has a `kid`.
    pub key: PublicJwk,
    /// Since when it is trusted.
    pub created_at: Timestamp,
    /// Until when.
    pub expires_at: Timestamp,
}

/// The issuer as the admin API shows it, in Hydra's order.
#[derive(Debug, Serialize)]
pub struct TrustedIssuerObject<'a> {
    id: Uuid,
    issuer: &'a str,
    subject: &'a str,
    allow_any_subject: bool,
    scope: Vec<&'a Scope>,
    public_key: PublicKey<'a>,
    created_at: Timestamp,
    expires_at: Timestamp,
}

#[derive(Debug, Serialize)]
struct PublicKey<'a> {
    set: &'a str,
    kid: &'a str,
}

/// What the row holds. A key is JSON: it has members that may be absent.
#[derive(Serialize, Deserialize)]
struct Row {
    id: [u8; 16],
    issuer: String,
    subject: Option<String>,
    scope: ScopeSet,
    key: String,
    created_at: i64,
    expires_at: i64,
}

impl TrustedIssuer {
    /// Reads a document.
    ///
    /// # Errors
    /// `missing_required_parameter` where a member is missing or two exclude each other; `invalid_request` naming the
    /// member that is not what it should be.
    pub fn new(request: TrustRequest, now: Timestamp, entropy: &Entropy) -> Result<Self, Error> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let issuer = given(request.issuer).ok_or_else(|| missing("Field 'issuer' is required."))?;
        let subject = given(request.subject);
        match (&subject, request.allow_any_subject.unwrap_or_default()) {
            (None, false) => {
                return Err(missing("One of 'subject' or 'allow_any_subject' field must be set."));
            }
            (Some(_), true) => {
                let why = "Both 'subject' and 'allow_any_subject' fields cannot be set at the same time.";
                return Err(missing(why));
            }
            _ => {}
        }
        let expires_at = request.expires_at.ok_or_else(|| missing("Field 'expires_at' is required."))?;
        let key = request.jwk.ok_or_else(|| missing("Field 'jwk' is required."))?;
        let key = public_key(&key).map_err(|why| Error::invalid_request(format!("jwk: {why}.")))?;
        if key.kid().is_none_or(|kid| kid.as_str().is_empty()) {
            return Err(missing("Field 'jwk' must contain JWK with kid header."));
        }
        if !SigningAlgorithm::ALL.iter().any(|algorithm| Verifier::for_algorithm(&key, *algorithm).is_ok()) {
            return Err(Error::invalid_request("jwk: it is no key that verifies signatures."));
        }
        for (name, text) in [("issuer", Some(&issuer)), ("subject", subject.as_ref())] {
            if text.is_some_and(|text| !is_name(text)) {
                let why = format!("{name}: it is longer than 1024 bytes, or holds control characters.");
                return Err(Error::invalid_request(why));
            }
        }
        if expires_at <= now {
            return Err(Error::invalid_request("expires_at: it lies in the past."));
        }
        let millis = u64::try_from(now.as_millisecond()).unwrap_or_default();
        let seconds = |at: Timestamp| Timestamp::from_second(at.as_second()).unwrap_or(at);
        Ok(Self {
            id: Builder::from_unix_timestamp_millis(millis, &entropy.bytes()).into_uuid(),
            issuer,
            subject,
            scope: request.scope.unwrap_or_default().into_iter().collect(),
            key,
            created_at: seconds(now),
            expires_at: seconds(expires_at),
        })
    }

    /// Names the issuer, the subject and the key together: there is one row for each such name.
    pub fn identity(&self) -> [u8; 16] {
        Self::identity_of(&self.issuer, self.subject.as_deref(), self.kid())
    }

    /// The name of whoever is trusted for this subject, or for anybody, with the key `kid`.
    pub(crate) fn identity_of(issuer: &str, subject: Option<&str>, kid: &str) -> [u8; 16] {
        let whose = if subject.is_some() { "subject" } else { "anybody" };
        digest(&[issuer, whose, subject.unwrap_or_default(), kid])
    }

    fn kid(&self) -> &str {
        self.key.kid().map_or("", |kid| kid.as_str())
    }

    /// True where its assertions count for this subject at `now`.
    pub(crate) fn vouches_for(&self, subject: &str, now: Timestamp) -> bool {
        now < self.expires_at && self.subject.as_ref().is_none_or(|known| known == subject)
    }

    /// The issuer as its row holds it: whoever writes there makes nobody trusted.
    pub fn seal(&self, ring: &KeyRing, entropy: &Entropy) -> Vec<u8> {
        let row = Row {
            id: *self.id.as_bytes(),
            issuer: self.issuer.clone(),
            subject: self.subject.clone(),
            scope: self.scope.clone(),
            key: text_of(&self.key),
            created_at: self.created_at.as_second(),
            expires_at: self.expires_at.as_second(),
        };
        sealed::seal_bytes(ring, SealPurpose::TrustedIssuer, &row, entropy)
    }

    /// Opens what the row `id` holds; `None` for anything else, another row's content among it.
    pub fn open(ring: &KeyRing, id: [u8; 16], content: &[u8]) -> Option<Self> {
        let row: Row = sealed::open_bytes(ring, SealPurpose::TrustedIssuer, content)?;
        if row.id != id {
            return None;
        }
        Some(Self {
            id: Uuid::from_bytes(row.id),
            issuer: row.issuer,
            subject: row.subject,
            scope: row.scope,
            key: serde_json::from_str(&row.key).ok()?,
            created_at: Timestamp::from_second(row.created_at).ok()?,
            expires_at: Timestamp::from_second(row.expires_at).ok()?,
        })
    }

    /// The issuer as the admin API shows it.
    pub fn object(&self) -> TrustedIssuerObject<'_> {
        TrustedIssuerObject {
            id: self.id,
            issuer: &self.issuer,
            subject: self.subject.as_deref().unwrap_or_default(),
            allow_any_subject: self.subject.is_none(),
            scope: self.scope.iter().collect(),
            public_key: PublicKey { set: &self.issuer, kid: self.kid() },
            created_at: self.created_at,
            expires_at: self.expires_at,
        }
    }
}

#[expect(clippy::expect_used, reason = "a public key is strings, written to memory")]
fn text_of(key: &PublicJwk) -> String {
    serde_json::to_string(key).expect("a public key serialises")
}

fn missing(why: &'static str) -> Error {
    Error::new(ErrorCode::MissingRequiredParameter, why)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use jose::{PrivateKey, RootKey, RsaBits};
    use serde_json::json;

    const NOW: i64 = 1_800_000_000;

    fn now() -> Timestamp {
        Timestamp::from_second(NOW).unwrap()
    }

    /// An issuer `https://issuer`, trusted for an hour with this key.
    pub(crate) fn example(key: &PrivateKey, subject: Option<&str>, scope: &str) -> TrustedIssuer {
        let request = json!({
            "issuer": "https://issuer", "subject": subject, "allow_any_subject": subject.is_none(),
            "scope": scope.split(' ').collect::<Vec<_>>(), "jwk": key.public_jwk(),
            "expires_at": Timestamp::from_second(NOW + 3600).unwrap(),
        });
        TrustedIssuer::new(serde_json::from_value(request).unwrap(), now(), &Entropy::seeded(1)).unwrap()
    }

    pub(crate) fn key() -> PrivateKey {
        PrivateKey::generate(SigningAlgorithm::Es256.into(), RsaBits::B2048).unwrap()
    }

    #[test]
    fn a_document_names_an_issuer_a_subject_or_anybody_and_a_key() {
        let jwk = serde_json::to_value(key().public_jwk()).unwrap();
        let nameless = json!({"kty": jwk["kty"], "crv": jwk["crv"], "x": jwk["x"], "y": jwk["y"]});
        let mut private = jwk.clone();
        private["d"] = "x".into();
        let cases = [
            (json!({"issuer": null}), "missing_required_parameter"),
            (json!({"subject": ""}), "missing_required_parameter"),
            (json!({"allow_any_subject": true}), "missing_required_parameter"),
            (json!({"jwk": null}), "missing_required_parameter"),
            (json!({"jwk": nameless}), "missing_required_parameter"),
            (json!({"expires_at": null}), "missing_required_parameter"),
            (json!({"jwk": private}), "invalid_request"),
            (json!({"jwk": {"kty": "oct", "k": "x", "kid": "1"}}), "invalid_request"),
            (json!({"expires_at": "2020-01-01T00:00:00Z"}), "invalid_request"),
            (json!({"issuer": "a\u{0}"}), "invalid_request"),
        ];
        for (change, code) in cases {
            let mut document = json!({
                "issuer": "https://issuer", "subject": "alice", "scope": ["read"], "jwk": jwk,
                "expires_at": "2030-01-01T00:00:00Z",
            });
            for (name, value) in change.as_object().unwrap() {
                document[name] = value.clone();
            }
            let request = serde_json::from_value(document).unwrap();
            let error = TrustedIssuer::new(request, now(), &Entropy::seeded(1)).unwrap_err();
            assert_eq!(error.code.as_str(), code, "{change}: {error}");
        }
    }

    #[test]
    fn an_issuer_opens_in_its_own_row_alone_and_is_shown_as_hydra_shows_it() {
        let ring = KeyRing::new(vec![RootKey::generate(1, &Entropy::seeded(1))]).unwrap();
        let issuer = example(&key(), Some("alice"), "read write");
        let sealed = issuer.seal(&ring, &Entropy::seeded(2));
        assert_eq!(TrustedIssuer::open(&ring, *issuer.id.as_bytes(), &sealed), Some(issuer.clone()));
        assert_eq!(TrustedIssuer::open(&ring, [0; 16], &sealed), None);
        let shown = serde_json::to_value(issuer.object()).unwrap();
        let kid = issuer.kid();
        assert_eq!(
            shown,
            json!({
                "id": issuer.id, "issuer": "https://issuer", "subject": "alice", "allow_any_subject": false,
                "scope": ["read", "write"], "public_key": {"set": "https://issuer", "kid": kid},
                "created_at": "2027-01-15T08:00:00Z", "expires_at": "2027-01-15T09:00:00Z",
            })
        );
    }

    #[test]
    fn each_subject_of_an_issuer_has_a_trust_of_its_own() {
        let key = key();
        let (alice, bob, all) =
            (example(&key, Some("alice"), "a"), example(&key, Some("bob"), "a"), example(&key, None, "a"));
        assert_eq!(alice.identity(), example(&key, Some("alice"), "b").identity());
        assert!(alice.identity() != bob.identity() && alice.identity() != all.identity());
        let late = Timestamp::from_second(NOW + 3600).unwrap();
        assert!(alice.vouches_for("alice", now()) && !alice.vouches_for("bob", now()));
        assert!(all.vouches_for("bob", now()) && !all.vouches_for("bob", late));
    }
}

//! The JWT bearer grant (RFC 7523 §2.1): an issuer that the server trusts vouches for a subject, and a client gets an
//! access token for it.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use jose::{JwsHeader, Verifier, unverified_claims};

use crate::access_token::MAX_PAYLOAD;
use crate::assertion::{Assertion, Rules, SingleUse};
use crate::{
    AssertionId, Audience, Client, Error, ErrorCode, Form, GrantType, ScopeSet, ScopeStrategy, TrustedIssuer,
    requested,
};

/// What the server's configuration says about assertions (Hydra's `oauth2.grant.jwt`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// `max_ttl`: how long an assertion may be good.
    pub max_ttl: Duration,
    /// `jti_optional`: one without a `jti` is taken, any number of times.
    pub jti_optional: bool,
    /// `iat_optional`: one without an `iat` is taken.
    pub iat_optional: bool,
    /// `omit_assertion_audience`: the token's audience is not the assertion's.
    pub omit_assertion_audience: bool,
}

/// An assertion as a client sent it. Until [`Self::trusted_by`] found whose it is, anybody may have written it.
#[derive(Clone)]
pub struct BearerAssertion {
    compact: String,
    header: JwsHeader,
    assertion: Assertion,
}

/// What a token is issued for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    /// Whom the client acts for.
    pub subject: String,
    /// The granted scopes.
    pub scope: ScopeSet,
    /// The granted audience.
    pub audience: Vec<Audience>,
}

/// Checks that a client that has authenticated may use the grant.
///
/// # Errors
/// `unauthorized_client`.
pub fn check_client(client: &Client) -> Result<(), Error> {
    client.check_grant(GrantType::JwtBearer)?;
    if client.is_public() {
        let why = "A public client has no credentials, and gets no token for an assertion.";
        return Err(Error::new(ErrorCode::UnauthorizedClient, why));
    }
    Ok(())
}

impl BearerAssertion {
    /// Reads an assertion, and checks all that it says: that it is for this server, which has these names, and for now
    /// (RFC 7523 §3).
    ///
    /// # Errors
    /// `invalid_grant` naming the claim at fault.
    pub fn parse(compact: &str, audiences: &[String], policy: Policy, now: Timestamp) -> Result<Self, Error> {
        let malformed =
            |error: jose::Error| Error::invalid_grant(format!("The assertion is not a signed JWT: {error}."));
        let header = JwsHeader::parse(compact).map_err(malformed)?;
        let claims = unverified_claims(compact).map_err(malformed)?;
        let Policy { max_ttl: longest, jti_optional, iat_optional, .. } = policy;
        let rules = Rules { audiences, longest, jti_optional, iat_optional };
        let assertion = Assertion::check(&claims, &rules, now).map_err(Error::invalid_grant)?;
        Ok(Self { compact: compact.to_owned(), header, assertion })
    }

    /// The issuer that it names.
    pub fn issuer(&self) -> &str {
        &self.assertion.issuer
    }

    /// The [`TrustedIssuer::identity`] of each that may have signed it: trusted for its subject, or for anybody. `None`
    /// where it does not name its key: it may be any of its issuer.
    pub fn signer_identities(&self) -> Option<[[u8; 16]; 2]> {
        let (kid, Assertion { issuer, subject, .. }) = (self.header.kid.as_ref()?.as_str(), &self.assertion);
        Some([Some(subject.as_str()), None].map(|subject| TrustedIssuer::identity_of(issuer, subject, kid)))
    }

    /// What an assertion is told that nobody signed who is trusted.
    pub fn untrusted() -> Error {
        Error::invalid_grant(
            "The assertion is signed by no issuer and key that this server trusts for its subject now.",
        )
    }

    /// Which of these, which are trusted, signed it; `None` where none did that is trusted for its subject at `now`.
    pub fn trusted_by<'a>(&self, known: &'a [TrustedIssuer], now: Timestamp) -> Option<&'a TrustedIssuer> {
        let Assertion { issuer, subject, .. } = &self.assertion;
        let may_have = |known: &&TrustedIssuer| {
            known.issuer == *issuer
                && known.vouches_for(subject, now)
                && (self.header.kid.is_none() || self.header.kid.as_ref() == known.key.kid())
        };
        let verifies = |known: &&TrustedIssuer| {
            let verifier = Verifier::for_algorithm(&known.key, self.header.alg);
            verifier.is_ok_and(|verifier| verifier.verify(&self.compact).is_ok())
        };
        known.iter().filter(may_have).find(verifies)
    }

    /// What is to be remembered of its use; `None` for an assertion that may be used any number of times.
    pub fn single_use(&self) -> Option<SingleUse> {
        let id = AssertionId::of_issuer(&self.assertion.issuer, self.assertion.jti.as_ref()?);
        Some(SingleUse { id, expires_at: self.assertion.expires_at })
    }

    /// What the client gets for it: no more than it may ask for, and than `trusted`, who signed it, may vouch for.
    ///
    /// # Errors
    /// `invalid_scope` or `invalid_request` naming the scope or audience.
    pub fn decide(
        &self,
        (client, form): (&Client, &Form),
        trusted: &TrustedIssuer,
        strategy: ScopeStrategy,
        policy: Policy,
    ) -> Result<Issue, Error> {
        let scope = requested::scope(client, form, strategy, MAX_PAYLOAD)?.unwrap_or_default();
        if let Some(scope) = scope.first_beyond(&trusted.scope, strategy) {
            let why = format!("The issuer of the assertion is not trusted for the scope '{scope}'.");
            return Err(Error::new(ErrorCode::InvalidScope, why));
        }
        let mut audience = requested::audience(client, form, MAX_PAYLOAD)?;
        if !policy.omit_assertion_audience {
            let of_assertion = self.assertion.audience.iter().filter_map(|text| Audience::parse(text).ok());
            let more: Vec<_> = of_assertion.filter(|one| !audience.contains(one)).collect();
            audience.extend(more);
        }
        Ok(Issue { subject: self.assertion.subject.clone(), scope, audience })
    }
}

/// Without its text, which is a credential until it was used, and its claims.
impl fmt::Debug for BearerAssertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerAssertion").field("issuer", &self.assertion.issuer).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trusted_issuer::tests::{example, key};
    use jose::PrivateKey;
    use serde_json::{Value, json};

    const NOW: i64 = 1_800_000_000;

    fn now() -> Timestamp {
        Timestamp::from_second(NOW).unwrap()
    }

    fn policy() -> Policy {
        Policy {
            max_ttl: Duration::from_hours(1),
            jti_optional: false,
            iat_optional: false,
            omit_assertion_audience: true,
        }
    }

    fn signed(key: &PrivateKey, change: &Value) -> String {
        let mut claims = json!({
            "iss": "https://issuer", "sub": "alice", "aud": ["https://id"], "exp": NOW + 60, "iat": NOW, "jti": "1",
        });
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        key.signer().unwrap().sign("JWT", &claims).unwrap()
    }

    fn parsed(key: &PrivateKey, change: &Value, policy: Policy) -> Result<BearerAssertion, Error> {
        BearerAssertion::parse(&signed(key, change), &["https://id".to_owned()], policy, now())
    }

    #[test]
    fn an_assertion_counts_where_its_issuer_is_trusted_with_its_key_for_its_subject() {
        let (own, foreign) = (key(), key());
        let alice = example(&own, Some("alice"), "read");
        let anybody = example(&own, None, "read");
        let late = Timestamp::from_second(NOW + 3600).unwrap();
        for (key, change, known, at, trusted) in [
            (&own, json!({}), &alice, now(), true),
            (&own, json!({"sub": "bob"}), &alice, now(), false),
            (&own, json!({"sub": "bob"}), &anybody, now(), true),
            (&foreign, json!({}), &alice, now(), false),
            (&own, json!({"iss": "https://other"}), &anybody, now(), false),
            (&own, json!({}), &alice, late, false),
        ] {
            let assertion = parsed(key, &change, policy()).unwrap();
            let signer = assertion.trusted_by(std::slice::from_ref(known), at);
            assert_eq!(signer.is_some(), trusted, "{change}");
            let names = assertion.signer_identities().unwrap();
            assert!(!trusted || names.contains(&known.identity()), "it is found by its name: {change}");
        }
    }

    #[test]
    fn what_an_assertion_says_of_itself_is_checked_first() {
        let key = key();
        for change in
            [json!({"exp": NOW}), json!({"exp": NOW + 3601}), json!({"jti": ""}), json!({"aud": "x"})]
        {
            assert_eq!(
                parsed(&key, &change, policy()).unwrap_err().code,
                ErrorCode::InvalidGrant,
                "{change}"
            );
        }
        let again = Policy { jti_optional: true, ..policy() };
        assert_eq!(parsed(&key, &json!({"jti": ""}), again).unwrap().single_use(), None);
        assert!(
            parsed(&key, &json!({}), again).unwrap().single_use().is_some(),
            "a jti counts where there is one"
        );
        let garbage = BearerAssertion::parse("x", &[], policy(), now()).unwrap_err();
        assert_eq!(garbage.code, ErrorCode::InvalidGrant);
    }

    #[test]
    fn neither_the_issuers_scopes_nor_the_clients_are_exceeded() {
        let key = key();
        let client = Client::example(json!({
            "grant_types": ["urn:ietf:params:oauth:grant-type:jwt-bearer"], "scope": "read write",
            "audience": ["https://api"],
        }));
        let trusted = example(&key, Some("alice"), "read admin");
        let assertion = parsed(&key, &json!({}), policy()).unwrap();
        let decided = |form: &str, policy| {
            let form = Form::parse(form.as_bytes()).unwrap();
            assertion.decide((&client, &form), &trusted, ScopeStrategy::Wildcard, policy)
        };
        let issue = decided("scope=read&audience=https://api/v1", policy()).unwrap();
        assert_eq!((issue.subject.as_str(), issue.scope.to_string().as_str()), ("alice", "read"));
        assert_eq!(issue.audience.len(), 1);
        assert!(decided("", policy()).unwrap().scope.is_empty());
        for scope in ["write", "admin"] {
            let error = decided(&format!("scope={scope}"), policy()).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidScope, "{scope}");
        }
        let copied = decided("", Policy { omit_assertion_audience: false, ..policy() }).unwrap();
        assert_eq!(copied.audience, [Audience::parse("https://id").unwrap()]);
    }

    #[test]
    fn the_client_is_registered_for_the_grant_and_has_a_credential() {
        let with = |metadata| check_client(&Client::example(metadata)).map_err(|error| error.code);
        let grant = GrantType::JwtBearer.as_str();
        assert_eq!(with(json!({"grant_types": [grant]})), Ok(()));
        assert_eq!(with(json!({})), Err(ErrorCode::UnauthorizedClient));
        let public = json!({"grant_types": [grant], "token_endpoint_auth_method": "none"});
        assert_eq!(with(public), Err(ErrorCode::UnauthorizedClient));
    }
}

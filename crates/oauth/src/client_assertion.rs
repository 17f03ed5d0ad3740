//! Assertions by which clients authenticate (`private_key_jwt`; RFC 7523 §2.2, OpenID Connect Core §9).

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use jose::unverified_claims;
use serde_json::{Map, Value};

use crate::assertion::{Assertion, Rules, SingleUse};
use crate::{AssertionId, ClientId, Error};

/// The `client_assertion_type` of a JWT (RFC 7523 §2.2).
pub const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// How long an assertion may be good: for so long its use is remembered.
const LONGEST: Duration = Duration::from_hours(24);

/// An assertion as a client sent it. Until its signature is verified with one of the client's keys, anybody may have.
#[derive(Clone)]
pub struct ClientAssertion {
    compact: String,
    claims: Map<String, Value>,
    client_id: ClientId,
}

impl ClientAssertion {
    /// Reads an assertion, to find whose keys should verify it.
    ///
    /// # Errors
    /// `invalid_client` where it is no signed JWT, or its `iss` and `sub` do not both name the client.
    pub fn parse(compact: &str) -> Result<Self, Error> {
        let claims = unverified_claims(compact)
            .map_err(|_| Error::invalid_client("The client_assertion is not a signed JWT."))?;
        let named = |claim| claims.get(claim).and_then(Value::as_str);
        let client_id =
            named("sub").filter(|id| named("iss") == Some(id)).and_then(|id| ClientId::parse(id).ok());
        let client_id = client_id.ok_or_else(|| {
            Error::invalid_client("The iss and the sub of the client_assertion must both be the client_id.")
        })?;
        Ok(Self { compact: compact.to_owned(), claims, client_id })
    }

    /// The client that it names.
    pub fn client_id(&self) -> &ClientId {
        &self.client_id
    }

    /// The JWT, for whoever verifies it.
    pub fn compact(&self) -> &str {
        &self.compact
    }

    /// Checks all that it says: that it is for this server, which has these names, and for now (RFC 7523 §3). Gives
    /// what is to be remembered of its use, once its signature is verified.
    ///
    /// # Errors
    /// `invalid_client` naming the claim at fault.
    pub fn check(&self, audiences: &[String], now: Timestamp) -> Result<SingleUse, Error> {
        let rules = Rules { audiences, longest: LONGEST, jti_optional: false, iat_optional: true };
        let assertion = Assertion::check(&self.claims, &rules, now).map_err(Error::invalid_client)?;
        let jti = assertion.jti.unwrap_or_default();
        Ok(SingleUse {
            id: AssertionId::of_client(self.client_id.as_str(), &jti),
            expires_at: assertion.expires_at,
        })
    }
}

/// Without its text: it is a credential until it was used.
impl fmt::Debug for ClientAssertion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAssertion").field("client_id", &self.client_id).finish_non_exhaustive()
    }
}

//! Authorization codes (RFC 6749 §4.1.2), which carry the grant themselves, and their exchange (§4.1.3).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use jose::{Entropy, KeyRing, SealPurpose};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::authorization_request::AuthorizationRequest;
use crate::grant::Grant;
use crate::pkce::CodeChallenge;
use crate::{Client, Error, Form, GrantType, RedirectUri, sealed};

/// Hydra's prefix of codes. It is written always, and may be missing on input.
pub const PREFIX: &str = "ory_ac_";

/// A code. Nothing of it is stored before it is exchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorizationCode {
    /// What was granted.
    pub grant: Grant,
    /// Tells this code from another one of the same flow.
    pub id: [u8; 16],
    /// The redirect URI of the request, where it named one.
    redirect_uri: Option<[u8; 16]>,
    /// What the exchange must answer.
    code_challenge: Option<CodeChallenge>,
    /// In seconds since the epoch.
    issued_at: i64,
}

impl AuthorizationCode {
    /// A code for what was granted upon a request.
    pub fn new(grant: Grant, request: &AuthorizationRequest, now: Timestamp, entropy: &Entropy) -> Self {
        Self {
            grant,
            id: entropy.bytes(),
            redirect_uri: request.sent_redirect_uri.as_ref().map(digest),
            code_challenge: request.code_challenge,
            issued_at: now.as_second(),
        }
    }

    /// The code as text, without its prefix.
    pub fn seal(&self, ring: &KeyRing, entropy: &Entropy) -> String {
        sealed::seal(ring, SealPurpose::AuthorizationCode, self, entropy)
    }

    /// Opens a code without its prefix; `None` for anything else.
    pub fn open(ring: &KeyRing, text: &str) -> Option<Self> {
        sealed::open(ring, SealPurpose::AuthorizationCode, text)
    }

    /// When the code ends, for codes that live so long.
    pub fn expires_at(&self, lifetime: Duration) -> Timestamp {
        let lifetime = SignedDuration::try_from(lifetime).unwrap_or(SignedDuration::MAX);
        let issued_at = Timestamp::from_second(self.issued_at).unwrap_or(Timestamp::MIN);
        issued_at.checked_add(lifetime).unwrap_or(Timestamp::MAX)
    }

    /// Checks an exchange by a client that has authenticated. A failed check consumes nothing: whoever holds the
    /// verifier may still come.
    ///
    /// # Errors
    /// `unauthorized_client`, or `invalid_grant` with what does not fit.
    pub fn check(
        &self,
        client: &Client,
        form: &Form,
        lifetime: Duration,
        now: Timestamp,
    ) -> Result<(), Error> {
        client.check_grant(GrantType::AuthorizationCode)?;
        let grant = &self.grant;
        if grant.client_id != client.id
            || grant.incarnation != client.incarnation
            || grant.epoch != client.epoch
        {
            return Err(Error::invalid_grant("The code was not issued to this client."));
        }
        if now >= self.expires_at(lifetime) {
            return Err(Error::invalid_grant("The code has expired."));
        }
        self.check_redirect_uri(form)?;
        CodeChallenge::check(self.code_challenge, form)
    }

    fn check_redirect_uri(&self, form: &Form) -> Result<(), Error> {
        let Some(requested) = self.redirect_uri else { return Ok(()) };
        let presented = form.get("redirect_uri").and_then(|uri| RedirectUri::parse(uri).ok());
        if presented.as_ref().map(digest) == Some(requested) {
            return Ok(());
        }
        Err(Error::invalid_grant("The redirect_uri is not the one of the authorization request."))
    }
}

fn digest(uri: &RedirectUri) -> [u8; 16] {
    let mut digest = [0; 16];
    digest.copy_from_slice(&Sha256::digest(uri.as_str())[..16]);
    digest
}

#[cfg(test)]
mod tests;

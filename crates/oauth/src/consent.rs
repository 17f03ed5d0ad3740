//! Consent: what the consent app is asked, what it answers, and what is remembered of it.

use jiff::Timestamp;
use jose::{Entropy, KeyRing, SealPurpose};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::authorization_request::AuthorizationRequest;
use crate::authorization_response::ReturnAddress;
use crate::denial::Denial;
use crate::flow::{Flow, FlowReference};
use crate::grant::SessionClaims;
use crate::login::Login;
use crate::{
    Audience, Client, ClientId, Error, ErrorCode, Incarnation, Scope, ScopeSet, ScopeStrategy, SessionId,
    null_as_default, sealed,
};

/// What the consent app is asked: sealed, it is the `consent_challenge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentChallenge {
    /// The flow.
    pub flow: Flow,
    /// Who logged in.
    pub login: Login,
    /// What the login app told beside it, as JSON.
    pub context: Option<String>,
    /// True where the user need not be asked: the app accepts without a page.
    pub skip: bool,
    /// The name by which the client will know the user, where it is another than their own.
    pub pairwise_subject: Option<String>,
}

/// What the consent app answers (Hydra's `AcceptOAuth2ConsentRequest`).
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the members of Hydra's API")]
pub struct AcceptConsent {
    #[serde(deserialize_with = "null_as_default")]
    pub grant_scope: Vec<Scope>,
    #[serde(deserialize_with = "null_as_default")]
    pub grant_access_token_audience: Vec<Audience>,
    #[serde(deserialize_with = "null_as_default")]
    pub session: ConsentSession,
    #[serde(deserialize_with = "null_as_default")]
    pub remember: bool,
    #[serde(deserialize_with = "null_as_default")]
    pub remember_for: i64,
    pub context: Value,
}

/// The claims that the consent app, or a hook, adds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the members of Hydra's API")]
pub struct ConsentSession {
    #[serde(deserialize_with = "null_as_default")]
    pub access_token: Map<String, Value>,
    #[serde(deserialize_with = "null_as_default")]
    pub id_token: Map<String, Value>,
}

/// What the app's answer becomes: sealed, it is the `consent_verifier`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentVerifier {
    /// The flow.
    pub flow: FlowReference,
    /// The answer.
    pub outcome: ConsentOutcome,
}

/// The app's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConsentOutcome {
    /// The client gets what was granted.
    Granted {
        /// Who granted it.
        login: Login,
        /// The name by which the client will know them, where it is another than their own.
        pairwise_subject: Option<String>,
        /// The granted scopes.
        scope: ScopeSet,
        /// The granted audience.
        audience: Vec<Audience>,
        /// The claims that the app adds.
        claims: SessionClaims,
        /// When, in seconds since the epoch.
        decided_at: i64,
        /// For how many seconds it is remembered; 0 means for ever, `None` not at all.
        remember_for: Option<i64>,
    },
    /// It gets nothing.
    Rejected(Denial),
}

/// Whether the user must be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsentNeed {
    /// Yes.
    Ask,
    /// No.
    Skip,
    /// It depends on what they consented to before.
    LookUp,
}

/// What a user consented to before, as its row holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedConsent {
    /// The user.
    pub subject: String,
    /// The client.
    pub client_id: ClientId,
    /// The scopes.
    pub scope: ScopeSet,
    /// The audience.
    pub audience: Vec<Audience>,
    /// The client's incarnation.
    pub incarnation: Incarnation,
    /// The login session in which it was given.
    pub session_id: SessionId,
    /// When it ends, in seconds since the epoch; `None` means never.
    pub expires_at: Option<i64>,
}

/// Decides whether the user must be asked. `known` is what a session's lookup has already told.
pub fn need(request: &AuthorizationRequest, client: &Client, known: Option<bool>) -> ConsentNeed {
    // Any app on a device can claim a custom scheme, and any device a public client's id: nobody knows who asks.
    let proves_itself = |address: &ReturnAddress| address.redirect_uri.proves_its_owner();
    let could_be_anyone = match &request.return_address {
        Some(address) => client.is_public() && !proves_itself(address),
        // Whoever has one of the devices has the client's secret, and can send anybody the address of the code's page.
        None => true,
    };
    if request.prompts.consent || could_be_anyone {
        return ConsentNeed::Ask;
    }
    if client.metadata.skip_consent {
        return ConsentNeed::Skip;
    }
    match known {
        Some(true) => ConsentNeed::Skip,
        Some(false) => ConsentNeed::Ask,
        None => ConsentNeed::LookUp,
    }
}

impl ConsentChallenge {
    /// Checks that the flow may go to the consent app.
    ///
    /// # Errors
    /// `consent_required` where a page would be needed and the client wants none.
    pub fn check_prompts(&self, request: &AuthorizationRequest) -> Result<(), Error> {
        if request.prompts.none && !self.skip {
            let why = "The user must be asked for consent, and the request says prompt=none.";
            return Err(Error::new(ErrorCode::ConsentRequired, why));
        }
        Ok(())
    }

    /// Decides what becomes of the app's answer. No more is granted than `request` asked for.
    ///
    /// # Errors
    /// `invalid_request` naming the member and what it holds too much.
    pub fn accept(
        &self,
        request: &AuthorizationRequest,
        answer: AcceptConsent,
        now: Timestamp,
    ) -> Result<ConsentVerifier, Error> {
        if let Some(scope) = answer.grant_scope.iter().find(|scope| !request.scope.contains(scope.as_str())) {
            return Err(Error::invalid_request(format!(
                "The member 'grant_scope' has the scope '{scope}', which was not requested."
            )));
        }
        let unasked = |audience: &&Audience| !request.audience.contains(audience);
        if let Some(audience) = answer.grant_access_token_audience.iter().find(unasked) {
            return Err(Error::invalid_request(format!(
                "The member 'grant_access_token_audience' has '{audience}', which was not requested."
            )));
        }
        let outcome = ConsentOutcome::Granted {
            login: self.login.clone(),
            pairwise_subject: self.pairwise_subject.clone(),
            scope: answer.grant_scope.into_iter().collect(),
            audience: answer.grant_access_token_audience,
            claims: SessionClaims::new(&answer.session.access_token, &answer.session.id_token),
            decided_at: now.as_second(),
            // What nobody was asked is no consent to remember.
            remember_for: (answer.remember && !self.skip).then(|| answer.remember_for.max(0)),
        };
        Ok(ConsentVerifier { flow: self.flow.reference(), outcome })
    }

    /// What becomes of the app's refusal.
    pub fn reject(&self, denial: Denial) -> ConsentVerifier {
        ConsentVerifier { flow: self.flow.reference(), outcome: ConsentOutcome::Rejected(denial) }
    }

    /// The challenge as text.
    pub fn seal(&self, ring: &KeyRing, entropy: &Entropy) -> String {
        sealed::seal(ring, SealPurpose::ConsentChallenge, self, entropy)
    }

    /// Opens a challenge; `None` for anything else.
    pub fn open(ring: &KeyRing, text: &str) -> Option<Self> {
        sealed::open(ring, SealPurpose::ConsentChallenge, text)
    }
}

impl ConsentVerifier {
    /// The verifier as text.
    pub fn seal(&self, ring: &KeyRing, entropy: &Entropy) -> String {
        sealed::seal(ring, SealPurpose::ConsentVerifier, self, entropy)
    }

    /// Opens a verifier; `None` for anything else.
    pub fn open(ring: &KeyRing, text: &str) -> Option<Self> {
        sealed::open(ring, SealPurpose::ConsentVerifier, text)
    }
}

impl RememberedConsent {
    /// True where it is this user's consent for this client, lasts still, and covers all that the request asks for.
    pub fn covers(
        &self,
        (subject, client): (&str, &Client),
        request: &AuthorizationRequest,
        strategy: ScopeStrategy,
        now: Timestamp,
    ) -> bool {
        self.subject == subject
            && self.client_id == client.id
            && self.incarnation == client.incarnation
            && self.expires_at.is_none_or(|at| now.as_second() < at)
            && request.scope.first_beyond(&self.scope, strategy).is_none()
            && request
                .audience
                .iter()
                .all(|audience| self.audience.iter().any(|known| known.allows(audience)))
    }

    /// The consent as its row holds it.
    pub fn seal(&self, ring: &KeyRing, entropy: &Entropy) -> Vec<u8> {
        sealed::seal_bytes(ring, SealPurpose::RememberedConsent, self, entropy)
    }

    /// Opens what a row holds; `None` for anything else.
    pub fn open(ring: &KeyRing, sealed: &[u8]) -> Option<Self> {
        sealed::open_bytes(ring, SealPurpose::RememberedConsent, sealed)
    }

    /// When a consent that is remembered for so many seconds ends; `None` means never.
    pub fn expires_at(remember_for: i64, now: Timestamp) -> Option<Timestamp> {
        if remember_for == 0 {
            return None;
        }
        Some(now.checked_add(jiff::SignedDuration::from_secs(remember_for)).unwrap_or(Timestamp::MAX))
    }
}

#[cfg(test)]
mod tests;

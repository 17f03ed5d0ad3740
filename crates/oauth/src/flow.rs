//! An authorization flow under way: what travels with the browser from the authorization request to the code.

use std::time::Duration;

use jiff::Timestamp;
use jose::{Entropy, KeyRing, MacPurpose};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::{Client, ClientId, Error, Form, GrantId, Incarnation};

/// The parameters of an authorization request that are written as one byte. A name is only ever added at the end.
const KNOWN: [&str; 24] = [
    "client_id",
    "response_type",
    "scope",
    "redirect_uri",
    "state",
    "response_mode",
    "nonce",
    "audience",
    "code_challenge",
    "code_challenge_method",
    "prompt",
    "max_age",
    "id_token_hint",
    "login_hint",
    "acr_values",
    "ui_locales",
    "display",
    "claims",
    "resource",
    "access_type",
    "identity_schema",
    "claims_locales",
    "dpop_jkt",
    "authorization_details",
];

/// The parameters that carry this server's own values, beside those of the client's request.
pub const OWN_PARAMETERS: [&str; 3] = ["login_verifier", "consent_verifier", "device_verifier"];

/// Where a flow began, and how it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FlowKind {
    /// At the authorization endpoint (RFC 6749 §3.1): it ends at the client's redirect URI.
    Authorization,
    /// On a device (RFC 8628 §3.1): it ends in the device's row.
    Device,
}

/// An authorization flow. It is not stored: it is sealed into the challenges that login and consent apps answer.
///
/// The client is named by its id, with the incarnation and the epoch that it had: a flow does not outlive it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// The id of the grant that will come of it. It tells when the flow began.
    pub id: GrantId,
    /// Where it began.
    pub kind: FlowKind,
    /// The client's incarnation.
    pub incarnation: Incarnation,
    /// The client's epoch.
    pub epoch: i64,
    /// The client's request, without this server's own parameters.
    #[serde(with = "compact")]
    pub request: Form,
}

/// What a verifier carries of its flow: the request itself stands beside it in the URL, and must be the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowReference {
    /// The flow's id.
    pub id: GrantId,
    kind: FlowKind,
    incarnation: Incarnation,
    epoch: i64,
    request: [u8; 16],
}

/// The page on which an interaction happens. Each has a cookie of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interaction {
    /// Login.
    Login,
    /// Consent.
    Consent,
    /// The entry of a user code.
    Device,
}

impl Interaction {
    /// The name, as cookies and parameters have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::Consent => "consent",
            Self::Device => "device",
        }
    }
}

impl Flow {
    /// Begins a flow at the authorization endpoint.
    pub fn begin(client: &Client, request: Form, now: Timestamp, entropy: &Entropy) -> Self {
        Self::begin_as(FlowKind::Authorization, client, request, (now, entropy))
    }

    /// Begins a flow on a device.
    pub fn begin_on_device(client: &Client, request: Form, now: Timestamp, entropy: &Entropy) -> Self {
        Self::begin_as(FlowKind::Device, client, request, (now, entropy))
    }

    fn begin_as(
        kind: FlowKind,
        client: &Client,
        request: Form,
        (now, entropy): (Timestamp, &Entropy),
    ) -> Self {
        Self {
            id: GrantId::new(now, entropy),
            kind,
            incarnation: client.incarnation,
            epoch: client.epoch,
            request: request.without(&OWN_PARAMETERS),
        }
    }

    /// The client that began it.
    ///
    /// # Errors
    /// `invalid_client` where the request names none.
    pub fn client_id(&self) -> Result<ClientId, Error> {
        ClientId::parse(self.request.get("client_id").unwrap_or_default())
            .map_err(|e| Error::invalid_client(e.to_string()))
    }

    /// True where `client` is the one that began it, as it was then.
    pub fn is_of(&self, client: &Client) -> bool {
        self.incarnation == client.incarnation && self.epoch == client.epoch
    }

    /// What a verifier carries of the flow.
    pub fn reference(&self) -> FlowReference {
        FlowReference {
            id: self.id,
            kind: self.kind,
            incarnation: self.incarnation,
            epoch: self.epoch,
            request: digest(&self.request),
        }
    }
}

impl FlowReference {
    /// The flow, where `request` is the one with which it began and `client` its client.
    pub fn resume(&self, client: &Client, request: Form) -> Option<Flow> {
        let request = request.without(&OWN_PARAMETERS);
        let (id, kind, incarnation, epoch) = (self.id, self.kind, self.incarnation, self.epoch);
        let flow = Flow { id, kind, incarnation, epoch, request };
        (flow.is_of(client) && bool::from(digest(&flow.request).ct_eq(&self.request))).then_some(flow)
    }
}

/// True where a flow that began with this id has taken longer than `limit`.
pub fn is_too_old(id: GrantId, limit: Duration, now: Timestamp) -> bool {
    let age = now.duration_since(id.started_at());
    age > jiff::SignedDuration::try_from(limit).unwrap_or(jiff::SignedDuration::MAX)
}

/// What the cookie holds that ties a flow to the browser in which it began. It is never stored: whoever has not been
/// sent it cannot know it.
pub fn cookie_value(ring: &KeyRing, interaction: Interaction, id: GrantId) -> String {
    let mac = ring.mac(MacPurpose::FlowCookie, &[interaction.as_str().as_bytes(), id.as_bytes()]);
    crate::sealed::text(&[&[mac.generation], &mac.tag[..16]].concat())
}

/// True where the browser brings the flow's cookie.
pub fn is_cookie_of(ring: &KeyRing, interaction: Interaction, id: GrantId, value: &str) -> bool {
    bool::from(cookie_value(ring, interaction, id).as_bytes().ct_eq(value.as_bytes()))
}

/// Tells requests apart whatever the order of their parameters. Each part goes in with its length.
fn digest(request: &Form) -> [u8; 16] {
    let mut pairs: Vec<_> = request.pairs().collect();
    pairs.sort_by_key(|(name, _)| *name);
    let mut hash = Sha256::new();
    for part in pairs.into_iter().flat_map(|(name, value)| [name, value]) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash.finalize()[..16]);
    digest
}

/// Parameters with their names as single bytes where they are known.
mod compact {
    use super::{Deserialize, Deserializer, Form, KNOWN, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    enum Name {
        Known(u8),
        Other(String),
    }

    pub(super) fn serialize<S: Serializer>(form: &Form, serializer: S) -> Result<S::Ok, S::Error> {
        let name = |name: &str| {
            let known = KNOWN.iter().position(|known| *known == name).and_then(|at| u8::try_from(at).ok());
            known.map_or_else(|| Name::Other(name.to_owned()), Name::Known)
        };
        serializer.collect_seq(form.pairs().map(|(key, value)| (name(key), value)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Form, D::Error> {
        let name = |name| match name {
            Name::Known(at) => KNOWN.get(usize::from(at)).map(|known| (*known).to_owned()),
            Name::Other(name) => Some(name),
        };
        let pairs = Vec::<(Name, String)>::deserialize(deserializer)?;
        let pairs = pairs.into_iter().map(|(key, value)| Some((name(key)?, value)));
        pairs.collect::<Option<Form>>().ok_or_else(|| serde::de::Error::custom("an unknown parameter"))
    }
}

#[cfg(test)]
mod tests;

//! Device authorization (RFC 8628): what the device holds, what its row holds, and what travels with the browser.
//!
//! ```text
//!  device  ─▶ Flow ─▶ row [DeviceRequest], device code [DeviceCode], user code
//!  browser ─▶ [DeviceChallenge] ─▶ user code accepted ─▶ [DeviceVerifier] ─▶ login, consent ─▶ row [Grant]
//!  device  ─▶ DeviceCode::check ─▶ Grant ─▶ tokens
//! ```

use std::net::IpAddr;

use jiff::Timestamp;
use jose::{Entropy, KeyRing, SealPurpose};
use serde::{Deserialize, Serialize};

use crate::flow::{Flow, FlowReference};
use crate::user_code::UserCodeHash;
use crate::{Client, Error, ErrorCode, Form, GrantId, Incarnation, sealed};

/// Hydra's prefix of device codes. It is written always, and may be missing on input.
pub const PREFIX: &str = "ory_dc_";

/// The parameters of a device's request that become its flow's.
const PARAMETERS: [&str; 3] = ["scope", "audience", "resource"];

/// What a device asked for, as its row holds it until somebody has decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceRequest {
    /// The flow. Its id names the row, and the grant that will come of it.
    pub flow: Flow,
    /// The code that was shown with this request: a row that is given another one opens no more.
    user_code: UserCodeHash,
}

/// What the device asks for tokens with. Nothing of it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceCode {
    /// The flow's id.
    pub id: GrantId,
    incarnation: Incarnation,
    epoch: i64,
    /// In seconds since the epoch.
    expires_at: i64,
}

/// What the page for user codes is asked: sealed, it is the `device_challenge`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceChallenge {
    /// Names it, and tells when it was made.
    pub id: GrantId,
    /// Where the browser is, as far as the server knows.
    pub address: Option<IpAddr>,
}

/// What an accepted user code becomes: sealed, it is the `device_verifier`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceVerifier {
    /// The device's flow.
    pub flow: FlowReference,
    /// The challenge under which the code was entered.
    pub challenge: GrantId,
}

impl DeviceRequest {
    /// A client's request, which has been checked. Of its parameters, those are kept that say what is asked for, and
    /// none that authenticates.
    pub fn new(
        client: &Client,
        form: &Form,
        user_code: UserCodeHash,
        now: Timestamp,
        entropy: &Entropy,
    ) -> Self {
        let named = ("client_id".to_owned(), client.id.to_string());
        let asked = form.pairs().filter(|(name, value)| PARAMETERS.contains(name) && !value.is_empty());
        let asked = asked.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let request = std::iter::once(named).chain(asked).collect();
        Self { flow: Flow::begin_on_device(client, request, now, entropy), user_code }
    }

    /// The request as its row holds it.
    pub fn seal(&self, ring: &KeyRing, entropy: &Entropy) -> Vec<u8> {
        sealed::seal_bytes(ring, SealPurpose::DeviceRequest, self, entropy)
    }

    /// Opens what the row `id` holds that was found by a user code; `None` for anything else, another row's content
    /// or user code among it.
    pub fn open(ring: &KeyRing, id: GrantId, user_code: UserCodeHash, sealed: &[u8]) -> Option<Self> {
        sealed::open_bytes::<Self>(ring, SealPurpose::DeviceRequest, sealed)
            .filter(|request| request.flow.id == id && request.user_code == user_code)
    }
}

impl DeviceCode {
    /// The code of a device's flow.
    pub fn new(flow: &Flow, expires_at: Timestamp) -> Self {
        let (id, incarnation, epoch) = (flow.id, flow.incarnation, flow.epoch);
        Self { id, incarnation, epoch, expires_at: expires_at.as_second() }
    }

    /// The whole code.
    pub fn seal(&self, ring: &KeyRing, entropy: &Entropy) -> String {
        format!("{PREFIX}{}", sealed::seal(ring, SealPurpose::DeviceCode, self, entropy))
    }

    /// Opens a code, with or without its prefix; `None` for anything else.
    pub fn open(ring: &KeyRing, text: &str) -> Option<Self> {
        sealed::open(ring, SealPurpose::DeviceCode, text.strip_prefix(PREFIX).unwrap_or(text))
    }

    /// When it ends.
    pub fn expires_at(&self) -> Timestamp {
        Timestamp::from_second(self.expires_at).unwrap_or(Timestamp::MIN)
    }

    /// Checks a request by a client that has authenticated.
    ///
    /// # Errors
    /// `invalid_grant` where it is another client's, `expired_token` (RFC 8628 §3.5).
    pub fn check(&self, client: &Client, now: Timestamp) -> Result<(), Error> {
        if self.incarnation != client.incarnation || self.epoch != client.epoch {
            let why = "The device code was not issued to this client, or was revoked.";
            return Err(Error::invalid_grant(why));
        }
        if now >= self.expires_at() {
            let why = "The device code has expired: ask for a new one.";
            return Err(Error::new(ErrorCode::ExpiredToken, why));
        }
        Ok(())
    }
}

impl DeviceChallenge {
    /// A challenge for a browser that is there.
    pub fn new(address: Option<IpAddr>, now: Timestamp, entropy: &Entropy) -> Self {
        Self { id: GrantId::new(now, entropy), address }
    }

    /// The challenge as text.
    pub fn seal(&self, ring: &KeyRing, entropy: &Entropy) -> String {
        sealed::seal(ring, SealPurpose::DeviceChallenge, self, entropy)
    }

    /// Opens a challenge; `None` for anything else.
    pub fn open(ring: &KeyRing, text: &str) -> Option<Self> {
        sealed::open(ring, SealPurpose::DeviceChallenge, text)
    }
}

impl DeviceVerifier {
    /// The verifier as text.
    pub fn seal(&self, ring: &KeyRing, entropy: &Entropy) -> String {
        sealed::seal(ring, SealPurpose::DeviceVerifier, self, entropy)
    }

    /// Opens a verifier; `None` for anything else.
    pub fn open(ring: &KeyRing, text: &str) -> Option<Self> {
        sealed::open(ring, SealPurpose::DeviceVerifier, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jose::RootKey;
    use serde_json::json;

    fn ring() -> KeyRing {
        KeyRing::new(vec![RootKey::generate(1, &Entropy::seeded(1))]).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn client() -> Client {
        Client { incarnation: Incarnation(7), epoch: 3, ..Client::example(json!({})) }
    }

    fn request(form: &[u8]) -> DeviceRequest {
        let form = Form::parse(form).unwrap();
        DeviceRequest::new(&client(), &form, UserCodeHash([5; 32]), at(100), &Entropy::seeded(2))
    }

    #[test]
    fn what_is_kept_of_a_request_names_its_client_and_authenticates_nobody() {
        let kept = |form: &[u8]| request(form).flow.request.to_query(None);
        for form in [
            &b"client_id=app&client_secret=s&scope=a+b&audience=x&audience=y&state=z"[..],
            b"scope=a+b&audience=x&audience=y&client_assertion=j",
        ] {
            assert_eq!(kept(form), "audience=x&audience=y&client_id=app&scope=a+b");
        }
    }

    #[test]
    fn a_request_opens_in_its_own_row_for_its_own_user_code_alone() {
        let (ring, asked) = (ring(), request(b"scope=a"));
        let (id, code) = (asked.flow.id, UserCodeHash([5; 32]));
        let sealed = asked.seal(&ring, &Entropy::seeded(3));
        assert_eq!(DeviceRequest::open(&ring, id, code, &sealed), Some(asked));
        assert_eq!(DeviceRequest::open(&ring, GrantId::from_bytes([1; 16]), code, &sealed), None);
        assert_eq!(DeviceRequest::open(&ring, id, UserCodeHash([6; 32]), &sealed), None);
    }

    #[test]
    fn a_code_is_of_one_client_and_ends() {
        let (ring, entropy) = (ring(), Entropy::seeded(4));
        let code = DeviceCode::new(&request(b"").flow, at(700));
        let text = code.seal(&ring, &entropy);
        assert_eq!(DeviceCode::open(&ring, &text).as_ref(), Some(&code));
        assert_eq!(DeviceCode::open(&ring, text.strip_prefix(PREFIX).unwrap()).as_ref(), Some(&code));
        assert_eq!(DeviceCode::open(&ring, &format!("{text}A")), None);
        assert_eq!(code.check(&client(), at(699)), Ok(()));
        assert_eq!(code.check(&client(), at(700)).unwrap_err().code, ErrorCode::ExpiredToken);
        for other in [Client { incarnation: Incarnation(8), ..client() }, Client { epoch: 4, ..client() }] {
            assert_eq!(code.check(&other, at(700)).unwrap_err().code, ErrorCode::InvalidGrant);
        }
    }

    #[test]
    fn neither_a_challenge_nor_a_verifier_takes_the_others_place() {
        let (ring, entropy) = (ring(), Entropy::seeded(5));
        let challenge = DeviceChallenge::new(Some(IpAddr::from([192, 0, 2, 1])), at(1), &entropy);
        let sealed = challenge.seal(&ring, &entropy);
        assert_eq!(DeviceChallenge::open(&ring, &sealed).as_ref(), Some(&challenge));
        assert_eq!(DeviceVerifier::open(&ring, &sealed), None);
        let verifier = DeviceVerifier { flow: request(b"").flow.reference(), challenge: challenge.id };
        let sealed = verifier.seal(&ring, &entropy);
        assert_eq!(DeviceVerifier::open(&ring, &sealed), Some(verifier));
        assert_eq!(DeviceChallenge::open(&ring, &sealed), None);
    }
}

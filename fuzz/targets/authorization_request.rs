//! Authorization requests: whoever asks, a response goes only where the client is registered, and what travels with the
//! browser comes back as it was, or not at all.
#![no_main]

use std::sync::LazyLock;

use arbitrary::Arbitrary;
use jiff::Timestamp;
use jose::{Entropy, KeyRing};
use libfuzzer_sys::fuzz_target;
use oauth::authorization_code::AuthorizationCode;
use oauth::authorization_request::{AuthorizationRequest, Policy, Refusal};
use oauth::authorization_response::AuthorizationResponse;
use oauth::consent::{ConsentChallenge, ConsentVerifier};
use oauth::device_authorization::{DeviceChallenge, DeviceCode, DeviceVerifier};
use oauth::flow::Flow;
use oauth::login::{LoginChallenge, LoginVerifier, session_of_cookie};
use oauth::refresh_token::RefreshToken;
use oauth::wanted_user::WantedUser;
use oauth::{Client, ClientId, Form, Incarnation, Issuer, SubjectTypes};

static RING: LazyLock<KeyRing> = LazyLock::new(support::ring);

static CLIENT: LazyLock<Client> = LazyLock::new(|| Client {
    id: ClientId::parse("app").expect("an id"),
    incarnation: Incarnation(1),
    epoch: 0,
    declared: false,
    self_registered: false,
    metadata: serde_json::from_str(
        r#"{"redirect_uris": ["https://a/cb", "http://127.0.0.1/cb?x=1", "app:cb"],
            "grant_types": ["authorization_code", "implicit"], "scope": "openid a.*", "audience": ["https://api"],
            "response_types": ["code", "id_token", "token", "code id_token token"]}"#,
    )
    .expect("a document"),
    secrets: vec![],
    created_at: Timestamp::UNIX_EPOCH,
    updated_at: Timestamp::UNIX_EPOCH,
});

static WANTED: LazyLock<WantedUser> = LazyLock::new(|| {
    let subjects = SubjectTypes::default().of(&CLIENT).expect("public subjects");
    WantedUser { subjects, hint: None }
});

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    query: &'a [u8],
    redirect_uri: Option<u8>,
    text: &'a str,
}

fuzz_target!(|input: Input<'_>| {
    nothing_opens(input.text);
    let Ok(form) = Form::parse(input.query) else { return };
    // The fuzzer need not guess what is registered.
    let known = input.redirect_uri.map(|at| CLIENT.metadata.redirect_uris[usize::from(at) % 3].as_str());
    let form: Form = match known {
        Some(uri) => {
            let rest = form.without(&["redirect_uri"]);
            let pairs = rest.pairs().map(|(name, value)| (name.to_owned(), value.to_owned()));
            pairs.chain([("redirect_uri".to_owned(), uri.to_owned())]).collect()
        }
        None => form,
    };
    let address = match AuthorizationRequest::parse(&CLIENT, &form, Policy::default()) {
        Ok(request) => {
            let entropy = Entropy::seeded(2);
            let flow = Flow::begin(&CLIENT, form.clone(), Timestamp::UNIX_EPOCH, &entropy);
            assert!(flow.reference().resume(&CLIENT, form).is_some());
            let now = (Timestamp::UNIX_EPOCH, &entropy);
            if let Ok(challenge) = LoginChallenge::decide(flow, &request, None, &WANTED, now) {
                let sealed = challenge.seal(&RING, &entropy);
                assert_eq!(LoginChallenge::open(&RING, &sealed).as_ref(), Some(&challenge));
                assert!(LoginVerifier::open(&RING, &sealed).is_none());
            }
            request.return_address.expect("a browser brought it")
        }
        Err(Refusal::ToClient(address, _)) => *address,
        Err(Refusal::ToUser(_)) => return,
    };
    assert!(CLIENT.metadata.redirect_uris.iter().any(|uri| uri.covers(&address.redirect_uri)));
    let issuer = Issuer::parse("https://id").expect("an issuer");
    match address.respond(&issuer, vec![("code", input.text.to_owned())]) {
        AuthorizationResponse::Redirect(location) => {
            assert!(location.starts_with(address.redirect_uri.as_str()));
            assert!(location.bytes().all(|b| !b.is_ascii_control() && b != b' '), "{location}");
        }
        AuthorizationResponse::FormPost { action, .. } => assert_eq!(action, address.redirect_uri),
    }
});

/// Nobody makes a sealed value up.
fn nothing_opens(text: &str) {
    assert!(LoginChallenge::open(&RING, text).is_none());
    assert!(LoginVerifier::open(&RING, text).is_none());
    assert!(ConsentChallenge::open(&RING, text).is_none());
    assert!(ConsentVerifier::open(&RING, text).is_none());
    assert!(AuthorizationCode::open(&RING, text).is_none());
    assert!(DeviceChallenge::open(&RING, text).is_none());
    assert!(DeviceVerifier::open(&RING, text).is_none());
    assert!(DeviceCode::open(&RING, text).is_none());
    assert!(RefreshToken::open(&RING, text).is_none());
    assert!(session_of_cookie(&RING, text).is_none());
}

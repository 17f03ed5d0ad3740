use super::*;
use crate::GrantId;
use crate::sealed;
use jose::{RootKey, SealPurpose};
use proptest::prelude::*;
use serde_json::json;

fn ring() -> KeyRing {
    KeyRing::new(vec![RootKey::generate(1, &Entropy::seeded(1))]).unwrap()
}

fn client() -> Client {
    Client { incarnation: Incarnation(7), epoch: 3, ..Client::example(json!({})) }
}

fn form(text: &str) -> Form {
    Form::parse(text.as_bytes()).unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn flow(request: &str) -> Flow {
    Flow::begin(&client(), form(request), now(), &Entropy::seeded(2))
}

#[test]
fn a_verifier_resumes_its_flow_whatever_the_order_of_the_parameters() {
    let reference = flow("client_id=app&state=x&audience=a&audience=b").reference();
    let resumed = |request: &str| reference.resume(&client(), form(request)).is_some();
    assert!(resumed("state=x&audience=a&audience=b&client_id=app&login_verifier=v"));
    for changed in [
        "client_id=app&state=y&audience=a&audience=b",
        "client_id=app&state=x&audience=b&audience=a",
        "client_id=app&state=x&audience=a",
        "client_id=app&state=x&audience=a&audience=b&prompt=none",
        "",
    ] {
        assert!(!resumed(changed), "{changed}");
    }
}

#[test]
fn a_flow_does_not_outlive_its_client() {
    let reference = flow("client_id=app").reference();
    for other in [Client { incarnation: Incarnation(8), ..client() }, Client { epoch: 4, ..client() }] {
        assert!(reference.resume(&other, form("client_id=app")).is_none());
        assert!(!flow("client_id=app").is_of(&other));
    }
}

#[test]
fn a_flow_stays_of_the_kind_that_it_began_as() {
    let on_device = Flow::begin_on_device(&client(), form("client_id=app"), now(), &Entropy::seeded(2));
    for (flow, kind) in [(on_device, FlowKind::Device), (flow("client_id=app"), FlowKind::Authorization)] {
        let resumed = flow.reference().resume(&client(), form("client_id=app&device_verifier=v"));
        assert_eq!(resumed.map(|flow| flow.kind), Some(kind));
    }
}

#[test]
fn a_flow_has_a_limited_time() {
    let id = flow("").id;
    let limit = Duration::from_mins(1);
    assert!(!is_too_old(id, limit, now() + jiff::SignedDuration::from_secs(60)));
    assert!(is_too_old(id, limit, now() + jiff::SignedDuration::from_secs(61)));
    assert!(!is_too_old(id, Duration::MAX, now() + jiff::SignedDuration::from_secs(61)));
}

#[test]
fn a_cookie_belongs_to_one_flow_and_one_interaction() {
    let (ring, id) = (ring(), flow("").id);
    let value = cookie_value(&ring, Interaction::Login, id);
    let other = GrantId::new(now(), &Entropy::seeded(3));
    assert!(is_cookie_of(&ring, Interaction::Login, id, &value));
    assert!(!is_cookie_of(&ring, Interaction::Consent, id, &value));
    assert!(!is_cookie_of(&ring, Interaction::Login, other, &value));
    assert!(!is_cookie_of(&ring, Interaction::Login, id, ""));
}

#[test]
fn an_ordinary_request_seals_to_fewer_than_450_characters() {
    let request = "client_id=6e1a1f2c-5f0e-4b52-9f8a-5f1f3f7e9b10&response_type=code&scope=openid+offline_access+profile\
        &redirect_uri=https%3A%2F%2Fapp.example.com%2Foauth2%2Fcallback&state=3y6rRzWq0yQvXzJ1mYk0WQ&nonce=Zt2l4lWmUe0V7lJ3YbX0Hg\
        &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";
    let sealed = sealed::seal(&ring(), SealPurpose::LoginChallenge, &flow(request), &Entropy::seeded(4));
    assert!(sealed.len() < 450, "{}", sealed.len());
}

proptest! {
    #[test]
    fn any_request_comes_back(pairs in prop::collection::vec(("[a-z_]{1,8}|state|scope|audience", "\\PC{0,20}"), 0..8)) {
        let flow = Flow { request: pairs.into_iter().collect(), ..flow("") };
        let sealed = sealed::seal(&ring(), SealPurpose::LoginChallenge, &flow, &Entropy::seeded(4));
        prop_assert_eq!(sealed::open::<Flow>(&ring(), SealPurpose::ConsentChallenge, &sealed), None);
        prop_assert_eq!(sealed::open::<Flow>(&ring(), SealPurpose::LoginChallenge, &sealed), Some(flow));
    }
}

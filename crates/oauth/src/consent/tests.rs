use super::*;
use crate::authorization_request::Policy;
use crate::{Form, Incarnation};
use serde_json::json;

fn client(changes: &Value) -> Client {
    let mut metadata = json!({
        "redirect_uris": ["https://a/cb", "app:cb"],
        "grant_types": ["authorization_code"],
        "scope": "openid offline orders.*",
        "audience": ["https://api"],
    });
    metadata.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    Client { declared: false, ..Client::example(metadata) }
}

fn request(client: &Client, more: &str) -> AuthorizationRequest {
    let form =
        format!("client_id=app&response_type=code&scope=openid+orders.read&audience=https://api/a{more}");
    AuthorizationRequest::parse(client, &Form::parse(form.as_bytes()).unwrap(), Policy::default()).unwrap()
}

fn challenge(skip: bool) -> ConsentChallenge {
    let login = crate::grant::example().login;
    let form = Form::parse(b"client_id=app").unwrap();
    let flow = Flow::begin(&client(&json!({})), form, Timestamp::UNIX_EPOCH, &Entropy::seeded(1));
    ConsentChallenge { flow, login, context: None, skip, pairwise_subject: None }
}

#[test]
fn the_user_is_asked_unless_somebody_may_answer_for_them() {
    use ConsentNeed::{Ask, LookUp, Skip};
    let usual = client(&json!({}));
    let trusted = client(&json!({"skip_consent": true}));
    let public = client(&json!({"token_endpoint_auth_method": "none", "skip_consent": true}));
    let web = "&redirect_uri=https://a/cb";
    let cases = [
        (&usual, web.to_owned(), None, LookUp),
        (&usual, web.to_owned(), Some(true), Skip),
        (&usual, web.to_owned(), Some(false), Ask),
        (&usual, format!("{web}&prompt=consent"), Some(true), Ask),
        (&trusted, web.to_owned(), None, Skip),
        (&trusted, format!("{web}&prompt=consent"), None, Ask),
        (&public, web.to_owned(), None, Skip),
        (&public, "&redirect_uri=app:cb".to_owned(), Some(true), Ask),
    ];
    for (client, more, known, wanted) in cases {
        assert_eq!(need(&request(client, &more), client, known), wanted, "{more} {known:?}");
    }
}

#[test]
fn no_page_is_shown_to_a_request_that_wants_none() {
    let request = request(&client(&json!({})), "&redirect_uri=https://a/cb&prompt=none");
    assert!(challenge(true).check_prompts(&request).is_ok());
    assert_eq!(challenge(false).check_prompts(&request).unwrap_err().code, ErrorCode::ConsentRequired);
}

#[test]
fn no_more_is_granted_than_was_requested() {
    let request = request(&client(&json!({})), "&redirect_uri=https://a/cb");
    let accept = |answer: Value| {
        challenge(false).accept(&request, serde_json::from_value(answer).unwrap(), Timestamp::UNIX_EPOCH)
    };
    for answer in [
        json!({"grant_scope": ["openid", "offline"]}),
        json!({"grant_scope": ["orders.*"]}),
        json!({"grant_access_token_audience": ["https://api"]}),
    ] {
        assert_eq!(accept(answer).unwrap_err().code, ErrorCode::InvalidRequest);
    }
    let granted = accept(json!({
        "grant_scope": ["openid"],
        "grant_access_token_audience": ["https://api/a"],
        "session": {"id_token": {"email": "a@b"}, "access_token": null},
        "remember": true,
    }));
    let ConsentOutcome::Granted { scope, audience, claims, remember_for, .. } = granted.unwrap().outcome
    else {
        panic!("granted")
    };
    assert_eq!((scope.to_string().as_str(), audience.len(), remember_for), ("openid", 1, Some(0)));
    assert_eq!(Value::Object(claims.id_token()), json!({"email": "a@b"}));
}

#[test]
fn what_nobody_was_asked_is_not_remembered() {
    let request = request(&client(&json!({})), "&redirect_uri=https://a/cb");
    for (skip, remember, wanted) in [(false, true, Some(60)), (true, true, None), (false, false, None)] {
        let answer = serde_json::from_value(json!({"remember": remember, "remember_for": 60})).unwrap();
        let ConsentOutcome::Granted { remember_for, .. } =
            challenge(skip).accept(&request, answer, Timestamp::UNIX_EPOCH).unwrap().outcome
        else {
            panic!("granted")
        };
        assert_eq!(remember_for, wanted);
    }
}

#[test]
fn a_remembered_consent_covers_the_same_user_client_scopes_and_audience_while_it_lasts() {
    let app = client(&json!({}));
    let request = request(&app, "&redirect_uri=https://a/cb");
    let remembered = |subject: &str, scope: &str, audience: &str| RememberedConsent {
        subject: subject.to_owned(),
        client_id: app.id.clone(),
        scope: scope.parse().unwrap(),
        audience: vec![Audience::parse(audience).unwrap()],
        incarnation: app.incarnation,
        session_id: SessionId::new(&Entropy::seeded(1)),
        expires_at: Some(100),
    };
    let covers = |consent: &RememberedConsent, client: &Client, now| {
        let now = Timestamp::from_second(now).unwrap();
        consent.covers(("alice", client), &request, ScopeStrategy::Wildcard, now)
    };
    for (consent, covered) in [
        (remembered("alice", "openid orders.read", "https://api"), true),
        (remembered("alice", "openid orders.*", "https://api/a"), true),
        (remembered("bob", "openid orders.read", "https://api"), false),
        (remembered("alice", "openid", "https://api"), false),
        (remembered("alice", "openid orders.read", "https://api/b"), false),
    ] {
        assert_eq!(covers(&consent, &app, 99), covered, "{consent:?}");
    }
    let consent = remembered("alice", "openid orders.read", "https://api");
    assert!(!covers(&consent, &app, 100));
    assert!(covers(&RememberedConsent { expires_at: None, ..consent.clone() }, &app, 100));
    let again = Client { incarnation: Incarnation(2), ..app.clone() };
    let other = Client { id: ClientId::parse("other").unwrap(), ..app.clone() };
    assert!(!covers(&consent, &again, 99) && !covers(&consent, &other, 99));
}

#[test]
fn a_consent_is_remembered_for_its_time_or_for_ever() {
    let now = Timestamp::from_second(100).unwrap();
    assert_eq!(RememberedConsent::expires_at(0, now), None);
    assert_eq!(RememberedConsent::expires_at(60, now), Some(Timestamp::from_second(160).unwrap()));
    assert_eq!(RememberedConsent::expires_at(i64::MAX, now), Some(Timestamp::MAX));
}

#[test]
fn sealed_values_stay_short() {
    let ring = KeyRing::new(vec![jose::RootKey::generate(1, &Entropy::seeded(1))]).unwrap();
    let challenge = ConsentChallenge { skip: true, ..challenge(false) };
    let sealed = challenge.seal(&ring, &Entropy::seeded(2));
    assert_eq!(ConsentChallenge::open(&ring, &sealed), Some(challenge));
    assert_eq!(ConsentVerifier::open(&ring, &sealed), None);
}

#[test]
fn whoever_asks_from_a_device_could_be_anyone() {
    let device = |changes: &Value| {
        let mut changes = changes.clone();
        changes["grant_types"] = json!([crate::GrantType::DeviceCode]);
        client(&changes)
    };
    let asked = |client: &Client| {
        let request = AuthorizationRequest::of_device(client, &Form::default(), Policy::default()).unwrap();
        need(&request, client, Some(true))
    };
    assert_eq!(asked(&device(&json!({"skip_consent": true}))), ConsentNeed::Ask);
    let public = device(&json!({"token_endpoint_auth_method": "none", "skip_consent": true}));
    assert_eq!(asked(&public), ConsentNeed::Ask);
}

#[test]
fn a_member_that_is_null_says_nothing() {
    for session in [json!(null), json!({"access_token": null, "id_token": null})] {
        let answer = json!({
            "grant_scope": null, "grant_access_token_audience": null, "session": session, "remember": null,
            "remember_for": null, "context": null,
        });
        let answer: AcceptConsent = serde_json::from_value(answer).unwrap();
        assert!(answer.grant_scope.is_empty() && answer.grant_access_token_audience.is_empty());
        assert_eq!((answer.session, answer.remember), (ConsentSession::default(), false));
    }
    assert!(serde_json::from_value::<AcceptConsent>(json!({"grant_scope": "openid"})).is_err());
}

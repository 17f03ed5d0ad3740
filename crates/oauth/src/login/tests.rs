use super::*;
use crate::authorization_request::Policy;
use crate::logout::Hint;
use crate::{Client, Form, SubjectTypes};
use jose::RootKey;
use serde_json::json;

const START: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn client() -> Client {
    let metadata = json!({
        "redirect_uris": ["https://a/cb"],
        "grant_types": ["authorization_code"],
        "scope": "openid",
    });
    Client::example(metadata)
}

fn request(more: &str) -> (Flow, AuthorizationRequest) {
    let form = format!(
        "client_id=app&response_type=code&redirect_uri=https://a/cb&scope=openid&state=12345678{more}"
    );
    let form = Form::parse(form.as_bytes()).unwrap();
    let request = AuthorizationRequest::parse(&client(), &form, Policy::default()).unwrap();
    (Flow::begin(&client(), form, at(START), &Entropy::seeded(1)), request)
}

/// Alice's session, which began ten minutes before the request.
fn session() -> KnownLogin {
    let login = Login {
        session_id: SessionId::new(&Entropy::seeded(7)),
        subject: "alice".to_owned(),
        authenticated_at: START - 600,
        acr: String::new(),
        amr: vec![],
    };
    KnownLogin { login, has_consented: true }
}

/// The user of a hint.
fn wanted(hinted: Option<&str>) -> WantedUser {
    let hint = |subject: &str| Hint { subject: subject.to_owned(), session_id: None, clients: vec![] };
    WantedUser { subjects: SubjectTypes::default().of(&client()).unwrap(), hint: hinted.map(hint) }
}

fn decide(
    more: &str,
    session: Option<KnownLogin>,
    hinted: Option<&str>,
) -> Result<LoginChallenge, ErrorCode> {
    let (flow, request) = request(more);
    let now = (at(START), &Entropy::seeded(2));
    LoginChallenge::decide(flow, &request, session, &wanted(hinted), now).map_err(|error| error.code)
}

#[test]
fn a_session_is_gone_on_with_where_the_request_allows_it() {
    let cases = [
        ("", None, Ok(true)),
        ("&prompt=consent", None, Ok(true)),
        ("&prompt=none", None, Ok(true)),
        ("&prompt=login", None, Ok(false)),
        ("&prompt=select_account", None, Ok(false)),
        ("&prompt=registration", None, Ok(false)),
        ("&max_age=600", None, Ok(true)),
        ("&max_age=599", None, Ok(false)),
        ("&max_age=599&prompt=none", None, Err(ErrorCode::LoginRequired)),
        ("", Some("alice"), Ok(true)),
        ("", Some("bob"), Ok(false)),
        ("&prompt=none", Some("bob"), Err(ErrorCode::LoginRequired)),
        (r#"&claims={"id_token":{"sub":{"value":"alice"}}}"#, None, Ok(true)),
        (r#"&claims={"id_token":{"sub":{"value":"bob"}}}"#, None, Ok(false)),
        (r#"&claims={"id_token":{"acr":{"value":"2"}}}"#, None, Ok(true)),
        (r#"&claims={"id_token":{"acr":{"essential":true}}}"#, None, Ok(false)),
        (
            r#"&prompt=none&claims={"id_token":{"acr":{"essential":true}}}"#,
            None,
            Err(ErrorCode::LoginRequired),
        ),
    ];
    for (more, hinted, skip) in cases {
        let decided = decide(more, Some(session()), hinted).map(|challenge| challenge.known.is_some());
        assert_eq!(decided, skip, "{more} {hinted:?}");
    }
    assert_eq!(decide("&prompt=none", None, None), Err(ErrorCode::LoginRequired));
    assert!(decide("", None, None).unwrap().known.is_none());
}

#[test]
fn a_new_login_has_a_new_session_and_a_known_one_keeps_its_own() {
    let known = decide("", Some(session()), None).unwrap();
    assert_eq!(known.session_id, session().login.session_id);
    assert_ne!(decide("&prompt=login", Some(session()), None).unwrap().session_id, known.session_id);
}

fn accept(challenge: &LoginChallenge, answer: Value) -> Result<AcceptedLogin, Error> {
    challenge.accept(serde_json::from_value(answer).unwrap(), at(START + 30))
}

fn accepted(challenge: &LoginChallenge, answer: Value) -> (Login, Option<bool>, SessionMemory) {
    let AcceptedLogin::GoOn(verifier) = accept(challenge, answer).unwrap() else { panic!("goes on") };
    match verifier.outcome {
        LoginOutcome::Accepted { login, known, memory, .. } => (login, known, memory),
        LoginOutcome::Rejected(denial) => panic!("{denial:?}"),
    }
}

#[test]
fn what_the_app_answers_decides_what_the_browser_remembers() {
    use SessionMemory::{Forget, Keep, Remember};
    let fresh = decide("", None, None).unwrap();
    let skipped = decide("", Some(session()), None).unwrap();
    for (challenge, answer, memory, authenticated_at) in [
        (&fresh, json!({"subject": "alice"}), Forget, START + 30),
        (&fresh, json!({"subject": "alice", "remember": true}), Remember(0), START + 30),
        (&fresh, json!({"subject": "alice", "remember": true, "remember_for": 60}), Remember(60), START + 30),
        (&fresh, json!({"subject": "alice", "remember": true, "remember_for": -1}), Remember(0), START + 30),
        (&skipped, json!({"subject": "alice"}), Keep, START - 600),
        (&skipped, json!({"subject": "alice", "remember": true, "remember_for": 60}), Keep, START - 600),
        (&skipped, json!({"subject": "alice", "extend_session_lifespan": true}), Remember(0), START - 600),
    ] {
        let (login, known, got) = accepted(challenge, answer.clone());
        assert_eq!((got, login.authenticated_at), (memory, authenticated_at), "{answer}");
        assert_eq!(known, challenge.known.as_ref().map(|_| true));
    }
}

#[test]
fn an_app_that_skips_need_not_say_again_how_the_user_logged_in() {
    let mut session = session();
    (session.login.acr, session.login.amr) = ("2".to_owned(), vec!["otp".to_owned()]);
    let skipped = decide("", Some(session), None).unwrap();
    let how = |answer| {
        let (login, ..) = accepted(&skipped, answer);
        (login.acr, login.amr)
    };
    assert_eq!(how(json!({"subject": "alice"})), ("2".to_owned(), vec!["otp".to_owned()]));
    let answer = json!({"subject": "alice", "acr": "1", "amr": ["pwd"]});
    assert_eq!(how(answer), ("1".to_owned(), vec!["pwd".to_owned()]));
}

#[test]
fn an_answer_that_makes_no_sense_is_refused() {
    let fresh = decide("", None, None).unwrap();
    for answer in [
        json!({}),
        json!({"subject": ""}),
        json!({"subject": "a", "force_subject_identifier": "x".repeat(256)}),
        json!({"subject": "a", "force_subject_identifier": "ü"}),
    ] {
        assert_eq!(accept(&fresh, answer).unwrap_err().code, ErrorCode::InvalidRequest);
    }
}

#[test]
fn somebody_else_than_the_session_says_begins_anew() {
    let skipped = decide("", Some(session()), None).unwrap();
    assert_eq!(accept(&skipped, json!({"subject": "bob"})), Ok(AcceptedLogin::Restart));
}

#[test]
fn a_login_is_held_against_the_request_once_more() {
    let old = session().login;
    let new = Login { authenticated_at: START + 30, ..old.clone() };
    let cases = [
        ("", &new, false, None, true),
        ("&prompt=login", &new, false, None, true),
        ("&prompt=login", &old, true, None, false),
        ("&prompt=none", &old, true, None, true),
        ("&prompt=none", &new, false, None, false),
        ("&max_age=600", &old, true, None, true),
        ("&max_age=599", &old, true, None, false),
        ("&max_age=0", &new, false, None, true),
        ("", &new, false, Some("alice"), true),
        ("", &new, false, Some("bob"), false),
        (r#"&claims={"id_token":{"sub":{"value":"bob"}}}"#, &new, false, None, false),
        (r#"&claims={"id_token":{"acr":{"essential":true}}}"#, &new, false, None, false),
    ];
    for (more, login, is_known, hinted, fits) in cases {
        let (_, request) = request(more);
        let got = check(login, is_known, &request, (&wanted(hinted), &login.subject), at(START));
        assert_eq!(got.is_ok(), fits, "{more} {is_known} {hinted:?}");
    }
}

#[test]
fn each_sealed_value_opens_as_itself_alone() {
    let ring = KeyRing::new(vec![RootKey::generate(1, &Entropy::seeded(1))]).unwrap();
    let entropy = Entropy::seeded(3);
    let challenge = decide("", Some(session()), None).unwrap();
    let AcceptedLogin::GoOn(verifier) = accept(&challenge, json!({"subject": "alice"})).unwrap() else {
        panic!("goes on")
    };
    let (sealed_challenge, sealed_verifier) =
        (challenge.seal(&ring, &entropy), verifier.seal(&ring, &entropy));
    assert_eq!(LoginChallenge::open(&ring, &sealed_challenge), Some(challenge));
    assert_eq!(LoginVerifier::open(&ring, &sealed_verifier), Some(*verifier));
    assert_eq!(LoginChallenge::open(&ring, &sealed_verifier), None);
    assert_eq!(LoginVerifier::open(&ring, &sealed_challenge), None);
    assert_eq!(crate::consent::ConsentChallenge::open(&ring, &sealed_challenge), None);
    let (login, session_id) = (session().login, session().login.session_id);
    let row = login.seal(&ring, &entropy);
    assert_eq!(Login::open(&ring, session_id, &row), Some(login));
    assert_eq!(Login::open(&ring, SessionId::new(&Entropy::seeded(8)), &row), None);
    assert_eq!(session_of_cookie(&ring, &session_cookie(&ring, session_id, &entropy)), Some(session_id));
    assert_eq!(session_of_cookie(&ring, &session_id.to_string()), None);
}

#[test]
fn a_member_that_is_null_says_nothing() {
    let answer = json!({
        "subject": "alice", "remember": null, "remember_for": null, "extend_session_lifespan": null, "acr": null,
        "amr": null, "context": null, "force_subject_identifier": null, "identity_provider_session_id": null,
    });
    let answer: AcceptLogin = serde_json::from_value(answer).unwrap();
    assert_eq!((answer.subject.as_str(), answer.remember, answer.amr.len()), ("alice", false, 0));
    assert!(answer.context.is_null() && answer.acr.is_empty() && answer.force_subject_identifier.is_empty());
    assert!(serde_json::from_value::<AcceptLogin>(json!({"subject": null})).unwrap().subject.is_empty());
    assert!(serde_json::from_value::<AcceptLogin>(json!({"subject": ["alice"]})).is_err());
}

use super::*;
use jose::RootKey;
use proptest::prelude::*;

fn ring(seed: u64) -> KeyRing {
    KeyRing::new(vec![RootKey::generate(1, &Entropy::seeded(seed))]).unwrap()
}

fn token(scope: &str, lifetime: i64) -> AccessToken {
    let issued = 1_790_000_000;
    AccessToken {
        id: TokenId([7; 16]),
        incarnation: Incarnation(-5),
        epoch: 3,
        issued_at: Timestamp::from_second(issued).unwrap(),
        expires_at: Timestamp::from_second(issued + lifetime).unwrap(),
        rights: Rights::OfClient {
            client_id: ClientId::parse("orders").unwrap(),
            scope: scope.parse().unwrap(),
            audience: vec![Audience::parse("https://api.example.com").unwrap()],
            claims: String::new(),
        },
    }
}

fn opaque(ring: &KeyRing, token: &AccessToken) -> String {
    token.seal(ring, &Entropy::seeded(9)).unwrap().sign(ring)
}

#[test]
fn a_payload_of_another_version_is_not_ours() {
    let ring = ring(1);
    let payload = sealed::plaintext(&token("read", 3600).payload());
    let opened = |payload: &[u8]| {
        let sealed = ring.seal(SealPurpose::AccessToken, payload, [0; 24]);
        let key = TokenKey(URL_SAFE_NO_PAD.encode(sealed));
        let by_key = AccessToken::open_key(&ring, key.as_str());
        assert_eq!(AccessToken::open(&ring, &key.sign(&ring)), by_key);
        by_key
    };
    assert_eq!(opened(&payload), Ok(token("read", 3600)));
    assert_eq!(opened(&[&[payload[0] + 1], &payload[1..]].concat()), Err(NotOurs));
    assert_eq!(opened(&payload[1..]), Err(NotOurs), "a payload without a version");
}

#[test]
fn a_token_opens_with_and_without_its_prefix_and_by_its_key() {
    let (ring, token) = (ring(1), token("read write", 3600));
    let text = opaque(&ring, &token);
    assert!(text.starts_with("ory_at_"));
    assert_eq!(AccessToken::open(&ring, &text), Ok(token.clone()));
    assert_eq!(AccessToken::open(&ring, &text[7..]), Ok(token.clone()));
    let key = token.seal(&ring, &Entropy::seeded(1)).unwrap();
    assert_eq!(AccessToken::open_key(&ring, key.as_str()), Ok(token));
}

#[test]
fn a_token_of_another_installation_is_refused() {
    let text = opaque(&ring(1), &token("read", 60));
    assert_eq!(AccessToken::open(&ring(2), &text), Err(NotOurs));
}

#[test]
fn a_usual_token_fits_a_header_many_times() {
    assert!(opaque(&ring(1), &token("orders.read orders.write", 3600)).len() < 300);
}

#[test]
fn more_than_a_token_can_carry_is_refused() {
    let scopes: Vec<String> = (0..300).map(|i| format!("scope-number-{i:0>20}")).collect();
    let error = token(&scopes.join(" "), 60).seal(&ring(1), &Entropy::seeded(1)).err().unwrap();
    assert_eq!(error.code, crate::ErrorCode::InvalidRequest);
}

#[test]
fn each_half_alone_is_worth_nothing() {
    let ring = ring(1);
    let a = opaque(&ring, &token("read", 60));
    let b = token("admin", 60).seal(&ring, &Entropy::seeded(2)).unwrap().sign(&ring);
    let (a_key, a_signature) = a.split_once('.').unwrap();
    let (b_key, _) = b.split_once('.').unwrap();
    for forged in [format!("{b_key}.{a_signature}"), format!("{a_key}."), a_key.to_owned(), String::new()] {
        assert_eq!(AccessToken::open(&ring, &forged), Err(NotOurs), "{forged}");
    }
}

#[test]
fn a_token_of_a_grant_comes_back_and_means_what_the_grant_says() {
    let audience = ["https://a", "https://b"].map(|text| Audience::parse(text).unwrap()).to_vec();
    let (ring, grant) = (ring(1), Grant { audience, ..crate::grant::example() });
    let times = (Timestamp::from_second(10).unwrap(), Timestamp::from_second(20).unwrap());
    let cases = [
        ("openid offline", &grant.audience[..], (None, None)),
        ("openid", &grant.audience, (Some("openid"), None)),
        ("openid offline", &grant.audience[..1], (None, Some(1))),
        ("", &[], (Some(""), Some(0))),
    ];
    for (scope, audience, carried) in cases {
        let part: ScopeSet = scope.parse().unwrap();
        let token =
            AccessToken::of_grant(&grant, 4, times, &Entropy::seeded(3)).narrowed(&grant, (&part, audience));
        let Rights::OfGrant { scope: own_scope, audience: own_audience, .. } = &token.rights else {
            panic!()
        };
        let own = (own_scope.as_ref().map(ToString::to_string), own_audience.as_ref().map(Vec::len));
        assert_eq!((own.0.as_deref(), own.1), carried, "no more than differs from the grant");
        let text = opaque(&ring, &token);
        assert!(text.len() < 250, "{}", text.len());
        assert_eq!(AccessToken::open(&ring, &text).as_ref(), Ok(&token));
        let meaning = token.meaning(Some(&grant)).unwrap();
        assert_eq!((meaning.subject.as_str(), meaning.scope.to_string().as_str()), ("alice", scope));
        assert_eq!(meaning.audience, audience);
        let other = Grant { id: GrantId::from_bytes([1; 16]), ..grant.clone() };
        assert_eq!(token.meaning(Some(&other)), None);
        assert_eq!(token.meaning(None), None);
    }
}

#[test]
fn a_token_for_a_subject_says_by_itself_whom_it_is_for() {
    let ring = ring(1);
    let client = Client::example(serde_json::json!({}));
    let times = (Timestamp::from_second(10).unwrap(), Timestamp::from_second(20).unwrap());
    let scope: ScopeSet = "read".parse().unwrap();
    let token =
        AccessToken::for_subject(&client, "alice".to_owned(), scope, vec![], times, &Entropy::seeded(3));
    let opened = AccessToken::open(&ring, &opaque(&ring, &token)).unwrap();
    assert_eq!(opened, token);
    let meaning = opened.meaning(None).unwrap();
    assert_eq!((meaning.subject.as_str(), meaning.client_id.as_str()), ("alice", "app"));
    assert_eq!(meaning.scope.to_string(), "read");
}

proptest! {
    #[test]
    fn every_token_comes_back_as_it_was(scope in "[a-z.:]{1,20}( [a-z.:]{1,20}){0,5}", lifetime in 0..100_000_000i64) {
        let (ring, token) = (ring(1), token(&scope, lifetime));
        prop_assert_eq!(AccessToken::open(&ring, &opaque(&ring, &token)), Ok(token));
    }

    #[test]
    fn a_changed_character_never_opens(at in 7..200usize, with in "[A-Za-z0-9_-]") {
        let ring = ring(1);
        let text = opaque(&ring, &token("read", 60));
        let at = at.min(text.len() - 1);
        // The last character of each half has unused bits: the decoder refuses those that are not zero.
        let mut changed = text.clone();
        changed.replace_range(at..=at, &with);
        prop_assume!(changed != text);
        prop_assert_eq!(AccessToken::open(&ring, &changed), Err(NotOurs));
    }

    #[test]
    fn any_text_is_refused_without_harm(text in "\\PC{0,100}") {
        prop_assert!(AccessToken::open(&ring(1), &text).is_err());
        prop_assert!(AccessToken::open_key(&ring(1), &text).is_err());
    }
}

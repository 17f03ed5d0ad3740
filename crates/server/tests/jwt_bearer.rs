//! Tokens for subjects that trusted issuers vouch for, and the API that says who is trusted.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::signing::{self, changed, key, signed};
use common::{ISSUER, TestClient, TestServer, databases, header, make_token_sets, manual_clock, settings};
use jiff::SignedDuration;
use jose::{PrivateKey, SigningAlgorithm};
use jsonwebtoken::EncodingKey;
use oauth::GrantType;
use serde_json::{Value, json};
use server::Settings;
use store::Clock;

const ISSUERS: &str = "/admin/trust/grants/jwt-bearer/issuers";
/// Further parameters of a request.
type More = &'static [(&'static str, &'static str)];

const PARTNER: &str = "https://partner.example.com";

fn registered() -> Value {
    json!({
        "grant_types": [GrantType::JwtBearer.as_str()],
        "scope": "read write",
        "audience": ["https://api.example.com"],
    })
}

/// A document that trusts the partner for all subjects, for an hour.
fn trust_of(server: &TestServer, key: &PrivateKey) -> Value {
    json!({
        "issuer": PARTNER, "allow_any_subject": true, "scope": ["read"], "jwk": key.public_jwk(),
        "expires_at": server.store.clock().now() + SignedDuration::from_hours(1),
    })
}

async fn post(server: &TestServer, document: &Value) -> (u16, String, Value) {
    let request = server.http.post(server.admin_url(ISSUERS)).json(document);
    let response = request.send().await.unwrap();
    let (status, location) = (response.status().as_u16(), header(&response, "location").to_owned());
    (status, location, response.json().await.unwrap())
}

async fn get(server: &TestServer, path: &str) -> (u16, Value) {
    let response = server.http.get(server.admin_url(path)).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn delete(server: &TestServer, id: &str) -> u16 {
    let response = server.http.delete(server.admin_url(&format!("{ISSUERS}/{id}"))).send().await.unwrap();
    response.status().as_u16()
}

/// A server that trusts the partner's key, and a client of it.
async fn trusting(server: &TestServer) -> (PrivateKey, TestClient) {
    let key = key(SigningAlgorithm::Es256);
    assert_eq!(post(server, &trust_of(server, &key)).await.0, 201);
    let client = TestClient::create(&server.store, "exchange", registered()).await;
    server.cached().await;
    (key, client)
}

async fn alone(settings: Settings) -> (TestServer, PrivateKey, TestClient) {
    let server = TestServer::alone(manual_clock(), settings).await;
    let (key, client) = trusting(&server).await;
    (server, key, client)
}

/// The partner's assertion for Alice, good for five minutes.
fn assertion_of(server: &TestServer, changes: &Value) -> Value {
    let now = server.store.clock().now().as_second();
    let jti = uuid::Uuid::from_bytes(server.store.entropy().bytes());
    let claims =
        json!({"iss": PARTNER, "sub": "alice", "aud": ISSUER, "exp": now + 300, "iat": now, "jti": jti});
    changed(claims, changes)
}

async fn exchange(
    server: &TestServer,
    client: &TestClient,
    assertion: &str,
    more: &[(&str, &str)],
) -> (u16, Value) {
    let mut form = vec![("grant_type", GrantType::JwtBearer.as_str()), ("assertion", assertion)];
    form.extend(more);
    server.token_request(client, &form).await
}

#[tokio::test]
async fn an_assertion_becomes_a_token_of_its_subject_once_and_for_two_statements() {
    for database in databases().await {
        let server = TestServer::start(&database, Clock::system()).await;
        let (key, client) = trusting(&server).await;
        let assertion = signed(&key, &assertion_of(&server, &json!({})));
        let more = [("scope", "read"), ("audience", "https://api.example.com/v1")];
        let (status, tokens) = exchange(&server, &client, &assertion, &more).await;
        assert_eq!(
            (status, &tokens["scope"], &tokens["token_type"]),
            (200, &json!("read"), &json!("bearer"))
        );
        assert!(tokens.get("refresh_token").is_none() && tokens.get("id_token").is_none());
        let token = tokens["access_token"].as_str().unwrap();
        let live = server.introspect(&[("token", token)]).await;
        assert_eq!((&live["sub"], &live["client_id"]), (&json!("alice"), &json!("exchange")), "{live}");
        assert_eq!(live["aud"], json!(["https://api.example.com/v1"]));
        assert_eq!(server.userinfo(token).await.0, 401, "nobody logged in");

        let (status, again) = exchange(&server, &client, &assertion, &[]).await;
        assert_eq!((status, &again["error"]), (400, &json!("jti_known")));

        // Where the machine is so busy that the cache loses its trust for a moment, it costs more.
        harness::eventually("an assertion costs two statements", async || {
            let assertion = signed(&key, &assertion_of(&server, &json!({})));
            let before = server.store.statements();
            assert_eq!(exchange(&server, &client, &assertion, &[]).await.0, 200);
            server.store.statements() - before == 2
        })
        .await;
    }
}

/// A key that signs without naming itself, and its public half.
fn unnamed_key() -> (EncodingKey, Value) {
    let pair = rcgen::KeyPair::generate().unwrap();
    let part = |range| URL_SAFE_NO_PAD.encode(&pair.public_key_raw()[range]);
    // The first byte says that both coordinates follow.
    let public = json!({"kty": "EC", "crv": "P-256", "kid": "unnamed", "x": part(1..33), "y": part(33..65)});
    (EncodingKey::from_ec_der(&pair.serialize_der()), public)
}

#[tokio::test]
async fn no_number_of_trusts_hides_one() {
    let (server, key, client) = alone(settings()).await;
    let (unnamed, public) = unnamed_key();
    let mut trust = trust_of(&server, &key);
    trust["jwk"] = public;
    assert_eq!(post(&server, &trust).await.0, 201);
    trust = trust_of(&server, &signing::key(SigningAlgorithm::Es256));
    trust.as_object_mut().unwrap().remove("allow_any_subject");
    for index in 0..250 {
        trust["subject"] = json!(format!("somebody {index}"));
        assert_eq!(post(&server, &trust).await.0, 201);
    }
    let claims = || assertion_of(&server, &json!({}));
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
    let without_name = |key| jsonwebtoken::encode(&header, &claims(), key).unwrap();
    for (assertion, wanted) in [
        (signed(&key, &claims()), 200),
        (without_name(&unnamed), 200),
        (signed(&signing::key(SigningAlgorithm::Es256), &claims()), 400),
        (without_name(&unnamed_key().0), 400),
    ] {
        let (status, answer) = exchange(&server, &client, &assertion, &[]).await;
        assert_eq!(status, wanted, "{answer}");
        assert!(status == 200 || answer["error"] == "invalid_grant", "{answer}");
    }
}

#[tokio::test]
async fn a_token_for_a_subject_dies_alone_with_its_subject_and_with_its_client() {
    for database in databases().await {
        let server = TestServer::start(&database, Clock::system()).await;
        make_token_sets(&server.store, SigningAlgorithm::Es256).await;
        let (key, client) = trusting(&server).await;
        let mut of_jwt = registered();
        of_jwt["access_token_strategy"] = json!("jwt");
        let by_jwt = TestClient::create(&server.store, "by-jwt", of_jwt).await;
        server.cached().await;
        let token = async |client: &TestClient, subject: &str| {
            let assertion = signed(&key, &assertion_of(&server, &json!({"sub": subject})));
            let (status, tokens) = exchange(&server, client, &assertion, &[]).await;
            assert_eq!(status, 200, "{tokens}");
            tokens["access_token"].as_str().unwrap().to_owned()
        };
        for client in [&client, &by_jwt] {
            let (alone, other) = (token(client, "carol").await, token(client, "carol").await);
            assert_eq!(server.revoke(client, &alone).await.status(), 200);
            assert!(!server.is_active(&alone).await && server.is_active(&other).await);
        }
        let (alice, at_other, bob) =
            (token(&client, "alice").await, token(&by_jwt, "alice").await, token(&client, "bob").await);
        let sessions = server.admin_url("/admin/oauth2/auth/sessions/consent?subject=alice");
        let revoke = async |which: &str| {
            let response = server.http.delete(format!("{sessions}&{which}")).send().await.unwrap();
            assert_eq!(response.status(), 204);
        };
        revoke("client=exchange").await;
        assert!(!server.is_active(&alice).await && server.is_active(&at_other).await);
        revoke("all=true").await;
        assert!(!server.is_active(&at_other).await && server.is_active(&bob).await);
        client.delete(&server.store).await;
        assert!(!server.is_active(&bob).await);
    }
}

#[tokio::test]
async fn what_is_refused_uses_nothing_up() {
    let (server, key, client) = alone(settings()).await;
    let foreign = signing::key(SigningAlgorithm::Es256);
    let now = server.store.clock().now().as_second();
    let valid = signed(&key, &assertion_of(&server, &json!({"jti": "1"})));
    let changed = |changes: Value| signed(&key, &assertion_of(&server, &changes));
    let month = 30 * 24 * 3600;
    let cases: [(String, More, &str, &str); 13] = [
        (String::new(), &[], "invalid_request", "'assertion' is missing"),
        ("x".to_owned(), &[], "invalid_grant", "not a signed JWT"),
        (signed(&foreign, &assertion_of(&server, &json!({"jti": "1"}))), &[], "invalid_grant", "trusts"),
        (changed(json!({"iss": "https://other"})), &[], "invalid_grant", "trusts"),
        (changed(json!({"aud": "https://other"})), &[], "invalid_grant", "aud"),
        (changed(json!({"sub": null})), &[], "invalid_grant", "no sub"),
        (changed(json!({"exp": now})), &[], "invalid_grant", "expired"),
        (changed(json!({"exp": now + month + 1})), &[], "invalid_grant", "longer than"),
        (changed(json!({"iat": null})), &[], "invalid_grant", "no iat"),
        (changed(json!({"jti": null})), &[], "invalid_grant", "no jti"),
        (valid.clone(), &[("scope", "write")], "invalid_scope", "not trusted for the scope 'write'"),
        (valid.clone(), &[("scope", "admin")], "invalid_scope", "'admin'"),
        (valid.clone(), &[("audience", "https://other")], "invalid_request", "https://other"),
    ];
    for (assertion, more, code, part) in cases {
        let (status, body) = exchange(&server, &client, &assertion, more).await;
        assert_eq!((status, body["error"].as_str().unwrap()), (400, code), "{body}");
        assert!(body["error_description"].as_str().unwrap().contains(part), "{part}: {body}");
    }
    let service = TestClient::create(&server.store, "service", common::registered()).await;
    let (status, body) = exchange(&server, &service, &valid, &[]).await;
    assert_eq!((status, &body["error"]), (400, &json!("unauthorized_client")));
    assert_eq!(exchange(&server, &client, &valid, &[]).await.0, 200);
}

#[tokio::test]
async fn trust_ends_when_it_expires_and_when_it_is_taken_back() {
    let (server, key, client) = alone(settings()).await;
    let issued = async || {
        let assertion = signed(&key, &assertion_of(&server, &json!({})));
        exchange(&server, &client, &assertion, &[]).await.0 == 200
    };
    assert!(issued().await);
    server.store.clock().advance(SignedDuration::from_hours(1));
    assert!(!issued().await, "it has expired, though the assertion names its key");
    let renewed = changed(trust_of(&server, &key), &json!({"allow_any_subject": null, "subject": "alice"}));
    let (status, _, trust) = post(&server, &renewed).await;
    assert_eq!(status, 201, "{trust}");
    assert!(issued().await);
    assert_eq!(delete(&server, trust["id"].as_str().unwrap()).await, 204);
    assert!(!issued().await);
}

#[tokio::test]
async fn the_configuration_says_what_an_assertion_may_lack_and_how_long_it_may_be_good() {
    let mut lenient = settings();
    lenient.jwt_bearer.jti_optional = true;
    lenient.jwt_bearer.iat_optional = true;
    lenient.jwt_bearer.omit_assertion_audience = false;
    lenient.jwt_bearer.max_ttl = std::time::Duration::from_mins(10);
    let (server, key, client) = alone(lenient).await;
    let bare = signed(&key, &assertion_of(&server, &json!({"jti": null, "iat": null})));
    for _ in 0..2 {
        let (status, tokens) = exchange(&server, &client, &bare, &[]).await;
        assert_eq!(status, 200, "{tokens}");
        let live = server.introspect(&[("token", tokens["access_token"].as_str().unwrap())]).await;
        assert_eq!(live["aud"], json!([ISSUER]));
    }
    let now = server.store.clock().now().as_second();
    let long = signed(&key, &assertion_of(&server, &json!({"exp": now + 601})));
    assert_eq!(exchange(&server, &client, &long, &[]).await.1["error"], "invalid_grant");
}

#[tokio::test]
async fn a_clients_own_lifetime_counts_up_to_a_day() {
    let (server, key, _) = alone(settings()).await;
    for (own, expires_in) in [("10m", 600), ("48h", 86_400)] {
        let registered = changed(registered(), &json!({"jwt_bearer_grant_access_token_lifespan": own}));
        let client = TestClient::create(&server.store, own, registered).await;
        let assertion = signed(&key, &assertion_of(&server, &json!({})));
        let (_, tokens) = exchange(&server, &client, &assertion, &[]).await;
        assert_eq!(tokens["expires_in"], expires_in, "{own}");
    }
}

#[tokio::test]
async fn issuers_are_trusted_shown_listed_and_distrusted() {
    for database in databases().await {
        let server = TestServer::start(&database, manual_clock()).await;
        let key = key(SigningAlgorithm::Rs256);
        let (status, location, shown) = post(&server, &trust_of(&server, &key)).await;
        let id = shown["id"].as_str().unwrap();
        assert_eq!((status, location), (201, format!("/trust/grants/jwt-bearer/issuers/{id}")));
        let wanted = json!({
            "id": id, "issuer": PARTNER, "subject": "", "allow_any_subject": true, "scope": ["read"],
            "public_key": {"set": PARTNER, "kid": key.public_jwk().kid()},
            "created_at": "2026-01-05T00:00:00Z", "expires_at": "2026-01-05T01:00:00Z",
        });
        assert_eq!(shown, wanted);
        assert_eq!(get(&server, &format!("{ISSUERS}/{id}")).await, (200, wanted.clone()));
        assert_eq!(get(&server, &format!("/trust/grants/jwt-bearer/issuers/{id}")).await.0, 200);
        assert_eq!(post(&server, &trust_of(&server, &key)).await.0, 409);

        server.store.clock().advance(SignedDuration::from_secs(1));
        let of_alice = json!({"allow_any_subject": null, "subject": "alice"});
        let (status, _, alice) = post(&server, &changed(trust_of(&server, &key), &of_alice)).await;
        assert_eq!((status, &alice["subject"]), (201, &json!("alice")));
        let other = changed(trust_of(&server, &key), &json!({"issuer": "https://b"}));
        assert_eq!(post(&server, &other).await.0, 201);

        let ids = |list: &Value| -> Vec<String> {
            list.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(ids(&get(&server, ISSUERS).await.1).len(), 3);
        let of_partner = get(&server, &format!("{ISSUERS}?issuer={PARTNER}")).await.1;
        assert_eq!(ids(&of_partner), [id, alice["id"].as_str().unwrap()]);
        assert_eq!(get(&server, &format!("{ISSUERS}?issuer=nobody")).await.1, json!([]));
        let first =
            server.http.get(server.admin_url(&format!("{ISSUERS}?page_size=2"))).send().await.unwrap();
        let link = header(&first, "link").to_owned();
        let next = link.split(",<").nth(1).unwrap().split_once(">; rel=\"next\"").unwrap().0;
        assert_eq!(ids(&get(&server, next).await.1).len(), 1, "{link}");

        assert_eq!(delete(&server, id).await, 204);
        assert_eq!(delete(&server, id).await, 404);
        assert_eq!(get(&server, &format!("{ISSUERS}/{id}")).await.0, 404);
        for (status, path) in [(400, format!("{ISSUERS}/x")), (400, format!("{ISSUERS}?page_token=x"))] {
            assert_eq!(get(&server, &path).await.0, status, "{path}");
        }
        for (change, error) in [
            (json!({"issuer": null}), "missing_required_parameter"),
            (json!({"subject": "alice"}), "missing_required_parameter"),
            (json!({"allow_any_subject": null}), "missing_required_parameter"),
            (json!({"jwk": {"kty": "oct", "k": "AA", "kid": "1"}}), "invalid_request"),
            (json!({"scope": "read"}), "invalid_request"),
        ] {
            let (status, _, body) = post(&server, &changed(trust_of(&server, &key), &change)).await;
            assert_eq!((status, &body["error"]), (400, &json!(error)), "{change}: {body}");
        }
    }
}

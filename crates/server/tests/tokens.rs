//! Tokens from their issue to their end.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::{
    ISSUER, TestClient, TestServer, databases, declaration, header, make_token_sets, manual_clock,
    registered, registered_for_jwt, settings,
};
use harness::{TestDatabase, eventually};
use jiff::SignedDuration;
use jose::SigningAlgorithm;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use oauth::jwt_access_token::{AddedClaims, ClaimsPolicy, ScopeClaim};
use serde_json::{Value, json};
use store::{ACCESS_TOKEN_SET, Clock, StoredRotation};

/// The claims of a JWT, checked by a foreign library against the published keys.
async fn verified(server: &TestServer, jwt: &str) -> Value {
    let jwks: JwkSet = server.get("/.well-known/jwks.json").await.json().await.unwrap();
    let header = decode_header(jwt).unwrap();
    assert_eq!(header.typ.as_deref(), Some("JWT"));
    let jwk = jwks.find(&header.kid.unwrap()).unwrap();
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[ISSUER]);
    // Time is the test's.
    (validation.validate_exp, validation.validate_aud) = (false, false);
    decode(jwt, &DecodingKey::from_jwk(jwk).unwrap(), &validation).unwrap().claims
}

#[tokio::test]
async fn an_opaque_token_is_introspected_as_it_was_granted() {
    for database in databases().await {
        let server = TestServer::start(&database, manual_clock()).await;
        let client = TestClient::create(&server.store, "orders", registered()).await;
        let form = [("scope", "read orders.a"), ("audience", "https://api.example.com/v1")];
        let token = server.token(&client, &form).await;
        let now = server.store.clock().now().as_second();
        let wanted = json!({
            "active": true, "aud": ["https://api.example.com/v1"], "client_id": "orders", "exp": now + 3600,
            "iat": now, "iss": ISSUER, "nbf": now, "scope": "read orders.a", "sub": "orders",
            "token_type": "Bearer", "token_use": "access_token",
        });
        let token = token["access_token"].as_str().unwrap();
        assert_eq!(server.introspect(&[("token", token)]).await, wanted);
        let unprefixed = token.strip_prefix("ory_at_").unwrap();
        assert_eq!(server.introspect(&[("token", unprefixed)]).await, wanted);
    }
}

#[tokio::test]
async fn a_jwt_verifies_against_the_published_keys_and_is_introspected_and_revoked_like_any_token() {
    let algorithms = [
        (SigningAlgorithm::Es256, Algorithm::ES256),
        (SigningAlgorithm::Rs256, Algorithm::RS256),
        (SigningAlgorithm::Ps256, Algorithm::PS256),
        (SigningAlgorithm::EdDsa, Algorithm::EdDSA),
    ];
    for (algorithm, foreign) in algorithms {
        let server = TestServer::alone(manual_clock(), settings()).await;
        make_token_sets(&server.store, algorithm).await;
        let client = TestClient::create(&server.store, "orders", registered_for_jwt()).await;
        let form = [("scope", "read"), ("audience", "https://api.example.com")];
        let issued = server.token(&client, &form).await;
        let jwt = issued["access_token"].as_str().unwrap();
        assert_eq!(decode_header(jwt).unwrap().alg, foreign);
        let (claims, now) = (verified(&server, jwt).await, server.store.clock().now().as_second());
        let jti = claims["jti"].as_str().unwrap();
        let wanted = json!({
            "aud": ["https://api.example.com"], "client_id": "orders", "exp": now + 3600, "ext": {},
            "iat": now, "iss": ISSUER, "jti": jti, "nbf": now, "scp": ["read"], "sub": "orders",
        });
        assert_eq!(claims, wanted);
        assert_eq!(issued["expires_in"], 3600);
        assert!(server.is_active(jwt).await);
        assert!(!server.is_active(jti).await, "the key in it is no token");
        assert_eq!(server.revoke(&client, jwt).await.status(), 200);
        assert!(!server.is_active(jwt).await);
        let signed = format!("keywright_signatures_total{{algorithm=\"{algorithm}\"}}");
        assert_eq!(server.metric(&signed).await, Some(1.0));
    }
}

#[tokio::test]
async fn claims_follow_the_settings() {
    let mut settings = settings();
    settings.jwt = ClaimsPolicy {
        scope_claim: ScopeClaim::Both,
        exclude_not_before: true,
        added: AddedClaims::default(),
    };
    let server = TestServer::alone(manual_clock(), settings).await;
    make_token_sets(&server.store, SigningAlgorithm::EdDsa).await;
    let client = TestClient::create(&server.store, "orders", registered_for_jwt()).await;
    let token = server.token(&client, &[("scope", "read orders.a")]).await;
    let claims = verified(&server, token["access_token"].as_str().unwrap()).await;
    assert_eq!((&claims["scope"], &claims["scp"]), (&json!("read orders.a"), &json!(["read", "orders.a"])));
    assert_eq!(claims.get("nbf"), None);
}

#[tokio::test]
async fn without_keys_a_jwt_is_not_issued_yet() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let client = TestClient::create(&server.store, "orders", registered_for_jwt()).await;
    let response = server.request_token(&client, &[]).await;
    assert_eq!((response.status().as_u16(), header(&response, "retry-after")), (503, "1"));
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"], "temporarily_unavailable");
}

#[tokio::test]
async fn a_jwt_ends_before_its_key_leaves() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    make_token_sets(&server.store, SigningAlgorithm::Es256).await;
    let mut declared = declaration(ACCESS_TOKEN_SET, SigningAlgorithm::Es256, StoredRotation::Manual);
    declared.rotate = Some("please".to_owned());
    // In the second in which a key was made, a request for another counts as answered.
    server.store.clock().advance(SignedDuration::from_secs(1));
    server.store.declare_key_set(&declared).await.unwrap();
    let mut metadata = registered_for_jwt();
    metadata["client_credentials_grant_access_token_lifespan"] = json!("100h");
    let client = TestClient::create(&server.store, "orders", metadata).await;
    let issued = server.token(&client, &[]).await;
    // The key retires in 24 h, and leaves an hour and a quarter later: no client had a longer lifespan then.
    assert_eq!(issued["expires_in"], 25 * 3600 + 10 * 60);
    let claims = verified(&server, issued["access_token"].as_str().unwrap()).await;
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 25 * 3600 + 10 * 60);
}

#[tokio::test]
async fn a_caller_can_demand_scopes() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let client = TestClient::create(&server.store, "orders", registered()).await;
    let token = server.token(&client, &[("scope", "read orders.a")]).await;
    let token = token["access_token"].as_str().unwrap();
    for (scope, active) in [("read", true), ("read orders.a", true), ("read write", false), ("\"", false)] {
        let answer = server.introspect(&[("token", token), ("scope", scope)]).await;
        assert_eq!(answer["active"], active, "{scope}");
    }
}

#[tokio::test]
async fn what_is_no_live_token_is_inactive_and_nothing_else_is_said() {
    let (ours, theirs) = (TestDatabase::sqlite(), TestDatabase::sqlite());
    let (clock, foreign_clock) = (manual_clock(), manual_clock());
    let server = TestServer::start(&ours, clock.clone()).await;
    let foreign = TestServer::start(&theirs, foreign_clock).await;
    for server in [&server, &foreign] {
        make_token_sets(&server.store, SigningAlgorithm::Es256).await;
    }
    let client = TestClient::create(&server.store, "orders", registered()).await;
    let token = server.access_token(&client).await;
    let twin = TestClient::create(&foreign.store, "orders", registered()).await;
    let jwt_twin = TestClient::create(&foreign.store, "jwt", registered_for_jwt()).await;
    let jwt = TestClient::create(&server.store, "jwt", registered_for_jwt()).await;
    let jwt = server.access_token(&jwt).await;
    let (message, _) = jwt.rsplit_once('.').unwrap();
    let mut bad_tokens = vec![
        "x".to_owned(),
        "a.b".to_owned(),
        "a.b.c".to_owned(),
        format!("{token}x"),
        token.replacen("ory_at_", "ory_rt_", 1),
        token.split_once('.').unwrap().0.to_owned(),
        foreign.access_token(&twin).await,
        foreign.access_token(&jwt_twin).await,
        format!("{message}."),
        format!("{message}.AAAA"),
        "eyJhbGciOiJub25lIn0.e30.".to_owned(),
    ];
    assert!(server.is_active(&token).await && server.is_active(&jwt).await);
    clock.advance(SignedDuration::from_hours(1));
    bad_tokens.extend([token, jwt]);
    for bad in bad_tokens {
        assert_eq!(server.introspect(&[("token", &bad)]).await, json!({"active": false}), "{bad}");
    }
}

#[tokio::test]
async fn introspection_and_revocation_need_a_token_in_a_form() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let client = TestClient::create(&server.store, "orders", registered()).await;
    for url in [server.admin_url("/admin/oauth2/introspect"), server.public_url("/oauth2/revoke")] {
        let request = || server.http.post(&url).basic_auth("orders", Some(client.secret.expose()));
        for request in [request(), request().form(&[("token", "")]), request().json(&json!({"token": "x"}))] {
            let response = request.send().await.unwrap();
            assert_eq!((response.status().as_u16(), header(&response, "pragma")), (400, "no-cache"));
            let body: Value = response.json().await.unwrap();
            assert_eq!(body["error"], "invalid_request");
        }
    }
}

#[tokio::test]
async fn a_revoked_token_is_dead_and_only_its_client_can_revoke_it() {
    for database in databases().await {
        let server = TestServer::start(&database, manual_clock()).await;
        let client = TestClient::create(&server.store, "orders", registered()).await;
        let other = TestClient::create(&server.store, "other", registered()).await;
        let (token, kept) = (server.access_token(&client).await, server.access_token(&client).await);
        let response = server.revoke(&other, &token).await;
        assert_eq!(response.status(), 200, "another client's token is none of its business");
        assert!(server.is_active(&token).await);
        let refused = server.revoke(&client.with_secret("wrong-secret"), &token).await;
        assert_eq!(
            (refused.status().as_u16(), refused.headers().contains_key("www-authenticate")),
            (401, true)
        );
        assert!(server.is_active(&token).await);
        for _ in 0..2 {
            let response = server.revoke(&client, &token).await;
            assert_eq!((response.status().as_u16(), header(&response, "cache-control")), (200, "no-store"));
            assert_eq!(response.text().await.unwrap(), "");
            assert!(!server.is_active(&token).await);
        }
        assert!(server.is_active(&kept).await);
        assert_eq!(server.revoke(&client, "nonsense").await.status(), 200);
    }
}

#[tokio::test]
async fn tokens_die_with_their_client_and_do_not_come_back_with_its_id() {
    for database in databases().await {
        let server = TestServer::start(&database, manual_clock()).await;
        make_token_sets(&server.store, SigningAlgorithm::Es256).await;
        let client = TestClient::create(&server.store, "orders", registered()).await;
        let jwt = TestClient::create(&server.store, "jwt", registered_for_jwt()).await;
        let tokens = [server.access_token(&client).await, server.access_token(&jwt).await];
        for token in &tokens {
            assert!(server.is_active(token).await);
        }
        client.delete(&server.store).await;
        jwt.delete(&server.store).await;
        assert!(!server.is_active(&tokens[0]).await && !server.is_active(&tokens[1]).await);
        assert!(!server.issues_to(&client).await, "in this process at once");
        let again = TestClient::create(&server.store, "orders", registered()).await;
        TestClient::create(&server.store, "jwt", registered_for_jwt()).await;
        assert!(!server.is_active(&tokens[0]).await && !server.is_active(&tokens[1]).await);
        assert!(!server.issues_to(&client).await, "the old secret belongs to the old client");
        assert!(server.is_active(&server.access_token(&again).await).await);
        assert_eq!(server.revoke(&again, &tokens[0]).await.status(), 200);
    }
}

#[tokio::test]
async fn each_request_costs_exactly_the_statements_that_it_must() {
    for database in databases().await {
        let server = TestServer::start(&database, Clock::system()).await;
        make_token_sets(&server.store, SigningAlgorithm::Es256).await;
        let client = TestClient::create(&server.store, "orders", registered()).await;
        let jwt_client = TestClient::create(&server.store, "jwt", registered_for_jwt()).await;
        let other = TestClient::create(&server.store, "other", registered()).await;
        for client in [&client, &jwt_client] {
            let live = server.access_token(client).await;
            let revoked = server.access_token(client).await;
            server.revoke(client, &revoked).await;
            let wrong = client.with_secret("wrong-secret");
            cost(&server, 0, "issuing to a client that is cached", async || {
                drop(server.token(client, &[]).await);
            })
            .await;
            cost(&server, 1, "introspection", async || assert!(server.is_active(&live).await)).await;
            cost(&server, 1, "introspection of a revoked token", async || {
                assert!(!server.is_active(&revoked).await);
            })
            .await;
            cost(&server, 0, "introspection of no token", async || assert!(!server.is_active("no").await))
                .await;
            cost(&server, 1, "revoking a token", async || drop(server.revoke(client, &live).await)).await;
            cost(&server, 0, "revoking no token", async || drop(server.revoke(client, "no").await)).await;
            cost(&server, 0, "revoking another's token", async || drop(server.revoke(&other, &live).await))
                .await;
            cost(&server, 1, "a wrong secret, which may be a newer one", async || {
                assert!(!server.issues_to(&wrong).await);
            })
            .await;
            cost(&server, 0, "a published document", async || {
                drop(server.get("/.well-known/jwks.json").await);
            })
            .await;
        }
    }
}

/// What a request costs once everything that it needs is cached. Notifications of earlier changes, and on SQLite the
/// process's own writes, still clear caches for a moment.
async fn cost(server: &TestServer, statements: u64, what: &str, request: impl AsyncFn()) {
    eventually(what, async || {
        let before = server.store.statements();
        request().await;
        server.store.statements() - before == statements
    })
    .await;
}

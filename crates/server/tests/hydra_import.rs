//! Clients and users of an Ory Hydra whose database was taken over: they do not notice.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use std::time::Duration;

use common::browser::{Browser, CALLBACK, CHALLENGE, text};
use common::{TestClient, TestServer, databases, resource, settings};
use futures::future::join_all;
use harness::hydra::HYDRAS_TIME;
use harness::{TestDatabase, TestHydra};
use jose::HydraSecret;
use oauth::subject_identifier::PairwiseSalt;
use oauth::{ClientId, ClientSecret, SubjectTypes};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use server::Settings;
use store::{Clock, HydraImport};

fn client(id: &str, secret: &str) -> TestClient {
    TestClient {
        id: ClientId::parse(id).unwrap(),
        secret: ClientSecret::new(secret),
        manager: resource("none"),
    }
}

fn web() -> TestClient {
    client("web", "web-secret-of-hydra")
}

fn hydras_settings() -> Settings {
    let mut settings = settings();
    settings.dynamic_client_registration = true;
    settings.subject_types =
        SubjectTypes { public: true, pairwise: PairwiseSalt::new("the-salt-of-hydra".to_owned()) };
    settings
}

/// A server in the place of a Hydra.
async fn taken_over(database: &TestDatabase, settings: Settings) -> (TestServer, TestHydra) {
    let hydra = TestHydra::start().await;
    let store = database.open(Clock::manual(HYDRAS_TIME.parse().unwrap())).await;
    let server = TestServer::with(store.clone(), settings).await;
    server.cached().await;
    // While it runs.
    let secrets: Vec<_> = hydra.secrets.iter().map(|secret| HydraSecret::new(secret)).collect();
    let import =
        HydraImport { store: Some(&store), secrets: &secrets, registration_tokens: true, dry_run: false };
    import.run(&mut hydra.open().await, store.clock().now(), store.entropy()).await.unwrap();
    (server, hydra)
}

fn token<'a>(hydra: &'a TestHydra, person: &str) -> &'a str {
    let person = if person == "alice" { "web_before_rotation" } else { person };
    hydra.answer(&format!("/{person}/refresh_token"))
}

#[tokio::test]
async fn clients_authenticate_with_the_secrets_that_they_have() {
    for database in databases().await {
        let (server, hydra) = taken_over(&database, hydras_settings()).await;
        let form = [("grant_type", "client_credentials"), ("scope", "read")];
        let (status, answer) = server.token_request(&web(), &form).await;
        assert_eq!(status, 200, "{answer}");
        assert_eq!(server.token_request(&client("web", "another"), &form).await.0, 401);
        for secret in ["first-secret-of-service", hydra.answer("/service_secret")] {
            let post = [&form[..], &[("client_id", "service"), ("client_secret", secret)]].concat();
            let response =
                server.http.post(server.public_url("/oauth2/token")).form(&post).send().await.unwrap();
            assert_eq!(response.status(), 200);
            let issued: Value = response.json().await.unwrap();
            assert_eq!(server.verified(text(&issued, "access_token")).await["client_id"], "service");
        }
        let registered = &hydra.answers["registered"];
        let itself = client(text(registered, "client_id"), text(registered, "client_secret"));
        assert_eq!(server.token_request(&itself, &form[..1]).await.0, 200);
        let path = server.public_url(&format!("/oauth2/register/{}", itself.id));
        let manage =
            |method: Method, token: String| server.http.request(method, &path).bearer_auth(token).send();
        let own = text(registered, "registration_access_token");
        assert_eq!(manage(Method::GET, own.to_owned()).await.unwrap().status(), 200);
        assert_eq!(manage(Method::GET, format!("{own}x")).await.unwrap().status(), 401);
        assert_eq!(manage(Method::DELETE, own.to_owned()).await.unwrap().status(), StatusCode::NO_CONTENT);
        assert_eq!(manage(Method::GET, own.to_owned()).await.unwrap().status(), 401);
    }
}

#[tokio::test]
async fn nobody_is_logged_out() {
    for database in databases().await {
        let (server, hydra) = taken_over(&database, hydras_settings()).await;
        let told = server.introspect(&[("token", token(&hydra, "frank"))]).await;
        let hydras = &hydra.answers["introspected_frank"];
        for member in ["active", "scope", "client_id", "sub", "exp", "token_use", "ext", "aud"] {
            assert_eq!(told[member], hydras[member], "{member}");
        }
        let (status, first) = server.refresh(&web(), token(&hydra, "frank")).await;
        assert_eq!(status, 200, "{first}");
        assert_eq!(first["scope"], "openid offline read");
        let claims = server.verified(text(&first, "id_token")).await;
        let before = server.verified(hydra.answer("/frank/id_token")).await;
        for member in ["sub", "aud", "sid", "auth_time", "nonce", "acr", "amr", "email"] {
            assert_eq!(claims[member], before[member], "{member}");
        }
        let told = server.introspect(&[("token", text(&first, "access_token"))]).await;
        assert_eq!((&told["sub"], &told["ext"]), (&json!("frank"), &json!({"tier": "gold"})));
        let (status, second) = server.refresh(&web(), text(&first, "refresh_token")).await;
        assert_eq!(status, 200, "{second}");
        let (status, error) = server.refresh(&web(), token(&hydra, "frank")).await;
        assert_eq!((status, &error["error"]), (400, &json!("invalid_grant")));
        assert!(!server.is_active(text(&second, "access_token")).await, "it came back: the grant is over");

        // Without its prefix; and of a client that knows its users by names of their own.
        let bare = token(&hydra, "grace").strip_prefix("ory_rt_").unwrap();
        assert!(server.is_active(bare).await);
        assert_eq!(server.refresh(&web(), bare).await.0, 200);
        let form = [
            ("client_id", "spa"),
            ("grant_type", "refresh_token"),
            ("refresh_token", token(&hydra, "carol")),
        ];
        let response = server.http.post(server.public_url("/oauth2/token")).form(&form).send().await.unwrap();
        let answer: Value = response.json().await.unwrap();
        let now = server.verified(text(&answer, "id_token")).await;
        let before = server.verified(hydra.answer("/carol/id_token")).await;
        assert_eq!((&now["sub"], now["sub"].as_str().unwrap().len()), (&before["sub"], 64));
    }
}

/// Refreshes, again where the pool for RSA signatures was full: then the token was not used up.
async fn refresh(server: &TestServer, client: &TestClient, token: &str) -> (u16, Value) {
    loop {
        let answer = server.refresh(client, token).await;
        if answer.0 != 503 {
            return answer;
        }
    }
}

#[tokio::test]
async fn of_those_who_come_with_one_token_one_wins_or_in_the_grace_period_all_get_the_same() {
    for database in databases().await {
        let (server, hydra) = taken_over(&database, hydras_settings()).await;
        let (web, frank) = (web(), token(&hydra, "frank"));
        let answers = join_all((0..4).map(|_| refresh(&server, &web, frank))).await;
        assert_eq!(answers.iter().filter(|(status, _)| *status == 200).count(), 1, "{answers:?}");
    }
    for database in databases().await {
        let mut graceful = hydras_settings();
        graceful.flow.rotation_grace = Duration::from_secs(10);
        let (server, hydra) = taken_over(&database, graceful).await;
        let (web, frank) = (web(), token(&hydra, "frank"));
        let answers = join_all((0..4).map(|_| refresh(&server, &web, frank))).await;
        let next: Vec<&str> = answers.iter().map(|(_, answer)| text(answer, "refresh_token")).collect();
        assert!(next.iter().all(|token| *token == next[0]));
        assert_eq!(server.refresh(&web, next[0]).await.0, 200);
    }
}

#[tokio::test]
async fn a_token_that_was_used_at_hydra_is_proof_of_theft() {
    for database in databases().await {
        let (server, hydra) = taken_over(&database, hydras_settings()).await;
        assert!(server.is_active(token(&hydra, "bob")).await);
        assert!(!server.is_active(token(&hydra, "bob_used")).await);
        assert_eq!(server.refresh(&web(), token(&hydra, "bob_used")).await.0, 400);
        assert!(!server.is_active(token(&hydra, "bob")).await);
        assert_eq!(server.refresh(&web(), token(&hydra, "bob")).await.0, 400);
    }
}

#[tokio::test]
async fn whoever_ends_something_ends_what_was_taken_over_too() {
    for database in databases().await {
        let (server, hydra) = taken_over(&database, hydras_settings()).await;
        let is_active = async |person: &str| server.is_active(token(&hydra, person)).await;
        let delete = async |path: &str| {
            let response = server.http.delete(server.admin_url(path)).send().await.unwrap();
            assert_eq!(response.status(), StatusCode::NO_CONTENT, "{path}");
        };
        for person in ["alice", "bob", "carol", "dave", "frank", "grace", "heidi"] {
            assert!(is_active(person).await, "{person}");
        }
        // The client itself, but no other one.
        let other = client(hydra.answer("/registered/client_id"), hydra.answer("/registered/client_secret"));
        assert_eq!(server.revoke(&other, token(&hydra, "frank")).await.status(), 200);
        assert!(is_active("frank").await);
        assert_eq!(server.refresh(&other, token(&hydra, "frank")).await.0, 400);
        assert_eq!(server.revoke(&web(), token(&hydra, "frank")).await.status(), 200);
        assert!(!is_active("frank").await);
        // An administrator: all of a user, one consent, one login, one client.
        delete("/admin/oauth2/auth/sessions/consent?subject=grace&all=true").await;
        assert!(!is_active("grace").await && is_active("heidi").await);
        let sessions = server.admin_url("/admin/oauth2/auth/sessions/consent?subject=alice");
        let sessions: Value = server.http.get(sessions).send().await.unwrap().json().await.unwrap();
        let [session] = &sessions.as_array().unwrap()[..] else {
            panic!("one consent and its grant: {sessions}")
        };
        assert_eq!((&session["remember"], &session["grant_scope"][2]), (&json!(true), &json!("read")));
        let id = text(session, "consent_request_id");
        delete(&format!("/admin/oauth2/auth/sessions/consent?consent_request_id={id}")).await;
        assert!(!is_active("alice").await);
        delete("/admin/oauth2/tokens?client_id=web").await;
        assert!(!is_active("heidi").await && is_active("carol").await);
        delete("/admin/clients/spa").await;
        assert!(!is_active("carol").await);
    }
}

#[tokio::test]
async fn what_hydra_signed_verifies_and_what_it_stored_alone_has_ended() {
    let database = TestDatabase::postgres().await;
    let (server, hydra) = taken_over(&database, hydras_settings()).await;
    for (pointer, subject) in [
        // Signed by the key before the last one, by the last one, and by that of the access tokens.
        ("/web_before_rotation/id_token", "alice"),
        ("/bob/id_token", "bob"),
        ("/service_token", "service"),
    ] {
        assert_eq!(server.verified(hydra.answer(pointer)).await["sub"], subject, "{pointer}");
    }
    let published: Value = server.get("/.well-known/jwks.json").await.json().await.unwrap();
    for key in hydra.answers["jwks"]["keys"].as_array().unwrap() {
        let same = |known: &&Value| known["kid"] == key["kid"];
        let ours = published["keys"].as_array().unwrap().iter().find(same).unwrap();
        assert_eq!((&ours["n"], &ours["alg"]), (&key["n"], &key["alg"]));
    }
    for opaque in ["/frank/access_token", "/service_token"] {
        assert!(!server.is_active(hydra.answer(opaque)).await, "{opaque}");
    }
    // Nothing that has a token's form costs more than one statement.
    let (random, signature) = token(&hydra, "frank").split_once('.').unwrap();
    let forged = format!("{}.{signature}", token(&hydra, "heidi").split_once('.').unwrap().0);
    for wrong in [forged, format!("{random}.{}", "A".repeat(43)), format!("{random}.x")] {
        let before = server.store.statements();
        assert!(!server.is_active(&wrong).await, "{wrong}");
        assert!(server.store.statements() - before <= 1);
        assert_eq!(server.refresh(&web(), &wrong).await.0, 400);
    }
    assert!(server.is_active(token(&hydra, "frank")).await);
}

#[tokio::test]
async fn who_consented_at_hydra_is_not_asked_again() {
    for database in databases().await {
        let (server, _hydra) = taken_over(&database, hydras_settings()).await;
        let request = [
            ("client_id", "web"),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid read"),
            ("state", "3y6rRzWq0yQvXzJ1mYk0WQ"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        for (subject, skip) in [("alice", true), ("bob", true), ("dave", false), ("frank", false)] {
            let browser = Browser::new(&server);
            let page = browser.log_in(&request, json!({"subject": subject})).await;
            let asked = server.asked("consent", &page.expect("consent_challenge")).await;
            assert_eq!(asked.json::<Value>().await.unwrap()["skip"], skip, "{subject}");
            let consent = json!({"grant_scope": ["openid", "read"]});
            assert!(browser.consent(&page, consent).await.parameter("code").is_some());
        }
    }
}

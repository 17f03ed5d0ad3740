//! Pairwise subjects: each sector knows a user by a name of its own.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use axum::Router;
use axum::routing::get;
use common::browser::{
    Browser, CALLBACK, REQUEST, alice, all, front_channel_application, prepared, request_with, text,
};
use common::{TestClient, TestServer, databases, listen, manual_clock, settings};
use oauth::SubjectTypes;
use oauth::subject_identifier::PairwiseSalt;
use reqwest::StatusCode;
use serde_json::{Value, json};
use server::{ListenerLimits, Settings};
use sha2::{Digest, Sha256};
use store::Clock;
use tokio_util::sync::CancellationToken;

const SALT: &str = "a salt that stays";

fn pairwise_settings() -> Settings {
    let subject_types = SubjectTypes { public: true, pairwise: PairwiseSalt::new(SALT.to_owned()) };
    Settings { subject_types, ..settings() }
}

fn pairwise_application() -> Value {
    let mut metadata = front_channel_application();
    metadata["subject_type"] = json!("pairwise");
    metadata["post_logout_redirect_uris"] = json!(["https://app.example.com/bye"]);
    metadata
}

/// The name by which the application knows a user.
fn known_as(subject: &str) -> String {
    let hash = Sha256::digest(format!("app.example.com{subject}{SALT}"));
    hash.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

async fn alone() -> (TestServer, TestClient) {
    let server = TestServer::alone(manual_clock(), pairwise_settings()).await;
    let client = prepared(&server, pairwise_application()).await;
    (server, client)
}

/// A web server with this list at `/list`.
async fn sector(list: Value, stop: &CancellationToken) -> String {
    let body = list.to_string();
    let router = Router::new().route("/list", get(async move || body));
    let address = listen(router, ListenerLimits::default(), stop.clone()).await;
    format!("http://{address}/list")
}

#[tokio::test]
async fn a_pairwise_client_reads_its_own_name_of_a_user_everywhere_and_inside_it_is_the_users() {
    for database in databases().await {
        let server = TestServer::with(database.open(Clock::system()).await, pairwise_settings()).await;
        let client = prepared(&server, pairwise_application()).await;
        let alice_here = known_as("alice");
        let browser = Browser::new(&server);
        let page = browser.log_in(&request_with(&[("response_type", "code id_token token")]), alice()).await;
        let asked: Value =
            server.asked("consent", &page.expect("consent_challenge")).await.json().await.unwrap();
        assert_eq!(asked["subject"], "alice", "the app knows the user");
        let end = browser.consent(&page, all()).await;
        let (_, tokens) = server.exchange(&client, &end.expect("code")).await;
        let (_, refreshed) = server.refresh(&client, text(&tokens, "refresh_token")).await;
        for token in [&end.expect("id_token"), text(&tokens, "id_token"), text(&refreshed, "id_token")] {
            assert_eq!(server.verified(token).await["sub"], alice_here);
        }
        for token in ["access_token", "refresh_token"].map(|name| text(&refreshed, name)) {
            let state = server.introspect(&[("token", token)]).await;
            assert_eq!((&state["sub"], &state["obfuscated_subject"]), (&json!("alice"), &json!(alice_here)));
            let seen = server.http.post(server.public_url("/oauth2/introspect")).form(&[("token", token)]);
            let seen = seen.basic_auth(client.id.as_str(), Some(client.secret.expose()));
            let seen: Value = seen.send().await.unwrap().json().await.unwrap();
            assert_eq!((&seen["sub"], seen.get("obfuscated_subject")), (&json!(alice_here), None));
        }
        assert_eq!(server.userinfo(text(&refreshed, "access_token")).await.1["sub"], alice_here);

        let url = server.admin_url("/admin/oauth2/auth/sessions/consent?subject=alice&all=true");
        assert_eq!(server.http.delete(url).send().await.unwrap().status(), 204);
        assert!(!server.is_active(text(&refreshed, "access_token")).await, "revoked by the user's own name");
    }
}

#[tokio::test]
async fn a_jwt_access_token_tells_the_client_no_more_than_an_id_token() {
    let server = TestServer::alone(manual_clock(), pairwise_settings()).await;
    let mut metadata = pairwise_application();
    metadata["access_token_strategy"] = json!("jwt");
    let client = prepared(&server, metadata).await;
    let tokens = server.tokens(&client).await;
    let access_token = text(&tokens, "access_token");
    assert_eq!(server.verified(access_token).await["sub"], known_as("alice"));
    assert_eq!(server.introspect(&[("token", access_token)]).await["sub"], "alice");
}

#[tokio::test]
async fn the_login_app_may_name_the_user_itself() {
    let (server, client) = alone().await;
    TestClient::create(&server.store, "public", front_channel_application()).await;
    let forced = json!({"subject": "alice", "force_subject_identifier": "customer-7"});
    let browser = Browser::new(&server);
    let page = browser.log_in(&REQUEST, forced.clone()).await;
    let code = browser.consent(&page, all()).await.expect("code");
    let (_, tokens) = server.exchange(&client, &code).await;
    assert_eq!(server.verified(text(&tokens, "id_token")).await["sub"], "customer-7");
    let state = server.introspect(&[("token", text(&tokens, "access_token"))]).await;
    assert_eq!((&state["sub"], &state["obfuscated_subject"]), (&json!("alice"), &json!("customer-7")));

    let page = browser
        .log_in(&request_with(&[("client_id", "public"), ("response_type", "id_token")]), forced)
        .await;
    let end = browser.consent(&page, all()).await;
    assert_eq!(server.verified(&end.expect("id_token")).await["sub"], "alice", "only pairwise clients");
}

#[tokio::test]
async fn a_hint_is_understood_by_the_name_that_the_client_knows() {
    let (server, client) = alone().await;
    TestClient::create(&server.store, "public", front_channel_application()).await;
    let remembered =
        |forced: &str| json!({"subject": "alice", "remember": true, "force_subject_identifier": forced});
    for forced in ["", "customer-7"] {
        let browser = Browser::new(&server);
        let page = browser.log_in(&REQUEST, remembered(forced)).await;
        let code = browser.consent(&page, all()).await.expect("code");
        let hint = text(&server.exchange(&client, &code).await.1, "id_token").to_owned();
        let silent = |hint: &str, client: &str| {
            let request = request_with(&[("prompt", "none")]);
            let mut request: Vec<_> = request
                .into_iter()
                .filter(|(name, _)| *name != "client_id")
                .map(|(name, value)| (name, value.to_owned()))
                .collect();
            request.extend([("id_token_hint", hint.to_owned()), ("client_id", client.to_owned())]);
            request
        };
        let ask = async |request: Vec<(&str, String)>| {
            let request: Vec<_> = request.iter().map(|(name, value)| (*name, value.as_str())).collect();
            browser.authorize(&request).await
        };
        ask(silent(&hint, "app")).await.expect("login_challenge");
        let others = ask(silent(&hint, "public")).await;
        assert_eq!(
            others.expect("error"),
            "login_required",
            "{forced}: another client does not know the name"
        );

        let other_user = server.tokens_of(&client, json!({"subject": "bob"})).await;
        let mismatch = ask(silent(text(&other_user, "id_token"), "app")).await;
        assert_eq!(mismatch.expect("error"), "login_required");

        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("id_token_hint", hint.as_str()),
                ("post_logout_redirect_uri", "https://app.example.com/bye"),
            ])
            .finish();
        let asked = browser.open(&format!("/oauth2/sessions/logout?{query}")).await;
        let logout: Value =
            server.asked("logout", &asked.expect("logout_challenge")).await.json().await.unwrap();
        assert_eq!(logout["subject"], "alice", "{forced}");
    }
}

#[tokio::test]
async fn a_sector_has_one_name_for_a_user_and_lists_its_redirect_uris() {
    let server = TestServer::alone(manual_clock(), pairwise_settings()).await;
    prepared(&server, front_channel_application()).await;
    let stop = CancellationToken::new();
    let list =
        sector(json!([CALLBACK, "https://app.example.com/2", "https://b.example.com/cb"]), &stop).await;
    let no_list = sector(json!({"redirect_uris": [CALLBACK]}), &stop).await;
    let register = async |id: &str, uris: &[&str], sector: &str| {
        let mut document = pairwise_application();
        document["client_id"] = json!(id);
        document["redirect_uris"] = json!(uris);
        document["post_logout_redirect_uris"] = json!([]);
        document["sector_identifier_uri"] = json!(sector);
        let response =
            server.http.post(server.admin_url("/admin/clients")).json(&document).send().await.unwrap();
        (response.status(), response.json::<Value>().await.unwrap())
    };
    for (id, uris) in
        [("a", &[CALLBACK, "https://app.example.com/2"][..]), ("b", &["https://b.example.com/cb"])]
    {
        let (status, client) = register(id, uris, &list).await;
        assert_eq!((status, &client["subject_type"]), (StatusCode::CREATED, &json!("pairwise")), "{client}");
    }
    let mut names = Vec::new();
    for (client, callback) in [("a", CALLBACK), ("b", "https://b.example.com/cb")] {
        let browser = Browser::new(&server);
        let request =
            request_with(&[("client_id", client), ("redirect_uri", callback), ("response_type", "id_token")]);
        let page = browser.log_in(&request, alice()).await;
        let end = browser.consent(&page, all()).await;
        names.push(server.verified(&end.expect("id_token")).await["sub"].clone());
    }
    assert_eq!(names[0], names[1]);
    assert_ne!(names[0], "alice");

    for (uris, sector, hint) in [
        (&["https://evil.example.com/cb"][..], list.as_str(), "does not have 'https://evil.example.com/cb'"),
        (&[CALLBACK], &no_list, "no JSON array"),
        (&[CALLBACK], &format!("{list}/missing"), "no JSON array"),
        (&[CALLBACK], "http://sector.example.com/list", "no https URL"),
        (&[CALLBACK], "http://127.0.0.1:1/list", "no JSON array"),
        (&[CALLBACK, "https://app.example.com/2"], "", "more than one redirect URI"),
    ] {
        let (status, error) = register("c", uris, sector).await;
        assert_eq!((status, &error["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_client_metadata")));
        assert!(text(&error, "error_description").contains(hint), "{error}");
    }

    // A change is checked as a registration is; what stays is not fetched again.
    stop.cancel();
    let patch = async |operation: Value| {
        let url = server.admin_url("/admin/clients/a");
        let patched = server.http.patch(url).json(&json!([operation])).send().await.unwrap();
        (patched.status(), patched.json::<Value>().await.unwrap())
    };
    let (status, client) = patch(json!({"op": "replace", "path": "/client_name", "value": "A"})).await;
    assert_eq!((status, &client["client_name"]), (StatusCode::OK, &json!("A")));
    let (status, error) =
        patch(json!({"op": "add", "path": "/redirect_uris/-", "value": "https://c/cb"})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{error}");
}

#[tokio::test]
async fn a_server_without_pairwise_subjects_says_so_before_anybody_logs_in() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    prepared(&server, pairwise_application()).await;
    let answer = Browser::new(&server).authorize(&REQUEST).await;
    assert_eq!((answer.target().as_str(), answer.expect("error").as_str()), (CALLBACK, "invalid_request"));
    assert!(answer.expect("error_description").contains("public alone"));
    let document = json!({"subject_type": "pairwise", "redirect_uris": [CALLBACK]});
    let refused = server.http.post(server.admin_url("/admin/clients")).json(&document).send().await.unwrap();
    assert_eq!(refused.status(), 400);

    let discovery: Value = server.get("/.well-known/openid-configuration").await.json().await.unwrap();
    assert_eq!(discovery["subject_types_supported"], json!(["public"]));
    let (server, _) = alone().await;
    let discovery: Value = server.get("/.well-known/openid-configuration").await.json().await.unwrap();
    assert_eq!(discovery["subject_types_supported"], json!(["public", "pairwise"]));
}

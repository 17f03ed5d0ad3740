//! Logins and consents that are remembered.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::browser::{Browser, REQUEST, alice, all, application, prepared, request_with, text};
use common::{TestClient, TestServer, databases, manual_clock, settings};
use serde_json::{Value, json};
use store::Clock;

fn remembered_login() -> Value {
    json!({"subject": "alice", "remember": true, "remember_for": 3600})
}

fn remembered_consent() -> Value {
    let mut consent = all();
    consent["remember"] = json!(true);
    consent
}

/// Alice logs in and consents, and both are remembered.
async fn remembering(browser: &Browser<'_>) {
    let page = browser.log_in(&REQUEST, remembered_login()).await;
    browser.consent(&page, remembered_consent()).await.expect("code");
}

/// What the login app is asked upon a request.
async fn asked(browser: &Browser<'_>, request: &[(&str, &str)]) -> Value {
    let challenge = browser.authorize(request).await.expect("login_challenge");
    browser.server.asked("login", &challenge).await.json().await.unwrap()
}

#[tokio::test]
async fn a_remembered_login_and_consent_are_read_together_in_one_statement() {
    for database in databases().await {
        let server = TestServer::start(&database, Clock::system()).await;
        let client = prepared(&server, application()).await;
        harness::eventually("a flow costs what it should", async || {
            costs_of_a_known_user(&server, &client).await == [2, 1]
        })
        .await;
    }
}

/// How many statements it takes to remember a login and a consent, and to go on with them.
async fn costs_of_a_known_user(server: &TestServer, client: &TestClient) -> [u64; 2] {
    let browser = Browser::new(server);
    let first = server.store.statements();
    let page = browser.log_in(&request_with(&[("prompt", "consent")]), remembered_login()).await;
    browser.consent(&page, remembered_consent()).await.expect("code");

    let second = server.store.statements();
    let challenge = browser.authorize(&REQUEST).await.expect("login_challenge");
    let login: Value = server.asked("login", &challenge).await.json().await.unwrap();
    assert_eq!((&login["skip"], &login["subject"]), (&json!(true), &json!("alice")));
    let page = browser.open(&server.decide("login", "accept", &challenge, alice()).await).await;
    let consent: Value =
        server.asked("consent", &page.expect("consent_challenge")).await.json().await.unwrap();
    assert_eq!(consent["skip"], true);
    let end = browser.consent(&page, all()).await;
    let costs = [second - first, server.store.statements() - second];
    assert_eq!(server.exchange(client, &end.expect("code")).await.0, 200);
    costs
}

#[tokio::test]
async fn a_login_that_is_not_remembered_ends_with_the_flow() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    prepared(&server, application()).await;
    let browser = Browser::new(&server);
    browser.code(&REQUEST).await;
    assert_eq!(asked(&browser, &REQUEST).await["skip"], false);
    remembering(&browser).await;
    assert_eq!(asked(&browser, &REQUEST).await["skip"], true);

    // Logging in without being remembered forgets what was.
    let forced = request_with(&[("prompt", "login")]);
    let page = browser.log_in(&forced, json!({"subject": "bob"})).await;
    browser.consent(&page, all()).await.expect("code");
    assert_eq!(asked(&browser, &REQUEST).await["skip"], false);
    assert_eq!(browser.cookie_names().iter().filter(|name| *name == "ory_hydra_session").count(), 0);
}

#[tokio::test]
async fn a_login_that_was_ended_does_not_come_back_with_its_verifier() {
    for database in databases().await {
        let server = TestServer::start(&database, Clock::system()).await;
        prepared(&server, application()).await;
        for (query, subject) in [("sid", "alice"), ("subject", "bob")] {
            let browser = Browser::new(&server);
            let challenge = browser.authorize(&REQUEST).await.expect("login_challenge");
            let login: Value = server.asked("login", &challenge).await.json().await.unwrap();
            let remembered = json!({"subject": subject, "remember": true});
            let redirect = server.decide("login", "accept", &challenge, remembered).await;
            browser.open(&redirect).await.expect("consent_challenge");
            assert_eq!(asked(&browser, &REQUEST).await["skip"], true);

            let value = if query == "sid" { text(&login, "session_id") } else { subject };
            let url = server.admin_url(&format!("/admin/oauth2/auth/sessions/login?{query}={value}"));
            assert_eq!(server.http.delete(url).send().await.unwrap().status(), 204);
            assert_eq!(browser.open(&redirect).await.expect("error"), "login_required", "{query}");
            assert_eq!(asked(&browser, &REQUEST).await["skip"], false);
        }
    }
}

#[tokio::test]
async fn a_session_ends_on_the_server_whatever_the_browser_says() {
    let clock = manual_clock();
    let server = TestServer::alone(clock.clone(), settings()).await;
    prepared(&server, application()).await;
    let browser = Browser::new(&server);
    remembering(&browser).await;
    clock.advance(jiff::SignedDuration::from_secs(3599));
    assert_eq!(asked(&browser, &REQUEST).await["skip"], true);
    clock.advance(jiff::SignedDuration::from_secs(1));
    assert_eq!(asked(&browser, &REQUEST).await["skip"], false);
}

#[tokio::test]
async fn a_client_that_wants_no_page_gets_what_needs_none() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    prepared(&server, application()).await;
    let browser = Browser::new(&server);
    let silent = request_with(&[("prompt", "none")]);
    assert_eq!(browser.authorize(&silent).await.expect("error"), "login_required");

    // A login alone is not enough.
    let page = browser.log_in(&REQUEST, remembered_login()).await;
    browser.consent(&page, all()).await.expect("code");
    let page = browser.log_in(&silent, alice()).await;
    assert_eq!(page.expect("error"), "consent_required");

    remembering(&browser).await;
    let page = browser.log_in(&silent, alice()).await;
    browser.consent(&page, all()).await.expect("code");

    // More than was consented to is asked for again; with the other user, too.
    let more = request_with(&[("prompt", "none"), ("scope", "openid offline orders.write")]);
    assert_eq!(browser.log_in(&more, alice()).await.expect("error"), "consent_required");
}

#[tokio::test]
async fn an_old_login_is_not_gone_on_with_where_the_request_says_so() {
    let clock = manual_clock();
    let server = TestServer::alone(clock.clone(), settings()).await;
    prepared(&server, application()).await;
    let browser = Browser::new(&server);
    remembering(&browser).await;
    clock.advance(jiff::SignedDuration::from_secs(60));
    assert_eq!(asked(&browser, &request_with(&[("max_age", "60")])).await["skip"], true);
    assert_eq!(asked(&browser, &request_with(&[("max_age", "59")])).await["skip"], false);
    assert_eq!(asked(&browser, &request_with(&[("prompt", "login")])).await["skip"], false);
    assert_eq!(asked(&browser, &request_with(&[("prompt", "select_account")])).await["skip"], false);
    let silent = request_with(&[("max_age", "59"), ("prompt", "none")]);
    assert_eq!(browser.authorize(&silent).await.expect("error"), "login_required");
}

#[tokio::test]
async fn a_hint_names_who_must_be_logged_in() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let client = prepared(&server, application()).await;
    let tokens = server.tokens(&client).await;
    let hint: &'static str = text(&tokens, "id_token").to_owned().leak();
    let browser = Browser::new(&server);
    let hinted = request_with(&[("id_token_hint", hint)]);
    let login = asked(&browser, &hinted).await;
    assert_eq!(login["oidc_context"]["id_token_hint_claims"]["sub"], "alice");

    let page = browser.log_in(&hinted, json!({"subject": "bob"})).await;
    assert_eq!(page.expect("error"), "login_required");
    browser.log_in(&hinted, alice()).await.expect("consent_challenge");

    // Bob's session does not do for Alice.
    let page = browser.log_in(&REQUEST, json!({"subject": "bob", "remember": true})).await;
    browser.consent(&page, all()).await;
    assert_eq!(asked(&browser, &hinted).await["skip"], false);
    let silent = request_with(&[("id_token_hint", hint), ("prompt", "none")]);
    assert_eq!(browser.authorize(&silent).await.expect("error"), "login_required");
    let access_token = request_with(&[("id_token_hint", text(&tokens, "access_token").to_owned().leak())]);
    assert_eq!(browser.authorize(&access_token).await.expect("error"), "invalid_request");
}

#[tokio::test]
async fn somebody_else_than_the_session_says_logs_in_anew() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    prepared(&server, application()).await;
    let browser = Browser::new(&server);
    remembering(&browser).await;
    let challenge = browser.authorize(&REQUEST).await.expect("login_challenge");
    let redirect = server.decide("login", "accept", &challenge, json!({"subject": "bob"})).await;
    assert!(redirect.contains("prompt=login") && !redirect.contains("login_verifier"), "{redirect}");
    let start = browser.open(&redirect).await;
    let login: Value = server.asked("login", &start.expect("login_challenge")).await.json().await.unwrap();
    assert_eq!((&login["skip"], &login["subject"]), (&json!(false), &json!("")));
}

#[tokio::test]
async fn a_trusted_client_needs_no_consent_and_no_statement_for_it() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    prepared(&server, application()).await;
    let mut metadata = application();
    metadata["skip_consent"] = json!(true);
    let client = TestClient::create(&server.store, "trusted", metadata).await;
    let request = request_with(&[("client_id", "trusted")]);
    harness::eventually("it takes no statement", async || {
        let browser = Browser::new(&server);
        let (cost, end) = server
            .costing(async {
                let page = browser.log_in(&request, alice()).await;
                let consent: Value =
                    server.asked("consent", &page.expect("consent_challenge")).await.json().await.unwrap();
                assert_eq!(consent["skip"], true);
                browser.consent(&page, all()).await
            })
            .await;
        assert_eq!(server.exchange(&client, &end.expect("code")).await.0, 200);
        cost == 0
    })
    .await;
}

#[tokio::test]
async fn a_session_row_that_was_changed_logs_nobody_in() {
    let database = harness::TestDatabase::sqlite();
    let server = TestServer::start(&database, Clock::system()).await;
    prepared(&server, application()).await;
    let browser = Browser::new(&server);
    remembering(&browser).await;
    common::sql(&database, "UPDATE login_sessions SET subject = 'admin'").await;
    assert_eq!(asked(&browser, &REQUEST).await["skip"], false);
}

#[tokio::test]
async fn a_remembered_consent_that_was_changed_counts_for_nothing() {
    let database = harness::TestDatabase::sqlite();
    let server = TestServer::start(&database, Clock::system()).await;
    prepared(&server, application()).await;
    let browser = Browser::new(&server);
    remembering(&browser).await;
    common::sql(&database, "UPDATE consents SET subject = 'bob'").await;
    let page = browser.log_in(&request_with(&[("prompt", "login")]), json!({"subject": "bob"})).await;
    let consent: Value =
        server.asked("consent", &page.expect("consent_challenge")).await.json().await.unwrap();
    assert_eq!(consent["skip"], false, "Alice's consent is not Bob's");
}

//! Logging out.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::browser::{Browser, REQUEST, all, application, prepared, text};
use common::{TestClient, TestServer, databases, make_token_sets, manual_clock, settings};
use jose::SigningAlgorithm;
use serde_json::{Value, json};
use store::Clock;

const OUT: &str = "https://app.example.com/out";
const END: &str = "https://pages.example.com/bye";

fn with_pages() -> server::Settings {
    let mut settings = settings();
    settings.pages.logout = Some("https://pages.example.com/logout".to_owned());
    settings.pages.post_logout_redirect = Some(END.to_owned());
    settings
}

fn registered() -> Value {
    let mut metadata = application();
    metadata["post_logout_redirect_uris"] = json!([OUT]);
    metadata
}

#[tokio::test]
async fn a_client_asks_the_user_agrees_and_the_browser_goes_back() {
    for database in databases().await {
        let server = TestServer::with(database.open(Clock::system()).await, with_pages()).await;
        let client = prepared(&server, registered()).await;
        let browser = Browser::new(&server);
        let (id_token, access_token) = browser.logged_in(&client).await;
        let parameters =
            [("id_token_hint", id_token.as_str()), ("post_logout_redirect_uri", OUT), ("state", "a b")];
        let page = browser.log_out(&parameters).await;
        assert_eq!(page.target(), "https://pages.example.com/logout");
        let challenge = page.expect("logout_challenge");
        let asked: Value = server.asked("logout", &challenge).await.json().await.unwrap();
        assert_eq!((&asked["subject"], &asked["rp_initiated"]), (&json!("alice"), &json!(true)));
        assert_eq!((&asked["client"]["client_id"], &asked["challenge"]), (&json!("app"), &json!(challenge)));
        assert!(
            text(&asked, "request_url")
                .starts_with("https://id.example.com/oauth2/sessions/logout?id_token_hint=")
        );
        assert!(browser.is_logged_in().await, "asking ends nothing");

        let redirect = server.decide("logout", "accept", &challenge, json!(null)).await;
        let stranger = Browser::new(&server);
        stranger.logged_in(&client).await;
        assert_eq!(stranger.open(&redirect).await.target(), OUT);
        assert!(stranger.is_logged_in().await && browser.is_logged_in().await, "it is another browser's");

        let end = browser.open(&redirect).await;
        assert_eq!((end.target().as_str(), end.expect("state").as_str()), (OUT, "a b"));
        assert!(!browser.is_logged_in().await);
        assert!(server.is_active(&access_token).await, "what was granted lives on");
        browser.logged_in(&client).await;
        browser.open(&redirect).await;
        assert!(browser.is_logged_in().await, "a verifier that is used again ends nothing");
    }
}

#[tokio::test]
async fn the_user_may_ask_and_may_stay() {
    let server = TestServer::alone(manual_clock(), with_pages()).await;
    let client = prepared(&server, registered()).await;
    let browser = Browser::new(&server);
    assert_eq!(browser.log_out(&[]).await.target(), END, "nobody is logged in");
    browser.logged_in(&client).await;
    let challenge = browser.log_out(&[]).await.expect("logout_challenge");
    let asked: Value = server.asked("logout", &challenge).await.json().await.unwrap();
    assert_eq!((&asked["rp_initiated"], &asked["client"]), (&json!(false), &Value::Null));
    let rejected = server.answer("logout", "reject", &challenge, json!(null)).await;
    assert_eq!(rejected.status(), 204);
    assert!(browser.is_logged_in().await);
    let redirect = server.decide("logout", "accept", &challenge, json!(null)).await;
    assert_eq!(browser.open(&redirect).await.target(), END);
    assert!(!browser.is_logged_in().await);
}

#[tokio::test]
async fn a_posted_request_may_have_parameters_in_its_url_and_none_twice() {
    let server = TestServer::alone(manual_clock(), with_pages()).await;
    let client = prepared(&server, registered()).await;
    let browser = Browser::new(&server);
    let (id_token, _) = browser.logged_in(&client).await;
    let url = "/oauth2/sessions/logout?state=a-state";
    let form = [("id_token_hint", id_token.as_str()), ("post_logout_redirect_uri", OUT)];
    let challenge = browser.post(url, &form).await.expect("logout_challenge");
    let redirect = server.decide("logout", "accept", &challenge, json!(null)).await;
    assert_eq!(browser.open(&redirect).await.expect("state"), "a-state");
    let twice = browser.post(url, &[("state", "another")]).await;
    assert!(twice.expect("error_description").contains("'state' comes more than once"));
}

#[tokio::test]
async fn a_trusted_client_logs_its_users_out_at_once() {
    let server = TestServer::alone(manual_clock(), with_pages()).await;
    make_token_sets(&server.store, SigningAlgorithm::Es256).await;
    let mut metadata = registered();
    metadata["skip_logout_consent"] = json!(true);
    let client = TestClient::create(&server.store, "app", metadata).await;
    let browser = Browser::new(&server);
    let (id_token, _) = browser.logged_in(&client).await;
    let end = browser.log_out(&[("id_token_hint", &id_token), ("post_logout_redirect_uri", OUT)]).await;
    assert_eq!(end.target(), OUT);
    assert!(!browser.is_logged_in().await);
}

#[tokio::test]
async fn a_request_that_cannot_be_trusted_is_told_to_the_user() {
    let server = TestServer::alone(manual_clock(), with_pages()).await;
    let client = prepared(&server, registered()).await;
    let browser = Browser::new(&server);
    let (id_token, access_token) = browser.logged_in(&client).await;
    for parameters in [
        &[("state", "x")][..],
        &[("post_logout_redirect_uri", OUT)],
        &[("id_token_hint", "x.y.z")],
        &[("id_token_hint", access_token.as_str())],
        &[("id_token_hint", id_token.as_str()), ("post_logout_redirect_uri", "https://evil.example.com/")],
        &[("id_token_hint", id_token.as_str()), ("client_id", "other")],
        &[("logout_verifier", "nonsense")],
    ] {
        let answer = browser.log_out(parameters).await;
        let told = (answer.target(), answer.expect("error"));
        assert_eq!(
            told,
            ("https://pages.example.com/error".to_owned(), "invalid_request".to_owned()),
            "{parameters:?}"
        );
    }
    assert!(browser.is_logged_in().await);
    let challenge = browser.log_out(&[]).await.expect("logout_challenge");
    assert_eq!(browser.log_out(&[("logout_verifier", &challenge)]).await.expect("error"), "invalid_request");
    assert_eq!(server.asked("login", &challenge).await.status(), 404);
}

#[tokio::test]
async fn nobody_is_logged_out_for_somebody_else() {
    let server = TestServer::alone(manual_clock(), with_pages()).await;
    let client = prepared(&server, registered()).await;
    let alices = Browser::new(&server);
    let (id_token, _) = alices.logged_in(&client).await;
    let bobs = Browser::new(&server);
    let page = bobs.log_in(&REQUEST, json!({"subject": "bob", "remember": true})).await;
    bobs.consent(&page, all()).await.expect("code");
    let end = bobs.log_out(&[("id_token_hint", &id_token), ("post_logout_redirect_uri", OUT)]).await;
    assert_eq!(end.target(), OUT);
    assert!(bobs.is_logged_in().await && alices.is_logged_in().await);
}

#[tokio::test]
async fn a_logout_has_its_time() {
    let clock = manual_clock();
    let server = TestServer::alone(clock.clone(), with_pages()).await;
    let client = prepared(&server, registered()).await;
    let browser = Browser::new(&server);
    browser.logged_in(&client).await;
    let challenge = browser.log_out(&[]).await.expect("logout_challenge");
    let redirect = server.decide("logout", "accept", &challenge, json!(null)).await;
    clock.advance(jiff::SignedDuration::from_mins(30));
    assert_eq!(server.asked("logout", &challenge).await.status(), 401);
    assert_eq!(browser.open(&redirect).await.target(), END);
    assert!(browser.is_logged_in().await);
}

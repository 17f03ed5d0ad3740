//! Clients that the browser tells of a logout, and where a logout ends.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::browser::{Answer, Browser, application, prepared, text, verified};
use common::{TestClient, TestServer, databases, manual_clock, settings};
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

/// An application that the browser tells at an address.
fn framed(uri: Option<&str>) -> Value {
    let mut metadata = application();
    metadata["post_logout_redirect_uris"] = json!([OUT]);
    if let Some(uri) = uri {
        metadata["frontchannel_logout_uri"] = json!(uri);
    }
    metadata
}

/// The addresses that a page loads in frames.
fn frames(answer: &Answer) -> Vec<String> {
    let frames = answer.body.split("<iframe").skip(1);
    let source = |frame: &str| frame.split("src=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    frames.map(|frame| source(frame).replace("&#38;", "&").replace("&amp;", "&")).collect()
}

#[tokio::test]
async fn the_browser_tells_the_clients_of_its_session_and_goes_on() {
    for database in databases().await {
        let server = TestServer::with(database.open(Clock::system()).await, with_pages()).await;
        let client = prepared(&server, framed(Some("https://app.example.com/front?x=1&y"))).await;
        let other = framed(Some("http://intern.example.com:8080/front"));
        let other = TestClient::create(&server.store, "other", other).await;
        let plain = TestClient::create(&server.store, "plain", framed(None)).await;
        let stranger = framed(Some("https://stranger.example.com/front"));
        let stranger = TestClient::create(&server.store, "stranger", stranger).await;

        let browser = Browser::new(&server);
        let (id_token, _) = browser.logged_in(&client).await;
        browser.logged_in(&other).await;
        browser.logged_in(&other).await;
        browser.logged_in(&plain).await;
        Browser::new(&server).logged_in(&stranger).await;
        let sid = verified(&server, &id_token).await["sid"].as_str().unwrap().to_owned();
        let hint =
            [("id_token_hint", id_token.as_str()), ("post_logout_redirect_uri", OUT), ("state", "a\"b")];
        let challenge = browser.log_out(&hint).await.expect("logout_challenge");
        let redirect = server.decide("logout", "accept", &challenge, Value::Null).await;
        let page = browser.open(&redirect).await;

        assert_eq!(page.status, 200);
        let mut loaded = frames(&page);
        loaded.sort_unstable();
        let told = format!("iss=https%3A%2F%2Fid.example.com%2F&sid={sid}");
        assert_eq!(
            loaded,
            [
                format!("http://intern.example.com:8080/front?{told}"),
                format!("https://app.example.com/front?x=1&y&{told}"),
            ]
        );
        let allowed = "; frame-src http://intern.example.com:8080 https://app.example.com";
        assert!(
            page.policy.starts_with("default-src 'none';") && page.policy.ends_with(allowed),
            "{}",
            page.policy
        );
        let onward =
            "<meta http-equiv=\"refresh\" content=\"7; url=https://app.example.com/out?state=a%22b\">";
        assert!(page.body.contains(onward), "{}", page.body);
        assert!(page.body.contains("let left = 2;"));
        assert!(page.set_cookies[0].starts_with("ory_hydra_session=;"));
        assert!(!browser.is_logged_in().await);

        let again = browser.open(&redirect).await;
        assert_eq!((again.target().as_str(), again.expect("state").as_str()), (OUT, "a\"b"));
    }
}

#[tokio::test]
async fn a_login_that_no_browser_remembers_is_no_matter_of_the_browser() {
    let server = TestServer::alone(manual_clock(), with_pages()).await;
    let client = prepared(&server, framed(Some("https://app.example.com/front"))).await;
    let browser = Browser::new(&server);
    let (id_token, _) = browser.logged_in_by(&client, json!({"subject": "alice"})).await;
    let end = browser.log_out(&[("id_token_hint", &id_token), ("post_logout_redirect_uri", OUT)]).await;
    assert_eq!((end.status.as_u16(), end.target().as_str()), (302, OUT));
}

#[tokio::test]
async fn a_client_takes_part_for_as_long_as_the_login_may_last() {
    let clock = manual_clock();
    let server = TestServer::alone(clock.clone(), with_pages()).await;
    let mut metadata = framed(Some("https://app.example.com/front"));
    metadata["grant_types"] = json!(["authorization_code"]);
    let client = prepared(&server, metadata).await;
    let browser = Browser::new(&server);
    browser.logged_in(&client).await;
    clock.advance(jiff::SignedDuration::from_hours(719));
    while server.store.purge(&mut store::PurgeWalk::default()).await.unwrap() {}
    assert_eq!(frames(&browser.agree_to_log_out(&[]).await).len(), 1);
}

#[tokio::test]
async fn the_state_goes_to_the_clients_own_page_alone() {
    let server = TestServer::alone(manual_clock(), with_pages()).await;
    let client = prepared(&server, framed(None)).await;
    let browser = Browser::new(&server);
    let (id_token, _) = browser.logged_in(&client).await;
    let hint = [("id_token_hint", id_token.as_str()), ("state", "xyz")];
    let with_session = browser.agree_to_log_out(&hint).await;
    let without = browser.log_out(&hint).await;
    for end in [with_session, without] {
        assert_eq!((end.target().as_str(), end.parameter("state")), (END, None));
    }
    let end = browser.log_out(&[hint[0], hint[1], ("post_logout_redirect_uri", OUT)]).await;
    assert_eq!((end.target().as_str(), end.expect("state").as_str()), (OUT, "xyz"));
}

#[tokio::test]
async fn logout_uris_are_registered_shown_and_checked() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let register = async |member: &str, value: Value| {
        let body = json!({"redirect_uris": ["https://a.example/cb"], (member): value});
        let response = server.http.post(server.admin_url("/admin/clients")).json(&body).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap())
    };
    for member in ["frontchannel_logout_uri", "backchannel_logout_uri"] {
        let (status, client) = register(member, json!("https://a.example/out?x")).await;
        assert_eq!((status, text(&client, member)), (201, "https://a.example/out?x"));
        let (status, error) = register(member, json!("https://a.example/out#x")).await;
        assert_eq!((status, text(&error, "error")), (400, "invalid_client_metadata"));
        assert!(
            text(&error, "error_description").starts_with(&format!("{member}: it has a fragment")),
            "{error}"
        );
    }
}

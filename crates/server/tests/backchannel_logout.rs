//! Clients that the server tells of logouts.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use std::time::Instant;

use common::browser::{Browser, alice, all, application, prepared, request_with, text, verified};
use common::receiver::Receiver;
use common::{ISSUER, TestClient, TestServer, at_work, databases, manual_clock, settings};
use harness::eventually;
use jiff::SignedDuration;
use serde_json::{Value, json};
use store::Clock;

const OUT: &str = "https://app.example.com/out";

/// An application that is told at an address.
fn told_at(uri: &str) -> Value {
    let mut metadata = application();
    metadata["post_logout_redirect_uris"] = json!([OUT]);
    metadata["backchannel_logout_uri"] = json!(uri);
    metadata
}

/// The logout tokens that a client got.
fn tokens(receiver: &Receiver) -> Vec<String> {
    let token = |body: &str| {
        let mut pairs = form_urlencoded::parse(body.as_bytes());
        pairs.find(|(name, _)| name == "logout_token").unwrap().1.into_owned()
    };
    receiver.received().iter().map(|request| token(&request.body)).collect()
}

async fn got(receiver: &Receiver, count: usize) {
    eventually("the client is told", async || receiver.received().len() >= count).await;
}

async fn end(server: &TestServer, query: &str) {
    let url = server.admin_url(&format!("/admin/oauth2/auth/sessions/login?{query}"));
    assert_eq!(server.http.delete(url).send().await.unwrap().status(), 204, "{query}");
}

async fn sid(server: &TestServer, id_token: &str) -> String {
    text(&verified(server, id_token).await, "sid").to_owned()
}

async fn attempts(server: &TestServer, outcome: &str) -> f64 {
    let series = format!("keywright_backchannel_logouts_total{{outcome=\"{outcome}\"}}");
    server.metric(&series).await.unwrap_or_default()
}

#[tokio::test]
async fn a_client_is_told_at_once_however_the_login_ends() {
    for database in databases().await {
        let server = TestServer::with(database.open(Clock::system()).await, settings()).await;
        let receiver = Receiver::start().await;
        let client = prepared(&server, told_at(&receiver.url("127.0.0.1", "/back?x=1"))).await;
        let _work = at_work(&server);
        let mut told = 0;
        for way in ["client", "user", "sid", "subject"] {
            for remember in [true, false] {
                if way == "user" && !remember {
                    continue;
                }
                let browser = Browser::new(&server);
                let login = json!({"subject": "alice", "remember": remember});
                let (id_token, _) = browser.logged_in_by(&client, login).await;
                let sid = sid(&server, &id_token).await;
                let hint = [("id_token_hint", id_token.as_str()), ("post_logout_redirect_uri", OUT)];
                match (way, remember) {
                    ("client", true) => assert_eq!(browser.agree_to_log_out(&hint).await.target(), OUT),
                    ("client", false) => assert_eq!(browser.log_out(&hint).await.target(), OUT),
                    ("user", _) => drop(browser.agree_to_log_out(&[]).await),
                    ("sid", _) => end(&server, &format!("sid={sid}")).await,
                    _ => end(&server, "subject=alice").await,
                }
                // Ending all of a subject's logins tells of those before, too.
                eventually("the client is told", async || {
                    let mut sids = Vec::new();
                    for token in &tokens(&receiver)[told..] {
                        sids.push(text(&verified(&server, token).await, "sid").to_owned());
                    }
                    sids.contains(&sid)
                })
                .await;
                eventually("nothing is left", async || {
                    attempts(&server, "told").await
                        >= f64::from(u32::try_from(receiver.received().len()).unwrap())
                })
                .await;
                told = receiver.received().len();
            }
        }
        let all = receiver.received();
        assert!(all.iter().all(|request| request.path == "/back?x=1"));
        assert_eq!(all[0].headers["content-type"], "application/x-www-form-urlencoded");
        check_token(&server, &tokens(&receiver)[0]).await;
    }
}

async fn check_token(server: &TestServer, token: &str) {
    let header = jsonwebtoken::decode_header(token).unwrap();
    assert_eq!((header.typ.as_deref(), header.alg), (Some("logout+jwt"), jsonwebtoken::Algorithm::ES256));
    let claims = verified(server, token).await;
    for (name, value) in [
        ("iss", json!(ISSUER)),
        ("sub", json!("alice")),
        ("aud", json!(["app"])),
        ("events", json!({"http://schemas.openid.net/event/backchannel-logout": {}})),
    ] {
        assert_eq!(claims[name], value, "{name}");
    }
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 120);
    assert!(claims["jti"].is_string() && claims.get("nonce").is_none());
    // It passes for no hint, and for no token.
    let answer = Browser::new(server).log_out(&[("id_token_hint", token)]).await;
    assert_eq!(answer.expect("error"), "invalid_request");
    assert!(!server.is_active(token).await);
}

#[tokio::test]
async fn a_logout_costs_one_read_and_one_write() {
    for database in databases().await {
        let server = TestServer::start(&database, Clock::system()).await;
        let client = prepared(&server, told_at("http://127.0.0.1:1/back")).await;
        // Where the machine is so busy that the cache loses its trust for a moment, a step costs more.
        eventually("a logout costs what it should", async || {
            costs_of_logouts(&server, &client).await == [1, 0, 1, 1, 1, 1]
        })
        .await;
    }
}

/// How many statements these take: asking the user, their consent, the end; the end of a login that no browser remembers;
/// the ends by the admin API.
async fn costs_of_logouts(server: &TestServer, client: &TestClient) -> [u64; 6] {
    let (browser, other) = (Browser::new(server), Browser::new(server));
    let (id_token, _) = browser.logged_in(client).await;
    let (forgotten, _) = other.logged_in_by(client, alice()).await;
    let mut marks = vec![server.store.statements()];
    let mut mark = || marks.push(server.store.statements());
    let challenge = browser.log_out(&[("id_token_hint", &id_token)]).await.expect("logout_challenge");
    mark();
    let redirect = server.decide("logout", "accept", &challenge, Value::Null).await;
    mark();
    browser.open(&redirect).await;
    mark();
    other.log_out(&[("id_token_hint", &forgotten)]).await;
    mark();
    end(server, "sid=6e1a1f2c-5f0e-4b52-9f8a-5f1f3f7e9b10").await;
    mark();
    // Not Alice: she could not be remembered again within this second.
    end(server, "subject=nobody").await;
    mark();
    let costs: Vec<_> = marks.windows(2).map(|pair| pair[1] - pair[0]).collect();
    costs.try_into().unwrap()
}

#[tokio::test]
async fn a_login_in_place_of_another_is_no_logout() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let receiver = Receiver::start().await;
    let client = prepared(&server, told_at(&receiver.url("127.0.0.1", "/back"))).await;
    let _work = at_work(&server);
    let browser = Browser::new(&server);
    browser.logged_in(&client).await;
    let page = browser.log_in(&request_with(&[("prompt", "login")]), json!({"subject": "bob"})).await;
    browser.consent(&page, all()).await.expect("code");
    assert!(!browser.is_logged_in().await);
    // The next one is told, and nobody before it.
    let (id_token, _) = Browser::new(&server).logged_in_by(&client, json!({"subject": "carol"})).await;
    end(&server, "subject=carol").await;
    got(&receiver, 1).await;
    let claims = verified(&server, &tokens(&receiver)[0]).await;
    assert_eq!(claims["sid"], json!(sid(&server, &id_token).await));
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn who_does_not_answer_is_told_again_and_who_refuses_is_not() {
    let clock = manual_clock();
    let server = TestServer::alone(clock.clone(), settings()).await;
    let receiver = Receiver::start().await;
    let client = prepared(&server, told_at(&receiver.url("127.0.0.1", "/back"))).await;
    let _work = at_work(&server);
    receiver.answer(&[(503, ""), (404, ""), (204, "")]);
    Browser::new(&server).logged_in(&client).await;
    end(&server, "subject=alice").await;
    got(&receiver, 1).await;
    for (count, outcome, expected) in [(2, "failed", 2.0), (3, "told", 1.0)] {
        eventually("it is to be tried again", async || {
            attempts(&server, "failed").await >= f64::from(count) - 1.0
        })
        .await;
        assert_eq!(receiver.received().len(), usize::try_from(count).unwrap() - 1, "not before its time");
        clock.advance(SignedDuration::from_secs(20));
        got(&receiver, usize::try_from(count).unwrap()).await;
        eventually("it is counted", async || attempts(&server, outcome).await >= expected).await;
    }
    let [first, .., last] = &tokens(&receiver)[..] else { panic!() };
    let (first, last) = (verified(&server, first).await, verified(&server, last).await);
    assert_eq!(first["sid"], last["sid"]);
    assert!(first["jti"] != last["jti"] && first["exp"] != last["exp"], "each attempt has its own token");

    receiver.answer(&[(400, "")]);
    Browser::new(&server).logged_in_by(&client, json!({"subject": "bob"})).await;
    end(&server, "subject=bob").await;
    eventually("it refuses", async || attempts(&server, "refused").await >= 1.0).await;

    // After a day, the server gives up.
    receiver.answer(&[(500, "")]);
    Browser::new(&server).logged_in_by(&client, json!({"subject": "carol"})).await;
    end(&server, "subject=carol").await;
    eventually("it fails", async || attempts(&server, "failed").await >= 3.0).await;
    clock.advance(SignedDuration::from_hours(24));
    eventually("the server gives up", async || attempts(&server, "given_up").await >= 1.0).await;
    assert_eq!(receiver.received().len(), 6);
}

#[tokio::test]
async fn what_a_server_did_not_finish_another_one_does() {
    for database in databases().await {
        let clock = manual_clock();
        let one = TestServer::with(database.open(clock.clone()).await, settings()).await;
        let receiver = Receiver::start().await;
        let client = prepared(&one, told_at(&receiver.url("127.0.0.1", "/back"))).await;
        receiver.be_silent(true);
        let work = at_work(&one);
        let (id_token, _) = Browser::new(&one).logged_in(&client).await;
        end(&one, "subject=alice").await;
        got(&receiver, 1).await;
        drop(work);
        receiver.be_silent(false);
        let two = TestServer::with(database.open(clock.clone()).await, settings()).await;
        let _work = at_work(&two);
        clock.advance(SignedDuration::from_secs(60));
        eventually("the other server tells", async || attempts(&two, "told").await >= 1.0).await;
        let claims = verified(&two, &tokens(&receiver)[1]).await;
        assert_eq!(claims["sid"], json!(sid(&two, &id_token).await));
        assert_eq!(receiver.received().len(), 2);
    }
}

#[tokio::test]
async fn a_slow_client_gets_little_at_once_and_holds_up_nobody() {
    let server = TestServer::alone(Clock::system(), settings()).await;
    let (slow, quick) = (Receiver::start().await, Receiver::start().await);
    let client = prepared(&server, told_at(&slow.url("127.0.0.1", "/back"))).await;
    let other = TestClient::create(&server.store, "quick", told_at(&quick.url("localhost", "/back"))).await;
    slow.be_silent(true);
    for _ in 0..20 {
        Browser::new(&server).logged_in_by(&client, alice()).await;
    }
    Browser::new(&server).logged_in_by(&other, json!({"subject": "bob"})).await;
    let _work = at_work(&server);
    end(&server, "subject=alice").await;
    got(&slow, 4).await;
    let began = Instant::now();
    end(&server, "subject=bob").await;
    got(&quick, 1).await;
    assert!(began.elapsed().as_secs() < 5, "sooner than any request of the slow one runs out");
    assert_eq!(slow.most_waiting(), 4);
    slow.be_silent(false);
    got(&slow, 20).await;
    eventually("all are told", async || attempts(&server, "told").await >= 21.0).await;
    assert!(slow.most_waiting() <= 4);
}

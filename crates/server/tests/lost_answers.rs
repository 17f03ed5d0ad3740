//! The connection to PostgreSQL is lost after a commit and before the answer to it: nobody knows what became of it, and
//! yet each thing is done once, and what was told to somebody counts.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::time::Duration;

use common::browser::{
    Browser, REQUEST, alice, all, front_channel_application, prepared, request_with, text,
};
use common::device::{DEVICE_GRANT, Device};
use common::silent_proxy::SilentProxy;
use common::{TestClient, TestServer, settings};
use futures::future::join_all;
use harness::TestDatabase;
use jose::Entropy;
use serde_json::{Value, json};
use store::{Clock, Store};

/// A server whose answers from the database can be lost, and an application that may do everything.
async fn behind_proxy(database: &TestDatabase, grace: Duration) -> (SilentProxy, TestServer, TestClient) {
    let (proxy, url) = SilentProxy::to(&database.url).await;
    // It hears of changes past the proxy, and has no other writes of its own.
    let mut options = database.options_at(url);
    options.database.max_connections = 4;
    let store = Store::open(options, Clock::system(), Entropy::system()).await.unwrap();
    let mut settings = settings();
    settings.flow.rotation_grace = grace;
    let server = TestServer::with(store, settings).await;
    server.cached().await;
    let mut metadata = front_channel_application();
    metadata["grant_types"] = json!(["authorization_code", "implicit", "refresh_token", DEVICE_GRANT]);
    let client = prepared(&server, metadata).await;
    (proxy, server, client)
}

async fn work(server: &TestServer, tokens: &Value) {
    assert!(server.is_active(text(tokens, "access_token")).await, "{tokens}");
    assert!(server.is_active(text(tokens, "refresh_token")).await, "{tokens}");
}

#[tokio::test]
async fn one_lost_answer_is_noticed_by_nobody() {
    let database = TestDatabase::postgres().await;
    let (proxy, server, client) = behind_proxy(&database, Duration::ZERO).await;

    let code = Browser::new(&server).code(&REQUEST).await;
    proxy.lose_answers(1);
    let (status, tokens) = server.exchange(&client, &code).await;
    assert_eq!((status, proxy.lost()), (200, 1), "{tokens}");
    work(&server, &tokens).await;

    proxy.lose_answers(1);
    let (status, tokens) = server.refresh(&client, text(&tokens, "refresh_token")).await;
    assert_eq!((status, proxy.lost()), (200, 2), "{tokens}");
    work(&server, &tokens).await;
    assert_eq!(server.refresh(&client, text(&tokens, "refresh_token")).await.0, 200);

    let device = Device::start(&server, &client).await;
    device.approve(&Browser::new(&server)).await;
    proxy.lose_answers(1);
    let (status, tokens) = device.poll().await;
    assert_eq!((status, proxy.lost()), (200, 3), "{tokens}");
    work(&server, &tokens).await;

    let browser = Browser::new(&server);
    let page = browser.log_in(&request_with(&[("response_type", "code id_token token")]), alice()).await;
    proxy.lose_answers(1);
    let end = browser.consent(&page, all()).await;
    assert_eq!(proxy.lost(), 4);
    assert!(server.is_active(&end.expect("access_token")).await);
    assert_eq!(server.exchange(&client, &end.expect("code")).await.0, 200);
}

#[tokio::test]
async fn where_all_connections_are_lost_at_once_the_repetition_finds_one_that_is_not() {
    let database = TestDatabase::postgres().await;
    let (proxy, server, client) = behind_proxy(&database, Duration::ZERO).await;
    let tokens = server.tokens(&client).await;
    for _ in 0..5 {
        let code = Browser::new(&server).code(&REQUEST).await;
        // Several connections have just been used.
        let used = join_all((0..8).map(|_| server.userinfo(text(&tokens, "access_token")))).await;
        assert!(used.iter().all(|(status, _)| *status == 200));
        proxy.cut();
        let (status, answer) = server.exchange(&client, &code).await;
        assert_eq!(status, 200, "{answer}");
    }
}

#[tokio::test]
async fn where_the_repeated_answer_is_lost_too_nothing_is_done_twice() {
    let database = TestDatabase::postgres().await;
    let (proxy, server, client) = behind_proxy(&database, Duration::from_mins(1)).await;

    // A code: it was used, and whoever comes again gets nothing for it.
    let code = Browser::new(&server).code(&REQUEST).await;
    proxy.lose_answers(2);
    let (status, error) = server.exchange(&client, &code).await;
    assert_eq!((status, text(&error, "error"), proxy.lost()), (503, "temporarily_unavailable", 2));
    let (status, error) = server.exchange(&client, &code).await;
    assert_eq!((status, text(&error, "error")), (400, "invalid_grant"));

    // A refresh token: in the grace period, the client gets what it would have got.
    let tokens = server.tokens(&client).await;
    let presented = text(&tokens, "refresh_token");
    proxy.lose_answers(2);
    assert_eq!((server.refresh(&client, presented).await.0, proxy.lost()), (503, 4));
    let (status, next) = server.refresh(&client, presented).await;
    assert_eq!(status, 200, "{next}");
    work(&server, &next).await;
    assert_eq!(server.refresh(&client, text(&next, "refresh_token")).await.0, 200);

    // A revocation: it holds, and may be said again.
    let token = text(&next, "access_token");
    proxy.lose_answers(1);
    let status = server.revoke(&client, token).await.status().as_u16();
    assert!(status == 503 || status == 200, "{status}");
    assert!(!server.is_active(token).await);
    assert_eq!(server.revoke(&client, token).await.status(), 200);
}

#[tokio::test]
async fn of_many_exchanges_whose_answers_are_lost_each_is_done_once() {
    let database = TestDatabase::postgres().await;
    let (proxy, server, client) = behind_proxy(&database, Duration::ZERO).await;
    let other = TestServer::start(&database, Clock::system()).await;
    let browsers: Vec<_> = (0..40).map(|_| Browser::new(&server)).collect();
    let codes = join_all(browsers.iter().map(|browser| browser.code(&REQUEST))).await;
    let (mut answered, mut unknown) = (0, 0);
    for (turn, codes) in codes.chunks(8).enumerate() {
        // One of them is made up for by a repetition, whoever shares the statement; three are not always.
        let losses = 1 + turn % 2 * 2;
        proxy.lose_answers(losses);
        let answers = join_all(codes.iter().map(|code| server.exchange(&client, code))).await;
        proxy.lose_answers(0);
        for (code, (status, tokens)) in codes.iter().zip(answers) {
            if status == 200 {
                answered += 1;
                work(&other, &tokens).await;
                assert_eq!(other.refresh(&client, text(&tokens, "refresh_token")).await.0, 200);
                assert_eq!(other.exchange(&client, code).await.0, 400, "no code counts twice");
            } else {
                assert_eq!(losses, 3, "{tokens}");
                unknown += 1;
                assert_eq!((status, text(&tokens, "error")), (503, "temporarily_unavailable"));
            }
        }
    }
    assert!(answered >= 24 && proxy.lost() >= 5, "{answered} answered, {unknown} not");
}

use axum::Router;
use axum::routing::{get, post};
use http::HeaderMap;
use tokio::net::TcpListener;

use super::*;

/// An address on which something answers, and that is private.
async fn site() -> Url {
    let routes = Router::new()
        .route("/", get(|| async { "here" }))
        .route("/large", get(|| async { "x".repeat(2_000) }))
        .route("/elsewhere", get(|| async { (StatusCode::FOUND, [("location", "/")]) }))
        .route(
            "/echo",
            post(|headers: HeaderMap, body: String| async move { format!("{headers:?} {body}") }),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, routes).await });
    format!("http://{address}/").parse().unwrap()
}

fn guarded(exceptions: Vec<Url>) -> Outbound {
    Outbound::new(OutboundPolicy { public_addresses_only: true, exceptions }, None).unwrap()
}

#[tokio::test]
async fn an_answer_is_read_up_to_its_limit_and_no_redirect_is_followed() {
    let (site, outbound) = (site().await, Outbound::new(OutboundPolicy::default(), None).unwrap());
    let answer = outbound.get(Account::Operator, &site, 4).await.unwrap();
    assert_eq!((answer.status, answer.body.as_ref()), (StatusCode::OK, b"here".as_slice()));
    let large = site.join("large").unwrap();
    assert_eq!(
        outbound.get(Account::Operator, &large, 1_999).await.unwrap_err(),
        OutboundError::TooLarge("127.0.0.1".to_owned(), 1_999)
    );
    assert_eq!(outbound.get(Account::Operator, &large, 2_000).await.unwrap().body.len(), 2_000);
    let elsewhere = outbound.get(Account::Operator, &site.join("elsewhere").unwrap(), 100).await.unwrap();
    assert_eq!(elsewhere.status, StatusCode::FOUND);
}

#[tokio::test]
async fn a_body_is_sent_with_its_type_and_headers() {
    let (site, outbound) = (site().await, Outbound::new(OutboundPolicy::default(), None).unwrap());
    let headers = HeaderMap::from_iter([(http::header::AUTHORIZATION, "key".parse().unwrap())]);
    let body = OutboundBody { content_type: "application/json", bytes: Bytes::from_static(b"{}") };
    let answer =
        outbound.post(Account::Operator, &site.join("echo").unwrap(), (headers, body), 1_000).await.unwrap();
    let seen = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(seen.contains("application/json") && seen.contains("\"key\"") && seen.ends_with("{}"), "{seen}");
}

#[tokio::test]
async fn private_networks_are_reached_neither_by_address_nor_by_name() {
    let site = site().await;
    let mut by_name = site.clone();
    by_name.set_host(Some("localhost")).unwrap();
    let guarded_client = guarded(Vec::new());
    for url in [&site, &by_name] {
        let error = guarded_client.get(Account::Operator, url, 100).await.unwrap_err().to_string();
        assert!(error.contains("disallow_private_ip_ranges"), "{error}");
    }
    assert_eq!(
        guarded(vec![site.clone()]).get(Account::Operator, &site, 100).await.unwrap().status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn what_went_wrong_names_the_host_and_nothing_secret() {
    let outbound = Outbound::new(OutboundPolicy::default(), None).unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url: Url = format!("http://user:hunter2@{closed}/?key=hunter2").parse().unwrap();
    let error = outbound.get(Account::Operator, &url, 100).await.unwrap_err().to_string();
    assert!(error.contains("127.0.0.1") && !error.contains("hunter2"), "{error}");
    let file =
        outbound.get(Account::Operator, &"file:///etc/passwd".parse().unwrap(), 100).await.unwrap_err();
    assert!(matches!(file, OutboundError::Refused(..)), "{file:?}");
}

#[tokio::test]
async fn clients_that_registered_themselves_reach_no_private_network_whatever_is_configured() {
    let (site, account) = (site().await, Account::SelfRegistered);
    let outbound = Outbound::new(OutboundPolicy::default(), None).unwrap();
    assert_eq!(outbound.get(Account::Operator, &site, 100).await.unwrap().status, StatusCode::OK);
    let mut by_name = site.clone();
    by_name.set_host(Some("localhost")).unwrap();
    for url in [&site, &by_name] {
        let error = outbound.get(account, url, 100).await.unwrap_err().to_string();
        assert!(error.contains("registered themselves"), "{error}");
        let body = OutboundBody { content_type: "text/plain", bytes: Bytes::new() };
        assert!(outbound.post(account, url, (HeaderMap::new(), body), 100).await.is_err());
    }
    let exceptions = vec![site.clone()];
    let outbound = Outbound::new(OutboundPolicy { public_addresses_only: false, exceptions }, None).unwrap();
    assert_eq!(outbound.get(account, &site, 100).await.unwrap().status, StatusCode::OK);
}

#[tokio::test]
async fn what_anybody_can_bring_about_holds_up_nobody_else() {
    let (site, silent) = (site().await, TcpListener::bind("127.0.0.1:0").await.unwrap());
    let silent: Url = format!("http://{}/", silent.local_addr().unwrap()).parse().unwrap();
    let exceptions = vec![silent.clone(), site.clone()];
    let outbound = Outbound::new(OutboundPolicy { public_addresses_only: false, exceptions }, None).unwrap();
    let accounts = [Account::Anybody, Account::SelfRegistered];
    let waiting = accounts.into_iter().flat_map(|account| (0..UNDER_WAY).map(move |_| account));
    let waiting = futures::future::join_all(waiting.map(|account| outbound.get(account, &silent, 1)));
    tokio::select! {
        _ = waiting => panic!("nobody answers there"),
        answer = async {
            let Places { anybody, self_registered, .. } = &outbound.fetches;
            let are_taken = async || anybody.available_permits() + self_registered.available_permits() == 0;
            harness::eventually("all of their places are taken", are_taken).await;
            outbound.get(Account::Operator, &site, 100).await
        } => assert_eq!(answer.unwrap().status, StatusCode::OK),
    }
}

//! What a user has granted, in the admin API: listed, and ended one by one.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::browser::{Browser, REQUEST, alice, all, application, prepared, request_with, text};
use common::{TestClient, TestServer, databases, header, manual_clock, settings};
use jiff::SignedDuration;
use reqwest::Response;
use serde_json::{Value, json};

const SESSIONS: &str = "/admin/oauth2/auth/sessions/consent";

async fn get(server: &TestServer, query: &str) -> Response {
    server.http.get(server.admin_url(&format!("{SESSIONS}?{query}"))).send().await.unwrap()
}

async fn list(server: &TestServer, query: &str) -> Vec<Value> {
    let response = get(server, query).await;
    let (status, body) = (response.status(), response.text().await.unwrap());
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

async fn delete(server: &TestServer, query: &str) -> u16 {
    let url = server.admin_url(&format!("{SESSIONS}?{query}"));
    server.http.delete(url).send().await.unwrap().status().as_u16()
}

/// What the consent app says where all is granted and remembered for an hour.
fn remembered() -> Value {
    let mut consent = all();
    consent["remember"] = json!(true);
    consent["remember_for"] = json!(3600);
    consent
}

/// A flow up to its code, with the id of its consent request and of its login session.
async fn flow(server: &TestServer, request: &[(&str, &str)], consent: Value) -> (String, String, String) {
    let browser = Browser::new(server);
    let page = browser.log_in(request, alice()).await;
    let asked: Value = server.asked("consent", &page.expect("consent_challenge")).await.json().await.unwrap();
    let code = browser.consent(&page, consent).await.expect("code");
    (code, text(&asked, "consent_request_id").to_owned(), text(&asked, "login_session_id").to_owned())
}

#[tokio::test]
async fn a_session_is_shown_as_hydra_shows_it() {
    let clock = manual_clock();
    let server = TestServer::alone(clock.clone(), settings()).await;
    let client = prepared(&server, application()).await;
    assert_eq!(list(&server, "subject=alice").await, [] as [Value; 0]);
    let (code, id, sid) = flow(&server, &REQUEST, remembered()).await;
    let only_remembered = list(&server, "subject=alice").await;
    assert_eq!(only_remembered.len(), 1, "{only_remembered:?}");
    assert_eq!(
        (&only_remembered[0]["remember"], &only_remembered[0]["session"]["id_token"]),
        (&json!(true), &json!({}))
    );
    clock.advance(SignedDuration::from_secs(30));
    assert_eq!(server.exchange(&client, &code).await.0, 200);

    let response = get(&server, "subject=alice").await;
    assert_eq!(header(&response, "content-type"), "application/json; charset=utf-8");
    let first = format!("<{SESSIONS}?page_size=100&subject=alice&page_token=");
    assert!(header(&response, "link").starts_with(&first), "{}", header(&response, "link"));
    let body = response.text().await.unwrap();
    assert!(
        body.starts_with(&format!("[{{\"consent_request_id\":\"{id}\",\"grant_scope\":[\"openid\"")),
        "{body}"
    );
    let sessions: Vec<Value> = serde_json::from_str(&body).unwrap();
    let [session] = &sessions[..] else { panic!("{body}") };
    assert_eq!(session["grant_scope"], json!(["openid", "offline", "orders.read"]));
    assert_eq!(session["session"], all()["session"]);
    assert_eq!((&session["remember"], &session["remember_for"]), (&json!(true), &json!(3600)));
    assert_eq!(session["handled_at"], "2026-01-05T00:00:00Z");
    assert_eq!(session["context"], Value::Null);
    let request = &session["consent_request"];
    assert_eq!((&request["challenge"], &request["subject"]), (&json!(""), &json!("alice")));
    assert_eq!((&request["consent_request_id"], &request["login_session_id"]), (&json!(id), &json!(sid)));
    assert_eq!((&request["acr"], &request["amr"]), (&json!("1"), &json!(["pwd"])));
    assert_eq!(request["client"]["client_id"], "app");
    assert_eq!(request["client"].get("client_secret"), None);

    let (code, ..) = flow(&server, &REQUEST, all()).await;
    assert_eq!(list(&server, "subject=alice").await.len(), 1, "what is not exchanged is not there yet");
    assert_eq!(server.exchange(&client, &code).await.0, 200);
    let both = list(&server, "subject=alice").await;
    assert_eq!((both.len(), &both[1]["remember"]), (2, &json!(false)));
    let of_session = list(&server, &format!("subject=alice&login_session_id={sid}")).await;
    assert_eq!((of_session.len(), &of_session[0]["consent_request_id"]), (1, &json!(id)));
    assert_eq!(list(&server, "subject=bob").await, [] as [Value; 0]);
}

#[tokio::test]
async fn the_list_is_walked_page_by_page() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let client = prepared(&server, application()).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        server.store.clock().advance(SignedDuration::from_secs(1));
        let (code, id, _) = flow(&server, &REQUEST, all()).await;
        assert_eq!(server.exchange(&client, &code).await.0, 200);
        ids.push(id);
    }
    let (mut found, mut next) = (Vec::new(), Some(format!("{SESSIONS}?subject=alice&page_size=2")));
    while let Some(path) = next {
        let response = server.http.get(server.admin_url(&path)).send().await.unwrap();
        let links = header(&response, "link").to_owned();
        let link = links.split(',').find(|link| link.ends_with("rel=\"next\""));
        next = link.map(|link| link.split(['<', '>']).nth(1).unwrap().to_owned());
        let page: Vec<Value> = response.json().await.unwrap();
        found.extend(page.iter().map(|session| text(session, "consent_request_id").to_owned()));
    }
    assert_eq!(found, ids);
    let of_clients = server.http.get(server.admin_url("/admin/clients?page_size=1")).send().await.unwrap();
    let token = header(&of_clients, "link")
        .split("page_token=")
        .nth(1)
        .unwrap()
        .split('>')
        .next()
        .unwrap()
        .to_owned();
    assert_eq!(
        get(&server, &format!("subject=alice&page_token={token}")).await.status(),
        200,
        "that is its start"
    );
    for query in ["", "subject=", "subject=%00", "subject=alice&page_size=x", "subject=alice&page_token=x"] {
        let response = get(&server, query).await;
        assert_eq!(response.status(), 400, "{query}");
    }
}

#[tokio::test]
async fn one_consent_ends_with_its_tokens_or_before_its_code_is_exchanged() {
    for database in databases().await {
        let one = TestServer::start(&database, manual_clock()).await;
        let two = TestServer::start(&database, manual_clock()).await;
        let client = prepared(&one, application()).await;
        let other = TestClient::create(&one.store, "other", application()).await;
        let (code, id, _) = flow(&one, &REQUEST, remembered()).await;
        let (_, tokens) = one.exchange(&client, &code).await;
        let (in_flight, in_flight_id, _) = flow(&one, &REQUEST, all()).await;
        let (code, others_id, _) = flow(&one, &request_with(&[("client_id", "other")]), all()).await;
        let (_, others) = one.exchange(&other, &code).await;

        assert_eq!(delete(&one, &format!("consent_request_id={id}")).await, 204);
        assert_eq!(delete(&one, &format!("consent_request_id={in_flight_id}")).await, 204);
        assert!(!two.is_active(text(&tokens, "access_token")).await);
        assert_eq!(two.refresh(&client, text(&tokens, "refresh_token")).await.1["error"], "invalid_grant");
        assert_eq!(two.exchange(&client, &in_flight).await.1["error"], "invalid_grant");
        assert!(two.is_active(text(&others, "access_token")).await);
        let left = list(&two, "subject=alice").await;
        assert_eq!((left.len(), &left[0]["consent_request_id"]), (1, &json!(others_id)));
        let page = Browser::new(&one).log_in(&REQUEST, alice()).await;
        let asked: Value =
            one.asked("consent", &page.expect("consent_challenge")).await.json().await.unwrap();
        assert_eq!(asked["skip"], false, "it is not remembered either");
        assert_eq!(delete(&one, &format!("consent_request_id={id}")).await, 204, "once more is as good");
    }
}

#[tokio::test]
async fn a_consent_request_stands_alone_in_a_revocation() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let id = "0190a1b2c3d47abc8def0123456789ab";
    for query in [
        "consent_request_id=nonsense".to_owned(),
        format!("consent_request_id={id}&subject=alice"),
        format!("consent_request_id={id}&all=true"),
        format!("consent_request_id={id}&client=app"),
        "subject=%00&all=true".to_owned(),
        "client=app".to_owned(),
        "all=true".to_owned(),
    ] {
        assert_eq!(delete(&server, &query).await, 400, "{query}");
    }
    assert_eq!(delete(&server, &format!("consent_request_id={id}")).await, 204);
}

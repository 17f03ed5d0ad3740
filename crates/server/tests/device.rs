//! The device authorization grant (RFC 8628), from the device's request to its tokens.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::browser::{Browser, REQUEST, alice, all, application, prepared, text};
use common::device::{DEVICE_GRANT, Device, device_client};
use common::{TestClient, TestServer, databases, manual_clock, settings};
use harness::TestDatabase;
use jiff::SignedDuration;
use serde_json::{Value, json};
use store::Clock;

async fn alone() -> (TestServer, TestClient) {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let client = prepared(&server, device_client()).await;
    (server, client)
}

fn wait(server: &TestServer, seconds: i64) {
    server.store.clock().advance(SignedDuration::from_secs(seconds));
}

#[tokio::test]
async fn a_device_gets_its_tokens_when_somebody_let_it_in() {
    for database in databases().await {
        let server = TestServer::start(&database, manual_clock()).await;
        let client = prepared(&server, device_client()).await;
        let device = Device::start(&server, &client).await;
        assert!(text(&device.codes, "device_code").starts_with("ory_dc_"));
        assert_eq!((&device.codes["expires_in"], &device.codes["interval"]), (&json!(600), &json!(5)));
        let uri = "https://id.example.com/oauth2/device/verify";
        assert_eq!(device.codes["verification_uri"], uri);
        let complete = format!("{uri}?user_code={}", device.user_code());
        assert_eq!(device.codes["verification_uri_complete"], complete);
        assert_eq!(device.codes.as_object().unwrap().len(), 6);
        assert_eq!(device.refused().await, "authorization_pending");

        let browser = Browser::new(&server);
        let visit = browser.open(&complete).await;
        assert_eq!(
            (visit.status.as_u16(), visit.target().as_str()),
            (302, "https://pages.example.com/device")
        );
        assert_eq!(visit.expect("user_code"), device.user_code());
        let page = device.enter(&browser).await;
        assert_eq!(page.target(), "https://pages.example.com/login");
        let challenge = page.expect("login_challenge");
        let asked: Value = server.asked("login", &challenge).await.json().await.unwrap();
        assert_eq!((&asked["oidc_context"], &asked["skip"]), (&Value::Null, &json!(false)));
        assert_eq!(asked["requested_scope"], json!(["openid", "offline", "orders.read"]));
        assert_eq!(asked["client"]["client_id"], "app");
        let redirect = server.decide("login", "accept", &challenge, alice()).await;
        assert!(redirect.starts_with(uri), "{redirect}");
        let page = browser.open(&redirect).await;
        assert_eq!(device.refused().await, "slow_down");
        let end = browser.consent(&page, all()).await;
        assert_eq!((end.status.as_u16(), end.target().as_str()), (302, "https://pages.example.com/done"));
        assert_eq!(end.expect("client_id"), "app");
        let left = browser.cookie_names();
        assert!(
            left.iter().all(|name| name.starts_with("ory_hydra_device_csrf_")) && left.len() == 1,
            "{left:?}"
        );

        wait(&server, 10);
        let (status, tokens) = device.poll().await;
        assert_eq!((status, &tokens["scope"]), (200, &json!("openid offline orders.read")), "{tokens}");
        assert!(text(&tokens, "id_token").split('.').count() == 3);
        let state = server.introspect(&[("token", text(&tokens, "access_token"))]).await;
        assert_eq!((&state["sub"], &state["client_id"]), (&json!("alice"), &json!("app")));
        assert_eq!(state["ext"], json!({"tenant": 7}));
        assert_eq!(server.userinfo(text(&tokens, "access_token")).await.1["email"], "alice@example.com");
        assert_eq!(server.refresh(&client, text(&tokens, "refresh_token")).await.0, 200);
    }
}

/// How many statements each step takes.
async fn costs_of_a_flow(server: &TestServer, client: &TestClient) -> Vec<(&'static str, u64)> {
    let browser = Browser::new(server);
    let mut costs = Vec::new();
    let (cost, device) = server.costing(Device::start(server, client)).await;
    costs.push(("device authorization", cost));
    costs.push(("pending", server.costing(device.poll()).await.0));
    costs.push(("too soon", server.costing(device.poll()).await.0));
    let (cost, visit) = server.costing(browser.visit()).await;
    costs.push(("visit", cost));
    let challenge = visit.expect("device_challenge");
    let entered = json!({"user_code": device.user_code()});
    let (cost, redirect) = server.costing(server.decide("device", "accept", &challenge, entered)).await;
    costs.push(("user code accepted", cost));
    let (cost, page) = server.costing(browser.open(&redirect)).await;
    costs.push(("code verified", cost));
    let challenge = page.expect("login_challenge");
    costs.push(("login request", server.costing(server.asked("login", &challenge)).await.0));
    let (cost, redirect) = server.costing(server.decide("login", "accept", &challenge, alice())).await;
    costs.push(("login accepted", cost));
    let (cost, page) = server.costing(browser.open(&redirect)).await;
    costs.push(("login verified", cost));
    costs.push(("consent accepted and verified", server.costing(browser.consent(&page, all())).await.0));
    wait(server, 10);
    let (cost, (status, _)) = server.costing(device.poll()).await;
    assert_eq!(status, 200);
    costs.push(("tokens", cost));
    costs
}

#[tokio::test]
async fn each_step_takes_its_statements_and_no_more() {
    let wanted = [
        ("device authorization", 1),
        ("pending", 1),
        ("too soon", 0),
        ("visit", 0),
        ("user code accepted", 1),
        ("code verified", 0),
        ("login request", 0),
        ("login accepted", 0),
        ("login verified", 0),
        ("consent accepted and verified", 1),
        ("tokens", 2),
    ];
    for database in databases().await {
        let server = TestServer::start(&database, manual_clock()).await;
        let client = prepared(&server, device_client()).await;
        // Where the machine is so busy that the cache loses its trust for a moment, a flow costs more.
        harness::eventually("a flow costs what it should", async || {
            costs_of_a_flow(&server, &client).await == wanted
        })
        .await;
    }
}

#[tokio::test]
async fn a_device_that_asks_too_often_is_slowed_down_and_not_served() {
    let (server, client) = alone().await;
    let device = Device::start(&server, &client).await;
    assert_eq!(device.refused().await, "authorization_pending");
    wait(&server, 2);
    assert_eq!(device.refused().await, "slow_down");
    wait(&server, 6);
    assert_eq!(device.refused().await, "slow_down", "ten seconds now");
    wait(&server, 15);
    assert_eq!(device.refused().await, "authorization_pending");
    device.approve(&Browser::new(&server)).await;
    assert_eq!(device.refused().await, "slow_down", "granted, and yet too soon");
    wait(&server, 20);
    assert_eq!(device.poll().await.0, 200);
}

#[tokio::test]
async fn of_devices_that_ask_at_once_with_one_code_exactly_one_gets_tokens() {
    for database in databases().await {
        let clock = manual_clock();
        let one = TestServer::start(&database, clock.clone()).await;
        let client = prepared(&one, device_client()).await;
        let others =
            futures::future::join_all((0..5).map(|_| TestServer::start(&database, clock.clone()))).await;
        let device = Device::start(&one, &client).await;
        device.approve(&Browser::new(&one)).await;
        let answers = futures::future::join_all(others.iter().map(|server| device.poll_at(server))).await;
        let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(status, _)| *status == 200);
        assert_eq!((won.len(), lost.len()), (1, 4));
        for (status, body) in lost {
            assert_eq!((status, &body["error"]), (400, &json!("invalid_grant")));
        }
        assert!(one.is_active(text(&won[0].1, "access_token")).await, "asking twice revokes nothing");
        assert_eq!(device.refused().await, "invalid_grant");
        assert!(one.is_active(text(&won[0].1, "refresh_token")).await);
    }
}

#[tokio::test]
async fn codes_end() {
    let (server, client) = alone().await;
    let device = Device::start(&server, &client).await;
    let late = Device::start(&server, &client).await;
    let browser = Browser::new(&server);
    let page = late.log_in(&browser, alice()).await;
    wait(&server, 599);
    assert_eq!(device.refused().await, "authorization_pending");
    let redirect = server.decide("consent", "accept", &page.expect("consent_challenge"), all()).await;
    wait(&server, 1);
    assert_eq!(device.refused().await, "expired_token");
    let challenge = browser.visit().await.expect("device_challenge");
    let answer =
        server.answer("device", "accept", &challenge, json!({"user_code": device.user_code()})).await;
    assert_eq!(answer.status(), 400);
    let end = browser.open(&redirect).await;
    assert_eq!(end.target(), "https://pages.example.com/error");
    assert_eq!(end.expect("error"), "request_unauthorized");
    assert_eq!(late.refused().await, "expired_token");
}

#[tokio::test]
async fn a_refusal_reaches_the_device_and_the_user() {
    let (server, client) = alone().await;
    let denial = json!({"error": "access_denied", "error_description": "Not today."});
    for kind in ["device", "login", "consent"] {
        let (device, browser) = (Device::start(&server, &client).await, Browser::new(&server));
        let redirect = match kind {
            "device" => {
                let mut denial = denial.clone();
                denial["user_code"] = json!(device.user_code());
                let challenge = browser.visit().await.expect("device_challenge");
                server.decide("device", "reject", &challenge, denial).await
            }
            "login" => {
                let challenge = device.enter(&browser).await.expect("login_challenge");
                server.decide("login", "reject", &challenge, denial.clone()).await
            }
            _ => {
                let challenge = device.log_in(&browser, alice()).await.expect("consent_challenge");
                server.decide("consent", "reject", &challenge, denial.clone()).await
            }
        };
        if kind == "device" {
            assert!(
                redirect.starts_with("https://pages.example.com/error?error=access_denied"),
                "{redirect}"
            );
        } else {
            let end = browser.open(&redirect).await;
            assert_eq!(end.target(), "https://pages.example.com/error", "{kind}");
            assert_eq!(end.expect("error_description"), "Not today.");
        }
        assert_eq!(device.refused().await, "access_denied", "{kind}");
        let challenge = browser.visit().await.expect("device_challenge");
        let entered = json!({"user_code": device.user_code()});
        assert_eq!(server.answer("device", "accept", &challenge, entered).await.status(), 400, "{kind}");
    }
    for (verdict, kind, count) in [
        ("accepted", "device", Some(2.0)),
        ("accepted", "login", Some(1.0)),
        ("accepted", "consent", None),
        ("rejected", "device", Some(1.0)),
        ("rejected", "login", Some(1.0)),
        ("rejected", "consent", Some(1.0)),
    ] {
        let series = format!("oauth2_{verdict}_challenges_total{{kind=\"{kind}\"}}");
        assert_eq!(server.metric(&series).await, count, "{series}");
    }
}

#[tokio::test]
async fn what_was_ended_before_or_after_the_device_asked_gives_no_tokens() {
    for (path, is_by_client) in
        [("auth/sessions/consent?subject=alice&all=true", false), ("tokens?client_id=app", true)]
    {
        for database in databases().await {
            let clock = manual_clock();
            let one = TestServer::start(&database, clock.clone()).await;
            let two = TestServer::start(&database, clock.clone()).await;
            let client = prepared(&one, device_client()).await;
            let redeemed = Device::start(&one, &client).await.tokens().await;
            let granted = Device::start(&one, &client).await;
            granted.approve(&Browser::new(&one)).await;
            let entered = Device::start(&one, &client).await;
            let browser = Browser::new(&one);
            let page = entered.log_in(&browser, alice()).await;
            let consent = one.decide("consent", "accept", &page.expect("consent_challenge"), all()).await;
            clock.advance(SignedDuration::from_secs(10));

            let url = one.admin_url(&format!("/admin/oauth2/{path}"));
            assert_eq!(one.http.delete(url).send().await.unwrap().status(), 204);
            assert!(!two.is_active(text(&redeemed, "access_token")).await, "{path}");
            assert_eq!(two.refresh(&client, text(&redeemed, "refresh_token")).await.0, 400, "{path}");
            assert_eq!(granted.poll_at(&two).await.1["error"], "invalid_grant", "{path}");
            let end = browser.open(&consent).await;
            let target = if is_by_client {
                "https://pages.example.com/error"
            } else {
                "https://pages.example.com/done"
            };
            assert_eq!(end.target(), target, "{path}");
            assert_eq!(entered.refused().await, "invalid_grant", "{path}");

            clock.advance(SignedDuration::from_secs(1));
            let again = Device::start(&one, &client).await.tokens().await;
            assert!(two.is_active(text(&again, "access_token")).await, "{path}: what comes later lives");
        }
    }
}

#[tokio::test]
async fn a_session_that_was_revoked_and_a_client_that_is_gone_give_no_tokens() {
    for database in databases().await {
        let server = TestServer::start(&database, manual_clock()).await;
        let client = prepared(&server, device_client()).await;
        let (device, browser) = (Device::start(&server, &client).await, Browser::new(&server));
        let page = device.log_in(&browser, alice()).await;
        let asked = server.asked("consent", &page.expect("consent_challenge")).await;
        let asked: Value = asked.json().await.unwrap();
        browser.consent(&page, all()).await;
        server.store.revoke_session(text(&asked, "login_session_id").parse().unwrap()).await.unwrap();
        assert_eq!(device.refused().await, "invalid_grant");

        let (device, browser) = (Device::start(&server, &client).await, Browser::new(&server));
        let page = device.log_in(&browser, alice()).await;
        let asked = server.asked("consent", &page.expect("consent_challenge")).await;
        let id = text(&asked.json::<Value>().await.unwrap(), "consent_request_id").to_owned();
        browser.consent(&page, all()).await;
        let ends = server.store.clock().now() + SignedDuration::from_hours(1);
        server.store.revoke_grant(id.parse().unwrap(), &client.id, ends).await.unwrap();
        assert_eq!(device.refused().await, "invalid_grant");

        let device = Device::start(&server, &client).await;
        device.approve(&Browser::new(&server)).await;
        client.delete(&server.store).await;
        let created = TestClient::create(&server.store, "app", device_client()).await;
        let again = Device { server: &server, client: &created, codes: device.codes.clone() };
        assert_eq!(again.refused().await, "invalid_grant");
    }
}

#[tokio::test]
async fn guessing_ends_after_five_wrong_codes_and_the_right_one_is_used_once() {
    let (server, client) = alone().await;
    let (device, browser) = (Device::start(&server, &client).await, Browser::new(&server));
    let enter = async |challenge: &str, code: &str| {
        let answer = server.answer("device", "accept", challenge, json!({"user_code": code})).await;
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let challenge = browser.visit().await.expect("device_challenge");
    for nonsense in ["", "A", "AAAA-AAA0", "AAAA-AAAA-AAAA"].repeat(3) {
        let (status, body) = enter(&challenge, nonsense).await;
        assert_eq!((status, &body["error"]), (400, &json!("invalid_request")), "{nonsense}");
        assert!(text(&body, "error_description").contains("8 characters"), "{body}");
    }
    for _ in 0..5 {
        assert_eq!(enter(&challenge, "AAAA-AAAA").await.0, 400);
    }
    let (status, body) = enter(&challenge, device.user_code()).await;
    assert_eq!((status, &body["error"]), (429, &json!("too_many_requests")));

    let [first, second] =
        [browser.visit().await, browser.visit().await].map(|visit| visit.expect("device_challenge"));
    let typed = device.user_code().to_lowercase().replace('-', " ");
    let (_, redirect) = enter(&first, &typed).await;
    assert_eq!(enter(&first, &typed).await.0, 200, "an answer that was lost is given again");
    assert_eq!(enter(&second, device.user_code()).await.0, 400, "the code is used up");
    let redirect = text(&redirect, "redirect_to");
    let stranger = Browser::new(&server).open(redirect).await;
    assert_eq!(stranger.expect("error"), "request_forbidden", "another browser");
    assert_eq!(browser.open(redirect).await.target(), "https://pages.example.com/login");
}

#[tokio::test]
async fn an_app_may_show_what_a_user_code_is_for() {
    let (server, client) = alone().await;
    let (device, browser) = (Device::start(&server, &client).await, Browser::new(&server));
    let challenge = browser.visit().await.expect("device_challenge");
    let show = async |query: &[(&str, &str)]| {
        let url = server.admin_url("/admin/oauth2/auth/requests/device");
        let answer = server.http.get(url).query(query).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (status, shown) = show(&[("device_challenge", &challenge)]).await;
    assert_eq!((status, &shown["client"], &shown["challenge"]), (200, &Value::Null, &json!(challenge)));
    let (_, shown) = show(&[("device_challenge", &challenge), ("user_code", device.user_code())]).await;
    assert_eq!(shown["client"]["client_id"], "app");
    assert_eq!(shown["requested_access_token_audience"], json!([]));
    let resource = "https://api.example.com/v1";
    let (_, codes) = server.device_request(&client, &[("resource", resource)]).await;
    let query = [("device_challenge", challenge.as_str()), ("user_code", text(&codes, "user_code"))];
    assert_eq!(show(&query).await.1["requested_access_token_audience"], json!([resource]));
    assert_eq!(shown["requested_scope"], json!(["openid", "offline", "orders.read"]));
    for (query, status) in [
        (vec![], 400),
        (vec![("device_challenge", "nonsense")], 404),
        (vec![("device_challenge", challenge.as_str()), ("user_code", "AAAA-AAAA")], 400),
    ] {
        let (got, error) = show(&query).await;
        assert_eq!((got, text(&error, "error") == "Not Found"), (status, status == 404), "{query:?}");
    }
    for (what, body) in
        [("accept", json!({"user_code": null})), ("reject", json!({"user_code": null, "error": null}))]
    {
        let error: Value = server.answer("device", what, &challenge, body).await.json().await.unwrap();
        assert!(text(&error, "error_description").contains("user code is missing"), "{error}");
    }
    wait(&server, 1801);
    assert_eq!(show(&[("device_challenge", &challenge)]).await.0, 401);
}

#[tokio::test]
async fn clients_authenticate_and_ask_for_what_they_may() {
    let (server, client) = alone().await;
    let mut metadata = device_client();
    metadata["token_endpoint_auth_method"] = json!("none");
    metadata["skip_consent"] = json!(true);
    let public = TestClient::create(&server.store, "tv", metadata).await;
    let other = TestClient::create(&server.store, "other", application()).await;
    let send = async |form: &[(&str, &str)]| {
        let answer =
            server.http.post(server.public_url("/oauth2/device/auth")).form(form).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let with_id = |client: &TestClient, id: &'static str| {
        let client = client.with_secret(client.secret.expose());
        let server = &server;
        async move { server.device_request(&client, &[("client_id", id)]).await }
    };
    for ((status, body), wanted, error) in [
        (with_id(&client, "app").await, 200, Value::Null),
        (with_id(&client, "tv").await, 400, json!("invalid_request")),
        (server.device_request(&client.with_secret("wrong"), &[]).await, 401, json!("invalid_client")),
        (server.device_request(&other, &[]).await, 400, json!("unauthorized_client")),
        (server.device_request(&client, &[("scope", "admin")]).await, 400, json!("invalid_scope")),
        (server.device_request(&client, &[("audience", "https://x")]).await, 400, json!("invalid_request")),
        (server.device_request(&client, &[("resource", "https://x")]).await, 400, json!("invalid_target")),
        (send(&[]).await, 401, json!("invalid_client")),
        (send(&[("client_id", "app")]).await, 401, json!("invalid_client")),
    ] {
        assert_eq!((status, &body["error"]), (wanted, &error), "{body}");
    }

    let (_, codes) = send(&[("client_id", "tv"), ("scope", "openid")]).await;
    let stolen = Device { server: &server, client: &client, codes: codes.clone() };
    assert_eq!(stolen.refused().await, "invalid_grant", "another client's");
    let tv = Device { server: &server, client: &public, codes };
    let browser = Browser::new(&server);
    let page = tv.log_in(&browser, alice()).await;
    let asked: Value = server.asked("consent", &page.expect("consent_challenge")).await.json().await.unwrap();
    assert_eq!(asked["skip"], false, "anybody may say that they are this client");
    browser.consent(&page, json!({"grant_scope": ["openid"]})).await;
    let form =
        [("grant_type", DEVICE_GRANT), ("client_id", "tv"), ("device_code", text(&tv.codes, "device_code"))];
    let answer = server.http.post(server.public_url("/oauth2/token")).form(&form).send().await.unwrap();
    let tokens: Value = answer.json().await.unwrap();
    assert!(tokens["id_token"].is_string() && tokens.get("refresh_token").is_none(), "{tokens}");
}

#[tokio::test]
async fn nobody_fills_the_table_from_one_network() {
    let mut settings = settings();
    settings.public.forwarders = vec!["127.0.0.0/8".parse().unwrap()];
    let server = TestServer::alone(manual_clock(), settings).await;
    let mut metadata = device_client();
    metadata["token_endpoint_auth_method"] = json!("none");
    TestClient::create(&server.store, "tv", metadata).await;
    let begin = async |address: &str| {
        let request = server.http.post(server.public_url("/oauth2/device/auth"));
        let request = request.header("x-forwarded-for", address).form(&[("client_id", "tv")]);
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.headers().contains_key("retry-after"))
    };
    for _ in 0..1000 {
        assert_eq!(begin("192.0.2.1").await.0, 200);
    }
    assert_eq!(begin("192.0.2.1").await, (503, true));
    assert_eq!(begin("192.0.2.2").await.0, 200, "others are let in");
    server.store.clock().advance(SignedDuration::from_mins(10));
    assert_eq!(begin("192.0.2.1").await.0, 200, "what has expired does not count");
}

#[tokio::test]
async fn lifetimes_are_the_clients_own_for_devices() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    let mut metadata = device_client();
    for (token, lifetime) in [("access", "7m"), ("id", "8m"), ("refresh", "9m")] {
        metadata[format!("device_authorization_grant_{token}_token_lifespan")] = json!(lifetime);
    }
    let client = prepared(&server, metadata).await;
    let tokens = Device::start(&server, &client).await.tokens().await;
    assert_eq!(tokens["expires_in"], 420);
    let now = server.store.clock().now().as_second();
    let refresh = server.introspect(&[("token", text(&tokens, "refresh_token"))]).await;
    assert_eq!(refresh["exp"], now + 540);
}

#[tokio::test]
async fn a_remembered_login_goes_on_and_somebody_else_gets_a_session_of_their_own() {
    let (server, client) = alone().await;
    let browser = Browser::new(&server);
    let first = Device::start(&server, &client).await;
    let page = first.log_in(&browser, json!({"subject": "alice", "remember": true})).await;
    browser.consent(&page, all()).await;
    let mut sessions = Vec::new();
    for subject in ["alice", "bob"] {
        let device = Device::start(&server, &client).await;
        let challenge = device.enter(&browser).await.expect("login_challenge");
        let asked: Value = server.asked("login", &challenge).await.json().await.unwrap();
        assert_eq!((&asked["skip"], &asked["subject"]), (&json!(true), &json!("alice")));
        let login = json!({"subject": subject});
        let page = browser.open(&server.decide("login", "accept", &challenge, login).await).await;
        let asked: Value =
            server.asked("consent", &page.expect("consent_challenge")).await.json().await.unwrap();
        sessions.push(text(&asked, "login_session_id").to_owned());
        browser.consent(&page, all()).await;
        let tokens = device.poll().await.1;
        assert_eq!(server.introspect(&[("token", text(&tokens, "access_token"))]).await["sub"], subject);
    }
    assert_ne!(sessions[0], sessions[1]);
}

#[tokio::test]
async fn a_verifier_goes_on_where_its_flow_began_and_nowhere_else() {
    let (server, _) = alone().await;
    let mut metadata = application();
    metadata["grant_types"] = json!(["authorization_code", DEVICE_GRANT]);
    let both = TestClient::create(&server.store, "both", metadata).await;
    let browser = Browser::new(&server);
    let device = Device::start(&server, &both).await;
    let challenge = device.enter(&browser).await.expect("login_challenge");
    let redirect = server.decide("login", "accept", &challenge, alice()).await;
    let at_other = redirect.replace("/oauth2/device/verify", "/oauth2/auth");
    let more = "&response_type=code&redirect_uri=https://app.example.com/cb";
    for elsewhere in [at_other.clone(), at_other + more] {
        let answer = browser.open(&elsewhere).await;
        assert!(
            answer.parameter("consent_challenge").is_none() && answer.parameter("error").is_some(),
            "{answer:?}"
        );
    }
    assert!(browser.open(&redirect).await.parameter("consent_challenge").is_some());

    let mut request = REQUEST.to_vec();
    request[0] = ("client_id", "both");
    let challenge = browser.authorize(&request).await.expect("login_challenge");
    let redirect = server.decide("login", "accept", &challenge, alice()).await;
    let answer = browser.open(&redirect.replace("/oauth2/auth", "/oauth2/device/verify")).await;
    assert_eq!(answer.expect("error"), "access_denied");
    assert!(browser.open(&redirect).await.parameter("consent_challenge").is_some());
    for nonsense in ["device_verifier=x", "login_verifier=x", "consent_verifier=x"] {
        let answer = browser.open(&format!("/oauth2/device/verify?client_id=both&{nonsense}")).await;
        assert_eq!(answer.expect("error"), "access_denied", "{nonsense}");
    }
    assert_eq!(device.refused().await, "authorization_pending", "nobody denied anything");
}

#[tokio::test]
async fn without_an_app_a_page_of_this_server_takes_the_code() {
    let mut settings = settings();
    (settings.pages.device_verification, settings.pages.device_success) = (None, None);
    let server = TestServer::alone(manual_clock(), settings).await;
    let client = prepared(&server, device_client()).await;
    let (device, browser) = (Device::start(&server, &client).await, Browser::new(&server));
    let visit = browser.open(text(&device.codes, "verification_uri_complete")).await;
    assert_eq!(visit.target(), "https://id.example.com/oauth2/fallbacks/device");
    let response = server
        .get(&format!("/oauth2/fallbacks/device?{}", visit.location.clone().unwrap().query().unwrap()))
        .await;
    let policy = common::header(&response, "content-security-policy").to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    let page = response.text().await.unwrap();
    assert!(page.contains(&format!("value=\"{}\"", device.user_code())), "{page}");
    let challenge = visit.expect("device_challenge");
    assert!(page.contains(&challenge));

    let enter = async |browser: &Browser<'_>, code: &str| {
        browser.post("/oauth2/device/verify", &[("device_challenge", &challenge), ("user_code", code)]).await
    };
    let wrong = enter(&browser, "\"><script>").await;
    assert_eq!(wrong.status, 400);
    assert!(wrong.body.contains("role=\"alert\"") && !wrong.body.contains("<script>"), "{}", wrong.body);
    assert_eq!(enter(&Browser::new(&server), device.user_code()).await.expect("error"), "request_forbidden");
    let next = enter(&browser, device.user_code()).await;
    assert_eq!(next.status, 303);
    let page = browser.open(next.location.unwrap().as_str()).await;
    let redirect = server.decide("login", "accept", &page.expect("login_challenge"), alice()).await;
    let end = browser.consent(&browser.open(&redirect).await, all()).await;
    assert_eq!(end.target(), "https://id.example.com/oauth2/fallbacks/device/done");
    assert_eq!(browser.cookie_names(), Vec::<String>::new());
    assert_eq!(server.get("/oauth2/fallbacks/device/done").await.status(), 200);
    assert_eq!(device.poll().await.0, 200);
}

#[tokio::test]
async fn where_an_app_takes_the_codes_this_server_does_not() {
    let (server, client) = alone().await;
    let (device, browser) = (Device::start(&server, &client).await, Browser::new(&server));
    let challenge = browser.visit().await.expect("device_challenge");
    let form = [("device_challenge", challenge.as_str()), ("user_code", device.user_code())];
    let answer = browser.post("/oauth2/device/verify", &form).await;
    assert_eq!(answer.expect("error"), "invalid_request");
    let challenge = browser.visit().await.expect("device_challenge");
    assert_eq!(
        server
            .answer("device", "accept", &challenge, json!({"user_code": device.user_code()}))
            .await
            .status(),
        200
    );
}

#[tokio::test]
async fn the_database_holds_neither_code() {
    let database = TestDatabase::sqlite();
    let server = TestServer::start(&database, Clock::system()).await;
    let client = prepared(&server, device_client()).await;
    let device = Device::start(&server, &client).await;
    let file = database.url.strip_prefix("sqlite://").unwrap().split('?').next().unwrap().to_owned();
    let dump = [std::fs::read(&file).unwrap(), std::fs::read(format!("{file}-wal")).unwrap()].concat();
    let holds = |text: &str| dump.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("pending"), "what is looked for is found");
    let code = device.user_code();
    for secret in [code, &code.replace('-', ""), &text(&device.codes, "device_code")[7..]] {
        assert!(!holds(secret) && !holds(&secret.to_lowercase()), "{secret}");
    }
    assert!(!holds("orders.read"), "what is asked for is sealed");
}

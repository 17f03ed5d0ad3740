//! The authorization code flow, from the client's request to its tokens.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::browser::{
    Browser, CALLBACK, REQUEST, VERIFIER, alice, all, application, front_channel_application, prepared,
    request_with, text,
};
use common::{ISSUER, TestClient, TestServer, databases, header, manual_clock, settings};
use harness::TestDatabase;
use serde_json::{Value, json};
use store::Clock;

/// A server whose application is `app`.
async fn server_on(database: &TestDatabase, clock: Clock) -> (TestServer, TestClient) {
    let server = TestServer::start(database, clock).await;
    let client = prepared(&server, application()).await;
    (server, client)
}

async fn alone() -> (TestServer, TestClient, TestDatabase) {
    let database = TestDatabase::sqlite();
    let (server, client) = server_on(&database, manual_clock()).await;
    (server, client, database)
}

#[tokio::test]
async fn a_login_and_a_consent_become_tokens() {
    for database in databases().await {
        let (server, client) = server_on(&database, Clock::system()).await;
        let browser = Browser::new(&server);
        let start = browser.authorize(&REQUEST).await;
        assert_eq!(
            (start.status.as_u16(), start.target().as_str()),
            (302, "https://pages.example.com/login")
        );
        let redirect = server.decide("login", "accept", &start.expect("login_challenge"), alice()).await;
        let page = browser.open(&redirect).await;
        assert_eq!(
            (page.status.as_u16(), page.target().as_str()),
            (302, "https://pages.example.com/consent")
        );
        let end = browser.consent(&page, all()).await;
        assert_eq!((end.status.as_u16(), end.target().as_str()), (303, CALLBACK));
        assert_eq!(end.expect("state"), "3y6rRzWq0yQvXzJ1mYk0WQ");
        assert_eq!(
            (end.expect("iss").as_str(), end.expect("scope").as_str()),
            (ISSUER, "openid offline orders.read")
        );
        assert_eq!(browser.cookie_names(), Vec::<String>::new(), "the flow's cookies are gone");

        let (status, tokens) = server.exchange(&client, &end.expect("code")).await;
        assert_eq!(status, 200, "{tokens}");
        assert_eq!((&tokens["token_type"], &tokens["expires_in"]), (&json!("bearer"), &json!(3600)));
        assert_eq!(tokens["scope"], "openid offline orders.read");
        assert!(text(&tokens, "refresh_token").starts_with("ory_rt_"));
        let state = server.introspect(&[("token", text(&tokens, "access_token"))]).await;
        assert_eq!((&state["active"], &state["sub"]), (&json!(true), &json!("alice")));
        assert_eq!((&state["ext"], &state["client_id"]), (&json!({"tenant": 7}), &json!("app")));
        let (status, claims) = server.userinfo(text(&tokens, "access_token")).await;
        assert_eq!((status, &claims["email"]), (200, &json!("alice@example.com")));
        let state = server.introspect(&[("token", text(&tokens, "refresh_token"))]).await;
        assert_eq!((&state["active"], &state["token_use"]), (&json!(true), &json!("refresh_token")));
    }
}

/// How many statements each step of a flow takes.
async fn costs_of_a_flow(server: &TestServer, client: &TestClient) -> Vec<(&'static str, u64)> {
    let browser = Browser::new(server);
    let mut costs = Vec::new();
    let (cost, start) = server.costing(browser.authorize(&REQUEST)).await;
    costs.push(("authorization request", cost));
    let challenge = start.expect("login_challenge");
    costs.push(("login request", server.costing(server.asked("login", &challenge)).await.0));
    let (cost, redirect) = server.costing(server.decide("login", "accept", &challenge, alice())).await;
    costs.push(("login accepted", cost));
    let (cost, page) = server.costing(browser.open(&redirect)).await;
    costs.push(("login verified", cost));
    let challenge = page.expect("consent_challenge");
    costs.push(("consent request", server.costing(server.asked("consent", &challenge)).await.0));
    let (cost, end) = server.costing(browser.consent(&page, all())).await;
    costs.push(("consent accepted and verified", cost));
    let (cost, (_, tokens)) = server.costing(server.exchange(client, &end.expect("code"))).await;
    costs.push(("exchange", cost));
    let access_token = text(&tokens, "access_token");
    costs.push(("introspection", server.costing(server.is_active(access_token)).await.0));
    costs.push(("userinfo", server.costing(server.userinfo(access_token)).await.0));
    let (cost, (_, tokens)) = server.costing(server.refresh(client, text(&tokens, "refresh_token"))).await;
    costs.push(("refresh", cost));
    costs.push(("revocation", server.costing(server.revoke(client, text(&tokens, "access_token"))).await.0));
    for (name, response_type) in [
        ("id_token", "id_token"),
        ("code id_token", "code id_token"),
        ("token", "token"),
        ("hybrid", "code token"),
    ] {
        let request = request_with(&[("response_type", response_type)]);
        let page = browser.log_in(&request, alice()).await;
        let (cost, end) = server.costing(browser.consent(&page, all())).await;
        costs.push((name, cost));
        if name == "hybrid" {
            let code = end.expect("code");
            costs.push(("exchange after it", server.costing(server.exchange(client, &code)).await.0));
        }
    }
    costs
}

#[tokio::test]
async fn each_step_takes_its_statements_and_no_more() {
    let wanted = [
        ("authorization request", 0),
        ("login request", 0),
        ("login accepted", 0),
        ("login verified", 1),
        ("consent request", 0),
        ("consent accepted and verified", 0),
        ("exchange", 1),
        ("introspection", 1),
        ("userinfo", 1),
        ("refresh", 1),
        ("revocation", 1),
        ("id_token", 1),
        ("code id_token", 1),
        ("token", 1),
        ("hybrid", 1),
        ("exchange after it", 1),
    ];
    for database in databases().await {
        let server = TestServer::start(&database, Clock::system()).await;
        let client = prepared(&server, front_channel_application()).await;
        // Where the machine is so busy that the cache loses its trust for a moment, a flow costs more.
        harness::eventually("a flow costs what it should", async || {
            costs_of_a_flow(&server, &client).await == wanted
        })
        .await;
    }
}

#[tokio::test]
async fn an_id_token_says_who_logged_in_and_verifies_with_the_published_keys() {
    let (server, client, _database) = alone().await;
    let tokens = server.tokens(&client).await;
    let claims = server.verified(text(&tokens, "id_token")).await;
    let now = server.store.clock().now().as_second();
    for (name, value) in [
        ("iss", json!(ISSUER)),
        ("sub", json!("alice")),
        ("aud", json!(["app"])),
        ("nonce", json!("Zt2l4lWmUe0V7lJ3YbX0Hg")),
        ("email", json!("alice@example.com")),
        ("acr", json!("1")),
        ("amr", json!(["pwd"])),
        ("auth_time", json!(now)),
        ("iat", json!(now)),
        ("exp", json!(now + 3600)),
    ] {
        assert_eq!(claims[name], value, "{name}");
    }
    assert!(claims["sid"].is_string() && claims["at_hash"].is_string() && claims["jti"].is_string());
    assert!(claims.get("rat").is_none());
}

#[tokio::test]
async fn what_travels_through_urls_stays_short() {
    let (server, _client, _database) = alone().await;
    let browser = Browser::new(&server);
    let start = browser.authorize(&REQUEST).await;
    let challenge = start.expect("login_challenge");
    assert!(challenge.len() < 600, "{}", challenge.len());
    let redirect = server.decide("login", "accept", &challenge, alice()).await;
    assert!(redirect.len() < 1000, "{}", redirect.len());
    let page = browser.open(&redirect).await;
    assert!(page.expect("consent_challenge").len() < 600);
    let code = browser.consent(&page, all()).await.expect("code");
    assert!(code.len() < 600, "{}", code.len());
}

#[tokio::test]
async fn claims_of_twenty_kilobytes_work() {
    for database in databases().await {
        let (server, client) = server_on(&database, Clock::system()).await;
        let browser = Browser::new(&server);
        let page = browser.log_in(&REQUEST, alice()).await;
        let mut consent = all();
        consent["session"]["id_token"]["groups"] = json!("g".repeat(20_000));
        let end = browser.consent(&page, consent).await;
        assert!(end.expect("code").len() < 600);
        let (status, tokens) = server.exchange(&client, &end.expect("code")).await;
        assert_eq!(status, 200, "{tokens}");
        let claims = server.verified(text(&tokens, "id_token")).await;
        assert_eq!(claims["groups"].as_str().map(str::len), Some(20_000));
    }
}

#[tokio::test]
async fn the_apps_are_told_what_is_asked() {
    let (server, _client, _database) = alone().await;
    let browser = Browser::new(&server);
    let request = request_with(&[("login_hint", "al"), ("ui_locales", "de en"), ("display", "page")]);
    let challenge = browser.authorize(&request).await.expect("login_challenge");
    let asked: Value = server.asked("login", &challenge).await.json().await.unwrap();
    assert_eq!(asked["challenge"], challenge);
    assert_eq!(asked["requested_scope"], json!(["openid", "offline", "orders.read"]));
    assert_eq!(asked["requested_access_token_audience"], json!([]));
    assert_eq!((&asked["skip"], &asked["subject"]), (&json!(false), &json!("")));
    assert_eq!(
        asked["oidc_context"],
        json!({"login_hint": "al", "ui_locales": ["de", "en"], "display": "page"})
    );
    assert_eq!(asked["client"]["client_id"], "app");
    assert!(asked["client"].get("client_secret").is_none());
    assert!(
        text(&asked, "request_url")
            .starts_with("https://id.example.com/oauth2/auth?client_id=app&code_challenge=")
    );

    let login = json!({"subject": "alice", "acr": "2", "amr": ["otp"], "context": {"a": [1]}});
    let redirect = server.decide("login", "accept", &challenge, login).await;
    let page = browser.open(&redirect).await;
    let challenge = page.expect("consent_challenge");
    let consent: Value = server.asked("consent", &challenge).await.json().await.unwrap();
    assert_eq!(consent["login_session_id"], asked["session_id"]);
    assert_eq!((&consent["subject"], &consent["skip"]), (&json!("alice"), &json!(false)));
    assert_eq!((&consent["acr"], &consent["amr"]), (&json!("2"), &json!(["otp"])));
    assert_eq!(consent["context"], json!({"a": [1]}));
    assert_eq!(text(&consent, "consent_request_id").len(), 32);
}

#[tokio::test]
async fn a_code_works_once_and_reuse_kills_what_came_of_it() {
    for database in databases().await {
        let (server, client) = server_on(&database, Clock::system()).await;
        let code = Browser::new(&server).code(&REQUEST).await;
        let (status, tokens) = server.exchange(&client, &code).await;
        assert_eq!(status, 200);
        let (status, error) = server.exchange(&client, &code).await;
        assert_eq!((status, &error["error"]), (400, &json!("invalid_grant")));
        assert!(text(&error, "error_description").contains("authorization code has already been used"));
        assert!(!server.is_active(text(&tokens, "access_token")).await);
        assert_eq!(server.userinfo(text(&tokens, "access_token")).await.0, 401);
        assert_eq!(server.refresh(&client, text(&tokens, "refresh_token")).await.0, 400);
    }
}

#[tokio::test]
async fn of_two_hundred_exchanges_on_three_servers_one_succeeds_and_its_tokens_are_dead() {
    let database = TestDatabase::postgres().await;
    let (one, client) = server_on(&database, Clock::system()).await;
    let (two, three) = tokio::join!(
        TestServer::start(&database, Clock::system()),
        TestServer::start(&database, Clock::system())
    );
    let code = Browser::new(&one).code(&REQUEST).await;
    let servers = [&one, &two, &three];
    let exchanges = (0..200).map(|i| servers[i % 3].exchange(&client, &code));
    let answers = futures::future::join_all(exchanges).await;
    let (good, bad): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(status, _)| *status == 200);
    assert_eq!(good.len(), 1);
    for (status, error) in bad {
        // Whoever did not get to the row in time may come again, and is then refused.
        let busy = (status, &error["error"]) == (503, &json!("temporarily_unavailable"));
        assert!(busy || (status, &error["error"]) == (400, &json!("invalid_grant")), "{error}");
    }
    for server in servers {
        assert!(!server.is_active(text(&good[0].1, "access_token")).await);
        assert!(!server.is_active(text(&good[0].1, "refresh_token")).await);
    }
}

#[tokio::test]
async fn a_failed_exchange_consumes_nothing() {
    let (server, client, _database) = alone().await;
    let other = TestClient::create(&server.store, "other", application()).await;
    let code = Browser::new(&server).code(&REQUEST).await;
    let good = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let wrong = "x".repeat(43);
    for (client, name, value, error) in [
        (&client, "code_verifier", wrong.as_str(), "invalid_grant"),
        (&client, "code_verifier", "", "invalid_grant"),
        (&client, "redirect_uri", "https://app.example.com/other", "invalid_grant"),
        (&client, "redirect_uri", "", "invalid_grant"),
        (&client, "code", "ory_ac_x", "invalid_grant"),
        (&client, "code", "", "invalid_request"),
        (&other, "grant_type", "authorization_code", "invalid_grant"),
    ] {
        let form: Vec<_> =
            good.iter().map(|(n, v)| if *n == name { (*n, value) } else { (*n, *v) }).collect();
        let (status, answer) = server.token_request(client, &form).await;
        assert_eq!((status, text(&answer, "error")), (400, error), "{name}={value}");
    }
    assert_eq!(server.token_request(&client, &good).await.0, 200);
}

#[tokio::test]
async fn a_consent_submitted_twice_does_not_harm_the_login_that_succeeded() {
    let (server, client, _database) = alone().await;
    let browser = Browser::new(&server);
    let page = browser.log_in(&REQUEST, alice()).await;
    let challenge = page.expect("consent_challenge");
    let first = server.decide("consent", "accept", &challenge, all()).await;
    let second = server.decide("consent", "accept", &challenge, all()).await;
    let one = browser.open(&first).await.expect("code");
    let (status, tokens) = server.exchange(&client, &one).await;
    assert_eq!(status, 200);
    let again = browser.open(&second).await;
    assert_eq!(again.target(), "https://pages.example.com/error", "the flow has ended in this browser");

    // In a browser that had both under way, the second code is refused, and nothing dies of it.
    let browser = Browser::new(&server);
    let page = browser.log_in(&REQUEST, alice()).await;
    let challenge = page.expect("consent_challenge");
    let (first, second) = (
        server.decide("consent", "accept", &challenge, all()).await,
        server.decide("consent", "accept", &challenge, all()).await,
    );
    let (one, two) = tokio::join!(browser.open(&first), browser.open(&second));
    let (status, tokens_of_one) = server.exchange(&client, &one.expect("code")).await;
    assert_eq!(status, 200);
    assert_eq!(server.exchange(&client, &two.expect("code")).await.0, 400);
    for tokens in [tokens, tokens_of_one] {
        assert!(server.is_active(text(&tokens, "access_token")).await);
    }
}

#[tokio::test]
async fn a_code_dies_with_its_client() {
    let (server, client, _database) = alone().await;
    let browser = Browser::new(&server);
    let (in_flight, in_login) = (browser.code(&REQUEST).await, browser.authorize(&REQUEST).await);
    let tokens = server.tokens(&client).await;
    client.delete(&server.store).await;
    let again = TestClient::create(&server.store, "app", application()).await;
    assert_eq!(server.exchange(&again, &in_flight).await.1["error"], "invalid_grant");
    assert_eq!(server.refresh(&again, text(&tokens, "refresh_token")).await.1["error"], "invalid_grant");
    assert!(!server.is_active(text(&tokens, "access_token")).await);
    let challenge = in_login.expect("login_challenge");
    assert_eq!(server.asked("login", &challenge).await.status(), 404);
}

#[tokio::test]
async fn a_refusal_goes_to_the_client_as_the_app_said_it() {
    let (server, _client, _database) = alone().await;
    let browser = Browser::new(&server);
    let challenge = browser.authorize(&REQUEST).await.expect("login_challenge");
    let rejection = json!({"error": "too_young", "error_description": "The user is a child."});
    let end = browser.open(&server.decide("login", "reject", &challenge, rejection).await).await;
    assert_eq!((end.target().as_str(), end.expect("error").as_str()), (CALLBACK, "too_young"));
    assert_eq!(end.expect("error_description"), "The user is a child.");
    assert_eq!(end.expect("state"), "3y6rRzWq0yQvXzJ1mYk0WQ");
    assert_eq!(browser.cookie_names(), Vec::<String>::new(), "the flow has ended in this browser");

    let page = browser.log_in(&REQUEST, alice()).await;
    let challenge = page.expect("consent_challenge");
    let end = browser.open(&server.decide("consent", "reject", &challenge, json!({})).await).await;
    assert_eq!(end.expect("error"), "consent request denied");
    assert!(end.parameter("code").is_none());
}

#[tokio::test]
async fn a_flow_belongs_to_the_browser_in_which_it_began() {
    let (server, _client, _database) = alone().await;
    let (mine, yours) = (Browser::new(&server), Browser::new(&server));
    let challenge = mine.authorize(&REQUEST).await.expect("login_challenge");
    yours.authorize(&REQUEST).await;
    let redirect = server.decide("login", "accept", &challenge, alice()).await;
    let stopped = yours.open(&redirect).await;
    assert_eq!(
        (stopped.target().as_str(), stopped.expect("error").as_str()),
        ("https://pages.example.com/error", "request_forbidden")
    );
    assert!(stopped.expect("error_description").contains("No CSRF value available in the session cookie"));
    let page = mine.open(&redirect).await;
    let redirect = server.decide("consent", "accept", &page.expect("consent_challenge"), all()).await;
    assert_eq!(yours.open(&redirect).await.expect("error"), "request_forbidden");
    assert!(mine.open(&redirect).await.parameter("code").is_some());
}

#[tokio::test]
async fn two_tabs_do_not_disturb_each_other() {
    let (server, client, _database) = alone().await;
    let browser = Browser::new(&server);
    let (one, two) = (browser.authorize(&REQUEST).await, browser.authorize(&REQUEST).await);
    for start in [one, two] {
        let redirect = server.decide("login", "accept", &start.expect("login_challenge"), alice()).await;
        let page = browser.open(&redirect).await;
        let end = browser.consent(&page, all()).await;
        assert_eq!(server.exchange(&client, &end.expect("code")).await.0, 200);
    }
}

#[tokio::test]
async fn bad_requests_are_told_to_the_user_until_the_redirect_uri_is_certain() {
    let (server, _client, _database) = alone().await;
    let browser = Browser::new(&server);
    let page = "https://pages.example.com/error";
    for (changes, target, error) in [
        (&[("client_id", "nobody")][..], page, "invalid_client"),
        (&[("client_id", "")], page, "invalid_request"),
        (&[("redirect_uri", "https://evil.example.com/cb")], page, "invalid_request"),
        (&[("redirect_uri", "")], page, "invalid_request"),
        (&[("scope", "admin")], CALLBACK, "invalid_scope"),
        (&[("response_type", "token")], CALLBACK, "unsupported_response_type"),
        (&[("response_type", "token"), ("response_mode", "query")], CALLBACK, "unsupported_response_mode"),
        (&[("state", "short")], CALLBACK, "invalid_state"),
        (&[("prompt", "none")], CALLBACK, "login_required"),
        (&[("prompt", "none login")], CALLBACK, "invalid_request"),
        (&[("max_age", "soon")], CALLBACK, "invalid_request"),
        (&[("code_challenge_method", "plain")], CALLBACK, "invalid_request"),
        (&[("id_token_hint", "x.y.z")], CALLBACK, "invalid_request"),
        (&[("request", "x")], page, "invalid_request_object"),
        (&[("request_uri", "https://a.example/r")], page, "invalid_request_uri"),
        (&[("login_verifier", "x")], CALLBACK, "access_denied"),
    ] {
        let answer = browser.authorize(&request_with(changes)).await;
        assert_eq!(
            (answer.target().as_str(), answer.expect("error").as_str()),
            (target, error),
            "{changes:?}"
        );
        assert!(!answer.expect("error_description").is_empty());
    }
    for query in ["client_id=app&client_id=app", "client_id=%zz", "client_id=%ff"] {
        let answer = browser.open(&format!("/oauth2/auth?{query}")).await;
        assert_eq!(
            (answer.target().as_str(), answer.expect("error").as_str()),
            (page, "invalid_request"),
            "{query}"
        );
    }
}

#[tokio::test]
async fn a_request_may_be_posted_and_a_response_may_be_posted_back() {
    let (server, client, _database) = alone().await;
    let browser = Browser::new(&server);
    let start = browser.post("/oauth2/auth", &request_with(&[("response_mode", "form_post")])).await;
    let redirect = server.decide("login", "accept", &start.expect("login_challenge"), alice()).await;
    let page = browser.open(&redirect).await;
    let end = browser.consent(&page, all()).await;
    assert_eq!(end.status, 200);
    assert!(end.body.contains("<title>Submit This Form</title>"), "{}", end.body);
    assert!(end.body.contains(r#"<form method="post" action="https://app.example.com/cb">"#));
    let code = end.body.split(r#"name="code" value=""#).nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(server.exchange(&client, code).await.0, 200);
}

#[tokio::test]
async fn a_posted_request_may_have_parameters_in_its_url_and_none_twice() {
    let (server, _client, _database) = alone().await;
    let browser = Browser::new(&server);
    let [in_url, in_body] = [&REQUEST[..4], &REQUEST[4..]];
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(in_url).finish();
    let start = browser.post(&format!("/oauth2/auth?{query}"), in_body).await;
    let asked: Value = server.asked("login", &start.expect("login_challenge")).await.json().await.unwrap();
    let url = url::Url::parse(text(&asked, "request_url")).unwrap();
    for (name, value) in REQUEST {
        assert!(url.query_pairs().any(|pair| pair == (name.into(), value.into())), "{name}: {url}");
    }
    let twice = browser.post(&format!("/oauth2/auth?{query}"), &REQUEST).await;
    assert_eq!(twice.expect("error"), "invalid_request");
    assert!(twice.expect("error_description").contains("'client_id' comes more than once"));
}

#[tokio::test]
async fn a_resource_is_asked_for_as_an_audience_is() {
    let (server, client, _database) = alone().await;
    let browser = Browser::new(&server);
    let resource = "https://api.example.com/v1";
    let page = browser.log_in(&request_with(&[("resource", resource)]), alice()).await;
    let asked: Value = server.asked("consent", &page.expect("consent_challenge")).await.json().await.unwrap();
    assert_eq!(asked["requested_access_token_audience"], json!([resource]));
    let mut consent = all();
    consent["grant_access_token_audience"] = json!([resource]);
    let code = browser.consent(&page, consent).await.expect("code");
    let (_, tokens) = server.exchange(&client, &code).await;
    let state = server.introspect(&[("token", text(&tokens, "access_token"))]).await;
    assert_eq!(state["aud"], json!([resource]));
    for other in ["https://other.example.com", "https://api.example.com/v1#part", "v1"] {
        let told = browser.authorize(&request_with(&[("resource", other)])).await;
        assert_eq!((told.target().as_str(), told.expect("error").as_str()), (CALLBACK, "invalid_target"));
    }
}

#[tokio::test]
async fn the_login_page_is_told_of_the_identity_schema() {
    let (server, _client, _database) = alone().await;
    let request = request_with(&[("identity_schema", "b2b customers"), ("prompt", "registration")]);
    let page = Browser::new(&server).authorize(&request).await;
    assert_eq!(page.expect("identity_schema"), "b2b customers");
    assert!(page.parameter("login_challenge").is_some());
    let page = Browser::new(&server).authorize(&REQUEST).await;
    assert_eq!(page.names(), ["login_challenge"]);
}

#[tokio::test]
async fn what_an_app_leaves_null_it_does_not_say() {
    let (server, client, _database) = alone().await;
    let browser = Browser::new(&server);
    let login = json!({"subject": "alice", "acr": "", "amr": null, "context": null, "remember_for": null});
    let page = browser.log_in(&REQUEST, login).await;
    let consent = json!({"grant_scope": ["openid"], "grant_access_token_audience": null, "session": null});
    let end = browser.consent(&page, consent).await;
    let (status, tokens) = server.exchange(&client, &end.expect("code")).await;
    assert_eq!((status, text(&tokens, "scope")), (200, "openid"));

    let nulls = json!({
        "error": null, "error_description": null, "error_hint": null, "error_debug": null, "status_code": null,
    });
    for body in [nulls, Value::Null] {
        let challenge = browser.authorize(&REQUEST).await.expect("login_challenge");
        let redirect = server.decide("login", "reject", &challenge, body).await;
        assert_eq!(browser.open(&redirect).await.expect("error"), "login request denied");
    }
}

#[tokio::test]
async fn apps_are_told_what_is_wrong_with_their_answers() {
    let (server, _client, _database) = alone().await;
    let browser = Browser::new(&server);
    let login = browser.authorize(&REQUEST).await.expect("login_challenge");
    let page = browser.log_in(&REQUEST, alice()).await;
    let consent = page.expect("consent_challenge");
    for (kind, what, challenge, body, status, hint) in [
        ("login", "accept", login.as_str(), json!({}), 400, "'subject'"),
        ("login", "accept", login.as_str(), json!({"subject": 7}), 400, "line 1"),
        ("login", "accept", "nonsense", alice(), 404, "Unable to locate"),
        ("login", "accept", consent.as_str(), alice(), 404, "Unable to locate"),
        ("login", "accept", "", alice(), 400, "'login_challenge' is missing"),
        ("login", "reject", login.as_str(), json!({"error": "a\"b"}), 400, "'error'"),
        ("consent", "accept", consent.as_str(), json!({"grant_scope": ["admin"]}), 400, "'admin'"),
        ("consent", "accept", consent.as_str(), json!({"grant_access_token_audience": ["x"]}), 400, "'x'"),
    ] {
        let response = server.answer(kind, what, challenge, body.clone()).await;
        let (got, answer) = (response.status(), response.json::<Value>().await.unwrap());
        assert_eq!(got, status, "{kind} {what} {body}: {answer}");
        assert!(text(&answer, "error_description").contains(hint), "{answer}");
        if status == 404 {
            assert_eq!(text(&answer, "error"), "Not Found");
        }
    }
}

#[tokio::test]
async fn a_flow_has_its_time() {
    let clock = manual_clock();
    let database = TestDatabase::sqlite();
    let (server, client) = server_on(&database, clock.clone()).await;
    let browser = Browser::new(&server);
    let code = browser.code(&REQUEST).await;
    let challenge = browser.authorize(&REQUEST).await.expect("login_challenge");
    let redirect = server.decide("login", "accept", &challenge, alice()).await;
    let consent = browser.open(&redirect).await.expect("consent_challenge");
    let ends = clock.now() + jiff::SignedDuration::from_mins(30);
    for (kind, challenge) in [("login", &challenge), ("consent", &consent)] {
        let asked: Value = server.asked(kind, challenge).await.json().await.unwrap();
        assert_eq!(text(&asked, "expires_at").parse::<jiff::Timestamp>().unwrap(), ends);
    }
    clock.advance(jiff::SignedDuration::from_mins(31));
    for (kind, challenge) in [("login", &challenge), ("consent", &consent)] {
        let asked = server.asked(kind, challenge).await;
        let rejected = server.answer(kind, "reject", challenge, json!({})).await;
        for answer in [asked, rejected] {
            let (status, told) = (answer.status(), answer.json::<Value>().await.unwrap());
            assert_eq!((status.as_u16(), text(&told, "error")), (401, "request_unauthorized"), "{told}");
            let again = Browser::new(&server).open(text(&told, "redirect_to")).await;
            assert_eq!(server.asked("login", &again.expect("login_challenge")).await.status(), 200);
        }
    }
    assert_eq!(browser.open(&redirect).await.expect("error"), "request_unauthorized");
    let (status, error) = server.exchange(&client, &code).await;
    assert_eq!((status, text(&error, "error_description")), (400, "The code has expired."));
}

#[tokio::test]
async fn a_public_client_proves_itself_by_its_verifier() {
    let (server, _client, _database) = alone().await;
    let mut metadata = application();
    metadata["token_endpoint_auth_method"] = json!("none");
    TestClient::create(&server.store, "spa", metadata).await;
    let browser = Browser::new(&server);
    let without = browser
        .authorize(&request_with(&[
            ("client_id", "spa"),
            ("code_challenge", ""),
            ("code_challenge_method", ""),
        ]))
        .await;
    assert_eq!(without.expect("error"), "invalid_request", "a declared public client needs PKCE");
    let code = browser.code(&request_with(&[("client_id", "spa")])).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", "spa"),
        ("code", code.as_str()),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let response = server.http.post(server.public_url("/oauth2/token")).form(&form).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let tokens: Value = response.json().await.unwrap();
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", "spa"),
        ("refresh_token", text(&tokens, "refresh_token")),
    ];
    let response = server.http.post(server.public_url("/oauth2/token")).form(&form).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let form = [("grant_type", "client_credentials"), ("client_id", "spa")];
    let response = server.http.post(server.public_url("/oauth2/token")).form(&form).send().await.unwrap();
    assert_eq!(response.status(), 400);
}

#[tokio::test]
async fn pages_that_are_not_configured_say_what_to_configure() {
    let unconfigured = server::Settings { pages: server::PageUrls::default(), ..settings() };
    let server = TestServer::alone(manual_clock(), unconfigured).await;
    TestClient::create(&server.store, "app", application()).await;
    let browser = Browser::new(&server);
    let start = browser.authorize(&REQUEST).await;
    assert_eq!(start.target(), "https://id.example.com/oauth2/fallbacks/login");
    let page = browser.open(start.location.unwrap().as_str()).await;
    assert!(page.body.contains("URLS_LOGIN"), "{}", page.body);
    let error = browser.open("/oauth2/fallbacks/error?error=e&error_description=<script>x</script>").await;
    assert_eq!(error.status, 400);
    assert!(error.body.contains("&#60;script&#62;x") && !error.body.contains("<script>x"), "{}", error.body);
    let response = server.get("/oauth2/fallbacks/consent").await;
    assert!(header(&response, "content-security-policy").contains("default-src 'none'"));
}

//! The pages to log in, consent and log out with that are built in for demonstrations.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::browser::{
    Answer, Browser, CALLBACK, REQUEST, application, prepared, request_with, text, verified,
};
use common::device::{DEVICE_GRANT, Device};
use common::{TestClient, TestServer, databases, manual_clock, settings};
use jose::Entropy;
use serde_json::{Value, json};
use server::{DemonstrationUser, DemonstrationUsers, PageUrls, PasswordHash, Settings};
use store::Clock;

const LOGIN: &str = "/oauth2/fallbacks/login";
const CONSENT: &str = "/oauth2/fallbacks/consent";
const LOGOUT: &str = "/oauth2/fallbacks/logout";
const PASSWORD: &str = "correct horse";

/// Alice, whose password is [`PASSWORD`].
fn users() -> DemonstrationUsers {
    let entropy = Entropy::system();
    let claims = json!({"name": "Alice Liddell", "email": "alice@example.com", "salary": 1});
    let alice = DemonstrationUser {
        password: PasswordHash::of(PASSWORD, &entropy).unwrap(),
        claims: claims.as_object().unwrap().clone(),
    };
    DemonstrationUsers::new(BTreeMap::from([("alice".to_owned(), alice)]), &entropy).unwrap()
}

fn with_pages() -> Settings {
    Settings { pages: PageUrls::default(), demonstration: Some(users()), ..settings() }
}

fn registered() -> Value {
    let mut metadata = application();
    metadata["client_name"] = json!("Shop <b>&</b> Co");
    metadata["client_uri"] = json!("https://shop.example.com/");
    metadata["tos_uri"] = json!("javascript:alert(1)");
    metadata["logo_uri"] = json!("https://shop.example.com/logo.png");
    metadata["scope"] = json!("openid offline email orders.*");
    metadata["post_logout_redirect_uris"] = json!(["https://app.example.com/out"]);
    metadata
}

/// Asks for everything that the tests look at.
fn request() -> Vec<(&'static str, &'static str)> {
    request_with(&[("scope", "openid offline email orders.read"), ("audience", "https://api.example.com")])
}

/// Follows a redirect to a page of the server, which must be there.
async fn follow(browser: &Browser<'_>, answer: &Answer) -> Answer {
    let url = answer.location.as_ref().unwrap_or_else(|| panic!("no redirect: {answer:?}"));
    browser.open(url.as_str()).await
}

/// Follows redirects within the server, until they leave it or end at a page.
async fn follow_all(browser: &Browser<'_>, mut answer: Answer) -> Answer {
    while answer.location.as_ref().is_some_and(|url| url.host_str() == Some("id.example.com")) {
        answer = follow(browser, &answer).await;
    }
    answer
}

/// The value of a hidden field of a page.
fn hidden(page: &Answer, name: &str) -> String {
    let begin = format!("<input type=\"hidden\" name=\"{name}\" value=\"");
    let (_, rest) = page.body.split_once(&begin).unwrap_or_else(|| panic!("no {name} in {}", page.body));
    rest.split_once('"').unwrap().0.to_owned()
}

/// Fills in the login page that is open.
async fn log_in(browser: &Browser<'_>, page: &Answer, more: &[(&str, &str)]) -> Answer {
    let challenge = hidden(page, "login_challenge");
    let filled_in = [("login_challenge", challenge.as_str()), ("username", "alice"), ("password", PASSWORD)];
    let unchanged = filled_in.iter().filter(|(name, _)| !more.iter().any(|(changed, _)| changed == name));
    browser.post(LOGIN, &unchanged.chain(more).copied().collect::<Vec<_>>()).await
}

/// Decides on the consent or logout page that is open.
async fn decide(browser: &Browser<'_>, page: &Answer, path: &str, more: &[(&str, &str)]) -> Answer {
    let name = if path == CONSENT { "consent_challenge" } else { "logout_challenge" };
    let challenge = hidden(page, name);
    browser.post(path, &[&[(name, challenge.as_str())], more].concat()).await
}

/// From the request to the client, saying yes to everything, and being remembered.
async fn click_through(browser: &Browser<'_>) -> Answer {
    let page = follow_all(browser, browser.authorize(&request()).await).await;
    let page = follow_all(browser, log_in(browser, &page, &[("remember", "yes")]).await).await;
    let decided = decide(browser, &page, CONSENT, &[("decision", "allow"), ("remember", "yes")]).await;
    follow_all(browser, decided).await
}

async fn start() -> (TestServer, TestClient) {
    let server = TestServer::alone(Clock::system(), with_pages()).await;
    let client = prepared(&server, registered()).await;
    (server, client)
}

#[tokio::test]
async fn a_user_logs_in_consents_and_the_client_gets_what_was_agreed_to() {
    for database in databases().await {
        let server = TestServer::with(database.open(Clock::system()).await, with_pages()).await;
        let client = prepared(&server, registered()).await;
        let browser = Browser::new(&server);
        let answer = browser.authorize(&request()).await;
        assert_eq!(answer.target(), format!("https://id.example.com{LOGIN}"));
        let page = follow(&browser, &answer).await;
        assert_eq!(page.status, 200);
        let answer = log_in(&browser, &page, &[]).await;
        assert_eq!(
            (answer.status.as_u16(), answer.target().as_str()),
            (303, "https://id.example.com/oauth2/auth")
        );
        let answer = follow(&browser, &answer).await;
        assert_eq!(answer.target(), format!("https://id.example.com{CONSENT}"));
        let page = follow(&browser, &answer).await;
        for shown in [
            "alice",
            "<code>orders.read</code>",
            "See your email address",
            "Keep this access while you are away",
            "https://api.example.com",
            "you go on to <strong>https://app.example.com</strong>",
        ] {
            assert!(page.body.contains(shown), "{shown}: {}", page.body);
        }
        let end = follow(&browser, &decide(&browser, &page, CONSENT, &[("decision", "allow")]).await).await;
        assert_eq!(end.target(), CALLBACK);
        let (status, tokens) = server.exchange(&client, &end.expect("code")).await;
        assert_eq!((status, &tokens["scope"]), (200, &json!("openid offline email orders.read")));
        let (_, userinfo) = server.userinfo(text(&tokens, "access_token")).await;
        assert_eq!((&userinfo["sub"], &userinfo["email"]), (&json!("alice"), &json!("alice@example.com")));
        assert_eq!((&userinfo["acr"], &userinfo["amr"]), (&json!("1"), &json!(["pwd"])));
        assert!(userinfo.get("name").is_none() && userinfo.get("salary").is_none(), "{userinfo}");
        let token = server.introspect(&[("token", text(&tokens, "access_token"))]).await;
        assert_eq!(token["aud"], json!(["https://api.example.com"]));
    }
}

#[tokio::test]
async fn a_claim_that_is_asked_for_by_name_is_told_and_given_where_it_was_asked_for() {
    let (server, client) = start().await;
    let browser = Browser::new(&server);
    let claims =
        r#"{"userinfo": {"name": {"essential": true}}, "id_token": {"salary": null, "nonsense": null}}"#;
    let asked = request_with(&[("scope", "openid email"), ("claims", claims)]);
    let page = follow_all(&browser, browser.authorize(&asked).await).await;
    let page = follow_all(&browser, log_in(&browser, &page, &[("remember", "yes")]).await).await;
    assert!(page.body.contains("Learn your <code>name</code>"), "{}", page.body);
    assert!(page.body.contains("Learn your <code>salary</code>") && !page.body.contains("<code>nonsense"));
    assert!(!page.body.contains("<code>email</code></li>\n<li>Learn"), "a scope gives it: {}", page.body);
    let decided = decide(&browser, &page, CONSENT, &[("decision", "allow"), ("remember", "yes")]).await;
    let end = follow_all(&browser, decided).await;
    let (_, tokens) = server.exchange(&client, &end.expect("code")).await;
    let (_, userinfo) = server.userinfo(text(&tokens, "access_token")).await;
    assert_eq!((&userinfo["name"], &userinfo["salary"]), (&json!("Alice Liddell"), &Value::Null));
    let id_token = verified(&server, text(&tokens, "id_token")).await;
    assert_eq!((&id_token["name"], &id_token["salary"]), (&Value::Null, &json!(1)));

    // A consent that is remembered was to scopes.
    let end = follow_all(&browser, browser.authorize(&asked).await).await;
    let (_, tokens) = server.exchange(&client, &end.expect("code")).await;
    let (_, userinfo) = server.userinfo(text(&tokens, "access_token")).await;
    assert_eq!((&userinfo["name"], &userinfo["email"]), (&Value::Null, &json!("alice@example.com")));
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_are_told_the_same_and_can_try_again() {
    let (server, _) = start().await;
    let browser = Browser::new(&server);
    let page = follow_all(&browser, browser.authorize(&request()).await).await;
    let wrong = log_in(&browser, &page, &[("password", "wrong"), ("remember", "yes")]).await;
    let unknown = log_in(&browser, &page, &[("username", "al\"ice"), ("remember", "yes")]).await;
    for answer in [&wrong, &unknown] {
        assert_eq!((answer.status.as_u16(), &answer.location, answer.set_cookies.len()), (403, &None, 0));
        assert!(answer.body.contains("role=\"alert\""), "{}", answer.body);
        assert!(!answer.body.contains(PASSWORD) && !answer.body.contains("\"wrong\""), "{}", answer.body);
        assert!(answer.body.contains(" checked"), "the choice stays: {}", answer.body);
    }
    let neutral = |answer: &Answer, name: &str| answer.body.replace(&format!("value=\"{name}\""), "");
    let without_nonce = |body: String| body.split_once("</style>").unwrap().1.to_owned();
    assert_eq!(
        without_nonce(neutral(&wrong, "alice")),
        without_nonce(neutral(&unknown, "al&#34;ice")),
        "nobody learns who is known"
    );
    for missing in ["username", "password"] {
        let answer = log_in(&browser, &page, &[(missing, "")]).await;
        assert_eq!(answer.status, 400);
        assert!(answer.body.contains("Enter your user name and your password."), "{}", answer.body);
    }
    let page = follow_all(&browser, log_in(&browser, &wrong, &[]).await).await;
    assert!(page.body.contains("asks for access"), "{}", page.body);
}

#[tokio::test]
async fn who_is_remembered_is_asked_nothing_again() {
    let (server, client) = start().await;
    let browser = Browser::new(&server);
    assert_eq!(click_through(&browser).await.target(), CALLBACK);
    let end = follow_all(&browser, browser.authorize(&request()).await).await;
    let (status, tokens) = server.exchange(&client, &end.expect("code")).await;
    assert_eq!(status, 200, "{tokens}");
    let (_, userinfo) = server.userinfo(text(&tokens, "access_token")).await;
    assert_eq!((&userinfo["email"], &userinfo["amr"]), (&json!("alice@example.com"), &json!(["pwd"])));
    let silent = [&request()[..], &[("prompt", "none")]].concat();
    follow_all(&browser, browser.authorize(&silent).await).await.expect("code");

    // Whoever wants to be somebody else logs in anew.
    let page =
        follow_all(&browser, browser.authorize(&[&request()[..], &[("prompt", "consent")]].concat()).await)
            .await;
    let (_, link) = page.body.split_once("<a href=\"").unwrap();
    let link = link.split_once('"').unwrap().0.replace("&#38;", "&");
    let page = follow_all(&browser, browser.open(&link).await).await;
    assert!(page.body.contains("<h1>Log in to "), "{}", page.body);
}

#[tokio::test]
async fn a_user_may_say_no_on_each_page() {
    let (server, _) = start().await;
    let browser = Browser::new(&server);
    let page = follow_all(&browser, browser.authorize(&request()).await).await;
    // As browsers do: without what the form demands.
    let cancelled = [("username", ""), ("password", ""), ("decision", "deny")];
    let end = follow_all(&browser, log_in(&browser, &page, &cancelled).await).await;
    assert_eq!((end.target().as_str(), end.expect("error").as_str()), (CALLBACK, "access_denied"));

    let page = follow_all(&browser, browser.authorize(&request()).await).await;
    let page = follow_all(&browser, log_in(&browser, &page, &[]).await).await;
    for undecided in [&[][..], &[("decision", "maybe")]] {
        let answer = decide(&browser, &page, CONSENT, undecided).await;
        assert_eq!((answer.status.as_u16(), &answer.location), (400, &None), "{undecided:?}");
    }
    let end = follow_all(&browser, decide(&browser, &page, CONSENT, &[("decision", "deny")]).await).await;
    assert_eq!((end.target().as_str(), end.expect("error").as_str()), (CALLBACK, "access_denied"));
}

#[tokio::test]
async fn nobody_is_logged_in_by_a_form_of_somebody_else() {
    let (server, _) = start().await;
    let (attacker, victim) = (Browser::new(&server), Browser::new(&server));
    // What the victim has under way is no help: its challenge is not the attacker's.
    victim.authorize(&request()).await;
    let login = follow_all(&attacker, attacker.authorize(&request()).await).await;
    let forged = log_in(&victim, &login, &[]).await;
    assert_eq!((forged.status.as_u16(), &forged.location, forged.set_cookies.len()), (403, &None, 0));
    assert!(forged.body.contains("did not begin in this browser"), "{}", forged.body);
    let url = format!("{LOGIN}?login_challenge={}", hidden(&login, "login_challenge"));
    assert_eq!(victim.open(&url).await.status, 403, "the page is not even shown");

    let consent = follow_all(&attacker, log_in(&attacker, &login, &[]).await).await;
    let forged = decide(&victim, &consent, CONSENT, &[("decision", "allow")]).await;
    assert_eq!((forged.status.as_u16(), &forged.location), (403, &None));
    let url = format!("{CONSENT}?consent_challenge={}", hidden(&consent, "consent_challenge"));
    assert_eq!(victim.open(&url).await.status, 403);
    // One kind of challenge is none of the other.
    let swapped = format!("{LOGIN}?login_challenge={}", hidden(&consent, "consent_challenge"));
    assert_eq!(attacker.open(&swapped).await.status, 404);
}

#[tokio::test]
async fn a_client_cannot_make_up_the_page() {
    let (server, _) = start().await;
    let browser = Browser::new(&server);
    let hint = [&request()[..], &[("login_hint", "\"><script>alert(1)</script>")]].concat();
    let page = follow_all(&browser, browser.authorize(&hint).await).await;
    assert!(page.body.contains("Log in to Shop &#60;b&#62;&#38;&#60;/b&#62; Co"), "{}", page.body);
    assert!(page.body.contains("value=\"&#34;&#62;&#60;script&#62;"), "{}", page.body);
    assert!(page.body.contains("href=\"https://shop.example.com/\""), "{}", page.body);
    for never in ["javascript:", "logo.png", "<script"] {
        assert!(!page.body.contains(never), "{never}: {}", page.body);
    }
}

#[tokio::test]
async fn a_flow_that_took_too_long_goes_no_further() {
    let clock = manual_clock();
    let server = TestServer::alone(clock.clone(), with_pages()).await;
    prepared(&server, registered()).await;
    let browser = Browser::new(&server);
    let page = follow_all(&browser, browser.authorize(&request()).await).await;
    clock.advance(jiff::SignedDuration::try_from(Duration::from_mins(31)).unwrap());
    let answer = log_in(&browser, &page, &[]).await;
    assert_eq!((answer.status.as_u16(), &answer.location), (401, &None));
    assert!(answer.body.contains("The request has expired"), "{}", answer.body);
}

#[tokio::test]
async fn a_user_logs_out_or_stays() {
    let (server, client) = start().await;
    let browser = Browser::new(&server);
    let end = click_through(&browser).await;
    let (_, tokens) = server.exchange(&client, &end.expect("code")).await;
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("id_token_hint", text(&tokens, "id_token"))
        .append_pair("post_logout_redirect_uri", "https://app.example.com/out")
        .finish();
    let logout = format!("/oauth2/sessions/logout?{query}");
    let page = follow_all(&browser, browser.open(&logout).await).await;
    assert!(page.body.contains("asks to log you out") && page.body.contains("alice"), "{}", page.body);
    let stays = decide(&browser, &page, LOGOUT, &[("decision", "deny")]).await;
    assert!(stays.body.contains("You are still logged in"), "{}", stays.body);

    let stranger = Browser::new(&server);
    let login = follow_all(&stranger, stranger.authorize(&request()).await).await;
    follow_all(&stranger, log_in(&stranger, &login, &[("remember", "yes")]).await).await.expect("code");
    let forged = decide(&stranger, &page, LOGOUT, &[("decision", "allow")]).await;
    assert_eq!((forged.status.as_u16(), &forged.location), (403, &None), "it is another browser's");
    follow_all(&browser, browser.authorize(&REQUEST).await).await.expect("code");

    let end = follow_all(&browser, decide(&browser, &page, LOGOUT, &[("decision", "allow")]).await).await;
    assert_eq!(end.target(), "https://app.example.com/out");
    let page = follow_all(&browser, browser.authorize(&request()).await).await;
    assert!(page.body.contains("Log in to"), "{}", page.body);
    let end = follow_all(&browser, browser.open("/oauth2/sessions/logout").await).await;
    assert!(end.body.contains("Your log out request however succeeded."), "{}", end.body);
    assert!(!end.body.contains("URLS_"), "in a demonstration nobody is to configure anything: {}", end.body);
}

#[tokio::test]
async fn a_user_lets_a_device_in_or_not() {
    let server = TestServer::alone(Clock::system(), with_pages()).await;
    let mut metadata = registered();
    metadata["grant_types"] = json!([DEVICE_GRANT, "refresh_token"]);
    let client = prepared(&server, metadata).await;
    for (decision, told, status, error) in [
        ("allow", "Your device is connected", 200, Value::Null),
        ("deny", "The user did not consent.", 400, json!("access_denied")),
    ] {
        let (device, browser) = (Device::start(&server, &client).await, Browser::new(&server));
        let uri = text(&device.codes, "verification_uri_complete");
        let page = follow_all(&browser, browser.open(uri).await).await;
        assert!(page.body.contains(&format!("value=\"{}\"", device.user_code())), "{}", page.body);
        let challenge = hidden(&page, "device_challenge");
        let form = [("device_challenge", challenge.as_str()), ("user_code", device.user_code())];
        let page = follow_all(&browser, browser.post("/oauth2/device/verify", &form).await).await;
        assert!(page.body.contains("Log in to Shop"), "{}", page.body);
        let page = follow_all(&browser, log_in(&browser, &page, &[]).await).await;
        assert!(page.body.contains("It asks for a device."), "{}", page.body);
        for of_a_client in ["you go on to", "Log in as somebody else"] {
            assert!(!page.body.contains(of_a_client), "{}", page.body);
        }
        let decided = decide(&browser, &page, CONSENT, &[("decision", decision)]).await;
        let end = follow_all(&browser, decided).await;
        assert!(end.body.contains(told), "{}", end.body);
        let (got, answer) = device.poll().await;
        assert_eq!((got, &answer["error"]), (status, &error), "{answer}");
    }
    for (verdict, kind, count) in [
        ("accepted", "device", 2.0),
        ("accepted", "login", 2.0),
        ("accepted", "consent", 1.0),
        ("rejected", "consent", 1.0),
    ] {
        let series = format!("oauth2_{verdict}_challenges_total{{kind=\"{kind}\"}}");
        assert_eq!(server.metric(&series).await, Some(count), "{series}");
    }
}

#[tokio::test]
async fn a_page_that_is_configured_elsewhere_is_not_served_here() {
    let elsewhere = PageUrls {
        login: Some("https://pages.example.com/login".to_owned()),
        consent: Some("https://pages.example.com/consent".to_owned()),
        logout: Some("https://pages.example.com/logout".to_owned()),
        ..PageUrls::default()
    };
    let server = TestServer::alone(Clock::system(), Settings { pages: elsewhere, ..with_pages() }).await;
    prepared(&server, registered()).await;
    let browser = Browser::new(&server);
    let challenge = browser.authorize(&request()).await.expect("login_challenge");
    let form = [("login_challenge", challenge.as_str()), ("username", "alice"), ("password", PASSWORD)];
    for (answer, variable) in [
        (browser.post(LOGIN, &form).await, "URLS_LOGIN"),
        (browser.open(&format!("{LOGIN}?login_challenge={challenge}")).await, "URLS_LOGIN"),
        (browser.open(CONSENT).await, "URLS_CONSENT"),
        (browser.open(LOGOUT).await, "URLS_LOGOUT"),
    ] {
        assert_eq!(answer.location, None);
        assert!(answer.body.contains(variable), "{}", answer.body);
    }
}

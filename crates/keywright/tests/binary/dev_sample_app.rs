//! The sample app: from the printed address to the tokens and back, by the built-in pages.

use std::fs;
use std::net::TcpListener;
use std::path::Path;

use crate::support::browser::Page;
use crate::support::dev::client;
use crate::support::{Browser, Dev, Process, eventually, free_port, run};

/// The sample's manifest, for an app that listens elsewhere: so it does not name where the browser goes after a logout.
fn manifest() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/samples/sample-app.yaml");
    fs::read_to_string(path).unwrap()
}

fn app(dev: &Dev) -> String {
    format!("http://127.0.0.1:{}/", dev.sample_app)
}

/// Presses the app's button.
async fn begin(browser: &mut Browser, dev: &Dev) -> Page {
    let home = browser.open(&app(dev)).await;
    browser.submit(&home, &format!("{}login", app(dev)), &[]).await
}

async fn log_in(browser: &mut Browser, page: &Page, username: &str, password: &str) -> Page {
    browser
        .submit(page, "login", &[("username", username), ("password", password), ("remember", "yes")])
        .await
}

/// What stands in the element with an id.
fn element<'a>(page: &'a Page, id: &str) -> &'a str {
    let begin = format!("id=\"{id}\">");
    let (_, rest) = page.body.split_once(&begin).unwrap_or_else(|| panic!("no {id} in {page:?}"));
    rest.split_once('<').unwrap().0
}

fn shows(page: &Page, texts: &[&str]) {
    for text in texts {
        assert!(page.body.contains(text), "no {text:?} in {page:?}");
    }
}

#[tokio::test]
async fn a_user_clicks_from_the_printed_address_to_tokens_and_logs_out() {
    let dev = Dev::started(&[("sample-app.yaml", manifest())]).await;
    let welcome = dev.process().stdout();
    let printed =
        format!("Log in with a browser as alice with the password wonderland:\n\n  {}\n", app(&dev));
    assert!(welcome.contains(&printed), "{welcome}");

    let mut browser = Browser::new();
    let page = begin(&mut browser, &dev).await;
    shows(&page, &["Log in to Sample app", "autocomplete=\"current-password\""]);
    let page = log_in(&mut browser, &page, "alice", "mock turtle").await;
    assert_eq!(page.status, 403);
    shows(&page, &["The user name or the password is wrong."]);
    let page = log_in(&mut browser, &page, "alice", "wonderland").await;
    shows(&page, &["Sample app asks for access", "See your email address", "<code>groups</code>"]);
    let page = browser.submit(&page, "consent", &[("decision", "allow"), ("remember", "yes")]).await;
    assert_eq!((page.url.as_str(), page.status), (app(&dev).as_str(), 200));
    shows(&page, &["Hello, Alice Liddell", "alice@example.com", "admins", "&#34;active&#34;: true"]);
    let (access, refresh) = (element(&page, "access-token"), element(&page, "refresh-token"));
    assert!(dev.is_active(access).await && dev.is_active(refresh).await);

    let refreshed = browser.submit(&page, "/refresh", &[]).await;
    shows(&refreshed, &["Hello, Alice Liddell"]);
    assert_ne!(element(&refreshed, "access-token"), access);
    assert!(dev.is_active(element(&refreshed, "refresh-token")).await && !dev.is_active(refresh).await);

    // Whom the server remembers comes in by the button alone.
    browser.forget("keywright_sample_app");
    let again = begin(&mut browser, &dev).await;
    shows(&again, &["Hello, Alice Liddell"]);

    let page = browser.submit(&again, "/logout", &[]).await;
    shows(&page, &["Sample app</strong> asks to log you out", "alice"]);
    let page = browser.submit(&page, "logout", &[("decision", "allow")]).await;
    shows(&page, &["Your log out request however succeeded."]);
    assert!(!browser.has_cookie("ory_hydra_session_dev"));
    let page = begin(&mut browser, &dev).await;
    shows(&page, &["Log in to Sample app"]);
}

#[tokio::test]
async fn a_user_who_says_no_is_told_by_the_app() {
    let dev = Dev::started(&[("sample-app.yaml", manifest())]).await;
    let mut browser = Browser::new();
    let page = begin(&mut browser, &dev).await;
    let page = log_in(&mut browser, &page, "bob", "builder").await;
    let page = browser.submit(&page, "consent", &[("decision", "deny")]).await;
    assert_eq!(page.status, 502);
    shows(&page, &["That did not work", "access_denied: The user did not consent."]);
    // Nobody else's answer logs anybody in.
    let page = browser.open(&format!("{}callback?code=x&state=y", app(&dev))).await;
    shows(&page, &["no login has begun in this browser"]);
    begin(&mut browser, &dev).await;
    let page = browser.open(&format!("{}callback?code=x&state=y", app(&dev))).await;
    shows(&page, &["the answer is not to the login that began here"]);
}

#[tokio::test]
async fn users_of_ones_own_take_the_place_of_the_default_ones() {
    let mut dev = Dev::prepared();
    dev.write("sample-app.yaml", &manifest());
    let users = dev.elsewhere("users.yaml");
    fs::write(&users, "users:\n- {username: carol, password: christmas, claims: {name: Carol}}\n").unwrap();
    dev.arguments = vec!["--users".to_owned(), users.display().to_string()];
    dev.start().await;
    let welcome = dev.process().stdout();
    assert!(welcome.contains("Log in with a browser:\n") && !welcome.contains("alice"), "{welcome}");
    let mut browser = Browser::new();
    let page = begin(&mut browser, &dev).await;
    assert_eq!(log_in(&mut browser, &page, "alice", "wonderland").await.status, 403);
    let page = log_in(&mut browser, &page, "carol", "christmas").await;
    let page = browser.submit(&page, "consent", &[("decision", "allow")]).await;
    shows(&page, &["Hello, Carol"]);

    let (manifests, data) =
        (dev.manifests().display().to_string(), dev.elsewhere("other").display().to_string());
    fs::write(&users, "users:\n- {username: carol, password: 12345}\n").unwrap();
    let arguments = ["dev", "--manifests", &manifests, "--data", &data, "--users", users.to_str().unwrap()];
    let ended = run(&arguments, &[]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("the users in ") && ended.stderr.contains("quotes"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("12345"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_default_address_that_is_taken_stops_nothing_but_the_sample_app() {
    let dev = Dev::prepared();
    dev.write("sample-app.yaml", &manifest());
    // Taken by this, or by whatever has it already.
    let _taken = TcpListener::bind("127.0.0.1:5555");
    let (manifests, data) = (dev.manifests().display().to_string(), dev.data().display().to_string());
    let variables =
        [("SERVE_PUBLIC_PORT", free_port().to_string()), ("SERVE_ADMIN_PORT", free_port().to_string())];
    let process = Process::start(&["dev", "--manifests", &manifests, "--data", &data], &variables);
    eventually("it is up", || async { process.stdout().contains("Ctrl-C stops.") }).await;
    assert!(
        process.stderr().contains("no sample app: cannot listen on 127.0.0.1:5555"),
        "{}",
        process.stderr()
    );
    assert!(!process.stdout().contains("Log in with a browser"), "{}", process.stdout());
    process.kill().await;
}

#[tokio::test]
async fn there_is_no_sample_app_without_its_client_or_where_it_cannot_listen() {
    let dev = Dev::started(&[("a.yaml", client("a", &[]))]).await;
    assert!(!dev.process().stdout().contains("Log in with a browser"));
    let mut browser = Browser::new();
    let page = begin(&mut browser, &dev).await;
    shows(&page, &["no OAuth2Client default/sample-app: see config/samples/sample-app.yaml"]);

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    for (address, message) in [
        (format!("127.0.0.1:{port}"), format!("--sample-app: cannot listen on 127.0.0.1:{port}")),
        ("0.0.0.0:5555".to_owned(), "the sample app listens on a loopback address only".to_owned()),
    ] {
        let (manifests, data) =
            (dev.manifests().display().to_string(), dev.elsewhere("d").display().to_string());
        let arguments = ["dev", "--manifests", &manifests, "--data", &data, "--sample-app", &address];
        let variables =
            [("SERVE_PUBLIC_PORT", free_port().to_string()), ("SERVE_ADMIN_PORT", free_port().to_string())];
        let ended = run(&arguments, &variables).await;
        assert!(ended.code != Some(0) && ended.stderr.contains(&message), "{ended:?}");
    }
}

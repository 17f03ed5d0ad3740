//! The commands that ask a running server.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::dev::shop;
use crate::support::process::Ended;
use crate::support::{Browser, Dev, Process, eventually, free_port, run};

/// Runs a command against the admin API, or the public one.
async fn ask(port: u16, arguments: &[&str], more: &[(&'static str, &str)]) -> Ended {
    let mut variables = vec![("ORY_SDK_URL", format!("http://127.0.0.1:{port}"))];
    variables.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    run(arguments, &variables).await
}

async fn json(port: u16, arguments: &[&str]) -> Value {
    let ended = ask(port, &[arguments, &["--format", "json"]].concat(), &[]).await;
    assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
    serde_json::from_str(&ended.stdout).unwrap()
}

#[tokio::test]
async fn a_client_is_made_shown_changed_used_and_deleted() {
    let dev = Dev::started(&[]).await;
    let (admin, public) = (dev.admin, dev.public);
    let created = json(
        admin,
        &[
            "create",
            "oauth2-client",
            "--id",
            "shop/1",
            "--name",
            "Shop",
            "--grant-type",
            "client_credentials",
            "--scope",
            "read,write",
            "--metadata",
            "{\"team\": 7}",
        ],
    )
    .await;
    let secret = created["client_secret"].as_str().unwrap();
    assert_eq!(
        (created["client_id"].as_str(), created["scope"].as_str()),
        (Some("shop/1"), Some("read write"))
    );
    let shown = json(admin, &["get", "client", "shop/1"]).await;
    assert_eq!((&shown["client_name"], &shown["metadata"]["team"]), (&"Shop".into(), &7.into()));

    let changed = json(admin, &["update", "client", "shop/1", "--name", "New"]).await;
    assert_eq!((&changed["client_name"], &changed["scope"]), (&"New".into(), &"read write".into()));
    let nothing = ask(admin, &["update", "client", "shop/1"], &[]).await;
    assert!(nothing.code == Some(1) && nothing.stderr.contains("nothing to change"), "{nothing:?}");

    let credentials = [("OAUTH2_CLIENT_ID", "shop/1"), ("OAUTH2_CLIENT_SECRET", secret)];
    let perform = ["perform", "client-credentials", "--scope", "read", "--quiet"];
    let token = ask(public, &perform, &credentials).await;
    assert_eq!(token.code, Some(0), "{}", token.stderr);
    let token = token.stdout.trim();
    let told = json(admin, &["introspect", "token", token]).await;
    assert_eq!((&told["active"], &told["scope"]), (&true.into(), &"read".into()));
    assert_eq!(json(admin, &["introspect", "token", token, "--scope", "write"]).await["active"], false);
    assert_eq!(ask(public, &["revoke", "token", token], &credentials).await.code, Some(0));
    assert_eq!(json(admin, &["introspect", "token", token]).await["active"], false);

    let deleted = ask(admin, &["delete", "client", "absent", "shop/1"], &[]).await;
    assert_eq!((deleted.code, deleted.stdout.as_str()), (Some(1), "shop/1\n"), "{}", deleted.stderr);
    assert!(deleted.stderr.contains("1 of 2 clients were not deleted"), "{}", deleted.stderr);
    let gone = ask(admin, &["get", "client", "shop/1"], &[]).await;
    assert!(gone.code == Some(1) && gone.stderr.contains("404"), "{gone:?}");
}

#[tokio::test]
async fn clients_come_from_files_and_are_listed_page_by_page() {
    let dev = Dev::started(&[]).await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("clients.json");
    fs::write(&file, r#"[{"client_id": "a", "scope": "x"}, {"client_id": "b"}]"#).unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(json(dev.admin, &["import", "client", file]).await.as_array().unwrap().len(), 2);
    let again = ask(dev.admin, &["import", "client", file], &[]).await;
    assert!(again.code == Some(1) && again.stderr.contains("409"), "{again:?}");

    let first = json(dev.admin, &["list", "oauth2-clients", "--page-size", "1"]).await;
    assert_eq!((&first["items"][0]["client_id"], &first["is_last_page"]), (&"a".into(), &false.into()));
    let next = first["next_page_token"].as_str().unwrap();
    let second = json(dev.admin, &["list", "clients", "--page-size", "1", "--page-token", next]).await;
    assert_eq!(second["items"][0]["client_id"], "b");

    let table = ask(dev.admin, &["list", "clients"], &[]).await.stdout;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("CLIENT ID  CLIENT SECRET") && lines[1].starts_with("a  "), "{table}");
    assert_eq!(ask(dev.admin, &["list", "clients", "-q"], &[]).await.stdout, "a\nb\n");
    let yaml = ask(dev.admin, &["get", "client", "a", "--format", "yaml"], &[]).await.stdout;
    assert!(yaml.contains("client_id: a\n"), "{yaml}");
    let pointed = ask(dev.admin, &["get", "client", "a", "--format", "jsonpointer=/scope"], &[]).await;
    assert_eq!(pointed.stdout, "x\n");
    let unknown = ask(dev.admin, &["get", "client", "a", "--format", "xml"], &[]).await;
    assert!(unknown.code == Some(1) && unknown.stderr.contains("--format must be"), "{unknown:?}");
}

#[tokio::test]
async fn without_a_server_the_commands_say_so() {
    let ended = run(&["list", "clients"], &[]).await;
    assert!(ended.code == Some(1) && ended.stderr.contains("ORY_SDK_URL"), "{ended:?}");
    let ended = run(&["list", "clients", "-e", "http://127.0.0.1:1"], &[]).await;
    assert!(
        ended.code == Some(1) && ended.stderr.contains("http://127.0.0.1:1 does not answer"),
        "{ended:?}"
    );
    let ended = run(&["list", "clients", "-e", "http://127.0.0.1:1", "-H", "hush-hush"], &[]).await;
    assert!(ended.code == Some(1) && !ended.stderr.contains("hush-hush"), "{ended:?}");
    assert_eq!(run(&["list", "nonsense"], &[]).await.code, Some(2));
}

#[tokio::test]
async fn the_janitor_works_once_and_shells_learn_the_commands() {
    let folder = TempDir::new().unwrap();
    let dsn = format!("sqlite://{}", folder.path().join("keywright.db").display());
    let variables = [("SECRETS_SYSTEM", "a-system-secret-for-tests-only".to_owned()), ("DSN", dsn)];
    let ended = run(&["janitor", "-e", "--tokens", "--grants", "--limit", "5"], &variables).await;
    assert!(ended.code == Some(0) && ended.stdout.contains("by itself"), "{ended:?}");
    let script = run(&["completion", "bash"], &[]).await;
    assert!(script.code == Some(0) && script.stdout.contains("client-credentials"), "{}", script.stderr);
}

#[tokio::test]
async fn keys_are_made_shown_imported_and_deleted() {
    let dev = Dev::started(&[]).await;
    let admin = dev.admin;
    let made = json(admin, &["create", "jwk", "shop/1", "first", "--alg", "ES256", "--use", "sig"]).await;
    assert_eq!((&made["set"], &made["keys"][0]["kid"]), (&"shop/1".into(), &"first".into()));
    assert!(made["keys"][0]["d"].is_string());
    let second = json(admin, &["create", "jwks", "shop/1", "--alg", "EdDSA", "--public"]).await;
    assert!(second["keys"][0]["d"].is_null() && second["keys"][0]["x"].is_string());

    let shown = json(admin, &["get", "jwk", "shop/1"]).await;
    assert_eq!(shown["keys"].as_array().unwrap().len(), 2);
    assert!(shown["keys"][0]["d"].is_string());
    let public = json(admin, &["get", "jwks", "shop/1", "--public"]).await;
    assert!(public["keys"].as_array().unwrap().iter().all(|key| key["d"].is_null()));
    let table = ask(admin, &["get", "jwk", "shop/1"], &[]).await.stdout;
    assert!(table.starts_with("SET ID  KEY ID") && table.contains("shop/1  first"), "{table}");

    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let (pem, jwks) = (file("key.pem", &pair.serialize_pem()), file("keys.json", &public.to_string()));
    let imported = json(admin, &["import", "jwk", "other", &pem, &jwks]).await;
    assert_eq!(imported["keys"].as_array().unwrap().len(), 3);
    assert!(imported["keys"].as_array().unwrap().iter().all(|key| key["d"].is_null()), "not shown again");
    let stored = json(admin, &["get", "jwk", "other", "shop/1"]).await;
    let keys = stored[0]["keys"].as_array().unwrap().iter();
    let private: Vec<&Value> = keys.filter(|key| !key["d"].is_null()).map(|key| &key["alg"]).collect();
    assert_eq!((private, &stored[1]["set"]), (vec![&"ES384".into()], &"shop/1".into()));

    let broken = ask(admin, &["import", "jwk", "third", &pem, &file("no.pem", "hush-hush")], &[]).await;
    assert!(broken.code == Some(1) && broken.stderr.contains("no.pem: it is none of"), "{broken:?}");
    assert!(!broken.stderr.contains("hush-hush"));
    let absent = ask(admin, &["get", "jwk", "third"], &[]).await;
    assert!(absent.code == Some(1) && absent.stderr.contains("third"), "no file was sent: {absent:?}");

    let own = ask(admin, &["delete", "jwk", "hydra.openid.id-token", "other"], &[]).await;
    assert_eq!((own.code, own.stdout.as_str()), (Some(1), "other\n"), "{}", own.stderr);
    assert!(own.stderr.contains("409") && own.stderr.contains("1 of 2 key sets"), "{}", own.stderr);
    assert_eq!(ask(admin, &["get", "jwk", "other"], &[]).await.code, Some(1));
}

/// Where the command waits for the browser, as it is registered: without its port.
const CALLBACK: &str = "http://127.0.0.1/callback";

/// Starts a login, and waits for the address that it tells.
async fn logging_in(dev: &Dev, more: &[&str]) -> (Process, String) {
    let port = free_port();
    let variables = [
        ("ORY_SDK_URL", format!("http://127.0.0.1:{}", dev.public)),
        ("OAUTH2_CLIENT_ID", "shop".to_owned()),
        ("OAUTH2_CLIENT_SECRET", dev.client_secret("shop")),
    ];
    let port_text = port.to_string();
    let arguments = ["perform", "authorization-code", "--no-open", "-p", &port_text];
    let process = Process::start(&[&arguments, more].concat(), &variables);
    let home = format!("http://127.0.0.1:{port}/");
    eventually("it tells where", || async { process.stderr().contains(&home) }).await;
    (process, home)
}

#[tokio::test]
async fn somebody_logs_in_with_a_browser_and_the_tokens_are_printed() {
    let dev = Dev::started(&[("shop.yaml", shop(CALLBACK))]).await;
    for mode in ["query", "form_post"] {
        let options = ["--scope", "openid,offline_access", "--format", "json", "--response-mode", mode];
        let (process, home) = logging_in(&dev, &options).await;
        let mut browser = Browser::new();
        let welcome = browser.open(&home).await;
        assert!(welcome.body.contains("shop asks for openid, offline_access"), "{welcome:?}");
        let login = browser.open(&format!("{home}start")).await;
        let page =
            browser.submit(&login, "login", &[("username", "alice"), ("password", "wonderland")]).await;
        let mut page = browser.submit(&page, "consent", &[("decision", "allow")]).await;
        if mode == "form_post" {
            page = browser.submit(&page, &format!("{home}callback"), &[]).await;
        }
        assert!(page.body.contains("You are logged in") && !page.body.contains("ory_"), "{page:?}");
        let ended = process.ended(Duration::from_secs(10)).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let tokens: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert!(dev.is_active(tokens["access_token"].as_str().unwrap()).await);
        assert!(tokens["refresh_token"].is_string() && tokens["id_token"].is_string());
    }
}

#[tokio::test]
async fn a_login_that_fails_is_told_on_the_page_and_by_the_exit_code() {
    let dev = Dev::started(&[("shop.yaml", shop(CALLBACK))]).await;
    let (process, home) = logging_in(&dev, &["--skip", "--scope", "openid", "--prompt", "none"]).await;
    let mut browser = Browser::new();
    let page = browser.open(&home).await;
    assert!(page.status == 400 && page.body.contains("login_required"), "{page:?}");
    let ended = process.ended(Duration::from_secs(10)).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(ended.stderr.contains("login_required"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_foreign_answer_does_not_end_a_login() {
    let dev = Dev::started(&[("shop.yaml", shop(CALLBACK))]).await;
    let (mut process, home) = logging_in(&dev, &["--scope", "openid", "--quiet"]).await;
    let mut browser = Browser::new();
    let login = browser.open(&format!("{home}start")).await;
    let foreign = Browser::new().open(&format!("{home}callback?code=x&state=guessed")).await;
    assert!(foreign.status == 400 && foreign.body.contains("not to the login that began here"));
    assert!(process.runs());
    let page = browser.submit(&login, "login", &[("username", "alice"), ("password", "wonderland")]).await;
    browser.submit(&page, "consent", &[("decision", "allow")]).await;
    let ended = process.ended(Duration::from_secs(10)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(dev.is_active(ended.stdout.trim()).await);
}

#[tokio::test]
async fn a_device_is_let_in_and_its_tokens_are_printed() {
    let device = "\
apiVersion: keywright.dev/v1alpha1
kind: OAuth2Client
metadata: {name: tv}
spec:
  clientId: tv
  grantTypes: [\"urn:ietf:params:oauth:grant-type:device_code\"]
  tokenEndpointAuthMethod: none
  scopes: [openid]
";
    let mut dev = Dev::prepared();
    dev.write("device.yaml", device);
    dev.variables = vec![("OAUTH2_DEVICE_AUTHORIZATION_TOKEN_POLLING_INTERVAL", "1s".to_owned())];
    dev.start().await;
    let variables = [("ORY_SDK_URL", format!("http://127.0.0.1:{}", dev.public))];
    let arguments = ["perform", "device-code", "--client-id", "tv", "--scope", "openid", "--quiet"];
    let process = Process::start(&arguments, &variables);
    eventually("it shows the code", || async { process.stderr().contains("at once") }).await;
    let said = process.stderr();
    let code = said.split_once(" and enter ").unwrap().1.split_once('.').unwrap().0;
    let (_, link) = said.split_once("Or open ").unwrap();
    let mut browser = Browser::new();
    let page = browser.open(link.split(' ').next().unwrap()).await;
    let verify = dev.url("/oauth2/device/verify");
    let page = browser.submit(&page, &verify, &[("user_code", code)]).await;
    let page = browser.submit(&page, "login", &[("username", "alice"), ("password", "wonderland")]).await;
    browser.submit(&page, "consent", &[("decision", "allow")]).await;
    let ended = process.ended(Duration::from_secs(20)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(dev.is_active(ended.stdout.trim()).await);
}

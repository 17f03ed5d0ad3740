//! A declared client logs somebody in: from the manifest to the tokens, by the pages that the configuration names.

use serde_json::{Value, json};
use url::Url;

use crate::support::dev::shop;
use crate::support::{Browser, Dev};

const CALLBACK: &str = "http://127.0.0.1:9/cb";

fn parameter(url: &Url, name: &str) -> String {
    let found = url.query_pairs().find(|(known, _)| known == name);
    found.unwrap_or_else(|| panic!("no {name} in {url}")).1.into_owned()
}

/// Answers as a login or consent app does, and gives where the browser is to go.
async fn accept(dev: &Dev, kind: &str, challenge: &str, answer: &Value) -> String {
    let url = dev.admin_url(&format!("/admin/oauth2/auth/requests/{kind}/accept"));
    let request = reqwest::Client::new().put(url).query(&[(format!("{kind}_challenge"), challenge)]);
    let answer: Value = request.json(answer).send().await.unwrap().json().await.unwrap();
    answer["redirect_to"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
}

#[tokio::test]
async fn a_declared_client_logs_somebody_in() {
    let mut dev = Dev::prepared();
    dev.write("shop.yaml", &shop("http://127.0.0.1/cb"));
    dev.variables = vec![
        ("URLS_LOGIN", "http://127.0.0.1:9/login".to_owned()),
        ("URLS_CONSENT", "http://127.0.0.1:9/consent".to_owned()),
    ];
    dev.start().await;
    let ready = dev.stands("shop", "True", "Synced").await;
    assert!(!ready.message.contains("not served yet"), "{}", ready.message);

    let mut browser = Browser::new();
    let request = Url::parse_with_params(
        &dev.url("/oauth2/auth"),
        [
            ("client_id", "shop"),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid offline_access"),
            ("state", "a-long-state"),
        ],
    );
    let login = browser.redirected(request.unwrap().as_str()).await;
    assert_eq!((login.port(), login.path()), (Some(9), "/login"));
    let challenge = parameter(&login, "login_challenge");
    let answer = json!({"subject": "alice", "remember": true});
    let consent = browser.redirected(&accept(&dev, "login", &challenge, &answer).await).await;
    let challenge = parameter(&consent, "consent_challenge");
    let answer = json!({"grant_scope": ["openid", "offline_access"]});
    let end = browser.redirected(&accept(&dev, "consent", &challenge, &answer).await).await;
    assert_eq!((end.path(), parameter(&end, "state").as_str()), ("/cb", "a-long-state"));
    assert!(browser.has_cookie("ory_hydra_session_dev"));

    let code = parameter(&end, "code");
    let form = [("grant_type", "authorization_code"), ("code", &code), ("redirect_uri", CALLBACK)];
    let secret = dev.client_secret("shop");
    let request = dev.post(dev.url("/oauth2/token"), &form).basic_auth("shop", Some(&secret));
    let tokens: Value = request.send().await.unwrap().json().await.unwrap();
    let token = |name: &str| tokens[name].as_str().unwrap_or_else(|| panic!("{tokens}")).to_owned();
    assert!(dev.is_active(&token("access_token")).await && dev.is_active(&token("refresh_token")).await);
    assert_eq!(token("id_token").split('.').count(), 3);

    // With the resource, all that it was given goes.
    dev.remove("shop.yaml");
    crate::support::eventually("the token is dead", || async {
        !dev.is_active(&token("access_token")).await
    })
    .await;
    assert!(!dev.is_active(&token("refresh_token")).await);
}

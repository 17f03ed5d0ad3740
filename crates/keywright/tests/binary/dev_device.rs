//! The device of the samples is let in, by the built-in pages.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{Browser, Dev};

const CLIENT: (&str, &str) = ("client_id", "television");

fn manifest() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/samples/device.yaml");
    fs::read_to_string(path).unwrap()
}

async fn asked(dev: &Dev, path: &str, form: &[(&str, &str)]) -> Value {
    dev.post(dev.url(path), form).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn a_user_clicks_from_the_code_on_the_device_to_its_tokens() {
    let dev = Dev::started(&[("device.yaml", manifest())]).await;
    let codes = asked(&dev, "/oauth2/device/auth", &[CLIENT, ("scope", "openid profile")]).await;
    let code = |name: &str| codes[name].as_str().unwrap_or_else(|| panic!("{codes}"));

    let mut browser = Browser::new();
    let page = browser.open(code("verification_uri")).await;
    assert!(page.body.contains("<h1>Connect a device</h1>"), "{page:?}");
    let verify = dev.url("/oauth2/device/verify");
    let page = browser.submit(&page, &verify, &[("user_code", code("user_code"))]).await;
    assert!(page.body.contains("<h1>Log in to Television</h1>"), "{page:?}");
    let alice = [("username", "alice"), ("password", "wonderland")];
    let page = browser.submit(&page, "login", &alice).await;
    assert!(page.body.contains("Television asks for access"), "{page:?}");
    let page = browser.submit(&page, "consent", &[("decision", "allow")]).await;
    assert!(page.body.contains("<h1>Your device is connected</h1>"), "{page:?}");

    let grant = ("grant_type", "urn:ietf:params:oauth:grant-type:device_code");
    let tokens = asked(&dev, "/oauth2/token", &[grant, CLIENT, ("device_code", code("device_code"))]).await;
    let token = tokens["access_token"].as_str().unwrap_or_else(|| panic!("{tokens}"));
    assert!(dev.is_active(token).await);
}

//! A device, and the browser of whoever lets it in (RFC 8628).

use serde_json::{Value, json};

use super::browser::{Answer, Browser, alice, all, application, text};
use super::{TestClient, TestServer};

pub const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// What most tests' device has registered.
pub fn device_client() -> Value {
    let mut metadata = application();
    metadata["grant_types"] = json!([DEVICE_GRANT, "refresh_token"]);
    metadata
}

/// A device that has asked for its codes.
pub struct Device<'a> {
    pub server: &'a TestServer,
    pub client: &'a TestClient,
    pub codes: Value,
}

impl<'a> Device<'a> {
    /// Asks for all that the client may have.
    pub async fn start(server: &'a TestServer, client: &'a TestClient) -> Self {
        let (status, codes) = server.device_request(client, &[("scope", "openid offline orders.read")]).await;
        assert_eq!(status, 200, "{codes}");
        Self { server, client, codes }
    }

    pub fn user_code(&self) -> &str {
        text(&self.codes, "user_code")
    }

    /// Asks for the tokens.
    pub async fn poll(&self) -> (u16, Value) {
        self.poll_at(self.server).await
    }

    /// Asks another server for the tokens.
    pub async fn poll_at(&self, server: &TestServer) -> (u16, Value) {
        let form = [("grant_type", DEVICE_GRANT), ("device_code", text(&self.codes, "device_code"))];
        server.token_request(self.client, &form).await
    }

    /// The error that it gets.
    pub async fn refused(&self) -> String {
        let (status, body) = self.poll().await;
        assert_eq!(status, 400, "{body}");
        text(&body, "error").to_owned()
    }

    /// Goes from the entry of the code to the login page.
    pub async fn enter(&self, browser: &Browser<'_>) -> Answer {
        let challenge = browser.visit().await.expect("device_challenge");
        let entered = json!({"user_code": self.user_code()});
        let redirect = self.server.decide("device", "accept", &challenge, entered).await;
        browser.open(&redirect).await
    }

    /// Goes to the consent page.
    pub async fn log_in(&self, browser: &Browser<'_>, login: Value) -> Answer {
        let challenge = self.enter(browser).await.expect("login_challenge");
        let redirect = self.server.decide("login", "accept", &challenge, login).await;
        browser.open(&redirect).await
    }

    /// Lets the device in.
    pub async fn approve(&self, browser: &Browser<'_>) -> Answer {
        let page = self.log_in(browser, alice()).await;
        browser.consent(&page, all()).await
    }

    /// The tokens of a whole flow.
    pub async fn tokens(&self) -> Value {
        self.approve(&Browser::new(self.server)).await;
        let (status, tokens) = self.poll().await;
        assert_eq!(status, 200, "{tokens}");
        tokens
    }
}

impl Browser<'_> {
    /// Goes where the device says.
    pub async fn visit(&self) -> Answer {
        self.open("/oauth2/device/verify").await
    }
}

impl TestServer {
    /// Sends a form to the device authorization endpoint, with the client's credentials.
    pub async fn device_request(&self, client: &TestClient, form: &[(&str, &str)]) -> (u16, Value) {
        let request = self.http.post(self.public_url("/oauth2/device/auth")).form(form);
        let request = request.basic_auth(client.id.as_str(), Some(client.secret.expose()));
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

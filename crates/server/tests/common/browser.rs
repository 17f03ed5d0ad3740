//! A browser, and the apps that it meets on its way.

use std::collections::BTreeMap;
use std::sync::Mutex;

use jose::SigningAlgorithm;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, Validation};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_SECURITY_POLICY, COOKIE, LOCATION, SET_COOKIE};
use serde_json::{Value, json};
use url::Url;

use super::{TestClient, TestServer, make_token_sets};

/// The redirect URI of most tests' client.
pub const CALLBACK: &str = "https://app.example.com/cb";

/// RFC 7636 appendix B.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// What most tests' application has registered.
pub fn application() -> Value {
    json!({
        "redirect_uris": [CALLBACK],
        "grant_types": ["authorization_code", "refresh_token"],
        "scope": "openid offline orders.*",
        "audience": ["https://api.example.com"],
    })
}

/// The same, which may also have tokens from the authorization endpoint.
pub fn front_channel_application() -> Value {
    let mut metadata = application();
    metadata["grant_types"] = json!(["authorization_code", "implicit", "refresh_token"]);
    metadata["response_types"] = json!([
        "code",
        "id_token",
        "token",
        "id_token token",
        "code id_token",
        "code token",
        "code id_token token",
    ]);
    metadata
}

/// Gives a server its keys and an application `app` of which this is registered; its caches are in use when this
/// returns.
pub async fn prepared(server: &TestServer, metadata: Value) -> TestClient {
    make_token_sets(&server.store, SigningAlgorithm::Es256).await;
    let client = TestClient::create(&server.store, "app", metadata).await;
    server.cached().await;
    client
}

/// What most tests' application asks for.
pub const REQUEST: [(&str, &str); 8] = [
    ("client_id", "app"),
    ("response_type", "code"),
    ("redirect_uri", CALLBACK),
    ("scope", "openid offline orders.read"),
    ("state", "3y6rRzWq0yQvXzJ1mYk0WQ"),
    ("nonce", "Zt2l4lWmUe0V7lJ3YbX0Hg"),
    ("code_challenge", CHALLENGE),
    ("code_challenge_method", "S256"),
];

/// The usual request, with some parameters changed or added; an empty value takes one away.
pub fn request_with(changes: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    let unchanged = REQUEST.iter().filter(|(name, _)| !changes.iter().any(|(changed, _)| changed == name));
    unchanged.chain(changes.iter().filter(|(_, value)| !value.is_empty())).copied().collect()
}

/// An answer that a browser got.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub location: Option<Url>,
    pub body: String,
    pub set_cookies: Vec<String>,
    /// The content security policy.
    pub policy: String,
}

impl Answer {
    /// A parameter of where the browser was sent: of its query, or of its fragment.
    pub fn parameter(&self, name: &str) -> Option<String> {
        let url = self.location.as_ref()?;
        let fragment = url.fragment().map(|text| form_urlencoded::parse(text.as_bytes()));
        let mut pairs = url.query_pairs().chain(fragment.into_iter().flatten());
        pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
    }

    /// The names of all parameters, sorted; the fragment's where there is one.
    pub fn names(&self) -> Vec<String> {
        let url = self.location.as_ref().unwrap_or_else(|| panic!("no redirect: {self:?}"));
        let carried = url.fragment().or(url.query()).unwrap_or_default();
        let mut names: Vec<_> =
            form_urlencoded::parse(carried.as_bytes()).map(|(name, _)| name.into_owned()).collect();
        names.sort_unstable();
        names
    }

    /// A parameter that must be there.
    pub fn expect(&self, name: &str) -> String {
        self.parameter(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// Where the browser was sent, without the query.
    pub fn target(&self) -> String {
        let url = self.location.as_ref().unwrap_or_else(|| panic!("no redirect: {self:?}"));
        format!("{}{}", url.origin().ascii_serialization(), url.path())
    }
}

/// A browser that stops at each redirect.
pub struct Browser<'a> {
    pub server: &'a TestServer,
    cookies: Mutex<BTreeMap<String, String>>,
    http: reqwest::Client,
}

impl<'a> Browser<'a> {
    pub fn new(server: &'a TestServer) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { server, cookies: Mutex::default(), http }
    }

    /// The same browser, that another server of the installation answers from now on.
    pub fn at(self, server: &TestServer) -> Browser<'_> {
        Browser { server, cookies: self.cookies, http: self.http }
    }

    pub fn cookie_names(&self) -> Vec<String> {
        self.cookies.lock().unwrap().keys().cloned().collect()
    }

    /// Keeps a cookie that no server set.
    pub fn set_cookie(&self, name: &str, value: &str) {
        self.cookies.lock().unwrap().insert(name.to_owned(), value.to_owned());
    }

    /// The value of a cookie.
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.cookies.lock().unwrap().get(name).cloned()
    }

    /// Goes to an address of the server, by whatever host it is named.
    pub async fn open(&self, url: &str) -> Answer {
        let url = Url::parse("https://id.example.com").unwrap().join(url).unwrap();
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let request = self.http.get(self.server.public_url(&format!("{}{query}", url.path())));
        self.send(request).await
    }

    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.send(self.http.post(self.server.public_url(path)).form(form)).await
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        let cookies: Vec<_> =
            self.cookies.lock().unwrap().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let response = request.header(COOKIE, cookies.join("; ")).send().await.unwrap();
        let text = |value: &reqwest::header::HeaderValue| value.to_str().unwrap().to_owned();
        let set_cookies: Vec<_> = response.headers().get_all(SET_COOKIE).iter().map(text).collect();
        for cookie in &set_cookies {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            let mut cookies = self.cookies.lock().unwrap();
            if cookie.contains("Max-Age=0") {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let location = response.headers().get(LOCATION).map(|value| Url::parse(&text(value)).unwrap());
        let policy = response.headers().get(CONTENT_SECURITY_POLICY).map(text).unwrap_or_default();
        Answer {
            status: response.status(),
            location,
            set_cookies,
            policy,
            body: response.text().await.unwrap(),
        }
    }

    /// Begins a flow.
    pub async fn authorize(&self, request: &[(&str, &str)]) -> Answer {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(request).finish();
        self.open(&format!("/oauth2/auth?{query}")).await
    }

    /// Goes from the authorization request to the consent page.
    pub async fn log_in(&self, request: &[(&str, &str)], login: Value) -> Answer {
        let answer = self.authorize(request).await;
        let redirect = self.server.decide("login", "accept", &answer.expect("login_challenge"), login).await;
        self.open(&redirect).await
    }

    /// Goes on from the consent page.
    pub async fn consent(&self, page: &Answer, consent: Value) -> Answer {
        let challenge = page.expect("consent_challenge");
        let redirect = self.server.decide("consent", "accept", &challenge, consent).await;
        self.open(&redirect).await
    }

    /// The code of a whole flow.
    pub async fn code(&self, request: &[(&str, &str)]) -> String {
        let page = self.log_in(request, alice()).await;
        self.consent(&page, all()).await.expect("code")
    }
}

/// The claims of a JWT, verified as a client would.
pub async fn verified(server: &TestServer, token: &str) -> Value {
    let keys: JwkSet = server.get("/.well-known/jwks.json").await.json().await.unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    let key = DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).unwrap()).unwrap();
    let mut validation = Validation::new(header.alg);
    validation.validate_exp = false;
    validation.validate_aud = false;
    jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap().claims
}

impl Browser<'_> {
    /// Alice logs in and is remembered; her ID token and access token.
    pub async fn logged_in(&self, client: &TestClient) -> (String, String) {
        self.logged_in_by(client, json!({"subject": "alice", "remember": true})).await
    }

    /// The ID token and access token of whom the login app says so.
    pub async fn logged_in_by(&self, client: &TestClient, login: Value) -> (String, String) {
        let mut request = REQUEST;
        request[0].1 = client.id.as_str();
        let page = self.log_in(&request, login).await;
        let end = self.consent(&page, all()).await;
        let (status, tokens) = self.server.exchange(client, &end.expect("code")).await;
        assert_eq!(status, 200, "{tokens}");
        (text(&tokens, "id_token").to_owned(), text(&tokens, "access_token").to_owned())
    }

    pub async fn log_out(&self, parameters: &[(&str, &str)]) -> Answer {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        self.open(&format!("/oauth2/sessions/logout?{query}")).await
    }

    pub async fn is_logged_in(&self) -> bool {
        let challenge = self.authorize(&REQUEST).await.expect("login_challenge");
        self.server.asked("login", &challenge).await.json::<Value>().await.unwrap()["skip"].as_bool().unwrap()
    }

    /// Logs out as the user whom the logout app asks, and who agrees.
    pub async fn agree_to_log_out(&self, parameters: &[(&str, &str)]) -> Answer {
        let challenge = self.log_out(parameters).await.expect("logout_challenge");
        self.open(&self.server.decide("logout", "accept", &challenge, Value::Null).await).await
    }
}

/// What the login app says of Alice.
pub fn alice() -> Value {
    json!({"subject": "alice", "amr": ["pwd"], "acr": "1"})
}

/// What the consent app says where all is granted.
pub fn all() -> Value {
    json!({
        "grant_scope": ["openid", "offline", "orders.read"],
        "session": {"id_token": {"email": "alice@example.com"}, "access_token": {"tenant": 7}},
    })
}

impl TestServer {
    /// What an app is asked.
    pub async fn asked(&self, kind: &str, challenge: &str) -> reqwest::Response {
        let url = self.admin_url(&format!("/admin/oauth2/auth/requests/{kind}"));
        self.http.get(url).query(&[(format!("{kind}_challenge"), challenge)]).send().await.unwrap()
    }

    /// What an app answers.
    pub async fn answer(&self, kind: &str, what: &str, challenge: &str, body: Value) -> reqwest::Response {
        let url = self.admin_url(&format!("/admin/oauth2/auth/requests/{kind}/{what}"));
        self.http
            .put(url)
            .query(&[(format!("{kind}_challenge"), challenge)])
            .json(&body)
            .send()
            .await
            .unwrap()
    }

    /// Where the browser goes after an app's answer.
    pub async fn decide(&self, kind: &str, what: &str, challenge: &str, body: Value) -> String {
        let response = self.answer(kind, what, challenge, body).await;
        let (status, text) = (response.status(), response.text().await.unwrap());
        assert_eq!(status, 200, "{text}");
        serde_json::from_str::<Value>(&text).unwrap()["redirect_to"].as_str().unwrap().to_owned()
    }

    /// Sends a form to the token endpoint, with the client's credentials.
    pub async fn token_request(&self, client: &TestClient, form: &[(&str, &str)]) -> (u16, Value) {
        let request = self.http.post(self.public_url("/oauth2/token")).form(form);
        let request = request.basic_auth(client.id.as_str(), Some(client.secret.expose()));
        let response = request.send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Exchanges a code.
    pub async fn exchange(&self, client: &TestClient, code: &str) -> (u16, Value) {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        self.token_request(client, &form).await
    }

    /// The tokens of a whole flow.
    pub async fn tokens(&self, client: &TestClient) -> Value {
        self.tokens_of(client, alice()).await
    }

    /// The tokens of a whole flow in which the login app says this.
    pub async fn tokens_of(&self, client: &TestClient, login: Value) -> Value {
        let browser = Browser::new(self);
        let page = browser.log_in(&REQUEST, login).await;
        let code = browser.consent(&page, all()).await.expect("code");
        let (status, tokens) = self.exchange(client, &code).await;
        assert_eq!(status, 200, "{tokens}");
        tokens
    }

    /// The claims of a JWT, verified as a client would.
    pub async fn verified(&self, token: &str) -> Value {
        let keys: JwkSet = self.get("/.well-known/jwks.json").await.json().await.unwrap();
        let header = jsonwebtoken::decode_header(token).unwrap();
        let key = DecodingKey::from_jwk(keys.find(&header.kid.unwrap()).unwrap()).unwrap();
        let mut validation = Validation::new(header.alg);
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        jsonwebtoken::decode::<Value>(token, &key, &validation).unwrap().claims
    }

    /// Refreshes.
    pub async fn refresh(&self, client: &TestClient, token: &str) -> (u16, Value) {
        self.token_request(client, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
    }

    pub async fn userinfo(&self, token: &str) -> (u16, Value) {
        let response = self.http.get(self.public_url("/userinfo")).bearer_auth(token).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }
}

/// A member that is text.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name} in {value}"))
}

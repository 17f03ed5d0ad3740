//! Every place that takes a sealed value, and one genuine value for each.

use serde_json::{Value, json};
use server::Settings;

use super::browser::{Browser, REQUEST, alice, all, application, prepared, text};
use super::device::{DEVICE_GRANT, Device};
use super::{TestClient, TestServer, settings};

/// Where browsers go after a logout.
const OUT: &str = "https://app.example.com/out";

const SESSION_COOKIE: &str = "ory_hydra_session";

/// A place that takes sealed values of one kind, and who brings them there.
pub struct Door<'a> {
    /// The kind, which is the name of the parameter that carries it where there is one.
    pub kind: &'static str,
    /// A genuine value, without its prefix. An access token's ends with its signature.
    pub value: String,
    /// What values of this kind begin with.
    pub prefix: &'static str,
    /// The browser in which the value belongs, and the address that takes it there.
    by: Option<(Browser<'a>, String)>,
}

/// A server that has all of them.
pub fn with_all_doors() -> Settings {
    let mut settings = settings();
    settings.dynamic_client_registration = true;
    settings.pages.logout = Some("https://pages.example.com/logout".to_owned());
    settings
}

/// The client that may do everything.
pub async fn client_of_all(server: &TestServer) -> TestClient {
    let mut metadata = application();
    metadata["grant_types"] = json!(["authorization_code", "refresh_token", DEVICE_GRANT]);
    metadata["post_logout_redirect_uris"] = json!([OUT]);
    prepared(server, metadata).await
}

/// All doors, each with a value that has not been used.
pub async fn doors<'a>(server: &'a TestServer, client: &TestClient) -> Vec<Door<'a>> {
    let mut doors = Vec::new();
    of_logins(server, &mut doors).await;
    of_devices_and_logouts(server, client, &mut doors).await;
    of_clients(server, client, &mut doors).await;
    doors
}

fn door(kind: &'static str, prefix: &'static str, value: &str) -> Door<'static> {
    Door { kind, value: value.strip_prefix(prefix).unwrap().to_owned(), prefix, by: None }
}

/// The value of an address that takes it.
fn carried<'a>(kind: &'static str, browser: Browser<'a>, address: String) -> Door<'a> {
    let url = url::Url::parse(&address).unwrap();
    let value = url.query_pairs().find(|(name, _)| name == kind).unwrap().1.into_owned();
    Door { kind, value, prefix: "", by: Some((browser, address)) }
}

async fn of_logins<'a>(server: &'a TestServer, doors: &mut Vec<Door<'a>>) {
    let start = Browser::new(server).authorize(&REQUEST).await;
    doors.push(door("login_challenge", "", &start.expect("login_challenge")));
    let browser = Browser::new(server);
    let challenge = browser.authorize(&REQUEST).await.expect("login_challenge");
    let address = server.decide("login", "accept", &challenge, alice()).await;
    doors.push(carried("login_verifier", browser, address));

    let page = Browser::new(server).log_in(&REQUEST, alice()).await;
    doors.push(door("consent_challenge", "", &page.expect("consent_challenge")));
    let browser = Browser::new(server);
    let challenge = browser.log_in(&REQUEST, alice()).await.expect("consent_challenge");
    let address = server.decide("consent", "accept", &challenge, all()).await;
    doors.push(carried("consent_verifier", browser, address));
    doors.push(door("code", "ory_ac_", &Browser::new(server).code(&REQUEST).await));
}

async fn of_devices_and_logouts<'a>(server: &'a TestServer, client: &TestClient, doors: &mut Vec<Door<'a>>) {
    doors.push(door("device_challenge", "", &Browser::new(server).visit().await.expect("device_challenge")));
    let device = Device::start(server, client).await;
    let browser = Browser::new(server);
    let challenge = browser.visit().await.expect("device_challenge");
    let entered = json!({"user_code": device.user_code()});
    let address = server.decide("device", "accept", &challenge, entered).await;
    doors.push(carried("device_verifier", browser, address));
    doors.push(door("device_code", "ory_dc_", text(&device.codes, "device_code")));

    let asks = Browser::new(server);
    let (hint, _) = asks.logged_in(client).await;
    let parameters = [("id_token_hint", hint.as_str()), ("post_logout_redirect_uri", OUT)];
    doors.push(door("logout_challenge", "", &asks.log_out(&parameters).await.expect("logout_challenge")));
    let agrees = Browser::new(server);
    let (hint, _) = agrees.logged_in(client).await;
    let parameters = [("id_token_hint", hint.as_str()), ("post_logout_redirect_uri", OUT)];
    let challenge = agrees.log_out(&parameters).await.expect("logout_challenge");
    let address = server.decide("logout", "accept", &challenge, Value::Null).await;
    doors.push(carried("logout_verifier", agrees, address));

    doors.push(door("session cookie", "", &asks.cookie(SESSION_COOKIE).unwrap()));
}

async fn of_clients<'a>(server: &'a TestServer, client: &TestClient, doors: &mut Vec<Door<'a>>) {
    let tokens = server.tokens(client).await;
    doors.push(door("access_token", "ory_at_", text(&tokens, "access_token")));
    doors.push(door("refresh_token", "ory_rt_", text(&tokens, "refresh_token")));

    let registered = server.http.post(server.public_url("/oauth2/register")).json(&application());
    let registered: Value = registered.send().await.unwrap().json().await.unwrap();
    let own = door("registration token", "ory_rat_", text(&registered, "registration_access_token"));
    let address = text(&registered, "registration_client_uri").to_owned();
    doors.push(Door { by: Some((Browser::new(server), address)), ..own });
    let page = server.http.get(server.admin_url("/admin/clients?page_size=1")).send().await.unwrap();
    let links = super::header(&page, "link").to_owned();
    let next = links.split("page_token=").nth(2).unwrap_or_else(|| panic!("{links}"));
    let token = next.split(['&', '>']).next().unwrap();
    doors.push(door("page_token", "", token));
}

impl Door<'_> {
    /// What a value looks like here: as it is, and as one that belongs here would look.
    pub fn forms(&self, value: &str) -> Vec<String> {
        let mut forms = vec![value.to_owned(), format!("{}{value}", self.prefix)];
        if self.kind == "access_token" && !value.contains('.') {
            // With a signature that is genuine for another key.
            let signature = self.value.split('.').nth(1).unwrap();
            forms.push(format!("{}{value}.{signature}", self.prefix));
        }
        forms.dedup();
        forms
    }

    /// Whether a value is taken for a genuine one of this kind. It may be used up by that.
    pub async fn opens(&self, server: &TestServer, client: &TestClient, value: &str) -> bool {
        let status = async |request: reqwest::RequestBuilder| request.send().await.unwrap().status() == 200;
        match self.kind {
            "login_challenge" | "consent_challenge" | "device_challenge" | "logout_challenge" => {
                let kind = self.kind.strip_suffix("_challenge").unwrap();
                server.asked(kind, value).await.status() == 200
            }
            "code" => server.exchange(client, value).await.0 == 200,
            "refresh_token" => server.refresh(client, value).await.0 == 200,
            "device_code" => {
                let form = [("grant_type", DEVICE_GRANT), ("device_code", value)];
                let (status, answer) = server.token_request(client, &form).await;
                status == 200 || answer["error"] == "authorization_pending"
            }
            "access_token" => server.userinfo(value).await.0 == 200,
            "page_token" => {
                let url = server.admin_url("/admin/clients");
                status(server.http.get(url).query(&[("page_token", value)])).await
            }
            "registration token" => {
                let (_, address) = self.by.as_ref().unwrap();
                let path = url::Url::parse(address).unwrap().path().to_owned();
                status(server.http.get(server.public_url(&path)).bearer_auth(value)).await
            }
            "session cookie" => {
                let browser = Browser::new(server);
                browser.set_cookie(SESSION_COOKIE, value);
                browser.is_logged_in().await
            }
            _ => self.goes_on(value).await,
        }
    }

    /// Whether the flow goes on with a value in the place of the genuine one.
    async fn goes_on(&self, value: &str) -> bool {
        let (browser, address) = self.by.as_ref().unwrap();
        let mut url = url::Url::parse(address).unwrap();
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let changed = |(name, own): (String, String)| {
            if name == self.kind { (name, value.to_owned()) } else { (name, own) }
        };
        url.query_pairs_mut().clear().extend_pairs(pairs.into_iter().map(changed));
        let answer = browser.open(url.as_str()).await;
        match self.kind {
            "login_verifier" => answer.parameter("consent_challenge").is_some(),
            "consent_verifier" => answer.parameter("code").is_some(),
            "device_verifier" => answer.parameter("login_challenge").is_some(),
            "logout_verifier" => answer.location.is_some() && answer.target() == OUT,
            kind => panic!("no door takes {kind}"),
        }
    }
}

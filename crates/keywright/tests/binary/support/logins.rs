//! Login load: browsers, the login and consent apps, and a client, all at once, that insist until they get an answer.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use reqwest::header::{COOKIE, LOCATION, SET_COOKIE};
use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{Server, eventually};

const ISSUER: &str = "https://id.example.com";
const CALLBACK: &str = "https://app.example.com/cb";

/// Every request is answered within this, whatever happens to the database: a connection is waited for, then a
/// statement, and both once more.
const BOUND: Duration = Duration::from_secs(2 * (3 + 10) + 4);

/// How many log in at once.
const PEOPLE: usize = 6;

/// A server, and how many requests it has to answer: as many as there are others who hold this.
struct Place {
    public: u16,
    admin: u16,
    /// Its connections may break.
    is_mortal: bool,
}

impl Place {
    fn of(server: &Server, is_mortal: bool) -> Arc<Self> {
        Arc::new(Self { public: server.public, admin: server.admin, is_mortal })
    }
}

/// What somebody was granted, as the client knows it.
struct Granted {
    code: String,
    access_token: String,
    refresh_token: String,
}

/// The world around the servers.
struct World {
    servers: Mutex<Vec<Arc<Place>>>,
    secret: String,
    http: reqwest::Client,
    done: AtomicUsize,
    refused: AtomicUsize,
    turns: AtomicUsize,
}

/// Load that goes on until it is ended.
pub struct Logins {
    world: Arc<World>,
    stop: CancellationToken,
    people: JoinSet<Vec<Granted>>,
}

impl Logins {
    /// Registers a client, and begins to log in by all of these servers. The connections of `mortal` may break.
    pub async fn begin(servers: &[&Server], mortal: Option<usize>) -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        let places = servers.iter().enumerate();
        let places: Vec<_> = places.map(|(index, server)| Place::of(server, mortal == Some(index))).collect();
        let client = json!({
            "client_id": "shop",
            "redirect_uris": [CALLBACK],
            "grant_types": ["authorization_code", "refresh_token"],
            "scope": "openid offline_access",
            "skip_consent": false,
        });
        let url = format!("http://127.0.0.1:{}/admin/clients", servers[0].admin);
        let client: Value = http.post(url).json(&client).send().await.unwrap().json().await.unwrap();
        let secret = client["client_secret"].as_str().unwrap_or_else(|| panic!("{client}")).to_owned();
        let (done, refused, turns) = Default::default();
        let servers = Mutex::new(places);
        let world = Arc::new(World { servers, secret, http, done, refused, turns });
        let stop = CancellationToken::new();
        let mut people = JoinSet::new();
        for _ in 0..PEOPLE {
            people.spawn(World::log_in_again_and_again(Arc::clone(&world), stop.clone()));
        }
        Self { world, stop, people }
    }

    /// Waits until so many more logins have got their tokens.
    pub async fn have_succeeded(&self, more: usize) {
        let until = self.world.done.load(Ordering::SeqCst) + more;
        eventually("logins succeed", async || self.world.done.load(Ordering::SeqCst) >= until).await;
    }

    /// Waits until so many more requests were refused, or not answered by the mortal server.
    pub async fn are_refused(&self, more: usize) {
        let until = self.world.refused.load(Ordering::SeqCst) + more;
        eventually("requests are refused", async || self.world.refused.load(Ordering::SeqCst) >= until).await;
    }

    /// Waits until somebody can log in by a server alone, and get tokens.
    pub async fn succeed_at(&self, server: &Server) {
        let alone = World {
            servers: Mutex::new(vec![Place::of(server, false)]),
            secret: self.world.secret.clone(),
            http: self.world.http.clone(),
            done: AtomicUsize::default(),
            refused: AtomicUsize::default(),
            turns: AtomicUsize::default(),
        };
        let succeeds = async || match alone.code().await {
            Some(code) => alone.at_token_endpoint(&alone.any(), &exchange(&code)).await.is_ok(),
            None => false,
        };
        eventually("a login succeeds", succeeds).await;
    }

    /// Asks another server in the place of one, which has answered everything when this returns.
    pub async fn turn_to(&self, server: &Server, index: usize) {
        let place = Place::of(server, false);
        let former = std::mem::replace(&mut self.world.servers.lock().unwrap()[index], place);
        eventually("the former server is asked no more", async || Arc::strong_count(&former) == 1).await;
    }

    /// How many requests were refused, or not answered by the mortal server.
    pub fn refused(&self) -> usize {
        self.world.refused.load(Ordering::SeqCst)
    }

    /// Ends the load, and asserts that what was answered counts, on every server that is left, and nothing else does.
    pub async fn end(self, left: &[&Server]) {
        self.stop.cancel();
        let granted: Vec<_> = self.people.join_all().await.into_iter().flatten().collect();
        let world = &self.world;
        assert!(!granted.is_empty());
        for (index, grant) in granted.iter().enumerate() {
            let server = &Place::of(left[index % left.len()], false);
            for token in [&grant.access_token, &grant.refresh_token] {
                assert!(world.is_active(server, token).await, "what was answered counts");
            }
            assert!(world.at_token_endpoint(server, &refresh(&grant.refresh_token)).await.is_ok());
            let again = world.at_token_endpoint(server, &exchange(&grant.code)).await;
            assert_eq!(again, Err(Some(400)), "no code counts twice");
            assert!(!world.is_active(server, &grant.access_token).await, "reuse is seen");
        }
    }
}

fn exchange(code: &str) -> [(&str, &str); 3] {
    [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK)]
}

fn refresh(token: &str) -> [(&str, &str); 2] {
    [("grant_type", "refresh_token"), ("refresh_token", token)]
}

impl World {
    async fn log_in_again_and_again(self: Arc<Self>, stop: CancellationToken) -> Vec<Granted> {
        let mut granted = Vec::new();
        while !stop.is_cancelled() {
            let Some(code) = self.code().await else { continue };
            if self.turn().is_multiple_of(5) {
                self.exchange_at_once(&code).await;
            } else if let Some(grant) = self.tokens(code).await {
                granted.push(grant);
                self.done.fetch_add(1, Ordering::SeqCst);
            }
        }
        granted
    }

    fn turn(&self) -> usize {
        self.turns.fetch_add(1, Ordering::SeqCst)
    }

    /// A server, by turns.
    fn any(&self) -> Arc<Place> {
        let servers = self.servers.lock().unwrap();
        Arc::clone(&servers[self.turn() % servers.len()])
    }

    /// The answer to a request, if there is one. None is waited for in vain, and no server but the mortal one gives none.
    async fn answer(&self, server: &Place, request: RequestBuilder) -> Option<Response> {
        let answered = tokio::time::timeout(BOUND, request.send()).await;
        let answer = match answered.expect("every request is answered in time") {
            Ok(answer) => Some(answer),
            Err(error) => {
                assert!(server.is_mortal, "{error:?}");
                None
            }
        };
        let status = answer.as_ref().map(|answer| answer.status().as_u16());
        assert_ne!(status, Some(500), "{answer:?}");
        if status.is_none_or(|status| status == 503) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            // As somebody does who is told to try again.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        answer
    }

    /// A code, of a login at several servers; `None` where one of them refuses.
    async fn code(&self) -> Option<String> {
        let mut cookies = BTreeMap::new();
        let start = [
            ("client_id", "shop"),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid offline_access"),
            ("state", "a-state-that-is-long-enough"),
        ];
        let url = Url::parse_with_params(&format!("{ISSUER}/oauth2/auth"), start).unwrap();
        let login = self.visit(&mut cookies, &url, "login_challenge").await?;
        let url = self.accept("login", &login, &json!({"subject": "alice"})).await?;
        let consent = self.visit(&mut cookies, &url, "consent_challenge").await?;
        let granted = json!({"grant_scope": ["openid", "offline_access"]});
        let url = self.accept("consent", &consent, &granted).await?;
        self.visit(&mut cookies, &url, "code").await
    }

    /// Goes to an address, and gives a parameter of where the browser is sent.
    async fn visit(&self, cookies: &mut BTreeMap<String, String>, url: &Url, name: &str) -> Option<String> {
        let server = self.any();
        let query = url.query().unwrap_or_default();
        let address = format!("http://127.0.0.1:{}{}?{query}", server.public, url.path());
        let brought: Vec<_> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer = self.answer(&server, self.http.get(address).header(COOKIE, brought.join("; "))).await?;
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let (name, value) = cookie.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            cookies.insert(name.to_owned(), value.to_owned());
        }
        let Some(location) = answer.headers().get(LOCATION) else {
            assert_eq!(answer.status(), 503);
            return None;
        };
        let location = Url::parse(location.to_str().unwrap()).unwrap();
        let parameter = |name: &str| {
            location.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
        };
        let found = parameter(name);
        if found.is_none() {
            assert_eq!(parameter("error").as_deref(), Some("temporarily_unavailable"), "{location}");
            self.refused.fetch_add(1, Ordering::SeqCst);
        }
        found
    }

    /// Answers as an app does, and gives where the browser goes.
    async fn accept(&self, kind: &str, challenge: &str, body: &Value) -> Option<Url> {
        let server = self.any();
        let admin = server.admin;
        let url = format!("http://127.0.0.1:{admin}/admin/oauth2/auth/requests/{kind}/accept");
        let request = self.http.put(url).query(&[(format!("{kind}_challenge"), challenge)]).json(body);
        let answer = self.answer(&server, request).await.filter(|answer| answer.status() != 503)?;
        let answer: Value = answer.json().await.unwrap();
        Some(answer["redirect_to"].as_str().unwrap_or_else(|| panic!("{answer}")).parse().unwrap())
    }

    /// Asks the token endpoint: tokens, or the status of the refusal, which is `None` where nobody answers.
    async fn at_token_endpoint(&self, server: &Place, form: &[(&str, &str)]) -> Result<Value, Option<u16>> {
        let url = format!("http://127.0.0.1:{}/oauth2/token", server.public);
        let request = self.http.post(url).basic_auth("shop", Some(&self.secret)).form(form);
        let answer = self.answer(server, request).await.ok_or(None)?;
        match answer.status().as_u16() {
            // The mortal one may end within its answer.
            200 => answer.json().await.map_err(|_| None),
            status => Err(Some(status)),
        }
    }

    /// Exchanges a code and refreshes, each until there is an answer. `None` where the answer to the exchange was lost:
    /// who asks again is told that the code was used.
    async fn tokens(&self, code: String) -> Option<Granted> {
        let mut unsure = false;
        let tokens = loop {
            match self.at_token_endpoint(&self.any(), &exchange(&code)).await {
                Ok(tokens) => break tokens,
                Err(Some(400)) => {
                    assert!(unsure, "a code that nobody used is refused");
                    return None;
                }
                Err(status) => assert!(matches!(status, None | Some(503)), "{status:?}"),
            }
            unsure = true;
        };
        let text = |tokens: &Value, name: &str| tokens[name].as_str().unwrap().to_owned();
        let first = text(&tokens, "refresh_token");
        // In the grace period, an answer that was lost is given again.
        let tokens = loop {
            match self.at_token_endpoint(&self.any(), &refresh(&first)).await {
                Ok(tokens) => break tokens,
                Err(status) => assert!(matches!(status, None | Some(503)), "{status:?}"),
            }
        };
        let (access_token, refresh_token) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
        Some(Granted { code, access_token, refresh_token })
    }

    /// Exchanges a code at all servers at once.
    async fn exchange_at_once(&self, code: &str) {
        let form = exchange(code);
        let servers = self.servers.lock().unwrap().clone();
        let exchanges = servers.iter().chain(&servers).map(|server| self.at_token_endpoint(server, &form));
        let accepted = join_all(exchanges).await.into_iter().flatten().count();
        assert!(accepted <= 1, "a code was accepted {accepted} times");
    }

    async fn is_active(&self, server: &Place, token: &str) -> bool {
        let url = format!("http://127.0.0.1:{}/admin/oauth2/introspect", server.admin);
        let answer = self.answer(server, self.http.post(url).form(&[("token", token)])).await;
        let answer: Value = answer.unwrap().json().await.unwrap();
        answer["active"].as_bool().unwrap_or_else(|| panic!("{answer}"))
    }
}

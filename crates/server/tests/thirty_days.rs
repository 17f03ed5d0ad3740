//! Thirty days of a server's life on a clock of their own: the tables stay bounded, nothing that is needed is forgotten,
//! and nothing that ended comes back because its end was forgotten.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::time::Duration;

use common::browser::{Browser, REQUEST, all, application, text};
use common::device::{Device, device_client};
use common::{TestClient, TestServer, make_token_sets, manual_clock, registered, settings};
use futures::future::join_all;
use harness::TestDatabase;
use jiff::{SignedDuration, Timestamp};
use jose::SigningAlgorithm;
use serde_json::{Value, json};
use server::Settings;
use sqlx::Row;
use store::PurgeWalk;

/// Between two rounds of requests.
const STEP: SignedDuration = SignedDuration::from_hours(6);
const STEPS: usize = 30 * 24 / 6;

/// Between two rounds of maintenance.
const MAINTENANCE: SignedDuration = SignedDuration::from_hours(2);

/// How often a client refreshes, once in two rounds, before it forgets its tokens.
const REFRESHES: usize = 2;

const TABLES: [&str; 9] = [
    "grants",
    "revocations",
    "revoked_tokens",
    "login_sessions",
    "consents",
    "parked",
    "device_authorizations",
    "logouts",
    "clients",
];

/// Access tokens see one round of maintenance and more, refresh tokens several.
fn for_a_month() -> Settings {
    let mut settings = settings();
    settings.lifetimes.access_token = Duration::from_hours(10);
    settings.flow.refresh_token = Some(Duration::from_hours(48));
    settings.pages.logout = Some("https://pages.example.com/logout".to_owned());
    settings.dynamic_client_registration = true;
    settings
}

/// The tokens of somebody's grant, or of a client's own.
struct Issued {
    subject: String,
    access: String,
    access_ends: Timestamp,
    /// None for a client's own.
    refresh: Option<String>,
    refresh_ends: Timestamp,
    of_device: bool,
    refreshes: usize,
    since: usize,
    revoked: bool,
}

/// Who remembers a login for a day.
struct Remembered<'a> {
    browser: Browser<'a>,
    ends: Timestamp,
    logged_out: bool,
}

struct Month<'a> {
    server: &'a TestServer,
    app: TestClient,
    device: TestClient,
    service: TestClient,
    walk: PurgeWalk,
    issued: Vec<Issued>,
    remembered: Vec<Remembered<'a>>,
    /// A code that nobody exchanged in time.
    forgotten_code: Option<String>,
    registered: Vec<Value>,
    /// Refresh tokens that were replaced.
    replaced: Vec<String>,
}

impl<'a> Month<'a> {
    async fn begin(server: &'a TestServer) -> Self {
        make_token_sets(&server.store, SigningAlgorithm::Es256).await;
        let mut jwt = device_client();
        jwt["access_token_strategy"] = json!("jwt");
        Self {
            server,
            app: TestClient::create(&server.store, "app", application()).await,
            device: TestClient::create(&server.store, "device", jwt).await,
            service: TestClient::create(&server.store, "service", registered()).await,
            walk: PurgeWalk::default(),
            issued: Vec::new(),
            remembered: Vec::new(),
            forgotten_code: None,
            registered: Vec::new(),
            replaced: Vec::new(),
        }
    }

    fn now(&self) -> Timestamp {
        self.server.store.clock().now()
    }

    fn keep(&mut self, subject: &str, tokens: &Value, of_device: bool, step: usize) {
        let now = self.now();
        let lives = SignedDuration::from_secs(tokens["expires_in"].as_i64().unwrap());
        self.issued.push(Issued {
            subject: subject.to_owned(),
            access: text(tokens, "access_token").to_owned(),
            access_ends: now + lives,
            refresh: tokens["refresh_token"].as_str().map(str::to_owned),
            refresh_ends: now + SignedDuration::from_hours(48),
            of_device,
            refreshes: 0,
            since: step,
            revoked: false,
        });
    }

    /// Somebody logs in and is remembered; now and then with much to say.
    async fn log_in(&mut self, step: usize) {
        let subject = format!("person {step}");
        let browser = Browser::new(self.server);
        let day = 24 * 3600;
        let login = json!({"subject": subject, "remember": true, "remember_for": day});
        let page = browser.log_in(&REQUEST, login).await;
        let mut consent = all();
        consent["remember"] = json!(true);
        consent["remember_for"] = json!(day);
        if step.is_multiple_of(6) {
            consent["session"]["id_token"]["much"] = json!("x".repeat(5000));
        }
        let code = browser.consent(&page, consent).await.expect("code");
        let (status, tokens) = self.server.exchange(&self.app, &code).await;
        assert_eq!(status, 200, "{tokens}");
        self.keep(&subject, &tokens, false, step);
        let ends = self.now() + SignedDuration::from_secs(day);
        self.remembered.push(Remembered { browser, ends, logged_out: false });

        if let Some(code) = self.forgotten_code.take() {
            let (status, answer) = self.server.exchange(&self.app, &code).await;
            assert_eq!((status, text(&answer, "error")), (400, "invalid_grant"), "step {step}");
        }
        self.forgotten_code = Some(Browser::new(self.server).code(&REQUEST).await);
    }

    async fn use_devices_and_services(&mut self, step: usize) {
        if step.is_multiple_of(3) {
            let device = Device::start(self.server, &self.device).await;
            let tokens = device.tokens().await;
            self.keep("alice", &tokens, true, step);
            // One that nobody lets in.
            Device::start(self.server, &self.device).await;
        }
        for revoked in [false, true] {
            let token = self.server.token(&self.service, &[]).await;
            self.keep("", &token, false, step);
            if revoked {
                assert_eq!(
                    self.server.revoke(&self.service, text(&token, "access_token")).await.status(),
                    200
                );
                self.issued.last_mut().unwrap().revoked = true;
            }
        }
    }

    /// Clients refresh every second round, until they forget what they have.
    async fn refresh(&mut self, step: usize) {
        let now = self.now();
        for index in 0..self.issued.len() {
            let one = &self.issued[index];
            let Some(token) = one.refresh.clone() else { continue };
            if one.revoked || one.refreshes == REFRESHES || step < one.since + 2 {
                continue;
            }
            let client = if one.of_device { &self.device } else { &self.app };
            let (status, tokens) = self.server.refresh(client, &token).await;
            assert_eq!(status, 200, "step {step}: {tokens}");
            self.replaced.push(token);
            let one = &mut self.issued[index];
            text(&tokens, "access_token").clone_into(&mut one.access);
            one.access_ends = now + SignedDuration::from_hours(10);
            one.refresh = Some(text(&tokens, "refresh_token").to_owned());
            one.refresh_ends = now + SignedDuration::from_hours(48);
            (one.refreshes, one.since) = (one.refreshes + 1, step);
        }
    }

    /// Something is revoked, somebody logs out, a client registers itself or leaves.
    async fn end_things(&mut self, step: usize) {
        let alive = |one: &&mut Issued| one.refresh.is_some() && !one.revoked && one.since + 1 == step;
        if let Some(one) = self.issued.iter_mut().find(alive).filter(|_| step % 4 == 1) {
            let client = if one.of_device { &self.device } else { &self.app };
            let status = match step / 4 % 3 {
                0 => self.server.revoke(client, one.refresh.as_deref().unwrap()).await.status(),
                1 => self.server.revoke(client, &one.access).await.status(),
                _ => {
                    let path = "/admin/oauth2/auth/sessions/consent";
                    let query = [("subject", one.subject.as_str()), ("all", "true")];
                    let delete = self.server.http.delete(self.server.admin_url(path)).query(&query);
                    delete.send().await.unwrap().status()
                }
            };
            assert!(status.is_success(), "{status}");
            let (subject, by_subject) = (one.subject.clone(), step / 4 % 3 == 2);
            one.revoked = true;
            for other in self.issued.iter_mut().filter(|other| by_subject && other.subject == subject) {
                other.revoked = true;
            }
        }
        if step % 4 == 2 {
            let leaves = self.remembered.iter_mut().rev().nth(1).unwrap();
            leaves.browser.agree_to_log_out(&[]).await;
            leaves.logged_out = true;
        }
        if step.is_multiple_of(5) {
            let url = self.server.public_url("/oauth2/register");
            let response = self.server.http.post(url).json(&application()).send().await.unwrap();
            self.registered.push(response.json().await.unwrap());
        }
        if step % 5 == 3 {
            let client = self.registered.pop().unwrap();
            let path = text(&client, "registration_client_uri").replace("https://id.example.com", "");
            let delete = self.server.http.delete(self.server.public_url(&path));
            let token = text(&client, "registration_access_token");
            assert_eq!(delete.bearer_auth(token).send().await.unwrap().status(), 204);
        }
    }

    /// All that should live does, and nothing else: of what has ended, the newest, and every tenth by turns.
    async fn check(&self, step: usize) {
        let now = self.now();
        let newest = self.issued.len().saturating_sub(20);
        let looked_at = |index: usize| index >= newest || index % 10 == step % 10;
        let checks = self.issued.iter().enumerate().map(async |(index, one)| {
            let (lives, refreshes) = (one.access_ends > now, one.refresh_ends > now);
            if !one.revoked && lives || looked_at(index) {
                let is_active = self.server.is_active(&one.access).await;
                assert_eq!(is_active, lives && !one.revoked, "step {step}: {} of {}", one.access, one.since);
            }
            let Some(refresh) = &one.refresh else { return };
            if !one.revoked && refreshes || looked_at(index) {
                let is_active = self.server.is_active(refresh).await;
                assert_eq!(is_active, refreshes && !one.revoked, "step {step}: {refresh} of {}", one.since);
            }
        });
        join_all(checks).await;
        for one in self.remembered.iter().rev().take(6) {
            let lives = one.ends > now && !one.logged_out;
            assert_eq!(one.browser.is_logged_in().await, lives, "step {step}");
        }
    }

    async fn maintain(&mut self) {
        while self.server.store.purge(&mut self.walk).await.unwrap() {}
        self.server.store.turn_unattended_sets().await.unwrap();
    }
}

/// How many rows each table has.
async fn sizes(database: &TestDatabase) -> Vec<i64> {
    use sqlx::{AnyConnection, AssertSqlSafe, Connection};
    let mut connection = AnyConnection::connect(&database.url).await.unwrap();
    let mut sizes = Vec::new();
    for table in TABLES {
        let count = AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        sizes.push(sqlx::raw_sql(count).fetch_one(&mut connection).await.unwrap().get(0));
    }
    connection.close().await.unwrap();
    sizes
}

/// The most that a table held in the first third of the month, and in the last.
async fn live_through(database: &TestDatabase) -> Vec<[i64; 2]> {
    let clock = manual_clock();
    let server = TestServer::with(database.open(clock.clone()).await, for_a_month()).await;
    server.cached().await;
    let mut month = Month::begin(&server).await;
    let mut most = vec![[0; 2]; TABLES.len()];
    for step in 0..STEPS {
        month.log_in(step).await;
        month.use_devices_and_services(step).await;
        month.refresh(step).await;
        month.end_things(step).await;
        let sizes = sizes(database).await;
        for (most, size) in most.iter_mut().zip(sizes) {
            match step * 3 / STEPS {
                0 => most[0] = size.max(most[0]),
                1 => {}
                _ => most[1] = size.max(most[1]),
            }
        }
        let next = month.now() + STEP;
        while month.now() < next {
            clock.advance(MAINTENANCE);
            month.maintain().await;
        }
        month.check(step).await;
    }
    // What was replaced in the course of the month is worth nothing, and neither is what it was replaced by in the end.
    for token in &month.replaced {
        assert_eq!(server.refresh(&month.app, token).await.0, 400);
        assert!(!server.is_active(token).await);
    }
    assert!(month.issued.len() > 300 && month.replaced.len() > 100);
    most
}

async fn nothing_piles_up(database: &TestDatabase) {
    let most = live_through(database).await;
    for (table, [first, last]) in TABLES.into_iter().zip(most) {
        assert!(first > 0, "{table} was not used");
        assert!(last <= first + first / 4 + 1, "{table}: {first} rows at first, {last} at last");
    }
}

#[tokio::test]
async fn in_thirty_days_nothing_piles_up_nothing_needed_is_forgotten_and_nothing_ended_comes_back() {
    nothing_piles_up(&TestDatabase::postgres().await).await;
}

#[tokio::test]
async fn and_so_it_is_on_sqlite() {
    nothing_piles_up(&TestDatabase::sqlite()).await;
}

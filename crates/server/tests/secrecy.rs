//! Nothing that authenticates anybody ever stands in the log. A program of its own: it listens to the whole process.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::io;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{TestClient, TestServer, exchange, make_token_sets, registered, registered_for_jwt, settings};
use jose::SigningAlgorithm;
use serde_json::json;
use server::Settings;
use store::Clock;
use tracing::level_filters::LevelFilter;

/// Everything that was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Uses every endpoint, rightly and wrongly. Gives what must not be in the log.
async fn use_everything(server: &TestServer) -> Vec<String> {
    make_token_sets(&server.store, SigningAlgorithm::Es256).await;
    let opaque = TestClient::create(&server.store, "opaque", registered()).await;
    let jwt = TestClient::create(&server.store, "jwt", registered_for_jwt()).await;
    let chosen =
        TestClient::create_chosen(&server.store, "chosen", registered(), "canary-chosen-secret").await;
    let mut canaries = vec!["canary-wrong-secret".to_owned(), "canary-query".to_owned()];
    for client in [&opaque, &jwt, &chosen] {
        let secret = client.secret.expose();
        canaries.push(secret.to_owned());
        canaries.push(STANDARD.encode(format!("{}:{secret}", client.id)));
        let token = server.access_token(client).await;
        // Each part of a token: a log may have cut it.
        canaries.extend(
            token
                .trim_start_matches("ory_at_")
                .split('.')
                .skip(usize::from(client.id == jwt.id))
                .map(str::to_owned),
        );
        assert!(server.is_active(&token).await);
        server.revoke(client, &token).await;
        server.request_token(&client.with_secret("canary-wrong-secret"), &[]).await;
        server.request_token(client, &[("scope", "nonsense"), ("scope", "canary-query")]).await;
        let post = [("client_id", client.id.as_str()), ("client_secret", secret), ("token", &token)];
        server.http.post(server.public_url("/oauth2/revoke")).form(&post).send().await.unwrap();
        server
            .http
            .post(server.public_url("/oauth2/token"))
            .json(&json!({"client_secret": secret}))
            .send()
            .await
            .unwrap();
        let query = format!("/oauth2/token?client_secret={secret}&token={token}&x=canary-query");
        server.get(&query).await;
        let unknown = format!("/canary-query/{token}");
        server.get(&unknown).await;
        exchange(server.public, format!("POST /{secret} HTTP/1.1\r\n{secret}\r\n\r\n").as_bytes()).await;
    }
    canaries.extend(register_and_keep_keys(server).await);
    server.store.close().await;
    assert_eq!(server.request_token(&opaque.with_secret("canary-wrong-secret"), &[]).await.status(), 503);
    canaries.push(harness::database::SYSTEM_SECRET.to_owned());
    canaries
}

/// Registers a client that manages itself, and keeps keys by hand. Gives what must not be in the log.
async fn register_and_keep_keys(server: &TestServer) -> Vec<String> {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let register = server.public_url("/oauth2/register");
    let client = server.http.post(&register).json(&json!({})).send().await.unwrap();
    let client: serde_json::Value = client.json().await.unwrap();
    let token = text(&client["registration_access_token"]);
    let url = format!("{register}/{}", text(&client["client_id"]));
    for presented in [token.clone(), format!("{token}A")] {
        let document = json!({"client_secret": "canary-wrong-secret"});
        server.http.put(&url).bearer_auth(presented).json(&document).send().await.unwrap();
    }
    let keys = server.admin_url("/admin/keys/own");
    let made = server.http.post(&keys).json(&json!({"alg": "ES256", "kid": "one"})).send().await.unwrap();
    let mut made: serde_json::Value = made.json().await.unwrap();
    let private = text(&made["keys"][0]["d"]);
    server.http.put(&keys).json(&made).send().await.unwrap();
    made["keys"][0]["x"] = made["keys"][0]["d"].clone();
    let refused = server.http.put(&keys).json(&made).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    assert!(!refused.text().await.unwrap().contains(&private));
    let bare = token.trim_start_matches("ory_rat_").to_owned();
    vec![bare, text(&client["client_secret"]), private]
}

#[tokio::test]
async fn the_log_holds_no_secret_and_no_token_and_one_line_for_each_request() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(LevelFilter::TRACE)
        .with_writer(move || writer.clone())
        .json()
        .init();
    let settings = Settings { dynamic_client_registration: true, ..settings() };
    let server = TestServer::alone(Clock::system(), settings).await;
    let canaries = use_everything(&server).await;
    let request =
        server.http.get(server.public_url("/health/alive?canary-query")).header("x-request-id", "my-id-1");
    request.send().await.unwrap();
    let text = log.text();
    for canary in canaries {
        let line = text.lines().find(|line| line.contains(&canary));
        assert_eq!(line, None, "{canary}");
    }
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_mine: Vec<_> = lines.iter().filter(|line| line["span"]["request_id"] == "my-id-1").collect();
    let [line] = of_mine[..] else { panic!("{of_mine:?}") };
    assert_eq!((&line["level"], &line["fields"]["path"]), (&json!("INFO"), &json!("/health/alive")));
    assert_eq!((&line["fields"]["method"], &line["fields"]["status"]), (&json!("GET"), &json!(200)));
    assert!(line["fields"]["duration_us"].is_u64());
    let of_client = |id: &str| {
        let is_request = |line: &&serde_json::Value| line["fields"]["message"] == "request";
        lines.iter().filter(is_request).any(|line| line["span"]["client_id"] == id)
    };
    assert!(of_client("opaque") && of_client("jwt") && of_client("chosen"));
    let unavailable =
        lines.iter().find(|line| line["level"] == "WARN" && line["fields"]["cause"].is_string());
    assert!(unavailable.is_some_and(|line| line["span"]["request_id"].is_string()));
}

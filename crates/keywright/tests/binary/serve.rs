//! `serve` on PostgreSQL.

use std::time::Duration;

use futures::FutureExt;
use harness::{TestDatabase, TestPostgres};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{LateProxy, Process, Server, eventually, free_port};

#[tokio::test]
async fn it_is_alive_before_its_database_is_and_ready_after_it() {
    let database = TestDatabase::postgres().await;
    let (proxy, dsn) = LateProxy::to(&database.url);
    let server = Server::start(&dsn, &[]);
    let alive = || async {
        server.status(server.public, "/health/alive").await == Some(200)
            && server.status(server.admin, "/admin/health/alive").await == Some(200)
    };
    eventually("it is alive", alive).await;
    for (port, path) in [
        (server.public, "/health/ready"),
        (server.admin, "/admin/health/ready"),
        (server.public, "/.well-known/jwks.json"),
        (server.public, "/oauth2/token"),
    ] {
        assert_eq!(server.status(port, path).await, Some(503), "{path}");
    }
    proxy.open().await;
    eventually("it is ready", || server.is_ready()).await;
    assert_eq!(server.key_ids().await.len(), 2, "both token sets have their key");
    let log = server.process.stderr();
    let password = url::Url::parse(&dsn).unwrap().password().unwrap().to_owned();
    assert!(!log.contains(&password) && !log.contains("a-system-secret-for-tests-only"), "{log}");
    server.stops().await;
}

#[tokio::test]
async fn a_database_that_never_comes_does_not_keep_it_from_stopping() {
    let database = TestDatabase::postgres().await;
    let (_closed, dsn) = LateProxy::to(&database.url);
    let server = Server::start(&dsn, &[]);
    eventually("it waits", || async { server.process.stderr().contains("waiting for the database") }).await;
    server.stops().await;
}

#[tokio::test]
async fn servers_that_start_at_once_make_one_key_for_each_set() {
    let database = TestDatabase::postgres().await;
    let servers = [Server::start(&database.url, &[]), Server::start(&database.url, &[])];
    for server in &servers {
        eventually("it is ready", || server.is_ready()).await;
    }
    let keys = servers[0].key_ids().await;
    assert_eq!(keys.len(), 2);
    let same = || async { servers[1].key_ids().await == keys };
    eventually("both publish the same keys", same).await;
    assert_eq!(servers[0].key_ids().await, keys);
    for server in servers {
        server.stops().await;
    }
}

#[tokio::test]
async fn a_request_under_way_is_finished_before_it_stops() {
    let database = TestDatabase::postgres().await;
    let server = Server::start(&database.url, &[("KEYS_AUTOCREATE", "false")]);
    eventually("it serves", || async { server.status(server.admin, "/admin/version").await == Some(200) })
        .await;
    let mut connection = TcpStream::connect(("127.0.0.1", server.admin)).await.unwrap();
    let head = "POST /admin/oauth2/introspect HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
                Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\n";
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1024];
    let read = connection.read(&mut answer).await.unwrap();
    // The server asks for the body: the request is under way.
    assert!(answer[..read].starts_with(b"HTTP/1.1 100 Continue"));

    server.process.signal("TERM");
    eventually("nobody else is let in", || async {
        TcpStream::connect(("127.0.0.1", server.admin)).await.is_err()
    })
    .await;
    connection.write_all(b"token=x").await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("\"active\":false"), "{answer}");
    let ended = server.process.ended(Duration::from_secs(10)).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[tokio::test]
async fn a_server_that_is_to_stop_is_not_ready_and_serves() {
    let database = TestDatabase::sqlite();
    let server =
        Server::start_so(&["--shutdown-delay", "10m"], &database.url, &[("KEYS_ALGORITHM", "ES256")]);
    eventually("it is ready", || server.is_ready()).await;
    server.process.signal("TERM");
    eventually("neither API is ready", || async {
        server.status(server.public, "/health/ready").await == Some(503)
            && server.status(server.admin, "/admin/health/ready").await == Some(503)
    })
    .await;
    assert_eq!(server.status(server.public, "/health/alive").await, Some(200));
    assert_eq!(server.key_ids().await.len(), 2);
    let why = reqwest::get(format!("http://127.0.0.1:{}/admin/health/ready", server.admin)).await.unwrap();
    assert!(why.text().await.unwrap().contains("about to stop"));
    // Who does not want to wait says so once more.
    server.process.signal("TERM");
    assert_eq!(server.process.ended(Duration::from_secs(30)).await.code, Some(130));
}

#[tokio::test]
async fn a_machine_without_certificate_authorities_is_told_what_is_missing() {
    let database = TestDatabase::sqlite();
    let nothing = [("SSL_CERT_FILE", "/dev/null"), ("SSL_CERT_DIR", "/dev/null")];
    let server = Server::start(&database.url, &nothing);
    let ended = server.process.ended(Duration::from_secs(30)).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("ca-certificates") && ended.stderr.contains("SSL_CERT_FILE"), "{ended:?}");
}

#[tokio::test]
async fn each_api_can_be_served_alone() {
    let database = TestDatabase::postgres().await;
    for (which, serves_public) in [("public", true), ("admin", false)] {
        let (public, admin) = (free_port(), free_port());
        let variables = [
            ("DSN", database.url.clone()),
            ("URLS_SELF_ISSUER", "https://id.example.com".to_owned()),
            ("SECRETS_SYSTEM", "a-system-secret-for-tests-only".to_owned()),
            ("SERVE_PUBLIC_PORT", public.to_string()),
            ("SERVE_ADMIN_PORT", admin.to_string()),
            ("KEYS_AUTOCREATE", "false".to_owned()),
        ];
        let server = Server { process: Process::start(&["serve", which], &variables), public, admin };
        let (open, closed) = if serves_public { (public, admin) } else { (admin, public) };
        eventually("it is alive", || async { server.status(open, "/health/alive").await == Some(200) }).await;
        assert_eq!(server.status(closed, "/health/alive").await, None);
        server.stops().await;
    }
}

#[tokio::test]
async fn a_second_system_secret_does_not_fit_a_database() {
    let database = TestDatabase::postgres().await;
    let server = Server::start(&database.url, &[("KEYS_AUTOCREATE", "false")]);
    eventually("it serves", || async { server.status(server.admin, "/admin/version").await == Some(200) })
        .await;
    let other = Server::start(&database.url, &[("SECRETS_SYSTEM", "canary-canary-canary")]);
    let ended = other.process.ended(Duration::from_secs(30)).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("secrets.system"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("canary"), "{}", ended.stderr);
    server.stops().await;
}

#[tokio::test]
async fn without_the_admin_api_no_replica_is_opened() {
    let database = TestDatabase::postgres().await;
    let replica = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut dsn = url::Url::parse(&database.url).unwrap();
    dsn.set_port(Some(replica.local_addr().unwrap().port())).unwrap();
    let asked = async |api: &str| {
        let server = Server::start_as(&["serve", api], &database.url, &[("DB_REPLICA_DSN", dsn.as_str())]);
        let port = if api == "public" { server.public } else { server.admin };
        let ready = if api == "public" { "/health/ready" } else { "/admin/health/ready" };
        eventually("it is ready", || async { server.status(port, ready).await == Some(200) }).await;
        server.stops().await;
        replica.accept().now_or_never().is_some()
    };
    assert!(asked("admin").await);
    while replica.accept().now_or_never().is_some() {}
    assert!(!asked("public").await);
}

#[tokio::test]
async fn a_replica_serves_lists_and_the_metrics_tell_when_it_is_away() {
    let postgres = TestPostgres::start("").await;
    let replica = postgres.replica().await;
    let dsn = replica.url_of(&postgres.url);
    let server = Server::start(&postgres.url, &[("DB_REPLICA_DSN", &dsn)]);
    eventually("it is ready", || server.is_ready()).await;
    let away = async |away: u8| {
        assert_eq!(server.status(server.admin, "/admin/clients").await, Some(200));
        let url = format!("http://127.0.0.1:{}/admin/metrics/prometheus", server.admin);
        let metrics = reqwest::get(url).await.unwrap().text().await.unwrap();
        metrics.contains(&format!("\nkeywright_replica_away {away}\n"))
    };
    let is_used = || async { server.process.stderr().contains("lists are read from the replica") };
    eventually("the replica is used", is_used).await;
    assert!(away(0).await);
    let metrics = format!("http://127.0.0.1:{}/admin/metrics/prometheus", server.admin);
    let metrics = reqwest::get(metrics).await.unwrap().text().await.unwrap();
    assert!(metrics.contains("\nkeywright_replica_lag_seconds "), "{metrics}");
    // It may have been a moment behind the first migration.
    let complaints = || server.process.stderr().matches("its replica cannot be used").count();
    let before = complaints();
    replica.stop();
    assert!(away(1).await && away(1).await);
    eventually("it is said once", || async { complaints() == before + 1 }).await;
    server.stops().await;
}

//! Databases and servers that are killed while people log in.

use std::time::{Duration, Instant};

use harness::{TestDatabase, TestPostgres};

use crate::support::logins::Logins;
use crate::support::{Server, eventually, run};

const OLD: &str = "a-system-secret-for-tests-only";
const NEW: &str = "the-system-secret-that-comes-after";

/// How soon logins succeed again when the database is back.
const RECOVERED_WITHIN: Duration = Duration::from_secs(10);

/// A server with keys that are made in no time, whose clients may ask again where an answer was lost.
fn start(dsn: &str) -> Server {
    start_knowing(dsn, OLD)
}

/// The same with these system secrets.
fn start_knowing(dsn: &str, secrets: &str) -> Server {
    Server::start(
        dsn,
        &[
            ("SECRETS_SYSTEM", secrets),
            ("KEYS_ALGORITHM", "ES256"),
            ("OAUTH2_GRANT_REFRESH_TOKEN_ROTATION_GRACE_PERIOD", "5m"),
            ("URLS_LOGIN", "https://pages.example.com/login"),
            ("URLS_CONSENT", "https://pages.example.com/consent"),
        ],
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_killed_under_load_takes_nothing_along_that_was_answered() {
    let postgres = TestPostgres::start("").await;
    let servers = [start(&postgres.url), start(&postgres.url)];
    for server in &servers {
        eventually("it is ready", || server.is_ready()).await;
    }
    let logins = Logins::begin(&[&servers[0], &servers[1]], None).await;
    for _ in 0..3 {
        logins.have_succeeded(20).await;
        postgres.kill().await;
        logins.are_refused(10).await;
        for server in &servers {
            eventually("it is not ready", async || {
                server.status(server.public, "/health/ready").await == Some(503)
            })
            .await;
            assert_eq!(server.status(server.public, "/health/alive").await, Some(200));
        }
        postgres.restart().await;
        let back = Instant::now();
        for server in &servers {
            logins.succeed_at(server).await;
            eventually("it is ready", || server.is_ready()).await;
        }
        assert!(back.elapsed() < RECOVERED_WITHIN, "only after {:?}", back.elapsed());
    }
    logins.have_succeeded(20).await;
    logins.end(&[&servers[0], &servers[1]]).await;
    for server in servers {
        server.stops().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_under_load_takes_nothing_along_that_it_answered() {
    let database = TestDatabase::postgres().await;
    let (killed, stays) = (start(&database.url), start(&database.url));
    for server in [&killed, &stays] {
        eventually("it is ready", || server.is_ready()).await;
    }
    let logins = Logins::begin(&[&killed, &stays], Some(0)).await;
    logins.have_succeeded(50).await;
    killed.process.kill().await;
    let began = Instant::now();
    logins.succeed_at(&stays).await;
    assert!(began.elapsed() < RECOVERED_WITHIN, "only after {:?}", began.elapsed());
    logins.are_refused(10).await;
    // As a load balancer does that noticed.
    logins.turn_to(&stays, 0).await;
    logins.have_succeeded(20).await;
    logins.end(&[&stays]).await;
    stays.stops().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_login_fails_while_servers_restart_one_by_one_and_the_system_secret_is_replaced() {
    let database = TestDatabase::postgres().await;
    let mut servers = [start(&database.url), start(&database.url)];
    for server in &servers {
        eventually("it is ready", || server.is_ready()).await;
    }
    let logins = Logins::begin(&[&servers[0], &servers[1]], None).await;
    logins.have_succeeded(10).await;
    let both = format!("{NEW},{OLD}");
    // All learn of the new secret, it takes over, the old one is forgotten.
    for secrets in [both.as_str(), NEW] {
        for (index, server) in servers.iter_mut().enumerate() {
            let next = start_knowing(&database.url, secrets);
            eventually("it is ready", || next.is_ready()).await;
            logins.turn_to(&next, index).await;
            std::mem::replace(server, next).stops().await;
            logins.have_succeeded(5).await;
        }
        if secrets == both {
            let variables = [("DSN", database.url.clone()), ("SECRETS_SYSTEM", both.clone())];
            let resealed = run(&["keys", "reseal"], &variables).await;
            assert!(resealed.stdout.contains("is wrapped by the first"), "{resealed:?}");
            logins.have_succeeded(10).await;
        }
    }
    logins.have_succeeded(10).await;
    assert_eq!(logins.refused(), 0);
    logins.end(&[&servers[0], &servers[1]]).await;
    for server in servers {
        server.stops().await;
    }
}

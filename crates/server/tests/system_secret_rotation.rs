//! The system secret is replaced while people log in.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use common::browser::{Browser, REQUEST, alice, all, application, prepared, text};
use common::{TestServer, settings};
use harness::TestDatabase;
use jose::{Entropy, SystemSecret};
use store::{Clock, Error, Options, Resealed, Store};

const OLD: &str = "a-system-secret-for-tests-only";
const NEW: &str = "the-system-secret-that-comes-after";

fn knowing(database: &TestDatabase, secrets: &[&str]) -> Options {
    let secrets: Vec<_> = secrets.iter().map(|secret| SystemSecret::new(*secret).unwrap()).collect();
    Options { secrets: secrets.into(), ..database.options() }
}

async fn start(database: &TestDatabase, secrets: &[&str]) -> TestServer {
    let store = Store::open(knowing(database, secrets), Clock::system(), Entropy::system()).await.unwrap();
    let server = TestServer::with(store, settings()).await;
    server.cached().await;
    server
}

async fn reseal(database: &TestDatabase, secrets: &[&str]) -> Result<Resealed, Error> {
    store::reseal(&knowing(database, secrets), &Entropy::system()).await
}

#[tokio::test]
async fn logins_under_way_are_completed_across_a_rolling_restart_and_tokens_stay_valid() {
    let database = TestDatabase::postgres().await;
    let (a, b) = (start(&database, &[OLD]).await, start(&database, &[OLD]).await);
    let client = prepared(&a, application()).await;
    let earlier = a.tokens(&client).await;

    // One login stands before the login page, one before the consent page, one has its code.
    let at_login = Browser::new(&a);
    let login_page = at_login.authorize(&REQUEST).await;
    let at_consent = Browser::new(&b);
    let consent_page = at_consent.log_in(&REQUEST, alice()).await;
    let code = Browser::new(&a).code(&REQUEST).await;

    // First all processes learn of the new secret, then it takes over, then the old one is forgotten.
    let a2 = start(&database, &[NEW, OLD]).await;
    let at_login = at_login.at(&a2);
    drop(a);
    let challenge = login_page.expect("login_challenge");
    let after_login = at_login.open(&a2.decide("login", "accept", &challenge, alice()).await).await;
    let b2 = start(&database, &[NEW, OLD]).await;
    let at_consent = at_consent.at(&b2);
    drop(b);
    assert_eq!(reseal(&database, &[NEW, OLD]).await.unwrap(), Resealed { wrapped: 1, current: 0 });
    let begun_between = Browser::new(&b2);
    let between = begun_between.log_in(&REQUEST, alice()).await;
    let a3 = start(&database, &[NEW]).await;
    let (at_login, begun_between) = (at_login.at(&a3), begun_between.at(&a3));
    drop(a2);

    for (browser, page) in [(at_login, after_login), (at_consent, consent_page), (begun_between, between)] {
        let code = browser.consent(&page, all()).await.expect("code");
        let (status, tokens) = a3.exchange(&client, &code).await;
        assert_eq!(status, 200, "{tokens}");
        assert!(a3.is_active(text(&tokens, "access_token")).await);
    }
    assert_eq!(b2.exchange(&client, &code).await.0, 200, "the code of before");
    assert!(a3.is_active(text(&earlier, "access_token")).await);
    assert_eq!(a3.refresh(&client, text(&earlier, "refresh_token")).await.0, 200);
    assert_eq!(reseal(&database, &[NEW]).await.unwrap(), Resealed { wrapped: 0, current: 1 });
}

#[tokio::test]
async fn resealing_needs_the_former_secret_and_ends_its_use() {
    for database in [TestDatabase::sqlite(), TestDatabase::postgres().await] {
        database.open(Clock::system()).await.close().await;
        let open = async |secrets: &[&str]| {
            Store::open(knowing(&database, secrets), Clock::system(), Entropy::system()).await.map(drop)
        };
        assert!(matches!(reseal(&database, &[NEW]).await, Err(Error::WrongSystemSecret)));
        open(&[OLD]).await.unwrap();
        assert_eq!(reseal(&database, &[NEW, OLD]).await.unwrap().wrapped, 1);
        assert!(matches!(open(&[OLD]).await, Err(Error::WrongSystemSecret)));
        open(&[NEW]).await.unwrap();
        // Back again, if need be.
        assert_eq!(reseal(&database, &[OLD, NEW]).await.unwrap().wrapped, 1);
        open(&[OLD]).await.unwrap();
    }
}

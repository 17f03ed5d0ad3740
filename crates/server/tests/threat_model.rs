//! The threats that the server is built against (RFC 6819), a test for each countermeasure, B1 to B11. B6, requests that
//! nobody else reads, is in `tls.rs`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod common;

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::browser::{
    Browser, CALLBACK, CHALLENGE, REQUEST, VERIFIER, application, front_channel_application, prepared,
    request_with, text,
};
use common::doors::{client_of_all, doors, with_all_doors};
use common::{TestClient, TestServer, databases, manual_clock, registered, settings};
use futures::future::join_all;
use harness::TestDatabase;
use jiff::SignedDuration;
use jose::{Entropy, SystemSecret};
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use store::{Clock, Options, Store};

/// Runs statements past the store.
async fn sql(database: &TestDatabase, statement: &str) -> Vec<AnyRow> {
    let mut connection = AnyConnection::connect(&database.url).await.unwrap();
    let rows = sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    rows
}

/// Every value of every row, as text, and as bytes in base64url and in hexadecimal.
async fn dump(database: &TestDatabase) -> Vec<String> {
    let tables = if database.url.starts_with("sqlite") {
        "SELECT m.name, p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p WHERE m.type = 'table' \
         AND m.name NOT LIKE 'sqlite%' AND m.name <> '_sqlx_migrations'"
    } else {
        "SELECT CAST(table_name AS TEXT), CAST(column_name AS TEXT) FROM information_schema.columns \
         WHERE table_schema = 'public' AND table_name <> '_sqlx_migrations'"
    };
    let mut values = Vec::new();
    for column in sql(database, tables).await {
        let (table, name): (String, String) = (column.get(0), column.get(1));
        for row in sql(database, &format!("SELECT {name} FROM {table} WHERE {name} IS NOT NULL")).await {
            if let Ok(bytes) = row.try_get::<Vec<u8>, _>(0) {
                values.push(URL_SAFE_NO_PAD.encode(&bytes));
                let mut hex = String::new();
                for byte in &bytes {
                    write!(hex, "{byte:02x}").unwrap();
                }
                values.push(hex);
                values.extend(String::from_utf8(bytes));
            } else if let Ok(text) = row.try_get::<String, _>(0) {
                values.push(text);
            }
        }
    }
    values.sort();
    values.dedup();
    values.retain(|value| !value.is_empty());
    values
}

/// An application that has logged somebody in, and all that it got.
struct Victim {
    client: TestClient,
    tokens: Value,
}

async fn victim(server: &TestServer) -> Victim {
    let client = prepared(server, application()).await;
    let tokens = server.tokens(&client).await;
    Victim { client, tokens }
}

#[tokio::test]
async fn b1_credentials_are_not_stored_codes_work_once_and_soon_tokens_end() {
    for database in databases().await {
        let server = TestServer::start(&database, manual_clock()).await;
        let Victim { client, tokens } = victim(&server).await;
        let unused = Browser::new(&server).code(&REQUEST).await;
        let values = dump(&database).await;
        let (access, refresh) = (text(&tokens, "access_token"), text(&tokens, "refresh_token"));
        let (key, signature) = access.strip_prefix("ory_at_").unwrap().split_once('.').unwrap();
        let secrets = [client.secret.expose(), key, signature, &refresh[7..], &unused[7..]];
        for secret in secrets.into_iter().chain([harness::database::SYSTEM_SECRET]) {
            assert!(!values.iter().any(|value| value.contains(secret)), "{secret} is stored");
        }
        assert!(values.iter().any(|value| value == "alice"), "what is looked for is found");

        server.store.clock().advance(SignedDuration::from_mins(10));
        assert_eq!(server.exchange(&client, &unused).await.0, 400, "a code ends after ten minutes");
        assert!(server.is_active(access).await);
        server.store.clock().advance(SignedDuration::from_mins(50));
        assert!(!server.is_active(access).await, "an access token ends after an hour");
        assert!(server.is_active(refresh).await);
        server.store.clock().advance(SignedDuration::from_hours(720));
        assert!(!server.is_active(refresh).await && server.refresh(&client, refresh).await.0 == 400);
    }
}

#[tokio::test]
async fn b2_a_token_is_bound_to_its_client_and_abuse_of_a_code_ends_all_that_came_of_it() {
    for database in databases().await {
        let server = TestServer::start(&database, Clock::system()).await;
        let client = prepared(&server, application()).await;
        let code = Browser::new(&server).code(&REQUEST).await;
        let (_, first) = server.exchange(&client, &code).await;
        let (_, second) = server.refresh(&client, text(&first, "refresh_token")).await;
        let token = text(&second, "access_token");
        assert_eq!(server.introspect(&[("token", token)]).await["client_id"], "app");
        let thief = TestClient::create(&server.store, "thief", application()).await;
        server.revoke(&thief, token).await;
        assert!(server.is_active(token).await, "only its client ends it");

        assert_eq!(server.exchange(&client, &code).await.0, 400);
        for token in [token, text(&second, "refresh_token")] {
            assert!(!server.is_active(token).await, "what came of it by a refresh ends as well");
        }
        assert_eq!(server.userinfo(token).await.0, 401);
    }
}

#[tokio::test]
async fn b3_a_refresh_token_is_bound_to_its_client_works_once_and_can_be_revoked() {
    for database in databases().await {
        let server = TestServer::start(&database, Clock::system()).await;
        let Victim { client, tokens } = victim(&server).await;
        let thief = TestClient::create(&server.store, "thief", application()).await;
        let first = text(&tokens, "refresh_token");
        let (status, error) = server.refresh(&thief, first).await;
        assert_eq!((status, text(&error, "error")), (400, "invalid_grant"));
        let (status, next) = server.refresh(&client, first).await;
        assert_eq!(status, 200, "the thief used nothing up: {next}");
        assert_eq!(server.refresh(&client, first).await.0, 400);
        assert_eq!(server.refresh(&client, text(&next, "refresh_token")).await.0, 400, "reuse ends them all");

        let tokens = server.tokens(&client).await;
        let token = text(&tokens, "refresh_token");
        server.revoke(&thief, token).await;
        assert!(server.is_active(token).await);
        server.revoke(&client, token).await;
        assert_eq!(server.refresh(&client, token).await.0, 400);
        assert!(!server.is_active(text(&tokens, "access_token")).await);
    }
}

#[tokio::test]
async fn b4_a_code_is_bound_to_its_client_and_its_redirect_uri() {
    for database in databases().await {
        let server = TestServer::start(&database, Clock::system()).await;
        let mut metadata = application();
        metadata["redirect_uris"] = json!([CALLBACK, "https://app.example.com/other"]);
        let client = prepared(&server, metadata).await;
        let thief = TestClient::create(&server.store, "thief", application()).await;
        for unregistered in
            ["https://evil.example.com/cb", "https://app.example.com/cb/../x", "https://app.example.com/cb?x"]
        {
            let answer =
                Browser::new(&server).authorize(&request_with(&[("redirect_uri", unregistered)])).await;
            assert_eq!(answer.target(), "https://pages.example.com/error", "{unregistered}");
        }
        let code = Browser::new(&server).code(&REQUEST).await;
        let with = |redirect_uri: &'static str, verifier: &'static str| {
            [
                ("grant_type", "authorization_code"),
                ("code", code.as_str()),
                ("redirect_uri", redirect_uri),
                ("code_verifier", verifier),
            ]
        };
        for (who, redirect_uri, verifier) in [
            (&thief, CALLBACK, VERIFIER),
            // Registered, and yet not the one of this request.
            (&client, "https://app.example.com/other", VERIFIER),
            (&client, "", VERIFIER),
            (&client, CALLBACK, CHALLENGE),
        ] {
            let (status, error) = server.token_request(who, &with(redirect_uri, verifier)).await;
            assert_eq!((status, text(&error, "error")), (400, "invalid_grant"), "{redirect_uri}");
        }
        assert_eq!(
            server.token_request(&client, &with(CALLBACK, VERIFIER)).await.0,
            200,
            "and it is not used up"
        );
    }
}

#[tokio::test]
async fn b5_access_and_refresh_tokens_say_nothing_to_who_holds_them() {
    let server = TestServer::alone(Clock::system(), settings()).await;
    let Victim { tokens, .. } = victim(&server).await;
    assert!(!text(&tokens, "access_token")[7..].starts_with("ey"), "no JWT, unless somebody wants it");
    for name in ["access_token", "refresh_token"] {
        for part in text(&tokens, name)[7..].split('.') {
            let bytes = URL_SAFE_NO_PAD.decode(part).unwrap();
            for word in ["alice", "app", "orders", "openid", "example"] {
                assert!(!bytes.windows(word.len()).any(|window| window == word.as_bytes()), "{name}: {word}");
            }
        }
    }
}

#[tokio::test]
async fn b7_a_state_or_nonce_that_could_be_guessed_is_refused() {
    let server = TestServer::alone(Clock::system(), settings()).await;
    prepared(&server, front_channel_application()).await;
    let browser = Browser::new(&server);
    let answer = browser.authorize(&request_with(&[("state", "1234567")])).await;
    assert_eq!((answer.target().as_str(), answer.expect("error").as_str()), (CALLBACK, "invalid_state"));
    for nonce in ["", "1234567"] {
        let request = request_with(&[("response_type", "id_token token"), ("nonce", nonce)]);
        let answer = browser.authorize(&request).await;
        assert!(answer.parameter("error").is_some(), "{nonce:?}: {answer:?}");
    }
    let long =
        request_with(&[("response_type", "id_token token"), ("state", "12345678"), ("nonce", "12345678")]);
    assert!(browser.authorize(&long).await.parameter("login_challenge").is_some());
}

#[tokio::test]
async fn b8_a_token_is_a_key_and_a_signature_and_neither_is_worth_anything_alone() {
    let server = TestServer::alone(Clock::system(), settings()).await;
    let Victim { client, tokens } = victim(&server).await;
    let other = server.tokens(&client).await;
    let parts = |tokens: &Value| {
        let token = text(tokens, "access_token").strip_prefix("ory_at_").unwrap().to_owned();
        let (key, signature) = token.split_once('.').unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(signature).unwrap().len(), 32, "HMAC-SHA256");
        (key.to_owned(), signature.to_owned())
    };
    let ((key, signature), (_, others)) = (parts(&tokens), parts(&other));
    let zeros = URL_SAFE_NO_PAD.encode([0; 32]);
    for worthless in [
        key.clone(),
        format!("{key}."),
        signature.clone(),
        format!(".{signature}"),
        format!("{key}.{others}"),
        format!("{key}.{zeros}"),
        format!("{key}.{key}"),
        format!("{signature}.{key}"),
    ] {
        for token in [format!("ory_at_{worthless}"), worthless] {
            assert!(!server.is_active(&token).await && server.userinfo(&token).await.0 == 401, "{token}");
        }
    }
    assert!(server.is_active(&format!("ory_at_{key}.{signature}")).await);
    assert!(server.is_active(&format!("{key}.{signature}")).await, "the prefix is for people");
}

#[tokio::test]
async fn b9_nothing_in_the_database_is_a_token_a_code_or_a_cookie() {
    for database in databases().await {
        let store = database.open(Clock::system()).await;
        let server = TestServer::with(store, with_all_doors()).await;
        server.cached().await;
        let client = client_of_all(&server).await;
        // Grants, codes, sessions, consents, devices, refreshed and revoked tokens: all are there.
        let doors = doors(&server, &client).await;
        let tokens = server.tokens(&client).await;
        server.refresh(&client, text(&tokens, "refresh_token")).await;
        let service = TestClient::create(&server.store, "service", registered()).await;
        server.revoke(&service, &server.access_token(&service).await).await;
        let values = dump(&database).await;
        assert!(values.len() > 80, "{} values", values.len());
        for door in &doors {
            // Those that go on with a flow are asked for fewer: what they take is what the others take.
            let is_slow = door.kind.ends_with("_verifier") || door.kind == "session cookie";
            let tried = values.iter().filter(|value| value.len() < 2000 && (!is_slow || value.len() > 30));
            let forms: Vec<_> = tried.flat_map(|value| door.forms(value)).collect();
            for forms in forms.chunks(8) {
                let opened = join_all(forms.iter().map(|form| door.opens(&server, &client, form))).await;
                assert!(!opened.contains(&true), "{}: {forms:?}", door.kind);
            }
        }
        for value in values.iter().filter(|value| value.len() < 2000) {
            for prefix in ["", "ory_at_", "ory_rt_"] {
                assert!(!server.is_active(&format!("{prefix}{value}")).await, "{value}");
            }
        }
    }
}

/// Opens the database with another system secret than the one that it was made with.
async fn open_with(database: &TestDatabase, secret: &str) -> Result<Store, store::Error> {
    let secrets = [SystemSecret::new(secret).unwrap()];
    let options = Options { secrets: secrets.into(), ..database.options() };
    Store::open(options, Clock::system(), Entropy::system()).await
}

#[tokio::test]
async fn b10_without_the_system_secret_there_are_no_tokens() {
    for database in databases().await {
        let server = TestServer::start(&database, Clock::system()).await;
        let Victim { client, tokens } = victim(&server).await;
        let opened = open_with(&database, "a-system-secret-of-somebody-else").await;
        assert!(matches!(opened, Err(store::Error::WrongSystemSecret)));
        // Another installation with the same system secret has another root key: their tokens are not for each other.
        let elsewhere = TestServer::alone(Clock::system(), settings()).await;
        let of_elsewhere = victim(&elsewhere).await;
        for name in ["access_token", "refresh_token"] {
            assert!(!server.is_active(text(&of_elsewhere.tokens, name)).await);
            assert!(!elsewhere.is_active(text(&tokens, name)).await);
        }
        assert_eq!(server.refresh(&client, text(&of_elsewhere.tokens, "refresh_token")).await.0, 400);
    }
}

#[tokio::test]
async fn b10_whoever_may_write_to_the_database_gets_no_token_of_it() {
    for database in databases().await {
        let server = TestServer::start(&database, Clock::system()).await;
        let client = prepared(&server, application()).await;
        let theirs = server.tokens_of(&client, json!({"subject": "admin"})).await;
        let mine = server.tokens(&client).await;
        let spent = mine.clone();
        let (_, mine) = server.refresh(&client, text(&mine, "refresh_token")).await;
        let (access, refresh) = (text(&mine, "access_token"), text(&mine, "refresh_token"));
        sql(&database, "CREATE TABLE kept AS SELECT * FROM grants").await;
        for change in [
            "UPDATE grants SET subject = 'admin' WHERE subject = 'alice'",
            "UPDATE grants SET subject = 'admin', content = (SELECT content FROM kept WHERE subject = 'admin') \
             WHERE subject = 'alice'",
            "UPDATE grants SET client_id = 'thief' WHERE subject = 'alice'",
            "DELETE FROM grants",
        ] {
            sql(&database, change).await;
            assert!(!server.is_active(access).await, "{change}");
            assert_eq!(server.userinfo(access).await.0, 401, "{change}");
            let (status, answer) = server.refresh(&client, refresh).await;
            assert_ne!(status, 200, "{change}: {answer}");
            sql(&database, "DELETE FROM grants; INSERT INTO grants SELECT * FROM kept").await;
        }
        // What was replaced stays so where a row is put back to what it was: a refresh names its predecessor's hash.
        sql(&database, "UPDATE grants SET generation = 0, expires_at = expires_at + 1000000").await;
        assert_ne!(server.refresh(&client, text(&spent, "refresh_token")).await.0, 200);
        assert!(server.is_active(text(&theirs, "access_token")).await, "the others are not touched");
    }
}

#[tokio::test]
async fn b11_private_keys_are_sealed_each_for_its_set_and_name() {
    for database in databases().await {
        let server = TestServer::start(&database, Clock::system()).await;
        prepared(&server, application()).await;
        let rows = sql(&database, "SELECT private_jwk, kid FROM keys WHERE private_jwk IS NOT NULL").await;
        assert_eq!(rows.len(), 2);
        for row in rows {
            let (sealed, kid): (Vec<u8>, String) = (row.get(0), row.get(1));
            let opened =
                |set| server.store.ring().open_jwk(set, &jose::KeyId::from(kid.clone()), &sealed).is_ok();
            let opens: Vec<_> = [store::ID_TOKEN_SET, store::ACCESS_TOKEN_SET]
                .into_iter()
                .filter(|set| opened(set))
                .collect();
            assert_eq!(opens.len(), 1, "it opens for one set: {opens:?}");
            let other = jose::KeyId::from("another".to_owned());
            assert!(server.store.ring().open_jwk(opens[0], &other, &sealed).is_err());
            for place in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[place] ^= 1 << (place % 8);
                let kid = jose::KeyId::from(kid.clone());
                assert!(server.store.ring().open_jwk(opens[0], &kid, &changed).is_err(), "byte {place}");
            }
            assert!(!String::from_utf8_lossy(&sealed).contains("\"d\""));
        }
    }
}

//! The admin API of key sets.
#![expect(clippy::unwrap_used, reason = "a test cannot go on where a step of its own fails")]

mod common;

use common::browser::text;
use common::{TestServer, databases, header, make_token_sets, manual_clock, settings};
use jose::{ImportedKey, SigningAlgorithm, Verifier};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use store::{ACCESS_TOKEN_SET, ID_TOKEN_SET};

async fn send(server: &TestServer, method: Method, path: &str, body: &Value) -> Response {
    let request = server.http.request(method, server.admin_url(&format!("/admin/keys/{path}")));
    let request = if body.is_null() { request } else { request.json(body) };
    request.send().await.unwrap()
}

/// Asks, and gives the status and the body: JSON, or `null` where there is none.
async fn ask(server: &TestServer, method: Method, path: &str, body: Value) -> (u16, Value) {
    let response = send(server, method, path, &body).await;
    let (status, text) = (response.status().as_u16(), response.text().await.unwrap());
    (status, serde_json::from_str(&text).unwrap_or(Value::Null))
}

async fn get(server: &TestServer, path: &str) -> (u16, Value) {
    ask(server, Method::GET, path, Value::Null).await
}

async fn delete(server: &TestServer, path: &str) -> u16 {
    ask(server, Method::DELETE, path, Value::Null).await.0
}

fn kids(set: &Value) -> Vec<&str> {
    set["keys"].as_array().unwrap().iter().map(|key| text(key, "kid")).collect()
}

#[tokio::test]
async fn keys_of_every_algorithm_are_made_and_sign() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    for algorithm in [
        SigningAlgorithm::Ps512,
        SigningAlgorithm::Es256,
        SigningAlgorithm::Es384,
        SigningAlgorithm::Es512,
        SigningAlgorithm::EdDsa,
    ] {
        let body = json!({"alg": algorithm, "use": "sig", "kid": ""});
        let (status, made) = ask(&server, Method::POST, "all", body).await;
        assert_eq!(status, 201, "{made}");
        let [jwk] = &made["keys"].as_array().unwrap()[..] else { panic!("{made}") };
        assert_eq!((&jwk["alg"], &jwk["use"]), (&json!(algorithm), &json!("sig")));
        let ImportedKey::Pair(pair) = ImportedKey::from_jwk(&jwk.to_string()).unwrap() else {
            panic!("{algorithm}")
        };
        let token = pair.signer().unwrap().sign("JWT", &json!({"sub": "x"})).unwrap();
        assert!(Verifier::from_jwk(pair.public_jwk()).unwrap().verify(&token).is_ok());
    }
    let (status, made) =
        ask(&server, Method::POST, "enc", json!({"alg": "ECDH-ES", "use": "enc", "kid": null})).await;
    assert_eq!((status, &made["keys"][0]["use"]), (201, &json!("enc")));
    for (body, why) in [
        (json!({"alg": "HS256", "use": "sig"}), "alg: "),
        (json!({}), "alg: "),
        (json!({"alg": null, "use": null}), "alg: "),
        (json!({"alg": "ES256", "use": "enc"}), "use: "),
        (json!({"alg": "ES256", "kid": "x".repeat(256)}), "255"),
        (json!({"alg": 7}), "invalid type"),
    ] {
        let (status, error) = ask(&server, Method::POST, "all", body).await;
        assert_eq!(status, 400, "{error}");
        assert!(text(&error, "error_description").contains(why), "{why}: {error}");
    }
    assert_eq!(kids(&get(&server, "all").await.1).len(), 5);
}

#[tokio::test]
async fn a_set_is_kept_by_hand_as_with_hydra() {
    for database in databases().await {
        let server = TestServer::start(&database, manual_clock()).await;
        let no_keys =
            json!({"error": "Not Found", "error_description": "Unable to locate the requested resource"});
        assert_eq!(get(&server, "own").await, (404, no_keys));
        let response =
            send(&server, Method::POST, "own", &json!({"alg": "ES256", "use": "sig", "kid": "one"})).await;
        assert_eq!((response.status().as_u16(), header(&response, "location")), (201, "/admin/keys/own"));
        let one: Value = response.json().await.unwrap();
        assert!(one["keys"][0]["d"].is_string());
        server.store.clock().advance(jiff::SignedDuration::from_secs(1));
        let (status, two) =
            ask(&server, Method::POST, "own", json!({"alg": "EdDSA", "use": "sig", "kid": "two"})).await;
        assert_eq!(status, 201);
        let (status, error) =
            ask(&server, Method::POST, "own", json!({"alg": "ES256", "use": "sig", "kid": "one"})).await;
        assert_eq!(status, 409, "{error}");

        let (status, set) = get(&server, "own").await;
        assert_eq!((status, kids(&set)), (200, vec!["two", "one"]), "the newest first");
        assert_eq!(get(&server, "own/one").await, (200, one.clone()));
        let no_key = json!({"error": "Unable to locate the resource", "error_description": ""});
        assert_eq!(get(&server, "own/three").await, (404, no_key.clone()));
        assert_eq!(get(&server, "other/one").await, (404, no_key));

        // What is handed over comes back as it is, with or without its private half.
        let mut public = two["keys"][0].clone();
        public.as_object_mut().unwrap().remove("d");
        public["kid"] = json!("public");
        assert_eq!(ask(&server, Method::PUT, "own/public", public.clone()).await, (200, public.clone()));
        let (status, replaced) =
            ask(&server, Method::PUT, "own", json!({"keys": [public, one["keys"][0]]})).await;
        assert_eq!((status, kids(&replaced)), (200, vec!["one", "public"]));
        assert_eq!(get(&server, "own/one").await.1, one);
        let (status, error) = ask(&server, Method::PUT, "own/else", public).await;
        assert_eq!(status, 400, "{error}");
        let secret = json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "s"});
        let (status, error) = ask(&server, Method::PUT, "own", json!({"keys": [secret]})).await;
        assert_eq!(status, 400);
        assert!(
            text(&error, "error_description").contains("symmetric")
                && !error.to_string().contains("c2VjcmV0")
        );

        assert_eq!(delete(&server, "own/one").await, 204);
        assert_eq!(delete(&server, "own/one").await, 204, "also when it is gone");
        assert_eq!(kids(&get(&server, "own").await.1), ["public"]);
        assert_eq!(delete(&server, "own").await, 204);
        assert_eq!((get(&server, "own").await.0, delete(&server, "own").await), (404, 204));
        for path in ["%00".to_owned(), "x".repeat(256)] {
            let (status, _) = ask(&server, Method::POST, &path, json!({"alg": "ES256"})).await;
            assert_eq!((get(&server, &path).await.0, delete(&server, &path).await, status), (400, 400, 400));
            assert_eq!(delete(&server, &format!("{path}/one")).await, 400);
        }
    }
}

#[tokio::test]
async fn a_broadcast_set_is_published_at_once_and_never_with_its_private_half() {
    let mut settings = settings();
    settings.broadcast_keys.push("own".to_owned());
    let server = TestServer::alone(manual_clock(), settings).await;
    make_token_sets(&server.store, SigningAlgorithm::Es256).await;
    assert_eq!(header(&server.get("/.well-known/jwks.json").await, "cache-control"), "public, max-age=3600");
    for set in ["own", "secret"] {
        let body = json!({"alg": "ES256", "use": "sig", "kid": format!("of {set}")});
        assert_eq!(ask(&server, Method::POST, set, body).await.0, 201);
    }
    let response = server.get("/.well-known/jwks.json").await;
    assert_eq!(header(&response, "cache-control"), "no-cache", "a key that is added signs at once");
    let body = response.text().await.unwrap();
    let published: Value = serde_json::from_str(&body).unwrap();
    assert!(kids(&published).contains(&"of own") && !kids(&published).contains(&"of secret"), "{body}");
    assert!(published["keys"].as_array().unwrap().iter().all(|key| key.get("d").is_none()), "{body}");
}

#[tokio::test]
async fn what_a_resource_declares_is_shown_and_changed_there_alone() {
    let server = TestServer::alone(manual_clock(), settings()).await;
    make_token_sets(&server.store, SigningAlgorithm::Es256).await;
    let (status, shown) = get(&server, ID_TOKEN_SET).await;
    assert_eq!(
        (status, shown["keys"][0].get("d")),
        (200, None),
        "what signs tokens leaves the server for nobody"
    );
    let kid = text(&shown["keys"][0], "kid").to_owned();
    let key = json!({"alg": "ES256", "use": "sig"});
    let one = format!("{ID_TOKEN_SET}/{kid}");
    for (method, path, body) in [
        (Method::POST, ID_TOKEN_SET, key),
        (Method::PUT, ID_TOKEN_SET, json!({"keys": []})),
        (Method::PUT, &one, shown["keys"][0].clone()),
        (Method::DELETE, ID_TOKEN_SET, Value::Null),
        (Method::DELETE, &one, Value::Null),
    ] {
        let (status, error) = ask(&server, method.clone(), path, body).await;
        assert_eq!(status, 409, "{method} {path}: {error}");
        let named = "JsonWebKeySet default/hydra.openid.id-token";
        assert!(text(&error, "error_description").contains(named), "{error}");
    }
    assert_eq!(get(&server, ID_TOKEN_SET).await.1, shown);
}

#[tokio::test]
async fn the_servers_own_sets_turn_on_request_and_are_not_edited() {
    let database = harness::TestDatabase::sqlite();
    let server = TestServer::start(&database, manual_clock()).await;
    make_token_sets(&server.store, SigningAlgorithm::Es256).await;
    common::sql(&database, "UPDATE key_sets SET manager_cluster = NULL, manager_namespace = NULL, manager_name = NULL, manager_uid = NULL").await;
    server.store.clock().advance(jiff::SignedDuration::from_mins(5));
    let (_, before) = get(&server, ACCESS_TOKEN_SET).await;
    let (status, made) =
        ask(&server, Method::POST, ACCESS_TOKEN_SET, json!({"alg": "ES256", "use": "sig", "kid": ""})).await;
    assert_eq!((status, made["keys"][0].get("d")), (201, None), "{made}");
    let (next, signs) = (kids(&made)[0], kids(&before)[0]);
    assert_ne!(next, signs);
    let again = ask(&server, Method::POST, ACCESS_TOKEN_SET, json!({"alg": "ES256"})).await;
    assert_eq!((again.0, kids(&again.1)), (201, vec![next]), "one next key is enough");
    let published = server.get("/.well-known/jwks.json").await.json::<Value>().await.unwrap();
    assert!(kids(&published).contains(&next));
    let keys = server.store.keys().await.unwrap();
    let signing = keys.signing_key(ACCESS_TOKEN_SET, None, server.store.clock().now()).unwrap();
    assert_eq!(signing.signer.key_id().as_str(), signs, "it signs when verifiers know it");

    for (method, path, body, expected) in [
        (Method::POST, ACCESS_TOKEN_SET.to_owned(), json!({"alg": "RS256"}), 400),
        (Method::POST, ACCESS_TOKEN_SET.to_owned(), json!({"alg": "ES256", "kid": "mine"}), 400),
        (Method::PUT, ACCESS_TOKEN_SET.to_owned(), json!({"keys": []}), 409),
        (Method::PUT, format!("{ACCESS_TOKEN_SET}/{next}"), made["keys"][0].clone(), 409),
        (Method::DELETE, ACCESS_TOKEN_SET.to_owned(), Value::Null, 409),
    ] {
        assert_eq!(ask(&server, method.clone(), &path, body).await.0, expected, "{method} {path}");
    }
    assert_eq!(delete(&server, &format!("{ACCESS_TOKEN_SET}/{signs}")).await, 204);
    let (_, after) = get(&server, ACCESS_TOKEN_SET).await;
    assert_eq!(kids(&after), [next], "a compromised key leaves at once, and is replaced");
    assert!(server.store.keys().await.unwrap().is_complete(server.store.clock().now()));
}

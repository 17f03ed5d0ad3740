use axum::body::Body;
use harness::TestDatabase;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{Request, StatusCode};
use oauth::{ClientId, ClientMetadata, GrantType, Incarnation, TokenEndpointAuthMethod};
use prometheus_client::registry::Registry;
use store::{Clock, NewClient};
use tower::ServiceExt;

use super::*;
use crate::{Metrics, Settings};

const SECRET: &str = "chosen-by-somebody";

/// A server that knows clients whose secrets somebody chose, and its database.
async fn server_with(ids: &[&str]) -> (Server, TestDatabase) {
    let database = TestDatabase::sqlite();
    let store = database.open(Clock::system()).await;
    for id in ids {
        let (id, incarnation, secret) =
            (ClientId::parse(*id).unwrap(), Incarnation(1), ClientSecret::new(SECRET));
        let hash =
            ClientSecretHash::of_chosen(store.ring(), &id, incarnation, &secret, store.entropy()).unwrap();
        let new = NewClient {
            id: id.clone(),
            incarnation,
            metadata: ClientMetadata {
                grant_types: vec![GrantType::ClientCredentials],
                token_endpoint_auth_method: TokenEndpointAuthMethod::ClientSecretPost,
                ..ClientMetadata::default()
            },
            manager: None,
            deleted_with_manager: false,
            spec_hash: String::new(),
            secret: Some(hash),
            handled_rotate_secret: None,
            self_registered: false,
        };
        store.create_client(&new).await.unwrap();
    }
    let metrics = Metrics::new(&mut Registry::default());
    (Server::new(store, Settings::of_a_test(), metrics, None).unwrap(), database)
}

/// How a token request is answered, and whether it is to be tried again.
async fn request_token(server: &Server, id: &str, secret: &str) -> (StatusCode, bool) {
    let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}");
    let request = Request::post("/oauth2/token")
        .header(HOST, "x")
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(form))
        .unwrap();
    let response = server.public_router().oneshot(request).await.unwrap();
    (response.status(), response.headers().contains_key(RETRY_AFTER))
}

#[tokio::test]
async fn whoever_guesses_the_secret_of_one_client_holds_up_no_other() {
    const BUSY: (StatusCode, bool) = (StatusCode::SERVICE_UNAVAILABLE, true);
    const ISSUED: (StatusCode, bool) = (StatusCode::OK, false);
    const WRONG: (StatusCode, bool) = (StatusCode::UNAUTHORIZED, false);
    let (server, _database) = server_with(&["guessed", "other"]).await;
    let guessed = ClientId::parse("guessed").unwrap();
    assert_eq!(request_token(&server, "guessed", "wrong").await, WRONG);
    let held: Vec<_> = (0..2).map(|_| server.hash_shares().take(&guessed)).collect();
    assert!(held.iter().all(Option::is_some), "the guess that was answered is over");
    assert_eq!(request_token(&server, "guessed", "wrong").await, BUSY);
    assert_eq!(request_token(&server, "guessed", SECRET).await, BUSY, "nobody knows which one is right");
    assert_eq!(request_token(&server, "other", SECRET).await, ISSUED);
    drop(held);
    assert_eq!(request_token(&server, "guessed", SECRET).await, ISSUED);
    // Its secret is remembered now.
    let _held: Vec<_> = (0..2).map(|_| server.hash_shares().take(&guessed)).collect();
    assert_eq!(request_token(&server, "guessed", SECRET).await, ISSUED);
    assert_eq!(request_token(&server, "guessed", "wrong").await, BUSY);
}

//! Applications with what they find in their Secrets.

use crate::common::browser::{Browser, CALLBACK, REQUEST, alice, all, text};
use crate::common::{TestServer, settings};
use crate::operated::Declared;
use crd::{JsonWebKeySet, OAuth2Client};
use harness::TestDatabase;
use oauth::AccessTokenStrategy;
use serde_json::json;
use store::{ACCESS_TOKEN_SET, Clock, ID_TOKEN_SET};

/// Scenario 2.
#[tokio::test]
async fn what_is_in_a_secret_obtains_tokens() {
    let database = TestDatabase::postgres().await;
    let operators = database.open(Clock::system()).await;
    let declared = Declared::on(&operators).await;
    for set in [ID_TOKEN_SET, ACCESS_TOKEN_SET] {
        declared.create::<JsonWebKeySet>(set, json!({"algorithms": ["ES256"]})).await;
    }
    let service = json!({"grantTypes": ["client_credentials"], "scopes": ["read"]});
    declared.create::<OAuth2Client>("service", service).await;
    let web = json!({
        "grantTypes": ["authorization_code", "refresh_token"],
        "redirectUris": [CALLBACK],
        "scopes": ["openid", "offline", "orders.read"],
    });
    declared.create::<OAuth2Client>("web", web).await;
    let _operator = declared.operate();
    let mut with_jwt = settings();
    with_jwt.access_token_strategy = AccessTokenStrategy::Jwt;
    let server = TestServer::with(database.open(Clock::system()).await, with_jwt).await;

    let service = declared.credentials("service").await;
    for set in [ID_TOKEN_SET, ACCESS_TOKEN_SET] {
        declared.ready_key_set(set).await;
    }
    server.cached().await;
    let issued = server.token(&service, &[("scope", "read")]).await;
    let claims = server.verified(text(&issued, "access_token")).await;
    assert_eq!((&claims["client_id"], &claims["scp"]), (&json!(service.id.as_str()), &json!(["read"])));
    assert!(server.is_active(text(&issued, "access_token")).await);
    let control = service.with_secret("what-is-not-in-the-secret-at-all");
    assert_eq!(server.request_token(&control, &[]).await.status(), 401);

    let web = declared.credentials("web").await;
    let mut request = REQUEST;
    request[0].1 = web.id.as_str();
    let browser = Browser::new(&server);
    let page = browser.log_in(&request, alice()).await;
    let code = browser.consent(&page, all()).await.expect("code");
    let (status, refused) = server.exchange(&web.with_secret(service.secret.expose()), &code).await;
    assert_eq!((status, &refused["error"]), (401, &json!("invalid_client")));
    let (status, tokens) = server.exchange(&web, &code).await;
    assert_eq!(status, 200, "{tokens}");
    let claims = server.verified(text(&tokens, "id_token")).await;
    assert_eq!((&claims["sub"], &claims["aud"]), (&json!("alice"), &json!([web.id.as_str()])));
    let (status, refreshed) = server.refresh(&web, text(&tokens, "refresh_token")).await;
    assert_eq!(status, 200, "{refreshed}");
}

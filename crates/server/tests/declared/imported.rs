//! What was an Ory Hydra's, declared.

use crd::{JsonWebKeySet, KeyState, OAuth2Client};
use harness::hydra::HYDRAS_TIME;
use harness::{TestDatabase, TestHydra};
use jose::HydraSecret;
use oauth::{ClientId, ClientSecret};
use serde_json::{Value, json};
use store::{ACCESS_TOKEN_SET, Clock, HydraImport, ID_TOKEN_SET};

use crate::common::browser::text;
use crate::common::{TestClient, TestServer, resource, settings};
use crate::operated::Declared;

/// The secret that the client had at Hydra.
const SECRET: &str = "web-secret-of-hydra";

async fn kids(server: &TestServer) -> Vec<String> {
    let keys: Value = server.get("/.well-known/jwks.json").await.json().await.unwrap();
    let mut kids: Vec<_> =
        keys["keys"].as_array().unwrap().iter().map(|key| text(key, "kid").to_owned()).collect();
    kids.sort_unstable();
    kids
}

/// Scenario 33.
#[tokio::test]
async fn an_imported_clients_resource_and_those_of_key_sets_change_nothing_for_who_uses_them() {
    let hydra = TestHydra::start().await;
    let database = TestDatabase::postgres().await;
    let clock = Clock::manual(HYDRAS_TIME.parse().unwrap());
    let store = database.open(clock.clone()).await;
    let secrets: Vec<_> = hydra.secrets.iter().map(|secret| HydraSecret::new(secret)).collect();
    let import =
        HydraImport { store: Some(&store), secrets: &secrets, registration_tokens: true, dry_run: false };
    import.run(&mut hydra.open().await, store.clock().now(), store.entropy()).await.unwrap();
    let server = TestServer::with(database.open(clock).await, settings()).await;
    server.cached().await;
    let before = kids(&server).await;

    let declared = Declared::on(&store).await;
    for (set, algorithm) in [(ID_TOKEN_SET, "RS256"), (ACCESS_TOKEN_SET, "ES256")] {
        let spec = json!({"algorithms": [algorithm], "rotation": {"policy": "Manual"}});
        declared.create::<JsonWebKeySet>(set, spec).await;
    }
    declared.create_opted_in("web-credentials", &[("CLIENT_ID", "web"), ("CLIENT_SECRET", SECRET)]).await;
    let spec = json!({
        "clientId": "web", "adopt": true, "owner": "web/team",
        "grantTypes": ["authorization_code", "refresh_token", "client_credentials"],
        "responseTypes": ["code"], "redirectUris": ["https://app.example.com/cb"],
        "postLogoutRedirectUris": ["https://app.example.com/bye"],
        "scopes": ["openid", "offline", "read"], "audience": ["https://api.example.com"],
        "secret": {"source": "Reference", "name": "web-credentials"},
    });
    declared.create::<OAuth2Client>("web", spec).await;
    let _operator = declared.operate();
    let web = declared.credentials("web").await;
    assert_eq!(web.secret.expose(), SECRET);
    for set in [ID_TOKEN_SET, ACCESS_TOKEN_SET] {
        declared.ready_key_set(set).await;
        let keys = declared.key_set(set).await.status.unwrap().keys;
        assert!(keys.iter().any(|key| key.state == KeyState::Active), "{keys:?}");
    }
    assert_eq!(kids(&server).await, before, "the sets have the keys that they had, and no other");
    let row = store.read_client(&ClientId::parse("web").unwrap()).await.unwrap().unwrap();
    assert_eq!(row.manager.unwrap().name, "web");

    for person in ["frank", "bob"] {
        let claims = server.verified(hydra.answer(&format!("/{person}/id_token"))).await;
        assert_eq!(claims["sub"], person);
    }
    let web = TestClient { id: web.id, secret: ClientSecret::new(SECRET), manager: resource("web") };
    let form = [("grant_type", "client_credentials"), ("scope", "read")];
    let (status, answer) = server.token_request(&web, &form).await;
    assert_eq!(status, 200, "{answer}");
    let (status, refreshed) = server.refresh(&web, hydra.answer("/frank/refresh_token")).await;
    assert_eq!(status, 200, "{refreshed}");
    let claims = server.verified(text(&refreshed, "id_token")).await;
    assert_eq!(claims["sub"], "frank");
}

//! A client from its creation on.

use std::time::{Duration, Instant};

use crd::{ConditionStatus, ConditionType, OAuth2Client, Reason};
use futures::{StreamExt, TryStreamExt};
use harness::TestDatabase;
use kube::api::PostParams;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Resource, ResourceExt};
use oauth::ClientId;
use serde_json::{Value, json};

use crate::proxy::Proxy;
use crate::resource::Kind;
use crate::world::{ISSUER, World, entries, entry};

async fn a_minimal_client_works_within_seconds(world: World) {
    world.start().await;
    let created = Instant::now();
    let client = world.ready_service("orders").await;
    assert!(created.elapsed() < Duration::from_secs(5), "{:?}", created.elapsed());

    let secret = world.secret("orders-oauth2-client").await.unwrap();
    assert_eq!(entries(&secret), ["CLIENT_ID", "CLIENT_SECRET"]);
    assert_eq!(secret.labels()["keywright.dev/managed"], "true");
    assert_eq!(secret.owner_references()[0].uid, client.uid().unwrap());
    assert_eq!(secret.owner_references()[0].controller, Some(true));
    let credentials = world.credentials(&client).await;
    assert_eq!(credentials.1.expose().len(), 26);
    assert!(world.lets_in(&credentials).await);

    let status = client.status.clone().unwrap();
    assert_eq!(status.client_id.as_deref(), Some(credentials.0.as_str()));
    assert_eq!(status.secret_name.as_deref(), Some("orders-oauth2-client"));
    for type_ in [ConditionType::Ready, ConditionType::Synced, ConditionType::SecretReady] {
        assert_eq!(client.condition(&type_).unwrap().status, ConditionStatus::True, "{type_}");
    }
    assert_eq!(status.conditions.len(), 3);
    assert_eq!(client.finalizers(), ["keywright.dev/client"]);
    world.resync(1).await;
    world.oac("orders").tells(&["Created"]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minimal_client_works_within_seconds_on_sqlite() {
    a_minimal_client_works_within_seconds(World::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minimal_client_works_within_seconds_on_postgres() {
    a_minimal_client_works_within_seconds(World::on_postgres().await).await;
}

/// Every field of the protocol, as declared.
fn everything_declared() -> Value {
    json!({
        "clientName": "Shop",
        "grantTypes": ["authorization_code", "refresh_token", "client_credentials"],
        "responseTypes": ["code"],
        "redirectUris": ["https://shop.example.com/cb"],
        "postLogoutRedirectUris": ["https://shop.example.com/bye"],
        "requestUris": ["https://shop.example.com/request"],
        "allowedCorsOrigins": ["https://shop.example.com"],
        "scopes": ["openid", "orders:read"],
        "audience": ["https://api.example.com"],
        "tokenEndpointAuthMethod": "client_secret_post",
        "jwksUri": "https://shop.example.com/jwks",
        "requestObjectSigningAlg": "RS256",
        "userinfoSignedResponseAlg": "ES256",
        "idTokenSignedResponseAlg": "ES256",
        "subjectType": "pairwise",
        "sectorIdentifierUri": "https://shop.example.com/sector",
        "accessTokenStrategy": "jwt",
        "skipConsent": true,
        "skipLogoutConsent": true,
        "frontchannelLogoutUri": "https://shop.example.com/front",
        "frontchannelLogoutSessionRequired": true,
        "backchannelLogoutUri": "https://shop.example.com/back",
        "backchannelLogoutSessionRequired": true,
        "clientUri": "https://shop.example.com",
        "logoUri": "https://shop.example.com/logo.png",
        "policyUri": "https://shop.example.com/policy",
        "tosUri": "https://shop.example.com/tos",
        "contacts": ["shop@example.com"],
        "owner": "team-shop",
        "metadata": {"tier": 1},
        "lifespans": {
            "authorizationCode": {"accessToken": "10m", "idToken": "11m", "refreshToken": "24h"},
            "clientCredentials": {"accessToken": "5m"},
        },
    })
}

/// The same as registered.
fn everything_registered() -> Value {
    json!({
        "client_name": "Shop",
        "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
        "response_types": ["code"],
        "redirect_uris": ["https://shop.example.com/cb"],
        "post_logout_redirect_uris": ["https://shop.example.com/bye"],
        "request_uris": ["https://shop.example.com/request"],
        "allowed_cors_origins": ["https://shop.example.com"],
        "scope": "openid orders:read",
        "audience": ["https://api.example.com"],
        "token_endpoint_auth_method": "client_secret_post",
        "jwks_uri": "https://shop.example.com/jwks",
        "request_object_signing_alg": "RS256",
        "userinfo_signed_response_alg": "ES256",
        "id_token_signed_response_alg": "ES256",
        "subject_type": "pairwise",
        "sector_identifier_uri": "https://shop.example.com/sector",
        "access_token_strategy": "jwt",
        "skip_consent": true,
        "skip_logout_consent": true,
        "frontchannel_logout_uri": "https://shop.example.com/front",
        "frontchannel_logout_session_required": true,
        "backchannel_logout_uri": "https://shop.example.com/back",
        "backchannel_logout_session_required": true,
        "client_uri": "https://shop.example.com",
        "logo_uri": "https://shop.example.com/logo.png",
        "policy_uri": "https://shop.example.com/policy",
        "tos_uri": "https://shop.example.com/tos",
        "contacts": ["shop@example.com"],
        "owner": "team-shop",
        "metadata": {"tier": 1},
        "authorization_code_grant_access_token_lifespan": "10m0s",
        "authorization_code_grant_id_token_lifespan": "11m0s",
        "authorization_code_grant_refresh_token_lifespan": "24h0m0s",
        "client_credentials_grant_access_token_lifespan": "5m0s",
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_field_arrives_and_goes_again() {
    let world = World::new().await;
    world.start().await;
    let shop = world.oac("shop");
    let declared = everything_declared();
    shop.create(declared.clone()).await;
    let client = shop.ready().await;
    let id = world.credentials(&client).await.0;
    let row = world.row(&id).await.unwrap();
    assert_eq!(serde_json::to_value(&row.metadata).unwrap(), everything_registered());
    let message = &client.condition(&ConditionType::Ready).unwrap().message;
    assert!(!message.contains("not served yet"), "{message}");

    // What is not declared any more is as if it had never been.
    let mut nothing: Value = declared;
    for (name, value) in nothing.as_object_mut().unwrap() {
        if name != "grantTypes" {
            *value = Value::Null;
        }
    }
    nothing["grantTypes"] = json!(["client_credentials"]);
    shop.edit(nothing).await;
    shop.ready().await;
    let bare = world.ready_service("bare").await;
    let mut bare = world.row(&world.credentials(&bare).await.0).await.unwrap().metadata;
    bare.scope = oauth::ScopeSet::default();
    assert_eq!(world.row(&id).await.unwrap().metadata, bare);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_changes_what_is_registered_and_nothing_else() {
    let world = World::new().await;
    world.start().await;
    let before = world.ready_service("orders").await;
    let credentials = world.credentials(&before).await;
    let secret = world.secret("orders-oauth2-client").await.unwrap();
    let row = world.row(&credentials.0).await.unwrap();

    world.oac("orders").edit(json!({"clientName": "Orders", "scopes": ["read", "write"]})).await;
    let after = world.oac("orders").ready().await;
    let edited = world.row(&credentials.0).await.unwrap();
    assert_eq!(edited.metadata.scope.to_string(), "read write");
    assert_eq!(edited.incarnation, row.incarnation, "tokens of before live on");
    assert_eq!(edited.secret_rotated_at, row.secret_rotated_at);
    assert_eq!(world.secret("orders-oauth2-client").await.unwrap(), secret);
    assert!(world.lets_in(&credentials).await);
    let transition =
        |client: &OAuth2Client| client.condition(&ConditionType::Ready).unwrap().last_transition_time;
    assert_eq!(transition(&after), transition(&before), "it was ready all the time");
    world.oac("orders").tells(&["Created", "Updated"]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_is_about_the_generation_that_was_reconciled() {
    let database = TestDatabase::postgres().await;
    let (proxy, options) = Proxy::before_database(&database).await;
    let world = World::on(database, options).await;
    world.start().await;
    world.ready_service("orders").await;
    world.rest().await;
    let orders = world.oac("orders");
    let fields = format!("metadata.name={}", orders.name);
    let changes = watcher(orders.api.clone(), watcher::Config::default().fields(&fields));
    let mut seen = Box::pin(changes.touched_objects().map_ok(|client| {
        let name = client.spec.client_name.clone();
        (client.meta().generation, client.observed_generation(), name)
    }));
    let first = seen.next().await.unwrap().unwrap();
    assert_eq!(first, (Some(1), Some(1), None));

    proxy.stall();
    orders.edit(json!({"clientName": "second"})).await;
    world.until("a statement waits", async || (proxy.waiting() > 0).then_some(())).await;
    orders.edit(json!({"clientName": "third"})).await;
    proxy.restore();

    let mut statuses = Vec::new();
    loop {
        let (generation, observed, _) = seen.next().await.unwrap().unwrap();
        statuses.push((generation, observed));
        if observed == Some(3) {
            break;
        }
    }
    let late = (Some(3), Some(2));
    assert!(
        !statuses.contains(&late),
        "the one under way was about what nobody asks for any more: {statuses:?}"
    );
    let id = world.credentials(&orders.ready().await).await.0;
    let row = world.row(&id).await.unwrap();
    assert_eq!(serde_json::to_value(&row.metadata).unwrap()["client_name"], "third");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_a_secret_gets_its_id_only() {
    let world = World::new().await;
    world.start().await;
    let public = world.oac("public");
    public
        .create(json!({
            "redirectUris": ["https://app.example.com/cb"],
            "tokenEndpointAuthMethod": "none",
            "secret": {"keys": {"clientId": "id", "issuer": "issuer"}},
        }))
        .await;
    let coordinate = "A".repeat(43);
    let key = json!({"kty": "EC", "crv": "P-256", "x": coordinate, "y": coordinate});
    let by_keys = [
        ("inline", json!({"jwks": {"keys": [key]}})),
        ("by-uri", json!({"jwksUri": "https://app.example.com/jwks"})),
    ];
    for (name, keys) in by_keys {
        let mut spec =
            json!({"grantTypes": ["client_credentials"], "tokenEndpointAuthMethod": "private_key_jwt"});
        spec.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        world.oac(name).create(spec).await;
        let client = world.oac(name).ready().await;
        let secret = world.secret(&client.secret_name()).await.unwrap();
        assert_eq!(entries(&secret), ["CLIENT_ID"], "{name}");
        let id = ClientId::parse(entry(&secret, "CLIENT_ID").unwrap()).unwrap();
        assert!(world.row(&id).await.unwrap().secrets.is_empty());
    }
    public.ready().await;
    let secret = world.secret("public-oauth2-client").await.unwrap();
    assert_eq!(entries(&secret), ["id", "issuer"]);
    assert_eq!(entry(&secret, "issuer").as_deref(), Some(ISSUER));

    // A client that no longer authenticates with a secret has none, and one that does again gets a new one.
    let service = world.ready_service("service").await;
    let credentials = world.credentials(&service).await;
    let keys =
        json!({"tokenEndpointAuthMethod": "private_key_jwt", "jwksUri": "https://app.example.com/jwks"});
    world.oac("service").edit(keys).await;
    world.oac("service").ready().await;
    assert_eq!(entries(&world.secret("service-oauth2-client").await.unwrap()), ["CLIENT_ID"]);
    assert!(!world.lets_in(&credentials).await);
    world.oac("service").edit(json!({"tokenEndpointAuthMethod": null, "jwksUri": null})).await;
    let service = world.oac("service").ready().await;
    let renewed = world.credentials(&service).await;
    assert_eq!(renewed.0, credentials.0);
    assert!(world.lets_in(&renewed).await && !world.lets_in(&credentials).await);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspended_client_stays_as_it_is_until_it_is_resumed() {
    let world = World::new().await;
    world.start().await;
    let client = world.ready_service("orders").await;
    let credentials = world.credentials(&client).await;
    let orders = world.oac("orders");
    orders.edit(json!({"suspend": true, "scopes": ["write"]})).await;
    let suspended = orders.stands(Reason::Suspended).await;
    assert_eq!(suspended.condition(&ConditionType::Ready).unwrap().status, ConditionStatus::Unknown);
    assert_eq!(world.row(&credentials.0).await.unwrap().metadata.scope.to_string(), "read");
    world.delete_secret("orders-oauth2-client").await;
    world.resync(1).await;
    assert!(world.secret("orders-oauth2-client").await.is_none());
    assert!(world.lets_in(&credentials).await);

    orders.edit(json!({"suspend": false})).await;
    orders.ready().await;
    assert_eq!(world.row(&credentials.0).await.unwrap().metadata.scope.to_string(), "write");
    assert!(world.secret("orders-oauth2-client").await.is_some());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn resources_of_another_instance_are_not_touched() {
    let world = World::new().await;
    world.start().await;
    let spec = json!({"grantTypes": ["client_credentials"], "instance": "another"});
    world.oac("theirs").create(spec).await;
    world.jwks("theirs").create(json!({"instance": "another"})).await;
    // By the time that a later one of ours is done, theirs would be too.
    world.ready_service("ours").await;
    world.resync(1).await;
    let theirs = world.oac("theirs").get().await.unwrap();
    assert!(theirs.status.is_none() && theirs.finalizers().is_empty());
    assert!(world.jwks("theirs").get().await.unwrap().status.is_none());
    assert!(world.secret("theirs-oauth2-client").await.is_none());
    assert!(world.store.read_key_sets().await.unwrap().is_empty());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_ids_are_refused_or_harmless() {
    let world = World::new().await;
    world.start().await;
    let neighbour = world.ready_service("neighbour").await;
    let neighbours = world.credentials(&neighbour).await;
    let odd =
        ["../keys/x", "%2e%2e", "a/b?c=d#e", "*", "'; DROP TABLE clients; --".split(' ').next().unwrap()];
    let long = "a".repeat(255);
    for (n, id) in odd.into_iter().chain([long.as_str()]).enumerate() {
        let odd = world.oac(&format!("odd-{n}"));
        odd.create(json!({"grantTypes": ["client_credentials"], "clientId": id})).await;
        let client = odd.ready().await;
        let credentials = world.credentials(&client).await;
        assert_eq!(credentials.0.as_str(), id);
        assert!(world.lets_in(&credentials).await);
        odd.delete().await;
        odd.gone().await;
        assert!(!world.lets_in(&credentials).await);
    }
    for id in ["", "a b", "ключ", &"a".repeat(256)] {
        let manifest = json!({
            "apiVersion": "keywright.dev/v1alpha1", "kind": "OAuth2Client", "metadata": {"name": "refused"},
            "spec": {"instance": world.namespace, "grantTypes": ["client_credentials"], "clientId": id},
        });
        let refused: OAuth2Client = serde_json::from_value(manifest).unwrap();
        let refusal = world.oac("refused").api.create(&PostParams::default(), &refused).await;
        assert!(matches!(refusal, Err(kube::Error::Api(status)) if status.code == 422), "{id:?}");
    }
    assert!(world.lets_in(&neighbours).await);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_survive_the_loss_of_the_database() {
    let mut world = World::new().await;
    world.start().await;
    let mut before = Vec::new();
    for name in ["named", "unnamed"] {
        let mut spec = json!({"grantTypes": ["client_credentials"]});
        if name == "named" {
            spec["clientId"] = format!("{}.named", world.namespace).into();
        }
        world.oac(name).create(spec).await;
        let client = world.oac(name).ready().await;
        before.push((name, world.credentials(&client).await));
    }
    world.stop().await;
    world.lose_database().await;
    for (name, credentials) in &before {
        assert!(!world.lets_in(credentials).await, "{name}: the database is empty");
    }
    world.start().await;
    for (name, credentials) in &before {
        world.until("let in again", async || world.lets_in(credentials).await.then_some(())).await;
        let client = world.oac(name).ready().await;
        assert_eq!(&world.credentials(&client).await, credentials);
        // The status' id goes too: it is in the Secret still.
        assert_eq!(client.status.unwrap().client_id.as_deref(), Some(credentials.0.as_str()));
    }
    world.finish().await;
}

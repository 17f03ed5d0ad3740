//! The database goes away and comes back.

use std::time::{Duration, Instant};

use crd::Reason;
use harness::TestDatabase;
use jiff::SignedDuration;
use serde_json::json;

use crate::proxy::Proxy;
use crate::resource::Kind;
use crate::world::World;

const CLIENTS: usize = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_probe_asks_for_all_and_all_go_on_when_it_is_answered() {
    let database = TestDatabase::postgres().await;
    let (proxy, options) = Proxy::before_database(&database).await;
    let world = World::on(database, options).await;
    world.start().await;
    let names: Vec<String> = (0..CLIENTS).map(|n| format!("client-{n}")).collect();
    for name in &names {
        world.oac(name).create(json!({"grantTypes": ["client_credentials"]})).await;
    }
    world.jwks("keys").create(json!({"algorithms": ["ES256"]})).await;
    for name in &names {
        world.oac(name).ready().await;
    }
    world.jwks("keys").ready().await;

    proxy.cut();
    world.advance(SignedDuration::from_mins(1));
    for name in &names {
        world.oac(name).edit(json!({"scopes": ["read"]})).await;
    }
    world.jwks("keys").touch().await;
    for name in &names {
        world.oac(name).stands(Reason::DatabaseUnavailable).await;
    }
    world.jwks("keys").stands(Reason::DatabaseUnavailable).await;
    // From here on every statement is the probe's, and has a connection that is refused.
    let (statements, refused) = (world.store.statements(), proxy.refused());
    world.until("two more probes", async || (proxy.refused() >= refused + 2).then_some(())).await;
    let asked = world.store.statements() - statements;
    let refused = u64::try_from(proxy.refused() - refused).unwrap();
    assert!(asked <= refused + 1, "{asked} statements, {refused} refused connections");

    proxy.restore();
    let restored = Instant::now();
    world.oac(&names[0]).ready().await;
    assert!(restored.elapsed() < Duration::from_secs(10), "{:?}", restored.elapsed());
    for name in &names {
        let client = world.oac(name).ready().await;
        let id = client.status.unwrap().client_id.unwrap();
        let row = world.row(&oauth::ClientId::parse(id).unwrap()).await.unwrap();
        assert_eq!(row.metadata.scope.to_string(), "read");
    }
    world.jwks("keys").ready().await;
    assert!(world.jwks("keys").get().await.unwrap().is_ready());
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_declared_while_it_is_away_is_made_when_it_is_back() {
    let database = TestDatabase::postgres().await;
    let (proxy, options) = Proxy::before_database(&database).await;
    let world = World::on(database, options).await;
    proxy.cut();
    world.start_with(world.config.clone(), true).await;
    world.oac("orders").create(json!({"grantTypes": ["client_credentials"]})).await;
    let waiting = world.oac("orders").stands(Reason::DatabaseUnavailable).await;
    assert!(world.secret("orders-oauth2-client").await.is_none());
    assert_eq!(waiting.status.unwrap().client_id, None);
    proxy.restore();
    let client = world.oac("orders").ready().await;
    assert!(world.lets_in(&world.credentials(&client).await).await);
    let complete = async || world.store.keys().await.unwrap().is_complete(world.now()).then_some(());
    world.until("the server's key sets", complete).await;
    world.finish().await;
}

//! Rows that somebody changed in the database.

use std::time::{Duration, Instant};

use harness::TestDatabase;
use jiff::SignedDuration;
use operator::source::cluster::Options;
use serde_json::json;
use store::StoredClient;

use crate::resource::Kind;
use crate::world::World;

/// Long for a change of which the database tells at once, and short for one that waits for the hourly comparison.
const AT_ONCE: Duration = Duration::from_secs(5);

fn scope(row: &StoredClient) -> String {
    row.metadata.scope.to_string()
}

/// Scenario 7: what is changed past the admin API, which refuses it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_changed_by_hand_is_put_right_at_once() {
    let world = World::on_postgres().await;
    world.start().await;
    let client = world.ready_service("orders").await;
    let (id, secret) = world.credentials(&client).await;
    world.ready_service("neighbour").await;
    world.rest().await;
    let corrections = || world.context.metrics.drift_corrections.get();

    let changed = Instant::now();
    let metadata = json!({"client_name": "theirs", "scope": "read admin"});
    let edit = format!("UPDATE clients SET metadata = '{metadata}' WHERE id = '{id}'");
    assert_eq!(world.sql(edit).await, 1);
    let restored = async || world.row(&id).await.filter(|row| scope(row) == "read");
    let row = world.until("the row is put right", restored).await;
    assert!(changed.elapsed() < AT_ONCE, "{:?}", changed.elapsed());
    assert_eq!(row.metadata.client_name, "");
    world.oac("orders").tells(&["Created", "DriftCorrected"]).await;
    let (_, note) = world.oac("orders").events().await.pop().unwrap();
    assert!(note.contains("clientName") && note.contains("scopes"), "{note}");
    assert_eq!(corrections(), 1);

    let gone = format!("DELETE FROM clients WHERE id = '{id}'");
    assert_eq!(world.sql(gone).await, 1);
    let back = async || world.lets_in(&(id.clone(), secret.clone())).await.then_some(());
    world.until("the client is back, with its secret", back).await;

    // Its only secret: nobody knows what the row knew, so there is another one.
    world.rest().await;
    assert_eq!(world.sql(format!("DELETE FROM client_secrets WHERE client_id = '{id}'")).await, 1);
    let renewed = async || {
        let credentials = world.present_credentials(&client).await?;
        (credentials.1.expose() != secret.expose() && world.lets_in(&credentials).await).then_some(())
    };
    world.until("there is a secret again", renewed).await;

    world.oac("orders").ready().await;
    world.rest().await;
    let reconciled = world.reconciliations();
    world.sql("UPDATE clients SET spec_hash = spec_hash".to_owned()).await;
    world.rest().await;
    assert!(world.reconciliations() - reconciled <= 6, "each of two is looked at, and that is all");
    world.oac("neighbour").tells(&["Created"]).await;
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_set_that_is_changed_by_hand_is_put_right_at_once() {
    let world = World::on_postgres().await;
    world.start().await;
    world.jwks("keys").create(json!({"algorithms": ["ES256"], "rotation": {"period": "720h"}})).await;
    world.jwks("keys").ready().await;
    world.rest().await;
    let policy = world.store.read_key_set("keys").await.unwrap().unwrap().policy;
    let longer = "UPDATE key_sets SET policy = replace(policy, '86400', '86401') WHERE name = 'keys'";
    assert_eq!(world.sql(longer.to_owned()).await, 1);
    let present = async || world.store.read_key_set("keys").await.unwrap();
    assert_ne!(present().await.unwrap().policy, policy);
    let restored = async || present().await.filter(|set| set.policy == policy).map(drop);
    world.until("the policy is put right", restored).await;
    let told = async || {
        let events = world.jwks("keys").events().await;
        events.into_iter().find(|(reason, _)| reason == "DriftCorrected").map(|(_, note)| note)
    };
    let note = world.until("it is told", told).await;
    assert!(note.contains("publish_before"), "{note}");

    assert_eq!(world.sql("DELETE FROM keys WHERE set_name = 'keys'".to_owned()).await, 1);
    let signs = async || present().await.filter(|set| set.keys.len() == 1).map(drop);
    world.until("there is a key to sign with again", signs).await;
    world.finish().await;
}

/// Where the database tells nobody, all rows are compared from time to time, by one statement for each kind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_which_nobody_is_told_is_found_by_the_next_comparison() {
    let database = TestDatabase::sqlite();
    let options = store::Options { listen_url: None, ..database.options() };
    let world = World::on(database, options).await;
    let often = Options { resync_every: Duration::from_millis(500), ..Options::default() };
    world.start_so(world.config.clone(), often).await;
    let mut ids = Vec::new();
    for n in 0..8 {
        let client = world.ready_service(&format!("client-{n}")).await;
        ids.push(world.credentials(&client).await.0);
    }
    world.rest().await;
    let (statements, reconciled) = (world.store.statements(), world.reconciliations());
    let began = Instant::now();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let compared = u64::try_from(began.elapsed().as_millis() / 450).unwrap() + 1;
    let asked = world.store.statements() - statements;
    assert!(asked <= 2 * compared, "{asked} statements for {compared} comparisons of 8 clients");
    assert_eq!(world.reconciliations(), reconciled, "nobody was looked at");

    let metadata = json!({"scope": "admin"});
    let edit =
        format!("UPDATE clients SET metadata = '{metadata}', version = version + 1 WHERE id = '{}'", ids[3]);
    assert_eq!(world.sql(edit).await, 1);
    let restored = async || world.row(&ids[3]).await.filter(|row| scope(row) == "read").map(drop);
    world.until("the row is put right", restored).await;
    world.oac("client-3").tells(&["Created", "DriftCorrected"]).await;
    assert!(world.oac("client-3").get().await.unwrap().is_ready());
    world.finish().await;
}

/// Scenario 20: an empty database takes the place of the one that is lost, while the operator runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_emptied_is_filled_again_and_the_old_secrets_keep_working() {
    let world = World::on_postgres().await;
    world.start().await;
    let mut held = Vec::new();
    for n in 0..4 {
        let client = world.ready_service(&format!("client-{n}")).await;
        held.push(world.credentials(&client).await);
    }
    world.jwks("keys").create(json!({"algorithms": ["ES256"]})).await;
    world.jwks("keys").ready().await;
    world.rest().await;
    world.advance(SignedDuration::from_hours(1));
    world.sql("TRUNCATE clients, client_secrets, key_sets, keys".to_owned()).await;
    for credentials in &held {
        let works = async || world.lets_in(credentials).await.then_some(());
        world.until("what workloads hold works", works).await;
    }
    let signs = async || world.store.read_key_set("keys").await.unwrap().map(drop);
    world.until("the key set is back", signs).await;
    let lost = async || {
        let events = world.jwks("keys").events().await;
        events.iter().any(|(reason, _)| reason == "KeysLost").then_some(())
    };
    world.until("lost keys are told of", lost).await;
    world.finish().await;
}

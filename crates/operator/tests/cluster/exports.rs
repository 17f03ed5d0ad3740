//! Key sets that are exported into a Secret.

use serde_json::{Value, json};

use crate::resource::Kind;
use crate::world::{World, entry};

fn kids(document: &str) -> Vec<String> {
    let set: Value = serde_json::from_str(document).unwrap();
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

impl World {
    async fn exported(&self, secret: &str) -> Option<String> {
        entry(&self.secret(secret).await?, "jwks.json")
    }

    async fn stored_kids(&self, set: &str) -> Vec<String> {
        let set = self.store.read_key_set(set).await.unwrap();
        set.into_iter().flat_map(|set| set.keys).map(|key| key.schedule.kid.to_string()).collect()
    }
}

/// Scenario 31.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_kept_as_it_should_be_and_brings_a_lost_set_back() {
    let world = World::on_postgres().await;
    world.start().await;
    let set = world.jwks("invoices");
    let export = json!({"secretName": "backup", "privateKeys": true});
    set.create(json!({"algorithms": ["ES256"], "export": export})).await;
    set.ready().await;
    let backup = world.exported("backup").await.unwrap();
    let kids_before = world.stored_kids("invoices").await;
    assert_eq!(kids(&backup), kids_before);
    set.tells(&["SecretCreated", "KeyActivated"]).await;

    // The watch of Secrets tells.
    world.patch_secret("backup", json!({"stringData": {"jwks.json": "{\"keys\":[]}"}})).await;
    let restored = async || (world.exported("backup").await.as_ref() == Some(&backup)).then_some(());
    world.until("the export is as it was", restored).await;
    world.delete_secret("backup").await;
    world.until("the export is there again", restored).await;
    set.tells(&["SecretCreated", "KeyActivated", "SecretTampered", "SecretRecreated"]).await;

    world.rest().await;
    world.sql("TRUNCATE key_sets, keys".to_owned()).await;
    let back = async || (world.stored_kids("invoices").await == kids_before).then_some(());
    world.until("the set is back", back).await;
    let told = ["SecretCreated", "KeyActivated", "SecretTampered", "SecretRecreated", "Restored"];
    set.tells(&told).await;
    assert!(set.get().await.unwrap().is_ready());
    world.finish().await;
}

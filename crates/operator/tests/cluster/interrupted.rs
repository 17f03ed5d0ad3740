//! The operator dies at any moment, and its successor goes on.

use std::collections::HashMap;
use std::time::Duration;

use harness::cluster::Write;
use jiff::SignedDuration;
use jose::Entropy;
use kube::api::ListParams;
use oauth::{ClientId, ClientSecret};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::world::{LOG, OPERATOR, World};

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const ROUNDS: u32 = 24;
/// Replaced secrets work for this long.
const OVERLAP: SignedDuration = SignedDuration::from_hours(24);

/// What somebody does to the resources while the operator is at work.
struct Churn {
    entropy: Entropy,
    /// What workloads hold: read from a Secret at a moment when it worked.
    held: HashMap<&'static str, Vec<(ClientId, ClientSecret)>>,
    nonce: u32,
}

impl Churn {
    fn below(&self, bound: u16) -> u16 {
        u16::from_be_bytes(self.entropy.bytes()) % bound
    }

    /// Workloads read what the Secrets hold.
    async fn read(&mut self, world: &World) {
        for name in NAMES {
            let Some(client) = world.oac(name).get().await else { continue };
            let Some(secret) = world.secret(&client.secret_name()).await else { continue };
            let entry = |key| crate::world::entry(&secret, key);
            let (Some(id), Some(value)) = (entry("CLIENT_ID"), entry("CLIENT_SECRET")) else { continue };
            let credentials = (ClientId::parse(id).unwrap(), ClientSecret::new(value));
            if world.lets_in(&credentials).await {
                let held = self.held.entry(name).or_default();
                if !held.contains(&credentials) {
                    held.push(credentials);
                }
            }
        }
    }

    async fn act(&mut self, world: &World) {
        let name = NAMES[usize::from(self.below(4))];
        let client = world.oac(name);
        let Some(present) = client.get().await else {
            client.create(json!({"grantTypes": ["client_credentials"]})).await;
            return;
        };
        if present.metadata.deletion_timestamp.is_some() {
            return;
        }
        let secret = present.secret_name();
        match self.below(8) {
            0 => {
                client.delete().await;
                // The garbage collector's part.
                world.delete_secret(&secret).await;
                self.held.remove(name);
            }
            1 => {
                world.delete_secret(&secret).await;
            }
            2 => {
                let tampering = json!({"stringData": {"CLIENT_SECRET": "tampered-with-by-somebody"}});
                if world.secret(&secret).await.is_some() {
                    world.patch_secret(&secret, tampering).await;
                }
            }
            3..=5 => {
                // Overlaps have passed, so that a rotation may begin.
                world.advance(OVERLAP + SignedDuration::from_secs(1));
                self.held.clear();
                self.nonce += 1;
                client.annotate("keywright.dev/rotate-secret", &self.nonce.to_string()).await;
            }
            _ => {
                self.nonce += 1;
                client.edit(json!({"clientName": format!("name {}", self.nonce)})).await;
            }
        }
    }

    async fn check(&self, world: &World, when: &str) {
        for (name, held) in &self.held {
            for credentials in held {
                assert!(world.lets_in(credentials).await, "{when}: a workload of {name} was locked out");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_moment_it_converges_and_locks_nobody_out() {
    let world = World::new().await;
    let entropy = Entropy::seeded(34);
    let mut churn = Churn { entropy, held: HashMap::new(), nonce: 0 };
    for round in 0..ROUNDS {
        world.start().await;
        for _ in 0..3 {
            churn.act(&world).await;
        }
        // A moment in or after the reconciliations that this caused.
        tokio::time::sleep(Duration::from_millis(churn.below(200).into())).await;
        world.kill().await;
        churn.check(&world, &format!("round {round}")).await;
        churn.read(&world).await;
    }
    world.start().await;
    for name in NAMES {
        let client = world.oac(name);
        if client.get().await.is_none() {
            client.create(json!({"grantTypes": ["client_credentials"]})).await;
        }
        let present = client.until("stays", |client| client.metadata.deletion_timestamp.is_none()).await;
        let in_order = async || {
            let client = world.oac(name).get().await?;
            world.secret(&present.secret_name()).await?;
            let works = crate::resource::Kind::is_ready(&client)
                && world.lets_in(&world.credentials(&client).await).await;
            works.then_some(client)
        };
        let client = world.until(&format!("{name} is in order"), in_order).await;
        let (id, _) = world.credentials(&client).await;
        assert_eq!(client.status.unwrap().client_id.as_deref(), Some(id.as_str()));
    }
    churn.check(&world, "at the end").await;
    world.resync(4).await;
    let writes = async || world.cluster.writes(&world.namespace).await;
    let ours = |writes: Vec<Write>| writes.iter().filter(|write| write.user_agent == OPERATOR).count();
    let settled = ours(writes().await);
    world.resync(4).await;
    assert_eq!(ours(writes().await), settled, "nothing is left to do");
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_finishes_what_is_under_way() {
    let world = World::on_postgres().await;
    for n in 0..12 {
        world.oac(&format!("client-{n}")).create(json!({"grantTypes": ["client_credentials"]})).await;
    }
    world.start().await;
    let any_secret = async || {
        (!world.secrets().list(&ListParams::default()).await.unwrap().items.is_empty()).then_some(())
    };
    world.until("it is at work", any_secret).await;
    world.stop().await;
    // What was begun has its row and its status; what was not has neither.
    for n in 0..12 {
        let client = world.oac(&format!("client-{n}")).get().await.unwrap();
        let begun = !client.metadata.finalizers.clone().unwrap_or_default().is_empty();
        assert_eq!(crate::resource::Kind::is_ready(&client), begun, "client-{n}");
        if begun {
            assert!(world.lets_in(&world.credentials(&client).await).await, "client-{n}");
        }
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_definitions_it_waits_and_can_be_stopped() {
    let world = World::new().await;
    let mut config = world.config.clone();
    // A path that the API server does not serve answers as one without the definitions does.
    config.cluster_url = format!("{}absent", config.cluster_url).parse().unwrap();
    let client = kube::Client::try_from(config).unwrap();
    let shutdown = CancellationToken::new();
    let (ready, is_ready) = tokio::sync::watch::channel(false);
    let run = operator::source::cluster::run(client, world.context.clone(), true, ready, shutdown.clone());
    let running = tokio::spawn(run);
    let said = async || LOG.text().contains("it does not serve oauth2clients.keywright.dev").then_some(());
    world.until("it says what it waits for", said).await;
    assert!(!*is_ready.borrow());
    shutdown.cancel();
    running.await.unwrap().unwrap();
    world.finish().await;
}
